//! Flags of `sekisho map`.

use clap::{Args, ValueEnum};

use crate::cli::HistoryArgs;

#[derive(Debug, Args)]
pub(crate) struct MapArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// The map as it was at this time: the 15 minutes before it.
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["since", "until"])]
    pub(crate) at: Option<sekisho_model::When>,
    /// What one node of the map is: cluster, namespace, application, environment, node, workload,
    /// pod, process, or `label:KEY` for each value of a label of pods, hosts or their namespaces,
    /// `dimension:NAME` for each value of a dimension of labels (`sekisho labels`).
    #[arg(long, visible_alias = "group", value_name = "GROUPING", default_value = "workload")]
    pub(crate) by: sekisho_map::Grouping,
    /// The label that tells environments, with `--by environment`.
    #[arg(long, value_name = "KEY", default_value = "environment")]
    pub(crate) environment_label: sekisho_map::LabelKey,
    /// Only edges with an end within this node, by its id at any grouping, such as `tier=web[Label]` or
    /// `shop/cart[Deployment]`; given several times: within all of them.
    #[arg(long, value_name = "ID")]
    pub(crate) within: Vec<sekisho_map::Within>,
    /// Only edges that touch this namespace.
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// Leave out DNS.
    #[arg(long)]
    pub(crate) hide_dns: bool,
    /// Leave out traffic of nodes (probes).
    #[arg(long)]
    pub(crate) hide_probes: bool,
    /// Leave out what programs that collect metrics (Prometheus and its like) ask for.
    #[arg(long)]
    pub(crate) hide_scrapes: bool,
    /// Only the N first edges, by --order; the rest is counted as hidden.
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// What --top goes by.
    #[arg(long, value_enum, default_value_t = EdgeOrder::Connections, requires = "top")]
    pub(crate) order: EdgeOrder,
    /// Say what is new, gone or decided otherwise since an earlier window: `FROM..TO`, `FROM` (up to
    /// the start of this window), or `all` history before it. Ends with 1 if anything is.
    #[arg(long, value_name = "WINDOW", value_parser = crate::when::window, conflicts_with = "top")]
    pub(crate) compare: Option<crate::when::Window>,
    /// Form of the answer; with --compare table or json.
    #[arg(short, long, value_enum, default_value_t = MapOutput::Table)]
    pub(crate) output: MapOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EdgeOrder {
    /// Connections that began.
    Connections,
    /// Bytes of both directions.
    Bytes,
    /// Connections that were reset or refused.
    Resets,
    /// First seen last.
    Newest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapOutput {
    Table,
    Json,
    Dot,
    Mermaid,
    Svg,
}
