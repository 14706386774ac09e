//! Connections that were seen before: a flow log tells of the same one many times, from both ends and
//! in every interval.

use std::net::IpAddr;

use indexmap::IndexMap;
use sekisho_model::{Protocol, Timestamp};

use crate::record::{Count, End, Orientation, Record};

/// A connection that no record tells of for this long has ended, seconds. Flow logs tell of long ones
/// at least every ten minutes (AWS: maximum aggregation interval 600 s).
const IDLE_S: u64 = 900;
/// Connections that are remembered; about 100 bytes each. Beyond, the oldest half is forgotten.
const CONNECTIONS_MAX: usize = 1 << 20;
/// Ends without addresses that are remembered.
const PAIRS_MAX: usize = 1 << 18;
/// First port that systems give to initiators (linux v6.18 net.ipv4.ip_local_port_range).
pub(crate) const EPHEMERAL_MIN: u16 = 32_768;

/// Addresses, ports and protocol; the initiator first.
type Tuple = (IpAddr, u16, IpAddr, u16, Protocol);

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug)]
struct Known {
    last: Timestamp,
    /// Whose bytes count: the first observer of each direction of packets.
    observers: [Option<u32>; 2],
    /// Whether the initiator was only guessed.
    inferred: bool,
}

/// Connections that were seen before.
#[derive(Debug, Default)]
pub(crate) struct Tuples {
    known: IndexMap<Tuple, Known, foldhash::fast::FixedState>,
    observers: IndexMap<String, u32, foldhash::fast::FixedState>,
    /// Ends without addresses, by name, and whose counts of them count.
    pairs: IndexMap<String, u32, foldhash::fast::FixedState>,
    /// Connections forgotten because there were too many.
    pub(crate) forgotten: u64,
}

/// What the table adds to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Source and destination of the record change places.
    pub(crate) swap: bool,
    /// Connections that began.
    pub(crate) connections: u64,
    /// Whether bytes and packets of the record count.
    pub(crate) counts: bool,
    /// Whether the initiator is only guessed.
    pub(crate) inferred: bool,
}

impl Tuples {
    /// Looks a record up and remembers it.
    pub(crate) fn see(&mut self, record: &Record) -> Seen {
        let (Some(from), Some(to)) = (record.source.address, record.destination.address) else {
            return self.without_addresses(record);
        };
        let forth = (from, record.source.port, to, record.destination.port, record.protocol);
        let back = (forth.2, forth.3, forth.0, forth.1, forth.4);
        let (swap, mut inferred) = self.orient(record, (&forth, &back));
        let tuple = if swap { back } else { forth };
        let observer = self.observer(&record.observer);
        // Each direction of packets has a place of its own where records tell only one.
        let direction = usize::from(record.orientation == Orientation::Packets && swap);
        let fresh = Known { last: record.end, observers: [None; 2], inferred };
        let mut new = false;
        let known = self.known.entry(tuple).or_insert_with(|| {
            new = true;
            fresh
        });
        if !new && record.start.seconds_since(known.last) > IDLE_S {
            new = true;
            *known = fresh;
        }
        known.last = known.last.max(record.end);
        known.inferred &= inferred;
        inferred = known.inferred;
        let mut counts = true;
        if let Some(first) = known.observers.get_mut(direction) {
            counts = *first.get_or_insert(observer) == observer;
        }
        let connections = match record.connections {
            Count::ByTuple => u64::from(new),
            Count::Told(told) => {
                if counts {
                    told
                } else {
                    0
                }
            }
        };
        if new {
            self.shed();
        }
        Seen { swap, connections, counts, inferred }
    }

    /// Connections of ends without addresses can't be told apart; of two observers of the same ends
    /// the first one counts.
    fn without_addresses(&mut self, record: &Record) -> Seen {
        let observer = self.observer(&record.observer);
        let name = |end: &End| match &end.identity {
            Some(identity) => format!("{}/{}", identity.namespace, identity.name),
            None => String::new(),
        };
        let (from, to) = (name(&record.source), name(&record.destination));
        let (port, protocol) = (record.destination.port, record.protocol);
        let pair = format!("{from} {to} {port} {protocol} {}", record.verdict);
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.clear();
        }
        let counts = *self.pairs.entry(pair).or_insert(observer) == observer;
        let connections = match record.connections {
            Count::ByTuple => 1,
            Count::Told(told) => told,
        };
        Seen {
            swap: record.orientation == Orientation::Responder,
            connections: if counts { connections } else { 0 },
            counts,
            inferred: record.orientation == Orientation::Packets,
        }
    }

    /// Whether the record is turned round, and whether that is a guess.
    fn orient(&self, record: &Record, (forth, back): (&Tuple, &Tuple)) -> (bool, bool) {
        match record.orientation {
            Orientation::Initiator => return (false, false),
            Orientation::Responder => return (true, false),
            Orientation::Packets => {}
        }
        let recent = |tuple: &Tuple| {
            let known = self.known.get(tuple)?;
            (record.start.seconds_since(known.last) <= IDLE_S).then_some(known.inferred)
        };
        if let Some(inferred) = recent(forth) {
            return (false, inferred);
        }
        if let Some(inferred) = recent(back) {
            return (true, inferred);
        }
        (is_answer(forth.1, forth.3), true)
    }

    fn observer(&mut self, name: &str) -> u32 {
        if let Some(known) = self.observers.get(name) {
            return *known;
        }
        let number = u32::try_from(self.observers.len()).unwrap_or(u32::MAX);
        self.observers.insert(name.to_owned(), number);
        number
    }

    /// Forgets the older half if there are too many.
    fn shed(&mut self) {
        if self.known.len() <= CONNECTIONS_MAX {
            return;
        }
        let mut ends: Vec<Timestamp> = self.known.values().map(|known| known.last).collect();
        let middle = ends.len() / 2;
        let (_, horizon, _) = ends.select_nth_unstable(middle);
        let horizon = *horizon;
        let before = self.known.len();
        self.known.retain(|_, known| known.last > horizon);
        let gone = before.saturating_sub(self.known.len());
        self.forgotten = self.forgotten.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
    }
}

/// Whether packets from port `from` to port `to` look like answers: a port for initiators is answered,
/// otherwise the lower port is the server's.
fn is_answer(from: u16, to: u16) -> bool {
    match (from >= EPHEMERAL_MIN, to >= EPHEMERAL_MIN) {
        (false, true) => true,
        (true, false) => false,
        (true, true) | (false, false) => from != 0 && from < to,
    }
}
