//! `cargo xtask bench peers`: other analysers of network policies beside ours, in time and answers.
//!
//! Only when asked, never in CI: the peers are installed from their registries into `target/peers`.
//! Each reads the same generated inputs from disk and lists every allowed connection; the figure is
//! the CPU time of the whole process, user and system. Answers are compared as sets, there and on
//! many small clusters that a generator draws.

mod clusters;
mod install;
mod lists;
mod timing;
mod verb;

pub(crate) use verb::run;
