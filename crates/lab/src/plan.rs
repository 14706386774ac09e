//! The lab's names and addresses: pure functions of a lab's id and a node's number, so that a
//! second start finds what a first one left behind.
//!
//! | what | IPv4 | IPv6 |
//! |---|---|---|
//! | nodes, hosts (on the fabric) | 172.18.0.0/24 | fd00:172:18::/64 |
//! | pods of node n | 10.244.n.0/24 | fd00:10:244:n::/64 |
//! | Services | 10.96.0.0/16 | fd00:10:96::/112 |
//! | the internet (RFC 5737, RFC 3849) | 198.51.100.0/24, 203.0.113.0/24, 169.254.169.254 | 2001:db8::/32 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Most nodes of one lab.
pub const NODES_MAX: usize = 64;
/// Most hosts (VMs) of one lab.
pub const HOSTS_MAX: usize = 64;
/// First host number given to a pod of a node.
pub(crate) const POD_FIRST: u8 = 2;
/// Last host number given to a pod of a node.
pub(crate) const POD_LAST: u8 = 250;

/// What nodes masquerade nothing towards: pods, nodes and hosts.
pub(crate) const CLUSTER_V4: &str = "10.244.0.0/16, 10.96.0.0/16, 172.18.0.0/24";
/// See [`CLUSTER_V4`].
pub(crate) const CLUSTER_V6: &str = "fd00:10:244::/48, fd00:10:96::/112, fd00:172:18::/64";
/// What the fabric routes to the internet namespace.
pub(crate) const INTERNET: [&str; 4] =
    ["198.51.100.0/24", "203.0.113.0/24", "169.254.169.254/32", "2001:db8::/32"];
/// The address of the cluster's DNS Service, as most clusters have it.
pub(crate) const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Names of everything a lab makes outside its state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    id: String,
}

impl Names {
    /// The names for the lab in `state_dir`: two labs in two folders never collide.
    pub(crate) fn of(state_dir: &Path) -> Self {
        let hash = fnv1a(state_dir.as_os_str().as_encoded_bytes());
        Self { id: format!("{:06x}", hash & 0x00ff_ffff) }
    }

    /// Prefix of all network namespaces.
    pub(crate) fn netns_prefix(&self) -> String {
        format!("sk{}-", self.id)
    }

    /// Network namespace of a node, host, or of `fabric` and `internet`.
    pub(crate) fn netns(&self, name: &str) -> String {
        format!("{}{name}", self.netns_prefix())
    }

    /// Network namespace of a pod.
    pub(crate) fn pod_netns(&self, uid: &str) -> String {
        format!("{}pod-{}", self.netns_prefix(), short_uid(uid))
    }

    /// Folder of all cgroups of the lab, relative to the cgroup2 mount, with a leading slash.
    pub(crate) fn cgroup(&self) -> String {
        format!("/sekisho-lab-{}", self.id)
    }

    /// Cgroup of a node or host, relative to the cgroup2 mount.
    pub(crate) fn node_cgroup(&self, name: &str) -> String {
        format!("{}/{name}", self.cgroup())
    }
}

/// The node's end of a pod's link: at most 15 characters (IFNAMSIZ).
pub(crate) fn pod_link(uid: &str) -> String {
    format!("pod{}", short_uid(uid))
}

fn short_uid(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// FNV-1a, 64 bits: stable across versions, which the standard hasher is not.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The fabric's own address: every node's default gateway.
pub(crate) const FABRIC: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(172, 18, 0, 1), Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, 1));

/// Addresses of node `number` (from 1).
pub(crate) fn node_addresses(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    fabric_addresses(number.saturating_add(10))
}

/// Addresses of host `number` (from 1), unless its manifest gives others.
pub(crate) fn host_addresses(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    fabric_addresses(number.saturating_add(100))
}

fn fabric_addresses(last: u8) -> (Ipv4Addr, Ipv6Addr) {
    let v6 = Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, u16::from(last));
    (Ipv4Addr::new(172, 18, 0, last), v6)
}

/// The ranges of node `number`'s pods.
pub(crate) fn pod_cidrs(number: u8) -> [IpNet; 2] {
    let (v4, v6) = pod_addresses(number, 0);
    [Ipv4Net::new_assert(v4, 24).into(), Ipv6Net::new_assert(v6, 64).into()]
}

/// Addresses of pod `index` of node `number`.
pub(crate) fn pod_addresses(number: u8, index: u8) -> (Ipv4Addr, Ipv6Addr) {
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x244, u16::from(number), 0, 0, 0, u16::from(index));
    (Ipv4Addr::new(10, 244, number, index), v6)
}

/// Addresses of the Service with `index`.
pub(crate) fn service_addresses(index: u16) -> (Ipv4Addr, Ipv6Addr) {
    let [high, low] = index.to_be_bytes();
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, index);
    (Ipv4Addr::new(10, 96, high, low), v6)
}

/// The index of a Service address, if it is one of ours.
pub(crate) fn service_index(ip: IpAddr) -> Option<u16> {
    match ip {
        IpAddr::V4(v4) => match v4.octets() {
            [10, 96, high, low] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0xfd00, 0x10, 0x96, 0, 0, 0, 0, low] => Some(low),
            _ => None,
        },
    }
}

/// Files of a lab's state folder.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.0.join("nodes.json")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.0.join("pods").join(uid)
    }

    /// Seen inside pods as /srv/lab.
    pub(crate) fn shared(&self) -> PathBuf {
        self.0.join("shared")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_the_folder_only_and_fit_the_kernel() {
        let names = Names::of(Path::new("/run/sekisho/lab"));
        assert_eq!(names, Names::of(Path::new("/run/sekisho/lab")));
        assert_ne!(names, Names::of(Path::new("/run/sekisho/lab2")));
        assert!(names.pod_netns("83466d28-af39").starts_with(&names.netns_prefix()));
        assert!(pod_link("83466d28-af39-40bc-892f-e4887f13e1b0").len() <= 15);
    }

    #[test]
    fn a_pods_addresses_lie_in_its_nodes_ranges() {
        let (v4, v6) = pod_addresses(3, 17);
        let [range4, range6] = pod_cidrs(3);
        assert!(range4.contains(&IpAddr::V4(v4)) && range6.contains(&IpAddr::V6(v6)));
        assert!(!pod_cidrs(4).iter().any(|range| range.contains(&IpAddr::V4(v4))));
    }

    #[test]
    fn a_services_index_is_found_from_both_its_addresses() {
        let (v4, v6) = service_addresses(0x1234);
        assert_eq!(service_index(v4.into()), Some(0x1234));
        assert_eq!(service_index(v6.into()), Some(0x1234));
        assert_eq!(service_index(FABRIC.0.into()), None);
    }
}
