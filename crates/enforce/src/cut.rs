//! Ends established connections that new policies deny.
//!
//! A change of policy leaves established connections alone, for NetworkPolicy v1 leaves that open
//! and most implementations do. When they must end, the kernel's connection table is read, each
//! connection of a subject of this place is judged by `RuleSet::decide`, and denied ones are
//! forgotten by the kernel. Their next packet then opens no connection (TCP), or is judged anew
//! (UDP: the initiator's packets are denied; a responder that goes on sending is judged as an
//! initiator).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use sekisho_model::{PartyKind, Protocol};
use sekisho_policy::{Cluster, Connection, Endpoint, Peer, RuleSet};

use crate::netlink::{
    Attributes, Message, NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR,
    NetlinkError, Socket, error_of, message, messages, push_attribute, system,
};
use crate::scope::{Scope, ScopeKind};

/// Connections judged at most; more are left alone and counted.
pub const CONNECTIONS_MAX: usize = 4_000_000;
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;

// linux include/uapi/linux/netfilter/nfnetlink_conntrack.h
const NFNL_SUBSYS_CTNETLINK: u16 = 1 << 8;
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;

/// What was looked at and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Connections in the kernel's table.
    pub examined: usize,
    /// Connections that were denied and forgotten.
    pub cut: usize,
    /// Connections beyond [`CONNECTIONS_MAX`], left alone.
    pub skipped: usize,
}

/// The connection table could not be read or changed; what was cut until then stays cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// No netlink socket.
    #[error("open the connection table")]
    Open(#[source] NetlinkError),
    /// Reading or deleting failed.
    #[error("end established connections")]
    Netlink(#[source] NetlinkError),
}

/// One entry of the kernel's connection table.
#[derive(Debug)]
struct Entry {
    family: u8,
    /// Attributes that name the entry to the kernel.
    name: Vec<u8>,
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    port: u16,
}

/// Judges all connections of the place and ends those that `rules` deny.
pub(crate) fn cut(
    netns: &Path,
    rules: &RuleSet,
    cluster: &Cluster,
    scope: &Scope,
) -> Result<CutReport, CutError> {
    let mut socket = Socket::open(netns, RECEIVE_BYTES).map_err(CutError::Open)?;
    let mut report = CutReport::default();
    let entries = dump(&mut socket, &mut report)
        .map_err(|errno| CutError::Netlink(system("read the connection table")(errno)))?;
    let judge = Judge::new(rules, cluster, scope);
    for entry in entries.iter().filter(|entry| judge.denies(entry)) {
        let request = message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, (entry.family, 0), &entry.name);
        match socket.request(&request) {
            Ok(()) => report.cut += 1,
            // It ended by itself.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(CutError::Netlink(system("forget a connection")(errno))),
        }
    }
    Ok(report)
}

fn dump(socket: &mut Socket, report: &mut CutReport) -> Result<Vec<Entry>, Errno> {
    socket.send(&message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, (0, 0), &[]))?;
    let mut entries = Vec::new();
    loop {
        let datagram = socket.receive(MsgFlags::empty())?;
        for message in messages(datagram) {
            match message.kind {
                NLMSG_DONE => return Ok(entries),
                NLMSG_ERROR => error_of(message.body)?,
                IPCTNL_MSG_CT_NEW => {
                    report.examined += 1;
                    if entries.len() >= CONNECTIONS_MAX {
                        report.skipped += 1;
                    } else {
                        entries.extend(parse(message));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Reads an entry; None for protocols that no policy names by port.
fn parse(message: Message<'_>) -> Option<Entry> {
    let (family, attributes) = message.netfilter()?;
    let original = attributes.nested(CTA_TUPLE_ORIG)?;
    let reply = attributes.nested(CTA_TUPLE_REPLY)?;
    let number = *original.nested(CTA_TUPLE_PROTO)?.find(CTA_PROTO_NUM)?.first()?;
    let protocol = match number {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        1 | 58 => Protocol::Icmp,
        _ => return None,
    };
    let port = match protocol {
        Protocol::Icmp => 0,
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => {
            let port = reply.nested(CTA_TUPLE_PROTO)?.find(CTA_PROTO_SRC_PORT)?;
            u16::from_be_bytes(*port.first_chunk()?)
        }
    };
    let mut name = Vec::new();
    push_attribute(&mut name, CTA_TUPLE_ORIG | NLA_F_NESTED, attributes.find(CTA_TUPLE_ORIG)?);
    for kind in [CTA_ID, CTA_ZONE] {
        if let Some(value) = attributes.find(kind) {
            push_attribute(&mut name, kind, value);
        }
    }
    let source = source_of(original)?;
    // Who replies is the destination after NAT.
    let destination = source_of(reply)?;
    Some(Entry { family, name, source, destination, protocol, port })
}

fn source_of(tuple: Attributes<'_>) -> Option<IpAddr> {
    let ip = tuple.nested(CTA_TUPLE_IP)?;
    if let Some(bytes) = ip.find(CTA_IP_V4_SRC) {
        let octets: [u8; 4] = *bytes.first_chunk()?;
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets: [u8; 16] = *ip.find(CTA_IP_V6_SRC)?.first_chunk()?;
    Some(Ipv6Addr::from(octets).into())
}

/// Asks the evaluator about entries.
struct Judge<'a> {
    rules: &'a RuleSet,
    cluster: &'a Cluster,
    scope: &'a Scope,
    peers: BTreeMap<IpAddr, Peer<'a>>,
}

impl<'a> Judge<'a> {
    fn new(rules: &'a RuleSet, cluster: &'a Cluster, scope: &'a Scope) -> Self {
        let mut peers = BTreeMap::new();
        for (name, addresses) in &cluster.nodes {
            for address in addresses {
                let address = address.to_canonical();
                peers.insert(address, Peer::Node { name, address: Some(address) });
            }
        }
        for endpoint in cluster.endpoints.iter().filter(|endpoint| !endpoint.host_network) {
            let addresses = endpoint.addresses.iter().map(IpAddr::to_canonical);
            peers.extend(addresses.map(|address| (address, Peer::Endpoint(endpoint))));
        }
        Self { rules, cluster, scope, peers }
    }

    /// Whether a subject of this place denies the connection in its direction.
    fn denies(&self, entry: &Entry) -> bool {
        let peer =
            |address: IpAddr| self.peers.get(&address).copied().unwrap_or(Peer::Address(address));
        let (source, destination) = (peer(entry.source), peer(entry.destination));
        if !self.is_local(source) && !self.is_local(destination) {
            return false;
        }
        let connection = Connection {
            source,
            destination,
            source_address: Some(entry.source),
            destination_address: Some(entry.destination),
            protocol: entry.protocol,
            port: entry.port,
        };
        let decision = self.rules.decide(self.cluster, &connection);
        (self.is_local(source) && !decision.egress.allows())
            || (self.is_local(destination) && !decision.ingress.allows())
    }

    fn is_local(&self, peer: Peer<'_>) -> bool {
        match peer {
            Peer::Endpoint(endpoint) => self.is_subject_here(endpoint),
            Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_) => false,
        }
    }

    fn is_subject_here(&self, endpoint: &Endpoint) -> bool {
        match self.scope.kind {
            ScopeKind::Node => endpoint.node.as_deref() == Some(&self.scope.node),
            ScopeKind::Host => endpoint.kind == PartyKind::Host && endpoint.name == self.scope.node,
        }
    }
}
