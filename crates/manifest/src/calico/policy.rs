//! Objects of Calico.

use std::cmp::Ordering;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::calico::Selector;
use crate::{Meta, Position};

/// An object of Calico that we read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CalicoObject {
    /// NetworkPolicy or GlobalNetworkPolicy.
    Policy(Box<Policy>),
    /// NetworkSet or GlobalNetworkSet.
    NetworkSet(NetworkSet),
    /// Tier.
    Tier(Tier),
}

impl CalicoObject {
    /// The object's metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Policy(policy) => &policy.meta,
            Self::NetworkSet(set) => &set.meta,
            Self::Tier(tier) => &tier.meta,
        }
    }

    /// The object's metadata, to be changed.
    #[must_use]
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Policy(policy) => &mut policy.meta,
            Self::NetworkSet(set) => &mut set.meta,
            Self::Tier(tier) => &mut tier.meta,
        }
    }

    /// The object's kind, as Calico spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Policy(policy) => policy.scope.as_str(),
            Self::NetworkSet(set) if set.is_global() => "GlobalNetworkSet",
            Self::NetworkSet(_) => "NetworkSet",
            Self::Tier(_) => "Tier",
        }
    }
}

/// A place in an order, lowest first; never NaN.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Order(pub f64);

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        // -0 and 0 are one place.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Order {}

/// Which of the two kinds a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyScope {
    /// NetworkPolicy: about endpoints of its namespace.
    Namespaced,
    /// GlobalNetworkPolicy: about endpoints of all namespaces and hosts.
    Global,
}

impl PolicyScope {
    /// The kind as Calico spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaced => "NetworkPolicy",
            Self::Global => "GlobalNetworkPolicy",
        }
    }
}

/// A NetworkPolicy or GlobalNetworkPolicy, defaults applied (NetworkPolicySpec,
/// GlobalNetworkPolicySpec).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Metadata; without a namespace if global.
    pub meta: Meta,
    /// Which of the two kinds it is.
    pub scope: PolicyScope,
    /// spec.tier; `default` if absent.
    pub tier: String,
    /// spec.order within the tier; None = after all that have one. Equal ones go by name.
    pub order: Option<Order>,
    /// spec.selector; all if absent.
    pub selector: Selector,
    /// spec.namespaceSelector of a GlobalNetworkPolicy; None = hosts too.
    pub namespace_selector: Option<Selector>,
    /// spec.serviceAccountSelector.
    pub service_account_selector: Option<Selector>,
    /// Whether spec.types (given or defaulted) holds Ingress.
    pub applies_ingress: bool,
    /// Whether spec.types (given or defaulted) holds Egress.
    pub applies_egress: bool,
    /// spec.ingress; ignored unless `applies_ingress`.
    pub ingress: Vec<Rule>,
    /// spec.egress; ignored unless `applies_egress`.
    pub egress: Vec<Rule>,
    /// spec.doNotTrack: before connection tracking, so about host endpoints only.
    pub do_not_track: bool,
    /// spec.preDNAT: before address translation, so about host endpoints only.
    pub pre_dnat: bool,
    /// spec.applyOnForward: about what a host endpoint forwards too; says nothing of pods.
    pub apply_on_forward: bool,
}

/// spec.ingress[] or spec.egress[] (Rule). All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// action.
    pub action: RuleAction,
    /// ipVersion; None = both.
    pub ip_version: Option<IpVersion>,
    /// protocol; None = any.
    pub protocol: Option<Protocol>,
    /// notProtocol.
    pub not_protocol: Option<Protocol>,
    /// icmp.
    pub icmp: Option<IcmpMatch>,
    /// notICMP.
    pub not_icmp: Option<IcmpMatch>,
    /// source.
    pub source: Entity,
    /// destination.
    pub destination: Entity,
    /// Whether there are HTTP conditions (`http`), which Calico checks only with its application
    /// layer policy; only with `Allow`.
    pub http: bool,
    /// Where the rule stands.
    pub position: Position,
}

/// action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RuleAction {
    /// Accept for good, in this direction.
    Allow,
    /// Drop for good.
    Deny,
    /// Log, and go on with the next rule.
    Log,
    /// Leave the rest of the tier out.
    Pass,
}

impl RuleAction {
    /// The action as Calico spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
            Self::Log => "Log",
            Self::Pass => "Pass",
        }
    }
}

/// ipVersion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IpVersion {
    /// 4.
    V4,
    /// 6.
    V6,
}

/// protocol or notProtocol. Numbers of protocols that have a name here are read as the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP, 6.
    Tcp,
    /// UDP, 17.
    Udp,
    /// SCTP, 132.
    Sctp,
    /// ICMP, 1.
    Icmp,
    /// ICMPv6, 58.
    IcmpV6,
    /// Any other, by its number (UDPLite is 136), 1 to 255.
    Other(u8),
}

impl Protocol {
    /// The protocol of an IP protocol number.
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            58 => Self::IcmpV6,
            132 => Self::Sctp,
            other => Self::Other(other),
        }
    }

    /// Whether Calico matches ports of the protocol.
    #[must_use]
    pub fn has_ports(self) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::Sctp => true,
            Self::Icmp | Self::IcmpV6 | Self::Other(_) => false,
        }
    }
}

/// icmp or notICMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IcmpMatch {
    /// type; None = all.
    pub kind: Option<u8>,
    /// code; only with a type.
    pub code: Option<u8>,
}

/// source or destination of a rule (EntityRule); empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// nets, host bits masked off; empty = any address.
    pub nets: Vec<IpNet>,
    /// notNets.
    pub not_nets: Vec<IpNet>,
    /// selector over endpoints and network sets.
    pub selector: Option<Selector>,
    /// notSelector. Looks at all namespaces, unlike `selector`.
    pub not_selector: Option<Selector>,
    /// namespaceSelector; None = in a NetworkPolicy its own namespace if there is any selector.
    pub namespace_selector: Option<Selector>,
    /// serviceAccounts.
    pub service_accounts: Option<ServiceAccountMatch>,
    /// services: endpoints of a Service, and their ports.
    pub services: Option<ServiceMatch>,
    /// ports of this end; empty = any.
    pub ports: Vec<Port>,
    /// notPorts of this end.
    pub not_ports: Vec<Port>,
    /// domains (Calico Enterprise, destination only).
    pub domains: Vec<String>,
}

/// serviceAccounts; what is given must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccountMatch {
    /// names; empty = any.
    pub names: Vec<String>,
    /// selector over labels of service accounts.
    pub selector: Option<Selector>,
}

/// services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMatch {
    /// name.
    pub name: String,
    /// namespace; None = that of the policy.
    pub namespace: Option<String>,
}

/// One of ports or notPorts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Port {
    /// A number or `first:last`, inclusive.
    Range(u16, u16),
    /// A named port.
    Name(String),
}

/// A NetworkSet, or a GlobalNetworkSet if its metadata has no namespace: addresses with labels,
/// which selectors of rules can pick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSet {
    /// Metadata, with the labels that selectors look at.
    pub meta: Meta,
    /// spec.nets, host bits masked off.
    pub nets: Vec<IpNet>,
    /// spec.allowedEgressDomains (Calico Enterprise).
    pub domains: Vec<String>,
}

impl NetworkSet {
    /// Whether it is a GlobalNetworkSet.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.meta.namespace.is_empty()
    }
}

/// A tier: policies that are asked together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Metadata.
    pub meta: Meta,
    /// spec.order among tiers; None = after all that have one. Equal ones go by name.
    pub order: Option<Order>,
    /// spec.defaultAction: what happens to endpoints that a policy of the tier selects, where no
    /// rule matches.
    pub default_action: DefaultAction,
}

/// spec.defaultAction of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DefaultAction {
    /// Deny, the default.
    #[default]
    Deny,
    /// Go on with the next tier.
    Pass,
}

impl DefaultAction {
    /// The action as Calico spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        }
    }
}
