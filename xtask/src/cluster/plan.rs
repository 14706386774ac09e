//! Where everything of one cluster is: names, addresses, ports and folders, all from its index, so
//! that clusters with different indices share nothing.
//!
//! | what | value for index N |
//! |---|---|
//! | fabric of the nodes | 172.30.N.0/24: the host .1, nodes .11 and .12, the world's router .254 |
//! | pods | 10.(128+N).0.0/16, node K has 10.(128+N).K.0/24 |
//! | services | 10.(160+N).0.0/16, the API server .0.1, DNS .0.10 |
//! | ports on the host | 17000 + 100 N and up |
//! | names | network namespaces, links and cgroups begin with `skcN` |
//!
//! The lab's addresses (crates/lab/src/plan.rs) are others.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// How many clusters can run at the same time.
pub(crate) const CLUSTERS_MAX: u8 = 10;
/// Nodes of a cluster: two, the least that shows traffic between nodes.
pub(crate) const NODES: u8 = 2;

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// 0 to [`CLUSTERS_MAX`] - 1.
    pub(crate) index: u8,
    /// Everything that the cluster writes; absolute.
    pub(crate) state: PathBuf,
}

/// What listens on the host; the number is added to the cluster's first port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The API server, HTTPS.
    Api = 43,
    /// The controller manager's health, HTTPS.
    Controllers = 57,
    /// The scheduler's health, HTTPS.
    Scheduler = 59,
    /// etcd's clients, HTTPS.
    Etcd = 79,
    /// etcd's peers, of which there are none.
    EtcdPeer = 80,
}

impl Plan {
    /// The prefix of every name.
    pub(crate) fn name(&self) -> String {
        format!("skc{}", self.index)
    }

    /// The port of the host on which `what` listens.
    pub(crate) fn port(&self, what: Port) -> u16 {
        17_000 + 100 * u16::from(self.index) + what as u16
    }

    /// The host's own end in the fabric; the API server listens there if there are nodes.
    pub(crate) fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.index, 1)
    }

    /// The router between the fabric and what is not in the cluster.
    pub(crate) fn router(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.index, 254)
    }

    /// A node's address; nodes count from 1.
    pub(crate) fn node(&self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.index, 10 + node)
    }

    /// A server that is not in the cluster but can be reached from it (RFC 5737, TEST-NET-2).
    pub(crate) fn outside(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 1 + self.index)
    }

    /// All nodes, as CIDR.
    pub(crate) fn fabric(&self) -> String {
        format!("172.30.{}.0/24", self.index)
    }

    /// The pods of one node, as CIDR.
    pub(crate) fn node_pods(&self, node: u8) -> String {
        format!("10.{}.{node}.0/24", 128 + self.index)
    }

    /// All pods, as CIDR.
    pub(crate) fn pods(&self) -> String {
        format!("10.{}.0.0/16", 128 + self.index)
    }

    /// All services, as CIDR.
    pub(crate) fn services(&self) -> String {
        format!("10.{}.0.0/16", 160 + self.index)
    }

    /// The service `kubernetes`: the first of the range.
    pub(crate) fn api_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 1)
    }

    /// The service of the cluster's DNS.
    pub(crate) fn dns_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 160 + self.index, 0, 10)
    }

    /// A folder or file of the state.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.state.join(name)
    }

    /// A file of the state as text, for flags and configuration.
    pub(crate) fn text(&self, name: impl AsRef<Path>) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// The log of a component.
    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.path("logs").join(format!("{component}.log"))
    }

    /// The kubeconfig with all rights.
    pub(crate) fn admin(&self) -> PathBuf {
        self.path("admin.kubeconfig")
    }

    /// Our kubectl, of the cluster's version.
    pub(crate) fn kubectl(&self) -> PathBuf {
        self.path("bin/kubectl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(index: u8) -> Plan {
        Plan { index, state: PathBuf::from("/s") }
    }

    #[test]
    fn two_clusters_share_no_port_name_or_address() {
        let (one, two) = (plan(0), plan(CLUSTERS_MAX - 1));
        assert_ne!(one.name(), two.name());
        assert_ne!(one.port(Port::Api), two.port(Port::Api));
        assert_ne!(one.fabric(), two.fabric());
        assert_ne!(one.pods(), two.pods());
        assert_ne!(one.services(), two.services());
        assert_ne!(one.outside(), two.outside());
    }

    #[test]
    fn no_range_of_pods_is_a_range_of_services_for_any_two_clusters() {
        for index in 0..CLUSTERS_MAX {
            for other in 0..CLUSTERS_MAX {
                assert_ne!(plan(index).pods(), plan(other).services());
            }
        }
    }

    #[test]
    fn ports_of_the_last_cluster_are_below_those_that_the_kernel_hands_out() {
        // net.ipv4.ip_local_port_range begins at 32768.
        assert!(plan(CLUSTERS_MAX - 1).port(Port::EtcdPeer) < 32_768);
    }
}
