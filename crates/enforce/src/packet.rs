//! Reads the first bytes of a logged packet: addresses, protocol, ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sekisho_model::Protocol;

/// Extension headers that we step over in an IPv6 packet; more is hostile.
const EXTENSION_HEADERS_MAX: usize = 8;

/// Who talks to whom, before any reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Reads an IPv4 or IPv6 packet that may be cut short. None if it is neither, is cut before the
/// ports, or carries a protocol we have no word for.
pub(crate) fn read(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => read_v4(bytes),
        6 => read_v6(bytes),
        _ => None,
    }
}

/// RFC 791 section 3.1.
fn read_v4(bytes: &[u8]) -> Option<Packet> {
    let header_bytes = usize::from(bytes.first()? & 0x0f) * 4;
    let protocol = *bytes.get(9)?;
    let source: [u8; 4] = *bytes.get(12..)?.first_chunk()?;
    let destination: [u8; 4] = *bytes.get(16..)?.first_chunk()?;
    let addresses = (Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into());
    let payload = bytes.get(header_bytes.max(20)..).unwrap_or_default();
    transport(protocol, addresses, payload)
}

/// RFC 8200 sections 3 and 4.
fn read_v6(bytes: &[u8]) -> Option<Packet> {
    let mut next = *bytes.get(6)?;
    let source: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
    let destination: [u8; 16] = *bytes.get(24..)?.first_chunk()?;
    let addresses = (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into());
    let mut payload = bytes.get(40..)?;
    for _ in 0..EXTENSION_HEADERS_MAX {
        let header_bytes = match next {
            // Hop-by-hop, routing, destination options: length in units of 8 after the first 8.
            0 | 43 | 60 => 8 + usize::from(*payload.get(1)?) * 8,
            // Fragment.
            44 => 8,
            _ => return transport(next, addresses, payload),
        };
        next = *payload.first()?;
        payload = payload.get(header_bytes..)?;
    }
    None
}

fn transport(number: u8, (from, to): (IpAddr, IpAddr), payload: &[u8]) -> Option<Packet> {
    let (protocol, has_ports) = match number {
        6 => (Protocol::Tcp, true),
        17 => (Protocol::Udp, true),
        132 => (Protocol::Sctp, true),
        1 | 58 => (Protocol::Icmp, false),
        _ => return None,
    };
    let (mut source_port, mut port) = (0, 0);
    if has_ports {
        source_port = u16::from_be_bytes(*payload.first_chunk()?);
        port = u16::from_be_bytes(*payload.get(2..)?.first_chunk()?);
    }
    let (source, destination) = (SocketAddr::new(from, source_port), SocketAddr::new(to, port));
    Some(Packet { protocol, source, destination })
}
