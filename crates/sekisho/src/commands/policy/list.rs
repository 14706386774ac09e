//! `sekisho policy list`.

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use sekisho_manifest::Object;
use sekisho_model::{Direction, Protocol};
use sekisho_policy::Dialect;
use sekisho_policy::explain::npguard as words;
use sekisho_policy::exposure::Exposure;
use sekisho_policy::list::{Focus, FocusDirection, ListForm, Listing, Scope, npguard};

use super::input::{Source, SourceArgs};
use crate::commands::{input, output};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    focus: FocusArgs,
    /// One row per pair of pods instead of workloads.
    #[arg(long)]
    pods: bool,
    /// List also what pods of a workload may do with others of the same workload.
    #[arg(long)]
    with_itself: bool,
    /// Why connections are allowed and denied, of all pairs; a form of `-o npguard-txt`. For a few
    /// pairs see `policy explain`.
    #[arg(long)]
    explain: bool,
    /// Explain only pairs that may connect, or only pairs that may not.
    #[arg(long, value_enum, value_name = "WHICH", requires = "explain")]
    explain_only: Option<OnlyArg>,
    /// Add what pods that do not exist yet could reach or be reached by.
    #[arg(long)]
    exposure: bool,
    /// Form of the answer; those of npguard are, word for word, what np-guard/netpol-analyzer prints.
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,
}

/// Which part of the list is wanted.
#[derive(Debug, Args)]
pub(crate) struct FocusArgs {
    /// Only connections of these workloads: `name` or `namespace/name`, or `ingress-controller`.
    #[arg(long, visible_alias = "focusworkload", value_name = "W", value_delimiter = ',')]
    focus_workload: Vec<String>,
    /// Of these only connections with these workloads.
    #[arg(
        long,
        visible_alias = "focusworkload-peer",
        value_name = "W",
        value_delimiter = ',',
        requires = "focus_workload"
    )]
    focus_workload_peer: Vec<String>,
    /// Only connections into the workloads in focus, or only those out of them.
    #[arg(long, value_enum, value_name = "DIRECTION", requires = "focus_workload")]
    focus_direction: Option<DirectionArg>,
    /// Only pairs that may use this protocol and port, as `tcp-8080`.
    #[arg(long, visible_alias = "focus-conn", value_name = "PROTOCOL-PORT", value_parser = connection)]
    focus_connection: Option<(Protocol, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DirectionArg {
    Ingress,
    Egress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnlyArg {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListOutput {
    Table,
    Json,
    Csv,
    Md,
    Dot,
    NpguardTxt,
    NpguardJson,
    NpguardCsv,
    NpguardMd,
    NpguardDot,
}

/// Whose form an answer has.
enum Style {
    Own(ListForm),
    NpGuard(npguard::Form),
}

impl ListOutput {
    fn style(self) -> Style {
        match self {
            Self::Table => Style::Own(ListForm::Table),
            Self::Json => Style::Own(ListForm::Json),
            Self::Csv => Style::Own(ListForm::Csv),
            Self::Md => Style::Own(ListForm::Markdown),
            Self::Dot => Style::Own(ListForm::Dot),
            Self::NpguardTxt => Style::NpGuard(npguard::Form::Text),
            Self::NpguardJson => Style::NpGuard(npguard::Form::Json),
            Self::NpguardCsv => Style::NpGuard(npguard::Form::Csv),
            Self::NpguardMd => Style::NpGuard(npguard::Form::Markdown),
            Self::NpguardDot => Style::NpGuard(npguard::Form::Dot),
        }
    }
}

impl FocusArgs {
    /// What the flags say.
    pub(crate) fn focus(&self) -> Focus {
        Focus {
            workloads: self.focus_workload.clone(),
            peers: self.focus_workload_peer.clone(),
            direction: match self.focus_direction {
                None => FocusDirection::Both,
                Some(DirectionArg::Ingress) => FocusDirection::Only(Direction::Ingress),
                Some(DirectionArg::Egress) => FocusDirection::Only(Direction::Egress),
            },
            connection: self.focus_connection,
        }
    }
}

/// Lists all allowed connections.
pub(crate) fn run(args: &ListArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let objects = input::lenient(&args.source.files)?;
    let scope =
        Scope { by_pod: args.pods, with_itself: args.with_itself, focus: args.focus.focus() };
    let style = args.output.style();
    if args.explain || (args.exposure && matches!(style, Style::NpGuard(_))) {
        return told(args, &objects, dialect, &style);
    }
    let as_npguard = matches!(style, Style::NpGuard(_)) || dialect == Some(Dialect::NpGuard);
    let listing = if as_npguard {
        npguard::list(&objects, dialect.unwrap_or(Dialect::NpGuard), &scope)?
    } else {
        Listing::of_objects(&objects, dialect.unwrap_or_default(), &scope)?
    };
    for name in listing.unknown_names() {
        output::note(&format!("warning: no workload `{name}` in the files"));
    }
    let text = match style {
        Style::Own(form) if args.exposure => {
            let dialect = dialect.unwrap_or_default();
            let Source { rules, cluster } = Source::of(objects, Some(dialect));
            let exposure = Exposure::new(&rules, &cluster, &args.focus.focus());
            let text = exposure.print_after(&listing.print(form), form);
            text.context("`--exposure` has no form as csv or dot")?
        }
        Style::Own(form) => listing.print(form),
        Style::NpGuard(form) => npguard::print(&listing, form),
    };
    output::print(&text)?;
    Ok(Exit::Done)
}

/// Explanations and exposure.
fn told(
    args: &ListArgs,
    objects: &[Object],
    dialect: Option<Dialect>,
    style: &Style,
) -> anyhow::Result<Exit> {
    let options = words::Options {
        focus: args.focus.focus(),
        explain: args.explain,
        only: args.explain_only.map(|only| only == OnlyArg::Allow),
        exposure: args.exposure,
    };
    let as_npguard = dialect.unwrap_or(Dialect::NpGuard);
    let text = match style {
        Style::NpGuard(npguard::Form::Text) => words::text(objects, as_npguard, &options)?,
        // As that tool does, which explains in text only.
        Style::NpGuard(npguard::Form::Json) => words::json(objects, as_npguard, &options)?,
        Style::Own(_) | Style::NpGuard(_) => {
            bail!("`--explain` needs `-o npguard-txt`; for a few pairs there is `policy explain`")
        }
    };
    output::print(&text)?;
    Ok(Exit::Done)
}

/// `tcp-8080`.
fn connection(text: &str) -> Result<(Protocol, u16), String> {
    let parts = text.split_once(['-', '/', ' ']);
    let (protocol, port) =
        parts.ok_or_else(|| "expected protocol and port, as in `tcp-8080`".to_owned())?;
    let protocol: Protocol = protocol.parse().map_err(|error| format!("{error}"))?;
    match port.parse() {
        Ok(port) if port != 0 => Ok((protocol, port)),
        Ok(_) | Err(_) => Err(format!("`{port}` is no port from 1 to 65535")),
    }
}
