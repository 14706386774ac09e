//! What a test's processes do: this very test binary, started again with `SEKISHO_ACT` set.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use sekisho_observe::{Observer, ObserverOptions};
use sekisho_system::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// Not a claim but the door through which the test binary becomes an actor.
#[test]
fn act() {
    let Ok(line) = std::env::var("SEKISHO_ACT") else { return };
    let words: Vec<&str> = line.split_whitespace().collect();
    let (verb, rest) = words.split_first().unwrap();
    println!("pid {verb} {}", std::process::id());
    let number = |index: usize| rest[index].parse::<usize>().unwrap();
    match *verb {
        "serve" => serve(rest[0].parse().unwrap(), number(1)),
        "abort" => abort(rest[0].parse().unwrap()),
        "connect" => connect(rest[0].parse().unwrap(), number(1), number(2)),
        "hold" => hold(rest[0].parse().unwrap(), rest[1]),
        "refused" => assert!(TcpStream::connect(rest[0].parse::<SocketAddr>().unwrap()).is_err()),
        "udp-serve" => udp_serve(rest[0].parse().unwrap(), number(1)),
        "udp-send" => udp_send(rest[0].parse().unwrap(), number(1), number(2)),
        "udp-throw" => udp_throw(rest[0].parse().unwrap(), number(1), rest.get(2)),
        "udp-deaf" => udp_deaf(rest[0].parse().unwrap(), rest[1]),
        "udp-spoil" => udp_spoil(rest[0].parse().unwrap(), rest[1].parse().unwrap(), number(2)),
        "dns-serve" => dns_serve(number(0)),
        "dns-ask" => dns_ask(rest[0]),
        "doctor" => tell_doctor(rest[0]),
        _ => panic!("no such act: {line}"),
    }
}

fn ready() {
    std::fs::write("ready", "").unwrap();
}

/// Accepts `count` connections one after the other and sends back what each sent.
fn serve(address: SocketAddr, count: usize) {
    let listener = TcpListener::bind(address).unwrap();
    ready();
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    }
}

/// Accepts one connection and closes it with unread data, which resets it.
fn abort(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    ready();
    let (stream, _) = listener.accept().unwrap();
    stream.peek(&mut [0; 1]).unwrap();
}

fn connect(address: SocketAddr, bytes: usize, count: usize) {
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&vec![7; bytes]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A peer that aborts makes this fail, as it should.
        stream.read_to_end(&mut answer).ok();
    }
}

/// Connects, sends 5 bytes, says `held`, and closes when `file` appears.
fn hold(address: SocketAddr, file: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"hello").unwrap();
    std::fs::write("held", "").unwrap();
    wait::until(PATIENCE, || Path::new(file).exists().then_some(())).unwrap();
}

fn udp_serve(address: SocketAddr, count: usize) {
    let socket = UdpSocket::bind(address).unwrap();
    ready();
    for _ in 0..count {
        let mut bytes = [0; 2048];
        let (length, peer) = socket.recv_from(&mut bytes).unwrap();
        socket.send_to(&bytes[..length], peer).unwrap();
    }
}

fn udp_send(address: SocketAddr, bytes: usize, count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..count {
        socket.send_to(&vec![7; bytes], address).unwrap();
        socket.recv_from(&mut [0; 2048]).unwrap();
    }
}

/// Sends `count` datagrams of one byte and waits for nothing.
fn udp_throw(address: SocketAddr, count: usize, from: Option<&&str>) {
    let from = from.map_or(address.ip(), |from| from.parse().unwrap());
    let socket = UdpSocket::bind((from, 0)).unwrap();
    for _ in 0..count {
        socket.send_to(b"x", address).unwrap();
    }
}

/// Binds and never reads, until `file` appears.
fn udp_deaf(address: SocketAddr, file: &str) {
    let _socket = UdpSocket::bind(address).unwrap();
    ready();
    wait::until(PATIENCE, || Path::new(file).exists().then_some(())).unwrap();
}

/// Sends datagrams whose UDP checksum is wrong, by a raw socket that writes the UDP header itself.
fn udp_spoil(from: std::net::Ipv4Addr, to: std::net::SocketAddrV4, count: usize) {
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
    };
    use std::os::fd::AsRawFd;

    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Udp);
    let raw = raw.unwrap_or_else(|errno| panic!("raw socket from {from}: {errno}"));
    let mut datagram = 4444_u16.to_be_bytes().to_vec();
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(9_u16.to_be_bytes());
    datagram.extend([0xba, 0xad, b'x']);
    for _ in 0..count {
        let to = SockaddrIn::from(to);
        sendto(raw.as_raw_fd(), &datagram, &to, MsgFlags::empty()).unwrap();
    }
}

/// Answers each question with 192.0.2.55, time to live 77 s.
fn dns_serve(count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    ready();
    for _ in 0..count {
        let mut question = [0; 512];
        let (length, peer) = socket.recv_from(&mut question).unwrap();
        let mut answer = question[..length].to_vec();
        answer[2] = 0x81;
        answer[7] = 1;
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 77, 0, 4, 192, 0, 2, 55]);
        socket.send_to(&answer, peer).unwrap();
    }
}

fn dns_ask(name: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:53").unwrap();
    let mut question = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send(&question).unwrap();
    socket.recv(&mut [0; 512]).unwrap();
}

/// Prints what a process without privileges is told.
fn tell_doctor(cgroup: &str) {
    for tier in sekisho_observe::doctor() {
        println!("{} {} {}", tier.area, tier.status, tier.reason);
    }
    let error = Observer::start(ObserverOptions::new(cgroup.into())).unwrap_err();
    println!("start: {error}");
}
