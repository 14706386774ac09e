//! All the ways a record can be read, as connections to decide.
//!
//! What history does not tell is not guessed: each way to fill the gap becomes a case of its own,
//! and only an answer that all of them share counts. Gaps are: ports of a pod that is gone, the
//! node of a pod that is gone, the backend behind a Service address, and an inferred direction.
//! Where rules only allow, the two extremes for unknown ports (no name fits, every name fits) cover
//! all that lies between; where rules by name deny or pass too, each name alone is a case as well,
//! since a port has one name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_manifest::{ContainerPort, LabelSelector, PortRef, Service};
use sekisho_model::{Party, PartyKind, Protocol, WorkloadRef};
use sekisho_policy::{Cluster, Connection, Endpoint, Peer};

use crate::judge::Question;
use crate::rule_ports::RulePorts;

/// One end of a case.
#[derive(Clone)]
enum End {
    Endpoint { endpoint: Arc<Endpoint>, ports_known: bool },
    Node(String),
    Address(IpAddr),
}

/// An end and the address it used.
#[derive(Clone)]
struct Stand {
    end: End,
    address: Option<IpAddr>,
}

/// One way to read a record.
#[derive(Clone)]
pub(crate) struct Case {
    source: Stand,
    destination: Stand,
    port: u16,
    /// A node reached a pod that is gone, read as another node than the pod's own. What the node
    /// says to pods that are there is told by these, so nothing is lost by this reading alone.
    pub(crate) is_other_node: bool,
}

/// All ways to read a record; at least one.
pub(crate) struct Cases {
    pub(crate) first: Case,
    pub(crate) others: Vec<Case>,
    pub(crate) protocol: Protocol,
    /// Why there are others, in words.
    pub(crate) doubt: String,
}

impl Stand {
    fn peer(&self) -> Peer<'_> {
        match &self.end {
            End::Endpoint { endpoint, .. } => Peer::Endpoint(endpoint),
            End::Node(name) => Peer::Node { name, address: self.address },
            End::Address(address) => Peer::Address(*address),
        }
    }
}

impl Case {
    /// The question for the evaluator.
    pub(crate) fn connection(&self, protocol: Protocol) -> Connection<'_> {
        Connection {
            source: self.source.peer(),
            destination: self.destination.peer(),
            source_address: self.source.address,
            destination_address: self.destination.address,
            protocol,
            port: self.port,
        }
    }
}

/// A party of which everything that policies look at is known.
pub(crate) enum Certain {
    /// A pod or host, and the address it used.
    Endpoint(Arc<Endpoint>, IpAddr),
    /// An external address.
    Address(IpAddr),
}

/// Makes cases from the cluster and the ports that policies name.
pub(crate) struct CaseBuilder<'a> {
    cluster: &'a Cluster,
    by_name: BTreeMap<(&'a str, &'a str), &'a Endpoint>,
    by_workload: BTreeMap<&'a WorkloadRef, Vec<&'a Endpoint>>,
    /// Addresses of nodes.
    node_addresses: BTreeSet<IpAddr>,
    ports: RulePorts,
}

impl<'a> CaseBuilder<'a> {
    pub(crate) fn new(cluster: &'a Cluster, ports: RulePorts) -> Self {
        let mut by_name = BTreeMap::new();
        let mut by_workload: BTreeMap<&WorkloadRef, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in &cluster.endpoints {
            by_name.insert((endpoint.namespace.as_str(), endpoint.name.as_str()), endpoint);
            by_workload.entry(&endpoint.workload).or_default().push(endpoint);
        }
        let nodes = cluster.nodes.values().flatten();
        let node_addresses = nodes.map(IpAddr::to_canonical).collect();
        Self { cluster, by_name, by_workload, node_addresses, ports }
    }

    /// The party, if it can be read in one way only, whatever is at the other end, and no node is
    /// involved.
    pub(crate) fn certain(&self, party: &Party) -> Option<Certain> {
        let address = party.address?.to_canonical();
        match party.kind {
            PartyKind::Pod | PartyKind::Host => match self.endpoint(party, "") {
                End::Endpoint { endpoint, ports_known } => {
                    let known = ports_known || self.ports.names.is_empty();
                    let certain = known && !endpoint.host_network;
                    certain.then_some(Certain::Endpoint(endpoint, address))
                }
                End::Node(_) | End::Address(_) => None,
            },
            PartyKind::External => {
                (!self.node_addresses.contains(&address)).then_some(Certain::Address(address))
            }
            PartyKind::Node | PartyKind::Service | PartyKind::Unknown => None,
        }
    }

    /// The cluster without its endpoints.
    pub(crate) fn without_endpoints(&self) -> Cluster {
        let cluster = self.cluster;
        Cluster {
            namespaces: cluster.namespaces.clone(),
            endpoints: Vec::new(),
            nodes: cluster.nodes.clone(),
            services: Vec::new(),
            node_labels: cluster.node_labels.clone(),
            service_accounts: cluster.service_accounts.clone(),
            outside_backends: BTreeMap::new(),
        }
    }

    /// All ways to read `question`.
    ///
    /// # Errors
    /// The reason in words, if the record can't be read at all.
    pub(crate) fn cases(&self, question: &Question<'_>) -> Result<Cases, String> {
        let mut doubts = Vec::new();
        let mut cases = self.base(question, &mut doubts)?;
        if question.inferred {
            self.add_reversed(&mut cases);
            doubts.push("who began the connection was not seen, and it matters".to_owned());
        }
        self.add_unknown_ports(&mut cases, question.protocol, &mut doubts);
        add_unknown_nodes(&mut cases, &mut doubts);
        doubts.dedup();
        let mut cases = cases.into_iter();
        let first = cases.next().ok_or_else(|| "there is no way to read it".to_owned())?;
        let doubt = doubts.join("; ");
        Ok(Cases { first, others: cases.collect(), protocol: question.protocol, doubt })
    }

    /// The cases that stand in the record itself.
    fn base(&self, question: &Question<'_>, doubts: &mut Vec<String>) -> Result<Vec<Case>, String> {
        let source = self.stands(question.source, "source", doubts)?;
        let destinations = if question.destination.kind == PartyKind::Service {
            doubts.push(format!(
                "the backend behind `{}` was not recorded, and its backends differ",
                question.destination
            ));
            self.backends(question)?
        } else {
            let stands = self.stands(question.destination, "destination", doubts)?;
            stands.into_iter().map(|stand| (stand, question.port)).collect()
        };
        let mut cases = Vec::new();
        for source in &source {
            for (destination, port) in &destinations {
                let (source, destination) = (source.clone(), destination.clone());
                cases.push(Case { source, destination, port: *port, is_other_node: false });
            }
        }
        Ok(cases)
    }

    /// What may stand for `party`.
    fn stands(
        &self,
        party: &Party,
        side: &str,
        doubts: &mut Vec<String>,
    ) -> Result<Vec<Stand>, String> {
        let address = party.address;
        match party.kind {
            PartyKind::Pod | PartyKind::Host => {
                Ok(vec![Stand { end: self.endpoint(party, side), address }])
            }
            PartyKind::Node => Ok(self.node(party, doubts)),
            PartyKind::External => match address {
                Some(found) => Ok(vec![Stand { end: End::Address(found), address }]),
                None => Err(format!("the address of `{party}` was not recorded")),
            },
            PartyKind::Service => Err(format!("the {side} is a Service, not what stands behind")),
            PartyKind::Unknown => Err(format!(
                "the {side} `{party}` had an address of the cluster, but nobody knows who it was"
            )),
        }
    }

    /// The pod or host as it was at that time; ports and node as far as they are known today.
    fn endpoint(&self, party: &Party, side: &str) -> End {
        let namespace = party.workload.namespace.as_str();
        let name = match (party.kind, party.pod.is_empty(), party.address) {
            (PartyKind::Pod, false, _) => party.pod.clone(),
            // Two pods of one workload must not look like one pod that reaches itself.
            (PartyKind::Pod, true, Some(address)) => format!("{}@{address}", party.workload.name),
            (PartyKind::Pod, true, None) => format!("{}@{side}", party.workload.name),
            _ => party.workload.name.clone(),
        };
        let known = self.by_name.get(&(namespace, name.as_str())).copied();
        let known = known.filter(|endpoint| endpoint.kind == party.kind);
        let ports = known.map(|endpoint| &endpoint.ports).or_else(|| self.ports_of_workload(party));
        let addresses = match (known, party.address) {
            (Some(known), Some(address)) if known.addresses.contains(&address) => {
                known.addresses.clone()
            }
            (_, Some(address)) => vec![address],
            (Some(known), None) => known.addresses.clone(),
            (None, None) => Vec::new(),
        };
        let endpoint = Endpoint {
            namespace: namespace.to_owned(),
            name,
            workload: party.workload.clone(),
            kind: party.kind,
            labels: party.labels.clone(),
            addresses,
            ports: ports.cloned().unwrap_or_default(),
            host_network: known.is_some_and(|endpoint| endpoint.host_network),
            node: known.and_then(|endpoint| endpoint.node.clone()),
            service_account: known.and_then(|endpoint| endpoint.service_account.clone()),
        };
        End::Endpoint { endpoint: Arc::new(endpoint), ports_known: ports.is_some() }
    }

    /// The ports that all endpoints of the party's workload agree on.
    fn ports_of_workload(&self, party: &Party) -> Option<&'a Vec<ContainerPort>> {
        let endpoints = self.by_workload.get(&party.workload)?;
        let ports = &endpoints.first()?.ports;
        endpoints.iter().all(|endpoint| endpoint.ports == *ports).then_some(ports)
    }

    /// A node, with each of its addresses if the one it used is unknown.
    fn node(&self, party: &Party, doubts: &mut Vec<String>) -> Vec<Stand> {
        let name = &party.workload.name;
        let stand = |address| Stand { end: End::Node(name.clone()), address };
        let known = self.cluster.nodes.get(name).map(Vec::as_slice).unwrap_or_default();
        if party.address.is_some() || known.is_empty() {
            return vec![stand(party.address)];
        }
        doubts.push(format!("which address of node `{name}` was used is not known"));
        known.iter().map(|address| stand(Some(*address))).collect()
    }

    /// The backends that a Service has today, with the port behind each.
    fn backends(&self, question: &Question<'_>) -> Result<Vec<(Stand, u16)>, String> {
        let party = question.destination;
        let what = |why: &str| format!("the backend behind `{party}` was not recorded, and {why}");
        let service = self.cluster.services.iter().find(|service| {
            service.meta.namespace == party.workload.namespace
                && service.meta.name == party.workload.name
        });
        let service = service.ok_or_else(|| what("the Service is gone"))?;
        let port = service
            .ports
            .iter()
            .find(|port| port.port == question.port && port.protocol == question.protocol)
            .ok_or_else(|| what(&format!("the Service has no port {}", question.port)))?;
        if service.selector.is_empty() {
            let backends = self.outside_backends(question, service);
            let why = "the Service has no selector, and no EndpointSlice tells of its backends";
            return if backends.is_empty() { Err(what(why)) } else { Ok(backends) };
        }
        let selector = LabelSelector::of(service.selector.clone());
        let mut backends = Vec::new();
        for endpoint in &self.cluster.endpoints {
            let selected = endpoint.kind == PartyKind::Pod
                && endpoint.namespace == service.meta.namespace
                && selector.matches(&endpoint.labels);
            let number = selected.then(|| target(&port.target_port, endpoint, port.protocol));
            if let Some(number) = number.flatten() {
                let end = End::Endpoint { endpoint: Arc::new(endpoint.clone()), ports_known: true };
                backends.push((Stand { end, address: None }, number));
            }
        }
        if backends.is_empty() {
            return Err(what("the Service has no backend today"));
        }
        Ok(backends)
    }

    /// Who stands behind a Service that selects no pods: nodes or addresses outside.
    fn outside_backends(&self, question: &Question<'_>, service: &Service) -> Vec<(Stand, u16)> {
        let (namespace, name) = (&service.meta.namespace, &service.meta.name);
        let all = self.cluster.outside_backends(namespace, name, question.protocol, question.port);
        let stand = |address: IpAddr| {
            let mut nodes = self.cluster.nodes.iter();
            let end = match nodes.find(|(_, own)| own.contains(&address)) {
                Some((node, _)) => End::Node(node.clone()),
                None => End::Address(address),
            };
            Stand { end, address: Some(address) }
        };
        all.map(|one| (stand(one.address), one.port)).collect()
    }

    /// Adds each case the other way round. The port at what is then the destination was never
    /// recorded: one port of each kind that rules can tell apart stands for all.
    fn add_reversed(&self, cases: &mut Vec<Case>) {
        let mut reversed = Vec::new();
        for case in cases.iter() {
            let mut ports = self.ports.numbers.clone();
            if let End::Endpoint { endpoint, .. } = &case.source.end {
                ports.extend(endpoint.ports.iter().map(|port| port.port));
            }
            for port in ports {
                let (source, destination) = (case.destination.clone(), case.source.clone());
                reversed.push(Case { source, destination, port, is_other_node: false });
            }
        }
        cases.append(&mut reversed);
    }

    /// Adds, for destinations whose ports are unknown, the case that every name fits, and, if that
    /// does not cover it, each name.
    fn add_unknown_ports(
        &self,
        cases: &mut Vec<Case>,
        protocol: Protocol,
        doubts: &mut Vec<String>,
    ) {
        let mut more = Vec::new();
        for case in cases.iter() {
            let End::Endpoint { endpoint, ports_known: false } = &case.destination.end else {
                continue;
            };
            if self.ports.names.is_empty() {
                continue;
            }
            let named = |name: &String| ContainerPort {
                name: name.clone(),
                port: case.port,
                protocol,
                host_port: None,
            };
            doubts.push(format!(
                "a named port decides, and the port names of `{}` are not known",
                endpoint.workload
            ));
            let all: Vec<&String> = self.ports.names.iter().collect();
            let alone = all.chunks(1).filter(|_| self.ports.names_deny && all.len() > 1);
            for names in alone.chain([all.as_slice()]) {
                let mut known = Endpoint::clone(endpoint);
                known.ports = names.iter().map(|name| named(name)).collect();
                let mut case = case.clone();
                case.destination.end =
                    End::Endpoint { endpoint: Arc::new(known), ports_known: true };
                more.push(case);
            }
        }
        cases.append(&mut more);
    }
}

/// Adds, for a node that reaches a pod whose node is unknown, the case that it is the pod's own.
fn add_unknown_nodes(cases: &mut Vec<Case>, doubts: &mut Vec<String>) {
    let mut more = Vec::new();
    for case in cases.iter_mut() {
        let (End::Node(name), End::Endpoint { endpoint, ports_known }) =
            (&case.source.end, &case.destination.end)
        else {
            continue;
        };
        if endpoint.node.is_some() || endpoint.kind != PartyKind::Pod {
            continue;
        }
        let mut own = Endpoint::clone(endpoint);
        own.node = Some(name.clone());
        doubts.push(format!("whether `{}` ran on node `{name}` is not known", endpoint.name));
        let end = End::Endpoint { endpoint: Arc::new(own), ports_known: *ports_known };
        let mut own = case.clone();
        own.destination.end = end;
        case.is_other_node = true;
        more.push(own);
    }
    cases.append(&mut more);
}

/// The number of a Service's target port on `endpoint`; None if it has no such name.
fn target(port: &PortRef, endpoint: &Endpoint, protocol: Protocol) -> Option<u16> {
    match port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => endpoint
            .ports
            .iter()
            .find(|port| port.name == *name && port.protocol == protocol)
            .map(|port| port.port),
    }
}
