//! Where messages come from: a file of them, or a capture of the datagrams that carried them.

use std::net::SocketAddr;

use indexmap::IndexSet;
use sekisho_model::Protocol;

use super::super::pcap;
use super::super::pcap::capture::{Capture, Packets, Seen};
use super::super::pcap::packet::{Decoded, decode};
use super::message::{Messages, begins};
use crate::frames::{FrameFormat, Step, from, hex};
use crate::reader::{Reader, Told};
use crate::record::{Item, Reject};

/// Exporters that are told apart.
const EXPORTERS_MAX: usize = 4_096;

/// Whether it begins with a message. A capture is one of packets unless somebody says otherwise.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    begins(head)
}

/// Reads messages.
pub(crate) enum Netflow {
    /// Nothing was read yet.
    Start,
    /// One after the other.
    File(Box<Messages>),
    /// In datagrams of a capture.
    Capture(Box<Capture<Datagrams>>),
}

impl FrameFormat for Netflow {
    fn frame(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        match self {
            Self::Start if bytes.len() < 12 => Step::Need(12),
            Self::Start => {
                *self = if pcap::looks_like(bytes) {
                    Self::Capture(Box::new(Capture::new(Datagrams::default())))
                } else {
                    Self::File(Box::default())
                };
                self.frame(bytes, tell)
            }
            Self::File(messages) => messages.frame(bytes, tell),
            Self::Capture(capture) => capture.frame(bytes, tell),
        }
    }

    fn end(&mut self, rest: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        match self {
            Self::Capture(capture) => capture.end(rest, tell),
            Self::Start if rest.is_empty() => {}
            Self::File(messages) if rest.is_empty() && !messages.is_within() => {}
            Self::Start | Self::File(_) => {
                let reject = Reject::new("the file ends within a message");
                tell(Told::Unit(hex(rest).as_bytes(), Err(reject)));
            }
        }
    }
}

/// Messages in datagrams.
#[derive(Default)]
pub(crate) struct Datagrams {
    messages: Messages,
    exporters: IndexSet<SocketAddr, foldhash::fast::FixedState>,
}

impl Packets for Datagrams {
    fn packet(&mut self, seen: Seen<'_>, tell: &mut dyn FnMut(Told<'_>)) {
        let segment = match decode(seen.link, seen.bytes) {
            Decoded::Segment(segment) if segment.protocol == Protocol::Udp => segment,
            Decoded::Segment(_) | Decoded::Skip(_) => return other(tell),
            Decoded::Broken(why) => {
                let reject = Reject::new(why);
                return tell(Told::Unit(hex(seen.bytes).as_bytes(), Err(reject)));
            }
        };
        if !begins(segment.payload) {
            return other(tell);
        }
        self.messages(segment.from.into(), segment.payload, tell);
    }

    fn end(&mut self, _tell: &mut dyn FnMut(Told<'_>)) {}
}

/// Datagrams of a socket.
impl Reader for Datagrams {
    fn feed(&mut self, piece: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        self.datagram(nobody, piece, tell);
    }

    fn datagram(&mut self, sender: SocketAddr, payload: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        if begins(payload) {
            return self.messages(sender, payload, tell);
        }
        let reject = Reject::new("a datagram that is no NetFlow 5 or 9, nor IPFIX");
        tell(Told::Unit(hex(payload).as_bytes(), Err(reject)));
    }

    fn end(&mut self, _tell: &mut dyn FnMut(Told<'_>)) {}
}

impl Datagrams {
    /// Reads the messages of one datagram.
    fn messages(&mut self, sender: SocketAddr, payload: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        if self.exporters.len() >= EXPORTERS_MAX && !self.exporters.contains(&sender) {
            // Numbers are given anew: what was learnt of earlier exporters is not theirs any more.
            self.exporters.clear();
            self.messages = Messages::default();
        }
        let number = self.exporters.insert_full(sender).0;
        self.messages.exporter = u32::try_from(number).unwrap_or(u32::MAX);
        self.messages.cut();
        let mut rest = payload;
        while !rest.is_empty() {
            match self.messages.frame(rest, tell) {
                Step::Took(bytes) => rest = from(rest, bytes.max(1)),
                Step::Stop => return,
                Step::Need(_) => {
                    let reject = Reject::new("a datagram that ends within a message");
                    return tell(Told::Unit(hex(rest).as_bytes(), Err(reject)));
                }
            }
        }
    }
}

fn other(tell: &mut dyn FnMut(Told<'_>)) {
    let why = "a packet that carries no NetFlow or IPFIX";
    tell(Told::Unit(b"", Ok(Some(Item::Skipped(why)))));
}
