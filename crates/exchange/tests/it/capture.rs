//! Packets and captures, made by hand.

use std::net::{IpAddr, SocketAddr};

/// Flags of TCP.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// When the captures begin, seconds since 1970: the start of a minute.
pub(crate) const START_S: u64 = 1_700_000_040;

/// An IP packet.
pub(crate) fn ip(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
            let mut bytes = vec![0x45, 0, length[0], length[1], 0, 7, 0, 0, 64, protocol, 0, 0];
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(body);
            bytes
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(body);
            bytes
        }
        _ => panic!("addresses of two families"),
    }
}

fn ends(ends: [&str; 2]) -> [SocketAddr; 2] {
    ends.map(|end| end.parse().unwrap())
}

fn ports([from, to]: [SocketAddr; 2]) -> Vec<u8> {
    [from.port().to_be_bytes(), to.port().to_be_bytes()].concat()
}

/// A segment of TCP in its IP packet.
pub(crate) fn tcp(between: [&str; 2], flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let [from, to] = ends(between);
    let mut body = ports([from, to]);
    body.extend(sequence.to_be_bytes());
    body.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    body.extend(payload);
    ip(from.ip(), to.ip(), 6, &body)
}

/// A datagram of UDP in its IP packet.
pub(crate) fn udp(between: [&str; 2], payload: &[u8]) -> Vec<u8> {
    let [from, to] = ends(between);
    let mut body = ports([from, to]);
    body.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    body.extend([0, 0]);
    body.extend(payload);
    ip(from.ip(), to.ip(), 17, &body)
}

/// A frame of Ethernet around an IP packet.
pub(crate) fn ethernet(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&[2; 6][..], &[4; 6], &kind, packet].concat()
}

/// A whole connection: asked for, answered, `payload` sent, closed by both.
pub(crate) fn connection(from: &str, to: &str, payload: &[u8]) -> Vec<Vec<u8>> {
    let next = 101 + u32::try_from(payload.len()).unwrap();
    [
        tcp([from, to], SYN, 100, b""),
        tcp([to, from], SYN | ACK, 500, b""),
        tcp([from, to], ACK, 101, b""),
        tcp([from, to], ACK, 101, payload),
        tcp([to, from], ACK, 501, b"answer"),
        tcp([from, to], FIN | ACK, next, b""),
        tcp([to, from], FIN | ACK, 507, b""),
        tcp([from, to], ACK, next + 1, b""),
    ]
    .iter()
    .map(|packet| ethernet(packet))
    .collect()
}

/// A pcap of frames, one a millisecond, or one a second with `slow`.
pub(crate) fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(u32::to_le_bytes(word));
    }
    for (number, frame) in frames.iter().enumerate() {
        let number = u32::try_from(number).unwrap();
        let length = u32::try_from(frame.len()).unwrap();
        let second = u32::try_from(START_S).unwrap() + number / 1_000;
        for word in [second, number % 1_000 * 1_000, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A block of pcapng, low bytes first.
pub(crate) fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(12 + padded).unwrap().to_le_bytes();
    let mut bytes = [&kind.to_le_bytes()[..], &length, body].concat();
    bytes.resize(8 + padded, 0);
    bytes.extend(length);
    bytes
}

/// An option of pcapng.
pub(crate) fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_le_bytes();
    let mut bytes = [&code.to_le_bytes()[..], &length, value].concat();
    bytes.resize(4 + value.len().next_multiple_of(4), 0);
    bytes
}

/// The head of a section and one interface of Ethernet whose times are nanoseconds.
pub(crate) fn section() -> Vec<u8> {
    let head = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let interface = [&[1, 0, 0, 0, 0, 0, 4, 0][..], &option(9, &[9]), &option(0, b"")].concat();
    [block(0x0a0d_0d0a, &head), block(1, &interface)].concat()
}

/// A packet of interface 0, so many milliseconds after the start.
pub(crate) fn enhanced(millis: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
    let nanos = START_S * 1_000_000_000 + millis * 1_000_000;
    let (high, low) = (nanos >> 32, nanos & 0xffff_ffff);
    let length = u64::try_from(frame.len()).unwrap();
    let mut body = Vec::new();
    for word in [0, high, low, length, length] {
        body.extend(u32::try_from(word).unwrap().to_le_bytes());
    }
    body.extend(frame);
    body.resize(20 + frame.len().next_multiple_of(4), 0);
    body.extend(options);
    block(6, &body)
}

/// An answer of DNS: `name` is `address`, by way of another name.
pub(crate) fn dns_answer(name: &str, address: IpAddr) -> Vec<u8> {
    let mut bytes = vec![0, 9, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    // CNAME, then the address under the other name.
    bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
    let (kind, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (28, address.octets().to_vec()),
    };
    bytes.extend([1, b'x', 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, 0]);
    bytes.push(u8::try_from(octets.len()).unwrap());
    bytes.extend(octets);
    bytes
}

/// A ClientHello that asks for `name` after `padding` bytes of another extension.
pub(crate) fn client_hello(name: &str, padding: usize) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut extensions = [&[0, 21][..], &short(padding), &vec![0; padding]].concat();
    let host = [&[0][..], &short(name.len()), name.as_bytes()].concat();
    let list = [&short(host.len())[..], &host].concat();
    extensions.extend([&[0, 0][..], &short(list.len()), &list].concat());
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(short(extensions.len()));
    body.extend(extensions);
    let length = short(body.len());
    let hello = [&[1, 0][..], &length, &body].concat();
    [&[22, 3, 1][..], &short(hello.len()), &hello].concat()
}
