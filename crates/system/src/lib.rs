//! The machine, impure: real clock, command runner with timeout, waiting for conditions.

mod clock;
pub mod command;
pub mod wait;

pub use clock::SystemClock;
