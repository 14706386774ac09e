//! Asks the container runtime of this node which containers there are.
//!
//! Source: Container Runtime Interface v1 (k8s.io/cri-api pkg/apis/runtime/v1/api.proto), which
//! containerd, CRI-O and cri-dockerd serve on a Unix socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_model::Container;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::messages::{
    self, ListContainersRequest, ListContainersResponse, VersionRequest, VersionResponse,
};

/// Sockets where runtimes listen, most common first.
pub const CRI_SOCKETS: [&str; 5] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/cri-dockerd.sock",
];

/// Longest that an answer is waited for: whoever waits is the thread that reads kernel events.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// Largest answer, bytes: ten thousand containers with long labels.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// There is nothing to talk to.
    #[error("the path of a container runtime's socket can't be used: `{0}`")]
    Path(PathBuf),
    /// The machine refused what waiting for answers needs.
    #[error("prepare to talk to the container runtime")]
    Wait(#[source] std::io::Error),
    /// It answered with an error, or not in time.
    #[error("container runtime at `{path}`: {reason}")]
    Call {
        /// The socket.
        path: PathBuf,
        /// Code and message of gRPC.
        reason: String,
    },
}

/// A container, and the pod that it is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Id, as in the last component of the cgroup path.
    pub id: String,
    /// Uid of the pod; empty if the runtime does not say.
    pub pod_uid: String,
    /// Name and image.
    pub container: Container,
}

/// A connection to a runtime; made anew by itself when the runtime restarts. It waits for answers
/// in the calling thread, and has one of its own for nothing.
#[derive(Debug)]
pub struct ContainerRuntime {
    path: PathBuf,
    waiting: tokio::runtime::Runtime,
    channel: Channel,
}

impl ContainerRuntime {
    /// Prepares to talk to the runtime at `path`; it need not be there yet.
    ///
    /// # Errors
    /// [`CriError::Path`] if the path is not absolute UTF-8; [`CriError::Wait`].
    pub fn new(path: &Path) -> Result<Self, CriError> {
        let unusable = || CriError::Path(path.to_owned());
        let text = path.to_str().filter(|text| text.starts_with('/')).ok_or_else(unusable)?;
        let waiting = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CriError::Wait)?;
        let endpoint = Endpoint::try_from(format!("unix://{text}"));
        let endpoint = endpoint.map_err(|_refused| unusable())?.timeout(ANSWER_WAIT);
        let channel = {
            // The channel's worker lives on the runtime that is entered.
            let _entered = waiting.enter();
            endpoint.connect_lazy()
        };
        Ok(Self { path: path.to_owned(), waiting, channel })
    }

    /// The first of [`CRI_SOCKETS`] that there is.
    #[must_use]
    pub fn find_socket() -> Option<PathBuf> {
        CRI_SOCKETS.into_iter().map(PathBuf::from).find(|path| path.exists())
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name and version, such as `containerd 1.6.20`.
    ///
    /// # Errors
    /// [`CriError::Call`].
    pub fn version(&self) -> Result<String, CriError> {
        let answer: VersionResponse = self.call("Version", VersionRequest {})?;
        Ok(format!("{} {}", answer.runtime_name, answer.runtime_version))
    }

    /// All containers of this node, running or not.
    ///
    /// # Errors
    /// [`CriError::Call`].
    pub fn containers(&self) -> Result<Vec<FoundContainer>, CriError> {
        let answer: ListContainersResponse =
            self.call("ListContainers", ListContainersRequest {})?;
        Ok(answer.containers.into_iter().map(found).collect())
    }

    fn call<Q, A>(&self, method: &str, question: Q) -> Result<A, CriError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let failed = |reason: String| CriError::Call { path: self.path.clone(), reason };
        let path = format!("/runtime.v1.RuntimeService/{method}");
        let path =
            http::uri::PathAndQuery::try_from(path).map_err(|error| failed(error.to_string()))?;
        self.waiting.block_on(async {
            let mut client =
                Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
            let answered = async {
                client.ready().await.map_err(|error| failed(sekisho_base::error_chain(&error)))?;
                let codec = ProstCodec::<Q, A>::default();
                let answer = client.unary(tonic::Request::new(question), path, codec).await;
                let answer = answer
                    .map_err(|status| failed(format!("{:?}: {}", status.code(), status.message())));
                Ok(answer?.into_inner())
            };
            let silent = || failed(format!("no answer within {} ms", ANSWER_WAIT.as_millis()));
            tokio::time::timeout(ANSWER_WAIT, answered).await.map_err(|_late| silent())?
        })
    }
}

/// The labels that the kubelet gives its containers (Kubernetes pkg/kubelet/kuberuntime/labels.go).
const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

fn found(container: messages::Container) -> FoundContainer {
    let name = match container.labels.get(CONTAINER_NAME) {
        Some(name) => name.clone(),
        None => container.metadata.map(|metadata| metadata.name).unwrap_or_default(),
    };
    let asked = container.image.map(|image| match image.user_specified_image.as_str() {
        "" => image.image,
        _ => image.user_specified_image,
    });
    let image = pinned(asked.as_deref().unwrap_or_default(), &container.image_ref);
    let pod_uid = container.labels.get(POD_UID).cloned().unwrap_or_default();
    FoundContainer { id: container.id, pod_uid, container: Container { name, image } }
}

/// The image as one reference that never means another: `name@sha256:...`. Runtimes give the digest
/// of the manifest (`name@sha256:...`) or the id of the configuration (`sha256:...`) as what it is,
/// and a name, a digest or an id as what was asked for. The kubelet passes both on, as `imageID` and
/// `image` of a pod's container.
#[must_use]
pub fn pinned(asked: &str, is: &str) -> String {
    let digest = is.rsplit_once('@').map_or(is, |(_, digest)| digest);
    let name = asked.split('@').next().unwrap_or_default();
    let name = is.rsplit_once('@').map_or(name, |(name, _)| name);
    let is_named = !name.is_empty() && !name.starts_with("sha256:");
    match (is_named, digest.is_empty()) {
        (true, false) => format!("{name}@{digest}"),
        (true, true) => name.to_owned(),
        (false, _) => digest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_with_what_it_is() {
        let digest = "sha256:0123";
        for (asked, is, expected) in [
            ("docker.io/a/b:1", "docker.io/a/b@sha256:0123", "docker.io/a/b@sha256:0123"),
            ("docker.io/a/b:1", digest, "docker.io/a/b:1@sha256:0123"),
            ("sha256:0123", digest, "sha256:0123"),
            ("a@sha256:9", "a@sha256:0123", "a@sha256:0123"),
            ("busybox", "", "busybox"),
            ("", "", ""),
        ] {
            assert_eq!(pinned(asked, is), expected, "{asked} {is}");
        }
    }

    #[test]
    fn where_nobody_listens_the_error_names_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.sock");
        let error = ContainerRuntime::new(&path).unwrap().containers().unwrap_err();
        assert!(error.to_string().contains("none.sock"), "{error}");
        assert!(ContainerRuntime::new(Path::new("relative.sock")).is_err());
    }

    /// A server that takes connections and never speaks must not hold the agent up.
    #[test]
    fn a_silent_runtime_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("silent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = ContainerRuntime::new(&path).unwrap().containers().unwrap_err();
        assert!(error.to_string().contains("silent.sock"), "{error}");
    }
}
