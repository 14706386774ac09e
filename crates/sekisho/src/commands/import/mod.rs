//! `sekisho import`: flow records of other tools into a folder of history.

mod args;
mod progress;
mod report;
mod run;
mod source;

pub(crate) use args::ImportArgs;
pub(crate) use run::run;
