//! Policies in tiers for the tests: hand-made and random ones, among NetworkPolicies.

use sekisho_manifest::{
    LabelSelector, Meta, Object, Position, Tier, TierAction, TierPeer, TierPolicy, TierPolicyKind,
    TierPort, TierRule, TierSubject,
};
use sekisho_model::Protocol;
use sekisho_policy::{Dialect, RuleSet};

use crate::policies::{self, Random, app, team};

pub(crate) fn set(policies: &[TierPolicy], with: &RuleSet) -> RuleSet {
    let mut objects: Vec<Object> =
        with.policies().iter().cloned().map(Object::NetworkPolicy).collect();
    objects.extend(policies.iter().cloned().map(Object::TierPolicy));
    RuleSet::from_objects(&objects, Dialect::default())
}

pub(crate) fn policy(kind: TierPolicyKind, tier: Tier, name: &str, priority: u16) -> TierPolicy {
    TierPolicy {
        meta: Meta { name: name.to_owned(), ..Meta::default() },
        kind,
        tier,
        priority,
        subject: TierSubject::Namespaces(LabelSelector::default()),
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

pub(crate) fn rule(
    action: TierAction,
    peers: Vec<TierPeer>,
    ports: Option<Vec<TierPort>>,
) -> TierRule {
    TierRule { name: String::new(), action, peers, ports, position: Position::default() }
}

pub(crate) fn port(protocol: Protocol, first: u16, last: u16) -> TierPort {
    TierPort::Range { protocol, first, last }
}

/// Admin: nobody reaches 9090 but by what Pass leaves to the shop's own policies; shop may not
/// reach 198.51.100.0/24 but for DNS. Baseline: mon is closed.
pub(crate) fn shop() -> RuleSet {
    use TierAction::{Accept, Deny, Pass};
    let any = || TierPeer::Namespaces(LabelSelector::default());
    let cluster = TierPolicyKind::ClusterNetworkPolicy;
    let mut first = policy(cluster, Tier::Admin, "first", 10);
    first.ingress = vec![
        rule(Pass, vec![any()], Some(vec![TierPort::Named("pg".to_owned())])),
        rule(Deny, vec![any()], Some(vec![port(Protocol::Tcp, 9000, 9999)])),
    ];
    let mut second = policy(TierPolicyKind::AdminNetworkPolicy, Tier::Admin, "second", 20);
    second.subject = TierSubject::Namespaces(team("a"));
    let net = vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    second.egress = vec![
        rule(
            Accept,
            vec![TierPeer::Networks(net.clone())],
            Some(vec![port(Protocol::Udp, 53, 53)]),
        ),
        rule(Deny, vec![TierPeer::Networks(net)], None),
    ];
    let mut last = policy(TierPolicyKind::BaselineAdminNetworkPolicy, Tier::Baseline, "default", 0);
    last.subject = TierSubject::Namespaces(team("b"));
    last.ingress = vec![rule(Deny, vec![any()], None)];
    set(&[first, second, last], &policies::shop())
}

/// Up to five policies in tiers, and up to two NetworkPolicies between them.
pub(crate) fn random(seed: u64) -> RuleSet {
    let mut random = Random::new(seed.wrapping_add(7_000));
    let own: Vec<TierPolicy> = (0..1 + random.below(4))
        .map(|number| {
            let (kind, tier) = random.of(&[
                (TierPolicyKind::ClusterNetworkPolicy, Tier::Admin),
                (TierPolicyKind::AdminNetworkPolicy, Tier::Admin),
                (TierPolicyKind::ClusterNetworkPolicy, Tier::Baseline),
            ]);
            let priority = u16::try_from(number * 10).unwrap();
            fill(&mut random, policy(kind, tier, &format!("t{number}"), priority))
        })
        .collect();
    let few = RuleSet::new(policies::random(seed).policies().iter().take(2).cloned());
    let between = if random.chance(60) { few } else { RuleSet::default() };
    set(&own, &between)
}

fn fill(random: &mut Random, mut policy: TierPolicy) -> TierPolicy {
    policy.subject = match random.below(4) {
        0 => TierSubject::Namespaces(LabelSelector::default()),
        1 => TierSubject::Namespaces(team("a")),
        2 => TierSubject::Pods { namespaces: LabelSelector::default(), pods: app("db") },
        _ => TierSubject::Pods { namespaces: team("a"), pods: app("web") },
    };
    policy.ingress = (0..random.below(4)).map(|_| random_rule(random, false)).collect();
    policy.egress = (0..random.below(4)).map(|_| random_rule(random, true)).collect();
    policy
}

fn random_rule(random: &mut Random, egress: bool) -> TierRule {
    let action =
        random.of(&[TierAction::Accept, TierAction::Deny, TierAction::Deny, TierAction::Pass]);
    let kinds = if egress { 6 } else { 3 };
    let peers = (0..1 + random.below(2)).map(|_| random_peer(random, kinds)).collect();
    let ports =
        random.chance(60).then(|| (0..1 + random.below(3)).map(|_| random_port(random)).collect());
    rule(action, peers, ports)
}

fn random_peer(random: &mut Random, kinds: usize) -> TierPeer {
    match random.below(kinds) {
        0 => TierPeer::Namespaces(random.of(&[LabelSelector::default(), team("a"), team("b")])),
        1 => TierPeer::Pods {
            namespaces: LabelSelector::default(),
            pods: random.of(&[app("web"), app("db"), app("legacy")]),
        },
        2 => TierPeer::Pods {
            namespaces: team("a"),
            pods: random.of(&[LabelSelector::default(), app("web")]),
        },
        3 => TierPeer::Nodes(random.of(&[LabelSelector::default(), pool("a"), pool("b")])),
        _ => {
            let nets = random.of(&[
                &["0.0.0.0/0", "::/0"][..],
                &["10.77.0.0/28"],
                &["10.77.0.12/31", "fd77::12/127"],
                &["198.51.100.0/24", "2001:db8::/32"],
                &["fd77::/64"],
            ]);
            TierPeer::Networks(nets.iter().map(|net| net.parse().unwrap()).collect())
        }
    }
}

fn pool(name: &str) -> LabelSelector {
    LabelSelector::of([("pool".to_owned(), name.to_owned())].into())
}

fn random_port(random: &mut Random) -> TierPort {
    let protocol = random.of(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let (first, last) = random.of(&[
        (80, 80),
        (443, 443),
        (5432, 5432),
        (8080, 8085),
        (9090, 9090),
        (53, 53),
        (1, u16::MAX),
        (1024, u16::MAX),
    ]);
    if random.chance(25) {
        TierPort::Named(random.of(&["http", "pg", "dns", "none"]).to_owned())
    } else {
        port(protocol, first, last)
    }
}
