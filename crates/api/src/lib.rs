//! HTTP types and endpoints over a Unix socket.
//!
//! Agents send batches and wait for orders; people and the CLI ask for snapshots and give policies.
//! [`Service`] is what a server must be able to do; [`router`] puts it on the wire; [`Client`] is
//! the other end. Bodies between our own parts are postcard, everything else is JSON.
//!
//! The socket's file mode (0600) is the access control on one machine; TLS comes with the first
//! listener that leaves it.

mod client;
mod listen;
mod router;
mod service;
mod wire;

pub use client::{CallError, Client};
pub use listen::{ListenError, MetricsListenError, MetricsListener, UnixSocket, serve};
pub use router::{router, router_with};
pub use service::{Refusal, Service};
pub use wire::{
    Ack, AgentReport, AgentStatus, ApplyRequest, ApplyResponse, DatapathMode, DropPage,
    EstablishedReport, FlowPage, IngestFigures, Order, PolicyFile, Revision, RollbackRequest,
    Snapshot, SnapshotQuery, Status, StoreFigures,
};
