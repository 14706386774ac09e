//! What is labelled.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sekisho_model::{ClusterName, Labels, PartyKind, WorkloadRef};

/// Addresses of one asset that are kept: a name on the Internet may have any number.
pub const ADDRESSES_MAX: usize = 256;

/// Something that connects: a workload, a host, a node of the cluster, or an external.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Where it is.
    pub cluster: ClusterName,
    /// Who it is, as in a flow. Unique in a cluster.
    pub workload: WorkloadRef,
    /// Pod (for a workload of pods), Host, Node or External.
    pub kind: PartyKind,
    /// Labels that all its pods have, or the host's, or the node's.
    pub labels: Labels,
    /// Labels of its namespace.
    pub namespace_labels: Labels,
    /// Labels that all nodes have which its pods are on.
    pub node_labels: Labels,
    /// Its addresses, at most [`ADDRESSES_MAX`]; none of a pod in its node's network.
    pub addresses: BTreeSet<IpAddr>,
    /// Ports that it listens on, as far as anybody knows.
    pub ports: BTreeSet<u16>,
    /// It is there now; else history alone knows it.
    pub present: bool,
    /// It took part in the history that is looked at.
    pub seen: bool,
}

impl Asset {
    /// Makes one of which nothing but the name is known.
    #[must_use]
    pub fn new(cluster: ClusterName, workload: WorkloadRef, kind: PartyKind) -> Self {
        Self {
            cluster,
            workload,
            kind,
            labels: Labels::new(),
            namespace_labels: Labels::new(),
            node_labels: Labels::new(),
            addresses: BTreeSet::new(),
            ports: BTreeSet::new(),
            present: false,
            seen: false,
        }
    }

    /// Its id, as a map by workload has it: `shop/cart[Deployment]`, `node-1[Node]`.
    #[must_use]
    pub fn id(&self) -> String {
        let WorkloadRef { namespace, name, kind } = &self.workload;
        match namespace.as_str() {
            "" => format!("{name}[{kind}]"),
            namespace => format!("{namespace}/{name}[{kind}]"),
        }
    }

    /// Learns an address, unless it has too many.
    pub fn add_address(&mut self, address: IpAddr) {
        if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.insert(address);
        }
    }
}
