//! What the assembler remembers of one connection, and the half it reports.

use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_model::{
    HalfFlow, Outcome, Process, Protocol, SocketEvent, SocketPhase, SocketRole, Timestamp,
};

use crate::address::canonical;
use crate::counts::Counts;

/// Before its first retransmission timer (RFC 6298 §2: 1 s) an attempt can't have timed out: a
/// failure earlier than that was an answer.
const TIMEOUT_MIN_S: u64 = 1;

/// One end of a connection since its first event.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) role: SocketRole,
    role_inferred: bool,
    protocol: Protocol,
    local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) cgroup: String,
    pub(super) pid: u32,
    pub(super) process: Option<Arc<Process>>,
    pub(super) remote_name: Option<String>,
    pub(super) opened: Timestamp,
    pub(super) seen: Timestamp,
    totals: Counts,
    reported: Counts,
    outcome: Outcome,
    reset: bool,
    /// A record of the start (Connecting or Open) came.
    start_seen: bool,
    pub(super) closed: bool,
    /// The first report was made.
    pub(super) announced: bool,
    /// Reports wait until then, so that a short connection is one record.
    pub(super) held_until: Option<Timestamp>,
}

impl Connection {
    pub(super) fn new(event: SocketEvent) -> Self {
        let mut connection = Self {
            role: event.role,
            role_inferred: event.role_inferred,
            protocol: event.protocol,
            local: canonical(event.local),
            remote: canonical(event.remote),
            cgroup: String::new(),
            pid: event.pid,
            process: None,
            remote_name: None,
            opened: event.time,
            seen: event.time,
            totals: Counts::default(),
            reported: Counts::default(),
            outcome: Outcome::Attempted,
            reset: false,
            start_seen: false,
            closed: false,
            announced: false,
            held_until: None,
        };
        connection.absorb(&event);
        connection.cgroup = event.cgroup;
        connection
    }

    /// Takes in what `event` tells; false if it told nothing new.
    pub(super) fn absorb(&mut self, event: &SocketEvent) -> bool {
        let totals = self.totals.max(Counts::of_event(event));
        let starts = matches!(event.phase, SocketPhase::Connecting | SocketPhase::Open);
        let closes = event.phase == SocketPhase::Closed;
        let outcome = self.outcome_after(event);
        let news = totals != self.totals
            || event.time > self.seen
            || (starts && !self.start_seen)
            || closes
            || outcome != self.outcome;
        self.totals = totals;
        self.outcome = outcome;
        self.reset |= event.reset;
        self.start_seen |= starts;
        self.closed |= closes;
        self.opened = self.opened.min(event.time);
        self.seen = self.seen.max(event.time);
        if self.pid == 0 {
            self.pid = event.pid;
        }
        if self.cgroup.is_empty() && !event.cgroup.is_empty() {
            self.cgroup.clone_from(&event.cgroup);
        }
        if self.role_inferred && !event.role_inferred {
            self.role = event.role;
            self.role_inferred = false;
        }
        news
    }

    fn outcome_after(&self, event: &SocketEvent) -> Outcome {
        let answered = event.established
            || event.role == SocketRole::Destination
            || (event.phase == SocketPhase::Open && event.protocol == Protocol::Tcp);
        if answered || self.outcome == Outcome::Established {
            return Outcome::Established;
        }
        // `reset` is also set when a connect timed out, which is no answer.
        let failed_by_answer =
            event.packets_received > 0 || event.time.seconds_since(self.opened) < TIMEOUT_MIN_S;
        if event.phase == SocketPhase::Closed && event.reset && failed_by_answer {
            return Outcome::Refused;
        }
        self.outcome
    }

    /// Whether nothing more can come that would change the one record of a short connection.
    pub(super) fn is_whole(&self) -> bool {
        self.closed && self.start_seen
    }

    /// Makes the next report: what came since the one before.
    pub(super) fn report(&mut self, id: u64) -> HalfFlow {
        let delta = self.totals.minus(self.reported);
        self.reported = self.totals;
        let first = !self.announced;
        self.announced = true;
        self.held_until = None;
        // The last report may take the texts with it; the connection is forgotten.
        let (cgroup, remote_name) = if self.closed {
            (std::mem::take(&mut self.cgroup), self.remote_name.take())
        } else {
            (self.cgroup.clone(), self.remote_name.clone())
        };
        HalfFlow {
            id,
            role: self.role,
            role_inferred: self.role_inferred,
            protocol: self.protocol,
            local: self.local,
            remote: self.remote,
            cgroup,
            process: self.process.as_deref().cloned(),
            remote_name,
            opened: self.opened,
            seen: self.seen,
            first,
            last: self.closed,
            outcome: self.outcome,
            reset: self.reset,
            bytes_sent: delta.bytes_sent,
            bytes_received: delta.bytes_received,
            packets_sent: delta.packets_sent,
            packets_received: delta.packets_received,
        }
    }
}
