//! A small web shop: builds a cluster and the history of its traffic.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sekisho_manifest::{ContainerPort, Meta, PortRef, Service, ServicePort};
use sekisho_model::{
    ClusterName, Completeness, EdgeDay, EdgeKey, EdgeMinute, EdgeStats, Labels, Party, PartyKind,
    Process, Protocol, ServiceRef, TimeRange, Timestamp, Verdict, WorkloadRef,
};
use sekisho_policy::{Cluster, Endpoint, RuleSet};
use sekisho_recommend::{Choices, Request, Scope, Template, TemplateId};

/// 2026-11-23T00:00:00Z.
const START_S: u64 = 1_795_392_000;

/// A cluster and its history.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) history: Vec<EdgeDay>,
    next_address: u8,
}

pub(crate) fn labels(text: &str) -> Labels {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    text.split_whitespace().map(pair).collect()
}

/// `http=8080/TCP` and the like.
pub(crate) fn ports(text: &str) -> Vec<ContainerPort> {
    let port = |port: &str| {
        let (name, rest) = port.split_once('=').unwrap();
        let (number, protocol) = rest.split_once('/').unwrap();
        ContainerPort {
            name: name.to_owned(),
            port: number.parse().unwrap(),
            protocol: protocol.parse().unwrap(),
            host_port: None,
        }
    };
    text.split_whitespace().map(port).collect()
}

pub(crate) fn window() -> TimeRange {
    let from = Timestamp::from_seconds(START_S);
    TimeRange { from, to: from.plus_seconds(2 * 3600) }
}

pub(crate) fn complete() -> Completeness {
    Completeness { ratio: 0.998, produced: 1000, dropped: 2, gaps: Vec::new() }
}

impl World {
    /// Adds `replicas` pods (or one host) of `namespace/name[Kind]`.
    pub(crate) fn workload(&mut self, id: &str, replicas: u8, label: &str, port: &str) {
        let workload = workload(id);
        self.cluster.namespaces.insert(
            workload.namespace.clone(),
            labels(&format!("kubernetes.io/metadata.name={}", workload.namespace)),
        );
        let kind = if workload.kind == "Host" { PartyKind::Host } else { PartyKind::Pod };
        for replica in 0..replicas {
            self.next_address += 1;
            let name = if kind == PartyKind::Host {
                workload.name.clone()
            } else {
                format!("{}-{replica}", workload.name)
            };
            let mut labels = labels(label);
            if workload.kind == "Deployment" {
                labels.insert("pod-template-hash".to_owned(), "5d4f".to_owned());
            }
            self.cluster.endpoints.push(Endpoint {
                namespace: workload.namespace.clone(),
                name,
                workload: workload.clone(),
                kind,
                labels,
                addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, self.next_address))],
                ports: ports(port),
                host_network: false,
                node: (kind == PartyKind::Pod).then(|| format!("node-{}", replica % 2 + 1)),
                service_account: None,
            });
        }
    }

    pub(crate) fn service(&mut self, id: &str, service_type: &str, selector: &str, port: &str) {
        let (namespace, name) = id.split_once('/').unwrap();
        let (number, target) = port.split_once(':').unwrap();
        self.cluster.services.push(Service {
            meta: Meta {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..Meta::default()
            },
            service_type: service_type.to_owned(),
            selector: labels(selector),
            ports: vec![ServicePort {
                name: String::new(),
                protocol: Protocol::Tcp,
                port: number.parse().unwrap(),
                target_port: target
                    .parse()
                    .map_or_else(|_| PortRef::Name(target.to_owned()), PortRef::Number),
                node_port: None,
            }],
            ..Service::default()
        });
    }

    /// Every pod of a workload as a party.
    pub(crate) fn parties(&self, id: &str) -> Vec<Arc<Party>> {
        let workload = workload(id);
        let of = self.cluster.endpoints.iter().filter(|endpoint| endpoint.workload == workload);
        of.map(|endpoint| Arc::new(party(endpoint))).collect()
    }

    /// Connections from every pod of `source` to every pod of `destination`.
    pub(crate) fn flow(&mut self, source: &str, destination: &str, port: &str, connections: u64) {
        for source in self.ends(source) {
            for destination in self.ends(destination) {
                let row = row(&source, &destination, port, connections);
                self.history.push(row);
            }
        }
    }

    /// `node-1` is a node; `name=address` or `=address` is outside; the rest are workloads.
    fn ends(&self, text: &str) -> Vec<Arc<Party>> {
        if let Some((name, address)) = text.split_once('=') {
            let name = (!name.is_empty()).then(|| name.to_owned());
            return vec![Arc::new(Party::external(address.parse().unwrap(), name))];
        }
        if let Some(addresses) = self.cluster.nodes.get(text) {
            let workload = WorkloadRef {
                namespace: String::new(),
                name: text.to_owned(),
                kind: "Node".to_owned(),
            };
            return vec![Arc::new(Party {
                kind: PartyKind::Node,
                workload,
                pod: String::new(),
                labels: Labels::new(),
                address: addresses.first().copied(),
                dns_name: None,
            })];
        }
        self.parties(text)
    }

    /// A template with its settings, read against this world.
    pub(crate) fn template(&self, id: TemplateId, given: &[(&str, &str)]) -> Template {
        let given: Vec<(String, String)> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let choices = Choices::new(&self.history, &self.cluster, None);
        Template::read(id, &given, &choices).unwrap()
    }

    pub(crate) fn request<'a>(
        &'a self,
        existing: &'a RuleSet,
        completeness: &'a Completeness,
    ) -> Request<'a> {
        Request {
            history: &self.history,
            cluster: &self.cluster,
            scope: Scope::default(),
            window: window(),
            completeness,
            template: Template::default(),
            existing,
        }
    }
}

pub(crate) fn workload(id: &str) -> WorkloadRef {
    let (namespace, rest) = id.split_once('/').unwrap();
    let (name, kind) = rest.trim_end_matches(']').split_once('[').unwrap();
    WorkloadRef { namespace: namespace.to_owned(), name: name.to_owned(), kind: kind.to_owned() }
}

pub(crate) fn party(endpoint: &Endpoint) -> Party {
    Party {
        kind: endpoint.kind,
        workload: endpoint.workload.clone(),
        pod: if endpoint.kind == PartyKind::Pod { endpoint.name.clone() } else { String::new() },
        labels: endpoint.labels.clone(),
        address: endpoint.addresses.first().copied(),
        dns_name: None,
    }
}

/// A row of history; `port` is `8080/TCP`.
pub(crate) fn row(
    source: &Arc<Party>,
    destination: &Arc<Party>,
    port: &str,
    connections: u64,
) -> EdgeDay {
    let (number, protocol) = port.split_once('/').unwrap();
    let process = |party: &Party| {
        let ours = matches!(party.kind, PartyKind::Pod | PartyKind::Host);
        ours.then(|| {
            Arc::new(Process {
                exe: format!("/usr/bin/{}", party.workload.name),
                comm: party.workload.name.clone(),
                uid: 1000,
                container: None,
            })
        })
    };
    let first_seen = Timestamp::from_seconds(START_S + 60);
    EdgeDay::from(EdgeMinute {
        minute: first_seen,
        key: EdgeKey {
            source: Arc::clone(source),
            source_process: process(source),
            destination: Arc::clone(destination),
            destination_process: process(destination),
            protocol: protocol.parse().unwrap(),
            port: number.parse().unwrap(),
            service: None::<ServiceRef>,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        stats: EdgeStats {
            connections,
            bytes_sent: 100 * connections,
            bytes_received: 1000 * connections,
            first_seen,
            last_seen: Timestamp::from_seconds(START_S + 5400),
            ..EdgeStats::default()
        },
    })
}

/// The shop: five namespaces, a VM, a payment provider, a scraper and a nightly job.
pub(crate) fn shop() -> World {
    let mut world = World::default();
    let node = |last| vec![IpAddr::V4(Ipv4Addr::new(172, 18, 0, last))];
    world.cluster.nodes =
        BTreeMap::from([("node-1".to_owned(), node(2)), ("node-2".to_owned(), node(3))]);
    let web = "http=8080/TCP metrics=9090/TCP";
    for (name, replicas) in [("frontend", 2), ("cart", 2), ("checkout", 1), ("payment", 1)] {
        let label = format!(
            "app.kubernetes.io/name={name} app.kubernetes.io/part-of=shop \
             app.kubernetes.io/version=1.4"
        );
        world.workload(&format!("shop/{name}[Deployment]"), replicas, &label, web);
    }
    world.workload("shop/currency[Deployment]", 1, "app=currency", "grpc=7000/TCP");
    world.workload("shop/report[CronJob]", 1, "app=report job-name=report-1", "");
    world.workload(
        "data/redis-cart[StatefulSet]",
        1,
        "app.kubernetes.io/name=redis app.kubernetes.io/instance=cart",
        "redis=6379/TCP",
    );
    world.workload(
        "data/redis-session[StatefulSet]",
        1,
        "app.kubernetes.io/name=redis app.kubernetes.io/instance=session",
        "redis=6379/TCP",
    );
    world.workload("data/postgres[StatefulSet]", 1, "app=postgres", "=5432/TCP");
    world.workload("monitoring/prometheus[Deployment]", 1, "app=prometheus", "web=9091/TCP");
    world.workload(
        "kube-system/coredns[Deployment]",
        2,
        "k8s-app=kube-dns",
        "dns=53/UDP dns-tcp=53/TCP metrics=9153/TCP",
    );
    world.workload("hosts/legacy-db[Host]", 1, "app=legacy-db", "");
    world.service("shop/frontend", "LoadBalancer", "app.kubernetes.io/name=frontend", "80:http");
    traffic(&mut world);
    world
}

fn traffic(world: &mut World) {
    let shop = |name: &str| format!("shop/{name}[Deployment]");
    for (source, destination) in [
        ("frontend", "cart"),
        ("frontend", "checkout"),
        ("checkout", "cart"),
        ("checkout", "payment"),
    ] {
        world.flow(&shop(source), &shop(destination), "8080/TCP", 300);
    }
    world.flow(&shop("frontend"), &shop("currency"), "7000/TCP", 80);
    world.flow(&shop("checkout"), &shop("currency"), "7000/TCP", 40);
    world.flow(&shop("cart"), "data/redis-cart[StatefulSet]", "6379/TCP", 500);
    world.flow(&shop("frontend"), "data/redis-session[StatefulSet]", "6379/TCP", 500);
    world.flow(&shop("checkout"), "data/postgres[StatefulSet]", "5432/TCP", 4);
    world.flow(&shop("payment"), "hosts/legacy-db[Host]", "5432/TCP", 4);
    // Several addresses of one name, and a job that ran once.
    world.flow(&shop("payment"), "payments.example=203.0.113.7", "443/TCP", 30);
    world.flow(&shop("payment"), "payments.example=203.0.113.8", "443/TCP", 31);
    world.flow("shop/report[CronJob]", "data/postgres[StatefulSet]", "5432/TCP", 1);
    for name in ["frontend", "cart", "checkout", "payment"] {
        world.flow("monitoring/prometheus[Deployment]", &shop(name), "9090/TCP", 120);
        world.flow("node-1", &shop(name), "8080/TCP", 700);
    }
    let dns = "kube-system/coredns[Deployment]";
    for name in ["frontend", "cart", "checkout", "payment"] {
        world.flow(&shop(name), dns, "53/UDP", 60);
    }
    world.flow("shop/report[CronJob]", dns, "53/UDP", 1);
    world.flow("monitoring/prometheus[Deployment]", dns, "53/UDP", 60);
    for visitor in 1..=9 {
        world.flow(&format!("=198.51.100.{visitor}"), &shop("frontend"), "8080/TCP", 20);
    }
    world.flow("=192.0.2.50", &shop("cart"), "8080/TCP", 2);
    attacks(world);
}

/// What must never become a rule.
fn attacks(world: &mut World) {
    let cart = world.parties("shop/cart[Deployment]").remove(0);
    let postgres = world.parties("data/postgres[StatefulSet]").remove(0);
    for port in 1..=20 {
        let mut scan = row(&cart, &postgres, &format!("{port}/TCP"), 1);
        scan.stats.resets = 1;
        scan.stats.bytes_received = 0;
        world.history.push(scan);
    }
    let metadata = Arc::new(Party::external(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), None));
    let mut denied = row(&cart, &metadata, "80/TCP", 3);
    denied.key_mut().verdict = Verdict::Denied;
    world.history.push(denied);
    let nobody = Arc::new(Party::external(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99)), None));
    let mut unanswered = row(&cart, &nobody, "4444/TCP", 1);
    unanswered.key_mut().verdict = Verdict::Unknown;
    world.history.push(unanswered);
}
