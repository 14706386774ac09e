//! `sekisho policy decide`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use sekisho_policy::{Cluster, Dialect, RuleSet};

use super::input::SourceArgs;
use crate::commands::output;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Flow lines; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    flows: PathBuf,
}

/// Decides each flow line.
pub(crate) fn run(args: &DecideArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let source = args.source.load(dialect)?;
    decide(&source.rules, &source.cluster, &args.flows)
}

/// A verdict per line; `Partial` if a line could not be decided.
fn decide(rules: &RuleSet, cluster: &Cluster, flows: &Path) -> anyhow::Result<Exit> {
    let input: Box<dyn Read> = if flows == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = std::fs::File::open(flows);
        Box::new(file.with_context(|| format!("read `{}`", flows.display()))?)
    };
    let mut exit = Exit::Done;
    for line in BufReader::new(input).lines() {
        let line = line.with_context(|| format!("read `{}`", flows.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        let (answer, decided) = sekisho_policy::decide_line(rules, cluster, &line);
        output::print(&(answer + "\n"))?;
        if !decided {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}
