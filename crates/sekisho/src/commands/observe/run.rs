//! Prints flows, past and live.

use std::sync::Arc;
use std::time::Duration;

use sekisho_api::{Client, SnapshotQuery, Step};
use sekisho_base::harmless;
use sekisho_flow::{FlowFilter, VerdictFilter};
use sekisho_model::{
    ClusterName, Dropped, EdgeDay, EdgeKey, EdgeMinute, EdgeStats, Flow, Party, PartyKind, Process,
    TimeRange, Timestamp, Verdict,
};
use sekisho_system::wait;

use super::args::{FlowOutput, ObserveArgs};
use crate::commands::{history, output};
use crate::exit::Exit;

const FLOWS_PER_CALL: usize = 5_000;
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Span of `--at`, seconds: as of a map.
const AT_WINDOW_S: u64 = 900;

/// A line of live output. Untagged: both have `key`, `source`, `destination` and `stats`.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum Line {
    Flow(Flow),
    Dropped(Dropped),
}

impl Line {
    fn time(&self) -> Timestamp {
        match self {
            Self::Flow(flow) => flow.stats.last_seen,
            Self::Dropped(dropped) => dropped.stats.last_seen,
        }
    }
}

/// Prints flows: history where a window is asked for, else the flows that the server has in memory.
pub(crate) fn run(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let is_past = args.history.since.is_some()
        || args.history.until.is_some()
        || args.history.store.is_some()
        || args.at.is_some()
        || args.edges;
    if is_past && !args.follow {
        return stored(args);
    }
    live(args)
}

fn stored(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let filter = args.filter();
    if filter.verdict == Some(VerdictFilter::Dropped) {
        output::note(
            "history holds what policies denied; for what kernels drop, ask without --since",
        );
    }
    let now = history::now();
    let range = match args.at {
        Some(at) => TimeRange { from: at.at(now).minus_seconds(AT_WINDOW_S), to: at.at(now) },
        None => args.history.range(now),
    };
    let step = if args.edges { Step::Day } else { Step::Minute };
    let newest = args.last.filter(|_| !args.edges);
    let of = SnapshotQuery::of(range);
    let query = SnapshotQuery { step, filter, newest, objects: false, ..of };
    let history = history::load_all(&args.history, &query)?;
    let form = Form { output: args.output, clusters: history.mixed, edges: args.edges };
    let mut rows: Vec<(Arc<EdgeKey>, EdgeStats)> = match args.edges {
        true => edges(&history.rows),
        false => history.rows.iter().map(|row| (Arc::clone(&row.key), row.stats.clone())).collect(),
    };
    rows.sort_by(|a, b| (a.1.last_seen, &a.0).cmp(&(b.1.last_seen, &b.0)));
    let skip = args.last.map_or(0, |last| rows.len().saturating_sub(last));
    for (key, stats) in rows.into_iter().skip(skip) {
        if args.edges {
            print(form, &key, &stats, &Seen { key: &key, stats: &stats })?;
            continue;
        }
        // A row sums the connections whose last moment is in its minute.
        let minute = EdgeMinute {
            minute: stats.last_seen.minute(),
            key: EdgeKey::clone(&key),
            stats: stats.clone(),
        };
        print(form, &key, &stats, &minute)?;
    }
    Ok(history::whole_or_partial(&history))
}

/// An edge of a window.
#[derive(Debug, serde::Serialize)]
struct Seen<'a> {
    key: &'a EdgeKey,
    stats: &'a EdgeStats,
}

/// The edges of `days` with their sums: days of one edge are neighbours.
fn edges(days: &[EdgeDay]) -> Vec<(Arc<EdgeKey>, EdgeStats)> {
    let edges = days.chunk_by(|one, next| one.key == next.key);
    let sum = |days: &[EdgeDay]| {
        let (first, rest) = days.split_first()?;
        let mut sum = first.stats.clone();
        rest.iter().for_each(|day| sum.add(&day.stats));
        Some((Arc::clone(&first.key), sum))
    };
    edges.filter_map(sum).collect()
}

fn live(args: &ObserveArgs) -> anyhow::Result<Exit> {
    let client = args.history.server.connect()?;
    let filter = args.filter();
    let names = match &args.history.cluster {
        Some(name) => vec![name.clone()],
        None => history::call(client.clusters())?,
    };
    let form = Form { output: args.output, clusters: names.len() > 1, edges: false };
    let mut places: Vec<Place> = names.into_iter().map(Place::new).collect();
    let mut first = true;
    loop {
        let mut lines = Vec::new();
        let (mut missed, mut merged) = (0, 0);
        for place in &mut places {
            let before = lines.len();
            missed += read_flows(&filter, &client, place, &mut lines)?;
            merged += usize::from(lines.len() > before);
            if filter.wants_dropped() {
                let before = lines.len();
                missed += read_drops(&filter, &client, place, &mut lines)?;
                merged += usize::from(lines.len() > before);
            }
        }
        // What comes from one place only is in order already.
        if merged > 1 {
            lines.sort_by_key(Line::time);
        }
        let skip =
            args.last.filter(|_last| first).map_or(0, |last| lines.len().saturating_sub(last));
        for line in lines.iter().skip(skip) {
            match line {
                Line::Flow(flow) => print(form, &flow.key, &flow.stats, line)?,
                Line::Dropped(dropped) => print_dropped(form, dropped, line)?,
            }
        }
        // What fell out of memory before we came was not for us.
        if missed > 0 && !first {
            output::note(&format!("{missed} lines came faster than they could be shown"));
        }
        if !args.follow {
            return Ok(Exit::Done);
        }
        first = false;
        wait::pause_for(FOLLOW_PAUSE);
    }
}

/// Where the lines of a cluster go on.
#[derive(Debug)]
struct Place {
    cluster: ClusterName,
    flows: u64,
    drops: u64,
}

impl Place {
    fn new(cluster: ClusterName) -> Self {
        Self { cluster, flows: 0, drops: 0 }
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
struct Form {
    output: FlowOutput,
    /// Each line begins with its cluster: there are several.
    clusters: bool,
    /// Each line is an edge, and says when it was seen first.
    edges: bool,
}

/// Appends the flows of `place` since, as far as they are asked for; gives how many were missed.
fn read_flows(
    filter: &FlowFilter,
    client: &Client,
    place: &mut Place,
    lines: &mut Vec<Line>,
) -> anyhow::Result<u64> {
    let mut missed = 0;
    loop {
        let page = history::call(client.flows(Some(&place.cluster), place.flows, FLOWS_PER_CALL))?;
        missed += page.missed;
        place.flows = page.cursor;
        if page.flows.is_empty() {
            return Ok(missed);
        }
        lines.extend(page.flows.into_iter().filter(|flow| filter.takes(flow)).map(Line::Flow));
    }
}

/// As [`read_flows`], for packets that kernels dropped.
fn read_drops(
    filter: &FlowFilter,
    client: &Client,
    place: &mut Place,
    lines: &mut Vec<Line>,
) -> anyhow::Result<u64> {
    let mut missed = 0;
    loop {
        let page = history::call(client.drops(Some(&place.cluster), place.drops, FLOWS_PER_CALL))?;
        missed += page.missed;
        place.drops = page.cursor;
        if page.drops.is_empty() {
            return Ok(missed);
        }
        let taken = page.drops.into_iter().filter(|dropped| filter.takes_dropped(dropped));
        lines.extend(taken.map(Line::Dropped));
    }
}

fn print(
    form: Form,
    key: &EdgeKey,
    stats: &EdgeStats,
    whole: &impl serde::Serialize,
) -> anyhow::Result<()> {
    match form.output {
        FlowOutput::Json => output::print(&(serde_json::to_string(whole)? + "\n")),
        // A retransmission of a denied attempt is news to programs only.
        FlowOutput::Compact if stats.connections == 0 && stats.packets_sent == 0 => Ok(()),
        FlowOutput::Compact => {
            let line = harmless(&(form.prefix(&key.cluster) + &compact(key, stats)));
            let first = match form.edges {
                true => format!(" first seen {}", stats.first_seen),
                false => String::new(),
            };
            output::print(&format!("{line}{first}\n"))
        }
    }
}

impl Form {
    fn prefix(self, cluster: &ClusterName) -> String {
        if self.clusters { format!("{cluster}: ") } else { String::new() }
    }
}

fn print_dropped(
    form: Form,
    dropped: &Dropped,
    whole: &impl serde::Serialize,
) -> anyhow::Result<()> {
    let line = match form.output {
        FlowOutput::Json => serde_json::to_string(whole)?,
        FlowOutput::Compact => {
            harmless(&(form.prefix(&dropped.cluster) + &compact_dropped(dropped)))
        }
    };
    output::print(&format!("{line}\n"))
}

/// As [`compact`], for packets that a kernel dropped.
fn compact_dropped(dropped: &Dropped) -> String {
    let key = &dropped.key;
    let service = key.service.as_ref().map(|service| format!(" via {service}")).unwrap_or_default();
    let protocol = key.protocol.map_or_else(|| "?".to_owned(), |protocol| protocol.to_string());
    let way = dropped.direction.map(|way| format!(" {way}")).unwrap_or_default();
    format!(
        "{} {} -x {}:{}/{protocol}{service} dropped {} by the kernel of {}{way} {} packets from {}",
        dropped.stats.last_seen,
        name_of(&key.source),
        name_of(&key.destination),
        key.port,
        dropped.drop_reason,
        dropped.node,
        dropped.stats.packets_sent,
        dropped.source,
    )
}

fn name_of(party: &Party) -> String {
    if party.kind == PartyKind::Pod {
        return format!("{}/{}", party.workload.namespace, party.pod);
    }
    party.to_string()
}

/// One line for people: when, who, whom, what became of it, why.
fn compact(key: &EdgeKey, stats: &EdgeStats) -> String {
    let end = |party: &Party, process: Option<&Process>| {
        let comm = process.map(|process| format!(" ({})", process.comm)).unwrap_or_default();
        name_of(party) + &comm
    };
    let why = key.decided_by.as_ref().map(|decided| format!(" by {decided}")).unwrap_or_default();
    let service = key.service.as_ref().map(|service| format!(" via {service}")).unwrap_or_default();
    let guess = if key.direction_inferred { " direction inferred" } else { "" };
    let sign = match key.verdict {
        Verdict::Allowed => "->",
        Verdict::Denied => "-x",
        Verdict::WouldDeny => "~>",
        Verdict::Unknown => "-?",
    };
    format!(
        "{} {} {sign} {}:{}/{}{service} {}{why} {} conn {} B out {} B in{guess}",
        stats.last_seen,
        end(&key.source, key.source_process.as_deref()),
        end(&key.destination, key.destination_process.as_deref()),
        key.port,
        key.protocol,
        key.verdict,
        stats.connections,
        stats.bytes_sent,
        stats.bytes_received,
    )
}
