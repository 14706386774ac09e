//! The inventory of a live cluster: its API server's objects, watched.
//!
//! [`Watch`] finds out which of the kinds that we know the API server has, lists and follows each
//! of them, and tells what it learns as [`Delta`]s through a bounded channel. [`Intake`] carries
//! deltas into an [`crate::Inventory`] and writes the journal that names old flows after a restart.
//!
//! Fails open: a kind that may not be listed, an object that can't be read and an API server that
//! is away are named in the [`WatchStatus`]; the rest goes on, and what was known stays.

mod connect;
mod delta;
mod director;
mod discovery;
mod fault;
mod follow;
mod intake;
mod kinds;
mod raw;
mod status;
mod trim;

pub(crate) use connect::client;
pub use connect::{Cluster, ConnectError};
pub use delta::Delta;
pub use director::{DELTAS_MAX, Watch};
pub use intake::Intake;
pub use status::{CLOCK_SLACK_MS, KindState, KindStatus, StatusHandle, WatchStatus};
