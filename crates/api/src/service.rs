//! What a server must be able to do.

use sekisho_model::{Batch, ClusterName};

use crate::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, DropPage, FlowPage, Order, Revision,
    RollbackRequest, Snapshot, SnapshotQuery, Status,
};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request itself is wrong: fix and send again.
    #[error("{0}")]
    Invalid(String),
    /// It names something that does not exist.
    #[error("{0}")]
    Unknown(String),
    /// Who asks may not: what it shows does not prove what it says.
    #[error("{0}")]
    Denied(String),
    /// The server can't now (disk full, starting): send again later.
    #[error("{0}")]
    Unavailable(String),
}

/// The server's work, called on a blocking thread: implementations may wait for the disk.
pub trait Service: Send + Sync + 'static {
    /// The clusters it serves, by name; never none.
    fn clusters(&self) -> Vec<ClusterName>;

    /// Whether agents of `cluster` have to prove which node they are on. The certificate that all of
    /// them share then opens nothing but the question for one of their own.
    fn proves_nodes(&self, cluster: &ClusterName) -> bool;

    /// Finds out whether `token` is the service account token of the agent on `node` of `cluster`.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if it is not, and [`Refusal::Unavailable`] if nobody can tell now.
    fn attest(&self, cluster: &ClusterName, node: &str, token: &str) -> Result<(), Refusal>;

    /// Makes a batch of an agent of `cluster` durable. `frame` is the batch as it came over the wire.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if it could not be made durable, or the cluster is none of ours (yet):
    /// the agent keeps and resends it.
    fn ingest(&self, cluster: &ClusterName, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal>;

    /// The order for `node` of `cluster` if it is newer than `after`.
    fn order(&self, cluster: &ClusterName, node: &str, after: u64) -> Option<Order>;

    /// Takes an agent's words about itself.
    fn report(&self, cluster: &ClusterName, node: &str, report: AgentReport);

    /// Health and figures.
    fn status(&self) -> Status;

    /// History and cluster.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if the store can't be read; see [`Refusal::Invalid`] and
    /// [`Refusal::Unknown`] for the cluster.
    fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, Refusal>;

    /// Flows of `cluster` after `cursor`, at most `count`; None = of the only cluster.
    ///
    /// # Errors
    /// [`Refusal`] if that cluster is not there, or none is named and there are several.
    fn flows(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<FlowPage, Refusal>;

    /// Packets dropped by kernels of `cluster`, after `cursor`, at most `count` records.
    ///
    /// # Errors
    /// As [`Service::flows`].
    fn drops(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<DropPage, Refusal>;

    /// The nodes that pods of `cluster`, each a namespace and a name, are on now; None = not known.
    /// As many as `pods`, in their order.
    fn nodes_of(&self, cluster: &ClusterName, pods: &[(&str, &str)]) -> Vec<Option<String>>;

    /// Verifies and, if that holds, puts in force.
    ///
    /// # Errors
    /// [`Refusal`] if the policies can't be read, nothing can be stored, or the cluster is not clear.
    fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal>;

    /// Goes back to an earlier revision.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] if there is no such revision or cluster.
    fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal>;

    /// All revisions of `cluster`, oldest first; None = of the only cluster.
    ///
    /// # Errors
    /// As [`Service::flows`].
    fn revisions(&self, cluster: Option<&ClusterName>) -> Result<Vec<Revision>, Refusal>;

    /// Prometheus text exposition (format version 0.0.4).
    fn metrics(&self) -> String;
}
