//! Ends established connections that new policies deny.
//!
//! A change of policy leaves established connections alone, for NetworkPolicy v1 leaves that open
//! and most implementations do. To count those that are denied now, or to end them, the kernel's
//! connection table is read and each connection of a subject of this place is judged by
//! `RuleSet::decide`. To end them is to make the kernel forget them: their next packet then opens no
//! connection (TCP), or is judged anew (UDP: the initiator's packets are denied; a responder that
//! goes on sending is judged as an initiator).

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
/// Verdicts remembered, so that many connections to one port cost one question.
const VERDICTS_MAX: usize = 65_536;
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;

// linux include/uapi/linux/netfilter/nfnetlink_conntrack.h
const NFNL_SUBSYS_CTNETLINK: u16 = 1 << 8;
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
// linux include/uapi/linux/netfilter/nf_conntrack_common.h and nf_conntrack_tcp.h
const IPS_SEEN_REPLY: u32 = 1 << 1;
const TCP_CONNTRACK_TIME_WAIT: u8 = 7;
const TCP_CONNTRACK_CLOSE: u8 = 8;

/// What becomes of denied connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They go on.
    Spared,
    /// They end.
    Cut,
}

/// What was found among the established connections, and what was ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Established {
    /// Entries in the kernel's table, ended connections that it still remembers among them.
    pub examined: usize,
    /// Connections that are denied now and could still carry data: both ends have sent, and it is
    /// not closed.
    pub denied: usize,
    /// Those of them that were ended.
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
    name: EntryName,
    /// It could still carry data.
    live: bool,
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    port: u16,
}

/// What names an entry to the kernel.
#[derive(Debug)]
struct EntryName {
    family: u8,
    attributes: Vec<u8>,
}

/// Judges all connections of the place by `rules` and gives those that are denied to their fate.
pub(crate) fn judge_all(
    netns: &Path,
    rules: &RuleSet,
    cluster: &Cluster,
    scope: &Scope,
    fate: Fate,
) -> Result<Established, CutError> {
    let mut socket = Socket::open(netns, RECEIVE_BYTES).map_err(CutError::Open)?;
    let mut report = Established::default();
    let mut judge = Judge::new(rules, cluster, scope);
    let mut denied = Vec::new();
    let found = |entry: Entry| {
        if judge.denies(&entry) {
            report.denied += usize::from(entry.live);
            if fate == Fate::Cut {
                denied.push((entry.name, entry.live));
            }
        }
    };
    let (examined, skipped) = dump(&mut socket, found)
        .map_err(|errno| CutError::Netlink(system("read the connection table")(errno)))?;
    (report.examined, report.skipped) = (examined, skipped);
    for (name, live) in denied {
        let request = message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, (name.family, 0), &name.attributes);
        match socket.request(&request) {
            Ok(()) => report.cut += usize::from(live),
            // It ended by itself.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(CutError::Netlink(system("forget a connection")(errno))),
        }
    }
    Ok(report)
}

/// Gives each entry to `found`; returns how many there are, and how many were too many.
fn dump(socket: &mut Socket, mut found: impl FnMut(Entry)) -> Result<(usize, usize), Errno> {
    socket.send(&message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, (0, 0), &[]))?;
    let (mut examined, mut skipped) = (0, 0);
    loop {
        let datagram = socket.receive(MsgFlags::empty())?;
        for message in messages(datagram) {
            match message.kind {
                NLMSG_DONE => return Ok((examined, skipped)),
                NLMSG_ERROR => error_of(message.body)?,
                IPCTNL_MSG_CT_NEW => {
                    examined += 1;
                    if examined > CONNECTIONS_MAX {
                        skipped += 1;
                    } else if let Some(entry) = parse(message) {
                        found(entry);
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
    let name = EntryName { family, attributes: name };
    let source = source_of(original)?;
    // Who replies is the destination after NAT.
    let destination = source_of(reply)?;
    Some(Entry { name, live: is_live(attributes), source, destination, protocol, port })
}

/// Whether the kernel takes further packets as those of an established connection, and its ends
/// still may send them. What the kernel does not say counts as live.
fn is_live(attributes: Attributes<'_>) -> bool {
    let status = attributes.find(CTA_STATUS).and_then(|bytes| bytes.first_chunk());
    let answered = status.is_none_or(|bytes| u32::from_be_bytes(*bytes) & IPS_SEEN_REPLY != 0);
    let tcp = attributes.nested(CTA_PROTOINFO).and_then(|info| info.nested(CTA_PROTOINFO_TCP));
    let state = tcp.and_then(|tcp| tcp.find(CTA_PROTOINFO_TCP_STATE)?.first().copied());
    answered && !matches!(state, Some(TCP_CONNTRACK_TIME_WAIT | TCP_CONNTRACK_CLOSE))
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
    /// By source, destination, protocol and port, at most [`VERDICTS_MAX`].
    verdicts: BTreeMap<(IpAddr, IpAddr, Protocol, u16), bool>,
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
        Self { rules, cluster, scope, peers, verdicts: BTreeMap::new() }
    }

    /// Whether a subject of this place denies the connection in its direction.
    fn denies(&mut self, entry: &Entry) -> bool {
        let key = (entry.source, entry.destination, entry.protocol, entry.port);
        if let Some(verdict) = self.verdicts.get(&key) {
            return *verdict;
        }
        let verdict = self.judge(entry);
        if self.verdicts.len() < VERDICTS_MAX {
            self.verdicts.insert(key, verdict);
        }
        verdict
    }

    fn judge(&self, entry: &Entry) -> bool {
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
