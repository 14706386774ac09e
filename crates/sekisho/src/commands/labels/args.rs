//! Flags of `sekisho labels`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sekisho_model::{ClusterName, When};

use crate::cli::TableOrJson;
use crate::commands::connect::ServerArg;

/// What to do with labels.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelsCommand {
    /// Assets with their values; exit code 1 if --unlabelled or --conflicting found any.
    List(ListArgs),
    /// One asset: who says what it is called, the layers in their order.
    Explain(ExplainArgs),
    /// The rules: print them, or replace them by those of a file.
    Rules(RulesArgs),
    /// Import a table (CSV): `asset,dimension,value` a line, or a column for each dimension.
    Import(ImportArgs),
    /// Drop an imported table.
    Drop {
        /// Its name.
        name: String,
        #[command(flatten)]
        server: ServerArg,
    },
    /// Say by hand what an asset is called; that goes over all other layers.
    Set(SetArgs),
}

/// Which assets.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// Only of this cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Only of this namespace; may be given again.
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Vec<String>,
    /// Only of this kind, such as Deployment, Host or External; may be given again.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,
    /// Only what has this in its name, a label, an address or a value.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Only what has no value in this dimension; `any`: in one at least, `all`: in none at all.
    #[arg(long, value_name = "DIMENSION", num_args = 0..=1, default_missing_value = "all")]
    pub(crate) unlabelled: Option<String>,
    /// Only what layers say different values of, and nobody decided it.
    #[arg(long)]
    pub(crate) conflicting: bool,
    /// Start of the history whose externals are told too: 15m, 24h, 14d, or an RFC 3339 time; a day ago
    /// if absent.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<When>,
    /// Form of the answer; JSON is one object a line.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

/// Which asset.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// `namespace/name[Kind]`, `namespace/name`, or a name that no other asset has.
    pub(crate) asset: String,
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// Only of this cluster.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

/// Which rules.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// File of rules, YAML or JSON; without it the rules in force are printed.
    pub(crate) file: Option<PathBuf>,
    /// Only tell what they would change; exit code 1 if anything.
    #[arg(long, requires = "file")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

/// Which table.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The table, CSV; its first line names the columns.
    pub(crate) file: PathBuf,
    /// What it is called, the file's name if absent; the table of that name before is replaced.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// It speaks of this cluster only.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Column that names the asset: namespace/name, a name, an address or a network.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) key: Option<String>,
    /// Column of a dimension that is not called as it is; may be given again.
    #[arg(long, value_name = "DIMENSION=COLUMN", value_parser = pair)]
    pub(crate) column: Vec<(String, String)>,
    /// Keep the lines that can be read where others can't; exit code 3 then.
    #[arg(long)]
    pub(crate) partial: bool,
    /// Only tell what it would change; exit code 1 if anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

/// What to say of which asset.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Its id: `namespace/name[Kind]`.
    pub(crate) asset: String,
    /// The value; without one (`DIMENSION=`) nobody says one by hand any more.
    #[arg(value_name = "DIMENSION=VALUE", value_parser = pair)]
    pub(crate) value: (String, String),
    /// The cluster; may be left out where the server has one only.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    #[command(flatten)]
    pub(crate) server: ServerArg,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl LabelsCommand {
    /// The server that it asks.
    pub(crate) fn server_mut(&mut self) -> &mut ServerArg {
        match self {
            Self::List(args) => &mut args.server,
            Self::Explain(args) => &mut args.server,
            Self::Rules(args) => &mut args.server,
            Self::Import(args) => &mut args.server,
            Self::Set(args) => &mut args.server,
            Self::Drop { server, .. } => server,
        }
    }
}
