//! Which question is asked.

use super::{check, compare, decide, diff, explain, hits, lint, list};
use crate::cli::{PolicyArgs, PolicyCommand};
use crate::exit::Exit;

/// Answers a question.
pub(crate) fn run(args: &PolicyArgs) -> anyhow::Result<Exit> {
    let dialect = args.dialect;
    match &args.command {
        PolicyCommand::List(args) => list::run(args, dialect),
        PolicyCommand::Diff(args) => diff::run(args, dialect),
        PolicyCommand::Decide(args) => decide::run(args, dialect),
        PolicyCommand::Explain(args) => explain::run(args, dialect),
        PolicyCommand::Compare(args) => compare::run(args, dialect),
        PolicyCommand::Lint(args) => lint::run(args, dialect),
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Hits(args) => hits::run(args, dialect),
    }
}
