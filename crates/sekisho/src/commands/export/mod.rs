//! `sekisho export`: history to files, pipes and syslog, in the formats that other tools read.

mod args;
mod run;
mod sink;

pub(crate) use args::ExportArgs;
pub(crate) use run::run;
