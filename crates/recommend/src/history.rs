//! History to traffic that rules may be made of; what is left out is noted, with its cause.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{
    EdgeDay, EdgeKey, EdgeStats, Party, PartyKind, Process, Protocol, Timestamp, Verdict,
};

use crate::proposal::{Note, NoteKind};

const NANOS_PER_HOUR: u64 = 3_600_000_000_000;
const HOURS_PER_DAY: u64 = 24;
/// Edges named in a note; the rest is counted.
const EXAMPLES_MAX: usize = 3;
/// Edges held by pointer before they are joined by value: bounds memory when nothing is shared.
const HANDLES_MAX: usize = 1 << 16;

/// One edge of history, summed over the window.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) key: &'a EdgeKey,
    pub(crate) stats: EdgeStats,
    /// Distinct hours since the epoch.
    pub(crate) hours: BTreeSet<u64>,
}

/// Why traffic gets no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Denied,
    Unanswered,
    Refused,
    Guess,
    Icmp,
    NoPort,
    NoAddress,
    UnknownParty,
    NoBackend,
    NoLabels,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Self::Denied => "a policy in force denied it",
            Self::Unanswered => "nobody saw an answer",
            Self::Refused => "every connection was refused or reset, as in a port scan",
            Self::Guess => "records were lost and the direction is only a guess",
            Self::Icmp => "NetworkPolicy has no word for ICMP",
            Self::NoPort => "the port was not recorded",
            Self::NoAddress => "the outside address was not recorded",
            Self::UnknownParty => "nobody knows who had the address",
            Self::NoBackend => "the backend behind the Service is not known",
            Self::NoLabels => "the other end has no stable label to select it by",
        }
    }
}

/// Counts what is left out, by source and cause: a scan must not become a thousand notes.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    by_source: BTreeMap<(String, Cause), (u64, BTreeSet<String>)>,
}

impl LeftOut {
    pub(crate) fn add(&mut self, key: &EdgeKey, connections: u64, cause: Cause) {
        let source = match key.source.kind {
            PartyKind::External => "addresses outside".to_owned(),
            PartyKind::Pod
            | PartyKind::Service
            | PartyKind::Host
            | PartyKind::Node
            | PartyKind::Unknown => key.source.id(),
        };
        let (sum, edges) = self.by_source.entry((source, cause)).or_default();
        *sum = sum.saturating_add(connections);
        edges.insert(edge_name(key));
    }

    /// One note per source and cause.
    pub(crate) fn into_notes(self, notes: &mut BTreeSet<Note>) {
        for ((source, cause), (connections, edges)) in self.by_source {
            let examples: Vec<&str> = edges.iter().take(EXAMPLES_MAX).map(String::as_str).collect();
            let more = edges.len().saturating_sub(examples.len());
            let more = match more {
                0 => String::new(),
                1 => " and 1 more edge".to_owned(),
                _ => format!(" and {more} more edges"),
            };
            let plural = if connections == 1 { "" } else { "s" };
            notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: source,
                text: format!(
                    "{}: {}{more} ({connections} connection{plural})",
                    cause.text(),
                    examples.join(", ")
                ),
            });
        }
    }
}

/// The name of an edge: `source -> destination:port/proto`.
pub(crate) fn edge_name(key: &EdgeKey) -> String {
    format!("{} -> {}:{}/{}", key.source, key.destination, key.port, key.protocol)
}

/// The rows summed by edge, sorted by key, so that the order of rows does not matter.
pub(crate) fn sum(history: &[EdgeDay]) -> Vec<Seen<'_>> {
    /// Rows whose parties are the same objects are the same edge: no need to compare labels.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Handle<'a>(
        [*const Party; 2],
        [Option<*const Process>; 2],
        Protocol,
        u16,
        Verdict,
        bool,
        Option<&'a sekisho_model::ServiceRef>,
    );
    let mut quick: BTreeMap<Handle<'_>, Seen<'_>> = BTreeMap::new();
    let mut by_key = ByKey::new();
    for row in history {
        let key = &row.key;
        let handle = Handle(
            [Arc::as_ptr(&key.source), Arc::as_ptr(&key.destination)],
            [&key.source_process, &key.destination_process]
                .map(|process| process.as_ref().map(Arc::as_ptr)),
            key.protocol,
            key.port,
            key.verdict,
            key.direction_inferred,
            key.service.as_ref(),
        );
        let seen = quick
            .entry(handle)
            .and_modify(|seen| seen.stats.add(&row.stats))
            .or_insert_with(|| Seen { key, stats: row.stats.clone(), hours: BTreeSet::new() });
        let day = row.day.nanos() / NANOS_PER_HOUR;
        seen.hours.extend(
            (0..HOURS_PER_DAY).filter(|hour| row.hours & 1 << hour != 0).map(|hour| day + hour),
        );
        if quick.len() >= HANDLES_MAX {
            join(std::mem::take(&mut quick).into_values(), &mut by_key);
        }
    }
    join(quick.into_values(), &mut by_key);
    by_key.into_values().collect()
}

/// Sums by the value of the edge.
type ByKey<'a> = BTreeMap<&'a EdgeKey, Seen<'a>>;

fn join<'a>(sums: impl Iterator<Item = Seen<'a>>, by_key: &mut ByKey<'a>) {
    for seen in sums {
        if let Some(sum) = by_key.get_mut(seen.key) {
            sum.stats.add(&seen.stats);
            sum.hours.extend(seen.hours);
        } else {
            by_key.insert(seen.key, seen);
        }
    }
}

/// Keeps what worked; notes the rest.
pub(crate) fn working<'a>(seen: Vec<Seen<'a>>, left_out: &mut LeftOut) -> Vec<Seen<'a>> {
    let refused = refused_edges(&seen);
    let mut kept = Vec::new();
    for seen in seen {
        let cause = match seen.key.verdict {
            Verdict::Denied => Some(Cause::Denied),
            Verdict::Unknown => Some(Cause::Unanswered),
            Verdict::Allowed | Verdict::WouldDeny if refused.contains(&name(seen.key)) => {
                Some(Cause::Refused)
            }
            Verdict::Allowed | Verdict::WouldDeny => cause(&seen),
        };
        match cause {
            Some(cause) => left_out.add(seen.key, seen.stats.connections, cause),
            None => kept.push(seen),
        }
    }
    kept
}

/// What makes an edge that worked unfit for a rule.
fn cause(seen: &Seen<'_>) -> Option<Cause> {
    let key = seen.key;
    if key.protocol == Protocol::Icmp {
        return Some(Cause::Icmp);
    }
    if key.port == 0 {
        return Some(Cause::NoPort);
    }
    if key.direction_inferred && seen.stats.loss {
        return Some(Cause::Guess);
    }
    let ends = [&key.source, &key.destination];
    if ends.iter().any(|party| party.kind == PartyKind::Unknown) {
        return Some(Cause::UnknownParty);
    }
    let nowhere =
        |party: &&Arc<Party>| party.kind == PartyKind::External && party.address.is_none();
    if ends.iter().any(nowhere) {
        return Some(Cause::NoAddress);
    }
    None
}

/// An edge between workloads, whatever the pods, processes and labels.
type Name<'a> = (&'a sekisho_model::WorkloadRef, &'a sekisho_model::WorkloadRef, Protocol, u16);

fn name<'a>(key: &'a EdgeKey) -> Name<'a> {
    (&key.source.workload, &key.destination.workload, key.protocol, key.port)
}

/// Edges of which no connection carried an answer and all were refused or reset.
fn refused_edges<'a>(seen: &[Seen<'a>]) -> BTreeSet<Name<'a>> {
    let mut sums: BTreeMap<Name<'a>, EdgeStats> = BTreeMap::new();
    for seen in seen {
        match seen.key.verdict {
            Verdict::Allowed | Verdict::WouldDeny => {}
            Verdict::Denied | Verdict::Unknown => continue,
        }
        sums.entry(name(seen.key)).or_default().add(&seen.stats);
    }
    let refused = |sum: &EdgeStats| {
        sum.connections > 0 && sum.resets >= sum.connections && sum.bytes_received == 0
    };
    sums.into_iter().filter(|(_, sum)| refused(sum)).map(|(name, _)| name).collect()
}

/// An end of traffic, as rules speak of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// A group of workloads, by its index.
    Group(usize),
    /// A node or a pod in its network.
    Node {
        /// Name of the node; empty if unknown.
        name: String,
        /// Address used.
        address: IpAddr,
    },
    /// Outside.
    Outside {
        /// The DNS name it was found by.
        name: Option<String>,
        /// Address used.
        address: IpAddr,
    },
}

/// Proof that traffic was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) connections: u64,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) processes: BTreeSet<String>,
    pub(crate) edges: BTreeSet<String>,
    /// True if the direction of all of it is only inferred.
    pub(crate) inferred: bool,
}

impl Evidence {
    pub(crate) fn of(seen: &Seen<'_>) -> Self {
        let process = |process: &Option<Arc<Process>>| {
            process
                .as_ref()
                .map_or_else(|| "?".to_owned(), |process| one_line(&process.to_string()))
        };
        let (source, destination) =
            (process(&seen.key.source_process), process(&seen.key.destination_process));
        let known = source != "?" || destination != "?";
        Self {
            connections: seen.stats.connections,
            first_seen: Some(seen.stats.first_seen),
            last_seen: Some(seen.stats.last_seen),
            processes: known.then(|| format!("{source} -> {destination}")).into_iter().collect(),
            edges: BTreeSet::from([edge_name(seen.key)]),
            inferred: seen.key.direction_inferred,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.first_seen.is_none() {
            *self = other.clone();
            return;
        }
        self.connections = self.connections.saturating_add(other.connections);
        self.first_seen = self.first_seen.min(other.first_seen.or(self.first_seen));
        self.last_seen = self.last_seen.max(other.last_seen);
        self.processes.extend(other.processes.iter().cloned());
        self.edges.extend(other.edges.iter().cloned());
        self.inferred &= other.inferred;
    }
}

/// Makes text from outside fit for a comment: no line break may end the comment early.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Traffic that a rule may be made of.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) source: End,
    pub(crate) destination: End,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// True if it is name resolution.
    pub(crate) dns: bool,
    pub(crate) evidence: Evidence,
}
