//! From a record to a flow: who its ends are, from what the record says and from the inventory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use sekisho_flow::Directory;
use sekisho_model::{
    ClusterName, EdgeKey, EdgeStats, Flow, Labels, Party, PartyKind, Process, Reporters, Timestamp,
    WorkloadRef,
};

use crate::record::{End, Identity, Record, Side, Sums};
use crate::tuples::Seen;

/// Makes flows; equal parties and processes are one in memory.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    parties: IndexSet<Arc<Party>, foldhash::fast::FixedState>,
    processes: IndexSet<Arc<Process>, foldhash::fast::FixedState>,
    /// Parties of identities, by where these are in memory and by address: most records say what one
    /// said before.
    named: IndexMap<(usize, IpAddr), NamedBefore, foldhash::fast::FixedState>,
    /// Other tools know one cluster.
    cluster: ClusterName,
}

/// A party that was made of an identity.
#[derive(Debug)]
struct NamedBefore {
    /// Held, so that nobody else comes to stand at its place in memory.
    identity: Arc<Identity>,
    /// Who of the inventory had the address.
    holder: Option<Arc<Party>>,
    party: Arc<Party>,
}

/// Distinct parties and processes that are kept; then both are dropped and found again.
const SHARED_MAX: usize = 200_000;

impl Resolver {
    /// The flow of a record.
    pub(crate) fn flow(&mut self, record: Record, seen: Seen, directory: &dyn Directory) -> Flow {
        let Record { source, destination, sums, side, .. } = record;
        let (source, destination, sums, side) = if seen.swap {
            (destination, source, turned(sums), opposite(side))
        } else {
            (source, destination, sums, side)
        };
        let at = record.start;
        let address = |end: &End| {
            let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            SocketAddr::new(end.address.unwrap_or(unknown), end.port)
        };
        let (from, to) = (address(&source), address(&destination));
        let asked = record.asked.unwrap_or(to);
        let asked = directory.service_at(asked, record.protocol, at).map(|target| target.service);
        let key = EdgeKey {
            source: self.party(&source, directory, at),
            destination: self.party(&destination, directory, at),
            source_process: source.process.map(|process| self.process(process)),
            destination_process: destination.process.map(|process| self.process(process)),
            protocol: record.protocol,
            port: to.port(),
            service: record.service.or(asked),
            verdict: record.verdict,
            decided_by: record.decided_by,
            direction_inferred: seen.inferred,
            cluster: self.cluster.clone(),
        };
        let counted = if seen.counts { sums } else { Sums::default() };
        let stats = EdgeStats {
            connections: seen.connections,
            bytes_sent: counted.bytes_sent,
            bytes_received: counted.bytes_received,
            packets_sent: counted.packets_sent,
            packets_received: counted.packets_received,
            resets: u64::from(record.reset),
            first_seen: record.start,
            last_seen: record.end.max(record.start),
            reporters: reporters(side),
            loss: false,
        };
        Flow { key, source: from, destination: to, opened: record.start, stats }
    }

    fn party(&mut self, end: &End, directory: &dyn Directory, at: Timestamp) -> Arc<Party> {
        // Externals have names of their own as well; all others are named by the two alone.
        if let (Some(identity), Some(address)) = (&end.identity, end.address)
            && identity.kind != PartyKind::External
        {
            let holder = directory.holder_of_address(address, at);
            return self.named_before((identity, address), end, holder);
        }
        let name = end.dns_name.as_deref();
        let known = end.address.map(|address| directory.party_of_address(address, name, at));
        let party = match (&end.identity, known) {
            (Some(identity), known) => Arc::new(named(identity, end, known.as_deref())),
            (None, Some(known)) if known.address == end.address => known,
            (None, Some(known)) => Arc::new(Party { address: end.address, ..Party::clone(&known) }),
            (None, None) => Arc::new(nobody(name)),
        };
        self.shared(party)
    }

    fn named_before(
        &mut self,
        (identity, address): (&Arc<Identity>, IpAddr),
        end: &End,
        holder: Option<Arc<Party>>,
    ) -> Arc<Party> {
        let key = (Arc::as_ptr(identity).addr(), address);
        if let Some(known) = self.named.get(&key)
            && is_same(known.holder.as_ref(), holder.as_ref())
            && Arc::ptr_eq(&known.identity, identity)
        {
            return Arc::clone(&known.party);
        }
        let party = self.shared(Arc::new(named(identity, end, holder.as_deref())));
        if self.named.len() >= SHARED_MAX {
            self.named.clear();
        }
        let identity = Arc::clone(identity);
        self.named.insert(key, NamedBefore { identity, holder, party: Arc::clone(&party) });
        party
    }

    /// The one in memory that equals it.
    fn shared(&mut self, party: Arc<Party>) -> Arc<Party> {
        if self.parties.len() >= SHARED_MAX {
            self.parties.clear();
        }
        let index = self.parties.insert_full(party).0;
        self.parties.get_index(index).map_or_else(|| Arc::new(nobody(None)), Arc::clone)
    }

    fn process(&mut self, process: Process) -> Arc<Process> {
        if self.processes.len() >= SHARED_MAX {
            self.processes.clear();
        }
        if let Some(known) = self.processes.get(&process) {
            return Arc::clone(known);
        }
        let process = Arc::new(process);
        self.processes.insert(Arc::clone(&process));
        process
    }
}

/// Whether both are one party; most of the time they are one in memory.
fn is_same(a: Option<&Arc<Party>>, b: Option<&Arc<Party>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn reporters(side: Side) -> Reporters {
    Reporters {
        source: side == Side::Source,
        destination: side == Side::Destination,
        datapath: false,
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Source => Side::Destination,
        Side::Destination => Side::Source,
        Side::Between => Side::Between,
    }
}

/// The same from the other end.
pub(crate) fn turned(sums: Sums) -> Sums {
    Sums {
        bytes_sent: sums.bytes_received,
        bytes_received: sums.bytes_sent,
        packets_sent: sums.packets_received,
        packets_received: sums.packets_sent,
    }
}

/// The party of an identity that the record gives. What the record leaves out (owner, labels) comes
/// from the inventory, if it knows the same pod.
fn named(identity: &Identity, end: &End, known: Option<&Party>) -> Party {
    if let Some(node) = known.filter(|known| known.kind == PartyKind::Node)
        && identity.kind == PartyKind::Node
    {
        return Party { address: end.address, ..node.clone() };
    }
    // What the record calls a machine outside, the inventory may know better.
    if let Some(known) = known
        && identity.kind == PartyKind::External
        && !matches!(known.kind, PartyKind::External | PartyKind::Unknown)
    {
        return Party { address: end.address, ..known.clone() };
    }
    let same = known.filter(|known| {
        known.kind == identity.kind
            && known.workload.namespace == identity.namespace
            && known.pod == identity.name
    });
    let (own, pod) = match identity.kind {
        PartyKind::Pod if identity.name.ends_with('*') => ("Pod", String::new()),
        PartyKind::Pod => ("Pod", identity.name.clone()),
        PartyKind::Service => ("Service", String::new()),
        PartyKind::Node => ("Node", String::new()),
        PartyKind::Host => ("Host", String::new()),
        PartyKind::External => ("External", String::new()),
        PartyKind::Unknown => ("Unknown", String::new()),
    };
    let itself = || WorkloadRef {
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
        kind: own.to_owned(),
    };
    let workload = same.map(|known| known.workload.clone());
    let workload = workload.or_else(|| identity.workload.clone()).unwrap_or_else(itself);
    let labels = match same {
        Some(known) if identity.labels.is_empty() => known.labels.clone(),
        Some(_) | None => identity.labels.clone(),
    };
    let dns_name = end.dns_name.clone().filter(|_| identity.kind == PartyKind::External);
    Party { kind: identity.kind, workload, pod, labels, address: end.address, dns_name }
}

/// The party of an end that the record leaves open.
fn nobody(name: Option<&str>) -> Party {
    let (kind, word) = match name {
        Some(_) => (PartyKind::External, "External"),
        None => (PartyKind::Unknown, "Unknown"),
    };
    Party {
        kind,
        workload: WorkloadRef {
            namespace: String::new(),
            name: name.unwrap_or("unknown").to_owned(),
            kind: word.to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address: None,
        dns_name: name.map(str::to_owned),
    }
}
