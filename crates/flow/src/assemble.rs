//! Events of one kernel to halves of flows.
//!
//! A connection's first report is held back a little, so that a short one is a single record: an
//! attempt until it is answered or [`ATTEMPT_HELD_S`] passed, an open connection until it closes or
//! [`OPEN_HELD_S`] passed. Records of two CPUs overtake each other and the start-up iterator sees
//! what a hook also reports, so events may come late, twice or not at all: totals only grow, each
//! report is the difference to the one before, and ids of closed connections are remembered for a
//! while so that a straggler does not begin a new one.
//!
//! Fails open: what doesn't fit in the bounds is dropped and counted.

mod connection;
mod names;
mod processes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sekisho_model::{
    DenyRecord, DropRecord, Event, Half, SocketEvent, SocketPhase, SocketRole, Timestamp,
};

use self::connection::Connection;
use self::names::Names;
use self::processes::Processes;
use crate::address::canonical;

/// How long an attempt without answer is held back, seconds of event time.
pub const ATTEMPT_HELD_S: u64 = 3;
/// How long an open connection is held back, seconds of event time.
pub const OPEN_HELD_S: u64 = 1;
/// How long the id of a closed connection is remembered, seconds.
const CLOSED_KEPT_S: u64 = 10;

/// Bounds of an [`Assembler`].
#[derive(Clone, Copy, Debug)]
pub struct AssemblerLimits {
    /// Processes remembered.
    pub processes_max: usize,
    /// Connections remembered.
    pub connections_max: usize,
    /// DNS names remembered (per cgroup and address).
    pub names_max: usize,
}

impl Default for AssemblerLimits {
    fn default() -> Self {
        Self { processes_max: 65_536, connections_max: 262_144, names_max: 65_536 }
    }
}

/// What an [`Assembler`] holds now and what it had to let go since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblerCounters {
    /// Events taken.
    pub events: u64,
    /// Halves given.
    pub halves: u64,
    /// Socket events that told nothing new.
    pub duplicates: u64,
    /// Socket events of connections that had closed or were evicted: their counts are lost.
    pub late: u64,
    /// Connections forgotten because there were too many.
    pub connections_evicted: u64,
    /// Processes forgotten because there were too many.
    pub processes_evicted: u64,
    /// DNS names forgotten because there were too many.
    pub names_evicted: u64,
    /// DNS answers that were cut, so that some addresses have no name.
    pub answers_truncated: u64,
    /// Connections remembered now.
    pub connections: usize,
    /// Processes remembered now.
    pub processes: usize,
    /// DNS names remembered now.
    pub names: usize,
}

/// Turns events into halves.
#[derive(Debug)]
pub struct Assembler {
    limits: AssemblerLimits,
    processes: Processes,
    names: Names,
    connections: BTreeMap<u64, Connection>,
    /// (due, id) of attempts and of open connections held back. Each queue has one delay, so both
    /// are in order up to the disorder of events. An entry whose connection was reported is stale.
    attempts: VecDeque<(Timestamp, u64)>,
    opens: VecDeque<(Timestamp, u64)>,
    /// (seen, id) in order of last activity as of when queued: who is evicted first.
    idle: VecDeque<(Timestamp, u64)>,
    closed: Gone,
    /// Evicted ones live on in the kernel, so only their number bounds how long they are known.
    evicted: Gone,
    counters: AssemblerCounters,
}

impl Assembler {
    /// Makes an empty assembler.
    #[must_use]
    pub fn new(limits: AssemblerLimits) -> Self {
        Self {
            limits,
            processes: Processes::new(limits.processes_max),
            names: Names::new(limits.names_max),
            connections: BTreeMap::new(),
            attempts: VecDeque::new(),
            opens: VecDeque::new(),
            idle: VecDeque::new(),
            closed: Gone::default(),
            evicted: Gone::default(),
            counters: AssemblerCounters::default(),
        }
    }

    /// Takes one event and appends the halves it completes to `out`.
    pub fn assemble(&mut self, event: Event, out: &mut Vec<Half>) {
        self.counters.events += 1;
        let before = out.len();
        match event {
            Event::Exec(exec) => self.processes.start(exec),
            Event::Exit { time, pid } => self.processes.end(time, pid),
            Event::Socket(event) => self.socket(event, out),
            Event::Dns(answer) => {
                self.counters.answers_truncated += u64::from(answer.truncated);
                self.names.learn(&answer);
            }
            Event::Denied(record) => out.push(Half::Denied(DenyRecord {
                source: canonical(record.source),
                destination: canonical(record.destination),
                ..record
            })),
            Event::Dropped(record) => out.push(Half::Dropped(DropRecord {
                source: canonical(record.source),
                destination: canonical(record.destination),
                ..record
            })),
        }
        self.count_halves(before, out);
    }

    /// Tells the time: appends halves that were held back long enough, forgets ended processes,
    /// expired names and closed connections.
    pub fn advance(&mut self, now: Timestamp, out: &mut Vec<Half>) {
        let before = out.len();
        self.release_due(now, out);
        self.processes.forget_ended(now);
        self.names.forget_expired(now);
        self.closed.forget_before(now.minus_seconds(CLOSED_KEPT_S));
        self.count_halves(before, out);
    }

    /// Appends everything held back, e.g. before the agent stops.
    pub fn flush(&mut self, out: &mut Vec<Half>) {
        let before = out.len();
        self.release_due(Timestamp::MAX, out);
        self.count_halves(before, out);
    }

    /// What it holds and what it let go.
    #[must_use]
    pub fn counters(&self) -> AssemblerCounters {
        AssemblerCounters {
            processes_evicted: self.processes.evicted(),
            names_evicted: self.names.evicted(),
            connections: self.connections.len(),
            processes: self.processes.len(),
            names: self.names.len(),
            ..self.counters
        }
    }

    fn count_halves(&mut self, before: usize, out: &[Half]) {
        let made = u64::try_from(out.len().saturating_sub(before)).unwrap_or(u64::MAX);
        self.counters.halves = self.counters.halves.saturating_add(made);
    }

    fn socket(&mut self, event: SocketEvent, out: &mut Vec<Half>) {
        self.release_due(event.time, out);
        let (id, time, phase) = (event.id, event.time, event.phase);
        if let Some(connection) = self.connections.get_mut(&id) {
            if !connection.absorb(&event) {
                self.counters.duplicates += 1;
                return;
            }
            if phase == SocketPhase::Open && connection.held_until.is_some() {
                let due = time.plus_seconds(OPEN_HELD_S);
                connection.held_until = Some(due);
                self.opens.push_back((due, id));
            }
            if connection.announced || connection.is_whole() {
                self.report(id, out);
            }
            return;
        }
        if self.closed.contains(id) || self.evicted.contains(id) {
            self.counters.late += 1;
            return;
        }
        self.begin(event, out);
    }

    fn begin(&mut self, event: SocketEvent, out: &mut Vec<Half>) {
        let (id, time) = (event.id, event.time);
        let attempt = event.phase == SocketPhase::Connecting;
        let due = time.plus_seconds(if attempt { ATTEMPT_HELD_S } else { OPEN_HELD_S });
        let mut connection = Connection::new(event);
        connection.held_until = Some(due);
        self.connections.insert(id, connection);
        self.idle.push_back((time, id));
        if attempt {
            self.attempts.push_back((due, id));
        } else {
            self.opens.push_back((due, id));
        }
        while self.connections.len() > self.limits.connections_max {
            if !self.evict_idlest(out) {
                break;
            }
        }
        if self.idle.len() > self.limits.connections_max.saturating_mul(2).max(1_024) {
            let connections = &self.connections;
            self.idle.retain(|(_, id)| connections.contains_key(id));
        }
    }

    fn release_due(&mut self, now: Timestamp, out: &mut Vec<Half>) {
        for attempts in [true, false] {
            loop {
                let queue = if attempts { &mut self.attempts } else { &mut self.opens };
                let Some(&(due, id)) = queue.front() else { break };
                if due > now {
                    break;
                }
                queue.pop_front();
                let held = self.connections.get(&id).and_then(|known| known.held_until);
                if held == Some(due) {
                    self.report(id, out);
                }
            }
        }
    }

    /// Reports what is new of `id`, and forgets it if it closed.
    fn report(&mut self, id: u64, out: &mut Vec<Half>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.process.is_none() && connection.pid != 0 {
            connection.process =
                self.processes.at(connection.pid, connection.opened).map(Arc::clone);
        }
        if connection.remote_name.is_none() && connection.role == SocketRole::Source {
            let (cgroup, address) = (&connection.cgroup, connection.remote.ip());
            connection.remote_name =
                self.names.find(cgroup, address, connection.opened).map(str::to_owned);
        }
        out.push(Half::Flow(connection.report(id)));
        if connection.closed {
            let seen = connection.seen;
            self.connections.remove(&id);
            self.closed.insert(seen, id, self.limits.connections_max);
        }
    }

    /// Reports and forgets the connection that was silent for longest; false if there is none.
    fn evict_idlest(&mut self, out: &mut Vec<Half>) -> bool {
        while let Some((queued, id)) = self.idle.pop_front() {
            let Some(connection) = self.connections.get(&id) else { continue };
            if connection.seen > queued {
                // It was active since it was queued: a second chance.
                self.idle.push_back((connection.seen, id));
                continue;
            }
            let seen = connection.seen;
            if connection.held_until.is_some() {
                self.report(id, out);
            }
            // Its id is remembered: a later total of it would count from zero, twice.
            self.connections.remove(&id);
            self.evicted.insert(seen, id, self.limits.connections_max);
            self.counters.connections_evicted += 1;
            return true;
        }
        false
    }
}

/// Ids of connections that closed or were evicted, for as long as stragglers may come.
#[derive(Debug, Default)]
struct Gone {
    ids: BTreeSet<u64>,
    order: VecDeque<(Timestamp, u64)>,
}

impl Gone {
    fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    fn insert(&mut self, time: Timestamp, id: u64, max: usize) {
        if self.ids.insert(id) {
            self.order.push_back((time, id));
        }
        while self.order.len() > max {
            self.pop();
        }
    }

    fn forget_before(&mut self, horizon: Timestamp) {
        while self.order.front().is_some_and(|(time, _)| *time < horizon) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
