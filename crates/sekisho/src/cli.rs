//! Commands and flags. Names and exit codes are a contract (docs/cli.md).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sekisho_api::ServerAddress;
use sekisho_model::{ClusterName, Timestamp};
use sekisho_policy::Dialect;

use crate::commands::audit::AuditArgs;
use crate::commands::certificates::CertificatesCommand;
use crate::commands::connect::{ServerArg, TlsArgs};
use crate::commands::export::ExportArgs;
use crate::commands::gitops::GitOpsArgs;
use crate::commands::import::ImportArgs;
use crate::commands::labels::LabelsCommand;
use crate::commands::map::MapArgs;
use crate::commands::observe::ObserveArgs;
use crate::commands::report::ReportArgs;
use crate::commands::token::TokenCommand;
use crate::commands::{cluster, policy};
use crate::config::{DEFAULT_LAB_STATE, DEFAULT_SOCKET};

const ABOUT: &str = "\
See every connection, propose least-privilege policies, prove them against history, enforce them.

Start with `sekisho demo` (as root): a small cluster on this machine, observed live. Then:
  sekisho map                               who talks to whom, and how sure we are
  sekisho recommend --write policies/       least-privilege policies with their evidence
  sekisho verify -f policies/               what they would have broken (exit code 1: something)
  sekisho apply -f policies/                enforce what was verified
  sekisho lab attack port-scan              see it stopped
  sekisho rollback                          go back";

const AFTER: &str = "\
Exit codes: 0 done, nothing found; 1 done, and what was asked about was found (would block, denied);
2 wrong usage or unreadable input, nothing changed; 3 answered only in part.";

#[derive(Debug, Parser)]
#[command(name = "sekisho", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    /// Configuration file (TOML); /etc/sekisho/config.toml if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only results and errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// More logs; twice for all.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lab, agents and server on this machine with the shop scenario; Ctrl-C leaves nothing behind.
    Demo(DemoArgs),
    /// A Kubernetes-shaped cluster made of network namespaces.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Long-running role on a node or host: observe and enforce.
    Agent(AgentArgs),
    /// Long-running role: history, policies, orders.
    Server(ServerArgs),
    /// What this kernel offers, which tier is used for what, and what is missing.
    Doctor {
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
        output: TableOrJson,
    },
    /// Agents, counters, completeness, policy revision.
    Status {
        #[command(flatten)]
        server: ServerArg,
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
        output: TableOrJson,
    },
    /// Live and past flows.
    Observe(Box<ObserveArgs>),
    /// Flows that other tools recorded, into a folder of history (`--store` of other commands).
    Import(ImportArgs),
    /// History in the formats of collectors and data lakes: JSON Lines, CSV, OCSF, CEF, LEEF.
    Export(ExportArgs),
    /// The dependency map.
    Map(MapArgs),
    /// Least-privilege policies with their evidence and confidence.
    Recommend(RecommendArgs),
    /// What policies would have done to recorded history; exit code 1 if they would block.
    Verify(VerifyArgs),
    /// Audit mode: policies mark what they would deny, and stop nothing.
    Stage(ApplyArgs),
    /// Verify, then enforce.
    Apply {
        #[command(flatten)]
        args: ApplyArgs,
        /// End established connections that the policies deny; without it they go on until they end.
        #[arg(long)]
        cut: bool,
        #[command(flatten)]
        gitops: GitOpsArgs,
    },
    /// Go back to an earlier revision.
    Rollback(RollbackArgs),
    /// Certificates for servers and agents on different machines.
    #[command(subcommand)]
    Certificates(CertificatesCommand),
    /// Tokens for the console and the HTTP API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// The audit log: every change, and every call that was not permitted.
    Audit(AuditArgs),
    /// What assets are called (application, environment, role, ...), by whom, and how to change it.
    #[command(subcommand)]
    Labels(LabelsCommand),
    /// For auditors and managers: how far policies cover, who talked to whom, what changed.
    Report(ReportArgs),
    /// Questions about policies, on files alone.
    Policy(PolicyArgs),
    /// A Kubernetes cluster: does its network plugin enforce?
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// A small server and client for scenarios (see `sekisho workload help`).
    #[command(disable_help_flag = true)]
    Workload {
        /// Its own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableOrJson {
    Table,
    Json,
}

/// Where history comes from.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// The cluster. May be left out where the server, or the folder, has one only.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Read this folder of history instead of asking a server; needs no root.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Objects of the cluster (`kubectl get ... -o json`), for --store.
    #[arg(long, value_name = "FILE", requires = "store")]
    pub(crate) inventory: Option<PathBuf>,
    /// Start of the window: a duration back from now (15m, 24h, 14d) or an RFC 3339 time.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<sekisho_model::When>,
    /// End of the window, in the same forms.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<sekisho_model::When>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Show the map once, then end.
    #[arg(long)]
    pub(crate) once: bool,
    /// State folder.
    #[arg(long, default_value = DEFAULT_LAB_STATE, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Socket of the server.
    #[arg(long, default_value = DEFAULT_SOCKET, value_name = "SOCKET")]
    pub(crate) server: PathBuf,
    /// Address of the console; another port is taken if this one is in use.
    #[arg(long, default_value = "127.0.0.1:8484", value_name = "ADDRESS")]
    pub(crate) web_listen: std::net::SocketAddr,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Bring it up and hold it until Ctrl-C.
    Up {
        /// Manifests: files or folders; the shop scenario if absent.
        #[arg(short = 'f', value_name = "DIR|FILE")]
        files: Vec<PathBuf>,
        /// No agents and no server.
        #[arg(long)]
        bare: bool,
        /// Socket of the server.
        #[arg(long, default_value = DEFAULT_SOCKET, value_name = "SOCKET")]
        server: PathBuf,
        #[command(flatten)]
        state: LabState,
    },
    /// Take it down, also what a killed one left.
    Down {
        #[command(flatten)]
        state: LabState,
    },
    /// Pods, nodes and their readiness.
    Status {
        #[command(flatten)]
        state: LabState,
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
        output: TableOrJson,
    },
    /// Run a command in a pod or in a workload's first pod; passes its exit code on.
    Exec {
        /// namespace/name.
        target: String,
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
        #[command(flatten)]
        state: LabState,
    },
    /// Attack from a compromised pod; without a name, lists the attacks. Exit code 1: it succeeded.
    Attack {
        /// Name, or `all`.
        name: Option<String>,
        #[command(flatten)]
        state: LabState,
    },
    /// Change the number of replicas.
    Scale {
        /// namespace/name of the workload.
        target: String,
        /// Replicas.
        replicas: u32,
        #[command(flatten)]
        state: LabState,
    },
    /// Replace a workload's pods.
    Restart {
        /// namespace/name of the workload.
        target: String,
        #[command(flatten)]
        state: LabState,
    },
    /// Set (`key=value`) or remove (`key-`) a label of a pod, workload, host or namespace.
    Label {
        /// namespace/name, or the name of a namespace.
        target: String,
        /// Changes.
        #[arg(required = true)]
        changes: Vec<String>,
        #[command(flatten)]
        state: LabState,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LabState {
    /// State folder.
    #[arg(long, default_value = DEFAULT_LAB_STATE, value_name = "DIR")]
    pub(crate) state: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Name of the node or host.
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// The cluster that it is a node of, else `default`. Over TLS the certificate must say the same.
    #[arg(long, env = "SEKISHO_CLUSTER", value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Folder of the cgroup v2 tree to watch.
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Network namespace to enforce in.
    #[arg(long, value_name = "FILE")]
    pub(crate) netns: Option<PathBuf>,
    /// Socket of the container runtime (CRI); found by itself where it has a usual place.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) cri: Option<PathBuf>,
    /// This machine is itself a subject of policy (a VM or plain host).
    #[arg(long)]
    pub(crate) host: bool,
    /// The server: the path of its socket, or https://HOST[:PORT].
    #[arg(long, env = "SEKISHO_SERVER", value_name = "SOCKET|URL")]
    pub(crate) server: Option<ServerAddress>,
    /// Name in the server's certificate, where it is not the host in --server (a tunnel).
    #[arg(long, env = "SEKISHO_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// The pod's service account token for the audience `sekisho`: it proves the node to the server.
    #[arg(long, value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    /// Address for probes: /healthz and /readyz over HTTP.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_listen: Option<String>,
    /// End when the starting process ends.
    #[arg(long, hide = true)]
    pub(crate) die_with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Unix socket to serve.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// Address to serve on the network, such as 0.0.0.0:7443; needs --tls-ca, --tls-cert, --tls-key.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Address for probes: /healthz and /readyz over HTTP.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_listen: Option<String>,
    /// Address of the console and the HTTP API, such as 127.0.0.1:8484; see `sekisho token`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) web_listen: Option<String>,
    /// Folder of history, revisions and inventory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Take agents of the cluster with this name, also without a source of its objects; may be given
    /// again. Without any cluster that has a name there is one, `default`.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Vec<ClusterName>,
    /// Watch lines of a cluster (the lab's journal.jsonl), else of `default`; may be given again.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(crate) journal: Vec<String>,
    /// Watch the API server of a Kubernetes cluster: as a pod does, else by KUBECONFIG or
    /// ~/.kube/config, or by the kubeconfig file named; of `default` where no cluster is named; may be
    /// given again.
    #[arg(long, value_name = "[NAME=]KUBECONFIG", num_args = 0..=1, require_equals = true,
        default_missing_value = "")]
    pub(crate) kubernetes: Vec<String>,
    /// End when the starting process ends.
    #[arg(long, hide = true)]
    pub(crate) die_with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecommendArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Only these namespaces.
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Vec<String>,
    /// Only this workload, as `namespace/name`.
    #[arg(long, value_name = "W")]
    pub(crate) workload: Option<String>,
    /// What kind of policies: least-privilege if absent; --list-templates tells all (docs/templates.md).
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<String>,
    /// A setting of the template; several values with commas between them.
    #[arg(long, value_name = "KEY=VALUE", requires = "template", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// The templates there are; with --template, what it asks and what of that was seen.
    #[arg(long, conflicts_with_all = ["write", "amend"])]
    pub(crate) list_templates: bool,
    /// Write one file per policy into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
    /// Only what the policies in this folder lack: rules for what worked and they would deny, with the
    /// difference explained for a pull request. Exit code 1: they lack something.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["template", "output"])]
    pub(crate) amend: Option<PathBuf>,
    /// With --amend: rules also for what workloads with a new image asked for since and policies
    /// denied. It may be an attack: read the list first.
    #[arg(long, requires = "amend")]
    pub(crate) include_denied: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = YamlOrJson::Yaml)]
    pub(crate) output: YamlOrJson,
}

/// `key=value`.
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum YamlOrJson {
    Yaml,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Policies: files or folders; `-` is standard input.
    #[arg(short = 'f', required = true, value_name = "DIR|FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Policies that are not in the files end.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Edges that may be blocked.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) max_would_block: u64,
    /// Edges that work and of which what was recorded does not tell whether they would be blocked;
    /// more is exit code 3.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) max_uncertain: u64,
    /// How policies are read where plugins and tools differ: spec, calico, cilium, ovn, antrea,
    /// kube-network-policies, np-guard or cyclonus.
    #[arg(long, default_value = "spec", value_name = "DIALECT")]
    pub(crate) dialect: Dialect,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Policies: files or folders; `-` is standard input.
    #[arg(short = 'f', required = true, value_name = "DIR|FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The history to verify against; --until leaves out what came later, such as an attack.
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Policies that are not in the files end.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Accept that this edge is blocked: `source -> destination:port/PROTOCOL`, as verify names it.
    #[arg(long, value_name = "EDGE")]
    pub(crate) accept: Vec<String>,
    /// Edges that may be blocked without being named.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) max_would_block: u64,
    /// Edges without a name given that work, and of which what was recorded does not tell whether they
    /// would be blocked.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) max_uncertain: u64,
    /// Enforce what can be enforced, although some rules (DNS names, HTTP) can't be as written.
    #[arg(long)]
    pub(crate) allow_partial: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Revision to go back to; the one before the current if absent; 0 = no policies.
    pub(crate) revision: Option<u64>,
    /// Only list the revisions.
    #[arg(long)]
    pub(crate) list: bool,
    /// Native enforcement: put the revision in force back where somebody changed or deleted its
    /// objects in the cluster. Objects that others made stay.
    #[arg(long, conflicts_with_all = ["revision", "list"])]
    pub(crate) repair: bool,
    /// The cluster. May be left out where the server has one only.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    #[command(flatten)]
    pub(crate) server: ServerArg,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// How policies are read where plugins and tools differ: spec, calico, cilium, ovn, antrea,
    /// kube-network-policies, np-guard or cyclonus; spec if absent.
    #[arg(long, global = true, value_name = "DIALECT")]
    pub(crate) dialect: Option<Dialect>,
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// All allowed connections between workloads, and with external ranges.
    List(policy::list::ListArgs),
    /// Connections added, removed, changed; exit code 1 if anything differs.
    Diff(policy::diff::DiffArgs),
    /// A verdict per flow line (JSON Lines in and out).
    Decide(policy::decide::DecideArgs),
    /// Allowed or not, and by which policy, rule and line, per direction; exit code 1: denied.
    Explain(policy::explain::ExplainArgs),
    /// Which of two sets of policies allows more, with connections that show it; exit code 1: not as
    /// expected.
    Compare(policy::compare::CompareArgs),
    /// Mistakes in policies, each with its line and a fix; exit code 1: at or above `--fail-on`.
    Lint(policy::lint::LintArgs),
    /// Checks manifests: every error with file, line and field; exit code 2 if there is one.
    Check(policy::check::CheckArgs),
    /// What of history each rule let through: unused rules, and rules that others make needless; of the
    /// policies in force and staged, or of those in files.
    Hits(Box<policy::hits::HitsArgs>),
}

impl HistoryArgs {
    /// The window asked for, `now` being now.
    pub(crate) fn range(&self, now: Timestamp) -> sekisho_model::TimeRange {
        sekisho_model::TimeRange {
            from: self.since.map_or(Timestamp::EPOCH, |since| since.at(now)),
            to: self.until.map_or(Timestamp::MAX, |until| until.at(now)),
        }
    }
}

impl Command {
    /// The server that it asks, if it asks one.
    pub(crate) fn server_mut(&mut self) -> Option<&mut ServerArg> {
        match self {
            Self::Status { server, .. } => Some(server),
            Self::Observe(args) => Some(&mut args.history.server),
            Self::Export(args) => Some(&mut args.history.server),
            Self::Map(args) => Some(&mut args.history.server),
            Self::Recommend(args) => Some(&mut args.history.server),
            Self::Verify(args) => Some(&mut args.history.server),
            Self::Stage(args) | Self::Apply { args, .. } => Some(&mut args.history.server),
            Self::Rollback(args) => Some(&mut args.server),
            Self::Token(command) => Some(command.server_mut()),
            Self::Audit(args) => Some(&mut args.server),
            Self::Labels(command) => Some(command.server_mut()),
            Self::Report(args) => Some(&mut args.server),
            Self::Policy(PolicyArgs { command: PolicyCommand::Hits(args), .. }) => {
                Some(&mut args.history.server)
            }
            Self::Demo(_)
            | Self::Import(_)
            | Self::Lab(_)
            | Self::Agent(_)
            | Self::Server(_)
            | Self::Doctor { .. }
            | Self::Certificates(_)
            | Self::Policy(_)
            | Self::Cluster(_)
            | Self::Workload { .. } => None,
        }
    }
}
