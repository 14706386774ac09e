//! Denied connections, read from the kernel's NFLOG group (linux nfnetlink_log).
//!
//! Bounds: the kernel's buffer, and [`RECORDS_PER_POLL_MAX`] records at a time. What is lost is
//! counted: every message has a sequence number, and an overrun is reported by the socket.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use sekisho_base::Clock;
use sekisho_model::{DecidedBy, DenyRecord, HookCounters, Timestamp};
use sekisho_system::SystemClock;

use crate::netlink::{NLM_F_ACK, NetlinkError, Socket, message, messages, push_attribute, system};
use crate::packet;

/// Most records one [`DenyLog::poll`] returns, give or take one datagram.
pub const RECORDS_PER_POLL_MAX: usize = 8_192;
/// Socket buffer: some 20,000 records of 200 bytes plus the kernel's own overhead.
const RECEIVE_BYTES: usize = 16 * 1024 * 1024;
/// The kernel gathers records up to this size or [`FLUSH_CENTISECONDS`], then sends them at once.
const DATAGRAM_BYTES: u32 = 64 * 1024;
const FLUSH_CENTISECONDS: u32 = 2;
const RECORDS_PER_DATAGRAM: u32 = 256;
/// Bytes of a packet copied at most; the rules ask for less.
const COPY_BYTES: u32 = 256;

// linux include/uapi/linux/netfilter/nfnetlink_log.h
const NFNL_SUBSYS_ULOG: u16 = 4 << 8;
const NFULNL_MSG_PACKET: u16 = NFNL_SUBSYS_ULOG;
const NFULNL_MSG_CONFIG: u16 = NFNL_SUBSYS_ULOG | 1;
const NFULA_TIMESTAMP: u16 = 3;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULA_SEQ: u16 = 12;
const NFULA_CFG_CMD: u16 = 1;
const NFULA_CFG_MODE: u16 = 2;
const NFULA_CFG_NLBUFSIZ: u16 = 3;
const NFULA_CFG_TIMEOUT: u16 = 4;
const NFULA_CFG_QTHRESH: u16 = 5;
const NFULA_CFG_FLAGS: u16 = 6;
const NFULNL_CFG_CMD_BIND: u8 = 1;
const NFULNL_COPY_PACKET: u8 = 2;
const NFULNL_CFG_F_SEQ: u16 = 1;

/// Reads denied connections of one network namespace.
#[derive(Debug)]
pub struct DenyLog {
    socket: Socket,
    tally: Tally,
}

/// Reading the deny log failed; it can be tried again.
#[derive(Debug, thiserror::Error)]
#[error("read the deny log")]
pub struct DenyLogError(#[source] std::io::Error);

/// What was logged, read and lost.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Sequence number of the next message.
    expected: u32,
    produced: u64,
    delivered: u64,
    dropped: u64,
    /// The socket overran after the last message: at least one is lost, how many will be known
    /// from the sequence number of the next.
    overrun: bool,
}

impl DenyLog {
    /// Opens the log of `group` in the namespace at `netns`. Needs CAP_NET_ADMIN. One reader per
    /// namespace and group: EBUSY if there is one.
    ///
    /// # Errors
    /// [`NetlinkError`] if the namespace can't be entered, or the group can't be bound.
    pub fn open(netns: &Path, group: u16) -> Result<Self, NetlinkError> {
        Self::open_with_buffer(netns, group, RECEIVE_BYTES)
    }

    /// As [`Self::open`], with a socket buffer of `buffer_bytes`: what does not fit while nobody
    /// polls is lost, and counted.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_buffer(
        netns: &Path,
        group: u16,
        buffer_bytes: usize,
    ) -> Result<Self, NetlinkError> {
        let mut socket = Socket::open(netns, buffer_bytes)?;
        let mut settings = Vec::new();
        let [a, b, c, d] = COPY_BYTES.to_be_bytes();
        push_attribute(&mut settings, NFULA_CFG_CMD, &[NFULNL_CFG_CMD_BIND]);
        push_attribute(&mut settings, NFULA_CFG_MODE, &[a, b, c, d, NFULNL_COPY_PACKET, 0]);
        push_attribute(&mut settings, NFULA_CFG_NLBUFSIZ, &DATAGRAM_BYTES.to_be_bytes());
        push_attribute(&mut settings, NFULA_CFG_TIMEOUT, &FLUSH_CENTISECONDS.to_be_bytes());
        push_attribute(&mut settings, NFULA_CFG_QTHRESH, &RECORDS_PER_DATAGRAM.to_be_bytes());
        push_attribute(&mut settings, NFULA_CFG_FLAGS, &NFULNL_CFG_F_SEQ.to_be_bytes());
        // All in one message: a record logged before the numbering began could be lost unseen.
        socket
            .request(&message(NFULNL_MSG_CONFIG, NLM_F_ACK, (0, group), &settings))
            .map_err(system("bind the deny log's NFLOG group"))?;
        Ok(Self { socket, tally: Tally::default() })
    }

    /// Waits up to `timeout` for records and appends them to `out`. `decisions` should hold the
    /// ids of earlier revisions too ([`crate::NodeTables::decisions`]): a record whose id is not
    /// there is counted as dropped.
    ///
    /// # Errors
    /// [`DenyLogError`] if the socket fails; an overrun is no error but is counted.
    pub fn poll(
        &mut self,
        timeout: Duration,
        decisions: &BTreeMap<u32, DecidedBy>,
        out: &mut Vec<DenyRecord>,
    ) -> Result<(), DenyLogError> {
        let wait = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(DenyLogError(errno.into())),
        }
        let enough = out.len().saturating_add(RECORDS_PER_POLL_MAX);
        while out.len() < enough {
            match self.socket.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(datagram) => {
                    let now = Timestamp::from_nanos(SystemClock.now());
                    self.tally.read(datagram, decisions, now, out);
                }
                Err(Errno::ENOBUFS) => self.tally.overrun = true,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(errno) => return Err(DenyLogError(errno.into())),
            }
        }
        Ok(())
    }

    /// Counts since the log was opened: produced = delivered + dropped.
    #[must_use]
    pub fn counters(&self) -> HookCounters {
        self.tally.counters()
    }
}

impl AsFd for DenyLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tally {
    /// Reads all records of a datagram.
    fn read(
        &mut self,
        datagram: &[u8],
        decisions: &BTreeMap<u32, DecidedBy>,
        now: Timestamp,
        out: &mut Vec<DenyRecord>,
    ) {
        for message in messages(datagram).filter(|message| message.kind == NFULNL_MSG_PACKET) {
            let Some((_, attributes)) = message.netfilter() else { continue };
            let Some(sequence) = attributes.find(NFULA_SEQ).and_then(be32) else { continue };
            let lost = u64::from(sequence.wrapping_sub(self.expected));
            self.expected = sequence.wrapping_add(1);
            self.overrun = false;
            self.produced = self.produced.saturating_add(lost).saturating_add(1);
            self.dropped = self.dropped.saturating_add(lost);
            match record(attributes, decisions, now) {
                Some(record) => {
                    self.delivered = self.delivered.saturating_add(1);
                    out.push(record);
                }
                None => self.dropped = self.dropped.saturating_add(1),
            }
        }
    }

    fn counters(&self) -> HookCounters {
        let unseen = u64::from(self.overrun);
        HookCounters {
            hook: "deny".to_owned(),
            produced: self.produced.saturating_add(unseen),
            delivered: self.delivered,
            dropped: self.dropped.saturating_add(unseen),
        }
    }
}

/// The record of one message; None if it is not ours or can't be read.
fn record(
    attributes: crate::netlink::Attributes<'_>,
    decisions: &BTreeMap<u32, DecidedBy>,
    now: Timestamp,
) -> Option<DenyRecord> {
    let prefix = attributes.find(NFULA_PREFIX)?;
    let prefix = std::str::from_utf8(prefix.strip_suffix(&[0]).unwrap_or(prefix)).ok()?;
    let mut words = prefix.strip_prefix("sekisho:")?.split(':');
    let audit = match words.next()? {
        "D" => false,
        "A" => true,
        _ => return None,
    };
    let id: u32 = words.next()?.parse().ok()?;
    let decided_by = decisions.get(&id)?.clone();
    let packet = packet::read(attributes.find(NFULA_PAYLOAD)?)?;
    let time = attributes.find(NFULA_TIMESTAMP).and_then(timestamp).unwrap_or(now);
    Some(DenyRecord {
        time,
        protocol: packet.protocol,
        source: packet.source,
        destination: packet.destination,
        decided_by,
        audit,
    })
}

/// `struct nfulnl_msg_packet_timestamp`: big-endian seconds and microseconds.
fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let seconds = u64::from_be_bytes(*value.first_chunk()?);
    let micros = u64::from_be_bytes(*value.get(8..)?.first_chunk()?);
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(micros.checked_mul(1_000)?)?;
    Some(Timestamp::from_nanos(nanos))
}

fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sekisho_model::{Direction, Protocol};

    fn decided() -> DecidedBy {
        DecidedBy { policy: "shop/db".to_owned(), rule: None, direction: Direction::Ingress }
    }

    fn packet_message(sequence: u32, prefix: &str, payload: &[u8]) -> Vec<u8> {
        let mut attributes = Vec::new();
        push_attribute(&mut attributes, NFULA_PREFIX, format!("{prefix}\0").as_bytes());
        push_attribute(&mut attributes, NFULA_SEQ, &sequence.to_be_bytes());
        push_attribute(&mut attributes, NFULA_PAYLOAD, payload);
        message(NFULNL_MSG_PACKET, 0, (2, 7), &attributes)
    }

    fn syn() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes.extend([0x9c, 0x40, 0x15, 0x38, 0, 0, 0, 0]);
        bytes
    }

    fn read(tally: &mut Tally, datagram: &[u8]) -> Vec<DenyRecord> {
        let decisions = BTreeMap::from([(9, decided())]);
        let mut out = Vec::new();
        tally.read(datagram, &decisions, Timestamp::from_seconds(1), &mut out);
        out
    }

    #[test]
    fn a_denied_syn_names_its_ends_and_who_decided() {
        let mut tally = Tally::default();
        let records = read(&mut tally, &packet_message(0, "sekisho:D:9:", &syn()));
        let expected = DenyRecord {
            time: Timestamp::from_seconds(1),
            protocol: Protocol::Tcp,
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:5432".parse().unwrap(),
            decided_by: decided(),
            audit: false,
        };
        assert_eq!(records, [expected]);
        assert!(read(&mut tally, &packet_message(1, "sekisho:A:9:", &syn()))[0].audit);
    }

    #[test]
    fn gaps_unknown_ids_and_overruns_are_counted_as_dropped() {
        let mut tally = Tally::default();
        let mut datagram = packet_message(3, "sekisho:D:9:", &syn());
        datagram.extend(packet_message(4, "sekisho:D:10:", &syn()));
        assert_eq!(read(&mut tally, &datagram).len(), 1);
        let counters = tally.counters();
        assert_eq!((counters.produced, counters.delivered, counters.dropped), (5, 1, 4));
        tally.overrun = true;
        let counters = tally.counters();
        assert_eq!((counters.produced, counters.delivered, counters.dropped), (6, 1, 5));
        read(&mut tally, &packet_message(7, "sekisho:D:9:", &syn()));
        let counters = tally.counters();
        assert_eq!((counters.produced, counters.delivered, counters.dropped), (8, 2, 6));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_miscount(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..120,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut tally = Tally::default();
            read(&mut tally, &bytes);
            let mut datagram = packet_message(0, "sekisho:D:9:", &payload);
            datagram.truncate(datagram.len().saturating_sub(cut));
            datagram.extend(&bytes);
            read(&mut tally, &datagram);
            packet::read(&payload);
            let counters = tally.counters();
            prop_assert_eq!(counters.produced, counters.delivered + counters.dropped);
        }
    }
}
