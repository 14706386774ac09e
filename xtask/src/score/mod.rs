//! `cargo xtask score [PROGRAM]`: answers that others wrote, compared with ours.
//!
//! The corpora lie beside the project (`../shared/corpora`) and are read in place; where they are
//! absent, that is said and nothing is scored. What is scored is the program as a user runs it.
//! `xtask/score.toml` holds the least that each kind of answer must reach, so that it never falls
//! unseen.

mod cyclonus;
mod lists;
mod npguard;
mod sekisho;
mod table;
mod verb;

pub(crate) use lists::difference;
pub(crate) use verb::{run, step};
