//! What the joiner remembers of one connection: up to two ends and a denial.

use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_model::{
    DecidedBy, DenyRecord, Direction, EdgeKey, HalfFlow, Outcome, Process, Protocol, Reporters,
    SocketRole, Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use super::Origin;
use crate::counts::Counts;

/// Clocks of two nodes may differ by this much, seconds; spans may miss each other by as much.
const SKEW_S: u64 = 5;
/// How long a denial without halves is known: retransmissions are at most 64 s apart in the first
/// six (RFC 6298 doubling from 1 s); seconds.
pub(super) const RETRANSMISSION_S: u64 = 70;

/// One end, as its agent reported it so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Index of the node in the joiner's table.
    pub(super) node: u32,
    pub(super) id: u64,
    /// Epoch of the agent that reported last.
    pub(super) epoch: Timestamp,
    pub(super) protocol: Protocol,
    pub(super) role: SocketRole,
    pub(super) inferred: bool,
    /// The report it was made from was the first of its id.
    pub(super) first: bool,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) cgroup: String,
    pub(super) process: Option<Arc<Process>>,
    pub(super) remote_name: Option<String>,
    pub(super) opened: Timestamp,
    pub(super) seen: Timestamp,
    pub(super) outcome: Outcome,
    pub(super) reset: bool,
    pub(super) last: bool,
    /// Since the connection began, as this end counts.
    pub(super) totals: Counts,
}

impl End {
    /// Takes a first report. A guessed role becomes: the lower port responds.
    pub(super) fn new(half: HalfFlow, origin: Origin, process: Shared) -> Self {
        let role = if half.role_inferred {
            guess(half.role, half.local.port(), half.remote.port())
        } else {
            half.role
        };
        Self {
            node: origin.node,
            id: half.id,
            epoch: origin.epoch,
            protocol: half.protocol,
            role,
            inferred: half.role_inferred,
            first: half.first,
            local: half.local,
            remote: half.remote,
            totals: Counts::of_half(&half),
            cgroup: half.cgroup,
            process,
            remote_name: half.remote_name,
            opened: half.opened,
            seen: half.seen,
            outcome: half.outcome,
            reset: half.reset,
            last: half.last,
        }
    }

    /// Takes a later report; true if the identity of this end is better known than before.
    pub(super) fn update(&mut self, half: HalfFlow, epoch: Timestamp, process: Shared) -> bool {
        let counts = Counts::of_half(&half);
        // A restarted agent finds the socket again and tells its totals since the beginning.
        let again = half.first && epoch != self.epoch;
        self.totals = if again { self.totals.max(counts) } else { self.totals.plus(counts) };
        self.epoch = epoch;
        self.opened = self.opened.min(half.opened);
        self.seen = self.seen.max(half.seen);
        self.reset |= half.reset;
        self.last |= half.last;
        if self.outcome != Outcome::Established {
            self.outcome = half.outcome;
        }
        let mut better = false;
        if self.process.is_none() && process.is_some() {
            self.process = process;
            better = true;
        }
        if self.remote_name.is_none() && half.remote_name.is_some() {
            self.remote_name = half.remote_name;
            better = true;
        }
        if self.cgroup.is_empty() && !half.cgroup.is_empty() {
            self.cgroup = half.cgroup;
            better = true;
        }
        if self.inferred && !half.role_inferred {
            self.inferred = false;
            self.role = half.role;
            better = true;
        }
        better
    }

    /// This end as that of a new exchange with `other`; the `former` counts belong to the old one.
    pub(super) fn again(self, other: &Self, former: Counts) -> Self {
        let (opened, seen) = (other.opened, other.seen);
        Self { opened, seen, totals: self.totals.minus(former), ..self }
    }

    fn flipped(mut self) -> Self {
        self.role = match self.role {
            SocketRole::Source => SocketRole::Destination,
            SocketRole::Destination => SocketRole::Source,
        };
        self
    }

    /// (source address, destination address) as this end sees them.
    pub(super) fn tuple(&self) -> (SocketAddr, SocketAddr) {
        match self.role {
            SocketRole::Source => (self.local, self.remote),
            SocketRole::Destination => (self.remote, self.local),
        }
    }
}

/// A process shared by all connections that name it.
pub(super) type Shared = Option<Arc<Process>>;

fn guess(role: SocketRole, local: u16, remote: u16) -> SocketRole {
    match local.cmp(&remote) {
        std::cmp::Ordering::Less => SocketRole::Destination,
        std::cmp::Ordering::Greater => SocketRole::Source,
        std::cmp::Ordering::Equal => role,
    }
}

/// What policies said of it: the strongest record, and the span of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Denial {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) decided_by: DecidedBy,
    pub(super) audit: bool,
    pub(super) opened: Timestamp,
    pub(super) seen: Timestamp,
}

impl Denial {
    pub(super) fn new(record: DenyRecord) -> Self {
        Self {
            source: record.source,
            destination: record.destination,
            decided_by: record.decided_by,
            audit: record.audit,
            opened: record.time,
            seen: record.time,
        }
    }

    /// Takes another record of the same attempt. Which one names the policy does not depend on
    /// their order: in force before staged, egress (it is asked first) before ingress.
    /// Once a flow was given (`begun`), another policy of the same effect doesn't make a new edge.
    pub(super) fn merge(&mut self, other: Self, begun: bool) {
        self.opened = self.opened.min(other.opened);
        self.seen = self.seen.max(other.seen);
        if other.rank() < self.rank() && !(begun && other.audit == self.audit) {
            self.audit = other.audit;
            self.decided_by = other.decided_by;
        }
    }

    fn rank(&self) -> (bool, bool, &DecidedBy) {
        (self.audit, self.decided_by.direction == Direction::Ingress, &self.decided_by)
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    pub(super) protocol: Protocol,
    pub(super) source: Option<End>,
    pub(super) destination: Option<End>,
    pub(super) denial: Option<Denial>,
    /// A destination whose remote is a node may be the other end of a pod's connection to itself
    /// through a Service, which is masqueraded: then the source would be this address.
    pub(super) hairpin: Option<SocketAddr>,
    /// Nobody of ours can report the missing end.
    pub(super) lonely: bool,
    /// `connections: 1` was given, or was given before the connection was known here.
    pub(super) counted: bool,
    pub(super) reset_counted: bool,
    /// Totals given so far, from the source's view.
    pub(super) emitted: Counts,
    /// `last_seen` of the latest flow.
    pub(super) covered: Option<Timestamp>,
    pub(super) loss: bool,
    /// The key of the latest flow; None = none yet: the connection waits until `due`.
    #[serde(with = "super::key_form")]
    pub(super) key: Option<EdgeKey>,
    /// The key must be resolved anew.
    pub(super) dirty: bool,
    /// When waiting, or lingering after its end, is over.
    pub(super) due: Timestamp,
    pub(super) lingers: bool,
    /// Joiner's time of the latest report.
    pub(super) touched: Timestamp,
}

impl Connection {
    pub(super) fn new(protocol: Protocol, due: Timestamp) -> Self {
        Self {
            protocol,
            source: None,
            destination: None,
            denial: None,
            hairpin: None,
            lonely: false,
            counted: false,
            reset_counted: false,
            emitted: Counts::default(),
            covered: None,
            loss: false,
            key: None,
            dirty: true,
            due,
            lingers: false,
            touched: Timestamp::EPOCH,
        }
    }

    pub(super) fn attach(&mut self, end: End) {
        self.dirty = true;
        match end.role {
            SocketRole::Source => self.source = Some(end),
            SocketRole::Destination => self.destination = Some(end),
        }
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = &End> {
        self.source.iter().chain(&self.destination)
    }

    pub(super) fn end_mut(&mut self, node: u32, id: u64) -> Option<&mut End> {
        let ends = self.source.iter_mut().chain(&mut self.destination);
        ends.into_iter().find(|end| end.node == node && end.id == id)
    }

    pub(super) fn is_joined(&self) -> bool {
        self.source.is_some() && self.destination.is_some()
    }

    /// Whether the only thing known is one end that guessed its role.
    pub(super) fn is_flippable(&self) -> bool {
        !self.is_joined() && self.denial.is_none() && self.ends().all(|end| end.inferred)
    }

    /// Whether nothing tells for sure which side began.
    pub(super) fn direction_inferred(&self) -> bool {
        self.denial.is_none() && self.ends().all(|end| end.inferred)
    }

    /// Exchanges source and destination, because the guess was wrong.
    pub(super) fn flip(&mut self) {
        let source = self.source.take().map(End::flipped);
        self.source = self.destination.take().map(End::flipped);
        self.destination = source;
        self.emitted = self.emitted.mirrored();
        self.dirty = true;
    }

    /// Puts each end where its role says, after a report made a guessed role certain.
    pub(super) fn settle_roles(&mut self) {
        let agrees = |end: &Option<End>, role, yes| {
            end.as_ref().is_some_and(|end| !end.inferred && (end.role == role) == yes)
        };
        let (source, destination) = (SocketRole::Source, SocketRole::Destination);
        let any =
            |yes| agrees(&self.source, source, yes) || agrees(&self.destination, destination, yes);
        if any(false) && !any(true) {
            self.flip();
        }
        // Where an end stands decides from now on, also if two certain ends contradict each other.
        for (end, role) in [(&mut self.source, source), (&mut self.destination, destination)] {
            if let Some(end) = end {
                end.role = role;
            }
        }
    }

    /// The source's address as the destination (or else the source itself) saw it.
    pub(super) fn source_address(&self) -> Option<SocketAddr> {
        let destination = self.destination.as_ref().map(|end| end.remote);
        let denial = self.denial.as_ref().map(|denial| denial.source);
        destination.or(denial).or(self.source.as_ref().map(|end| end.local))
    }

    /// The address the source asked for, before NAT.
    pub(super) fn asked(&self) -> Option<SocketAddr> {
        self.source.as_ref().map(|end| end.remote)
    }

    /// The address after NAT, if anybody saw it.
    pub(super) fn reached(&self) -> Option<SocketAddr> {
        let destination = self.destination.as_ref().map(|end| end.local);
        destination.or(self.denial.as_ref().map(|denial| denial.destination))
    }

    pub(super) fn opened(&self) -> Timestamp {
        let source = self.source.as_ref().map(|end| end.opened);
        let destination = self.destination.as_ref().map(|end| end.opened);
        let denial = self.denial.as_ref().map(|denial| denial.opened);
        source.or(destination).or(denial).unwrap_or_default()
    }

    pub(super) fn seen(&self) -> Timestamp {
        let ends = self.ends().map(|end| end.seen);
        ends.chain(self.denial.as_ref().map(|denial| denial.seen)).max().unwrap_or_default()
    }

    /// Whether no further report of a known end can come.
    pub(super) fn is_over(&self) -> bool {
        self.ends().all(|end| end.last)
    }

    /// Whether a report of `[opened, seen]` (open-ended unless `over`) may be of the same time.
    pub(super) fn overlaps(&self, opened: Timestamp, seen: Timestamp, over: bool) -> bool {
        let own_end = match (self.is_over(), self.ends().next()) {
            (false, _) => Timestamp::MAX,
            (true, Some(_)) => self.seen(),
            (true, None) => self.seen().plus_seconds(RETRANSMISSION_S),
        };
        let other_end = if over { seen } else { Timestamp::MAX };
        opened <= own_end.plus_seconds(SKEW_S) && self.opened() <= other_end.plus_seconds(SKEW_S)
    }

    /// Distance of the two beginnings, nanoseconds.
    pub(super) fn distance(&self, opened: Timestamp) -> u64 {
        self.opened().nanos_since(opened).max(opened.nanos_since(self.opened()))
    }

    /// Whether a packet is known to have reached the destination's socket, or to have come back.
    pub(super) fn is_established(&self) -> bool {
        self.destination.is_some()
            || self.source.as_ref().is_some_and(|end| end.outcome == Outcome::Established)
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.is_established()
            && self.source.as_ref().is_some_and(|end| end.outcome == Outcome::Refused)
    }

    pub(super) fn is_enforced(&self) -> bool {
        self.denial.as_ref().is_some_and(|denial| !denial.audit)
    }

    /// What the kernel did, and who decided.
    pub(super) fn verdict(&self) -> (Verdict, Option<DecidedBy>) {
        let by = |denial: &Denial| Some(denial.decided_by.clone());
        match &self.denial {
            Some(denial) if denial.audit => (Verdict::WouldDeny, by(denial)),
            // A first packet was dropped and a later one came through, e.g. after a rollback.
            Some(_) if self.is_established() => (Verdict::Allowed, None),
            Some(denial) => (Verdict::Denied, by(denial)),
            None if self.is_established() || self.is_refused() => (Verdict::Allowed, None),
            None => (Verdict::Unknown, None),
        }
    }

    /// Totals from the source's view. Both ends count the same packets, so the larger counter is
    /// the truth (for each direction that is the sender's); they are never added.
    pub(super) fn totals(&self) -> Counts {
        let source = self.source.as_ref().map(|end| end.totals).unwrap_or_default();
        let mirrored = self.destination.as_ref().map(|end| end.totals.mirrored());
        source.max(mirrored.unwrap_or_default())
    }

    /// Whether it ended by reset or was refused. A timed-out attempt is neither.
    pub(super) fn was_reset(&self) -> bool {
        self.is_refused() || (self.is_established() && self.ends().any(|end| end.reset))
    }

    pub(super) fn reporters(&self) -> Reporters {
        Reporters {
            source: self.source.is_some(),
            destination: self.destination.is_some(),
            datapath: self.denial.is_some(),
        }
    }
}
