//! The way to the API server. Calls block: whoever calls is on a thread of its own.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::installation::Installation;
use super::kinds::KINDS;
use super::live::{LiveState, Unreadable};
use super::refusal::Refusal;
use super::requests;

/// How long a connection may take to come about.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long an answer may take; the API server itself gives up after a minute.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Where the API server is and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig; None: `KUBECONFIG`, `~/.kube/config`, or the service account of the pod that we
    /// run in.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; None: its current one.
    pub context: Option<String>,
    /// Which Sekisho we are.
    pub installation: Installation,
}

/// The API server can't be reached because of what we were told.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig can't be read.
    #[error("read kubeconfig `{path}`")]
    Kubeconfig {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        cause: Box<kube::config::KubeconfigError>,
    },
    /// No kubeconfig, and we run in no pod.
    #[error(
        "no cluster to talk to: name a kubeconfig, set KUBECONFIG, or run in a pod with a service \
         account"
    )]
    Nowhere(#[source] Box<kube::config::InferConfigError>),
    /// What it says can't be used, e.g. certificates.
    #[error("use the credentials for `{server}`")]
    Unusable {
        /// Address of the API server.
        server: String,
        /// Why.
        #[source]
        cause: Box<kube::Error>,
    },
    /// No threads.
    #[error("start the runtime")]
    Runtime(#[source] std::io::Error),
}

/// One cluster's API server.
pub struct ApiServer {
    pub(crate) client: Client,
    pub(crate) runtime: tokio::runtime::Runtime,
    address: String,
    pub(crate) installation: Installation,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Reads the configuration; talks to nobody yet.
    ///
    /// # Errors
    /// [`ConnectError`] if there is no configuration or it can't be used.
    pub fn connect(access: &Access) -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .map_err(ConnectError::Runtime)?;
        let mut config = runtime.block_on(configuration(access))?;
        config.connect_timeout = Some(CONNECT_WAIT);
        config.read_timeout = Some(ANSWER_WAIT);
        config.write_timeout = Some(ANSWER_WAIT);
        config.reset_reader_on_write = true;
        let address = config.cluster_url.to_string();
        let made = {
            let _inside = runtime.enter();
            Client::try_from(config)
        };
        let client = made.map_err(|cause| ConnectError::Unusable {
            server: address.clone(),
            cause: Box::new(cause),
        })?;
        Ok(Self { client, runtime, address, installation: access.installation.clone() })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Which Sekisho we are there.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Lists all objects that hold policy, of all namespaces. A kind that may not be listed is
    /// told in the answer, and the rest is read.
    ///
    /// # Errors
    /// [`Refusal`] if NetworkPolicies can't be listed: without them nothing can be said.
    pub fn live(&self) -> Result<LiveState, Refusal> {
        let mut state = LiveState::default();
        for kind in &KINDS {
            let listed = self.runtime.block_on(requests::list(&self.client, kind));
            match listed {
                Ok(objects) => {
                    objects.into_iter().for_each(|one| state.take(kind, one, &self.installation));
                }
                Err(error) if error.is_not_found() => state.unserved.push(kind.name),
                Err(error) => {
                    let refusal = Refusal::of_kind("list", kind, &error);
                    if kind.group == "networking.k8s.io" {
                        return Err(refusal);
                    }
                    state.unlisted.insert(kind.name);
                    state
                        .unreadable
                        .push(Unreadable { what: kind.resource(), why: refusal.to_string() });
                }
            }
        }
        Ok(state)
    }
}

async fn configuration(access: &Access) -> Result<Config, ConnectError> {
    let options =
        KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let named = |path: &PathBuf| path.display().to_string();
    match (&access.kubeconfig, &access.context) {
        (Some(path), _) => {
            let failed =
                |cause| ConnectError::Kubeconfig { path: named(path), cause: Box::new(cause) };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(failed)
        }
        (None, Some(context)) => {
            let path = format!("context {context}");
            let failed = |cause| ConnectError::Kubeconfig { path, cause: Box::new(cause) };
            Config::from_kubeconfig(&options).await.map_err(failed)
        }
        (None, None) => {
            Config::infer().await.map_err(|cause| ConnectError::Nowhere(Box::new(cause)))
        }
    }
}
