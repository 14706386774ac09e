//! What every stage may lean on: the [`Clock`] trait, a bounded [`Queue`] that counts what it
//! drops, and [`error_chain`] for logs and messages.

mod clock;
mod error_chain;
mod queue;

pub use clock::{Clock, ManualClock, UnixNanos};
pub use error_chain::error_chain;
pub use queue::Queue;
