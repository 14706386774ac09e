//! `sekisho labels`: what assets are called, by whom, and how to change it.

mod args;
mod change;
mod changed;
mod list;
mod run;

pub(crate) use args::LabelsCommand;
pub(crate) use run::run;
