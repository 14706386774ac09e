//! Datagrams in batches, from those who may send.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::UdpSocket;

use super::intake::Shown;

/// What was read is recorded so often.
pub(super) const RECORD_PERIOD: Duration = Duration::from_millis(500);
/// Datagrams that are read at once, and the longest of them, bytes (RFC 768).
const BATCH: usize = 256;
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Pause after a failed read.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// A socket, and who may send to it.
pub(super) struct Datagrams {
    socket: UdpSocket,
    senders: Vec<IpNet>,
    buffer: Vec<u8>,
    shown: Shown,
    /// What the kernel had dropped at the last look.
    dropped: u64,
}

/// A datagram and its sender.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

/// Whether `address` may send; without any networks it is a loopback listener, which everybody on the
/// machine may reach.
pub(super) fn may_send(senders: &[IpNet], address: IpAddr) -> bool {
    senders.is_empty() || senders.iter().any(|network| network.contains(&address.to_canonical()))
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket, senders: Vec<IpNet>, shown: Shown) -> Self {
        Self { socket, senders, buffer: vec![0; DATAGRAM_BYTES_MAX], shown, dropped: 0 }
    }

    /// Waits for datagrams; gives all that are there, up to a bound, and none if the read failed.
    pub(super) async fn next(&mut self) -> Vec<Datagram> {
        if let Err(error) = self.socket.readable().await {
            return self.failed(&error).await;
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, from)) if may_send(&self.senders, from.ip()) => {
                    batch.push((from, self.buffer.get(..length).unwrap_or_default().to_vec()));
                }
                Ok(_) => self.shown.count_refused(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.failed(&error).await,
            }
        }
        batch
    }

    /// Datagrams that the kernel dropped since the last call, because they came faster than they were
    /// read.
    pub(super) fn newly_dropped(&mut self) -> u64 {
        let Some(dropped) = dropped_by_kernel(&self.socket) else { return 0 };
        let new = dropped.saturating_sub(self.dropped);
        self.dropped = dropped;
        new
    }

    async fn failed(&self, error: &io::Error) -> Vec<Datagram> {
        self.shown.say("waiting", &format!("read a datagram: {error}"));
        tokio::time::sleep(READ_PAUSE).await;
        Vec::new()
    }
}

/// What the kernel dropped of a socket's datagrams since it was opened (linux v6.18
/// Documentation/networking/proc_net_udp: last column; the tenth is the socket's inode).
fn dropped_by_kernel(socket: &UdpSocket) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    let table = if socket.local_addr().ok()?.is_ipv4() { "udp" } else { "udp6" };
    let text = std::fs::read_to_string(format!("/proc/net/{table}")).ok()?;
    let mut rows = text.lines().map(|line| line.split_ascii_whitespace());
    let row = rows.find(|row| row.clone().nth(9) == Some(inode))?;
    row.last()?.parse().ok()
}
