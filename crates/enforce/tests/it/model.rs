//! The printed script, run by a small interpreter over many more points than the kernel can be
//! asked in a test, against `RuleSet::decide`. Needs neither root nor a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_enforce::{Mode, compile};
use sekisho_model::{Direction, Protocol};
use sekisho_policy::ir::{PeerMatch, Peers, PortMatch, Rule};
use sekisho_policy::{Cluster, Connection, Dialect, Peer, RuleSet};

use crate::topology;
use crate::{policies, tiers};

/// Maps and chains of a script, as text.
#[derive(Default)]
struct Script {
    maps: BTreeMap<String, Vec<(String, String)>>,
    chains: BTreeMap<String, Vec<String>>,
}

struct Packet {
    source: IpAddr,
    destination: IpAddr,
    protocol: &'static str,
    port: u16,
}

impl Script {
    fn parse(text: &str) -> Self {
        let mut script = Self::default();
        let (mut kind, mut name) = (String::new(), String::new());
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [keyword @ ("map" | "set" | "chain"), title, "{"] => {
                    (kind, name) = ((*keyword).to_owned(), (*title).to_owned());
                    script.chains.entry(name.clone()).or_default();
                    script.maps.entry(name.clone()).or_default();
                }
                _ if kind == "chain" => {
                    script.chains.get_mut(&name).unwrap().push(line.to_owned());
                }
                _ => {
                    if let Some((key, verdict)) = line.trim_end_matches(',').split_once(" : ")
                        && !line.starts_with("type ")
                    {
                        let element = (key.to_owned(), verdict.to_owned());
                        script.maps.get_mut(&name).unwrap().push(element);
                    }
                }
            }
        }
        script
    }

    /// The counter that decides the packet of a subject in one direction; None = no say.
    fn run(&self, direction: Direction, packet: &Packet) -> Option<String> {
        let subject = match direction {
            Direction::Egress => packet.source,
            Direction::Ingress => packet.destination,
        };
        let map = format!("{direction}{}", if subject.is_ipv4() { 4 } else { 6 });
        let (_, verdict) = self.maps[&map].iter().find(|(key, _)| *key == subject.to_string())?;
        let mut chain = verdict.strip_prefix("jump ").unwrap();
        loop {
            let next = self.chains[chain].iter().find_map(|rule| self.step(rule, packet));
            match next.unwrap().strip_prefix("goto ") {
                Some(target) => chain = target,
                // Back to the base chain without a word, or what a decision does.
                None if next == Some("return") => return None,
                None => return Some(chain.to_owned()),
            }
        }
    }

    /// Where a rule sends the packet; None = on to the next rule.
    fn step<'a>(&'a self, rule: &'a str, packet: &Packet) -> Option<&'a str> {
        let words: Vec<&str> = rule.split_whitespace().collect();
        match words.as_slice() {
            ["ip" | "ip6", side, "vmap", map] => {
                let address = if *side == "saddr" { packet.source } else { packet.destination };
                let mut elements = self.maps[&map[1..]].iter();
                elements.find(|(key, _)| holds(key, address)).map(|(_, verdict)| verdict.as_str())
            }
            ["meta", "l4proto", ".", "th", "dport", "vmap", map] => self.maps[&map[1..]]
                .iter()
                .find(|(key, _)| {
                    let (protocol, ports) = key.split_once(" . ").unwrap();
                    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
                    let range = low.parse::<u16>().unwrap()..=high.parse().unwrap();
                    protocol == packet.protocol && range.contains(&packet.port)
                })
                .map(|(_, verdict)| verdict.as_str()),
            ["meta", "l4proto", "vmap", ..] => {
                let list = rule.split_once('{').unwrap().1.trim_end_matches('}');
                let mut pairs = list.split(',').map(|pair| pair.trim().split_once(" : ").unwrap());
                pairs.find(|(protocol, _)| *protocol == packet.protocol).map(|(_, verdict)| verdict)
            }
            ["goto" | "return", ..] => Some(rule.split(" comment").next().unwrap()),
            ["counter", ..] => Some("end"),
            ["ct", ..] => None,
            other => panic!("the interpreter does not know {other:?}"),
        }
    }
}

fn holds(key: &str, address: IpAddr) -> bool {
    let (low, high) = key.split_once('-').unwrap_or((key, key));
    let (low, high): (IpAddr, IpAddr) = (low.parse().unwrap(), high.parse().unwrap());
    low.is_ipv4() == address.is_ipv4() && low <= address && address <= high
}

fn rules_of(rules: &RuleSet) -> impl Iterator<Item = &Rule> {
    let policies = rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
    let sides = policies.flat_map(|policy| {
        [Direction::Ingress, Direction::Egress].into_iter().filter_map(|side| policy.side(side))
    });
    sides.flat_map(|side| &side.rules)
}

/// Both sides of every edge of every block, and every address of the cluster.
fn addresses(rules: &RuleSet, cluster: &Cluster) -> BTreeSet<IpAddr> {
    let mut list: BTreeSet<IpAddr> =
        cluster.endpoints.iter().flat_map(|endpoint| endpoint.addresses.clone()).collect();
    list.extend(cluster.nodes.values().flatten());
    for rule in rules_of(rules) {
        let Peers::List(peers) = &rule.peers else { continue };
        for block in peers.iter().flat_map(blocks) {
            for (edge, step) in [(block.network(), -1), (block.broadcast(), 1)] {
                list.extend([Some(edge), neighbour(edge, step)].into_iter().flatten());
            }
        }
    }
    list
}

fn blocks(peer: &PeerMatch) -> Vec<IpNet> {
    match peer {
        PeerMatch::Networks { nets, except, .. } => nets.iter().chain(except).copied().collect(),
        PeerMatch::All(all) => all.iter().flat_map(blocks).collect(),
        PeerMatch::Not(inner) => blocks(inner),
        PeerMatch::Endpoints(_)
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_)
        | PeerMatch::Entity(_) => Vec::new(),
    }
}

fn neighbour(address: IpAddr, step: i32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add_signed(step).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => {
            let next = v6.to_bits().checked_add_signed(step.into());
            next.map(|bits| IpAddr::V6(bits.into()))
        }
    }
}

/// Both sides of every edge of every port range.
fn ports(rules: &RuleSet) -> BTreeSet<u16> {
    let mut list = BTreeSet::from([0, 53, 80, 8080, 8085, 9090, u16::MAX]);
    for port in rules_of(rules).flat_map(|rule| rule.ports.include.iter().flatten()) {
        if let PortMatch::Range { first, last, .. } = *port {
            list.extend([first.saturating_sub(1), first, last, last.saturating_add(1)]);
        }
    }
    list
}

/// Compares every point of one rule set; returns how many there were.
fn check(rules: &RuleSet, title: &str) -> u64 {
    let cluster = topology::cluster();
    let verified = policies::verified(rules, &cluster);
    let tables = compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
    let script = Script::parse(&tables.script);
    let (addresses, ports) = (addresses(rules, &cluster), ports(rules));
    let mut count = 0;
    for subject in cluster.endpoints.iter().filter(|one| one.node.as_deref() == Some("node-1")) {
        for (own, direction) in subject
            .addresses
            .iter()
            .flat_map(|own| [(own, Direction::Ingress), (own, Direction::Egress)])
        {
            // Its own addresses, and its node as a source, never get that far.
            let others = addresses.iter().filter(|one| {
                one.is_ipv4() == own.is_ipv4()
                    && !subject.addresses.contains(one)
                    && !(direction == Direction::Ingress && cluster.nodes["node-1"].contains(one))
            });
            for other in others {
                count += check_pair(
                    &script,
                    &tables.decisions,
                    rules,
                    &ports,
                    &Pair {
                        cluster: &cluster,
                        subject: (Peer::Endpoint(subject), *own),
                        other: (peer_of(&cluster, *other), *other),
                        direction,
                        title,
                    },
                );
            }
        }
    }
    count
}

struct Pair<'a> {
    cluster: &'a Cluster,
    subject: (Peer<'a>, IpAddr),
    other: (Peer<'a>, IpAddr),
    direction: Direction,
    title: &'a str,
}

fn peer_of(cluster: &Cluster, address: IpAddr) -> Peer<'_> {
    let owner = cluster
        .endpoints
        .iter()
        .find(|endpoint| !endpoint.host_network && endpoint.addresses.contains(&address));
    let node = cluster.nodes.iter().find(|(_, own)| own.contains(&address));
    match (owner, node) {
        (Some(owner), _) => Peer::Endpoint(owner),
        (None, Some((name, _))) => Peer::Node { name, address: Some(address) },
        (None, None) => Peer::Address(address),
    }
}

fn check_pair(
    script: &Script,
    decisions: &BTreeMap<u32, sekisho_model::DecidedBy>,
    rules: &RuleSet,
    ports: &BTreeSet<u16>,
    pair: &Pair<'_>,
) -> u64 {
    let (source, destination) = match pair.direction {
        Direction::Egress => (pair.subject, pair.other),
        Direction::Ingress => (pair.other, pair.subject),
    };
    let icmp = if source.1.is_ipv4() { "icmp" } else { "ipv6-icmp" };
    let mut points = vec![(Protocol::Icmp, icmp, 0)];
    let words = [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp"), (Protocol::Sctp, "sctp")];
    for (protocol, word) in words {
        points.extend(ports.iter().map(|port| (protocol, word, *port)));
    }
    let mut count = 0;
    for (protocol, word, port) in points {
        let connection = Connection {
            source: source.0,
            destination: destination.0,
            source_address: Some(source.1),
            destination_address: Some(destination.1),
            protocol,
            port,
        };
        let decision = rules.decide(pair.cluster, &connection);
        let side = match pair.direction {
            Direction::Egress => decision.egress,
            Direction::Ingress => decision.ingress,
        };
        let packet = Packet { source: source.1, destination: destination.1, protocol: word, port };
        let decided = script.run(pair.direction, &packet);
        let by = decided.as_ref().map(|chain| {
            let id = u32::from_str_radix(&chain[2..], 16).unwrap();
            (chain.starts_with("a_"), decisions[&id].clone())
        });
        let expected = side.decided_by().map(|by| (side.allows(), by));
        assert_eq!(by, expected, "{}: {connection:?}", pair.title);
        count += 1;
    }
    count
}

#[test]
fn the_script_agrees_with_the_evaluator_at_every_edge() {
    let mut count = check(&policies::shop(), "shop");
    for seed in 1..=30 {
        count += check(&policies::random(seed), &format!("seed {seed}"));
    }
    assert!(count > 100_000, "{count}");
}

/// What vendors add: classes of ends, denials beside allowances, ordered policies, Pass.
const CILIUM: &str = "
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: web, namespace: shop}, spec: {
  endpointSelector: {matchLabels: {app: web}},
  egress: [{toEntities: [host], toPorts: [{ports: [{port: '80', protocol: TCP}]}]},
           {toEntities: [remote-node], toPorts: [{ports: [{port: '443', protocol: TCP}]}]},
           {toEntities: [world], toPorts: [{ports: [{port: '53', protocol: UDP}]}]},
           {toCIDRSet: [{cidr: 198.51.100.0/24, except: [198.51.100.0/28]}]}],
  egressDeny: [{toEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: '8080', protocol: TCP}]}]}],
  ingress: [{fromEntities: [cluster]}], ingressDeny: [{fromCIDR: [10.77.0.2/32]}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: all}, spec: {
  endpointSelector: {}, ingress: [{fromEntities: [remote-node], toPorts: [{ports: [{port: '9090'}]}]}]}}
";
const CALICO: &str = "
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: security}, spec: {order: 100}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: security.base}, spec: {
  tier: security, order: 10, selector: app == 'db', types: [Ingress, Egress],
  ingress: [{action: Pass, protocol: TCP, destination: {ports: [5432]}},
            {action: Deny, source: {nets: [10.77.0.0/28]}},
            {action: Allow, protocol: UDP, source: {notNets: [198.51.100.0/24]}}],
  egress: [{action: Allow, destination: {nets: [10.77.1.0/24]}}, {action: Pass}]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: db, namespace: shop}, spec: {
  selector: app == 'db', types: [Ingress],
  ingress: [{action: Allow, protocol: TCP, source: {selector: app == 'web'}, destination: {notPorts: [80]}}]}}
";

#[test]
fn the_script_agrees_with_the_evaluator_on_policies_of_vendors() {
    for (text, dialect) in [(CILIUM, Dialect::Cilium), (CALICO, Dialect::Calico)] {
        for dialect in [dialect, Dialect::Spec] {
            let objects = sekisho_manifest::parse("vendor.yaml", text).unwrap();
            let rules = RuleSet::from_objects(&objects, dialect);
            assert!(!rules.is_empty());
            assert!(check(&rules, &format!("{dialect}: {text}")) > 1_000);
        }
    }
}

#[test]
fn the_script_agrees_with_the_evaluator_on_policies_in_tiers() {
    let mut count = check(&tiers::shop(), "shop");
    for seed in 1..=60 {
        count += check(&tiers::random(seed), &format!("seed {seed}"));
    }
    assert!(count > 100_000, "{count}");
}
