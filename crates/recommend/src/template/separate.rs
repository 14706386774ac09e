//! Environments and tenants: parts of the cluster that a label of namespaces tells apart.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{LabelSelector, Operator, Requirement, TierAction, TierPeer, TierSubject};
use sekisho_model::Labels;

use super::build::{Build, ports_of, tier_rule};
use super::catalogue::TemplateId;
use super::settings::Template;
use crate::fence::object_name;
use crate::history::{End, Traffic};
use crate::proposal::{Note, NoteKind};
use crate::propose::Plan;

/// Before the deny of tenants.
const KEPT: u16 = 590;
const TENANTS: u16 = 600;

/// Which part each group is in, and which parts are asked about.
pub(crate) struct Border {
    parts: BTreeMap<usize, String>,
    /// Empty = all.
    wanted: BTreeSet<String>,
}

/// The parts, if the template keeps them apart by fences or by rules.
pub(crate) fn borders(plan: &Plan<'_>, template: &Template) -> Option<Border> {
    match template.id() {
        TemplateId::Environment | TemplateId::Tenant => {}
        _other => return None,
    }
    let part = |namespace: &str| {
        let labels = plan.request.cluster.namespace_labels(namespace);
        labels.get(template.text("label")).cloned()
    };
    let parts = plan.groups.iter();
    let parts = parts.filter_map(|(index, group)| Some((index, part(&group.namespace)?))).collect();
    Some(Border { parts, wanted: template.texts("values") })
}

impl Border {
    /// The parts that the traffic leaves and enters, if they are two.
    fn crossed(&self, traffic: &Traffic) -> Option<(&str, &str)> {
        let part = |end: &End| match end {
            End::Group(index) => self.parts.get(index).map(String::as_str),
            End::Node { .. } | End::Outside { .. } => None,
        };
        let (from, to) = (part(&traffic.source)?, part(&traffic.destination)?);
        (from != to && (self.asks(from) || self.asks(to))).then_some((from, to))
    }

    fn asks(&self, part: &str) -> bool {
        self.wanted.is_empty() || self.wanted.contains(part)
    }

    /// The groups of each part that is asked about.
    pub(crate) fn parts(&self) -> BTreeMap<&str, BTreeSet<usize>> {
        let mut parts: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (index, part) in self.parts.iter().filter(|(_, part)| self.asks(part)) {
            parts.entry(part).or_default().insert(*index);
        }
        parts
    }

    /// What does not cross a border; the rest is noted.
    pub(crate) fn inside(&self, traffic: &[Traffic], notes: &mut BTreeSet<Note>) -> Vec<Traffic> {
        let mut crossing: BTreeMap<(&str, &str), (u64, BTreeSet<&String>)> = BTreeMap::new();
        let mut kept = Vec::new();
        for one in traffic {
            let Some(pair) = self.crossed(one) else {
                kept.push(one.clone());
                continue;
            };
            let (sum, edges) = crossing.entry(pair).or_default();
            *sum = sum.saturating_add(one.evidence.connections);
            edges.extend(&one.evidence.edges);
        }
        for ((from, to), (connections, edges)) in crossing {
            let example = edges.first().map_or("", |edge| edge.as_str());
            notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: format!("{from} -> {to}"),
                text: format!(
                    "crosses the border, so it gets no rule: {} edges, {connections} connections, \
                     for example {example}",
                    edges.len()
                ),
            });
        }
        kept
    }
}

impl Build<'_> {
    /// Tenants apart by a deny that they cannot lift.
    pub(super) fn tenants(&mut self) {
        let Some(border) = borders(self.plan, self.template) else { return };
        if self.template.is("keep-seen", "yes") {
            self.keep_crossing(&border);
        } else {
            let _inside = border.inside(self.traffic, self.notes);
        }
        let label = self.template.text("label").to_owned();
        for (tenant, members) in border.parts() {
            let scoped =
                |index: &usize| self.group(*index).is_some_and(|of| self.plan.in_scope(of));
            if !members.iter().any(scoped) {
                continue;
            }
            let own = Labels::from([(label.clone(), tenant.to_owned())]);
            let other = || vec![TierPeer::Namespaces(other_tenants(&label, tenant))];
            let deny = |peers, words: &str| tier_rule(TierAction::Deny, words, peers, []);
            let ingress = deny(other(), "nothing from other tenants");
            let egress = deny(other(), "nothing to other tenants");
            let name = format!("sekisho-tenant-{}", object_name(tenant));
            let subject = TierSubject::Namespaces(LabelSelector::of(own));
            self.cluster_policy((&name, TENANTS), subject, [ingress, egress]);
        }
        self.tell(format!(
            "Pods of a namespace with the label {label} neither reach nor are reached by pods of another \
             value; namespaces without it are no tenants and are not touched."
        ));
    }

    /// What was seen from one tenant to another goes on to the next tier.
    fn keep_crossing(&mut self, border: &Border) {
        let crossing: Vec<&Traffic> =
            self.traffic.iter().filter(|one| border.crossed(one).is_some()).collect();
        let mut ends: BTreeMap<usize, [BTreeMap<usize, Vec<&Traffic>>; 2]> = BTreeMap::new();
        for one in crossing {
            let (End::Group(from), End::Group(to)) = (&one.source, &one.destination) else {
                continue;
            };
            let [ingress, _] = ends.entry(*to).or_default();
            ingress.entry(*from).or_default().push(one);
            let [_, egress] = ends.entry(*from).or_default();
            egress.entry(*to).or_default().push(one);
        }
        for (index, sides) in ends {
            let rules = sides.map(|peers| {
                let rule = |(peer, traffic): (usize, Vec<&Traffic>)| {
                    let ports = ports_of(traffic.into_iter());
                    let ports = ports.into_iter().map(super::settings::PortSpan::tier_port);
                    let peers = self.tier_peers(&BTreeSet::from([peer]));
                    tier_rule(TierAction::Pass, "seen between tenants, kept", peers, ports)
                };
                peers.into_iter().flat_map(rule).collect()
            });
            let (Some(subject), Some(group)) = (self.subject(index), self.group(index)) else {
                continue;
            };
            let name = format!("sekisho-tenant-kept-{}-{}", group.namespace, group.name());
            self.cluster_policy((&name, KEPT), subject, rules);
        }
    }
}

/// Namespaces that have the label with another value.
fn other_tenants(label: &str, own: &str) -> LabelSelector {
    let ask = |operator, values| Requirement { key: label.to_owned(), operator, values };
    let exists = ask(Operator::Exists, Vec::new());
    let differs = ask(Operator::NotIn, vec![own.to_owned()]);
    LabelSelector { match_labels: Labels::new(), match_expressions: vec![exists, differs] }
}
