//! Where everything of one cluster is: names, addresses, ports and folders, all from its index, so
//! that clusters with different indices share nothing.
//!
//! | what | value for index N |
//! |---|---|
//! | fabric of the nodes | 172.30.N.0/24: the host .1, nodes .11 and .12, the world's router .254 |
//! | | fd00:172:30:N::/64 with the same last numbers |
//! | pods | 10.(128+N).0.0/16, node K has 10.(128+N).K.0/24 |
//! | | fd00:10:(128+N)::/48, node K has fd00:10:(128+N):K::/64 |
//! | services | 10.(160+N).0.0/16, the API server .0.1, DNS .0.10 |
//! | | fd00:10:(160+N)::/108 |
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

/// The host's end in the fabric.
pub(crate) const HOST: u8 = 1;
/// The end through which everybody leaves the cluster.
pub(crate) const ROUTER: u8 = 254;

/// A family of addresses; each pod, node and range has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4, the first of each list.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which Kubernetes is told them.
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `of` for both, with a comma in between as Kubernetes' flags want it.
    pub(crate) fn both(of: impl Fn(Self) -> String) -> String {
        Self::ALL.map(of).join(",")
    }

    /// The bits of an address.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The bits of the fabric's prefix.
    pub(crate) fn fabric_bits(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// All addresses, as CIDR.
    pub(crate) fn everything(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }
}

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

    /// An end in the fabric: [`HOST`], [`ROUTER`], or 10 more than a node's number, from 1.
    pub(crate) fn end(&self, family: Family, number: u8) -> String {
        match family {
            Family::V4 => format!("172.30.{}.{number}", self.index),
            Family::V6 => format!("fd00:172:30:{}::{number}", self.index),
        }
    }

    /// A node's first address.
    pub(crate) fn node(&self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.index, 10 + node)
    }

    /// A server that is not in the cluster but can be reached from it (RFC 5737, TEST-NET-2;
    /// RFC 3849).
    pub(crate) fn outside(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("198.51.100.{}", 1 + self.index),
            Family::V6 => format!("2001:db8:51::{}", 1 + self.index),
        }
    }

    /// All nodes, as CIDR.
    pub(crate) fn fabric(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("172.30.{}.0/24", self.index),
            Family::V6 => format!("fd00:172:30:{}::/64", self.index),
        }
    }

    /// The pods of one node, as CIDR.
    pub(crate) fn node_pods(&self, family: Family, node: u8) -> String {
        match family {
            Family::V4 => format!("10.{}.{node}.0/24", 128 + self.index),
            Family::V6 => format!("fd00:10:{}:{node}::/64", 128 + self.index),
        }
    }

    /// All pods, as CIDR.
    pub(crate) fn pods(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("10.{}.0.0/16", 128 + self.index),
            Family::V6 => format!("fd00:10:{}::/48", 128 + self.index),
        }
    }

    /// All services, as CIDR. /108 is the widest that the API server takes.
    pub(crate) fn services(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("10.{}.0.0/16", 160 + self.index),
            Family::V6 => format!("fd00:10:{}::/108", 160 + self.index),
        }
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
        for family in Family::ALL {
            assert_ne!(one.fabric(family), two.fabric(family));
            assert_ne!(one.pods(family), two.pods(family));
            assert_ne!(one.services(family), two.services(family));
            assert_ne!(one.outside(family), two.outside(family));
        }
    }

    #[test]
    fn no_range_of_pods_is_a_range_of_services_for_any_two_clusters() {
        let numbers = 0..CLUSTERS_MAX;
        let pairs = numbers.clone().flat_map(|one| numbers.clone().map(move |two| (one, two)));
        for (one, two) in pairs {
            let second = |range: String| range.split(['.', ':']).nth(1).map(str::to_owned);
            let third = |range: String| range.split(':').nth(2).map(str::to_owned);
            let (pods, services) = (plan(one).pods(Family::V4), plan(two).services(Family::V4));
            assert_ne!(second(pods), second(services));
            let (pods, services) = (plan(one).pods(Family::V6), plan(two).services(Family::V6));
            assert_ne!(third(pods), third(services));
        }
    }

    #[test]
    fn ports_of_the_last_cluster_are_below_those_that_the_kernel_hands_out() {
        // net.ipv4.ip_local_port_range begins at 32768.
        assert!(plan(CLUSTERS_MAX - 1).port(Port::EtcdPeer) < 32_768);
    }
}
