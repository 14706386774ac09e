//! What a server must be able to do.

use sekisho_model::Batch;

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
    /// The server can't now (disk full, starting): send again later.
    #[error("{0}")]
    Unavailable(String),
}

/// The server's work, called on a blocking thread: implementations may wait for the disk.
pub trait Service: Send + Sync + 'static {
    /// Makes a batch durable. `frame` is the batch as it came over the wire.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if it could not be made durable: the agent keeps and resends it.
    fn ingest(&self, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal>;

    /// The order for `node` if it is newer than `after`.
    fn order(&self, node: &str, after: u64) -> Option<Order>;

    /// Takes an agent's words about itself.
    fn report(&self, node: &str, report: AgentReport);

    /// Health and figures.
    fn status(&self) -> Status;

    /// History and cluster.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if the store can't be read.
    fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, Refusal>;

    /// Flows after `cursor`, at most `count`.
    fn flows(&self, cursor: u64, count: usize) -> FlowPage;

    /// Packets dropped by kernels, after `cursor`, at most `count` records.
    fn drops(&self, cursor: u64, count: usize) -> DropPage;

    /// Verifies and, if that holds, puts in force.
    ///
    /// # Errors
    /// [`Refusal`] if the policies can't be read or nothing can be stored.
    fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal>;

    /// Goes back to an earlier revision.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] if there is no such revision.
    fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal>;

    /// All revisions, oldest first.
    fn revisions(&self) -> Vec<Revision>;

    /// Prometheus text exposition (format version 0.0.4).
    fn metrics(&self) -> String;
}
