//! Promises that hold for any policies and history, against a naive replay row by row.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use sekisho_manifest::{NetworkPolicy, Object};
use sekisho_model::{EdgeDay, Labels, Party, PartyKind, Verdict};
use sekisho_policy::{Cluster, Connection, Endpoint, Peer, RuleSet};
use sekisho_verify::EdgeClass;

use crate::world::{cluster, pod, replay, replay_short, row, rules};

const SELECTORS: [&str; 4] = [
    "{}",
    "{matchLabels: {app: web}}",
    "{matchLabels: {app: db}}",
    "{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}",
];
const PEERS: [&str; 5] = [
    "{podSelector: {}}",
    "{podSelector: {matchLabels: {app: web}}}",
    "{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}",
    "{ipBlock: {cidr: 203.0.113.0/24}}",
    "{ipBlock: {cidr: 0.0.0.0/0, except: [203.0.113.0/25]}}",
];
const PORTS: [&str; 4] = [
    "",
    "ports: [{port: http}]",
    "ports: [{port: 53, protocol: UDP}]",
    "ports: [{port: 8000, endPort: 9000}]",
];
const VERDICTS: [Verdict; 4] =
    [Verdict::Allowed, Verdict::WouldDeny, Verdict::Denied, Verdict::Unknown];

pub(crate) fn policies() -> impl Strategy<Value = Vec<NetworkPolicy>> {
    let rule = (0..PEERS.len(), 0..PORTS.len());
    let side = || prop::collection::vec(rule.clone(), 0..3);
    let policy = (0..SELECTORS.len(), side(), side(), 1..4_u8);
    prop::collection::vec(policy, 0..4).prop_map(|specs| {
        let side = |peers: &str, rules: &[(usize, usize)]| {
            let rule = |(peer, port): &(usize, usize)| {
                let comma = if PORTS[*port].is_empty() { "" } else { ", " };
                format!("{{{peers}: [{}]{comma}{}}}", PEERS[*peer], PORTS[*port])
            };
            rules.iter().map(rule).collect::<Vec<_>>().join(", ")
        };
        let spec = |(selector, ingress, egress, types): &(usize, Vec<_>, Vec<_>, u8)| {
            let types = ["[Ingress]", "[Egress]", "[Ingress, Egress]"][usize::from(*types) - 1];
            format!(
                "{{podSelector: {}, policyTypes: {types}, ingress: [{}], egress: [{}]}}",
                SELECTORS[*selector],
                side("from", ingress),
                side("to", egress)
            )
        };
        let specs: Vec<String> = specs.iter().map(spec).collect();
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        rules(&specs).policies().to_vec()
    })
}

const TIERS: [&str; 3] = [
    "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: a}",
    "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: b}",
    "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, \
     metadata: {name: default}",
];
const SUBJECTS: [&str; 2] =
    ["{namespaces: {}}", "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}"];
const TIER_PEERS: [&str; 4] = [
    "{namespaces: {}}",
    "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}",
    "{networks: [203.0.113.0/24]}",
    "{networks: [0.0.0.0/0]}",
];
const TIER_PORTS: [&str; 4] = [
    "",
    ", ports: [{namedPort: http}]",
    ", ports: [{portNumber: {protocol: UDP, port: 53}}]",
    ", ports: [{portRange: {protocol: TCP, start: 1, end: 9000}}]",
];

/// Up to three policies in tiers; without names of ports where the peers are networks.
pub(crate) fn tiers() -> impl Strategy<Value = Vec<Object>> {
    let rule = (0..TIER_PEERS.len(), 0..TIER_PORTS.len(), 0..3_usize);
    let side = || prop::collection::vec(rule.clone(), 0..3);
    let policy = (0..SUBJECTS.len(), side(), side());
    prop::collection::vec(policy, 0..=TIERS.len()).prop_map(|specs| {
        let mut text = String::new();
        for (number, (subject, ingress, egress)) in specs.iter().enumerate() {
            let rules = |end: &str, peers: usize, rules: &[(usize, usize, usize)]| {
                let rule = |(peer, port, action): &(usize, usize, usize)| {
                    let peer = peer % peers;
                    let port = if peer > 1 && *port == 1 { 0 } else { *port };
                    let actions = if number == 2 { 2 } else { 3 };
                    let action = ["Allow", "Deny", "Pass"][action % actions];
                    let (peer, port) = (TIER_PEERS[peer], TIER_PORTS[port]);
                    format!("{{action: {action}, {end}: [{peer}]{port}}}")
                };
                rules.iter().map(rule).collect::<Vec<_>>().join(", ")
            };
            let priority =
                if number == 2 { String::new() } else { format!("priority: {number}, ") };
            text += &format!(
                "---\n{}, spec: {{{priority}subject: {}, ingress: [{}], egress: [{}]}}}}\n",
                TIERS[number],
                SUBJECTS[*subject],
                rules("from", 2, ingress),
                rules("to", TIER_PEERS.len(), egress)
            );
        }
        sekisho_manifest::parse("tiers.yaml", &text).unwrap()
    })
}

/// Parties of which everything is known: pods of the cluster, a former label, and outsiders.
fn parties() -> Vec<Party> {
    let cluster = cluster();
    let mut parties: Vec<Party> =
        ["web", "db", "other", "client"].iter().map(|name| pod(&cluster, name)).collect();
    let mut former = pod(&cluster, "other");
    former.labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    parties.push(former);
    parties.push(Party::external(IpAddr::from([203, 0, 113, 7]), None));
    parties.push(Party::external(IpAddr::from([198, 51, 100, 7]), Some("x.example".to_owned())));
    parties
}

/// Indexes of source, destination, port and verdict, and a count of connections.
type Spec = (usize, usize, usize, usize, u64);

pub(crate) fn histories() -> impl Strategy<Value = Vec<EdgeDay>> {
    let party = 0..parties().len();
    let one = (party.clone(), party, 0..3_usize, 0..VERDICTS.len(), 0..20_u64);
    prop::collection::vec(one, 0..25).prop_map(|rows| {
        let parties = parties();
        let make = |(source, destination, port, verdict, connections): &Spec| {
            let mut row = row(parties[*source].clone(), parties[*destination].clone());
            let (number, protocol): (u16, &str) = [(8080, "TCP"), (53, "UDP"), (7, "TCP")][*port];
            row.key_mut().port = number;
            row.key_mut().protocol = protocol.parse().unwrap();
            row.key_mut().verdict = VERDICTS[*verdict];
            row.stats.connections = *connections;
            row
        };
        rows.iter().map(make).collect()
    })
}

/// One row, decided straight from the cluster with the labels of its time.
fn allowed(rules: &RuleSet, cluster: &Cluster, row: &EdgeDay) -> bool {
    let endpoint = |party: &Party| -> Option<Endpoint> {
        let endpoint = cluster.endpoints.iter().find(|endpoint| endpoint.name == party.pod)?;
        Some(Endpoint { labels: party.labels.clone(), ..endpoint.clone() })
    };
    let (source, destination) = (&row.key.source, &row.key.destination);
    let (from, to) = (endpoint(source), endpoint(destination));
    let (from, to) = (from.as_ref(), to.as_ref());
    let address = |party: &Party| Peer::Address(party.address.unwrap());
    rules
        .decide(
            cluster,
            &Connection {
                source: from.map_or_else(|| address(source), Peer::Endpoint),
                destination: to.map_or_else(|| address(destination), Peer::Endpoint),
                source_address: source.address,
                destination_address: destination.address,
                protocol: row.key.protocol,
                port: row.key.port,
            },
        )
        .allows()
}

fn naive(rows: &[EdgeDay], current: &RuleSet, proposed: &RuleSet) -> BTreeMap<String, EdgeClass> {
    let cluster = cluster();
    let mut classes: BTreeMap<String, EdgeClass> = BTreeMap::new();
    for row in rows {
        let works = matches!(row.key.verdict, Verdict::Allowed | Verdict::WouldDeny);
        let class = match (allowed(current, &cluster, row), allowed(proposed, &cluster, row)) {
            (true, false) if works => EdgeClass::WouldBlock,
            (false, true) => EdgeClass::NewlyAllowed,
            _ => EdgeClass::Unchanged,
        };
        let key = &row.key;
        let name = format!("{} -> {}:{}/{}", key.source, key.destination, key.port, key.protocol);
        classes.entry(name).and_modify(|worst| *worst = class.min(*worst)).or_insert(class);
    }
    classes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_replay_agrees_with_a_naive_one(
        rows in histories(), current in policies(), proposed in policies()
    ) {
        let (current, proposed) = (RuleSet::new(current), RuleSet::new(proposed));
        let answer = replay(&cluster(), &rows, &current, &proposed);
        let found: BTreeMap<String, EdgeClass> =
            answer.report.edges.iter().map(|edge| (edge.name(), edge.class)).collect();
        prop_assert_eq!(&found, &naive(&rows, &current, &proposed));
        let blocked = found.values().filter(|class| **class == EdgeClass::WouldBlock).count();
        prop_assert_eq!(answer.verified.is_some(), blocked == 0);
    }

    #[test]
    fn the_replay_agrees_with_a_naive_one_on_policies_in_tiers(
        rows in histories(), current in tiers(), tiers in tiers(), policies in policies()
    ) {
        let current = RuleSet::default().with(current);
        let proposed = RuleSet::new(policies).with(tiers);
        let answer = replay(&cluster(), &rows, &current, &proposed);
        let found: BTreeMap<String, EdgeClass> =
            answer.report.edges.iter().map(|edge| (edge.name(), edge.class)).collect();
        prop_assert_eq!(found, naive(&rows, &current, &proposed));
    }

    #[test]
    fn an_edge_is_told_in_the_same_words_whatever_stands_beside_it(
        rows in histories(), current in tiers(), policies in policies()
    ) {
        let (current, proposed) = (RuleSet::default().with(current), RuleSet::new(policies));
        let whole = replay(&cluster(), &rows, &current, &proposed).report;
        for edge in &whole.edges {
            let is_own = |row: &&EdgeDay| {
                let key = &row.key;
                (key.source.id(), key.destination.id()) == (edge.source.clone(), edge.destination.clone())
                    && (key.port, key.protocol) == (edge.port, edge.protocol)
            };
            let own: Vec<EdgeDay> = rows.iter().filter(is_own).cloned().collect();
            let alone = replay(&cluster(), &own, &current, &proposed).report;
            prop_assert_eq!(&alone.edges, std::slice::from_ref(edge));
        }
    }

    #[test]
    fn unchanged_edges_that_are_not_listed_are_counted(
        rows in histories(), current in policies(), proposed in policies(), unchanged_max in 0..6_u64
    ) {
        let (current, proposed) = (RuleSet::new(current), RuleSet::new(proposed));
        let whole = replay(&cluster(), &rows, &current, &proposed);
        let short = replay_short(&cluster(), &rows, (&current, &proposed), unchanged_max);
        let mut listed = whole.report.edges.clone();
        let changed = listed.iter().filter(|edge| edge.class != EdgeClass::Unchanged).count();
        listed.truncate(changed + usize::try_from(unchanged_max).unwrap());
        prop_assert_eq!(&short.report.edges, &listed);
        prop_assert_eq!(short.report.summary, whole.report.summary);
        prop_assert_eq!(short.verified, whole.verified);
    }

    #[test]
    fn the_same_policies_change_nothing(rows in histories(), policies in policies()) {
        let rules = RuleSet::new(policies);
        let report = replay(&cluster(), &rows, &rules, &rules).report;
        prop_assert_eq!(report.summary.would_block + report.summary.newly_allowed, 0);
    }

    #[test]
    fn a_rule_that_is_added_blocks_nothing(
        rows in histories(), policies in policies(), more in policies()
    ) {
        let mut wider = policies.clone();
        for (policy, more) in wider.iter_mut().zip(more) {
            policy.ingress.extend(more.ingress);
            policy.egress.extend(more.egress);
        }
        let (current, proposed) = (RuleSet::new(policies), RuleSet::new(wider));
        let report = replay(&cluster(), &rows, &current, &proposed).report;
        prop_assert_eq!(report.summary.would_block, 0);
    }

    #[test]
    fn neither_the_order_nor_the_splitting_of_rows_matters(
        rows in histories(), current in policies(), proposed in policies()
    ) {
        let (current, proposed) = (RuleSet::new(current), RuleSet::new(proposed));
        let mut split = Vec::new();
        for row in rows.iter().rev() {
            let mut half = row.clone();
            half.stats.connections /= 2;
            half.key_mut().destination = Arc::new(Party::clone(&row.key.destination));
            let mut rest = row.clone();
            rest.stats.connections -= half.stats.connections;
            half.stats.bytes_received = 0;
            split.extend([half, rest]);
        }
        let whole = replay(&cluster(), &rows, &current, &proposed).report;
        prop_assert_eq!(whole, replay(&cluster(), &split, &current, &proposed).report);
    }
}

#[test]
fn the_parties_of_the_properties_are_pods_and_outsiders() {
    let kinds: Vec<PartyKind> = parties().iter().map(|party| party.kind).collect();
    assert!(kinds.contains(&PartyKind::Pod) && kinds.contains(&PartyKind::External));
}
