//! Opens connections from a namespace and tells which the kernel let through. Nobody listens: a
//! refusal (or an echo) proves that the packet arrived and the answer came back.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, getsockopt,
    socket, sockopt,
};
use sekisho_model::Protocol;
use sekisho_system::netns;

use crate::sctp::Ear;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: Protocol,
    /// 0 for ICMP.
    pub(crate) port: u16,
}

enum Probe {
    Tcp(OwnedFd),
    Datagram(UdpSocket),
    /// An SCTP packet on its way.
    Sctp,
    Refused,
}

/// Pokes all `targets` at once from inside `path`; true where an answer came within `deadline`.
pub(crate) fn all(path: &Path, targets: &[Target], deadline: Duration) -> Vec<bool> {
    let targets = targets.to_vec();
    netns::within(path, move || run(&targets, deadline)).unwrap()
}

fn run(targets: &[Target], deadline: Duration) -> Vec<bool> {
    let end = Instant::now() + deadline;
    let ear = targets.iter().any(|target| target.protocol == Protocol::Sctp).then(Ear::new);
    let probes: Vec<Probe> = targets.iter().map(|target| start(target).unwrap()).collect();
    let mut answered: Vec<Option<bool>> =
        probes.iter().map(|probe| matches!(probe, Probe::Refused).then_some(false)).collect();
    loop {
        let open: Vec<usize> = (0..probes.len()).filter(|i| answered[*i].is_none()).collect();
        let left = end.saturating_duration_since(Instant::now());
        if open.is_empty() || left.is_zero() {
            break;
        }
        for heard in ear.iter().flat_map(Ear::heard) {
            let same = |target: &Target| {
                target.protocol == Protocol::Sctp && (target.destination, target.port) == heard
            };
            for i in open.iter().filter(|i| same(&targets[**i])) {
                answered[*i] = Some(true);
            }
        }
        let watched: Vec<usize> =
            open.into_iter().filter(|i| !matches!(probes[*i], Probe::Sctp)).collect();
        let mut waiting: Vec<PollFd<'_>> = watched.iter().map(|i| watch(&probes[*i])).collect();
        // Errors about SCTP are looked for now and then.
        let timeout = PollTimeout::try_from(left.min(Duration::from_millis(20))).unwrap();
        poll(&mut waiting, timeout).unwrap();
        for (fd, i) in waiting.iter().zip(&watched) {
            if fd.revents().is_some_and(|events| !events.is_empty()) {
                answered[*i] = Some(finish(&probes[*i], &targets[*i]));
            }
        }
    }
    answered.into_iter().map(|answer| answer.unwrap_or(false)).collect()
}

/// Binds to the source. Datagrams leave from ports in turn: a random one might be that of a flow
/// which an earlier policy allowed, and the kernel lets what is established go on for two minutes.
fn bind_to(fd: &OwnedFd, target: &Target) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = match target.protocol {
            Protocol::Udp => {
                let turn = NEXT.fetch_add(1, Ordering::Relaxed);
                u16::try_from(10_000 + turn % 50_000).unwrap()
            }
            Protocol::Tcp | Protocol::Icmp | Protocol::Sctp => 0,
        };
        let local = SockaddrStorage::from(SocketAddr::new(target.source, port));
        match bind(fd.as_raw_fd(), &local) {
            Err(Errno::EADDRINUSE) if port != 0 => {}
            done => return Ok(done?),
        }
    }
}

fn watch(probe: &Probe) -> PollFd<'_> {
    match probe {
        Probe::Tcp(fd) => PollFd::new(fd.as_fd(), PollFlags::POLLOUT),
        Probe::Datagram(socket) => PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        Probe::Sctp | Probe::Refused => unreachable!("has no socket to wait for"),
    }
}

fn start(target: &Target) -> io::Result<Probe> {
    if target.protocol == Protocol::Sctp {
        return Ok(if Ear::send(target) { Probe::Sctp } else { Probe::Refused });
    }
    let family = if target.source.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, protocol) = match target.protocol {
        Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
        Protocol::Icmp if target.source.is_ipv4() => (SockType::Datagram, SockProtocol::Icmp),
        Protocol::Icmp => (SockType::Datagram, SockProtocol::IcmpV6),
        Protocol::Sctp => unreachable!("sent by hand"),
    };
    let fd = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, protocol)?;
    bind_to(&fd, target)?;
    let remote = SockaddrStorage::from(SocketAddr::new(target.destination, target.port));
    match connect(fd.as_raw_fd(), &remote) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::ECONNREFUSED) => {}
        Err(Errno::EPERM) => return Ok(Probe::Refused),
        Err(errno) => return Err(errno.into()),
    }
    if target.protocol == Protocol::Tcp {
        return Ok(Probe::Tcp(fd));
    }
    let socket = UdpSocket::from(fd);
    let echo = if target.source.is_ipv4() { 8 } else { 128 };
    match socket.send(&[echo, 0, 0, 0, 0, 1, 0, 1]) {
        Ok(_) => Ok(Probe::Datagram(socket)),
        // The host's own output was dropped.
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => Ok(Probe::Refused),
        Err(error) => Err(error),
    }
}

/// Whether an event on the socket is an answer.
fn finish(probe: &Probe, target: &Target) -> bool {
    match probe {
        Probe::Tcp(fd) => match getsockopt(fd, sockopt::SocketError).unwrap() {
            0 => true,
            code => match Errno::from_raw(code) {
                Errno::ECONNREFUSED => true,
                Errno::EPERM => false,
                other => panic!("{target:?}: {other}"),
            },
        },
        Probe::Datagram(socket) => match socket.recv(&mut [0; 64]) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
            Err(error) => panic!("{target:?}: {error}"),
        },
        Probe::Sctp | Probe::Refused => false,
    }
}
