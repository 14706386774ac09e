//! Ring fences: everything inside is allowed, across the border only what was seen.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{LabelSelector, PolicyPeer, PolicyRule, Position};
use sekisho_model::{Direction, Labels};

use crate::TemplateId;
use crate::history::{End, Evidence, Traffic};
use crate::names::Names;
use crate::proposal::{Note, NoteKind, RecommendedPolicy};
use crate::propose::Plan;
use crate::rules::{Draft, Drafts, Public, RuleMaker, namespaces_named};
use crate::template::borders;

/// One ring fence, in one namespace.
#[derive(Debug)]
pub(crate) struct Fence {
    pub(crate) namespace: String,
    /// Groups of this namespace inside, in scope.
    pub(crate) members: BTreeSet<usize>,
    name: String,
    /// Selects the members.
    selector: LabelSelector,
    /// Selects all that is inside, from here.
    inside: PolicyPeer,
    /// All groups inside, whatever the namespace.
    all: BTreeSet<usize>,
    /// Traffic inside.
    evidence: Evidence,
    /// Name resolution by members.
    dns: Vec<Traffic>,
}

impl Fence {
    /// Whether `end` is inside, in whatever namespace.
    fn holds(&self, end: &End) -> bool {
        match end {
            End::Group(group) => self.all.contains(group),
            End::Node { .. } | End::Outside { .. } => false,
        }
    }

    /// Whether the fence's own policy allows the traffic at the end that is a member.
    pub(crate) fn covers(&self, traffic: &Traffic) -> bool {
        let (from, to) = (self.holds(&traffic.source), self.holds(&traffic.destination));
        from && (to || is_shared_dns(traffic))
    }
}

/// Whether it is name resolution by a workload of the cluster: allowed once for all.
fn is_shared_dns(traffic: &Traffic) -> bool {
    traffic.dns && matches!(traffic.destination, End::Group(_))
}

/// The fences that the template asks for; none for least privilege.
pub(crate) fn fences(
    plan: &Plan<'_>,
    traffic: &[Traffic],
    notes: &mut BTreeSet<Note>,
) -> Vec<Fence> {
    let template = &plan.request.template;
    let mut fences = match template.id() {
        TemplateId::Namespace => by_namespace(plan),
        TemplateId::Application => by_label(plan, template.text("label"), notes),
        TemplateId::Environment | TemplateId::Tenant => by_part(plan),
        _no_fence => Vec::new(),
    };
    for fence in &mut fences {
        let member = |end: &End| match end {
            End::Group(group) => fence.members.contains(group),
            End::Node { .. } | End::Outside { .. } => false,
        };
        let mut evidence = Evidence::default();
        let mut dns = Vec::new();
        for traffic in traffic.iter().filter(|traffic| fence.covers(traffic)) {
            let (from, to) = (member(&traffic.source), member(&traffic.destination));
            if from && !fence.holds(&traffic.destination) {
                dns.push(traffic.clone());
            } else if from || to {
                evidence.add(&traffic.evidence);
            }
        }
        fence.evidence = evidence;
        fence.dns = dns;
    }
    fences
}

fn by_namespace(plan: &Plan<'_>) -> Vec<Fence> {
    let mut members: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, group) in plan.groups.iter().filter(|(_, group)| plan.in_scope(group)) {
        members.entry(&group.namespace).or_default().insert(index);
    }
    let all_of = |namespace: &str| {
        let of = plan.groups.iter().filter(|(_, group)| group.namespace == namespace);
        of.map(|(index, _)| index).collect()
    };
    let everything = LabelSelector::default;
    let fence = |(namespace, members): (&str, BTreeSet<usize>)| Fence {
        namespace: namespace.to_owned(),
        members,
        name: "ring-fence".to_owned(),
        selector: everything(),
        inside: PolicyPeer::Pods { namespaces: None, pods: Some(everything()) },
        all: all_of(namespace),
        evidence: Evidence::default(),
        dns: Vec::new(),
    };
    members.into_iter().map(fence).collect()
}

fn by_label(plan: &Plan<'_>, label: &str, notes: &mut BTreeSet<Note>) -> Vec<Fence> {
    let values = plan.request.template.texts("values");
    let mut applications: BTreeMap<&str, BTreeMap<&str, BTreeSet<usize>>> = BTreeMap::new();
    for (index, group) in plan.groups.iter() {
        let wanted = |value: &&str| values.is_empty() || values.contains(*value);
        if let Some(value) = group.label(label).filter(wanted) {
            let namespaces = applications.entry(value).or_default();
            namespaces.entry(&group.namespace).or_default().insert(index);
        } else if plan.in_scope(group) && values.is_empty() {
            notes.insert(Note {
                kind: NoteKind::NoPolicy,
                subject: group.ids().join(", "),
                text: format!("has no label `{label}`, so it is in no application"),
            });
        }
    }
    let mut fences = Vec::new();
    for (value, namespaces) in applications {
        let selector = LabelSelector::of(Labels::from([(label.to_owned(), value.to_owned())]));
        let all: BTreeSet<usize> = namespaces.values().flatten().copied().collect();
        let spread = namespaces.len() > 1;
        let everywhere = spread.then(|| namespaces_named(namespaces.keys().copied()));
        for (namespace, members) in &namespaces {
            let scope = |index: &usize| plan.groups.at(*index).is_some_and(|of| plan.in_scope(of));
            let members: BTreeSet<usize> = members.iter().copied().filter(scope).collect();
            if members.is_empty() {
                continue;
            }
            fences.push(Fence {
                namespace: (*namespace).to_owned(),
                members,
                name: format!("ring-fence-{}", object_name(value)),
                selector: selector.clone(),
                inside: PolicyPeer::Pods {
                    namespaces: everywhere.clone(),
                    pods: Some(selector.clone()),
                },
                all: all.clone(),
                evidence: Evidence::default(),
                dns: Vec::new(),
            });
        }
    }
    fences
}

/// A fence around each part that a label of namespaces names.
fn by_part(plan: &Plan<'_>) -> Vec<Fence> {
    let Some(border) = borders(plan, &plan.request.template) else { return Vec::new() };
    let label = plan.request.template.text("label");
    let mut fences = Vec::new();
    for (value, all) in border.parts() {
        let own = LabelSelector::of(Labels::from([(label.to_owned(), value.to_owned())]));
        let mut members: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for index in &all {
            if let Some(group) = plan.groups.at(*index).filter(|group| plan.in_scope(group)) {
                members.entry(&group.namespace).or_default().insert(*index);
            }
        }
        fences.extend(members.into_iter().map(|(namespace, members)| Fence {
            namespace: namespace.to_owned(),
            members,
            name: format!("ring-fence-{}", object_name(value)),
            selector: LabelSelector::default(),
            inside: PolicyPeer::Pods { namespaces: Some(own.clone()), pods: None },
            all: all.clone(),
            evidence: Evidence::default(),
            dns: Vec::new(),
        }));
    }
    fences
}

/// A label value as part of an object's name (RFC 1123: lower case, digits, `-`, `.`).
pub(crate) fn object_name(value: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = value.chars().map(fit).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "none".to_owned() } else { name.to_owned() }
}

impl Plan<'_> {
    /// The policy that allows everything inside the fence, and name resolution.
    pub(crate) fn fence_policy(
        &self,
        fence: &Fence,
        names: &mut Names,
        notes: &mut BTreeSet<Note>,
    ) -> RecommendedPolicy {
        let name = names.take(&fence.namespace, &fence.name);
        let policy = self.blank(&fence.namespace, name, fence.selector.clone());
        let inside = || Draft {
            rule: PolicyRule {
                peers: vec![fence.inside.clone()],
                ports: Vec::new(),
                position: Position::default(),
                comment: vec![format!(
                    "all inside: {} connections seen",
                    fence.evidence.connections
                )],
            },
            evidence: fence.evidence.clone(),
        };
        let members: Vec<usize> = fence.members.iter().copied().collect();
        let subject = members.first().copied().unwrap_or_default();
        let public = Public::new();
        let maker = RuleMaker {
            groups: self.groups,
            subject,
            direction: Direction::Egress,
            public: &public,
        };
        let dns: Vec<&Traffic> = fence.dns.iter().collect();
        let mut egress = maker.rules(&dns, notes);
        egress.rules.insert(0, inside());
        let ingress = Drafts { rules: vec![inside()], ..Drafts::default() };
        self.recommended(policy, Vec::new(), [ingress, egress], &members)
    }
}
