//! All connections of the joiner, and the ways to find them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use sekisho_model::{Protocol, Timestamp};

use super::connection::Connection;

/// Candidates looked at for one half; a socket that talks to more destinations through Services
/// at once joins the newest ones.
const CANDIDATES_MAX: usize = 256;

/// A connection's number; ascending, never reused.
pub(super) type Number = u64;

type IndexKey = (Protocol, SocketAddr, SocketAddr, Number);

/// Connections by number, with their indexes.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) by_number: BTreeMap<Number, Connection>,
    pub(super) next: Number,
    /// (node, id of its agent) -> connection.
    by_end: BTreeMap<(u32, u64), Number>,
    /// (protocol, source, destination as some end saw it, number).
    by_tuple: BTreeSet<IndexKey>,
    /// Those without a flow yet, by due time.
    waiting: BTreeSet<(Timestamp, Number)>,
    /// Those that are over and kept for late reports, by due time.
    lingering: BTreeSet<(Timestamp, Number)>,
    /// (touched as of when queued, number) of those with a flow: who is forgotten first.
    pub(super) idle: VecDeque<(Timestamp, Number)>,
}

impl Table {
    /// Rebuilds the indexes of a checkpoint.
    pub(super) fn restore(
        connections: Vec<(Number, Connection)>,
        next: Number,
        idle: VecDeque<(Timestamp, Number)>,
    ) -> Self {
        let mut table = Self { next, idle, ..Self::default() };
        for (number, connection) in connections {
            table.put(number, connection);
        }
        table
    }

    /// A number for a new connection.
    pub(super) fn reserve(&mut self) -> Number {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Takes a connection out, with all its index entries, to be changed and [`Self::put`] back.
    pub(super) fn take(&mut self, number: Number) -> Option<Connection> {
        let connection = self.by_number.remove(&number)?;
        for end in connection.ends() {
            if self.by_end.get(&(end.node, end.id)) == Some(&number) {
                self.by_end.remove(&(end.node, end.id));
            }
        }
        for (source, destination) in tuples(&connection) {
            self.by_tuple.remove(&(connection.protocol, source, destination, number));
        }
        self.waiting.remove(&(connection.due, number));
        self.lingering.remove(&(connection.due, number));
        Some(connection)
    }

    pub(super) fn put(&mut self, number: Number, connection: Connection) {
        for end in connection.ends() {
            self.by_end.insert((end.node, end.id), number);
        }
        for (source, destination) in tuples(&connection) {
            self.by_tuple.insert((connection.protocol, source, destination, number));
        }
        if connection.key.is_none() {
            self.waiting.insert((connection.due, number));
        } else if connection.lingers {
            self.lingering.insert((connection.due, number));
        }
        self.by_number.insert(number, connection);
    }

    pub(super) fn of_end(&self, node: u32, id: u64) -> Option<Number> {
        self.by_end.get(&(node, id)).copied()
    }

    /// Connections with exactly this source and destination, newest first.
    pub(super) fn exact(
        &self,
        protocol: Protocol,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> impl Iterator<Item = (Number, &Connection)> {
        let from = (protocol, source, destination, Number::MIN);
        let to = (protocol, source, destination, Number::MAX);
        self.found(from, to)
    }

    /// Connections from this source, to wherever.
    pub(super) fn all_from(
        &self,
        protocol: Protocol,
        source: SocketAddr,
    ) -> impl Iterator<Item = (Number, &Connection)> {
        let low = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let high = SocketAddr::from((Ipv6Addr::from(u128::MAX), u16::MAX));
        self.found((protocol, source, low, Number::MIN), (protocol, source, high, Number::MAX))
    }

    fn found(&self, from: IndexKey, to: IndexKey) -> impl Iterator<Item = (Number, &Connection)> {
        let numbers = self.by_tuple.range(from..=to).rev().map(|key| key.3);
        numbers
            .filter_map(|number| Some((number, self.by_number.get(&number)?)))
            .take(CANDIDATES_MAX)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Connections that had a flow and are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.by_number.len().saturating_sub(self.waiting.len())
    }

    /// The connection that waits longest, if it waited until `now`.
    pub(super) fn first_waiting(&self, now: Timestamp) -> Option<Number> {
        self.waiting.first().filter(|(due, _)| *due <= now).map(|(_, number)| *number)
    }

    /// A connection that lingered until `now`.
    pub(super) fn first_lingering(&self, now: Timestamp) -> Option<Number> {
        self.lingering.first().filter(|(due, _)| *due <= now).map(|(_, number)| *number)
    }

    /// Numbers of those whose due time lies after `latest`: made under a clock that was set back.
    pub(super) fn due_after(&self, latest: Timestamp) -> Vec<Number> {
        let from = (latest, Number::MAX);
        let late = |set: &BTreeSet<(Timestamp, Number)>| -> Vec<Number> {
            set.range(from..).map(|(_, number)| *number).collect()
        };
        let mut numbers = late(&self.waiting);
        numbers.append(&mut late(&self.lingering));
        numbers
    }

    /// Takes out the connection that was silent for longest among those with a flow; only ones
    /// silent since before `horizon`, if given.
    pub(super) fn take_idlest(&mut self, horizon: Timestamp) -> Option<Connection> {
        while let Some(&(queued, number)) = self.idle.front() {
            if queued >= horizon {
                return None;
            }
            self.idle.pop_front();
            let Some(connection) = self.by_number.get(&number) else { continue };
            if connection.touched > queued {
                // It was active since it was queued: a second chance.
                self.idle.push_back((connection.touched, number));
                continue;
            }
            return self.take(number);
        }
        None
    }

    /// Sheds entries of connections that are gone.
    pub(super) fn trim_idle(&mut self, max: usize) {
        if self.idle.len() > max.saturating_mul(2).max(1_024) {
            let by_number = &self.by_number;
            self.idle.retain(|(_, number)| by_number.contains_key(number));
        }
    }
}

/// The (source, destination) pairs under which others may look for a connection.
fn tuples(connection: &Connection) -> Vec<(SocketAddr, SocketAddr)> {
    let mut tuples = Vec::with_capacity(3);
    let mut add = |tuple| {
        if !tuples.contains(&tuple) {
            tuples.push(tuple);
        }
    };
    for end in connection.ends() {
        let (source, destination) = end.tuple();
        add((source, destination));
        if connection.is_flippable() {
            add((destination, source));
        }
        if let Some(hairpin) = connection.hairpin {
            add((hairpin, destination));
        }
    }
    if let Some(denial) = &connection.denial {
        add((denial.source, denial.destination));
    }
    tuples
}
