//! A node with pods, a host and an external machine, each a network namespace of its own.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sekisho_enforce::{Scope, ScopeKind};
use sekisho_manifest::ContainerPort;
use sekisho_model::{Labels, PartyKind, Protocol, WorkloadRef};
use sekisho_policy::{Cluster, Endpoint, Peer};
use sekisho_system::{command, netns};

const PREFIX: &str = "skenf";
pub(crate) const NODE: &str = "node-1";
/// Everything that has a namespace, with the last part of its addresses.
pub(crate) const PLACES: [(&str, &str, &str); 7] = [
    ("node", "10.77.0.1", "fd77::1"),
    ("web", "10.77.0.11", "fd77::11"),
    ("db", "10.77.0.12", "fd77::12"),
    ("prom", "10.77.0.13", "fd77::13"),
    ("far", "10.77.0.21", "fd77::21"),
    ("legacy", "10.77.1.5", "fd77:1::5"),
    ("external", "198.51.100.7", "2001:db8::7"),
];

/// Namespaces that go away with this value, also when a test panics.
pub(crate) struct Topology {
    prefix: String,
}

impl Topology {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(nix::unistd::geteuid().is_root(), "the tests of enforce need root");
        remove_what_dead_runs_left();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let topology = Self { prefix: format!("{PREFIX}-{}-{number}", std::process::id()) };
        for (place, ..) in PLACES {
            netns::create(&topology.name(place)).unwrap();
        }
        topology.connect();
        topology
    }

    fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.prefix)
    }

    pub(crate) fn netns(&self, place: &str) -> PathBuf {
        netns::path(&self.name(place))
    }

    fn connect(&self) {
        let node = self.name("node");
        let mut root = String::new();
        let mut inside = String::from("link set lo up\n");
        for (place, v4, v6) in PLACES {
            if place == "node" {
                inside += &format!("addr add {v4}/32 dev lo\naddr add {v6}/128 dev lo nodad\n");
                continue;
            }
            let pod = self.name(place);
            root += &format!(
                "link add name v-{place} netns {node} type veth peer name eth0 netns {pod}\n"
            );
            inside += &format!(
                "addr add 169.254.1.1/32 dev v-{place}\naddr add fe80::1/64 dev v-{place} nodad\n\
                 link set v-{place} up\nroute add {v4}/32 dev v-{place} src 10.77.0.1\n\
                 route add {v6}/128 dev v-{place} src fd77::1\n"
            );
        }
        batch(&["ip", "-batch", "-"], &root);
        batch(&["ip", "-n", &node, "-batch", "-"], &inside);
        for (place, v4, v6) in PLACES.iter().filter(|(place, ..)| *place != "node") {
            let text = format!(
                "link set lo up\naddr add {v4}/32 dev eth0\naddr add {v6}/128 dev eth0 nodad\n\
                 link set eth0 up\nroute add 169.254.1.1 dev eth0\n\
                 route add default via 169.254.1.1\nroute add default via fe80::1 dev eth0\n"
            );
            batch(&["ip", "-n", &self.name(place), "-batch", "-"], &text);
        }
        for (place, ..) in PLACES {
            netns::within(&self.netns(place), settings).unwrap();
        }
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for name in netns::list(&format!("{}-", self.prefix)) {
            netns::delete(&name).ok();
        }
    }
}

fn batch(argv: &[&str], text: &str) {
    command::run(argv, text, Duration::from_secs(20)).unwrap();
}

fn settings() {
    for (file, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // Every closed port is to answer, however many are asked.
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratelimit", "0"),
        ("ipv4/ping_group_range", "0 0"),
    ] {
        std::fs::write(format!("/proc/sys/net/{file}"), value).unwrap();
    }
}

/// A run that was killed could not remove its namespaces; its process id is in their names.
fn remove_what_dead_runs_left() {
    for name in netns::list(&format!("{PREFIX}-")) {
        let pid = name.split('-').nth(1).unwrap_or_default();
        if !std::path::Path::new("/proc").join(pid).exists() {
            netns::delete(&name).ok();
        }
    }
}

pub(crate) fn address(place: &str, v6: bool) -> IpAddr {
    let (_, four, six) = PLACES.iter().find(|(name, ..)| *name == place).unwrap();
    if v6 { six } else { four }.parse().unwrap()
}

fn labels(list: &[(&str, &str)]) -> Labels {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn endpoint(
    (namespace, place): (&str, &str),
    node: Option<&str>,
    own: &[(&str, &str)],
    ports: &[(&str, u16, Protocol)],
) -> Endpoint {
    let kind = if node.is_some() { PartyKind::Pod } else { PartyKind::Host };
    let kind_name = if node.is_some() { "Pod" } else { "Host" };
    Endpoint {
        namespace: namespace.to_owned(),
        name: place.to_owned(),
        workload: WorkloadRef {
            namespace: namespace.to_owned(),
            name: place.to_owned(),
            kind: kind_name.to_owned(),
        },
        kind,
        labels: labels(own),
        addresses: vec![address(place, false), address(place, true)],
        ports: ports
            .iter()
            .map(|(name, port, protocol)| ContainerPort {
                name: (*name).to_owned(),
                port: *port,
                protocol: *protocol,
                host_port: None,
            })
            .collect(),
        host_network: false,
        node: node.map(str::to_owned),
        service_account: None,
    }
}

pub(crate) fn cluster() -> Cluster {
    use Protocol::{Tcp, Udp};
    let node = Some(NODE);
    let far = Some("node-2");
    let web = [("app", "web"), ("tier", "front")];
    let mut proxy = endpoint(("kube-system", "node"), node, &[("app", "web")], &[]);
    proxy.host_network = true;
    proxy.name = "proxy".to_owned();
    proxy.addresses = vec![address("node", false), address("node", true)];
    let namespace = |name: &str, team: &str| {
        let own = labels(&[("kubernetes.io/metadata.name", name), ("team", team)]);
        (name.to_owned(), own)
    };
    Cluster {
        namespaces: [namespace("shop", "a"), namespace("mon", "b"), namespace("hosts", "b")].into(),
        endpoints: vec![
            endpoint(("hosts", "legacy"), None, &[("app", "legacy")], &[("pg", 5432, Tcp)]),
            proxy,
            endpoint(("mon", "prom"), node, &[("app", "prom")], &[("http", 9090, Tcp)]),
            endpoint(
                ("shop", "db"),
                node,
                &[("app", "db")],
                &[("pg", 5432, Tcp), ("http", 80, Tcp), ("dns", 8080, Udp)],
            ),
            endpoint(("shop", "far"), far, &web, &[("http", 8085, Tcp)]),
            endpoint(("shop", "web"), node, &web, &[("http", 8080, Tcp), ("dns", 53, Udp)]),
        ],
        nodes: [
            (NODE.to_owned(), vec![address("node", false), address("node", true)]),
            ("node-2".to_owned(), vec!["10.77.0.2".parse().unwrap()]),
        ]
        .into(),
        outside_backends: Default::default(),
        node_labels: [
            (NODE.to_owned(), labels(&[("pool", "a")])),
            ("node-2".to_owned(), labels(&[("pool", "b")])),
        ]
        .into(),
        ..Cluster::default()
    }
}

/// Who stands at `place`, as the evaluator sees it.
pub(crate) fn peer<'a>(cluster: &'a Cluster, place: &str, v6: bool) -> Peer<'a> {
    if place == "node" {
        return Peer::Node { name: NODE, address: Some(address(place, v6)) };
    }
    let found = cluster.endpoints.iter().find(|endpoint| endpoint.name == place);
    found.map_or(Peer::Address(address(place, v6)), Peer::Endpoint)
}

pub(crate) fn node_scope(revision: u64) -> Scope {
    Scope { node: NODE.to_owned(), kind: ScopeKind::Node, revision, log_group: 17 }
}

pub(crate) fn host_scope(revision: u64) -> Scope {
    Scope { node: "legacy".to_owned(), kind: ScopeKind::Host, revision, log_group: 17 }
}
