//! Which part of `sekisho labels` does what is asked.

use super::args::LabelsCommand;
use super::{change, list};
use crate::exit::Exit;

/// Does what is asked.
pub(crate) fn run(command: &LabelsCommand) -> anyhow::Result<Exit> {
    match command {
        LabelsCommand::List(args) => list::list(args),
        LabelsCommand::Explain(args) => list::explain(args),
        LabelsCommand::Rules(args) => change::rules(args),
        LabelsCommand::Import(args) => change::import(args),
        LabelsCommand::Drop { name, server } => change::drop_table(name, server),
        LabelsCommand::Set(args) => change::set(args),
    }
}
