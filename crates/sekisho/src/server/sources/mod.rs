//! Live sources: other tools' flows, read as they come, into history like our agents' own.
//!
//! `place -> pieces -> Intake -> log -> history`: each kind of place has a file of its own that only
//! fetches; [`intake`] reads with the importers of `sekisho-exchange`, makes what it read durable, and
//! counts; [`resume`] remembers how far each source came.

mod follow;
mod intake;
mod netflow;
mod place;
mod relay;
mod resume;
mod sockets;
mod syslog;
mod syslog_message;
mod tail;

pub(crate) use follow::{Followed, follow, problems};
pub(crate) use place::{SourceConfig, check};
pub(crate) use resume::{Position, Resume};
