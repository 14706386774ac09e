//! Traffic of one group to the rules of its policy.
//!
//! Peers that use the same ports share a rule, as a person would write it. Outside names and
//! nodes get rules of their own, so that each comment speaks of one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sekisho_manifest::{
    LabelSelector, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef, Position, Requirement,
};
use sekisho_model::{Direction, Labels, Protocol, WorkloadRef};

use crate::groups::{Group, Groups};
use crate::history::{End, Evidence, Traffic, one_line};
use crate::proposal::{Note, NoteKind, RuleEvidence};

/// The label that every namespace carries (Kubernetes v1.21+).
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Single addresses in a rule; more are joined where they are neighbours, without gaps.
const ADDRESSES_MAX: usize = 16;
/// Peers that are written as one selector with `In` from this number on.
const PEERS_JOINED_MIN: usize = 3;
/// Namespaces of the cluster's own DNS: kubeadm, k3s and the clouds; OpenShift.
pub(crate) const DNS_NAMESPACES: [&str; 2] = ["kube-system", "openshift-dns"];
/// Names in a comment; the rest is counted.
const NAMES_MAX: usize = 8;
/// The same for processes, whose paths are long.
const PROCESSES_MAX: usize = 4;

/// What one rule speaks of; the order is the order of rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    /// Name resolution by a group.
    Dns(usize),
    /// Name resolution for everybody, by the cluster's own DNS.
    ClusterDns,
    /// Pods and hosts.
    Pods,
    /// Nodes.
    Nodes,
    /// Outside, found by this name.
    Name(String),
    /// Outside, by address.
    Addresses,
    /// Anyone outside.
    Anyone,
}

/// One peer of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Group(usize),
    /// All addresses of a topic that share ports whatever the address.
    Shared,
    Address(IpAddr),
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Slot {
    ports: BTreeSet<PolicyPort>,
    addresses: BTreeSet<IpAddr>,
    nodes: BTreeSet<String>,
    evidence: Evidence,
}

/// Peers of each topic that use the same ports.
type ByPorts = BTreeMap<(Topic, BTreeSet<PolicyPort>), Vec<(Target, Slot)>>;

/// A rule with its evidence.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) rule: PolicyRule,
    pub(crate) evidence: Evidence,
}

/// The rules of one direction of one group, and the outside names they stand for.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    pub(crate) rules: Vec<Draft>,
    /// DNS name -> addresses.
    pub(crate) names: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// Outside sources, by destination port, that are so many that they stand for anyone.
pub(crate) type Public = BTreeSet<(Protocol, u16)>;

/// Makes rules for one group.
pub(crate) struct RuleMaker<'a> {
    pub(crate) groups: &'a Groups<'a>,
    pub(crate) subject: usize,
    pub(crate) direction: Direction,
    pub(crate) public: &'a Public,
}

impl RuleMaker<'_> {
    /// The rules for `traffic`, all of it of this group and direction.
    pub(crate) fn rules(&self, traffic: &[&Traffic], notes: &mut BTreeSet<Note>) -> Drafts {
        let mut slots: BTreeMap<(Topic, Target), Slot> = BTreeMap::new();
        for traffic in traffic {
            let peer = match self.direction {
                Direction::Ingress => &traffic.source,
                Direction::Egress => &traffic.destination,
            };
            let slot = slots.entry(self.place(peer, traffic)).or_default();
            slot.ports.extend(self.ports(traffic));
            slot.evidence.add(&traffic.evidence);
            match peer {
                End::Group(_) => {}
                End::Node { name, address } => {
                    slot.nodes.insert(name.clone());
                    slot.addresses.insert(*address);
                }
                End::Outside { address, .. } => _ = slot.addresses.insert(*address),
            }
        }
        self.group_by_ports(slots, notes)
    }

    /// Where a peer's traffic is counted.
    fn place(&self, peer: &End, traffic: &Traffic) -> (Topic, Target) {
        match peer {
            End::Group(group) if traffic.dns && self.direction == Direction::Egress => {
                (Topic::Dns(*group), Target::Group(*group))
            }
            End::Group(_) if traffic.dns && self.is_cluster_dns() => {
                (Topic::ClusterDns, Target::Shared)
            }
            End::Group(group) => (Topic::Pods, Target::Group(*group)),
            End::Node { address, .. } => (Topic::Nodes, Target::Address(*address)),
            End::Outside { .. }
                if self.direction == Direction::Ingress
                    && self.public.contains(&(traffic.protocol, traffic.port)) =>
            {
                (Topic::Anyone, Target::Shared)
            }
            End::Outside { name: Some(name), .. } if self.direction == Direction::Egress => {
                (Topic::Name(name.clone()), Target::Shared)
            }
            End::Outside { address, .. } => (Topic::Addresses, Target::Address(*address)),
        }
    }

    /// Whether the subject resolves names for the whole cluster. A pod that comes tomorrow asks it
    /// first of all, whoever asked so far.
    fn is_cluster_dns(&self) -> bool {
        let own = self.groups.at(self.subject);
        own.is_some_and(|group| DNS_NAMESPACES.contains(&group.namespace.as_str()))
    }

    /// The ports to allow: the one that was used, and for name resolution its twin, because long
    /// answers come over TCP (RFC 7766 §4).
    fn ports(&self, traffic: &Traffic) -> Vec<PolicyPort> {
        let both = [Protocol::Udp, Protocol::Tcp];
        let one = [traffic.protocol];
        let protocols: &[Protocol] = if traffic.dns { &both } else { &one };
        let port = |protocol: &Protocol| PolicyPort {
            protocol: *protocol,
            port: Some(self.port(&traffic.destination, *protocol, traffic.port)),
            end_port: None,
        };
        protocols.iter().map(port).collect()
    }

    fn port(&self, destination: &End, protocol: Protocol, number: u16) -> PortRef {
        match destination {
            End::Group(group) => self
                .groups
                .at(*group)
                .map_or(PortRef::Number(number), |group| group.port(protocol, number)),
            End::Node { .. } | End::Outside { .. } => PortRef::Number(number),
        }
    }

    /// Joins peers of one topic that use the same ports into one rule.
    fn group_by_ports(
        &self,
        slots: BTreeMap<(Topic, Target), Slot>,
        notes: &mut BTreeSet<Note>,
    ) -> Drafts {
        let mut rules = ByPorts::new();
        for ((topic, target), slot) in slots {
            rules.entry((topic, slot.ports.clone())).or_default().push((target, slot));
        }
        let mut drafts = Drafts::default();
        for ((topic, ports), slots) in rules {
            let mut evidence = Evidence::default();
            let mut addresses = BTreeSet::new();
            for (_, slot) in &slots {
                evidence.add(&slot.evidence);
                addresses.extend(&slot.addresses);
            }
            let peers = match &topic {
                Topic::Dns(_) | Topic::Pods => self.pod_peers(&slots),
                Topic::ClusterDns => vec![PolicyPeer::Pods {
                    namespaces: Some(LabelSelector::default()),
                    pods: None,
                }],
                Topic::Nodes | Topic::Name(_) | Topic::Addresses => {
                    self.note_wide(&topic, addresses.len(), notes);
                    blocks(&addresses)
                }
                Topic::Anyone => {
                    self.note_wide(&topic, addresses.len(), notes);
                    anyone(&addresses)
                }
            };
            if peers.is_empty() {
                continue; // Only peers without a selector: noted where the groups are made.
            }
            let comment = self.comment(&topic, &slots, &evidence, addresses.len());
            if let Topic::Name(name) = topic {
                drafts.names.entry(name).or_default().extend(addresses);
            }
            let ports = ports.into_iter().collect();
            let position = Position::default();
            drafts
                .rules
                .push(Draft { rule: PolicyRule { peers, ports, position, comment }, evidence });
        }
        drafts
    }

    /// Selectors of the groups: those of the own namespace first.
    fn pod_peers(&self, slots: &[(Target, Slot)]) -> Vec<PolicyPeer> {
        let mut by_namespace: BTreeMap<Option<&str>, Vec<&LabelSelector>> = BTreeMap::new();
        let own = self.groups.at(self.subject).map(|group| group.namespace.as_str());
        for (target, _) in slots {
            let Target::Group(index) = target else { continue };
            let Some(group) = self.groups.at(*index) else { continue };
            let namespace =
                Some(group.namespace.as_str()).filter(|namespace| own != Some(namespace));
            if let Some(selector) = &group.selector {
                by_namespace.entry(namespace).or_default().push(selector);
            }
        }
        let mut peers = Vec::new();
        for (namespace, selectors) in by_namespace {
            let namespaces = namespace.map(|name| LabelSelector::of(namespace_label(name)));
            for pods in joined(selectors) {
                peers.push(PolicyPeer::Pods { namespaces: namespaces.clone(), pods: Some(pods) });
            }
        }
        peers
    }

    /// Lines for people: who, how much, by which processes.
    fn comment(
        &self,
        topic: &Topic,
        slots: &[(Target, Slot)],
        evidence: &Evidence,
        addresses: usize,
    ) -> Vec<String> {
        let who = match topic {
            Topic::Dns(_) => format!("DNS by {}", self.names(slots)),
            Topic::ClusterDns => "DNS for every pod, also those to come".to_owned(),
            Topic::Pods => self.names(slots),
            Topic::Nodes => {
                let names = slots.iter().flat_map(|(_, slot)| &slot.nodes);
                let names: BTreeSet<&str> = names.map(String::as_str).collect();
                format!("node {}", list(&names, NAMES_MAX))
            }
            Topic::Name(name) => one_line(name),
            Topic::Addresses => {
                format!("outside, {} without a DNS name", count(addresses, "address"))
            }
            Topic::Anyone => format!("anyone outside: {} were seen", count(addresses, "address")),
        };
        let guess = if evidence.inferred { "; direction inferred" } else { "" };
        let last = evidence.last_seen.map(|at| format!(", last seen {at}")).unwrap_or_default();
        let connections =
            count(usize::try_from(evidence.connections).unwrap_or(usize::MAX), "connection");
        let mut lines = vec![format!("{who}: {connections}{last}{guess}")];
        if !evidence.processes.is_empty() {
            let processes = evidence.processes.iter().map(String::as_str).collect();
            lines.push(format!("by {}", list(&processes, PROCESSES_MAX)));
        }
        lines
    }

    /// Names of the groups in a rule, with the namespace if it is another one.
    fn names(&self, slots: &[(Target, Slot)]) -> String {
        let own = self.groups.at(self.subject).map(|group| group.namespace.as_str());
        let mut names = BTreeSet::new();
        for (target, _) in slots {
            let Target::Group(index) = target else { continue };
            let Some(group) = self.groups.at(*index) else { continue };
            names.extend(group.workloads.iter().map(|workload| shown(workload, own)));
        }
        list(&names.iter().map(String::as_str).collect(), NAMES_MAX)
    }

    fn note_wide(&self, topic: &Topic, addresses: usize, notes: &mut BTreeSet<Note>) {
        let text = match (topic, self.direction) {
            (Topic::Name(name), _) if addresses > ADDRESSES_MAX => format!(
                "`{name}` had {addresses} addresses: neighbours are joined without gaps. \
                 NetworkPolicy has no DNS names, so addresses to come are not allowed"
            ),
            (Topic::Name(name), _) => format!(
                "`{name}` is allowed by {}: NetworkPolicy has no DNS names, so a change of address \
                 needs a new recommendation",
                count(addresses, "address")
            ),
            (Topic::Anyone, _) => format!(
                "{} outside reached a port that a Service opens to the outside: anyone is allowed \
                 there. Some network plugins let ipBlock match pods too",
                count(addresses, "address")
            ),
            (Topic::Addresses, Direction::Ingress) => format!(
                "{} outside reached it on a port that is not known to be public: only they are \
                 allowed",
                count(addresses, "address")
            ),
            (Topic::Addresses, Direction::Egress) if addresses > ADDRESSES_MAX => format!(
                "reached {addresses} outside addresses without a DNS name: only they are allowed"
            ),
            (
                Topic::Dns(_) | Topic::ClusterDns | Topic::Pods | Topic::Nodes | Topic::Addresses,
                _,
            ) => return,
        };
        let subject = self.groups.at(self.subject).map(|group| group.ids().join(", "));
        notes.insert(Note { kind: NoteKind::Wide, subject: subject.unwrap_or_default(), text });
    }
}

/// The name of a workload as the owner of a policy in namespace `own` would say it.
fn shown(workload: &WorkloadRef, own: Option<&str>) -> String {
    if own == Some(workload.namespace.as_str()) {
        workload.name.clone()
    } else {
        format!("{}/{}", workload.namespace, workload.name)
    }
}

fn namespace_label(name: &str) -> Labels {
    Labels::from([(NAMESPACE_NAME.to_owned(), name.to_owned())])
}

/// The selector of a namespace by its name.
pub(crate) fn namespaces_named<'a>(names: impl IntoIterator<Item = &'a str>) -> LabelSelector {
    let values: Vec<String> = names.into_iter().map(str::to_owned).collect();
    match values.as_slice() {
        [name] => LabelSelector::of(namespace_label(name)),
        _ => LabelSelector {
            match_labels: Labels::new(),
            match_expressions: vec![Requirement {
                key: NAMESPACE_NAME.to_owned(),
                operator: Operator::In,
                values,
            }],
        },
    }
}

/// Joins selectors that ask one label for different values into one with `In`.
fn joined(selectors: Vec<&LabelSelector>) -> BTreeSet<LabelSelector> {
    let mut by_key: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for selector in selectors {
        let mut labels = selector.match_labels.iter();
        match (labels.next(), labels.next(), selector.match_expressions.is_empty()) {
            (Some((key, value)), None, true) => {
                by_key.entry(key).or_default().insert(value);
            }
            _ => _ = out.insert(selector.clone()),
        }
    }
    for (key, values) in by_key {
        if values.len() >= PEERS_JOINED_MIN {
            let values = values.into_iter().map(str::to_owned).collect();
            let (key, operator) = (key.to_owned(), Operator::In);
            out.insert(LabelSelector {
                match_labels: Labels::new(),
                match_expressions: vec![Requirement { key, operator, values }],
            });
        } else {
            out.extend(values.into_iter().map(|value| {
                LabelSelector::of(Labels::from([(key.to_owned(), value.to_owned())]))
            }));
        }
    }
    out
}

/// One block per address; many are joined where they fill a larger block without a gap.
fn blocks(addresses: &BTreeSet<IpAddr>) -> Vec<PolicyPeer> {
    let mut nets: Vec<IpNet> = addresses.iter().map(|address| IpNet::from(*address)).collect();
    if nets.len() > ADDRESSES_MAX {
        nets = IpNet::aggregate(&nets);
    }
    let block = |cidr| PolicyPeer::IpBlock { cidr, except: Vec::new() };
    nets.into_iter().map(block).collect()
}

/// All addresses of the families that were seen.
fn anyone(addresses: &BTreeSet<IpAddr>) -> Vec<PolicyPeer> {
    let mut nets = Vec::new();
    if addresses.iter().any(IpAddr::is_ipv4) {
        nets.push(Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0).map(IpNet::V4));
    }
    if addresses.iter().any(IpAddr::is_ipv6) {
        nets.push(Ipv6Net::new(Ipv6Addr::UNSPECIFIED, 0).map(IpNet::V6));
    }
    let block = |cidr| PolicyPeer::IpBlock { cidr, except: Vec::new() };
    nets.into_iter().filter_map(Result::ok).map(block).collect()
}

fn count(number: usize, word: &str) -> String {
    match (number, word) {
        (1, _) => format!("1 {word}"),
        (_, "address") => format!("{number} addresses"),
        (_, _) => format!("{number} {word}s"),
    }
}

/// `a, b and 3 more`.
fn list(words: &BTreeSet<&str>, max: usize) -> String {
    let shown: Vec<&str> = words.iter().copied().take(max).collect();
    let more = words.len().saturating_sub(shown.len());
    let shown = one_line(&shown.join(", "));
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Evidence in the words of the proposal.
pub(crate) fn evidence(direction: Direction, drafts: &[Draft]) -> Vec<RuleEvidence> {
    let one = |(rule, draft): (u32, &Draft)| RuleEvidence {
        direction,
        rule,
        words: draft.rule.comment.clone(),
        connections: draft.evidence.connections,
        first_seen: draft.evidence.first_seen.unwrap_or_default(),
        last_seen: draft.evidence.last_seen.unwrap_or_default(),
        processes: draft.evidence.processes.iter().cloned().collect(),
        edges: draft.evidence.edges.iter().cloned().collect(),
    };
    (0_u32..).zip(drafts).map(one).collect()
}

/// Whether `group` can be named in a rule.
pub(crate) fn selectable(group: &Group<'_>) -> bool {
    group.selector.is_some()
}
