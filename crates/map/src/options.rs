//! What a map is asked for: grouping, range, filters.

use std::collections::BTreeSet;
use std::sync::Arc;

use sekisho_flow::FlowFilter;
use sekisho_labels::Labelling;
use sekisho_model::{EdgeDay, EdgeKey, Party, PartyKind, TimeRange, Verdict};

use crate::group::Grouping;
use crate::places::Places;
use crate::within::Within;

const DNS_PORT: u16 = 53;
const SECONDS_PER_MINUTE: u64 = 60;
/// Executables that ask others for their metrics, by the end of their path.
const SCRAPERS: [&str; 8] = [
    "prometheus",
    "vmagent",
    "victoria-metrics",
    "grafana-agent",
    "alloy",
    "otelcol",
    "metrics-server",
    "telegraf",
];

/// Kinds of noise that need no rule.
const KINDS: [&str; 3] = ["dns", "probes", "scrapes"];

/// Connections that somebody calls noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseRule {
    /// What it is called.
    pub name: String,
    /// Which it takes.
    pub filter: FlowFilter,
}

/// What to show. The default is everything, by workload.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// What one node stands for.
    pub grouping: Grouping,
    /// What things are called in each dimension, for the groupings by one.
    pub labels: Arc<Labelling>,
    /// Where things are, for the groupings that ask for more than connections tell.
    pub places: Arc<Places>,
    /// Rows that were seen in a minute of this range are shown.
    pub range: TimeRange,
    /// Leaves out DNS (port 53) to anything inside the cluster, also questions whose arrival nobody
    /// saw. DNS to externals and denied DNS stay: they may be a tunnel.
    pub hide_dns: bool,
    /// Leaves out allowed connections that a node itself makes to pods: the kubelet's probes.
    pub hide_probes: bool,
    /// Leaves out allowed connections of programs that collect metrics.
    pub hide_scrapes: bool,
    /// Leaves out what these take, unless it was or would be denied.
    pub rules: Vec<NoiseRule>,
    /// The rows are of several clusters: each node is of one of them and says so. Without it all rows
    /// are taken to be of one cluster.
    pub clusters: bool,
    /// If not empty: only edges with an end in one of these namespaces.
    pub namespaces: BTreeSet<String>,
    /// If not empty: only edges with an end that is within all of these. At groupings finer than a
    /// workload, what is not within them stays a workload: who looks into one thing wants to know
    /// whom it talks to, not each pod of theirs.
    pub within: Vec<Within>,
    /// Only the first edges by some measure; all without.
    pub top: Option<Top>,
}

/// The first edges of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// How many.
    pub count: usize,
    /// By what.
    pub order: Order,
}

/// What edges are measured by, the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Connections that began.
    Connections,
    /// Payload bytes of both directions.
    Bytes,
    /// Connections that were reset or refused.
    Resets,
    /// Those that were first seen last.
    Newest,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            labels: Arc::default(),
            places: Arc::default(),
            range: TimeRange::ALL,
            hide_dns: false,
            hide_probes: false,
            hide_scrapes: false,
            rules: Vec::new(),
            within: Vec::new(),
            clusters: false,
            namespaces: BTreeSet::new(),
            top: None,
        }
    }
}

impl MapOptions {
    pub(crate) fn in_range(&self, row: &EdgeDay) -> bool {
        let end = row.stats.last_seen.minute().plus_seconds(SECONDS_PER_MINUTE);
        row.stats.first_seen < self.range.to && end > self.range.from
    }

    /// Whether the row is asked for: noise may be, too.
    pub(crate) fn asks_for(&self, key: &EdgeKey) -> bool {
        let touches = |party: &Party| self.namespaces.contains(&party.workload.namespace);
        if !self.namespaces.is_empty() && !touches(&key.source) && !touches(&key.destination) {
            return false;
        }
        self.is_within(key, &key.source) || self.is_within(key, &key.destination)
    }

    /// Whether the map shows it.
    #[must_use]
    pub fn shows(&self, key: &EdgeKey) -> bool {
        self.asks_for(key) && self.noise(key).is_none()
    }

    /// The number of what calls the row noise, as [`Self::noise_name`] takes it; None if nothing does.
    pub(crate) fn noise(&self, key: &EdgeKey) -> Option<usize> {
        let kinds = [
            self.hide_dns && is_cluster_dns(key),
            self.hide_probes && is_probe(key),
            self.hide_scrapes && is_scrape(key),
        ];
        let kind = kinds.iter().position(|is_noise| *is_noise);
        let rule = || {
            let rule = self.rules.iter().position(|rule| rule.filter.takes_edge(key))?;
            Some(KINDS.len() + rule)
        };
        kind.or_else(|| rule().filter(|_| has_passed(key.verdict)))
    }

    /// What calls rows noise, and whether it is somebody's rule.
    pub(crate) fn noise_name(&self, number: usize) -> (&str, bool) {
        let rule = number.checked_sub(KINDS.len()).and_then(|rule| self.rules.get(rule));
        match (rule, KINDS.get(number)) {
            (Some(rule), _) => (&rule.name, true),
            (None, kind) => (kind.copied().unwrap_or_default(), false),
        }
    }

    /// Whether an end of `key` is within all that is asked for.
    pub(crate) fn is_within(&self, key: &EdgeKey, party: &Party) -> bool {
        self.within.iter().all(|within| within.holds(self, &key.cluster, party))
    }
}

fn is_cluster_dns(key: &EdgeKey) -> bool {
    let inside = match key.destination.kind {
        PartyKind::Pod | PartyKind::Service | PartyKind::Node => true,
        PartyKind::Host | PartyKind::External | PartyKind::Unknown => false,
    };
    inside && key.port == DNS_PORT && has_passed(key.verdict)
}

fn has_passed(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Allowed | Verdict::Unknown => true,
        Verdict::Denied | Verdict::WouldDeny => false,
    }
}

fn is_probe(key: &EdgeKey) -> bool {
    key.source.kind == PartyKind::Node
        && key.destination.kind == PartyKind::Pod
        && key.verdict == Verdict::Allowed
}

/// Whether a program that collects metrics asked for them: by the name of the executable, or of the
/// workload where nobody saw the executable.
fn is_scrape(key: &EdgeKey) -> bool {
    let process = key.source_process.as_ref().map(ToString::to_string);
    let name = process.as_deref().unwrap_or(&key.source.workload.name);
    let name = name.rsplit('/').next().unwrap_or(name);
    key.verdict == Verdict::Allowed && SCRAPERS.iter().any(|scraper| name.starts_with(scraper))
}
