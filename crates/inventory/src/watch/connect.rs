//! From a kubeconfig, or from inside a pod, to a client of the API server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where a pod finds the token of its service account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to reach the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cluster {
    /// As a pod does; outside of one by `KUBECONFIG`, else by `~/.kube/config`.
    #[default]
    Surrounding,
    /// By a kubeconfig file and its current context.
    Kubeconfig(PathBuf),
}

/// Nobody can tell where the API server is.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig can't be used.
    #[error("kubeconfig `{}`", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<KubeconfigError>,
    },
    /// There is no service account and no kubeconfig.
    #[error(
        "no cluster: this is no pod with a service account, and neither KUBECONFIG nor \
         ~/.kube/config can be used"
    )]
    Nowhere(#[source] Box<KubeconfigError>),
    /// The service account of the pod can't be used.
    #[error("the pod's service account can't be used")]
    Pod(#[source] Box<kube::config::InClusterError>),
    /// No client can be made of it: a wrong certificate or key.
    #[error("no client for the API server `{server}`")]
    Client {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        cause: Box<kube::Error>,
    },
}

/// Makes a client and tells the API server's address. Asks nothing of the API server yet.
pub(crate) async fn client(cluster: &Cluster) -> Result<(Client, String), ConnectError> {
    let mut config = config(cluster).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config);
    let client = client
        .map_err(|cause| ConnectError::Client { server: server.clone(), cause: Box::new(cause) })?;
    Ok((client, server))
}

async fn config(cluster: &Cluster) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions::default();
    match cluster {
        Cluster::Kubeconfig(path) => {
            let wrong =
                |cause| ConnectError::Kubeconfig { path: path.clone(), cause: Box::new(cause) };
            let file = Kubeconfig::read_from(path).map_err(wrong)?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(wrong)
        }
        Cluster::Surrounding if Path::new(POD_TOKEN).exists() => {
            Config::incluster().map_err(|cause| ConnectError::Pod(Box::new(cause)))
        }
        Cluster::Surrounding => {
            let read = Config::from_kubeconfig(&options).await;
            read.map_err(|cause| ConnectError::Nowhere(Box::new(cause)))
        }
    }
}
