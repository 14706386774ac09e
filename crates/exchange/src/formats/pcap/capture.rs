//! The files: pcap (draft-ietf-opsawg-pcap, both byte orders, micro- and nanoseconds) and pcapng
//! (draft-ietf-opsawg-pcapng: sections of both byte orders, interfaces, drops).
//!
//! Why no crate: those that are kept well read from `Read` and hand out one packet at a time; here
//! pieces are pushed in, memory is bounded, and what cannot be read is told and passed over.

use sekisho_model::Timestamp;

use super::packet::{Decoded, decode};
use super::table::Table;
use crate::frames::{FRAME_BYTES_MAX, FrameFormat, Order, Step, from, hex, u8_at, u32_at};
use crate::import::{FUTURE_S_MAX, OUT_OF_TIME};
use crate::reader::Told;
use crate::record::{Item, Reject};

/// Magic numbers of pcap: microseconds, nanoseconds.
const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
/// Block types of pcapng.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// Its byte-order magic.
const ORDER: u32 = 0x1a2b_3c4d;
/// Interfaces of a section at most.
const INTERFACES_MAX: usize = 4_096;
const NANOS_PER_S: u64 = 1_000_000_000;

/// What is done with the packets of a capture.
pub(crate) trait Packets: Send {
    /// Reads one packet of an interface; tells it as one unit at least.
    fn packet(&mut self, packet: Seen<'_>, tell: &mut dyn FnMut(Told<'_>));
    /// The capture is over.
    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>));
}

/// A packet as the file has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// When.
    pub(crate) at: Timestamp,
    /// Link type of the interface.
    pub(crate) link: u32,
    /// Number of the interface in the file.
    pub(crate) interface: u32,
    /// What was kept of it.
    pub(crate) bytes: &'a [u8],
}

/// Connections out of packets.
pub(crate) struct Connections {
    table: Table,
    /// Later than this is no time of a packet.
    latest: Timestamp,
}

impl Packets for Connections {
    fn packet(&mut self, seen: Seen<'_>, tell: &mut dyn FnMut(Told<'_>)) {
        let mut reject =
            |why: &str| tell(Told::Unit(hex(seen.bytes).as_bytes(), Err(Reject::new(why))));
        if seen.at > self.latest {
            return reject(OUT_OF_TIME);
        }
        match decode(seen.link, seen.bytes) {
            Decoded::Segment(segment) => self.table.segment(&segment, seen, tell),
            Decoded::Skip(why) => tell(Told::Unit(b"", Ok(Some(Item::Skipped(why))))),
            Decoded::Broken(why) => reject(why),
        }
    }

    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        self.table.flush(tell);
    }
}

/// Reads captures.
pub(crate) struct Capture<P> {
    kind: Kind,
    interfaces: Vec<Interface>,
    packets: P,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// At the start.
    Unknown,
    /// Nanoseconds of one unit of the fraction, and the link type.
    Pcap {
        order: Order,
        unit: u64,
        link: u32,
    },
    Pcapng {
        order: Order,
    },
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Units of time in a second.
    per_second: u64,
    /// Seconds to add to each time.
    offset_s: i64,
    /// Drops that were told already.
    dropped: u64,
}

/// Whether it begins as captures do.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    let magic = u32_at(head, 0);
    magic == Some(SECTION) && head.len() >= 12 || pcap_magic(head).is_some()
}

fn pcap_magic(bytes: &[u8]) -> Option<(Order, u64)> {
    [Order::Big, Order::Little].into_iter().find_map(|order| match order.u32(bytes, 0)? {
        MICROS => Some((order, 1_000)),
        NANOS => Some((order, 1)),
        _ => None,
    })
}

impl Capture<Connections> {
    /// Reads connections; `now` is when the import happens.
    pub(crate) fn connections(now: Timestamp) -> Self {
        let latest = now.plus_seconds(FUTURE_S_MAX);
        Self::new(Connections { table: Table::default(), latest })
    }
}

impl<P> Capture<P> {
    /// Reads packets.
    pub(crate) fn new(packets: P) -> Self {
        Self { kind: Kind::Unknown, interfaces: Vec::new(), packets }
    }
}

/// Tells that the rest can't be read.
fn broken(bytes: &[u8], why: &str, tell: &mut dyn FnMut(Told<'_>)) -> Step {
    let reason = format!("{why}; nothing after it can be read");
    let first = bytes.get(..4).unwrap_or(bytes);
    tell(Told::Unit(hex(first).as_bytes(), Err(Reject::new(reason))));
    Step::Stop
}

fn silent(tell: &mut dyn FnMut(Told<'_>)) {
    tell(Told::Unit(b"", Ok(None)));
}

impl<P: Packets> FrameFormat for Capture<P> {
    fn frame(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        if bytes.len() < 4 {
            return Step::Need(4);
        }
        // Captures are put together by `cat`, too: a file may begin where a packet would.
        if pcap_magic(bytes).is_some() && !matches!(self.kind, Kind::Pcapng { .. }) {
            return self.pcap_head(bytes, tell);
        }
        match self.kind {
            Kind::Pcap { order, unit, link } => self.pcap_packet(bytes, (order, unit, link), tell),
            Kind::Unknown if u32_at(bytes, 0) == Some(SECTION) => self.section(bytes, tell),
            Kind::Pcapng { order } => match order.u32(bytes, 0) {
                Some(SECTION) => self.section(bytes, tell),
                Some(_) | None => self.block(bytes, order, tell),
            },
            Kind::Unknown => broken(bytes, "neither pcap nor pcapng", tell),
        }
    }

    fn end(&mut self, rest: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        if !rest.is_empty() {
            let reject = Reject::new("the capture ends within a packet");
            tell(Told::Unit(hex(rest).as_bytes(), Err(reject)));
        }
        self.packets.end(tell);
    }
}

impl<P: Packets> Capture<P> {
    fn pcap_head(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        let Some((order, unit)) = pcap_magic(bytes) else { return Step::Need(24) };
        let (Some(major), Some(link)) = (order.u16(bytes, 4), order.u32(bytes, 20)) else {
            return Step::Need(24);
        };
        if major != 2 {
            return broken(bytes, "pcap: a version other than 2", tell);
        }
        // Above the link type stand flags about checksums of frames.
        self.kind = Kind::Pcap { order, unit, link: link & 0xffff };
        silent(tell);
        Step::Took(24)
    }

    fn pcap_packet(
        &mut self,
        bytes: &[u8],
        (order, unit, link): (Order, u64, u32),
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Step {
        let head = bytes.get(..16).unwrap_or_default();
        let (Some(seconds), Some(part), Some(kept)) =
            (order.u32(head, 0), order.u32(head, 4), order.length(head, 8))
        else {
            return Step::Need(16);
        };
        if kept > FRAME_BYTES_MAX {
            return broken(bytes, "pcap: a packet of more than 16 MiB", tell);
        }
        let Some(packet) = bytes.get(16..16 + kept) else { return Step::Need(16 + kept) };
        let nanos = u64::from(seconds) * NANOS_PER_S + u64::from(part) * unit;
        let at = Timestamp::from_nanos(nanos);
        self.packets.packet(Seen { at, link, interface: 0, bytes: packet }, tell);
        Step::Took(16 + kept)
    }

    fn section(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        if bytes.len() < 16 {
            return Step::Need(16);
        }
        let orders = [Order::Big, Order::Little];
        let Some(order) = orders.into_iter().find(|order| order.u32(bytes, 8) == Some(ORDER))
        else {
            return broken(bytes, "pcapng: a section without byte order", tell);
        };
        if order.u16(bytes, 12) != Some(1) {
            return broken(bytes, "pcapng: a version other than 1", tell);
        }
        let Some(length) = block_length(bytes, order) else {
            return broken(bytes, BAD_LENGTH, tell);
        };
        if bytes.len() < length {
            return Step::Need(length);
        }
        self.kind = Kind::Pcapng { order };
        self.interfaces.clear();
        silent(tell);
        Step::Took(length)
    }

    fn block(&mut self, bytes: &[u8], order: Order, tell: &mut dyn FnMut(Told<'_>)) -> Step {
        if bytes.len() < 8 {
            return Step::Need(8);
        }
        let Some(length) = block_length(bytes, order) else {
            return broken(bytes, BAD_LENGTH, tell);
        };
        let Some(body) = bytes.get(8..length.saturating_sub(4)) else { return Step::Need(length) };
        if bytes.len() < length {
            return Step::Need(length);
        }
        let read = match order.u32(bytes, 0) {
            Some(INTERFACE) => self.interface(body, order, tell),
            Some(PACKET) => self.enhanced(body, order, tell),
            Some(OLD_PACKET) => self.old(body, order, tell),
            Some(STATISTICS) => self.statistics(body, order, tell),
            Some(SIMPLE_PACKET) => {
                let why = "a packet without a time (simple packet block)";
                tell(Told::Unit(b"", Ok(Some(Item::Skipped(why)))));
                Some(())
            }
            Some(_) | None => {
                silent(tell);
                Some(())
            }
        };
        if read.is_none() {
            let reason = "pcapng: a block that does not hold what its type says";
            tell(Told::Unit(hex(bytes).as_bytes(), Err(Reject::new(reason))));
        }
        Step::Took(length)
    }

    fn interface(
        &mut self,
        body: &[u8],
        order: Order,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Option<()> {
        let link = order.u16(body, 0)?;
        let (mut per_second, mut offset_s) = (1_000_000, 0);
        for (code, value) in options(from(body, 8), order) {
            match code {
                9 => per_second = resolution(u8_at(value, 0)?)?,
                14 => offset_s = order.u64(value, 0)?.cast_signed(),
                _ => {}
            }
        }
        if self.interfaces.len() >= INTERFACES_MAX {
            return None;
        }
        let link = u32::from(link);
        self.interfaces.push(Interface { link, per_second, offset_s, dropped: 0 });
        silent(tell);
        Some(())
    }

    fn enhanced(
        &mut self,
        body: &[u8],
        order: Order,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Option<()> {
        let number = order.u32(body, 0)?;
        let interface = *self.interfaces.get(usize::try_from(number).ok()?)?;
        let at = interface.time(order.u32(body, 4)?, order.u32(body, 8)?);
        let kept = order.length(body, 12)?;
        let bytes = body.get(20..20_usize.checked_add(kept)?)?;
        let seen = Seen { at, link: interface.link, interface: number, bytes };
        self.packets.packet(seen, tell);
        let after = from(body, 20 + kept.next_multiple_of(4));
        let lost = options(after, order).find(|(code, _)| *code == 4);
        if let Some(records) = lost.and_then(|(_, value)| order.u64(value, 0))
            && records > 0
        {
            tell(Told::Gathered(Item::Lost { at: Some(at), records }));
        }
        Some(())
    }

    /// The packet block of the first pcapng, which some tools still write.
    fn old(&mut self, body: &[u8], order: Order, tell: &mut dyn FnMut(Told<'_>)) -> Option<()> {
        let number = order.u16(body, 0)?;
        let interface = *self.interfaces.get(usize::from(number))?;
        let at = interface.time(order.u32(body, 4)?, order.u32(body, 8)?);
        let kept = order.length(body, 12)?;
        let bytes = body.get(20..20_usize.checked_add(kept)?)?;
        let seen = Seen { at, link: interface.link, interface: number.into(), bytes };
        self.packets.packet(seen, tell);
        // 65535 = not known how many.
        if let Some(records @ 1..=0xfffe) = order.u16(body, 2) {
            tell(Told::Gathered(Item::Lost { at: Some(at), records: records.into() }));
        }
        Some(())
    }

    /// Drops since the interface was opened: in the interface and in the operating system.
    fn statistics(
        &mut self,
        body: &[u8],
        order: Order,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Option<()> {
        let number = usize::try_from(order.u32(body, 0)?).ok()?;
        let interface = self.interfaces.get_mut(number)?;
        let at = interface.time(order.u32(body, 4)?, order.u32(body, 8)?);
        let mut dropped = 0_u64;
        for (code, value) in options(from(body, 12), order) {
            if matches!(code, 5 | 7) {
                dropped = dropped.saturating_add(order.u64(value, 0)?);
            }
        }
        let records = dropped.saturating_sub(interface.dropped);
        interface.dropped = interface.dropped.max(dropped);
        let lost = (records > 0).then_some(Item::Lost { at: Some(at), records });
        tell(Told::Unit(b"", Ok(lost)));
        Some(())
    }
}

const BAD_LENGTH: &str = "pcapng: a block whose length can't be";

/// Length of the block, bytes; None if it can't be one.
fn block_length(bytes: &[u8], order: Order) -> Option<usize> {
    let length = order.length(bytes, 4)?;
    (length >= 12 && length.is_multiple_of(4) && length <= FRAME_BYTES_MAX).then_some(length)
}

/// Options of a block: code and value.
fn options(mut bytes: &[u8], order: Order) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, length) = (order.u16(bytes, 0)?, usize::from(order.u16(bytes, 2)?));
        let value = bytes.get(4..4 + length)?;
        bytes = from(bytes, 4 + length.next_multiple_of(4));
        (code != 0).then_some((code, value))
    })
}

/// Units of time in a second (option `if_tsresol`); None if they are more than can be.
fn resolution(code: u8) -> Option<u64> {
    let power = u32::from(code & 0x7f);
    if code & 0x80 == 0 { 10_u64.checked_pow(power) } else { 2_u64.checked_pow(power) }
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> Timestamp {
        let units = (u64::from(high) << 32) | u64::from(low);
        let seconds = (units / self.per_second).saturating_add_signed(self.offset_s);
        let part = u128::from(units % self.per_second) * u128::from(NANOS_PER_S)
            / u128::from(self.per_second);
        let part = u64::try_from(part).unwrap_or(0);
        Timestamp::from_nanos(seconds.saturating_mul(NANOS_PER_S).saturating_add(part))
    }
}
