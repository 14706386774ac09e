//! What tells a rule from all others, and a rule in words.

use std::fmt;

use sekisho_model::{Direction, Protocol};
use serde::{Deserialize, Serialize};

use crate::exposure::words::words;
use crate::ir::{
    Action, Entity, Expr, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rule, Rulebook,
};
use crate::{MatchedRule, PolicyName};

/// Ends and ports named of one rule; the rest is counted.
const NAMED_MAX: usize = 8;

/// A rule of a set of policies, as its author wrote it: lowering may make several rules of it, which
/// have one id. The halves of a Cilium policy number their rules each for itself, so
/// the action is a part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId {
    /// The policy.
    pub policy: PolicyName,
    /// Which of its two lists.
    pub direction: Direction,
    /// Index in the list, from 0.
    pub index: u32,
    /// What it does.
    pub action: Action,
}

impl RuleId {
    /// The id of `rule` of `policy`.
    #[must_use]
    pub fn of(policy: &Policy, direction: Direction, rule: &Rule) -> Self {
        Self { policy: policy.name.clone(), direction, index: rule.index, action: rule.action }
    }

    /// The id of a rule that matched.
    #[must_use]
    pub fn of_match(policy: &PolicyName, direction: Direction, rule: &MatchedRule) -> Self {
        Self { policy: policy.clone(), direction, index: rule.index, action: rule.action }
    }
}

/// `shop/db ingress[0]`.
impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[{}]", self.policy, self.direction, self.index)
    }
}

impl Rulebook {
    /// All rules, each with its policy and direction, in the order they are asked.
    pub fn rules(&self) -> impl Iterator<Item = (&Policy, Direction, &Rule)> {
        let policies = self.tiers.iter().flat_map(|tier| &tier.policies);
        policies.flat_map(|policy| {
            let sides = [Direction::Ingress, Direction::Egress].into_iter();
            let sides = sides.filter_map(move |way| Some((way, policy.side(way)?)));
            sides
                .flat_map(move |(way, side)| side.rules.iter().map(move |rule| (policy, way, rule)))
        })
    }
}

impl Rule {
    /// Who and on what ports, for people: `app=web in namespace shop: TCP 80, TCP 8000-9000`.
    #[must_use]
    pub fn words(&self) -> String {
        let text = format!("{}: {}", peers(&self.peers), ports(&self.ports));
        match &self.condition {
            Some(condition) => format!("{text} ({condition})"),
            None => text,
        }
    }
}

/// The first few of `all`, and how many more there are.
fn some(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    let shown = all.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn peers(peers: &Peers) -> String {
    match peers {
        Peers::Any => "anybody".to_owned(),
        Peers::List(list) if list.is_empty() => "nobody".to_owned(),
        Peers::List(list) => some(list.iter().map(peer).collect()),
    }
}

fn peer(one: &PeerMatch) -> String {
    match one {
        PeerMatch::Endpoints(expr) => endpoints(expr),
        PeerMatch::Networks { nets, except, extent } => {
            let list = |nets: &[ipnet::IpNet]| some(nets.iter().map(ToString::to_string).collect());
            let holes =
                if except.is_empty() { String::new() } else { format!(" but {}", list(except)) };
            let extent = match extent {
                Extent::Anything => "",
                Extent::NotEndpoints => " (no pods)",
                Extent::OutsideCluster => " (outside)",
            };
            format!("{}{holes}{extent}", list(nets))
        }
        PeerMatch::Nodes(selector) if selector.is_empty() => "any node".to_owned(),
        PeerMatch::Nodes(_) => "nodes by label".to_owned(),
        PeerMatch::Domain(name) | PeerMatch::DomainPattern(name) => name.clone(),
        PeerMatch::Entity(entity) => match entity {
            Entity::World => "outside the cluster".to_owned(),
            Entity::Cluster => "the cluster".to_owned(),
            Entity::Host => "its own node".to_owned(),
            Entity::RemoteNode => "other nodes".to_owned(),
        },
        PeerMatch::All(all) => all.iter().map(peer).collect::<Vec<_>>().join(" and "),
        PeerMatch::Not(inner) => format!("not {}", peer(inner)),
    }
}

fn endpoints(expr: &Expr) -> String {
    match expr {
        Expr::None => "no pod".to_owned(),
        Expr::All | Expr::Not(_) | Expr::And(_) | Expr::Or(_) | Expr::Test(_) => words(expr),
    }
}

fn ports(ports: &Ports) -> String {
    let list = |list: &[PortMatch]| some(list.iter().map(port).collect());
    let include = match &ports.include {
        None => "all ports".to_owned(),
        Some(include) if include.is_empty() => "no port".to_owned(),
        Some(include) => list(include),
    };
    if ports.exclude.is_empty() {
        include
    } else {
        format!("{include} but {}", list(&ports.exclude))
    }
}

fn port(one: &PortMatch) -> String {
    match one {
        PortMatch::Range { protocol, first: 0, last: u16::MAX } => format!("all {protocol}"),
        PortMatch::Range { protocol, first, last } if first == last => {
            format!("{protocol} {first}")
        }
        PortMatch::Range { protocol, first, last } => format!("{protocol} {first}-{last}"),
        PortMatch::Named { name, protocol } => {
            let protocol = protocol.as_ref().map(Protocol::to_string).unwrap_or_default();
            format!("{protocol} {name}").trim_start().to_owned()
        }
        PortMatch::Icmp { version, kind } => {
            let version = version.map(|version| format!("{version:?}").to_ascii_lowercase());
            let kind = kind.map(|kind| format!(" type {kind}")).unwrap_or_default();
            format!("ICMP{}{kind}", version.unwrap_or_default())
        }
        PortMatch::OtherProtocols => "other protocols".to_owned(),
    }
}
