//! VerifiedPolicy to nftables sets and verdict maps, or to objects of the cluster, with rollback.
//!
//! [`compile`] is the pure part: policies and cluster in, one nft script out. [`Datapath`] loads it
//! into a network namespace in one transaction, reads back what is in force, and takes it away.
//! [`DenyLog`] brings denied connections back as records. [`native`] gives the policies to the
//! cluster instead, where its own plugin enforces them. Nothing here accepts policies that were
//! not verified.

mod address;
mod chains;
mod compile;
mod counters;
mod cut;
mod datapath;
mod deny_log;
mod executor;
mod layout;
pub mod native;
mod netlink;
mod packet;
mod peers;
mod ports;
mod scope;
mod unenforced;

pub use compile::{CompileError, ELEMENTS_MAX, NodeTables, compile};
pub use counters::{CountersError, RuleCounters};
pub use cut::{CONNECTIONS_MAX, CutError, Established};
pub use datapath::{Applied, ApplyError, Change, Datapath, TableError};
pub use deny_log::{DenyLog, DenyLogError, RECORDS_PER_POLL_MAX};
pub use executor::{Executor, InNamespace, NftError};
pub use netlink::NetlinkError;
pub use scope::{Mode, Scope, ScopeKind};
pub use unenforced::{Gap, Unenforced, unenforced};
