//! `sekisho map`.

mod args;
mod run;

pub(crate) use args::MapArgs;
pub(crate) use run::run;
