//! Headers of one packet: link, VLAN, IP with extensions and fragments, transport, tunnels.
//!
//! Link types: tcpdump.org/linktypes.html. IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), VXLAN
//! (RFC 7348), Geneve (RFC 8926). What a tunnel carries is read, and not the tunnel.

use std::net::IpAddr;

use sekisho_model::Protocol;

use crate::frames::{from, u8_at, u16_at, u32_at, v4_at, v6_at};

/// Link types.
const ETHERNET: u32 = 1;
const NULL: u32 = 0;
const RAW: [u32; 5] = [12, 14, 101, 228, 229];
const LOOP: u32 = 108;
const SLL: u32 = 113;
const SLL2: u32 = 276;
/// Ethernet types.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLANS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags and tunnels that are looked through, one inside of the other.
const NESTED_MAX: u8 = 4;
/// Extension headers of IPv6 at most.
const EXTENSIONS_MAX: usize = 8;
/// UDP ports of tunnels: VXLAN, Linux's first choice for it, Geneve.
const VXLAN: [u16; 2] = [4_789, 8_472];
const GENEVE: u16 = 6_081;

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    /// A part of a connection.
    Segment(Segment<'a>),
    /// Nothing of ours.
    Skip(&'static str),
    /// Headers that are cut off or contradict themselves.
    Broken(&'static str),
}

/// A packet of a protocol that policies speak about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Sender.
    pub(crate) from: (IpAddr, u16),
    /// Receiver.
    pub(crate) to: (IpAddr, u16),
    /// Protocol.
    pub(crate) protocol: Protocol,
    /// What it says of the connection.
    pub(crate) says: Says,
    /// Bytes after the transport's header that the packet had.
    pub(crate) payload_bytes: u64,
    /// Those of them that were kept.
    pub(crate) payload: &'a [u8],
    /// Part of a fragmented packet: its number, and whether it is the first part.
    pub(crate) fragment: Option<(u32, bool)>,
    /// Number of the network device, where the capture has several in one.
    pub(crate) device: u32,
}

/// What a packet says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// Flags of TCP, and the sequence number.
    Tcp { syn: bool, ack: bool, fin: bool, rst: bool, sequence: u32 },
    /// The sender asks for a connection (SCTP INIT, ICMP echo).
    Asks,
    /// The sender answers that.
    Answers,
    /// A gateway forbids what the receiver of this packet sent: the sender and the receiver of that.
    Forbidden { from: (IpAddr, u16), to: (IpAddr, u16), protocol: Protocol },
    /// Nothing.
    Nothing,
}

const CUT: &str = "headers that are cut off";
const NOT_OURS: &str = "a protocol that policies don't speak about";

/// Reads the headers of `bytes`, which came over a link of type `link`.
pub(crate) fn decode(link: u32, bytes: &[u8]) -> Decoded<'_> {
    let found = match link {
        ETHERNET => ethernet(bytes, NESTED_MAX),
        SLL => u16_at(bytes, 14).map(|kind| network(kind, from(bytes, 16), NESTED_MAX)),
        SLL2 => return cooked(bytes),
        // The family is a number of the system that wrote it; the version stands in the packet, too.
        NULL | LOOP => Some(ip(from(bytes, 4), NESTED_MAX)),
        raw if RAW.contains(&raw) => Some(ip(bytes, NESTED_MAX)),
        _ => return Decoded::Broken("a link type that can't be read"),
    };
    found.unwrap_or(Decoded::Broken(CUT))
}

/// Linux's second cooked form, which tells the device.
fn cooked(bytes: &[u8]) -> Decoded<'_> {
    let (Some(kind), Some(device)) = (u16_at(bytes, 0), u32_at(bytes, 4)) else {
        return Decoded::Broken(CUT);
    };
    match network(kind, from(bytes, 20), NESTED_MAX) {
        Decoded::Segment(segment) => Decoded::Segment(Segment { device, ..segment }),
        other @ (Decoded::Skip(_) | Decoded::Broken(_)) => other,
    }
}

fn ethernet(bytes: &[u8], nested: u8) -> Option<Decoded<'_>> {
    u16_at(bytes, 12).map(|kind| network(kind, from(bytes, 14), nested))
}

fn network(kind: u16, bytes: &[u8], nested: u8) -> Decoded<'_> {
    match kind {
        IPV4 | IPV6 => ip(bytes, nested),
        vlan if VLANS.contains(&vlan) => match (u16_at(bytes, 2), nested.checked_sub(1)) {
            (Some(kind), Some(nested)) => network(kind, from(bytes, 4), nested),
            (None, _) => Decoded::Broken(CUT),
            (Some(_), None) => Decoded::Skip("too many tags or tunnels"),
        },
        _ => Decoded::Skip("a frame that is not IP"),
    }
}

fn ip(bytes: &[u8], nested: u8) -> Decoded<'_> {
    let network = match u8_at(bytes, 0).map(|first| first >> 4) {
        Some(4) => v4(bytes),
        Some(6) => v6(bytes),
        Some(_) => return Decoded::Broken("an IP version that is neither 4 nor 6"),
        None => None,
    };
    match network {
        Some(network) => transport(&network, nested),
        None => Decoded::Broken(CUT),
    }
}

/// Addresses and lengths of an IP packet.
struct Network<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    /// Bytes after the IP headers that the packet had.
    bytes: u64,
    /// Those that were kept, without what the link added at the end.
    body: &'a [u8],
    fragment: Option<(u32, bool)>,
}

fn v4(bytes: &[u8]) -> Option<Network<'_>> {
    let header = usize::from(u8_at(bytes, 0)? & 0x0f) * 4;
    let total = usize::from(u16_at(bytes, 2)?);
    // 0 = the network card cuts it up later (linux TCP segmentation offload).
    let total = if total == 0 { bytes.len() } else { total };
    let place = u16_at(bytes, 6)?;
    let (more, offset) = (place & 0x2000 != 0, place & 0x1fff);
    let number = u32::from(u16_at(bytes, 4)?);
    let kept = total.min(bytes.len());
    Some(Network {
        from: v4_at(bytes, 12)?,
        to: v4_at(bytes, 16)?,
        protocol: u8_at(bytes, 9)?,
        bytes: length(total, header),
        body: bytes.get(header.max(20)..kept).unwrap_or_default(),
        fragment: (more || offset != 0).then_some((number, offset == 0)),
    })
}

fn v6(bytes: &[u8]) -> Option<Network<'_>> {
    let told = usize::from(u16_at(bytes, 4)?);
    // 0 = a jumbogram, or segmentation offload.
    let total = if told == 0 { bytes.len() } else { 40 + told };
    let kept = bytes.get(..total.min(bytes.len()))?;
    let (mut protocol, mut at, mut fragment) = (u8_at(bytes, 6)?, 40, None);
    for _ in 0..EXTENSIONS_MAX {
        let length = match protocol {
            // Hop-by-hop, routing, destination, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => 8 + 8 * usize::from(u8_at(kept, at + 1)?),
            // Authentication counts in units of four bytes (RFC 4302, section 2.2).
            51 => 8 + 4 * usize::from(u8_at(kept, at + 1)?),
            44 => {
                let place = u16_at(kept, at + 2)?;
                let (more, offset) = (place & 1 != 0, place >> 3);
                if more || offset != 0 {
                    fragment = Some((u32_at(kept, at + 4)?, offset == 0));
                }
                8
            }
            _ => break,
        };
        protocol = u8_at(kept, at)?;
        at += length;
        if fragment.is_some_and(|(_, first)| !first) {
            break;
        }
    }
    Some(Network {
        from: v6_at(bytes, 8)?,
        to: v6_at(bytes, 24)?,
        protocol,
        bytes: length(total, at),
        body: from(kept, at),
        fragment,
    })
}

/// What is left of `total` after a header.
fn length(total: usize, header: usize) -> u64 {
    u64::try_from(total.saturating_sub(header)).unwrap_or(0)
}

fn transport<'a>(network: &Network<'a>, nested: u8) -> Decoded<'a> {
    let protocol = match network.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        1 | 58 => Protocol::Icmp,
        // IP in IP.
        4 | 41 if network.fragment.is_none() => {
            return match nested.checked_sub(1) {
                Some(nested) => ip(network.body, nested),
                None => Decoded::Skip("too many tags or tunnels"),
            };
        }
        _ => return Decoded::Skip(NOT_OURS),
    };
    if let Some((_, false)) = network.fragment {
        // Its ports stand in the first part.
        let ends = ((network.from, 0), (network.to, 0));
        let rest = (Says::Nothing, network.bytes, network.body);
        return Decoded::Segment(segment(network, protocol, ends, rest));
    }
    let read = match protocol {
        Protocol::Tcp => tcp(network),
        Protocol::Udp => return udp(network, nested).unwrap_or(Decoded::Broken(CUT)),
        Protocol::Sctp => sctp(network),
        Protocol::Icmp => return icmp(network).unwrap_or(Decoded::Broken(CUT)),
    };
    read.map_or(Decoded::Broken(CUT), Decoded::Segment)
}

fn segment<'a>(
    network: &Network<'a>,
    protocol: Protocol,
    (from, to): ((IpAddr, u16), (IpAddr, u16)),
    (says, payload_bytes, payload): (Says, u64, &'a [u8]),
) -> Segment<'a> {
    let fragment = network.fragment;
    Segment { from, to, protocol, says, payload_bytes, payload, fragment, device: 0 }
}

/// Sender and receiver, by the ports that the body begins with.
fn ends(network: &Network<'_>) -> Option<((IpAddr, u16), (IpAddr, u16))> {
    let (from, to) = (u16_at(network.body, 0)?, u16_at(network.body, 2)?);
    Some(((network.from, from), (network.to, to)))
}

fn tcp<'a>(network: &Network<'a>) -> Option<Segment<'a>> {
    let body = network.body;
    let header = usize::from(u8_at(body, 12)? >> 4) * 4;
    let flags = u8_at(body, 13)?;
    let says = Says::Tcp {
        fin: flags & 0x01 != 0,
        syn: flags & 0x02 != 0,
        rst: flags & 0x04 != 0,
        ack: flags & 0x10 != 0,
        sequence: u32_at(body, 4)?,
    };
    let bytes = network.bytes.saturating_sub(length(header, 0));
    Some(segment(network, Protocol::Tcp, ends(network)?, (says, bytes, from(body, header.max(20)))))
}

fn udp<'a>(network: &Network<'a>, nested: u8) -> Option<Decoded<'a>> {
    let ends = ends(network)?;
    let body = network.body;
    let inner = match ends.1.1 {
        port if VXLAN.contains(&port) && u8_at(body, 8)? & 0x08 != 0 => Some(16),
        // Version 0, the options' length in units of four bytes, Ethernet inside.
        GENEVE if u16_at(body, 10)? == 0x6558 => Some(16 + 4 * usize::from(u8_at(body, 8)? & 0x3f)),
        _ => None,
    };
    if let (Some(at), Some(nested), None) = (inner, nested.checked_sub(1), network.fragment) {
        return ethernet(from(body, at), nested);
    }
    let bytes = network.bytes.saturating_sub(8);
    let rest = (Says::Nothing, bytes, from(body, 8));
    Some(Decoded::Segment(segment(network, Protocol::Udp, ends, rest)))
}

fn sctp<'a>(network: &Network<'a>) -> Option<Segment<'a>> {
    // Type of the first chunk (RFC 9260, section 3.2).
    let says = match u8_at(network.body, 12) {
        Some(1) => Says::Asks,
        Some(2) => Says::Answers,
        Some(_) | None => Says::Nothing,
    };
    let bytes = network.bytes.saturating_sub(12);
    Some(segment(network, Protocol::Sctp, ends(network)?, (says, bytes, from(network.body, 12))))
}

fn icmp<'a>(network: &Network<'a>) -> Option<Decoded<'a>> {
    let (kind, code) = (u8_at(network.body, 0)?, u8_at(network.body, 1)?);
    let six = network.protocol == 58;
    let says = match (six, kind, code) {
        (false, 8, _) | (true, 128, _) => Says::Asks,
        (false, 0, _) | (true, 129, _) => Says::Answers,
        // Administratively prohibited (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1).
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => {
            return Some(forbidden(network, from(network.body, 8)));
        }
        (false, 3 | 4 | 5 | 11 | 12, _) | (true, 1..=4, _) => {
            return Some(Decoded::Skip("an ICMP error about another packet"));
        }
        _ => return Some(Decoded::Skip("ICMP that asks for no answer from a workload")),
    };
    let ends = ((network.from, 0), (network.to, 0));
    let rest = (says, network.bytes.saturating_sub(8), from(network.body, 8));
    Some(Decoded::Segment(segment(network, Protocol::Icmp, ends, rest)))
}

/// `inner` is the packet that was forbidden, or its beginning.
fn forbidden<'a>(network: &Network<'a>, inner: &'a [u8]) -> Decoded<'a> {
    let skip = Decoded::Skip("an ICMP error about another packet");
    let read = match u8_at(inner, 0).map(|first| first >> 4) {
        Some(4) => v4(inner),
        Some(6) => v6(inner),
        Some(_) | None => None,
    };
    let Some(read) = read else { return skip };
    let protocol = match read.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        _ => return skip,
    };
    let Some((from, to)) = ends(&read) else { return skip };
    let says = Says::Forbidden { from, to, protocol };
    let ends = ((network.from, 0), (network.to, 0));
    Decoded::Segment(segment(network, Protocol::Icmp, ends, (says, 0, &[])))
}
