//! `sekisho observe`.

mod args;
mod run;

pub(crate) use args::ObserveArgs;
pub(crate) use run::run;
