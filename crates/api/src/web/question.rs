//! What people ask, read and checked.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sekisho_flow::FlowFilter;
use sekisho_map::{Grouping, Order, Within};
use sekisho_model::{ClusterName, EdgeStats, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Access, HandQuestion, ImportQuestion, InventoryQuestion, NewKept, NewRules, Noisy,
    ReportQuestion, RulesQuestion, View,
};
use crate::PolicyFile;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Names of the clusters.
    Clusters,
    /// Health and figures of the server.
    Status,
    /// What matters first.
    Summary(MapQuestion),
    /// The dependency map.
    Map(MapQuestion),
    /// What it has other than at an earlier time.
    MapCompare(MapQuestion, TimeRange),
    /// The map, laid out.
    Scene(MapQuestion),
    /// Connections by time and verdict.
    Timeline(TimelineQuestion),
    /// One edge of the map.
    Edge(EdgeQuestion),
    /// One workload.
    Workload(WorkloadQuestion),
    /// Edges of history.
    History(Box<HistoryQuestion>),
    /// Flows in memory, newest first.
    Flows(Box<FlowsQuestion>),
    /// Least-privilege policies, or those of a template.
    Recommend(RecommendQuestion),
    /// The templates there are, and what can be chosen for them.
    Templates(TemplatesQuestion),
    /// What policies would have done to history.
    WhatIf(WhatIfQuestion),
    /// Verify, and audit.
    Stage(ApplyQuestion),
    /// Verify, and put in force.
    Apply(ApplyQuestion),
    /// Go back.
    Rollback(RollbackQuestion),
    /// What was put in force, when and by whom.
    Revisions(Option<ClusterName>),
    /// Policies in force and staged.
    Policies(Option<ClusterName>),
    /// What their rules let through.
    RuleHits(RuleHitsQuestion),
    /// A report.
    Report(Box<ReportQuestion>),
    /// Tokens.
    Tokens,
    /// Make a token.
    CreateToken(NewToken),
    /// End a token.
    RevokeToken(String),
    /// The audit log, newest first.
    Audit(PageQuestion),
    /// Files of flows that were handed in.
    Imports(Option<ClusterName>),
    /// Views that the asker has.
    Views,
    /// Keep a view.
    KeepView(NewKept<View>),
    /// Drop a view.
    DropView(u64),
    /// Rules of noise that the asker has.
    Noise,
    /// Keep a rule.
    KeepNoise(NewKept<Noisy>),
    /// Drop a rule.
    DropNoise(u64),
    /// Assets, and what they are called.
    Inventory(Box<InventoryQuestion>),
    /// Rules of labels, and the tables that were imported.
    Labels,
    /// All that was told about labels, as it is kept.
    LabelState,
    /// What other rules would change; nothing changes.
    TryRules(RulesQuestion),
    /// Replace the rules.
    SetRules(NewRules),
    /// Import a table.
    ImportLabels(Box<ImportQuestion>),
    /// Drop a table.
    DropImport(String),
    /// Say by hand what an asset is called.
    LabelAsset(HandQuestion),
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapQuestion {
    /// Of which cluster; None = of all.
    pub cluster: Option<ClusterName>,
    /// Window; an open end is now.
    pub range: TimeRange,
    /// What a node stands for.
    pub grouping: Grouping,
    /// Without DNS inside the cluster.
    pub hide_dns: bool,
    /// Without probes of nodes.
    pub hide_probes: bool,
    /// Without what programs that collect metrics ask for.
    pub hide_scrapes: bool,
    /// Without what the rules call noise that the asker has.
    pub hide_noise: bool,
    /// Only edges with an end in these; empty = all.
    pub namespaces: BTreeSet<String>,
    /// Only edges with an end within all of these nodes.
    pub within: Vec<Within>,
    /// Only the first so many edges.
    pub top: Option<usize>,
    /// By what they are the first; by connections if None.
    pub order: Option<Order>,
}

/// Connections by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineQuestion {
    /// Which edges, and when.
    pub map: MapQuestion,
    /// Parts of the window, 1 to 240.
    pub buckets: usize,
    /// Only edges from this node of the map.
    pub source: Option<String>,
    /// Only edges to this node of the map.
    pub destination: Option<String>,
}

/// One edge of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeQuestion {
    /// The map it is an edge of.
    pub map: MapQuestion,
    /// Id of the initiator's node.
    pub source: String,
    /// Id of the responder's node.
    pub destination: String,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadQuestion {
    /// The map it is a node of, by workload.
    pub map: MapQuestion,
    /// Its id, `namespace/name[Kind]`.
    pub id: String,
}

/// Edges of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuestion {
    /// Of which cluster; None = of all.
    pub cluster: Option<ClusterName>,
    /// Window; an open end is now.
    pub range: TimeRange,
    /// Which.
    pub filter: FlowFilter,
    /// Which come first.
    pub order: HistoryOrder,
    /// Where the page before ended; None = from the first.
    pub after: Option<HistoryPlace>,
    /// At most so many.
    pub limit: usize,
}

/// Which edges come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistoryOrder {
    /// Those that were seen last.
    #[default]
    LastSeen,
    /// Those that were seen first of late: what is new.
    FirstSeen,
    /// Those with most connections.
    Connections,
    /// Those with most bytes, in both ways.
    Bytes,
}

impl HistoryOrder {
    /// What edges are ordered by, the greatest first.
    #[must_use]
    pub fn of(self, stats: &EdgeStats) -> u64 {
        match self {
            Self::LastSeen => stats.last_seen.nanos(),
            Self::FirstSeen => stats.first_seen.nanos(),
            Self::Connections => stats.connections,
            Self::Bytes => stats.bytes_sent.saturating_add(stats.bytes_received),
        }
    }
}

impl FromStr for HistoryOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last_seen" => Ok(Self::LastSeen),
            "first_seen" => Ok(Self::FirstSeen),
            "connections" => Ok(Self::Connections),
            "bytes" => Ok(Self::Bytes),
            _ => Err(format!("`{text}` is not one of last_seen, first_seen, connections, bytes")),
        }
    }
}

/// Where a page ended. Its end of the window holds for the pages after it, so that what comes
/// meanwhile moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPlace {
    /// End of the window.
    pub to: Timestamp,
    /// What the last edge is ordered by.
    pub value: u64,
    /// How many edges with this value were given.
    pub given: usize,
}

impl fmt::Display for HistoryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.to.nanos(), self.value, self.given)
    }
}

impl FromStr for HistoryPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not the `next` of a page");
        let mut parts = text.split('.');
        let mut part = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (to, value, given) = (part(), part(), part());
        let given = given.and_then(|given| usize::try_from(given).ok());
        match (to, value, given, parts.next()) {
            (Some(to), Some(value), Some(given), None) => {
                Ok(Self { to: Timestamp::from_nanos(to), value, given })
            }
            _ => Err(wrong()),
        }
    }
}

/// Flows in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowsQuestion {
    /// Of which cluster; None = of the only one.
    pub cluster: Option<ClusterName>,
    /// Which.
    pub filter: FlowFilter,
    /// Only those older than this one; None = from the newest.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A recommendation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecommendQuestion {
    /// Of which cluster; None = of the only one.
    pub cluster: Option<ClusterName>,
    /// History it is made of.
    pub range: TimeRange,
    /// For which namespaces; empty = for all.
    pub namespaces: BTreeSet<String>,
    /// For which workload only, `namespace/name`.
    pub workload: Option<String>,
    /// Name of the template.
    pub template: String,
    /// Its settings, name and value.
    pub settings: Vec<(String, String)>,
    /// As YAML to apply instead of JSON.
    pub yaml: bool,
}

/// The templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatesQuestion {
    /// Of which cluster; None = of the only one.
    pub cluster: Option<ClusterName>,
    /// History to choose from.
    pub range: TimeRange,
    /// The label whose values are offered; None = the one that each template takes by itself.
    pub label: Option<String>,
}

/// What policies would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatIfQuestion {
    /// In which cluster; None = in the only one.
    pub cluster: Option<ClusterName>,
    /// History to replay.
    pub range: TimeRange,
    /// Policies to add or replace.
    pub files: Vec<PolicyFile>,
    /// Policies that are not in `files` end.
    pub prune: bool,
    /// Unchanged edges that the answer lists at most; all are counted.
    pub unchanged_max: u64,
}

/// Policies to put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyQuestion {
    /// What they are, and against which history they are verified.
    pub what_if: WhatIfQuestion,
    /// Edges accepted by name.
    pub accept: Vec<String>,
    /// Edges that may be blocked without being accepted by name.
    pub max_would_block: u64,
    /// The same for edges of which nobody knows.
    pub max_uncertain: u64,
    /// Rules that can't be enforced as written are left out.
    pub allow_partial: bool,
    /// Established connections that are denied end.
    pub cut: bool,
}

/// Which revision to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackQuestion {
    /// In which cluster; None = in the only one.
    pub cluster: Option<ClusterName>,
    /// None = the one before; 0 = no policies.
    pub revision: Option<u64>,
}

/// What of history the rules of policies let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleHitsQuestion {
    /// Of which cluster; None = of the only one.
    pub cluster: Option<ClusterName>,
    /// History to replay.
    pub range: TimeRange,
}

/// A token to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    pub name: String,
    /// What it opens; to look, if nothing is said.
    #[serde(default)]
    pub role: Access,
    /// Of which namespaces; None = of all.
    #[serde(default)]
    pub namespaces: Option<BTreeSet<String>>,
    /// When it ends; None = never.
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A page of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageQuestion {
    /// Only what is older than this number; None = from the newest.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
