//! Does the cluster's network plugin enforce NetworkPolicy? Measured, not asked.
//!
//! One pod asks another one again and again. Without a policy it must get answers; with a policy
//! that denies, it must get none; and without it answers again, or the silence had another cause.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::connect::ApiServer;
use super::probe_pods::{self, CLIENT, POLICY, PROBE_LABEL, SERVER};

/// Tries that must agree in a row: one lost packet proves nothing.
const AGREEING_TRIES: usize = 3;
/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// A namespace of an earlier probe is removed if it is older, seconds.
const LEFTOVER_AGE_S: i64 = 900;
/// How long the service account of a new namespace may take.
const ACCOUNT_WAIT: Duration = Duration::from_secs(20);
/// Lines of the client's log that are read.
const LOG_LINES: i64 = 20;
/// Why a container waits that will not start by waiting (kubelet's reasons).
const HOPELESS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// What to probe with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// An image with busybox: `sh`, `nc`, `grep`.
    pub image: String,
    /// How long pods may take to start.
    pub start_wait: Duration,
    /// How long a policy may take until it is enforced.
    pub enforce_wait: Duration,
}

/// What was found for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeVerdict {
    /// The policy stopped the connections, and nothing did without it.
    Enforced,
    /// Connections went on although a policy denied them.
    NotEnforced,
    /// Not measured, because of something else.
    Inconclusive,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeFinding {
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// What was found.
    pub verdict: ProbeVerdict,
    /// From the creation of the policy to the last of the agreeing tries, milliseconds; None unless
    /// enforced.
    pub enforced_after_ms: Option<u64>,
    /// In words.
    pub detail: String,
}

/// The whole probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// Version of the API server.
    pub kubernetes: String,
    /// Image of the pods.
    pub image: String,
    /// Node of the pod that asked.
    pub client_node: String,
    /// Node of the pod that answered.
    pub server_node: String,
    /// Both directions.
    pub findings: Vec<ProbeFinding>,
}

/// The probe could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The API server refused something.
    #[error("{doing}: {}", sekisho_base::error_chain(.cause.as_ref()))]
    Api {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        cause: Box<kube::Error>,
    },
    /// A pod does not start.
    #[error("pod {pod} does not start: {why}")]
    Start {
        /// Which.
        pod: &'static str,
        /// Why, in the kubelet's words.
        why: String,
    },
    /// SIGINT or SIGTERM.
    #[error("interrupted; what the probe made was removed")]
    Interrupted,
    /// Signals can't be listened for.
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
    /// The probe's namespace is still there.
    #[error(
        "namespace {namespace} could not be removed ({why}): kubectl delete namespace {namespace}"
    )]
    Cleanup {
        /// Its name.
        namespace: String,
        /// Why.
        why: String,
    },
}

impl ApiServer {
    /// Probes the cluster; removes all that it made, also when a signal ends it.
    ///
    /// # Errors
    /// [`ProbeError`] if something could not be made, started or removed.
    pub fn probe(&self, options: &ProbeOptions) -> Result<ProbeReport, ProbeError> {
        self.runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).map_err(ProbeError::Signals)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(ProbeError::Signals)?;
            let probe = Probe::new(self.client.clone(), options);
            probe.remove_leftovers().await;
            let result = tokio::select! {
                result = probe.run() => result,
                _ = interrupt.recv() => Err(ProbeError::Interrupted),
                _ = terminate.recv() => Err(ProbeError::Interrupted),
            };
            let removed = probe.remove().await;
            let report = result?;
            removed?;
            Ok(report)
        })
    }
}

struct Probe<'a> {
    client: Client,
    options: &'a ProbeOptions,
    namespace: String,
}

impl<'a> Probe<'a> {
    fn new(client: Client, options: &'a ProbeOptions) -> Self {
        let now = jiff::Timestamp::now().as_nanosecond();
        let unlike = (now ^ i128::from(std::process::id())) & 0xff_ffff;
        Self { client, options, namespace: format!("sekisho-probe-{unlike:06x}") }
    }

    async fn run(&self) -> Result<ProbeReport, ProbeError> {
        let version = self.client.apiserver_version().await;
        let version = version.map_err(failed("ask for the version"))?;
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        create(&spaces, probe_pods::namespace(&self.namespace), "make a namespace").await?;
        self.create_pod(SERVER, probe_pods::server(&self.options.image)).await?;
        let (address, server_node) = self.started(SERVER).await?;
        self.create_pod(CLIENT, probe_pods::client(&self.options.image, &address)).await?;
        let (_, client_node) = self.started(CLIENT).await?;
        let mut findings = Vec::new();
        for (direction, role, word) in
            [("ingress", SERVER, "Ingress"), ("egress", CLIENT, "Egress")]
        {
            findings.push(self.measure(direction, probe_pods::deny(role, word)).await?);
        }
        Ok(ProbeReport {
            kubernetes: version.git_version,
            image: self.options.image.clone(),
            client_node,
            server_node,
            findings,
        })
    }

    /// Allowed without the policy, denied with it, allowed without it again.
    async fn measure(
        &self,
        direction: &'static str,
        policy: Value,
    ) -> Result<ProbeFinding, ProbeError> {
        let wait = self.options.enforce_wait;
        let inconclusive = |detail: &str| ProbeFinding {
            direction,
            verdict: ProbeVerdict::Inconclusive,
            enforced_after_ms: None,
            detail: detail.to_owned(),
        };
        if self.agrees(true, self.last_try().await?, wait).await?.is_none() {
            return Ok(inconclusive("no connection came about even without a policy"));
        }
        let policies: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), &self.namespace);
        let before = self.last_try().await?;
        let made = Instant::now();
        create(&policies, policy, "make a policy").await?;
        // The try under way may have begun before the policy was there.
        let denied = self.agrees(false, before.saturating_add(1), wait).await?;
        let took = made.elapsed();
        let removed = policies.delete(POLICY, &DeleteParams::default()).await;
        removed.map_err(failed("remove the policy"))?;
        if denied.is_none() {
            let detail = format!(
                "connections went on for {} s although a policy denied them",
                wait.as_secs()
            );
            let verdict = ProbeVerdict::NotEnforced;
            return Ok(ProbeFinding { direction, verdict, enforced_after_ms: None, detail });
        }
        if self.agrees(true, self.last_try().await?, wait).await?.is_none() {
            return Ok(inconclusive(
                "connections stopped with the policy, but did not come back without it",
            ));
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(ProbeFinding {
            direction,
            verdict: ProbeVerdict::Enforced,
            enforced_after_ms: Some(took_ms),
            detail: format!("denied {took_ms} ms after the policy was made, allowed without it"),
        })
    }

    /// Waits until tries after number `after` agree that connections are allowed (or not).
    async fn agrees(
        &self,
        allowed: bool,
        after: u64,
        wait: Duration,
    ) -> Result<Option<()>, ProbeError> {
        let end = Instant::now() + wait;
        loop {
            let tries = self.tries().await?;
            let late: Vec<bool> =
                tries.iter().filter(|(number, _)| *number > after).map(|(_, way)| *way).collect();
            let last = late.len().saturating_sub(AGREEING_TRIES);
            let last = late.get(last..).unwrap_or_default();
            if last.len() == AGREEING_TRIES && last.iter().all(|way| *way == allowed) {
                return Ok(Some(()));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn last_try(&self) -> Result<u64, ProbeError> {
        Ok(self.tries().await?.last().map_or(0, |(number, _)| *number))
    }

    /// The client's last tries: number, and whether an answer came.
    async fn tries(&self) -> Result<Vec<(u64, bool)>, ProbeError> {
        let params = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
        let log = self.pods().logs(CLIENT, &params).await;
        let log = log.map_err(failed("read the log of the client pod (pods/log)"))?;
        let line = |line: &str| {
            let (number, way) = line.split_once(' ')?;
            Some((number.parse().ok()?, way == "allowed"))
        };
        Ok(log.lines().filter_map(line).collect())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A new namespace has no service account yet, and admission refuses pods until it has.
    async fn create_pod(&self, name: &'static str, pod: Value) -> Result<(), ProbeError> {
        let end = Instant::now() + ACCOUNT_WAIT;
        loop {
            match create(&self.pods(), pod.clone(), &format!("make pod {name}")).await {
                Ok(()) => return Ok(()),
                Err(ProbeError::Api { cause, doing }) => {
                    let early = cause.to_string().contains("serviceaccount");
                    if !early || Instant::now() >= end {
                        return Err(ProbeError::Api { doing, cause });
                    }
                }
                Err(other) => return Err(other),
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Waits until the pod runs; its address and node.
    async fn started(&self, pod: &'static str) -> Result<(String, String), ProbeError> {
        let end = Instant::now() + self.options.start_wait;
        let mut why = "the scheduler has not looked at it".to_owned();
        loop {
            let now = self.pods().get(pod).await.map_err(failed("read a pod"))?;
            let node = now.spec.and_then(|spec| spec.node_name).unwrap_or_default();
            let status = now.status.unwrap_or_default();
            let waiting = status
                .container_statuses
                .iter()
                .flatten()
                .filter_map(|container| container.state.as_ref()?.waiting.as_ref());
            for reason in waiting {
                let text = reason.reason.clone().unwrap_or_default();
                why = format!("{text} {}", reason.message.clone().unwrap_or_default());
                if HOPELESS.contains(&text.as_str()) {
                    let why = format!("{why}: name an image that the nodes can get with --image");
                    return Err(ProbeError::Start { pod, why });
                }
            }
            if let Some(refused) = status
                .conditions
                .iter()
                .flatten()
                .find(|condition| condition.status == "False" && condition.message.is_some())
                && node.is_empty()
            {
                why = refused.message.clone().unwrap_or_default();
            }
            match status.phase.as_deref() {
                Some("Running") => {
                    if let Some(address) = status.pod_ip.filter(|address| !address.is_empty()) {
                        return Ok((address, node));
                    }
                }
                Some(phase @ ("Failed" | "Succeeded")) => {
                    let text = status.message.unwrap_or_default();
                    let why = format!("it ended ({phase}) {text}: is there `sh` in the image?");
                    return Err(ProbeError::Start { pod, why });
                }
                Some(_) | None => {}
            }
            if Instant::now() >= end {
                let waited = self.options.start_wait.as_secs();
                return Err(ProbeError::Start { pod, why: format!("waited {waited} s: {why}") });
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Removes the namespace with all in it; does not wait until it is gone.
    async fn remove(&self) -> Result<(), ProbeError> {
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        match spaces.delete(&self.namespace, &DeleteParams::default()).await {
            Ok(_going) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(ProbeError::Cleanup {
                namespace: self.namespace.clone(),
                why: sekisho_base::error_chain(&error),
            }),
        }
    }

    /// Removes namespaces of probes that were killed. If that fails it is tried the next time.
    async fn remove_leftovers(&self) {
        let spaces: Api<Namespace> = Api::all(self.client.clone());
        let of_probes = ListParams::default().labels(&format!("{PROBE_LABEL}=true"));
        let Ok(found) = spaces.list(&of_probes).await else { return };
        let now = jiff::Timestamp::now();
        for namespace in found {
            let meta = namespace.metadata;
            let (Some(name), Some(made)) = (meta.name, meta.creation_timestamp) else { continue };
            if now.as_second().saturating_sub(made.0.as_second()) > LEFTOVER_AGE_S
                && let Err(error) = spaces.delete(&name, &DeleteParams::default()).await
            {
                tracing::warn!(namespace = name, %error, "an earlier probe's namespace stays");
            }
        }
    }
}

/// Names what was tried in an error of the API.
fn failed(doing: &str) -> impl FnOnce(kube::Error) -> ProbeError {
    let doing = doing.to_owned();
    move |cause| ProbeError::Api { doing, cause: Box::new(cause) }
}

async fn create<K>(api: &Api<K>, value: Value, doing: &str) -> Result<(), ProbeError>
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let object = serde_json::from_value(value)
        .map_err(|cause| failed(doing)(kube::Error::SerdeError(cause)))?;
    api.create(&PostParams::default(), &object).await.map_err(failed(doing))?;
    Ok(())
}
