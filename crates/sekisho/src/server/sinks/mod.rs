//! Flows on their way out while they come: to webhooks, syslog collectors and OTLP receivers.
//!
//! Each sink has a queue on disk, so that a collector may be away for hours and the server may be
//! restarted: what was put into the queue is given at least once. Beyond the queue's size the oldest
//! goes, counted. [`tap`] takes flows from memory, sums them for some seconds and encodes them;
//! [`matters`] makes findings of what the server says of its clusters, and knows what was told;
//! [`queue`] keeps them; [`work`] gives them away.

mod encode;
mod matters;
mod queue;
mod settings;
mod state;
mod tap;
mod work;

pub(crate) use settings::{SinkConfig, check_sinks};
pub(crate) use state::{SinkStates, metrics, problems};
pub(crate) use work::{Sink, run};
