//! Who is who: (address, time) to workload, from Kubernetes, hosts and the lab.
//!
//! [`Inventory`] is fed by watch lines and answers at a point in time, because addresses are
//! reused and labels change; it is the [`sekisho_flow::Directory`] of the joiner. [`JournalReader`]
//! follows the lab's journal file, [`watch`] the API server of a cluster; [`cri`] asks the container
//! runtime of a node, and [`attest`] the API server which node an agent is on.

pub mod attest;
mod cgroup;
pub mod cri;
mod directory;
mod error;
mod history;
mod inventory;
mod journal;
mod rewrite;
mod services;
mod spans;
pub mod watch;

pub use error::{JournalError, LineError};
pub use inventory::{Change, Inventory, InventoryLimits, InventoryStats};
pub use journal::{JournalRead, JournalReader, LINE_BYTES_MAX, READ_BYTES_MAX};
