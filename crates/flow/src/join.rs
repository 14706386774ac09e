//! Halves of all agents to flows.
//!
//! A half waits up to the window for its other end: the source's half {local S, remote D} and the
//! destination's half {local D', remote S'} are one connection if S = S' (pod to pod traffic keeps
//! its source), D' is D or a backend of the Service at D, and their times overlap. A half that
//! waited long enough, or has nobody to wait for, becomes a flow with one reporter; the connection
//! stays known, so that a late other end adds what it knows without being counted again.
//!
//! Counting: a connection keeps the totals of each end and what it gave out so far. Every flow is
//! the difference, so the sums do not depend on the order of reports, nor on how they were cut.
//!
//! Fails open: beyond its bounds the joiner gives one-sided flows early, or forgets connections,
//! and counts both. It reads no clock: time is the larger of what batches and `advance` tell.

mod clock;
mod connection;
mod find;
mod key_form;
mod nodes;
mod resolve;
mod table;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_model::{
    Batch, ClusterName, DenyRecord, EdgeKey, EdgeStats, Flow, Half, HalfFlow, Outcome, PartyKind,
    Process, SocketRole, Timestamp,
};
use serde::{Deserialize, Serialize};

use self::clock::{Clock, Heard};
use self::connection::{Connection, Denial, End, RETRANSMISSION_S, Shared};
use self::nodes::{Arrival, Nodes};
use self::resolve::{Who, is_answer};
use self::table::{Number, Table};
use crate::address::{canonical, is_loopback};
use crate::{ATTEMPT_HELD_S, Directory, OPEN_HELD_S};

/// A denial waits longer for its source's half than a half waits for the other, because the
/// assembler holds attempts back; seconds.
const DENIAL_EXTRA_S: u64 = ATTEMPT_HELD_S + OPEN_HELD_S + 1;
/// How long a one-sided connection that is over is known, for a late other end; seconds.
const LATE_END_S: u64 = 60;
/// A connection without any report for this long is over, though its close was lost; seconds.
const IDLE_S: u64 = 3_600;
/// An idle connection still gives a flow without counts this often, so that it stays visible in
/// time; nanoseconds.
const HEARTBEAT_NS: u64 = 60_000_000_000;
/// Distinct processes shared between connections; beyond that sharing starts anew.
const PROCESSES_MAX: usize = 65_536;

/// Bounds of a [`Joiner`].
#[derive(Clone, Copy, Debug)]
pub struct JoinLimits {
    /// Halves that wait for their other end.
    pub waiting_max: usize,
    /// How long a half waits, seconds of batch time.
    pub window_s: u64,
    /// Joined connections remembered (for reports that follow).
    pub connections_max: usize,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self { waiting_max: 262_144, window_s: 3, connections_max: 262_144 }
    }
}

/// What a [`Joiner`] holds now and did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinStats {
    /// Connections that wait for their other end now.
    pub waiting: u64,
    /// Connections remembered for reports that follow, now.
    pub connections: u64,
    /// Halves taken, denials included.
    pub halves: u64,
    /// Flows given.
    pub flows: u64,
    /// Connections of which both ends were joined.
    pub joined: u64,
    /// Connections whose first flow had one reporting end.
    pub one_sided: u64,
    /// Connections whose first flow had only a denial.
    pub denied_alone: u64,
    /// Denials of an attempt that was denied before (retransmissions, the other direction).
    pub denials_repeated: u64,
    /// Connections that gave their flow before the window was over, because too many waited.
    pub evicted: u64,
    /// Connections forgotten before their end, because there were too many.
    pub forgotten: u64,
    /// Batches taken before, or of an agent that was replaced since.
    pub duplicates: u64,
    /// Batches that never came.
    pub gaps: u64,
    /// Halves within one loopback, dropped.
    pub loopback: u64,
    /// Halves that were only the answers of a Service, dropped.
    pub answers: u64,
    /// Batches whose time was too far from the server's or from that of most nodes.
    pub skewed: u64,
}

/// Everything a joiner must remember across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCheckpoint {
    clock: Clock,
    nodes: Nodes,
    next: Number,
    connections: Vec<(Number, Connection)>,
    idle: VecDeque<(Timestamp, Number)>,
    stats: JoinStats,
}

/// Joins halves.
#[derive(Debug)]
pub struct Joiner {
    limits: JoinLimits,
    cluster: ClusterName,
    clock: Clock,
    nodes: Nodes,
    table: Table,
    processes: BTreeSet<Arc<Process>>,
    stats: JoinStats,
}

/// Where a batch came from.
#[derive(Clone, Copy)]
struct Origin {
    /// Number of the node.
    node: u32,
    epoch: Timestamp,
    /// The agent lost records since its previous batch.
    loss: bool,
}

impl Joiner {
    /// Makes an empty joiner of what the agents of `cluster` report: addresses of two clusters may be
    /// the same, so each has a joiner of its own.
    #[must_use]
    pub fn new(limits: JoinLimits, cluster: ClusterName) -> Self {
        Self {
            limits,
            cluster,
            clock: Clock::default(),
            nodes: Nodes::default(),
            table: Table::default(),
            processes: BTreeSet::new(),
            stats: JoinStats::default(),
        }
    }

    /// Takes a batch; false if it was taken before (same node, epoch, and not a later sequence) or
    /// comes from an older epoch of its node: then nothing changed.
    pub fn push(&mut self, batch: Batch, directory: &dyn Directory, out: &mut Vec<Flow>) -> bool {
        let origin = match self.nodes.arrive(&batch) {
            Arrival::Duplicate | Arrival::Stale => {
                self.stats.duplicates += 1;
                return false;
            }
            Arrival::New { node, gap, loss } => {
                self.stats.gaps += gap;
                Origin { node, epoch: batch.epoch, loss }
            }
        };
        self.hear(origin.node, batch.time);
        // Denials first: the log is read beside the ring, so a denial may stand after its half.
        let mut halves = Vec::with_capacity(batch.halves.len());
        for half in batch.halves {
            self.stats.halves += 1;
            match half {
                Half::Denied(record) => self.deny(record, directory, out),
                Half::Flow(half) => halves.push(half),
                // No end of a connection: [`crate::identify`] tells whose packets those were.
                Half::Dropped(_) => self.stats.halves -= 1,
            }
        }
        for half in halves {
            self.half(half, origin, directory, out);
        }
        self.run_due(directory, out);
        true
    }

    /// Tells the time: halves that waited long enough become flows with one reporter.
    ///
    /// `now` is the server's clock, best noted beside each batch in the log, so that a replay runs
    /// alike. The time of the latest batch, given again, tells nothing new.
    pub fn advance(&mut self, now: Timestamp, directory: &dyn Directory, out: &mut Vec<Flow>) {
        if self.clock.tell(now) == Heard::SetBack {
            self.shorten_waits();
        }
        self.run_due(directory, out);
        let horizon = self.clock.now.minus_seconds(IDLE_S);
        while self.table.take_idlest(horizon).is_some() {
            self.stats.forgotten += 1;
        }
    }

    /// Gives a flow for everything that waits, e.g. at the end of a replay.
    pub fn flush(&mut self, directory: &dyn Directory, out: &mut Vec<Flow>) {
        while let Some(number) = self.table.first_waiting(Timestamp::MAX) {
            self.release(number, directory, out);
        }
    }

    /// What it holds and did.
    #[must_use]
    pub fn stats(&self) -> JoinStats {
        JoinStats {
            waiting: count(self.table.waiting()),
            connections: count(self.table.remembered()),
            ..self.stats.clone()
        }
    }

    /// What must survive a restart.
    #[must_use]
    pub fn checkpoint(&self) -> JoinCheckpoint {
        let connections = &self.table.by_number;
        JoinCheckpoint {
            clock: self.clock,
            nodes: self.nodes.clone(),
            next: self.table.next,
            connections: connections.iter().map(|(number, it)| (*number, it.clone())).collect(),
            idle: self.table.idle.clone(),
            stats: self.stats.clone(),
        }
    }

    /// Takes the place of what is remembered now.
    pub fn restore(&mut self, checkpoint: JoinCheckpoint) {
        self.clock = checkpoint.clock;
        self.nodes = checkpoint.nodes;
        self.stats = checkpoint.stats;
        // Whose cluster it is a checkpoint does not say: a log belongs to one.
        let own = |(number, mut connection): (Number, Connection)| {
            if let Some(key) = &mut connection.key {
                key.cluster.clone_from(&self.cluster);
            }
            (number, connection)
        };
        let connections = checkpoint.connections.into_iter().map(own).collect();
        self.table = Table::restore(connections, checkpoint.next, checkpoint.idle);
        self.processes = BTreeSet::new();
    }

    fn hear(&mut self, node: u32, time: Timestamp) {
        match self.clock.hear(node, time) {
            Heard::Fine => {}
            Heard::Ignored => self.stats.skewed += 1,
            Heard::SetBack => {
                self.stats.skewed += 1;
                self.shorten_waits();
            }
        }
    }

    /// Brings due times, made before the time was turned back, within reach.
    fn shorten_waits(&mut self) {
        let now = self.clock.now;
        let latest = now.plus_seconds(RETRANSMISSION_S.max(self.limits.window_s));
        for number in self.table.due_after(latest) {
            if let Some(mut connection) = self.table.take(number) {
                connection.due = latest;
                connection.touched = connection.touched.min(now);
                self.table.put(number, connection);
            }
        }
    }

    fn half(
        &mut self,
        mut half: HalfFlow,
        origin: Origin,
        directory: &dyn Directory,
        out: &mut Vec<Flow>,
    ) {
        half.local = canonical(half.local);
        half.remote = canonical(half.remote);
        if is_loopback(half.local, half.remote) {
            self.stats.loopback += 1;
            return;
        }
        if is_answer(&half, directory) {
            self.stats.answers += 1;
            return;
        }
        let process = self.share(half.process.take());
        let known = self.table.of_end(origin.node, half.id);
        let known = known.filter(|number| self.is_same(*number, &half, origin));
        let (number, connection) = match known.and_then(|it| Some((it, self.table.take(it)?))) {
            Some((number, connection)) => {
                (number, self.continued(connection, half, origin, process))
            }
            None => self.joined_or_new(End::new(half, origin, process), origin, directory),
        };
        self.give_or_wait(number, connection, directory, out);
        self.bound(directory, out);
    }

    /// Whether a known end is this one; if not, the id was used again by a new kernel.
    fn is_same(&self, number: Number, half: &HalfFlow, origin: Origin) -> bool {
        let Some(connection) = self.table.by_number.get(&number) else { return false };
        let mut ends = connection.ends();
        let Some(end) = ends.find(|end| end.node == origin.node && end.id == half.id) else {
            return false;
        };
        let same = end.local == half.local && end.remote == half.remote;
        same && connection.protocol == half.protocol && !(end.last && half.first)
    }

    fn continued(
        &self,
        mut connection: Connection,
        half: HalfFlow,
        origin: Origin,
        process: Shared,
    ) -> Connection {
        connection.loss |= origin.loss;
        connection.touched = self.clock.now;
        let verdict = connection.verdict();
        let id = half.id;
        let better = connection
            .end_mut(origin.node, id)
            .is_some_and(|end| end.update(half, origin.epoch, process));
        if better {
            connection.settle_roles();
        }
        connection.dirty |= better || connection.verdict() != verdict;
        connection
    }

    fn joined_or_new(
        &mut self,
        mut end: End,
        origin: Origin,
        directory: &dyn Directory,
    ) -> (Number, Connection) {
        let protocol = end.protocol;
        let who = Who { directory, nodes: self.nodes.names(), cluster: &self.cluster };
        let mut found = self.table.other_end(&end, who);
        let hairpin = if found.is_none() { hairpin_of(&end, who) } else { None };
        if let Some(source) = hairpin {
            found = self.table.hairpin_end(&end, source, who);
        }
        let found = found.and_then(|found| Some((found, self.table.take(found.number)?)));
        let (number, mut connection) = match found {
            Some((found, mut connection)) => {
                if found.flips {
                    connection.flip();
                }
                end.role = found.role.unwrap_or(end.role);
                (found.number, connection)
            }
            None => {
                let due = self.clock.now.plus_seconds(self.limits.window_s);
                let mut connection = Connection::new(protocol, due);
                // A later report of a connection that is not known was counted by its first.
                connection.counted = !end.first;
                (self.table.reserve(), connection)
            }
        };
        connection.attach(end);
        connection.loss |= origin.loss;
        connection.touched = self.clock.now;
        connection.lingers = false;
        self.stats.joined += u64::from(connection.is_joined());
        connection.hairpin = hairpin.filter(|_| !connection.is_joined());
        connection.lonely = who.is_lonely(&connection);
        (number, connection)
    }

    fn deny(&mut self, record: DenyRecord, directory: &dyn Directory, out: &mut Vec<Flow>) {
        let protocol = record.protocol;
        let mut denial = Denial::new(record);
        denial.source = canonical(denial.source);
        denial.destination = canonical(denial.destination);
        let who = Who { directory, nodes: self.nodes.names(), cluster: &self.cluster };
        let found = self.table.denied(protocol, &denial, who);
        let found = found.and_then(|found| Some((found, self.table.take(found.number)?)));
        let (number, mut connection) = match found {
            Some((found, mut connection)) => {
                if found.flips {
                    connection.flip();
                }
                (found.number, connection)
            }
            None => {
                let wait_s = self.limits.window_s.saturating_add(DENIAL_EXTRA_S);
                let due = self.clock.now.plus_seconds(wait_s);
                (self.table.reserve(), Connection::new(protocol, due))
            }
        };
        let verdict = connection.verdict();
        let begun = connection.key.is_some();
        match &mut connection.denial {
            Some(known) => {
                self.stats.denials_repeated += 1;
                known.merge(denial, begun);
            }
            None => connection.denial = Some(denial),
        }
        connection.dirty |= connection.verdict() != verdict;
        connection.touched = self.clock.now;
        connection.lonely = who.is_lonely(&connection);
        self.give_or_wait(number, connection, directory, out);
        self.bound(directory, out);
    }

    fn share(&mut self, process: Option<Process>) -> Shared {
        let process = process?;
        if let Some(known) = self.processes.get(&process) {
            return Some(Arc::clone(known));
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.clear();
        }
        let process = Arc::new(process);
        self.processes.insert(Arc::clone(&process));
        Some(process)
    }

    /// Lets go of the oldest beyond the bounds.
    fn bound(&mut self, directory: &dyn Directory, out: &mut Vec<Flow>) {
        while self.table.waiting() > self.limits.waiting_max {
            let Some(oldest) = self.table.first_waiting(Timestamp::MAX) else { break };
            self.stats.evicted += 1;
            self.release(oldest, directory, out);
        }
        while self.table.remembered() > self.limits.connections_max {
            if self.table.take_idlest(Timestamp::MAX).is_none() {
                break;
            }
            self.stats.forgotten += 1;
        }
        self.table.trim_idle(self.limits.connections_max);
    }

    fn give_or_wait(
        &mut self,
        number: Number,
        connection: Connection,
        directory: &dyn Directory,
        out: &mut Vec<Flow>,
    ) {
        if connection.key.is_none() && !is_ready(&connection) {
            self.table.put(number, connection);
            return;
        }
        if !connection.dirty && !connection.key.as_ref().is_some_and(is_nameless) {
            self.give(number, connection, None, out);
            return;
        }
        let key = Who { directory, nodes: self.nodes.names(), cluster: &self.cluster }
            .edge_of(&connection);
        if connection.key.is_none() && is_nameless(&key) {
            // The inventory may lag behind a new pod: it has until the window ends.
            self.table.put(number, connection);
            return;
        }
        self.give(number, connection, Some(key), out);
    }

    /// Ends the wait of `number`, whatever is known.
    fn release(&mut self, number: Number, directory: &dyn Directory, out: &mut Vec<Flow>) {
        let Some(mut connection) = self.table.take(number) else { return };
        // Only now: until here the other end might still have told of itself.
        if let (Some(source), None, None) =
            (&connection.source, &connection.destination, &connection.key)
            && let Some(theirs) = self.table.inherited(source)
        {
            connection.emitted = theirs.totals.mirrored();
            connection.attach(theirs);
            self.stats.joined += 1;
        }
        let key = Who { directory, nodes: self.nodes.names(), cluster: &self.cluster }
            .edge_of(&connection);
        self.give(number, connection, Some(key), out);
    }

    /// Appends the next flow of `connection`, if there is news, and puts it back or forgets it.
    fn give(
        &mut self,
        number: Number,
        mut connection: Connection,
        key: Option<EdgeKey>,
        out: &mut Vec<Flow>,
    ) {
        let begins = connection.key.is_none();
        let changed = key.is_some() && key != connection.key;
        if let Some(key) = key {
            connection.dirty = false;
            connection.key = Some(key);
        }
        if begins {
            self.stats.one_sided += u64::from(connection.ends().count() == 1);
            self.stats.denied_alone += u64::from(connection.ends().count() == 0);
            self.table.idle.push_back((connection.touched, number));
        }
        if let Some(flow) = next_flow(&mut connection, changed) {
            self.stats.flows += 1;
            out.push(flow);
        }
        let kept_s = match (connection.is_over(), connection.is_joined()) {
            (false, _) => None,
            (true, true) => return,
            (true, false) if connection.ends().count() == 0 => Some(RETRANSMISSION_S),
            (true, false) if connection.lonely => Some(self.limits.window_s),
            (true, false) => Some(LATE_END_S),
        };
        connection.lingers = kept_s.is_some();
        if let Some(kept_s) = kept_s {
            connection.due = self.clock.now.plus_seconds(kept_s);
        }
        self.table.put(number, connection);
    }

    fn run_due(&mut self, directory: &dyn Directory, out: &mut Vec<Flow>) {
        while let Some(number) = self.table.first_waiting(self.clock.now) {
            self.release(number, directory, out);
        }
        while let Some(number) = self.table.first_lingering(self.clock.now) {
            self.table.take(number);
        }
    }
}

/// Whether an end is inside the cluster and nobody could say who it is.
fn is_nameless(key: &EdgeKey) -> bool {
    [&key.source, &key.destination].into_iter().any(|party| party.kind == PartyKind::Unknown)
}

/// Whether a connection without flow need not wait any longer.
fn is_ready(connection: &Connection) -> bool {
    match (&connection.source, &connection.destination) {
        (Some(_), Some(_)) => true,
        (Some(source), None) => {
            connection.is_enforced()
                || source.outcome == Outcome::Refused
                || (connection.lonely && source.outcome == Outcome::Established)
        }
        (None, Some(_) | None) => connection.lonely,
    }
}

/// Where a masqueraded connection of a pod to itself would have come from.
fn hairpin_of(end: &End, who: Who<'_>) -> Option<SocketAddr> {
    let masqueraded = end.role == SocketRole::Destination
        && end.local.ip() != end.remote.ip()
        && who.is_node(end.remote.ip(), end.opened);
    masqueraded.then(|| SocketAddr::new(end.local.ip(), end.remote.port()))
}

/// The difference to the previous flow, as a flow; None if there is no news worth one.
fn next_flow(connection: &mut Connection, key_changed: bool) -> Option<Flow> {
    let key = connection.key.clone()?;
    let totals = connection.totals().max(connection.emitted);
    let news = totals.minus(connection.emitted);
    let begins = !connection.counted;
    let resets = connection.was_reset() && !connection.reset_counted;
    let opened = connection.opened();
    let first_seen = connection.covered.unwrap_or(opened);
    let last_seen = connection.seen().max(first_seen);
    let silent = connection.covered.is_some_and(|covered| {
        !begins && !resets && news.is_zero() && last_seen.nanos_since(covered) < HEARTBEAT_NS
    });
    if silent && !key_changed {
        return None;
    }
    let stats = EdgeStats {
        connections: u64::from(begins),
        bytes_sent: news.bytes_sent,
        bytes_received: news.bytes_received,
        packets_sent: news.packets_sent,
        packets_received: news.packets_received,
        resets: u64::from(resets),
        first_seen,
        last_seen,
        reporters: connection.reporters(),
        loss: connection.loss,
    };
    connection.counted = true;
    connection.reset_counted |= resets;
    connection.emitted = totals;
    connection.covered = Some(last_seen);
    connection.loss = false;
    let destination = connection.reached().or(connection.asked())?;
    let source = connection.source_address()?;
    Some(Flow { key, source, destination, opened, stats })
}

fn count(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
