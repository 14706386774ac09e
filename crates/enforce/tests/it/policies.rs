//! Policies for the tests: hand-made and random ones.

use sekisho_manifest::{
    LabelSelector, Meta, NetworkPolicy, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef,
    Requirement,
};
use sekisho_model::{Completeness, Protocol, TimeRange};
use sekisho_policy::{Cluster, RuleSet};
use sekisho_verify::{Request, VerifiedPolicy, what_if};

pub(crate) fn verified(rules: &RuleSet, cluster: &Cluster) -> VerifiedPolicy {
    let completeness = Completeness { ratio: 1.0, produced: 0, dropped: 0, gaps: Vec::new() };
    let request = Request {
        current: &RuleSet::default(),
        proposed: rules,
        cluster,
        history: &[],
        window: TimeRange::ALL,
        completeness: &completeness,
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max: sekisho_verify::UNCHANGED_ALL,
    };
    what_if(&request).verified.expect("no history, so nothing would be blocked")
}

pub(crate) fn policy(namespace: &str, name: &str, subject: LabelSelector) -> NetworkPolicy {
    NetworkPolicy {
        meta: Meta { name: name.to_owned(), namespace: namespace.to_owned(), ..Meta::default() },
        pod_selector: subject,
        ..NetworkPolicy::default()
    }
}

pub(crate) fn app(name: &str) -> LabelSelector {
    LabelSelector::of([("app".to_owned(), name.to_owned())].into())
}

pub(crate) fn pods(namespaces: Option<LabelSelector>, pods: Option<LabelSelector>) -> PolicyPeer {
    PolicyPeer::Pods { namespaces, pods }
}

pub(crate) fn block(cidr: &str, except: &[&str]) -> PolicyPeer {
    let except = except.iter().map(|hole| hole.parse().unwrap()).collect();
    PolicyPeer::IpBlock { cidr: cidr.parse().unwrap(), except }
}

pub(crate) fn tcp(port: u16) -> PolicyPort {
    PolicyPort { protocol: Protocol::Tcp, port: Some(PortRef::Number(port)), end_port: None }
}

pub(crate) fn rule(peers: Vec<PolicyPeer>, ports: Vec<PolicyPort>) -> PolicyRule {
    PolicyRule { peers, ports, ..PolicyRule::default() }
}

/// db takes 5432 from web, any port from prom; web may speak to db and nothing else; the host
/// takes pg by name from shop.
pub(crate) fn shop() -> RuleSet {
    let mut deny_all = policy("shop", "default-deny", LabelSelector::default());
    deny_all.isolates_ingress = true;
    let mut db = policy("shop", "db", app("db"));
    db.isolates_ingress = true;
    db.ingress = vec![
        rule(vec![pods(None, Some(app("web")))], vec![tcp(5432)]),
        rule(vec![pods(Some(LabelSelector::default()), Some(app("prom")))], vec![]),
    ];
    let mut web = policy("shop", "web", app("web"));
    web.isolates_egress = true;
    let pg = PolicyPort {
        protocol: Protocol::Tcp,
        port: Some(PortRef::Name("pg".to_owned())),
        end_port: None,
    };
    web.egress = vec![
        rule(vec![pods(None, Some(app("db")))], vec![tcp(5432)]),
        rule(vec![pods(Some(LabelSelector::default()), None)], vec![pg.clone()]),
        rule(vec![block("198.51.100.0/24", &["198.51.100.128/25"])], vec![tcp(443)]),
    ];
    let mut legacy = policy("hosts", "legacy", app("legacy"));
    (legacy.isolates_ingress, legacy.isolates_egress) = (true, true);
    legacy.ingress = vec![rule(vec![pods(Some(team("a")), None)], vec![pg])];
    RuleSet::new([deny_all, db, web, legacy])
}

pub(crate) fn team(name: &str) -> LabelSelector {
    LabelSelector::of([("team".to_owned(), name.to_owned())].into())
}

/// xorshift64*: the same policies from the same seed, everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % end
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

pub(crate) fn random(seed: u64) -> RuleSet {
    let mut random = Random::new(seed);
    let count = 1 + random.below(5);
    RuleSet::new((0..count).map(|number| random_policy(&mut random, number)))
}

fn random_policy(random: &mut Random, number: usize) -> NetworkPolicy {
    let namespace = random.of(&["shop", "shop", "mon", "hosts"]);
    let mut policy = policy(namespace, &format!("p{number}"), random_selector(random));
    policy.isolates_ingress = random.chance(70);
    policy.isolates_egress = random.chance(60);
    policy.ingress = random_rules(random);
    policy.egress = random_rules(random);
    policy
}

fn random_rules(random: &mut Random) -> Vec<PolicyRule> {
    (0..random.below(4))
        .map(|_| {
            let peers = (0..random.below(3)).map(|_| random_peer(random)).collect();
            let ports = (0..random.below(4)).map(|_| random_port(random)).collect();
            rule(peers, ports)
        })
        .collect()
}

fn random_peer(random: &mut Random) -> PolicyPeer {
    if random.chance(60) {
        let namespaces = match random.below(4) {
            0 => None,
            1 => Some(LabelSelector::default()),
            2 => Some(team("a")),
            _ => Some(team("b")),
        };
        let selected = random.chance(70).then(|| random_selector(random));
        return pods(namespaces, selected);
    }
    random.of(&[
        block("0.0.0.0/0", &[]),
        block("0.0.0.0/0", &["10.77.0.0/16", "198.51.100.0/28"]),
        block("10.77.0.0/24", &["10.77.0.12/31"]),
        block("10.77.0.0/28", &["10.77.0.1/32"]),
        block("10.77.1.5/32", &[]),
        block("198.51.100.7/32", &[]),
        block("::/0", &["fd77::/64"]),
        block("fd77::10/125", &["fd77::11/128", "fd77::12/128"]),
        block("2001:db8::/32", &[]),
    ])
}

fn random_selector(random: &mut Random) -> LabelSelector {
    let values = |list: &[&str]| list.iter().map(|value| (*value).to_owned()).collect();
    let expression = |operator, key: &str, values| LabelSelector {
        match_labels: Default::default(),
        match_expressions: vec![Requirement { key: key.to_owned(), operator, values }],
    };
    match random.below(8) {
        0 | 1 => LabelSelector::default(),
        2 => app("web"),
        3 => app("db"),
        4 => app("prom"),
        5 => expression(Operator::NotIn, "app", values(&["db", "legacy"])),
        6 => expression(Operator::Exists, "tier", Vec::new()),
        _ => expression(Operator::DoesNotExist, "tier", Vec::new()),
    }
}

fn random_port(random: &mut Random) -> PolicyPort {
    let protocol = random.of(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let port = match random.below(5) {
        0 => None,
        1 => Some(PortRef::Name(random.of(&["http", "pg", "dns", "none"]).to_owned())),
        _ => Some(PortRef::Number(random.of(&[53, 80, 443, 5432, 8080, 8085, 9090]))),
    };
    let end_port = match port {
        Some(PortRef::Number(low)) if random.chance(30) => {
            Some(low.saturating_add(random.of(&[0, 1, 10, 500, 60_000])))
        }
        _ => None,
    };
    PolicyPort { protocol, port, end_port }
}
