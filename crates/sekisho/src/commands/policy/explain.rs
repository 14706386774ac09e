//! `sekisho policy explain`.

use clap::{Args, ValueEnum};
use sekisho_model::Protocol;
use sekisho_policy::Dialect;
use sekisho_policy::explain::{Answers, Explanation, ExplanationJson, Question};
use serde::Serialize;

use super::input::SourceArgs;
use crate::commands::output;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Source: `namespace/name` of a pod or workload, `node/name`, an address, a DNS name, or
    /// `external`.
    #[arg(long, value_name = "A")]
    from: String,
    /// Destination, in the same forms, or a Service: `namespace/name`, `service/namespace/name`,
    /// `name.namespace.svc`, or its address.
    #[arg(long, value_name = "B")]
    to: String,
    /// Destination port, of the Service if there is one; all ports if absent.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Protocol; TCP if only a port is given, else all.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Text)]
    output: ExplainOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExplainOutput {
    Text,
    Json,
}

/// The whole answer as JSON.
#[derive(Serialize)]
struct AnswersJson {
    dialect: Dialect,
    notes: Vec<String>,
    explanations: Vec<ExplanationJson>,
}

/// Explains connections between two ends; [`Exit::Found`] if there are ends between which nothing
/// that was asked is allowed.
pub(crate) fn run(args: &ExplainArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let source = args.source.load(dialect)?;
    let (from, to) = (args.from.as_str(), args.to.as_str());
    let question = Question { from, to, protocol: args.protocol, port: args.port };
    let Answers { notes, explanations } = question.answer(&source.rules, &source.cluster)?;
    match args.output {
        ExplainOutput::Text => {
            let color = output::color();
            let notes = notes.iter().map(|note| format!("{note}\n"));
            let texts = explanations.iter().map(|explanation| explanation.text(color));
            output::print(&notes.chain(texts).collect::<String>())?;
        }
        ExplainOutput::Json => output::print_json(&AnswersJson {
            dialect: source.rules.dialect(),
            notes,
            explanations: explanations.iter().map(Explanation::json).collect(),
        })?,
    }
    let allowed = explanations.iter().all(Explanation::allows_any);
    Ok(if allowed { Exit::Done } else { Exit::Found })
}
