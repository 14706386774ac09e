//! Calico's NetworkPolicy, GlobalNetworkPolicy and Tier (projectcalico.org/v3).
//!
//! NetworkPolicies of Kubernetes count as policies of the tier `default` with order 1000; those in
//! tiers of the network policy API have tiers of their own. Tiers and policies go by order, then by
//! name; those without an order come last, as does a tier whose object is not there.
//!
//! What one connection cannot tell (source ports, ICMP codes, protocols without ports, HTTP,
//! addresses of the subject) makes a rule narrower than it can be said here. Such a rule still
//! allows, with a condition, but it neither denies nor passes: what is allowed is never too little.
//! Policies before connection tracking or address translation are about host endpoints only.

use std::cmp::Ordering;

use sekisho_manifest::calico::{
    DefaultAction, Entity, IcmpMatch, IpVersion, NetworkSet, Order, Policy as CalicoPolicy,
    PolicyScope, Port, Protocol as CalicoProtocol, Rule as CalicoRule, RuleAction, Selector,
    ServiceMatch,
};
use sekisho_manifest::{PortRef, Service};
use sekisho_model::{Direction, Labels, Protocol};

use super::calico_selector::{self, expression};
use super::context::{Context, behind};
use crate::ir::{
    Action, Expr, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rank, Rule, Side, Tier,
};
use crate::{IcmpVersion, PolicyKind, PolicyName};

/// Tier of NetworkPolicies, and of Calico's policies that name none.
const DEFAULT_TIER: &str = "default";
const DEFAULT_TIER_ORDER: f64 = 1_000_000.0;
/// Tier of ClusterNetworkPolicies of the Admin tier, and of AdminNetworkPolicies.
const ADMIN_TIER: &str = "kube-admin";
const ADMIN_TIER_ORDER: f64 = 1000.0;
/// Tier of the policies of the Baseline tier.
const BASELINE_TIER: &str = "kube-baseline";
const BASELINE_TIER_ORDER: f64 = 10_000_000.0;
/// Order of NetworkPolicies within their tier.
const NETWORK_POLICY_ORDER: f64 = 1000.0;
/// What Calico puts before the name of a NetworkPolicy.
const NETWORK_POLICY_PREFIX: &str = "knp.default.";

/// The tiers that Kubernetes knows, lowered, and with Calico's put between them.
pub(super) fn arrange(
    context: &Context<'_>,
    admin: Tier,
    network_policies: Tier,
    baseline: Tier,
) -> Vec<Tier> {
    let mut own: Vec<&CalicoPolicy> = context
        .calico_policies
        .iter()
        .copied()
        .filter(|policy| !policy.do_not_track && !policy.pre_dnat)
        .collect();
    if own.is_empty() {
        return vec![admin, network_policies, baseline];
    }
    own.sort_by_key(|policy| (policy.scope, &policy.meta.namespace));
    let mut tiers = vec![
        (Some(Order(ADMIN_TIER_ORDER)), ADMIN_TIER.to_owned(), admin),
        (Some(Order(BASELINE_TIER_ORDER)), BASELINE_TIER.to_owned(), baseline),
        default_tier(context, &own, network_policies),
    ];
    let mut names: Vec<&str> = own.iter().map(|policy| policy.tier.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| *name != DEFAULT_TIER) {
        let object = context.tiers.iter().find(|tier| tier.meta.name == name);
        let isolates = object.is_none_or(|tier| tier.default_action == DefaultAction::Deny);
        let members = members(context, &own, name, isolates);
        let policies = ordered(members);
        let order = object.and_then(|tier| tier.order);
        tiers.push((order, name.to_owned(), Tier { name: name.to_owned(), policies }));
    }
    tiers.sort_by(|a, b| by_order(a.0, b.0).then_with(|| a.1.cmp(&b.1)));
    tiers.into_iter().map(|(.., tier)| tier).collect()
}

/// The tier of NetworkPolicies; it keeps its name unless policies of Calico are in it.
fn default_tier(
    context: &Context<'_>,
    own: &[&CalicoPolicy],
    network_policies: Tier,
) -> (Option<Order>, String, Tier) {
    let order = Some(Order(DEFAULT_TIER_ORDER));
    let mut members = members(context, own, DEFAULT_TIER, true);
    if members.is_empty() {
        return (order, DEFAULT_TIER.to_owned(), network_policies);
    }
    members.extend(network_policies.policies.into_iter().map(|policy| Member {
        order: Some(Order(NETWORK_POLICY_ORDER)),
        name: format!("{NETWORK_POLICY_PREFIX}{}", policy.name.name),
        policies: vec![policy],
    }));
    let tier = Tier { name: DEFAULT_TIER.to_owned(), policies: ordered(members) };
    (order, DEFAULT_TIER.to_owned(), tier)
}

/// A policy of a tier, in as many parts as it has subjects.
struct Member {
    order: Option<Order>,
    name: String,
    policies: Vec<Policy>,
}

fn members(
    context: &Context<'_>,
    own: &[&CalicoPolicy],
    tier: &str,
    isolates: bool,
) -> Vec<Member> {
    let own = own.iter().filter(|policy| policy.tier == tier);
    own.map(|policy| Member {
        order: policy.order,
        name: policy.meta.name.clone(),
        policies: Lowering { context, policy, isolates }.lower(),
    })
    .collect()
}

/// The policies in the order they are asked, each with its place.
fn ordered(mut members: Vec<Member>) -> Vec<Policy> {
    members.sort_by(|a, b| by_order(a.order, b.order).then_with(|| a.name.cmp(&b.name)));
    let mut policies: Vec<Policy> =
        members.into_iter().flat_map(|member| member.policies).collect();
    // Equal orders are no ambiguity, since names decide: each has a place of its own.
    for (policy, place) in policies.iter_mut().zip(0_u32..) {
        policy.rank = Some(Rank(f64::from(place)));
    }
    policies
}

/// Lowest first, none last.
fn by_order(a: Option<Order>, b: Option<Order>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// What the rules of a policy need to know.
struct Lowering<'a> {
    context: &'a Context<'a>,
    policy: &'a CalicoPolicy,
    isolates: bool,
}

/// A rule, and which of the policy's subjects it is about.
struct Part {
    subject: Expr,
    rule: Rule,
}

impl Lowering<'_> {
    fn namespace(&self) -> Option<&str> {
        match self.policy.scope {
            PolicyScope::Namespaced => Some(&self.policy.meta.namespace),
            PolicyScope::Global => None,
        }
    }

    /// The policy: one for each direction, and where rules are about some of the subjects only,
    /// one for each run of rules about the same ones.
    fn lower(&self) -> Vec<Policy> {
        let mut policies = Vec::new();
        for (direction, applies, rules) in [
            (Direction::Ingress, self.policy.applies_ingress, &self.policy.ingress),
            (Direction::Egress, self.policy.applies_egress, &self.policy.egress),
        ] {
            if !applies {
                continue;
            }
            let parts = rules
                .iter()
                .zip(0..)
                .filter_map(|(rule, index)| self.lower_rule(rule, index, direction));
            let mut runs: Vec<(Expr, Vec<Rule>)> = Vec::new();
            for part in parts {
                match runs.last_mut() {
                    Some((subject, rules)) if *subject == part.subject => rules.push(part.rule),
                    _ => runs.push((part.subject, vec![part.rule])),
                }
            }
            // All subjects are isolated, whichever rules are about them.
            if runs.iter().all(|(subject, _)| *subject != Expr::All) {
                runs.push((Expr::All, Vec::new()));
            }
            policies.extend(runs.into_iter().map(|run| self.make(direction, run)));
        }
        join(policies)
    }

    fn make(&self, direction: Direction, (some, rules): (Expr, Vec<Rule>)) -> Policy {
        let policy = self.policy;
        let kind = match policy.scope {
            PolicyScope::Namespaced => PolicyKind::CalicoNetworkPolicy,
            PolicyScope::Global => PolicyKind::CalicoGlobalNetworkPolicy,
        };
        let subject = calico_selector::of_policy(
            &policy.selector,
            policy.namespace_selector.as_ref(),
            policy.service_account_selector.as_ref(),
            self.namespace(),
        );
        let side = Some(Side { isolates: self.isolates, rules });
        let (ingress, egress) = match direction {
            Direction::Ingress => (side, None),
            Direction::Egress => (None, side),
        };
        Policy {
            name: PolicyName::new(kind, &policy.meta.namespace, &policy.meta.name),
            rank: None,
            subject: expression(&subject).and(some),
            ingress,
            egress,
            position: policy.meta.position.clone(),
        }
    }

    fn lower_rule(&self, rule: &CalicoRule, index: u32, direction: Direction) -> Option<Part> {
        let action = match rule.action {
            RuleAction::Allow => Action::Accept,
            RuleAction::Deny => Action::Deny,
            RuleAction::Pass => Action::Pass,
            RuleAction::Log => return None,
        };
        let (own, other) = match direction {
            Direction::Ingress => (&rule.destination, &rule.source),
            Direction::Egress => (&rule.source, &rule.destination),
        };
        let mut narrow = narrow_of_own(own);
        narrow.extend(narrow_of_source(&rule.source, action));
        let service = other.services.as_ref().map(|wanted| self.service(wanted));
        let ports = lower_ports(rule, action, &mut narrow);
        let ports = match (service, direction) {
            // A Service as destination stands for its ports too.
            (Some(Some(service)), Direction::Egress) => with_service_ports(ports, service),
            (Some(_) | None, Direction::Ingress | Direction::Egress) => ports,
        };
        if !narrow.is_empty() && action != Action::Accept {
            return None;
        }
        let rule = Rule {
            action,
            peers: self.lower_peers(rule, other, service),
            ports,
            index,
            name: String::new(),
            condition: (!narrow.is_empty()).then(|| narrow.join(", ")),
            position: rule.position.clone(),
        };
        Some(Part { subject: self.own_subject(own), rule })
    }

    /// Which of the policy's subjects a rule is about.
    fn own_subject(&self, own: &Entity) -> Expr {
        let selected = calico_selector::of_entity(own, self.namespace());
        let selected = selected.as_ref().map_or(Expr::All, expression);
        // That the subject is in the policy's namespace is said already.
        let selected = match self.namespace() {
            Some(namespace) => without(selected, &Expr::namespace(namespace)),
            None => selected,
        };
        match &own.not_selector {
            Some(not) => selected.and(expression(not).negated()),
            None => selected,
        }
    }

    fn service(&self, wanted: &ServiceMatch) -> Option<&Service> {
        let namespace = wanted.namespace.as_deref().or(self.namespace()).unwrap_or_default();
        self.context.services.iter().copied().find(|service| {
            service.meta.namespace == namespace
                && service.meta.name == wanted.name
                && !service.selector.is_empty()
        })
    }

    /// All conditions on the other end. The inner None of `service` is one that is not known.
    fn lower_peers(
        &self,
        rule: &CalicoRule,
        other: &Entity,
        service: Option<Option<&Service>>,
    ) -> Peers {
        let mut all: Vec<PeerMatch> = rule.ip_version.map(family).into_iter().collect();
        if !other.nets.is_empty() {
            all.push(networks(other.nets.clone()));
        }
        if !other.not_nets.is_empty() {
            all.push(not(networks(other.not_nets.clone())));
        }
        if let Some(selector) = &other.not_selector {
            all.extend(self.selected(selector).into_iter().map(not));
        }
        // Each of these is one of several ends: the rule has an entry for each combination.
        let mut choices: Vec<Vec<PeerMatch>> = Vec::new();
        if let Some(selector) = calico_selector::of_entity(other, self.namespace()) {
            choices.push(self.selected(&selector));
        }
        if let Some(service) = service {
            let pods = service.map(|service| PeerMatch::Endpoints(behind(service)));
            choices.push(pods.into_iter().collect());
        }
        if !other.domains.is_empty() {
            let names = other.domains.iter().map(|name| name.to_ascii_lowercase());
            choices.push(names.map(PeerMatch::Domain).collect());
        }
        if all.is_empty() && choices.is_empty() {
            return Peers::Any;
        }
        let mut combined = vec![all];
        for choice in choices {
            combined = combined
                .iter()
                .flat_map(|all| {
                    choice.iter().map(|one| [all.as_slice(), std::slice::from_ref(one)].concat())
                })
                .collect();
        }
        Peers::List(combined.into_iter().map(conjunction).collect())
    }

    /// What a selector selects: pods and hosts, and the addresses of network sets.
    fn selected(&self, selector: &Selector) -> Vec<PeerMatch> {
        let mut found = Vec::new();
        let pods = expression(selector);
        if pods != Expr::None {
            found.push(PeerMatch::Endpoints(pods));
        }
        let is_selected = |set: &&NetworkSet| {
            let labels: Labels = calico_selector::labels_of_set(set, &self.context.namespaces);
            selector.matches(&labels)
        };
        let sets: Vec<&NetworkSet> =
            self.context.network_sets.iter().copied().filter(is_selected).collect();
        let nets: Vec<_> = sets.iter().flat_map(|set| set.nets.iter().copied()).collect();
        if !nets.is_empty() {
            found.push(networks(nets));
        }
        let domains = sets.iter().flat_map(|set| &set.domains);
        found.extend(domains.map(|name| PeerMatch::Domain(name.to_ascii_lowercase())));
        found
    }
}

/// Puts the two directions of a policy together where each is in one part.
fn join(policies: Vec<Policy>) -> Vec<Policy> {
    match <[Policy; 2]>::try_from(policies) {
        Ok([first, second]) if first.subject == second.subject && second.ingress.is_none() => {
            if first.egress.is_some() {
                return vec![first, second];
            }
            vec![Policy { egress: second.egress, ..first }]
        }
        Ok(two) => two.into(),
        Err(policies) => policies,
    }
}

/// The expression without one of the parts that must all hold.
fn without(expr: Expr, part: &Expr) -> Expr {
    match expr {
        Expr::And(all) => all.into_iter().filter(|one| one != part).fold(Expr::All, Expr::and),
        other if other == *part => Expr::All,
        other => other,
    }
}

fn conjunction(mut all: Vec<PeerMatch>) -> PeerMatch {
    if all.len() == 1 { all.pop().unwrap_or(PeerMatch::All(all)) } else { PeerMatch::All(all) }
}

fn not(inner: PeerMatch) -> PeerMatch {
    PeerMatch::Not(Box::new(inner))
}

fn networks(nets: Vec<ipnet::IpNet>) -> PeerMatch {
    PeerMatch::Networks { nets, except: Vec::new(), extent: Extent::Anything }
}

/// Ends of one IP version. An end whose address is not known may be of both.
fn family(version: IpVersion) -> PeerMatch {
    let all = match version {
        IpVersion::V4 => "0.0.0.0/0",
        IpVersion::V6 => "::/0",
    };
    networks(all.parse().into_iter().collect())
}

/// What makes a rule narrower at the subject's own end than labels can tell.
fn narrow_of_own(own: &Entity) -> Vec<String> {
    let mut narrow = Vec::new();
    if !own.nets.is_empty() || !own.not_nets.is_empty() {
        narrow.push("address of the subject".to_owned());
    }
    narrow
}

/// Source ports are no part of a connection. One that must not be some few is taken for another.
fn narrow_of_source(source: &Entity, action: Action) -> Option<String> {
    let narrow =
        !source.ports.is_empty() || (!source.not_ports.is_empty() && action == Action::Accept);
    narrow.then(|| "source port".to_owned())
}

fn lower_ports(rule: &CalicoRule, action: Action, narrow: &mut Vec<String>) -> Ports {
    if rule.http {
        narrow.push("HTTP rules".to_owned());
    }
    let include = rule.protocol.map(|protocol| {
        if let CalicoProtocol::Other(number) = protocol {
            narrow.push(format!("protocol {number}"));
        }
        if rule.icmp.is_some_and(|icmp| icmp.code.is_some()) {
            narrow.push("ICMP code".to_owned());
        }
        let ports = &rule.destination.ports;
        if ports.is_empty() {
            vec![whole(protocol, rule.icmp)]
        } else {
            ports.iter().filter_map(|port| one_port(protocol, port)).collect()
        }
    });
    let mut exclude = Vec::new();
    if let Some(protocol) = rule.protocol {
        let not_ports = &rule.destination.not_ports;
        exclude.extend(not_ports.iter().filter_map(|port| one_port(protocol, port)));
        if let Some(icmp) = rule.not_icmp {
            match (icmp.code, action) {
                (None, _) | (Some(_), Action::Deny | Action::Pass) => {
                    exclude.push(whole(protocol, Some(icmp)));
                }
                (Some(_), Action::Accept) => narrow.push("ICMP code".to_owned()),
            }
        }
    }
    match (rule.not_protocol, action) {
        (Some(CalicoProtocol::Other(number)), Action::Accept) => {
            narrow.push(format!("not protocol {number}"));
        }
        (Some(protocol), Action::Accept | Action::Deny | Action::Pass) => {
            exclude.push(whole(protocol, None));
        }
        (None, Action::Accept | Action::Deny | Action::Pass) => {}
    }
    Ports { include, exclude }
}

/// A protocol with all its ports, or one type of ICMP.
fn whole(protocol: CalicoProtocol, icmp: Option<IcmpMatch>) -> PortMatch {
    let kind = icmp.and_then(|icmp| icmp.kind);
    match (transport(protocol), protocol) {
        (Some(protocol), _) => PortMatch::Range { protocol, first: 0, last: u16::MAX },
        (None, CalicoProtocol::Icmp) => PortMatch::Icmp { version: Some(IcmpVersion::V4), kind },
        (None, CalicoProtocol::IcmpV6) => PortMatch::Icmp { version: Some(IcmpVersion::V6), kind },
        (
            None,
            CalicoProtocol::Tcp
            | CalicoProtocol::Udp
            | CalicoProtocol::Sctp
            | CalicoProtocol::Other(_),
        ) => PortMatch::OtherProtocols,
    }
}

fn transport(protocol: CalicoProtocol) -> Option<Protocol> {
    match protocol {
        CalicoProtocol::Tcp => Some(Protocol::Tcp),
        CalicoProtocol::Udp => Some(Protocol::Udp),
        CalicoProtocol::Sctp => Some(Protocol::Sctp),
        CalicoProtocol::Icmp | CalicoProtocol::IcmpV6 | CalicoProtocol::Other(_) => None,
    }
}

fn one_port(protocol: CalicoProtocol, port: &Port) -> Option<PortMatch> {
    let protocol = transport(protocol)?;
    Some(match port {
        Port::Range(first, last) => PortMatch::Range { protocol, first: *first, last: *last },
        Port::Name(name) => PortMatch::Named { name: name.clone(), protocol: Some(protocol) },
    })
}

/// The ports of a rule that are also ports behind the Service.
fn with_service_ports(ports: Ports, service: &Service) -> Ports {
    let wanted = |protocol: Protocol| match &ports.include {
        None => true,
        Some(include) => include.iter().any(|one| match one {
            PortMatch::Range { protocol: own, .. } => *own == protocol,
            PortMatch::Named { .. } | PortMatch::Icmp { .. } | PortMatch::OtherProtocols => false,
        }),
    };
    let found = service.ports.iter().filter(|port| wanted(port.protocol));
    let found = found.map(|port| match &port.target_port {
        PortRef::Number(number) => {
            PortMatch::Range { protocol: port.protocol, first: *number, last: *number }
        }
        PortRef::Name(name) => {
            PortMatch::Named { name: name.clone(), protocol: Some(port.protocol) }
        }
    });
    Ports { include: Some(found.collect()), exclude: ports.exclude }
}
