//! Pokes SCTP without a kernel that speaks it: an INIT by hand, and the ICMP error of a machine
//! that does not know the protocol proves that it arrived (RFC 9260, RFC 792, RFC 4443).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto,
    socket,
};

use crate::poke::Target;

const SCTP: u8 = 132;

/// Hears the errors that come back to a namespace.
pub(crate) struct Ear {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Ear {
    pub(crate) fn new() -> Self {
        Self {
            v4: raw(AddressFamily::Inet, SockProtocol::Icmp),
            v6: raw(AddressFamily::Inet6, SockProtocol::IcmpV6),
        }
    }

    /// Sends an INIT; false if this machine's own rules dropped it.
    pub(crate) fn send(target: &Target) -> bool {
        let chunk = init(target.port);
        let (family, packet) = match (target.source, target.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let length = u16::try_from(20 + chunk.len()).unwrap().to_be_bytes();
                let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, SCTP, 0, 0];
                packet.extend(from.octets());
                packet.extend(to.octets());
                (AddressFamily::Inet, packet)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
                let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], SCTP, 64];
                packet.extend(from.octets());
                packet.extend(to.octets());
                (AddressFamily::Inet6, packet)
            }
            _ => panic!("{target:?}"),
        };
        let fd = raw(family, SockProtocol::Raw);
        let packet: Vec<u8> = packet.into_iter().chain(chunk).collect();
        let to = SockaddrStorage::from(SocketAddr::new(target.destination, 0));
        match sendto(fd.as_raw_fd(), &packet, &to, MsgFlags::empty()) {
            Ok(_) => true,
            Err(Errno::EPERM) => false,
            Err(errno) => panic!("{target:?}: {errno}"),
        }
    }

    /// Destinations and ports that errors came back from so far.
    pub(crate) fn heard(&self) -> Vec<(IpAddr, u16)> {
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = recv(self.v4.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            heard.extend(unknown_v4(&buffer[..length]));
        }
        while let Ok(length) = recv(self.v6.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            heard.extend(unknown_v6(&buffer[..length]));
        }
        heard
    }
}

fn raw(family: AddressFamily, protocol: SockProtocol) -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, SockType::Raw, flags, protocol).unwrap()
}

/// The destination and port of an SCTP packet that an ICMP error says is of no known protocol.
fn unknown_v4(packet: &[u8]) -> Option<(IpAddr, u16)> {
    let error = packet.get(usize::from(packet.first()? & 15) * 4..)?;
    let inner = error.get(8..)?;
    let transport = inner.get(usize::from(inner.first()? & 15) * 4..)?;
    let to: [u8; 4] = *inner.get(16..)?.first_chunk()?;
    let is_ours = error.starts_with(&[3, 2]) && inner.get(9) == Some(&SCTP);
    is_ours.then_some((IpAddr::from(to), port(transport)?))
}

fn unknown_v6(error: &[u8]) -> Option<(IpAddr, u16)> {
    let inner = error.get(8..)?;
    let to: [u8; 16] = *inner.get(24..)?.first_chunk()?;
    let is_ours = error.starts_with(&[4, 1]) && inner.get(6) == Some(&SCTP);
    is_ours.then_some((IpAddr::from(to), port(inner.get(40..)?)?))
}

fn port(transport: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*transport.get(2..)?.first_chunk()?))
}

/// Common header and INIT chunk, from a source port of its own.
fn init(to: u16) -> Vec<u8> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let from = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20]);
    packet.extend([0, 0, 0, 1, 0, 0, 255, 255, 0, 1, 0, 1, 0, 0, 0, 1]);
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// CRC32c (RFC 9260, appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}
