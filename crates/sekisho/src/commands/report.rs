//! `sekisho report`: reports for auditors and managers, as the server makes them.

use clap::{Args, ValueEnum};
use sekisho_api::{ReportFormat, ReportKind};
use sekisho_model::ClusterName;

use super::apply::operator;
use super::connect::ServerArg;
use super::{history, output};
use crate::exit::Exit;
use crate::reports::{self, AnyDocument};

/// Which report, of what.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// What about.
    #[arg(value_enum)]
    kind: KindArg,
    /// The cluster. May be left out where the server has one only.
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// Start of the window: a duration back from now (24h, 30d), an RFC 3339 time, or `all`.
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: String,
    /// End of the window, in the same forms; now if absent.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// For changes: start of the period before, which is as long as the window if absent.
    #[arg(long, value_name = "WHEN")]
    earlier: Option<String>,
    /// Only these namespaces.
    #[arg(short, long, value_name = "NS")]
    namespace: Vec<String>,
    /// Only what has an end within this node of the map, such as `cart[Application]` or
    /// `shop/cart[Deployment]`; not for segmentation.
    #[arg(long, value_name = "ID")]
    within: Vec<String>,
    /// Leave out DNS inside the cluster.
    #[arg(long)]
    hide_dns: bool,
    /// Leave out probes by nodes.
    #[arg(long)]
    hide_probes: bool,
    /// Language of csv and html.
    #[arg(long, value_enum, default_value_t = LangArg::En)]
    lang: LangArg,
    /// Form of the answer. A browser prints html, also into a PDF.
    #[arg(short, long, value_enum, default_value_t = FormArg::Table)]
    output: FormArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    /// Workloads by state, connections covered by policies, what is exposed to outside.
    Segmentation,
    /// Every edge with the policy and rule that decides it, for auditors.
    Connectivity,
    /// New and gone edges, revisions and who made them, images, the audit log.
    Changes,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    Table,
    Json,
    Csv,
    Html,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LangArg {
    En,
    Ja,
}

impl ReportArgs {
    /// The parameters of the HTTP API.
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("since", self.since.clone())];
        let lang = match self.lang {
            LangArg::En => "en",
            LangArg::Ja => "ja",
        };
        query.push(("lang", lang.to_owned()));
        query.extend(self.until.clone().map(|until| ("to", until)));
        query.extend(self.earlier.clone().map(|earlier| ("earlier_from", earlier)));
        query.extend(self.cluster.as_ref().map(|cluster| ("cluster", cluster.to_string())));
        query.extend(self.namespace.iter().map(|one| ("namespace", one.clone())));
        query.extend(self.within.iter().map(|one| ("within", one.clone())));
        let flags = [("hide_dns", self.hide_dns), ("hide_probes", self.hide_probes)];
        query
            .extend(flags.iter().filter(|(_, is)| *is).map(|(name, _)| (*name, "true".to_owned())));
        query
    }
}

/// Prints the report; `Partial` if the history behind it has gaps.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let kind = match args.kind {
        KindArg::Segmentation => ReportKind::Segmentation,
        KindArg::Connectivity => ReportKind::Connectivity,
        KindArg::Changes => ReportKind::Changes,
    };
    let client = args.server.connect()?;
    let query = args.query();
    let ask = |format| history::call(client.report_of(kind, format, &query, &operator()));
    let format = match args.output {
        FormArg::Table | FormArg::Json => ReportFormat::Json,
        FormArg::Csv => ReportFormat::Csv,
        FormArg::Html => ReportFormat::Html,
    };
    let body = ask(format)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    match args.output {
        FormArg::Csv | FormArg::Html => {
            output::print(&text)?;
            // These say by themselves how complete they are.
            return Ok(Exit::Done);
        }
        FormArg::Json | FormArg::Table => {}
    }
    let document = AnyDocument::read(kind, &body)?;
    let (head, sheets) = document.parts();
    match args.output {
        FormArg::Json => output::print(&(text + "\n"))?,
        FormArg::Table | FormArg::Csv | FormArg::Html => {
            output::print(&reports::table(head, &sheets))?;
        }
    }
    Ok(if head.is_whole() { Exit::Done } else { Exit::Partial })
}
