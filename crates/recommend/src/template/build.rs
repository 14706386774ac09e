//! What all templates build with: selectors of groups, rules with their evidence, policies.

use std::collections::BTreeSet;

use ipnet::IpNet;
use sekisho_manifest::{
    LabelSelector, NetworkPolicy, Operator, PolicyPeer, PolicyPort, PolicyRule, Position,
    Requirement, Tier, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort, TierRule,
    TierSubject,
};
use sekisho_model::{Direction, Labels};

use super::catalogue::TemplateId;
use super::settings::{PortSpan, Template};
use crate::groups::Group;
use crate::history::{End, Evidence, Traffic};
use crate::names::Names;
use crate::proposal::{Note, NoteKind, RecommendedPolicy};
use crate::propose::{MANAGED_BY, Plan};
use crate::request::SYSTEM_NAMESPACES;
use crate::rules::{Draft, Drafts, NAMESPACE_NAME, RuleMaker, namespaces_named};

/// Characters of a rule's name (network-policy-api v1alpha2).
const RULE_NAME_MAX: usize = 100;

/// Peers, ports and ranges of one rule (network-policy-api v1alpha2).
const ITEMS_MAX: usize = 25;

/// What a template made.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Policies that only deny.
    pub(crate) default_deny: Vec<NetworkPolicy>,
    /// Policies that allow.
    pub(crate) policies: Vec<RecommendedPolicy>,
    /// Policies of the whole cluster.
    pub(crate) cluster: Vec<TierPolicy>,
    /// What they do together, in sentences.
    pub(crate) words: Vec<String>,
}

impl Built {
    /// Puts policies in order, and the name of the template on each.
    pub(crate) fn stamp(&mut self, template: &str) {
        let name =
            |policy: &NetworkPolicy| (policy.meta.namespace.clone(), policy.meta.name.clone());
        self.default_deny.sort_by_key(name);
        self.policies.sort_by_key(|of| name(&of.policy));
        self.cluster.sort_by(|a, b| (a.priority, &a.meta.name).cmp(&(b.priority, &b.meta.name)));
        let denies = self.default_deny.iter_mut().map(|policy| &mut policy.meta);
        let allows = self.policies.iter_mut().map(|of| &mut of.policy.meta);
        let cluster = self.cluster.iter_mut().map(|policy| &mut policy.meta);
        for meta in denies.chain(allows).chain(cluster) {
            meta.annotations.insert("sekisho.dev/template".to_owned(), template.to_owned());
        }
    }
}

/// A template at work.
pub(crate) struct Build<'a> {
    pub(crate) plan: &'a Plan<'a>,
    pub(crate) template: &'a Template,
    pub(crate) traffic: &'a [Traffic],
    pub(crate) names: &'a mut Names,
    pub(crate) notes: &'a mut BTreeSet<Note>,
    pub(crate) out: Built,
}

/// Rules of a NetworkPolicy: ingress, then egress; None = that direction is not isolated.
pub(crate) type Sides = [Option<Drafts>; 2];

impl<'a> Build<'a> {
    /// The policies of a template that is neither least privilege nor a fence: those are made where
    /// history is read.
    pub(crate) fn make(mut self) -> Built {
        match self.template.id() {
            TemplateId::LeastPrivilege
            | TemplateId::Application
            | TemplateId::Namespace
            | TemplateId::Environment => {}
            TemplateId::Tenant => self.tenants(),
            TemplateId::CrownJewel => self.crown_jewel(),
            TemplateId::VmToCluster => self.vm_to_cluster(),
            TemplateId::Infrastructure => self.infrastructure(),
            TemplateId::DefaultDenyDns => self.default_deny_dns(),
            TemplateId::EgressAllowList => self.egress_allow_list(),
            TemplateId::InternetFacing => self.internet_facing(),
            TemplateId::CloudMetadata => self.cloud_metadata(),
            TemplateId::ControlPlanePorts => self.control_plane_ports(),
            TemplateId::LateralMovement => self.lateral_movement(),
            TemplateId::Bastion => self.bastion(),
            TemplateId::VendorWindow => self.vendor_window(),
            TemplateId::Quarantine => self.quarantine(),
        }
        self.out
    }

    pub(crate) fn group(&self, index: usize) -> Option<&'a Group<'a>> {
        self.plan.groups.at(index)
    }

    /// Groups in scope that can be selected.
    pub(crate) fn in_scope(&self) -> BTreeSet<usize> {
        let all = self.plan.groups.iter();
        all.filter(|(_, group)| self.plan.in_scope(group) && group.selector.is_some())
            .map(|(index, _)| index)
            .collect()
    }

    /// Namespaces in scope that have workloads.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let all = self.plan.groups.iter();
        all.filter(|(_, group)| self.plan.in_scope(group))
            .map(|(_, group)| group.namespace.clone())
            .collect()
    }

    /// The namespaces in scope, also those to come where none was asked for.
    pub(crate) fn scope_selector(&self) -> LabelSelector {
        match &self.plan.request.scope.namespaces {
            Some(asked) => namespaces_named(asked.iter().map(String::as_str)),
            None => LabelSelector {
                match_labels: Labels::new(),
                match_expressions: vec![Requirement {
                    key: NAMESPACE_NAME.to_owned(),
                    operator: Operator::NotIn,
                    values: SYSTEM_NAMESPACES.iter().map(|name| (*name).to_owned()).collect(),
                }],
            },
        }
    }

    /// The scope in words.
    pub(crate) fn scope_words(&self) -> String {
        match &self.plan.request.scope.namespaces {
            Some(asked) => {
                let names: Vec<&str> = asked.iter().map(String::as_str).collect();
                format!("namespaces {}", names.join(", "))
            }
            None => format!("all namespaces but {}", SYSTEM_NAMESPACES.join(", ")),
        }
    }

    /// The groups of the workloads that a parameter names; those without a selector are noted.
    pub(crate) fn chosen(&mut self, parameter: &str) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for workload in self.template.workloads(parameter) {
            let index = self.plan.groups.index(&workload);
            let group = index.and_then(|index| self.group(index));
            match index.zip(group) {
                Some((index, group)) if group.selector.is_some() => _ = found.insert(index),
                _ => {
                    let text = format!("`{parameter}` names it, but no label selects it: left out");
                    let subject = workload.to_string();
                    self.notes.insert(Note { kind: NoteKind::NoPolicy, subject, text });
                }
            }
        }
        found
    }

    /// As [`Build::chosen`], of what gets policies: only what is in the namespaces asked for.
    pub(crate) fn subjects(&mut self, parameter: &str) -> BTreeSet<usize> {
        let mut chosen = self.chosen(parameter);
        let Some(asked) = &self.plan.request.scope.namespaces else { return chosen };
        for index in chosen.clone() {
            let Some(group) = self.group(index).filter(|of| !asked.contains(&of.namespace)) else {
                continue;
            };
            let text = format!("`{parameter}` names it, but not its namespace: left out");
            let subject = group.ids().join(", ");
            self.notes.insert(Note { kind: NoteKind::NoPolicy, subject, text });
            chosen.remove(&index);
        }
        chosen
    }

    /// Names of groups, for people.
    pub(crate) fn say(&self, groups: &BTreeSet<usize>) -> String {
        if groups.is_empty() {
            return "nobody".to_owned();
        }
        let name = |index: &usize| {
            let group = self.group(*index)?;
            Some(format!("{}/{}", group.namespace, group.name()))
        };
        groups.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// Groups as peers of a policy in `namespace`.
    pub(crate) fn peers(&self, groups: &BTreeSet<usize>, namespace: &str) -> Vec<PolicyPeer> {
        let peer = |index: &usize| {
            let group = self.group(*index)?;
            let other = group.namespace != namespace;
            Some(PolicyPeer::Pods {
                namespaces: other.then(|| namespaces_named([group.namespace.as_str()])),
                pods: Some(group.selector.clone()?),
            })
        };
        groups.iter().filter_map(peer).collect()
    }

    /// Groups as peers of a policy of the cluster.
    pub(crate) fn tier_peers(&self, groups: &BTreeSet<usize>) -> Vec<TierPeer> {
        let peer = |index: &usize| {
            let (namespaces, pods) = self.both(*index)?;
            Some(TierPeer::Pods { namespaces, pods })
        };
        groups.iter().filter_map(peer).collect()
    }

    /// One group as the subject of a policy of the cluster.
    pub(crate) fn subject(&self, index: usize) -> Option<TierSubject> {
        let (namespaces, pods) = self.both(index)?;
        Some(TierSubject::Pods { namespaces, pods })
    }

    fn both(&self, index: usize) -> Option<(LabelSelector, LabelSelector)> {
        let group = self.group(index)?;
        Some((namespaces_named([group.namespace.as_str()]), group.selector.clone()?))
    }

    /// A rule that the template asks for, with the traffic that it allows as its evidence.
    pub(crate) fn rule(
        &self,
        peers: Vec<PolicyPeer>,
        ports: Vec<PolicyPort>,
        words: &str,
        holds: impl Fn(&Traffic) -> bool,
    ) -> Draft {
        let mut evidence = Evidence::default();
        for traffic in self.traffic.iter().filter(|traffic| holds(traffic)) {
            evidence.add(&traffic.evidence);
        }
        let seen = match evidence.connections {
            0 => "not seen yet".to_owned(),
            1 => "1 connection seen".to_owned(),
            many => format!("{many} connections seen"),
        };
        let comment = vec![format!("{words}: {seen}")];
        Draft {
            rule: PolicyRule { peers, ports, position: Position::default(), comment },
            evidence,
        }
    }

    /// The rules of what was seen of a group in one direction, of what `wanted` picks.
    pub(crate) fn seen(
        &mut self,
        index: usize,
        direction: Direction,
        wanted: impl Fn(&Traffic) -> bool,
    ) -> Drafts {
        let own = End::Group(index);
        let of = |traffic: &Traffic| match direction {
            Direction::Ingress => traffic.destination == own,
            Direction::Egress => traffic.source == own,
        };
        let picked: Vec<&Traffic> =
            self.traffic.iter().filter(|traffic| of(traffic) && wanted(traffic)).collect();
        let Some(group) = self.group(index) else { return Drafts::default() };
        let public = match direction {
            Direction::Ingress => self.plan.public(group, &picked),
            Direction::Egress => BTreeSet::new(),
        };
        let maker =
            RuleMaker { groups: self.plan.groups, subject: index, direction, public: &public };
        maker.rules(&picked, self.notes)
    }

    /// Adds a NetworkPolicy; `members` are the groups that it selects.
    pub(crate) fn policy(
        &mut self,
        (namespace, name): (&str, &str),
        selector: LabelSelector,
        [ingress, egress]: Sides,
        members: &BTreeSet<usize>,
    ) -> Option<&mut NetworkPolicy> {
        let name = self.names.take(namespace, name);
        let mut policy = self.plan.blank(namespace, name, selector);
        policy.isolates_ingress = ingress.is_some();
        policy.isolates_egress = egress.is_some();
        let groups = members.iter().filter_map(|index| self.plan.groups.at(*index));
        let workloads = groups.flat_map(Group::ids).collect();
        let members: Vec<usize> = members.iter().copied().collect();
        let sides = [ingress.unwrap_or_default(), egress.unwrap_or_default()];
        self.out.policies.push(self.plan.recommended(policy, workloads, sides, &members));
        self.out.policies.last_mut().map(|of| &mut of.policy)
    }

    /// Adds a NetworkPolicy of one group, named after the template and the group.
    pub(crate) fn policy_of(
        &mut self,
        index: usize,
        prefix: &str,
        sides: Sides,
    ) -> Option<&mut NetworkPolicy> {
        let group = self.group(index)?;
        let selector = group.selector.clone()?;
        let name = format!("{prefix}-{}", group.name());
        self.policy((&group.namespace, &name), selector, sides, &BTreeSet::from([index]))
    }

    /// Adds a ClusterNetworkPolicy of tier Admin, unless it has no rules.
    pub(crate) fn cluster_policy(
        &mut self,
        (name, priority): (&str, u16),
        subject: TierSubject,
        [ingress, egress]: [Vec<TierRule>; 2],
    ) {
        if ingress.is_empty() && egress.is_empty() {
            return;
        }
        let (key, value) = MANAGED_BY;
        let mut policy = TierPolicy {
            meta: sekisho_manifest::Meta::default(),
            kind: TierPolicyKind::ClusterNetworkPolicy,
            tier: Tier::Admin,
            priority,
            subject,
            ingress,
            egress,
        };
        policy.meta.name = self.names.take("", name);
        policy.meta.labels = Labels::from([(key.to_owned(), value.to_owned())]);
        let window = self.plan.request.window;
        policy.meta.annotations = Labels::from([
            ("sekisho.dev/evidence-from".to_owned(), window.from.to_string()),
            ("sekisho.dev/evidence-to".to_owned(), window.to.to_string()),
        ]);
        self.out.cluster.push(policy);
    }

    /// Says what the policies do.
    pub(crate) fn tell(&mut self, words: String) {
        self.out.words.push(words);
    }
}

/// Rules of a ClusterNetworkPolicy that do one thing, as many as the API's limits ask for; `ports`
/// empty = all traffic.
pub(crate) fn tier_rule(
    action: TierAction,
    name: &str,
    peers: Vec<TierPeer>,
    ports: impl IntoIterator<Item = TierPort>,
) -> Vec<TierRule> {
    let name: String = name.chars().take(RULE_NAME_MAX).collect();
    let peers: Vec<TierPeer> = peers.into_iter().flat_map(within_limits).collect();
    let ports: Vec<TierPort> = ports.into_iter().collect();
    let ports: Vec<Option<Vec<TierPort>>> = match ports.as_slice() {
        [] => vec![None],
        some => some.chunks(ITEMS_MAX).map(|some| Some(some.to_vec())).collect(),
    };
    let rule = |peers: &[TierPeer], ports: &Option<Vec<TierPort>>| TierRule {
        name: name.clone(),
        action,
        peers: peers.to_vec(),
        ports: ports.clone(),
        position: Position::default(),
    };
    let some = peers.chunks(ITEMS_MAX);
    some.flat_map(|peers| ports.iter().map(move |ports| rule(peers, ports))).collect()
}

/// A peer of more ranges than one may have becomes several.
fn within_limits(peer: TierPeer) -> Vec<TierPeer> {
    match peer {
        TierPeer::Networks(nets) => {
            nets.chunks(ITEMS_MAX).map(|nets| TierPeer::Networks(nets.to_vec())).collect()
        }
        other => vec![other],
    }
}

/// Everybody that a ClusterNetworkPolicy can name as the destination.
pub(crate) fn everybody() -> Vec<TierPeer> {
    let nets = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
    vec![
        TierPeer::Namespaces(LabelSelector::default()),
        TierPeer::Nodes(LabelSelector::default()),
        TierPeer::Networks(nets),
    ]
}

/// Address ranges as peers.
pub(crate) fn blocks(nets: &BTreeSet<IpNet>) -> Vec<PolicyPeer> {
    nets.iter().map(|cidr| PolicyPeer::IpBlock { cidr: *cidr, except: Vec::new() }).collect()
}

/// Ports for a NetworkPolicy.
pub(crate) fn policy_ports(ports: &BTreeSet<PortSpan>) -> Vec<PolicyPort> {
    ports.iter().map(|port| port.policy_port()).collect()
}

/// The ports of traffic, one by one.
pub(crate) fn ports_of<'a>(traffic: impl Iterator<Item = &'a Traffic>) -> BTreeSet<PortSpan> {
    traffic
        .map(|one| PortSpan { protocol: one.protocol, first: one.port, last: one.port })
        .collect()
}

/// Ports in words: `5432/TCP, 8000-8100/TCP`.
pub(crate) fn say_ports(ports: &BTreeSet<PortSpan>) -> String {
    let one = |port: &PortSpan| {
        if port.first == port.last {
            format!("{}/{}", port.first, port.protocol)
        } else {
            format!("{}-{}/{}", port.first, port.last, port.protocol)
        }
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether the ports hold that of the traffic.
pub(crate) fn hold(ports: &BTreeSet<PortSpan>, traffic: &Traffic) -> bool {
    ports.iter().any(|port| port.holds(traffic.protocol, traffic.port))
}

/// Whether the ranges hold the address of an end; a group has none here.
pub(crate) fn within(nets: &BTreeSet<IpNet>, end: &End) -> bool {
    match end {
        End::Group(_) => false,
        End::Node { address, .. } | End::Outside { address, .. } => {
            nets.iter().any(|net| net.contains(address))
        }
    }
}

/// Whether an end is one of the groups.
pub(crate) fn among(groups: &BTreeSet<usize>, end: &End) -> bool {
    matches!(end, End::Group(index) if groups.contains(index))
}
