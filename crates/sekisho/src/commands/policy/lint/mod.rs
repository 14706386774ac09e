//! `sekisho policy lint`.

mod forms;
mod junit;
mod run;
mod sarif;

pub(crate) use run::{LintArgs, run};
