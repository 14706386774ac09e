//! Pokes of upstream conformance tests: the same question to every evaluator, in both address
//! families.

use std::net::IpAddr;

use sekisho_manifest::{Object, parse};
use sekisho_model::Protocol;
use sekisho_policy::{
    Cluster, Connection, Decision, Dialect, Endpoint, Pair, Party, Peer, Reach, RuleSet,
};

/// An address family; every poke is asked in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn holds(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    /// The address of `endpoint` in this family.
    pub(crate) fn address(self, endpoint: &Endpoint) -> IpAddr {
        let address = endpoint.addresses.iter().find(|address| self.holds(**address));
        *address.unwrap_or_else(|| panic!("{endpoint:?}"))
    }

    /// The network that holds `endpoint` alone.
    pub(crate) fn network(self, endpoint: &Endpoint) -> String {
        let bits = if self == Self::V4 { 32 } else { 128 };
        format!("{}/{bits}", self.address(endpoint))
    }

    /// The cluster as it is without the other family, since all pairs are asked about all
    /// addresses at once.
    fn alone(self, cluster: &Cluster) -> Cluster {
        let mut cluster = cluster.clone();
        for endpoint in &mut cluster.endpoints {
            endpoint.addresses.retain(|address| self.holds(*address));
        }
        for addresses in cluster.nodes.values_mut() {
            addresses.retain(|address| self.holds(*address));
        }
        cluster
    }
}

/// A call that is made: the ends, and what is called.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) ends: (&'a Endpoint, &'a Endpoint),
    pub(crate) protocol: &'a str,
    pub(crate) port: u16,
}

/// A cluster under policies, asked in one address family.
pub(crate) struct Scene {
    family: Family,
    rules: RuleSet,
    pub(crate) cluster: Cluster,
    reach: Reach,
}

/// What each evaluator says of a call.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The plain evaluator, with its reasons.
    pub(crate) decision: Decision,
    /// Whether the ports that the pair may use hold the port.
    pair: bool,
    /// Whether the engine of all pairs allows it.
    all_pairs: bool,
    /// The plain evaluator about the node of a server that shares its network.
    node: Option<bool>,
}

impl Answer {
    /// Whether all evaluators say so.
    pub(crate) fn is(&self, allowed: bool) -> bool {
        let said = [self.decision.allows(), self.pair, self.all_pairs];
        said == [allowed; 3] && self.node.is_none_or(|node| node == allowed)
    }
}

impl Scene {
    /// Reads a cluster and its policies; every document must be of a kind that is read.
    pub(crate) fn of(case: &str, family: Family, text: &str) -> Self {
        let objects = parse(case, text).unwrap_or_else(|errors| panic!("{case}: {errors:#?}"));
        for object in &objects {
            assert!(!matches!(object, Object::Other(_)), "{case}: not read: {}", object.kind());
        }
        let rules = RuleSet::from_objects(&objects, Dialect::Spec);
        let cluster = Cluster::from_objects(&objects);
        let reach = Reach::new(&rules, &family.alone(&cluster));
        Self { family, rules, cluster, reach }
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> &Endpoint {
        let pod = self.cluster.endpoint_of_pod(namespace, name);
        pod.unwrap_or_else(|| panic!("no pod {namespace}/{name}"))
    }

    /// Asks every evaluator.
    pub(crate) fn ask(&self, call: Call<'_>) -> Answer {
        let protocol: Protocol = call.protocol.parse().unwrap();
        let (client, server) = call.ends;
        let addresses = (self.family.address(client), self.family.address(server));
        let pair = Pair {
            source: Peer::Endpoint(client),
            destination: Peer::Endpoint(server),
            source_address: Some(addresses.0),
            destination_address: Some(addresses.1),
        };
        let decide = |destination| {
            let connection = Connection {
                source: pair.source,
                destination,
                source_address: pair.source_address,
                destination_address: pair.destination_address,
                protocol,
                port: call.port,
            };
            self.rules.decide(&self.cluster, &connection)
        };
        let node = server.node.as_deref().filter(|_| server.host_network);
        let (source, destination) = (self.party(client), self.party(server));
        Answer {
            decision: decide(pair.destination),
            pair: self
                .rules
                .decide_pair(&self.cluster, &pair)
                .allowed()
                .contains(protocol, call.port),
            all_pairs: self.reach.allows(source, destination, protocol, call.port),
            node: node.map(|name| decide(Peer::Node { name, address: Some(addresses.1) }).allows()),
        }
    }

    /// The party of all pairs that holds `pod`.
    fn party(&self, pod: &Endpoint) -> usize {
        let is_pod = |index: &usize| self.cluster.endpoints[*index].is(pod);
        let holds = |party: &Party| match party {
            Party::Endpoints(indices) => indices.iter().any(is_pod),
            Party::Addresses(_) | Party::Domain(_) => false,
        };
        let party = self.reach.parties().iter().position(holds);
        party.unwrap_or_else(|| panic!("{} is of no party", pod.name))
    }
}
