//! Words: the record types that carry data between the stages. Types only, no behaviour beyond
//! construction, order and display.
//!
//! Flow of data: [`Event`] (kernel) -> [`HalfFlow`] (one end of a connection, from one agent) ->
//! [`Flow`] (both ends, identities known) -> [`EdgeMinute`] (the stored unit) ->
//! [`EdgeDay`] (the unit of answers).
//!
//! All types serialise with serde in two forms: human-readable (JSON; times as RFC 3339) and
//! compact (postcard; times as integers). No type uses serde features that postcard lacks.

mod cluster;
mod dropped;
mod edge;
mod event;
mod half;
mod loss;
mod party;
mod time;
mod when;
mod words;

pub use cluster::{ClusterName, ClusterNameError};
pub use dropped::{Dropped, DroppedKey, DroppedVerdict};
pub use edge::{EdgeDay, EdgeKey, EdgeMinute, EdgeStats, Flow, Reporters};
pub use event::{
    DenyRecord, DnsAnswer, DropRecord, Event, HookCounters, POLICY_DROP_MARK, ProcessExec,
    SocketEvent, SocketPhase, SocketRole,
};
pub use half::{Batch, Half, HalfFlow, Outcome};
pub use loss::{Completeness, LossMinute};
pub use party::{Container, Labels, Party, PartyKind, Process, ServiceRef, WorkloadRef};
pub use time::{TimeRange, Timestamp, TimestampError};
pub use when::{When, WhenError};
pub use words::{DecidedBy, Direction, Protocol, ProtocolError, Verdict};
