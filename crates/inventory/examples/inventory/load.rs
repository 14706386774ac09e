//! The cluster that is followed: pods that no kubelet runs, with what pods of a Deployment carry
//! around, and Services.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Fault;

const PODS_PER_NAMESPACE: usize = 200;
const REQUESTS_AT_ONCE: usize = 24;
/// Writers of changes: each changes its pods one step after another.
const LANES: usize = 10;
/// Creates, relabels, deletes.
const STEPS: usize = 3;
const ACCOUNT_LIMIT: Duration = Duration::from_secs(60);

/// The objects, in namespaces of their own.
pub(crate) struct Load {
    client: Client,
    pub(crate) kubeconfig: PathBuf,
    prefix: String,
    namespaces: Vec<String>,
}

/// What a lane sent, as the journal calls it, and when.
type Sent = Result<Vec<(String, Instant)>, kube::Error>;

impl Load {
    pub(crate) async fn new() -> Result<Self, Fault> {
        let state = std::env::var_os("SEKISHO_TEST_CLUSTER")
            .ok_or("SEKISHO_TEST_CLUSTER names no cluster: `cargo xtask bench inventory`")?;
        let kubeconfig = PathBuf::from(state).join("admin.kubeconfig");
        let file = Kubeconfig::read_from(&kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let prefix = format!("load-{}", std::process::id());
        Ok(Self { client, kubeconfig, prefix, namespaces: Vec::new() })
    }

    fn api(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let (plural, version) = (format!("{}s", kind.to_lowercase()), "v1".to_owned());
        let resource = ApiResource {
            group: String::new(),
            api_version: version.clone(),
            version,
            kind: kind.to_owned(),
            plural,
        };
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn namespace(&self, index: usize) -> &str {
        let count = self.namespaces.len().max(1);
        self.namespaces.get(index % count).map_or("default", String::as_str)
    }

    /// Makes `pods` pods and half as many Services.
    pub(crate) async fn fill(&mut self, pods: usize) -> Result<(), Fault> {
        for index in 0..pods.div_ceil(PODS_PER_NAMESPACE) {
            let name = format!("{}-{index}", self.prefix);
            let object = object(json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name}}))?;
            self.api("", "Namespace").create(&PostParams::default(), &object).await?;
            self.namespaces.push(name);
        }
        // Pods are refused until the controllers have made this, in the last namespace at last.
        let started = Instant::now();
        let accounts = self.api(self.namespace(self.namespaces.len() - 1), "ServiceAccount");
        while accounts.get_opt("default").await?.is_none() {
            if started.elapsed() > ACCOUNT_LIMIT {
                return Err("a namespace got no service account".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let this = &*self;
        let work = futures_util::stream::iter(0..pods).map(|index| this.make(index));
        work.buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
    }

    /// Two pods of each app and a Service for them.
    async fn make(&self, index: usize) -> Result<(), Fault> {
        let (app, create) = (index / 2, PostParams::default());
        let namespace = self.namespace(app);
        let name = format!("app-{app}-7d4b9c8f6d-x{index}");
        let pods = self.api(namespace, "Pod");
        pods.create(&create, &pod(&name, app)?).await?;
        let status = Patch::Merge(running(index));
        pods.patch_status(&name, &PatchParams::default(), &status).await?;
        if index.is_multiple_of(2) {
            let service = object(json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": format!("svc-{app}"), "labels": {"app": format!("app-{app}")}},
                "spec": {"selector": {"app": format!("app-{app}")},
                    "ports": [{"name": "web", "port": 80, "targetPort": 8080}]}}))?;
            self.api(namespace, "Service").create(&create, &service).await?;
        }
        Ok(())
    }

    /// Makes `total` changes of pods, `rate` a second.
    pub(crate) fn churn(&self, rate: usize, total: usize) -> JoinSet<Sent> {
        let mut writes = JoinSet::new();
        let pause = Duration::from_secs(1) * u32::try_from(LANES).unwrap_or(1)
            / u32::try_from(rate).unwrap_or(1).max(1);
        for lane in 0..LANES {
            let pods = self.api(self.namespace(0), "Pod");
            writes.spawn(async move {
                let mut sent = Vec::new();
                let mut ticks = tokio::time::interval(pause);
                for step in 0..total / LANES {
                    ticks.tick().await;
                    let before = Instant::now();
                    let name = format!("churn-{lane}-{}", step / STEPS);
                    sent.push((change(&pods, &name, step % STEPS).await?, before));
                }
                Ok(sent)
            });
        }
        writes
    }

    /// Removes everything.
    pub(crate) async fn end(self) -> Result<(), Fault> {
        for name in &self.namespaces {
            self.api("", "Namespace").delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }
}

/// Creates, relabels or deletes a pod; returns what the journal will call it.
async fn change(pods: &Api<DynamicObject>, name: &str, step: usize) -> Result<String, kube::Error> {
    match step {
        0 => {
            let object = pod(name, 0).map_err(kube::Error::SerdeError)?;
            pods.create(&PostParams::default(), &object).await?;
            Ok(format!("ADDED {name}"))
        }
        1 => {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"step": "two"}}}));
            pods.patch(name, &PatchParams::default(), &patch).await?;
            Ok(format!("MODIFIED {name}"))
        }
        _ => {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete(name, &at_once).await?;
            Ok(format!("DELETED {name}"))
        }
    }
}

fn object(value: Value) -> Result<DynamicObject, serde_json::Error> {
    serde_json::from_value(value)
}

/// A pod as a Deployment makes it.
fn pod(name: &str, app: usize) -> Result<DynamicObject, serde_json::Error> {
    let env: Vec<Value> =
        (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": "some value"})).collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": format!("app-{app}"),
                "app.kubernetes.io/name": "app", "app.kubernetes.io/part-of": "shop",
                "pod-template-hash": "7d4b9c8f6d", "version": "v1"},
            "annotations": {"checksum/config": "0123456789abcdef0123456789abcdef"}},
        "spec": {"schedulerName": "nobody",
            "containers": [{"name": "app", "image": "registry.example.com/shop/app:1.2.3",
                "env": env, "readinessProbe": probe, "livenessProbe": probe,
                "ports": [{"name": "web", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "1m"}}}]}}))
}

/// What a kubelet would say.
fn running(index: usize) -> Value {
    let ip = format!("10.{}.{}.{}", 128 + index / 65_536, (index / 256) % 256, index % 256);
    json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}]}})
}
