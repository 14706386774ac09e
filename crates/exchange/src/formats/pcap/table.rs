//! Segments to connections: who began, what became of it, how much went each way.
//!
//! A connection is told once a minute while it lasts, so that its bytes stand in their minutes, and when
//! it is over: closed, silent for long, or at the end of the capture.

use std::net::IpAddr;

use indexmap::IndexMap;
use indexmap::map::Entry;
use sekisho_model::{Protocol, Timestamp, Verdict};

use super::capture::Seen;
use super::conn::{Conn, HELLOS_MAX};
use super::names::Names;
use super::packet::{Says, Segment};
use crate::reader::Told;
use crate::record::{Count, End, Item, Orientation, Record, Side};
use crate::tuples::EPHEMERAL_MIN;

/// Connections that are followed at a time, about 250 bytes each. Beyond, the older half is told as it
/// is.
const CONNECTIONS_MAX: usize = 1 << 18;
/// Fragmented packets whose ports are remembered.
const FRAGMENTS_MAX: usize = 4_096;
/// How often connections that are over are looked for, seconds of the capture.
const SWEEP_S: u64 = 60;

/// Lower end, higher end, protocol.
type Key = ((IpAddr, u16), (IpAddr, u16), Protocol);
/// Sender, receiver, protocol, number.
type FragmentKey = (IpAddr, IpAddr, Protocol, u32);

/// Connections of a capture.
#[derive(Debug, Default)]
pub(crate) struct Table {
    conns: IndexMap<Key, Conn, foldhash::fast::FixedState>,
    fragments: IndexMap<FragmentKey, (u16, u16), foldhash::fast::FixedState>,
    names: Names,
    /// Latest time of a packet.
    clock: Timestamp,
    swept: Timestamp,
    /// Connections whose first bytes are kept until their server's name is known.
    hellos: usize,
}

/// The key, and the side that sends: 0 for the lower end.
fn key(from: (IpAddr, u16), to: (IpAddr, u16), protocol: Protocol) -> (Key, usize) {
    if from <= to { ((from, to, protocol), 0) } else { ((to, from, protocol), 1) }
}

impl Table {
    /// Takes a segment; tells it, and the connections that it ends.
    pub(crate) fn segment(
        &mut self,
        segment: &Segment<'_>,
        seen: Seen<'_>,
        tell: &mut dyn FnMut(Told<'_>),
    ) {
        self.clock = self.clock.max(seen.at);
        if self.clock.seconds_since(self.swept) >= SWEEP_S {
            self.sweep(tell);
        }
        if let Says::Forbidden { from, to, protocol } = segment.says {
            let told = self.forbid(key(from, to, protocol));
            return tell(if told { Told::Part } else { Told::Unit(b"", Ok(Some(UNASKED))) });
        }
        let Some((from, to)) = self.ends(segment) else {
            return tell(Told::Unit(b"", Ok(Some(HEADLESS))));
        };
        if segment.protocol == Protocol::Udp && from.1 == 53 && segment.fragment.is_none() {
            self.names.answer(to.0, segment.payload);
        }
        tell(Told::Part);
        let (key, side) = key(from, to, segment.protocol);
        let device = seen.interface.rotate_left(16) ^ segment.device;
        let names = &self.names;
        let fresh = || Conn::new(side, seen.at, names.name(from.0, to.0));
        let conn = match self.conns.entry(key) {
            Entry::Vacant(place) => place.insert(fresh()),
            Entry::Occupied(place) => {
                let conn = place.into_mut();
                if conn.is_another(segment, side, seen.at) {
                    report(&key, conn, tell);
                    self.hellos -= usize::from(conn.keeps_hello());
                    *conn = fresh();
                } else if seen.at.minute() > conn.last.minute() && conn.is_settled(key.2, seen.at) {
                    report(&key, conn, tell);
                    conn.begin_report(seen.at);
                }
                conn
            }
        };
        let before = conn.keeps_hello();
        conn.take(segment, side, (seen.at, device), self.hellos < HELLOS_MAX);
        self.hellos = self.hellos + usize::from(conn.keeps_hello()) - usize::from(before);
        if self.conns.len() > CONNECTIONS_MAX {
            self.shed(tell);
        }
    }

    /// Tells everything that is left.
    pub(crate) fn flush(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        for (key, conn) in self.conns.drain(..) {
            report(&key, &conn, tell);
        }
        self.hellos = 0;
    }

    /// Sender and receiver; of a later part of a fragmented packet, as the first one says.
    fn ends(&mut self, segment: &Segment<'_>) -> Option<((IpAddr, u16), (IpAddr, u16))> {
        let (from, to) = (segment.from, segment.to);
        let Some((number, first)) = segment.fragment else { return Some((from, to)) };
        let name = (from.0, to.0, segment.protocol, number);
        if first {
            if self.fragments.len() >= FRAGMENTS_MAX {
                self.fragments.drain(..FRAGMENTS_MAX / 2);
            }
            self.fragments.insert(name, (from.1, to.1));
            return Some((from, to));
        }
        let (sender, receiver) = *self.fragments.get(&name)?;
        Some(((from.0, sender), (to.0, receiver)))
    }

    /// Notes that a gateway forbids what the sender of `side` sent; false if nobody sent it.
    fn forbid(&mut self, (key, side): (Key, usize)) -> bool {
        self.conns.get_mut(&key).is_some_and(|conn| conn.forbid(side))
    }

    fn sweep(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        self.swept = self.clock;
        let clock = self.clock;
        let hellos = &mut self.hellos;
        self.conns.retain(|key, conn| {
            let over = clock.seconds_since(conn.last) >= conn.patience_s(key.2);
            if over {
                report(key, conn, tell);
                *hellos -= usize::from(conn.keeps_hello());
            }
            !over
        });
    }

    fn shed(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        let mut ends: Vec<Timestamp> = self.conns.values().map(|conn| conn.last).collect();
        let middle = ends.len() / 2;
        let horizon = *ends.select_nth_unstable(middle).1;
        let before = self.conns.len();
        let hellos = &mut self.hellos;
        self.conns.retain(|key, conn| {
            let old = conn.last <= horizon;
            if old {
                report(key, conn, tell);
                *hellos -= usize::from(conn.keeps_hello());
            }
            !old
        });
        let gone = before.saturating_sub(self.conns.len());
        tell(Told::Forgotten(u64::try_from(gone).unwrap_or(u64::MAX)));
    }
}

const UNASKED: Item = Item::Skipped("an ICMP error about a packet that was not seen");
const HEADLESS: Item = Item::Skipped("a fragment whose first part was not seen");

/// Tells what a connection did since it was last told.
fn report(key: &Key, conn: &Conn, tell: &mut dyn FnMut(Told<'_>)) {
    if !conn.has_news(key.2) {
        return;
    }
    let (low, high, protocol) = *key;
    let (initiator, certain) = conn.initiator(guess(key, conn.first));
    let (source, destination) = if initiator == 0 { (low, high) } else { (high, low) };
    let end =
        |(address, port): (IpAddr, u16)| End { address: Some(address), port, ..End::default() };
    let verdict = conn.verdict(protocol);
    tell(Told::Gathered(Item::Record(Box::new(Record {
        source: end(source),
        destination: End { dns_name: conn.name.as_deref().map(str::to_owned), ..end(destination) },
        orientation: if certain { Orientation::Initiator } else { Orientation::Packets },
        protocol,
        verdict,
        decided_by: None,
        start: conn.start.min(conn.last),
        end: conn.last,
        connections: Count::Told(u64::from(!conn.told)),
        sums: conn.sums(initiator),
        reset: conn.was_reset() && verdict == Verdict::Allowed,
        service: None,
        asked: None,
        observer: String::new(),
        side: Side::Between,
    }))));
}

/// Who began if no packet says so: the first sender, if the ports say so, too. A connection of TCP was
/// under way before the capture, so its first packet says nothing.
fn guess((low, high, protocol): &Key, first: usize) -> (usize, bool) {
    let (from, to) = if first == 0 { (low.1, high.1) } else { (high.1, low.1) };
    let agree = from >= EPHEMERAL_MIN && to < EPHEMERAL_MIN;
    (first, agree && *protocol != Protocol::Tcp)
}
