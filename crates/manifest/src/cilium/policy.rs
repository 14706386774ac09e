//! Objects of Cilium.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::cilium::EndpointSelector;
use crate::{LabelSelector, Meta, PortRef, Position};

/// An object of Cilium that we read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CiliumObject {
    /// CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy.
    Policy(Policy),
    /// CiliumCIDRGroup.
    CidrGroup(CidrGroup),
}

impl CiliumObject {
    /// The object's metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Policy(policy) => &policy.meta,
            Self::CidrGroup(group) => &group.meta,
        }
    }

    /// The object's metadata, to be changed.
    #[must_use]
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Policy(policy) => &mut policy.meta,
            Self::CidrGroup(group) => &mut group.meta,
        }
    }

    /// The object's kind, as Cilium spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Policy(policy) => policy.scope.as_str(),
            Self::CidrGroup(_) => "CiliumCIDRGroup",
        }
    }
}

/// Which of the two kinds a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyScope {
    /// CiliumNetworkPolicy: about endpoints of its namespace.
    Namespaced,
    /// CiliumClusterwideNetworkPolicy: about endpoints of all namespaces, or nodes.
    Clusterwide,
}

impl PolicyScope {
    /// The kind as Cilium spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespaced => "CiliumNetworkPolicy",
            Self::Clusterwide => "CiliumClusterwideNetworkPolicy",
        }
    }
}

/// A CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Metadata; without a namespace if clusterwide.
    pub meta: Meta,
    /// Which of the two kinds it is.
    pub scope: PolicyScope,
    /// spec, then specs; each stands for itself.
    pub rules: Vec<RuleSpec>,
}

/// spec or specs[] (api.Rule).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// endpointSelector or nodeSelector.
    pub subject: Subject,
    /// ingress.
    pub ingress: Vec<Rule>,
    /// ingressDeny: before everything that allows, whatever policy that stands in.
    pub ingress_deny: Vec<Rule>,
    /// egress.
    pub egress: Vec<Rule>,
    /// egressDeny.
    pub egress_deny: Vec<Rule>,
    /// enableDefaultDeny.ingress; None = if there are ingress or ingressDeny rules.
    pub default_deny_ingress: Option<bool>,
    /// enableDefaultDeny.egress; None = if there are egress or egressDeny rules.
    pub default_deny_egress: Option<bool>,
    /// description.
    pub description: String,
    /// Where the spec stands.
    pub position: Position,
}

/// What a spec is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// endpointSelector.
    Endpoints(EndpointSelector),
    /// nodeSelector, over labels of nodes; only clusterwide. Says nothing of pods.
    Nodes(EndpointSelector),
}

/// A rule of any of the four lists. If there is neither a peer field nor toPorts nor icmps, it
/// matches nothing, but its presence still counts for enableDefaultDeny.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The from or to fields. None = no such field: any peer, if there are toPorts or icmps. A
    /// field with an empty list matches no peer.
    pub peers: Option<Peers>,
    /// fromRequires or toRequires (taken up to Cilium 1.18): what endpoints must fulfil besides.
    pub requires: Vec<EndpointSelector>,
    /// toPorts, one of which must match; empty = all ports. An item without ports matches none.
    pub ports: Vec<PortRule>,
    /// icmps, in place of toPorts.
    pub icmps: Vec<IcmpRule>,
    /// authentication.mode; None = none asked for.
    pub authentication: Option<Authentication>,
    /// Where the rule stands.
    pub position: Position,
}

/// The peers of a rule; Cilium takes one from or to field per rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peers {
    /// fromEndpoints or toEndpoints.
    Endpoints(Vec<EndpointSelector>),
    /// fromCIDR, fromCIDRSet, toCIDR or toCIDRSet.
    Networks(Vec<CidrRule>),
    /// fromEntities or toEntities.
    Entities(Vec<Entity>),
    /// fromNodes or toNodes, over labels of nodes; needs a flag of the agent.
    Nodes(Vec<EndpointSelector>),
    /// toServices.
    Services(Vec<ServiceMatch>),
    /// toFQDNs.
    Domains(Vec<DomainMatch>),
    /// fromGroups or toGroups: addresses that only a cloud provider knows. The number of items.
    Groups(u32),
}

/// An item of fromCIDRSet or toCIDRSet, or of fromCIDR or toCIDR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidrRule {
    /// Which addresses.
    pub source: CidrSource,
    /// except, host bits masked off; inside the range if that is given.
    pub except: Vec<IpNet>,
}

/// cidr, cidrGroupRef or cidrGroupSelector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CidrSource {
    /// cidr, host bits masked off.
    Cidr(IpNet),
    /// cidrGroupRef: the CiliumCIDRGroup of this name.
    Group(String),
    /// cidrGroupSelector: CiliumCIDRGroups by their labels.
    GroupSelector(LabelSelector),
}

/// An item of fromEntities or toEntities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Entity {
    /// `all`: everything.
    All,
    /// `world`: outside the cluster.
    World,
    /// `world-ipv4`.
    WorldIpv4,
    /// `world-ipv6`.
    WorldIpv6,
    /// `cluster`: endpoints, managed or not, and nodes of the cluster.
    Cluster,
    /// `host`: the node that the endpoint runs on.
    Host,
    /// `remote-node`: all other nodes.
    RemoteNode,
    /// `kube-apiserver`: the API server, wherever it runs.
    KubeApiserver,
    /// `ingress`: Cilium's own proxy for Ingress and Gateway.
    Ingress,
    /// `init`: endpoints whose labels are not known yet.
    Init,
    /// `health`: Cilium's health endpoints.
    Health,
    /// `unmanaged`: endpoints that Cilium does not manage.
    Unmanaged,
    /// `none`: nothing.
    None,
}

impl Entity {
    /// All entities.
    pub const ALL: [Self; 13] = [
        Self::All,
        Self::World,
        Self::WorldIpv4,
        Self::WorldIpv6,
        Self::Cluster,
        Self::Host,
        Self::RemoteNode,
        Self::KubeApiserver,
        Self::Ingress,
        Self::Init,
        Self::Health,
        Self::Unmanaged,
        Self::None,
    ];

    /// The entity as Cilium spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::World => "world",
            Self::WorldIpv4 => "world-ipv4",
            Self::WorldIpv6 => "world-ipv6",
            Self::Cluster => "cluster",
            Self::Host => "host",
            Self::RemoteNode => "remote-node",
            Self::KubeApiserver => "kube-apiserver",
            Self::Ingress => "ingress",
            Self::Init => "init",
            Self::Health => "health",
            Self::Unmanaged => "unmanaged",
            Self::None => "none",
        }
    }
}

/// An item of toServices; if both are given, only the selector counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMatch {
    /// k8sService: namespace (empty = any) and name.
    pub service: Option<(String, String)>,
    /// k8sServiceSelector: namespace (empty = any) and the selector over labels of Services.
    pub selector: Option<(String, EndpointSelector)>,
}

/// An item of toFQDNs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DomainMatch {
    /// matchName: this name, in lower case and without the final dot.
    Name(String),
    /// matchPattern, in lower case and without the final dot: `*` stands for any characters of one
    /// label, a leading `**.` for one or more labels, `*` alone for every name.
    Pattern(String),
}

/// authentication.mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Authentication {
    /// `disabled`.
    Disabled,
    /// `required`: both ends must have proved their identity.
    Required,
    /// `test-always-fail`: nothing gets through.
    AlwaysFail,
}

impl Authentication {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Disabled, Self::Required, Self::AlwaysFail];

    /// The mode as Cilium spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Required => "required",
            Self::AlwaysFail => "test-always-fail",
        }
    }
}

/// An item of toPorts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRule {
    /// ports; empty = none.
    pub ports: Vec<PortProtocol>,
    /// What else must hold for a connection or request to get through; empty = nothing.
    pub conditions: Vec<Condition>,
}

/// What Cilium's proxy asks of what addresses and ports let through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// rules.http.
    Http,
    /// rules.kafka (taken up to Cilium 1.18).
    Kafka,
    /// rules.dns.
    Dns,
    /// rules.l7proto, the name of a protocol, and rules.l7.
    Protocol(String),
    /// serverNames: TLS server names.
    ServerNames,
    /// listener: an Envoy listener of this name decides.
    Listener(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("HTTP rules"),
            Self::Kafka => f.write_str("Kafka rules"),
            Self::Dns => f.write_str("DNS rules"),
            Self::Protocol(name) => write!(f, "{name} rules"),
            Self::ServerNames => f.write_str("TLS server names"),
            Self::Listener(name) => write!(f, "Envoy listener {name}"),
        }
    }
}

/// An item of ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortProtocol {
    /// protocol.
    pub protocol: Protocol,
    /// port; number 0 = all ports.
    pub port: PortRef,
    /// endPort, inclusive; None if absent, 0, or beside a named port, where it has no meaning.
    pub end_port: Option<u16>,
}

/// protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// `ANY`, or none given: TCP, UDP and SCTP.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP; the port is the type.
    Icmp,
    /// ICMPv6; the port is the type.
    IcmpV6,
    /// VRRP.
    Vrrp,
    /// IGMP.
    Igmp,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 8] = [
        Self::Any,
        Self::Tcp,
        Self::Udp,
        Self::Sctp,
        Self::Icmp,
        Self::IcmpV6,
        Self::Vrrp,
        Self::Igmp,
    ];

    /// The protocol as Cilium spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::IcmpV6 => "ICMPv6",
            Self::Vrrp => "VRRP",
            Self::Igmp => "IGMP",
        }
    }
}

/// An item of icmps; without fields it matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpRule {
    /// fields.
    pub fields: Vec<IcmpField>,
}

/// An item of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IcmpField {
    /// family; IPv4 if absent.
    pub family: IcmpFamily,
    /// type, by number or name.
    pub kind: u8,
}

/// family of an ICMP field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IcmpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A CiliumCIDRGroup: address ranges that policies refer to by name or label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidrGroup {
    /// Metadata, with the labels that cidrGroupSelector looks at.
    pub meta: Meta,
    /// spec.externalCIDRs, host bits masked off.
    pub cidrs: Vec<IpNet>,
}
