//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (Cilium 1.19, pkg/policy).
//!
//! They stand in one tier with NetworkPolicies: all denying halves first, because a deny wins over
//! every allow of any of them, then what allows, in union. What addresses and labels cannot tell:
//! - `kube-apiserver` is where the nodes of the control plane are; API servers outside the cluster
//!   are not known. `ingress`, `init`, `health` and `unmanaged` are no ends that we know.
//! - Policies about nodes say nothing of pods. Groups of cloud providers match nothing, and neither
//!   do Services without a selector.
//! - The cluster's name is `default`.
//! - A pod's own node always reaches it (`--allow-localhost=always`, the default on Kubernetes).

use std::collections::BTreeMap;

use ipnet::IpNet;
use sekisho_manifest::cilium::{
    Authentication, CidrRule, CidrSource, DomainMatch, EndpointSelector, Entity as CiliumEntity,
    IcmpFamily, Peers as RulePeers, Policy as CiliumPolicy, PolicyScope, PortProtocol, PortRule,
    Protocol as PortKind, Rule as CiliumRule, RuleSpec, ServiceMatch, Subject,
};
use sekisho_manifest::{LabelSelector, Operator, PortRef, Requirement, Service};
use sekisho_model::Protocol;

use super::cilium_selector::{self, Scope};
use super::context::Context;
use crate::ir::{
    Action, Entity, Expr, Extent, PeerMatch, Peers, Policy, PortMatch, Ports, Rule, Side,
};
use crate::{IcmpVersion, PolicyKind, PolicyName};

/// Labels of nodes that run the control plane; both are in use.
const CONTROL_PLANE: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// What the policies become.
#[derive(Default)]
pub(super) struct Lowered {
    /// What denies: before everything that allows.
    pub(super) denying: Vec<Policy>,
    /// What allows and isolates.
    pub(super) allowing: Vec<Policy>,
}

/// Lowers all policies, in the order of kinds and names.
pub(super) fn lower(context: &Context<'_>) -> Lowered {
    let mut lowered = Lowered::default();
    for policy in &context.cilium_policies {
        let lowering = Lowering { context, policy };
        for spec in &policy.rules {
            let Subject::Endpoints(subject) = &spec.subject else { continue };
            lowering.lower_spec(spec, subject, &mut lowered);
        }
    }
    lowered
}

/// What the rules of a policy need to know.
struct Lowering<'a> {
    context: &'a Context<'a>,
    policy: &'a CiliumPolicy,
}

impl Lowering<'_> {
    fn namespace(&self) -> Option<&str> {
        match self.policy.scope {
            PolicyScope::Namespaced => Some(&self.policy.meta.namespace),
            PolicyScope::Clusterwide => None,
        }
    }

    fn lower_spec(&self, spec: &RuleSpec, subject: &EndpointSelector, lowered: &mut Lowered) {
        let kind = match self.policy.scope {
            PolicyScope::Namespaced => PolicyKind::CiliumNetworkPolicy,
            PolicyScope::Clusterwide => PolicyKind::CiliumClusterwideNetworkPolicy,
        };
        let meta = &self.policy.meta;
        let make = |ingress, egress| Policy {
            name: PolicyName::new(kind, &meta.namespace, &meta.name),
            rank: None,
            subject: cilium_selector::subject(subject, self.namespace()),
            ingress,
            egress,
            position: spec.position.clone(),
        };
        let denying = make(
            self.denying_side(&spec.ingress_deny, &spec.ingress),
            self.denying_side(&spec.egress_deny, &spec.egress),
        );
        if denying.ingress.is_some() || denying.egress.is_some() {
            lowered.denying.push(denying);
        }
        let allowing = make(
            self.allowing_side(&spec.ingress, &spec.ingress_deny, spec.default_deny_ingress),
            self.allowing_side(&spec.egress, &spec.egress_deny, spec.default_deny_egress),
        );
        if allowing.ingress.is_some() || allowing.egress.is_some() {
            lowered.allowing.push(allowing);
        }
    }

    /// The deny rules of a direction, and what its allow rules require of endpoints.
    fn denying_side(&self, deny: &[CiliumRule], allow: &[CiliumRule]) -> Option<Side> {
        let required = |(rule, index): (&CiliumRule, u32)| {
            let peers: Vec<PeerMatch> = rule.requires.iter().map(|it| self.missing(it)).collect();
            (!peers.is_empty()).then(|| Rule {
                action: Action::Deny,
                peers: Peers::List(peers),
                ports: Ports::ALL,
                index,
                name: String::new(),
                condition: None,
                position: rule.position.clone(),
            })
        };
        let mut rules: Vec<Rule> = deny
            .iter()
            .zip(0..)
            .flat_map(|(rule, index)| self.lower_rule(rule, index, Action::Deny))
            .collect();
        rules.extend(deny.iter().zip(0..).chain(allow.iter().zip(0..)).filter_map(required));
        (!rules.is_empty()).then_some(Side { isolates: false, rules })
    }

    /// The allow rules of a direction. Without any rule the spec says nothing of the direction,
    /// whatever `enableDefaultDeny` holds.
    fn allowing_side(
        &self,
        allow: &[CiliumRule],
        deny: &[CiliumRule],
        default_deny: Option<bool>,
    ) -> Option<Side> {
        if allow.is_empty() && deny.is_empty() {
            return None;
        }
        let rules = allow
            .iter()
            .zip(0..)
            .flat_map(|(rule, index)| self.lower_rule(rule, index, Action::Accept))
            .collect();
        Some(Side { isolates: default_deny.unwrap_or(true), rules })
    }

    /// Endpoints that lack what is required.
    fn missing(&self, required: &EndpointSelector) -> PeerMatch {
        let scope = Scope { namespace: self.namespace(), peer: false };
        PeerMatch::All(vec![
            PeerMatch::Endpoints(Expr::All),
            PeerMatch::Not(Box::new(cilium_selector::peer(required, scope))),
        ])
    }

    /// The rules that one rule becomes: one for each item of its ports.
    fn lower_rule(&self, rule: &CiliumRule, index: u32, action: Action) -> Vec<Rule> {
        let has_ports = !rule.ports.is_empty() || !rule.icmps.is_empty();
        let peers = match &rule.peers {
            // Neither peers nor ports: matches nothing, and yet isolates.
            None if !has_ports => return Vec::new(),
            None => Peers::Any,
            Some(peers) => Peers::List(self.lower_peers(peers)),
        };
        let authenticated = match rule.authentication {
            Some(Authentication::AlwaysFail) => return Vec::new(),
            Some(Authentication::Required) => Some("mutual authentication".to_owned()),
            Some(Authentication::Disabled) | None => None,
        };
        let make = |ports, conditions: Vec<String>| {
            let conditions: Vec<String> =
                conditions.into_iter().chain(authenticated.clone()).collect();
            Rule {
                action,
                peers: peers.clone(),
                ports,
                index,
                name: String::new(),
                condition: (!conditions.is_empty()).then(|| conditions.join(", ")),
                position: rule.position.clone(),
            }
        };
        if !has_ports {
            return vec![make(Ports::ALL, Vec::new())];
        }
        let mut rules: Vec<Rule> =
            rule.ports.iter().filter_map(|item| lower_ports(item, action, &make)).collect();
        let types: Vec<PortMatch> = rule
            .icmps
            .iter()
            .flat_map(|item| &item.fields)
            .map(|field| icmp(field.family, field.kind))
            .collect();
        if !types.is_empty() {
            rules.push(make(Ports::of(types), Vec::new()));
        }
        rules
    }

    fn lower_peers(&self, peers: &RulePeers) -> Vec<PeerMatch> {
        let scope = Scope { namespace: self.namespace(), peer: true };
        match peers {
            RulePeers::Endpoints(list) => {
                list.iter().map(|one| cilium_selector::peer(one, scope)).collect()
            }
            RulePeers::Networks(list) => {
                list.iter().filter_map(|rule| self.networks(rule)).collect()
            }
            RulePeers::Entities(list) => list.iter().flat_map(|one| entity(*one)).collect(),
            RulePeers::Nodes(list) => {
                list.iter().map(|one| PeerMatch::Nodes(cilium_selector::nodes(one))).collect()
            }
            RulePeers::Services(list) => list.iter().flat_map(|one| self.services(one)).collect(),
            RulePeers::Domains(list) => list.iter().map(domain).collect(),
            RulePeers::Groups(_) => Vec::new(),
        }
    }

    fn networks(&self, rule: &CidrRule) -> Option<PeerMatch> {
        let groups = &self.context.cidr_groups;
        let nets: Vec<IpNet> = match &rule.source {
            CidrSource::Cidr(cidr) => vec![*cidr],
            CidrSource::Group(name) => {
                groups.iter().filter(|it| it.meta.name == *name).flat_map(cidrs).collect()
            }
            CidrSource::GroupSelector(selector) => groups
                .iter()
                .filter(|it| selector.matches(&it.meta.labels))
                .flat_map(cidrs)
                .collect(),
        };
        // Pods and nodes are known by identity, never by address (policy-cidr-match-mode).
        (!nets.is_empty()).then(|| PeerMatch::Networks {
            nets,
            except: rule.except.clone(),
            extent: Extent::OutsideCluster,
        })
    }

    /// The pods behind Services. A Service given by name does not count beside a selector; without
    /// a namespace it may be in any.
    fn services(&self, wanted: &ServiceMatch) -> Vec<PeerMatch> {
        let within = |namespace: &str, service: &Service| {
            namespace.is_empty() || service.meta.namespace == namespace
        };
        let is_meant = |service: &&&Service| match (&wanted.selector, &wanted.service) {
            (Some((namespace, selector)), _) => {
                within(namespace, service)
                    && cilium_selector::plain(selector).matches(&service.meta.labels)
            }
            (None, Some((namespace, name))) => {
                within(namespace, service) && service.meta.name == *name
            }
            (None, None) => false,
        };
        let services = self.context.services.iter().filter(is_meant);
        services
            .filter(|service| !service.selector.is_empty())
            .map(|service| PeerMatch::Endpoints(super::context::behind(service)))
            .collect()
    }
}

fn cidrs<'g>(group: &&'g sekisho_manifest::cilium::CidrGroup) -> impl Iterator<Item = IpNet> + 'g {
    group.cidrs.iter().copied()
}

/// The ends of an entity.
pub(super) fn entity(entity: CiliumEntity) -> Vec<PeerMatch> {
    let family = |net: &str| {
        let nets = net.parse().into_iter().collect();
        let nets = PeerMatch::Networks { nets, except: Vec::new(), extent: Extent::Anything };
        vec![PeerMatch::All(vec![PeerMatch::Entity(Entity::World), nets])]
    };
    match entity {
        CiliumEntity::All => vec![PeerMatch::All(Vec::new())],
        CiliumEntity::World => vec![PeerMatch::Entity(Entity::World)],
        CiliumEntity::WorldIpv4 => family("0.0.0.0/0"),
        CiliumEntity::WorldIpv6 => family("::/0"),
        CiliumEntity::Cluster => vec![PeerMatch::Entity(Entity::Cluster)],
        CiliumEntity::Host => vec![PeerMatch::Entity(Entity::Host)],
        CiliumEntity::RemoteNode => vec![PeerMatch::Entity(Entity::RemoteNode)],
        CiliumEntity::KubeApiserver => {
            CONTROL_PLANE.iter().map(|label| PeerMatch::Nodes(having(label))).collect()
        }
        CiliumEntity::Ingress
        | CiliumEntity::Init
        | CiliumEntity::Health
        | CiliumEntity::Unmanaged
        | CiliumEntity::None => Vec::new(),
    }
}

fn having(label: &str) -> LabelSelector {
    let requirement =
        Requirement { key: label.to_owned(), operator: Operator::Exists, values: Vec::new() };
    LabelSelector { match_labels: BTreeMap::new(), match_expressions: vec![requirement] }
}

fn domain(domain: &DomainMatch) -> PeerMatch {
    match domain {
        DomainMatch::Name(name) => PeerMatch::Domain(name.clone()),
        DomainMatch::Pattern(pattern) => PeerMatch::DomainPattern(pattern.clone()),
    }
}

/// The rule of an item of toPorts; None if it matches nothing, or less than we can say and denies.
fn lower_ports(
    item: &PortRule,
    action: Action,
    make: &impl Fn(Ports, Vec<String>) -> Rule,
) -> Option<Rule> {
    let mut conditions: Vec<String> = item.conditions.iter().map(ToString::to_string).collect();
    let mut ports = Vec::new();
    for port in &item.ports {
        let other = matches!(port.protocol, PortKind::Vrrp | PortKind::Igmp);
        if other && action != Action::Accept {
            continue;
        }
        if other {
            conditions.push(format!("protocol {}", port.protocol.as_str()));
        }
        ports.extend(lower_port(port));
    }
    (!ports.is_empty()).then(|| make(Ports::of(ports), conditions))
}

fn lower_port(port: &PortProtocol) -> Vec<PortMatch> {
    let plain = |protocol| vec![transport(port, protocol)];
    match port.protocol {
        PortKind::Any => match &port.port {
            PortRef::Name(name) => vec![PortMatch::Named { name: name.clone(), protocol: None }],
            PortRef::Number(_) => [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
                .into_iter()
                .map(|protocol| transport(port, protocol))
                .collect(),
        },
        PortKind::Tcp => plain(Protocol::Tcp),
        PortKind::Udp => plain(Protocol::Udp),
        PortKind::Sctp => plain(Protocol::Sctp),
        PortKind::Icmp | PortKind::IcmpV6 => {
            let family =
                if port.protocol == PortKind::Icmp { IcmpFamily::V4 } else { IcmpFamily::V6 };
            match port.port {
                PortRef::Number(kind) => {
                    u8::try_from(kind).map(|kind| icmp(family, kind)).into_iter().collect()
                }
                PortRef::Name(_) => Vec::new(),
            }
        }
        PortKind::Vrrp | PortKind::Igmp => vec![PortMatch::OtherProtocols],
    }
}

fn transport(port: &PortProtocol, protocol: Protocol) -> PortMatch {
    match &port.port {
        PortRef::Name(name) => PortMatch::Named { name: name.clone(), protocol: Some(protocol) },
        PortRef::Number(0) => PortMatch::Range { protocol, first: 0, last: u16::MAX },
        PortRef::Number(first) => {
            PortMatch::Range { protocol, first: *first, last: port.end_port.unwrap_or(*first) }
        }
    }
}

fn icmp(family: IcmpFamily, kind: u8) -> PortMatch {
    let version = match family {
        IcmpFamily::V4 => IcmpVersion::V4,
        IcmpFamily::V6 => IcmpVersion::V6,
    };
    PortMatch::Icmp { version: Some(version), kind: Some(kind) }
}
