//! One connection of a capture, as far as it was seen.

use std::sync::Arc;

use sekisho_model::{Protocol, Timestamp, Verdict};

use super::names::{HELLO_BYTES_MAX, Hello, server_name};
use super::packet::{Says, Segment};
use crate::record::Sums;

/// Connections at a time whose first bytes are kept until their server's name is known.
pub(super) const HELLOS_MAX: usize = 2_048;
/// Silence after which a connection is over, seconds: one that was closed, one without an answer, one
/// of TCP (as in flow logs), one of others (linux v6.18 nf_conntrack_udp_timeout_stream).
const CLOSED_S: u64 = 60;
const UNANSWERED_S: u64 = 150;
const TCP_S: u64 = 900;
const OTHERS_S: u64 = 120;
/// After this long nobody waits for an answer any more before the connection is told.
const SETTLED_S: u64 = 60;

/// A connection. Sides are 0 for the lower end of its key, and 1.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the connection")]
pub(super) struct Conn {
    /// Side of the first packet.
    pub(super) first: usize,
    /// Side that began, if a packet said so.
    began: Option<usize>,
    /// What is not told yet: since when, until when.
    pub(super) start: Timestamp,
    pub(super) last: Timestamp,
    bytes: [u64; 2],
    packets: [u64; 2],
    /// Device on which each side's packets count: the first one that saw them.
    devices: [Option<u32>; 2],
    /// The connection itself was told.
    pub(super) told: bool,
    /// A packet asked for it, and the other side said something.
    asked: bool,
    answered: bool,
    /// The connection ended by reset.
    reset: bool,
    reset_told: bool,
    forbidden: bool,
    fins: [bool; 2],
    /// The name by which the initiator knows the responder.
    pub(super) name: Option<Arc<str>>,
    /// Sequence number of the next byte of TLS's first message; None = it is not waited for.
    hello_at: Option<u32>,
    hello: Option<Vec<u8>>,
}

impl Conn {
    /// A connection whose first packet `side` sent.
    pub(super) fn new(side: usize, at: Timestamp, name: Option<Arc<str>>) -> Self {
        Self {
            first: side,
            began: None,
            start: at,
            last: at,
            bytes: [0; 2],
            packets: [0; 2],
            devices: [None; 2],
            told: false,
            asked: false,
            answered: false,
            reset: false,
            reset_told: false,
            forbidden: false,
            fins: [false; 2],
            name,
            hello_at: None,
            hello: None,
        }
    }

    /// Whether first bytes are kept.
    pub(super) fn keeps_hello(&self) -> bool {
        self.hello.is_some()
    }

    fn is_closed(&self) -> bool {
        self.reset || self.fins == [true; 2]
    }

    /// Whether a segment is of another connection of the same ends.
    pub(super) fn is_another(&self, segment: &Segment<'_>, side: usize, at: Timestamp) -> bool {
        let asks = matches!(segment.says, Says::Tcp { syn: true, ack: false, .. } | Says::Asks);
        let again = asks && segment.protocol != Protocol::Icmp;
        let turned = self.began.is_some_and(|began| began != side);
        (again && (self.is_closed() || turned))
            || at.seconds_since(self.last) >= self.patience_s(segment.protocol)
    }

    /// Seconds of silence after which it is over.
    pub(super) fn patience_s(&self, protocol: Protocol) -> u64 {
        match protocol {
            Protocol::Tcp if self.is_closed() => CLOSED_S,
            Protocol::Tcp if !self.answered => UNANSWERED_S,
            Protocol::Tcp => TCP_S,
            Protocol::Udp | Protocol::Sctp | Protocol::Icmp => OTHERS_S,
        }
    }

    /// Takes a segment that `side` sent at a time on a device.
    pub(super) fn take(
        &mut self,
        segment: &Segment<'_>,
        side: usize,
        (at, device): (Timestamp, u32),
        may_keep: bool,
    ) {
        self.last = self.last.max(at);
        self.start = self.start.min(at);
        let other = 1 - side.min(1);
        match segment.says {
            Says::Tcp { syn: true, ack: false, sequence, .. } => {
                self.asked = true;
                self.began = Some(side);
                self.hello_at = Some(sequence.wrapping_add(1));
            }
            Says::Tcp { syn: true, ack: true, .. } | Says::Answers => {
                self.began = Some(other);
            }
            Says::Tcp { fin, rst, .. } => {
                self.reset |= rst;
                if let Some(slot) = self.fins.get_mut(side) {
                    *slot |= fin;
                }
            }
            Says::Asks => {
                self.asked = true;
                self.began = self.began.or(Some(side));
            }
            Says::Forbidden { .. } | Says::Nothing => {}
        }
        self.answered |= self.initiator((self.first, false)).0 != side;
        self.count(segment, side, device);
        if let Says::Tcp { sequence, .. } = segment.says
            && self.began == Some(side)
            && self.hello_at == Some(sequence)
            && !segment.payload.is_empty()
        {
            self.read_hello(segment, may_keep);
        }
    }

    /// Each packet counts once, however many devices saw it.
    fn count(&mut self, segment: &Segment<'_>, side: usize, device: u32) {
        let (Some(own), Some(bytes), Some(packets)) =
            (self.devices.get_mut(side), self.bytes.get_mut(side), self.packets.get_mut(side))
        else {
            return;
        };
        if *own.get_or_insert(device) == device {
            *bytes = bytes.saturating_add(segment.payload_bytes);
            *packets = packets.saturating_add(1);
        }
    }

    /// Reads the name in the first bytes that the initiator sends.
    fn read_hello(&mut self, segment: &Segment<'_>, may_keep: bool) {
        let whole = u64::try_from(segment.payload.len()).is_ok_and(|n| n == segment.payload_bytes);
        let mut kept = self.hello.take();
        let read = match &mut kept {
            Some(kept) => {
                kept.extend_from_slice(segment.payload);
                server_name(kept)
            }
            None => server_name(segment.payload),
        };
        self.hello_at = None;
        match read {
            // What DNS said is what a policy by name goes by.
            Hello::Name(name) => self.name = self.name.take().or_else(|| Some(name.into())),
            Hello::More if whole && (kept.is_some() || may_keep) => {
                let kept = kept.unwrap_or_else(|| segment.payload.to_vec());
                if kept.len() <= HELLO_BYTES_MAX
                    && let Says::Tcp { sequence, .. } = segment.says
                    && let Ok(length) = u32::try_from(segment.payload.len())
                {
                    self.hello_at = Some(sequence.wrapping_add(length));
                    self.hello = Some(kept);
                }
            }
            Hello::Nobody | Hello::More => {}
        }
    }

    /// Notes that a gateway forbids what `side` sent; false if it sent nothing.
    pub(super) fn forbid(&mut self, side: usize) -> bool {
        let sent = self.initiator((self.first, false)).0 == side;
        self.forbidden |= sent;
        sent
    }

    /// The side that began, and whether that is certain; `guess` if no packet said so.
    pub(super) fn initiator(&self, guess: (usize, bool)) -> (usize, bool) {
        self.began.map_or(guess, |side| (side, true))
    }

    /// What became of it. A reset in answer is an answer: nothing on the way stopped the attempt.
    pub(super) fn verdict(&self, protocol: Protocol) -> Verdict {
        let under_way = protocol == Protocol::Tcp && !self.asked && self.bytes != [0; 2];
        match (self.answered || under_way, self.forbidden) {
            (true, _) => Verdict::Allowed,
            (false, true) => Verdict::Denied,
            (false, false) => Verdict::Unknown,
        }
    }

    /// Whether its verdict will not change any more.
    pub(super) fn is_settled(&self, protocol: Protocol, at: Timestamp) -> bool {
        self.verdict(protocol) != Verdict::Unknown || at.seconds_since(self.start) >= SETTLED_S
    }

    /// Whether a reset ended it since it was last told.
    pub(super) fn was_reset(&self) -> bool {
        self.reset && !self.reset_told
    }

    /// Whether there is anything to tell. Stray packets after the end of a connection are none.
    pub(super) fn has_news(&self, protocol: Protocol) -> bool {
        let silent = self.began.is_none() && !self.answered && self.bytes == [0; 2];
        let stray = silent && protocol == Protocol::Tcp;
        self.packets != [0; 2] && !stray
    }

    /// It was told; begins to count anew.
    pub(super) fn begin_report(&mut self, at: Timestamp) {
        self.told = true;
        self.start = at;
        self.last = at;
        self.bytes = [0; 2];
        self.packets = [0; 2];
        self.reset_told |= self.reset;
    }

    /// Counts from the view of `initiator`.
    pub(super) fn sums(&self, initiator: usize) -> Sums {
        let ([low_bytes, high_bytes], [low, high]) = (self.bytes, self.packets);
        let sums = Sums {
            bytes_sent: low_bytes,
            bytes_received: high_bytes,
            packets_sent: low,
            packets_received: high,
        };
        if initiator == 0 { sums } else { crate::resolve::turned(sums) }
    }
}
