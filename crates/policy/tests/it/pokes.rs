//! Pokes of upstream conformance tests: the same question in both address families.

use std::net::IpAddr;

use sekisho_manifest::{Object, parse};
use sekisho_policy::{Cluster, Connection, Decision, Dialect, Endpoint, Peer, RuleSet};

/// An address family; every poke is asked in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address of `endpoint` in this family.
    pub(crate) fn address(self, endpoint: &Endpoint) -> IpAddr {
        let wanted = |address: &&IpAddr| address.is_ipv4() == (self == Self::V4);
        *endpoint.addresses.iter().find(wanted).unwrap_or_else(|| panic!("{endpoint:?}"))
    }

    /// The network that holds `endpoint` alone.
    pub(crate) fn network(self, endpoint: &Endpoint) -> String {
        let bits = if self == Self::V4 { 32 } else { 128 };
        format!("{}/{bits}", self.address(endpoint))
    }
}

/// A cluster under policies.
pub(crate) struct Scene {
    rules: RuleSet,
    pub(crate) cluster: Cluster,
}

impl Scene {
    /// Reads a cluster and its policies; every document must be of a kind that is read.
    pub(crate) fn of(case: &str, text: &str) -> Self {
        let objects = parse(case, text).unwrap_or_else(|errors| panic!("{case}: {errors:#?}"));
        for object in &objects {
            assert!(!matches!(object, Object::Other(_)), "{case}: not read: {}", object.kind());
        }
        let rules = RuleSet::from_objects(&objects, Dialect::Spec);
        Self { rules, cluster: Cluster::from_objects(&objects) }
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> &Endpoint {
        let pod = self.cluster.endpoint_of_pod(namespace, name);
        pod.unwrap_or_else(|| panic!("no pod {namespace}/{name}"))
    }

    /// Decides a call between the addresses that the ends have in `family`.
    pub(crate) fn decide(
        &self,
        family: Family,
        ends: (&Endpoint, &Endpoint),
        (protocol, port): (&str, u16),
    ) -> Decision {
        let connection = |destination| Connection {
            source: Peer::Endpoint(ends.0),
            destination,
            source_address: Some(family.address(ends.0)),
            destination_address: Some(family.address(ends.1)),
            protocol: protocol.parse().unwrap(),
            port,
        };
        let decide = |peer| self.rules.decide(&self.cluster, &connection(peer));
        let decision = decide(Peer::Endpoint(ends.1));
        if let (true, Some(name)) = (ends.1.host_network, &ends.1.node) {
            // A host-network pod is its node, and answers as it.
            let node = decide(Peer::Node { name, address: Some(family.address(ends.1)) });
            assert_eq!(node.allows(), decision.allows(), "{} and {name} differ", ends.1.name);
        }
        decision
    }
}
