//! Where the given policies mean different things on different network plugins.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_manifest::Position;
use sekisho_model::{Direction, PartyKind};

use super::code::PLUGINS_DIFFER;
use super::context::{Context, Far, Place, about, object_name, workload_name};
use super::finding::{Finding, Fix, Severity, evidence};
use super::priority::far_name;
use crate::ir::{PeerMatch, Peers, Policy, Rule, Rulebook};
use crate::matching::is_ordinary;
use crate::{Dialect, DirectionAnswer, Pair, Peer, PortSet};

/// The dialects that enforce; the others only analyse.
const PLUGINS: [Dialect; 6] = [
    Dialect::Spec,
    Dialect::Calico,
    Dialect::Cilium,
    Dialect::Ovn,
    Dialect::Antrea,
    Dialect::KubeNetworkPolicies,
];
/// Pairs of ends that are asked; beyond, the rest is not compared.
const PAIRS_MAX: usize = 300_000;

/// Plugins that read all given policies alike.
struct Group {
    dialects: Vec<Dialect>,
    book: Rulebook,
}

/// The points on which plugins differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Pods,
    Nodes,
    Names,
    Other,
}

impl Point {
    fn words(self) -> &'static str {
        match self {
            Self::Pods => "whether an ipBlock matches pods by their addresses",
            Self::Nodes => "whether an ipBlock matches nodes and pods on the host's network",
            Self::Names => "whether a named port of egress stands for the numbers of all pods",
            Self::Other => "how the rule is read",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Pods => {
                "allow pods with podSelector and namespaceSelector; if the range must not reach \
                 pods, add their ranges to `except`"
            }
            Self::Nodes => {
                "on Cilium allow nodes with the entities host and remote-node, elsewhere by their \
                 addresses"
            }
            Self::Names => "write the number of the port",
            Self::Other => "write the rule so that all plugins agree",
        }
    }
}

/// What one rule means differently.
struct Difference {
    place: Place,
    name: crate::PolicyName,
    allowing: Vec<Dialect>,
    denying: Vec<Dialect>,
    lines: Vec<String>,
    /// The rule is for the whole world, whoever that is.
    world: bool,
}

type Found = BTreeMap<(Position, Point), Difference>;

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let groups = groups(cx);
    let Some((reference, others)) = groups.split_first() else { return };
    let mut found = Found::new();
    for other in others {
        compare(cx, reference, other, &mut found);
    }
    for ((_, point), difference) in found {
        let names = |dialects: &[Dialect]| {
            dialects.iter().map(|dialect| dialect.as_str()).collect::<Vec<_>>().join(", ")
        };
        let message = format!(
            "means different things on different plugins ({}): {} by {}, {} by {}",
            point.words(),
            "allowed",
            names(&difference.allowing),
            "denied",
            names(&difference.denying)
        );
        let mut finding =
            difference.place.finding(&PLUGINS_DIFFER, message, Fix::words(point.advice()));
        if difference.world || cx.is_recommended(&difference.name) {
            finding.severity = Severity::Note;
        }
        finding.evidence = evidence(difference.lines);
        out.push(finding);
    }
}

/// Plugins by what they make of the policies; the specification's group first.
fn groups(cx: &Context<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for dialect in PLUGINS {
        let book = cx.rules.in_dialect(dialect).rulebook().clone();
        let like = |group: &&mut Group| {
            let one = group.dialects.first().copied().unwrap_or_default();
            traits(one) == traits(dialect) && group.book.tiers == book.tiers
        };
        match groups.iter_mut().find(like) {
            Some(group) => group.dialects.push(dialect),
            None => groups.push(Group { dialects: vec![dialect], book }),
        }
    }
    groups
}

/// Everything that evaluation asks a dialect.
fn traits(dialect: Dialect) -> [bool; 5] {
    [
        dialect.ip_block_matches_pods(),
        dialect.ip_block_matches_nodes(),
        dialect.host_network_is_ordinary(),
        dialect.judges_itself(),
        dialect.egress_names_are_cluster_wide(),
    ]
}

fn compare(cx: &Context<'_>, one: &Group, other: &Group, found: &mut Found) {
    let ends: Vec<(String, Peer<'_>, Option<IpAddr>)> = ends(cx);
    let mut asked = 0_usize;
    for (class, endpoint) in cx.ordinary() {
        if !is_touchy(&class.book) {
            continue;
        }
        let books =
            [about(&cx.cluster, &one.book, endpoint), about(&cx.cluster, &other.book, endpoint)];
        let own = class.workloads.first().map(workload_name).unwrap_or_default();
        for direction in [Direction::Ingress, Direction::Egress] {
            for (name, peer, address) in &ends {
                asked += 1;
                if asked > PAIRS_MAX {
                    let why = format!("plugins are compared on {PAIRS_MAX} pairs of ends at most");
                    cx.leave_out(&[&PLUGINS_DIFFER], why);
                    return;
                }
                let me = Peer::Endpoint(endpoint);
                let pair = match direction {
                    Direction::Ingress => Pair {
                        source: *peer,
                        destination: me,
                        source_address: *address,
                        destination_address: None,
                    },
                    Direction::Egress => Pair {
                        source: me,
                        destination: *peer,
                        source_address: None,
                        destination_address: *address,
                    },
                };
                let answer = |book: &Rulebook| book.pair_direction(&cx.cluster, &pair, direction);
                let [left, right] = [answer(&books[0]), answer(&books[1])];
                if left.allowed() == right.allowed() {
                    continue;
                }
                let (source, destination) = match direction {
                    Direction::Ingress => (name, &own),
                    Direction::Egress => (&own, name),
                };
                let line = format!("{source} -> {destination}");
                let seen = Seen { direction, peer: *peer, answers: [&left, &right], line };
                record(cx, [one, other], &books, &seen, found);
            }
        }
    }
}

/// Whether there is a rule that plugins may read differently.
fn is_touchy(book: &Rulebook) -> bool {
    let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
    policies.into_iter().any(|policy| {
        let sides = [&policy.ingress, &policy.egress].into_iter().flatten();
        sides.flat_map(|side| &side.rules).any(|rule| has_networks(rule) || rule.ports.has_names())
    })
}

fn has_networks(rule: &Rule) -> bool {
    let Peers::List(peers) = &rule.peers else { return false };
    peers.iter().any(|peer| !matches!(peer, PeerMatch::Endpoints(_) | PeerMatch::Domain(_)))
}

/// Pods with each address, nodes, and addresses outside.
fn ends<'c>(cx: &'c Context<'_>) -> Vec<(String, Peer<'c>, Option<IpAddr>)> {
    let mut ends = Vec::new();
    for far in cx.far_ends() {
        let name = far_name(cx, far);
        match far {
            Far::Address(address) => ends.push((name, Peer::Address(address), Some(address))),
            Far::Class(index) => {
                // Plugins know nothing of hosts: there they are addresses outside.
                let endpoint = cx
                    .classes
                    .get(index)
                    .and_then(|class| cx.endpoint(class))
                    .filter(|endpoint| endpoint.kind == PartyKind::Pod);
                for address in endpoint.iter().flat_map(|endpoint| {
                    let all: Vec<Option<IpAddr>> =
                        endpoint.addresses.iter().copied().map(Some).collect();
                    if all.is_empty() { vec![None] } else { all }
                }) {
                    ends.extend(endpoint.map(|one| (name.clone(), Peer::Endpoint(one), address)));
                }
            }
        }
    }
    for (node, addresses) in &cx.cluster.nodes {
        let peer = Peer::Node { name: node, address: addresses.first().copied() };
        ends.push((format!("node {node}"), peer, addresses.first().copied()));
    }
    ends
}

/// A pair that two groups answer differently.
struct Seen<'s> {
    direction: Direction,
    peer: Peer<'s>,
    answers: [&'s DirectionAnswer; 2],
    line: String,
}

fn record(
    cx: &Context<'_>,
    groups: [&Group; 2],
    books: &[Rulebook; 2],
    seen: &Seen<'_>,
    found: &mut Found,
) {
    let [left, right] = seen.answers.map(DirectionAnswer::allowed);
    for (ports, allowing, denying) in
        [(left.minus(&right), 0_usize, 1_usize), (right.minus(&left), 1, 0)]
    {
        if ports.is_empty() {
            continue;
        }
        let Some((policy, rule)) = blamed(books, seen, &ports) else { continue };
        let point = point(cx, rule, seen);
        let of = |index: usize| {
            groups.get(index).map(|group| group.dialects.clone()).unwrap_or_default()
        };
        let entry = found.entry((rule.position.clone(), point)).or_insert_with(|| Difference {
            place: Place { object: object_name(&policy.name), ..cx.rule_place(policy, rule) },
            name: policy.name.clone(),
            allowing: of(allowing),
            denying: of(denying),
            lines: Vec::new(),
            world: super::world::holds_world(&rule.peers),
        });
        entry.lines.push(format!("{} {ports}", seen.line));
    }
}

/// The rule that makes the difference: one that decides these ports in either reading, first of
/// all one with a range or a name.
fn blamed<'b>(
    books: &'b [Rulebook; 2],
    seen: &Seen<'_>,
    ports: &PortSet,
) -> Option<(&'b Policy, &'b Rule)> {
    let mut rules: Vec<(&Policy, &Rule)> = Vec::new();
    for (book, answer) in books.iter().zip(seen.answers) {
        let touching =
            answer.segments.iter().filter(|segment| !segment.ports.intersection(ports).is_empty());
        for step in touching.flat_map(|segment| &segment.steps) {
            let Some(matched) = &step.rule else { continue };
            let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
            for policy in policies.filter(|policy| policy.name == step.policy) {
                let side = policy.side(seen.direction);
                let rule = side.and_then(|side| {
                    side.rules.iter().find(|rule| rule.position == matched.position)
                });
                rules.extend(rule.map(|rule| (policy, rule)));
            }
        }
    }
    let touchy = |(_, rule): &&(&Policy, &Rule)| has_networks(rule) || rule.ports.has_names();
    rules.iter().find(touchy).or_else(|| rules.first()).copied()
}

fn point(cx: &Context<'_>, rule: &Rule, seen: &Seen<'_>) -> Point {
    let ordinary = match seen.peer {
        Peer::Endpoint(endpoint) => is_ordinary(cx.dialect(), endpoint),
        Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_) => false,
    };
    if has_networks(rule) && ordinary {
        Point::Pods
    } else if has_networks(rule) {
        Point::Nodes
    } else if rule.ports.has_names() && seen.direction == Direction::Egress {
        Point::Names
    } else {
        Point::Other
    }
}
