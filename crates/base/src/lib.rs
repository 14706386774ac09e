//! What every stage may lean on: the [`Clock`] trait, a bounded [`Queue`] that counts what it
//! drops, [`error_chain`] for logs and messages, and [`harmless`] for names that others chose.

mod clock;
mod error_chain;
mod harmless;
mod queue;

pub use clock::{Clock, ManualClock, UnixNanos};
pub use error_chain::error_chain;
pub use harmless::harmless;
pub use queue::Queue;
