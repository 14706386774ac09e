//! Workloads as policies can tell them apart: each group has a selector that picks exactly its pods.
//!
//! A group is one workload, or several whose stable labels are the same. Workloads of history that
//! are not in the cluster now (a Job between its runs, a Deployment that was removed) are groups
//! too, by the labels they had: rules for them keep what was seen working when they come back.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{LabelSelector, PortRef};
use sekisho_model::{Labels, Party, PartyKind, Protocol, WorkloadRef};
use sekisho_policy::{Cluster, Endpoint};

use crate::labels;
use crate::proposal::{Note, NoteKind};

/// Workloads that one selector picks.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) namespace: String,
    /// Sorted; at least one.
    pub(crate) workloads: BTreeSet<WorkloadRef>,
    /// Picks exactly this group; None if it has no label that tells it apart.
    pub(crate) selector: Option<LabelSelector>,
    /// Endpoints of the cluster as it is now; empty if all are gone.
    pub(crate) endpoints: Vec<&'a Endpoint>,
    /// Every label set its pods have or had.
    label_sets: BTreeSet<Labels>,
}

/// All groups, and who is in which.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    list: Vec<Group<'a>>,
    by_workload: BTreeMap<WorkloadRef, usize>,
}

impl Group<'_> {
    /// Name of the first workload.
    pub(crate) fn name(&self) -> &str {
        self.workloads.first().map_or("", |workload| workload.name.as_str())
    }

    /// Kind of the first workload.
    pub(crate) fn kind(&self) -> &str {
        self.workloads.first().map_or("", |workload| workload.kind.as_str())
    }

    /// Ids of the workloads.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.workloads.iter().map(ToString::to_string).collect()
    }

    /// The port by the name that all of the group's pods give it, else by its number.
    pub(crate) fn port(&self, protocol: Protocol, number: u16) -> PortRef {
        let named = |endpoint: &Endpoint, name: &str| {
            let mut ports = endpoint
                .ports
                .iter()
                .filter(|port| port.name == name && port.protocol == protocol)
                .map(|port| port.port);
            ports.next() == Some(number) && ports.next().is_none()
        };
        let Some(first) = self.endpoints.first() else { return PortRef::Number(number) };
        let mut names = first.ports.iter().map(|port| port.name.as_str());
        let found = names.find(|name| {
            !name.is_empty() && self.endpoints.iter().all(|endpoint| named(endpoint, name))
        });
        found.map_or(PortRef::Number(number), |name| PortRef::Name(name.to_owned()))
    }

    /// The values that label `key` has on all pods of the group; None if they differ or lack it.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let mut values = self.label_sets.iter().map(|labels| labels.get(key));
        let first = values.next()??;
        values.all(|value| value == Some(first)).then_some(first.as_str())
    }
}

impl<'a> Groups<'a> {
    /// Groups the workloads of `cluster` and those that `seen` parties had.
    pub(crate) fn new(
        cluster: &'a Cluster,
        seen: &BTreeSet<&Party>,
        notes: &mut BTreeSet<Note>,
    ) -> Self {
        let mut by_namespace: BTreeMap<String, BTreeMap<WorkloadRef, Group<'a>>> = BTreeMap::new();
        for endpoint in cluster.endpoints.iter().filter(|endpoint| !endpoint.host_network) {
            let group = group_of(&mut by_namespace, &endpoint.namespace, &endpoint.workload);
            group.endpoints.push(endpoint);
            group.label_sets.insert(endpoint.labels.clone());
        }
        for party in seen.iter().filter(|party| is_subject(party)) {
            let workload = &party.workload;
            group_of(&mut by_namespace, &workload.namespace, workload)
                .label_sets
                .insert(party.labels.clone());
        }
        let mut groups = Self { list: Vec::new(), by_workload: BTreeMap::new() };
        for workloads in by_namespace.into_values() {
            for group in select(workloads.into_values().collect(), notes) {
                groups.push(group);
            }
        }
        groups
    }

    fn push(&mut self, group: Group<'a>) {
        let index = self.list.len();
        for workload in &group.workloads {
            self.by_workload.insert(workload.clone(), index);
        }
        self.list.push(group);
    }

    /// All groups with their index, by namespace and first workload.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Group<'a>)> {
        self.list.iter().enumerate()
    }

    /// The group at an index that this gave.
    pub(crate) fn at(&self, index: usize) -> Option<&Group<'a>> {
        self.list.get(index)
    }

    /// The index of a workload's group.
    pub(crate) fn index(&self, workload: &WorkloadRef) -> Option<usize> {
        self.by_workload.get(workload).copied()
    }
}

/// Whether policies can select the party.
pub(crate) fn is_subject(party: &Party) -> bool {
    match party.kind {
        PartyKind::Pod | PartyKind::Host => true,
        PartyKind::Service | PartyKind::Node | PartyKind::External | PartyKind::Unknown => false,
    }
}

fn group_of<'a, 'b>(
    by_namespace: &'b mut BTreeMap<String, BTreeMap<WorkloadRef, Group<'a>>>,
    namespace: &str,
    workload: &WorkloadRef,
) -> &'b mut Group<'a> {
    let workloads = by_namespace.entry(namespace.to_owned()).or_default();
    workloads.entry(workload.clone()).or_insert_with(|| Group {
        namespace: namespace.to_owned(),
        workloads: BTreeSet::from([workload.clone()]),
        selector: None,
        endpoints: Vec::new(),
        label_sets: BTreeSet::new(),
    })
}

/// Gives each group of a namespace its selector; groups that labels can't tell apart are merged.
fn select<'a>(mut groups: Vec<Group<'a>>, notes: &mut BTreeSet<Note>) -> Vec<Group<'a>> {
    // Groups whose stable labels are the same have no selector of their own.
    let mut done: Vec<Group<'a>> = Vec::new();
    while let Some(mut group) = groups.pop() {
        let others: Vec<&Labels> =
            groups.iter().chain(&done).flat_map(|other| &other.label_sets).collect();
        group.selector = selector(&group, &others);
        if group.selector.is_some() {
            done.push(group);
            continue;
        }
        // Selectors add up, so a group that can't be told from all others can't be told from one.
        let own: Vec<&Labels> = group.label_sets.iter().collect();
        let has_labels = !labels::shared(own.iter().copied()).is_empty();
        let twin = |other: &Group<'_>| {
            let other: Vec<&Labels> = other.label_sets.iter().collect();
            has_labels && labels::selector(&own, &other).is_none()
        };
        if let Some(at) = groups.iter().position(twin) {
            let other = groups.remove(at);
            groups.push(merge(group, other));
        } else if let Some(at) = done.iter().position(twin) {
            let other = done.remove(at);
            groups.push(merge(group, other));
        } else {
            notes.insert(Note {
                kind: NoteKind::NoPolicy,
                subject: group.ids().join(", "),
                text: "has no stable label to select it by: give it one (for example \
                       app.kubernetes.io/name); a default deny still holds for it"
                    .to_owned(),
            });
            done.push(group);
        }
    }
    for merged in done.iter().filter(|group| group.workloads.len() > 1) {
        notes.insert(Note {
            kind: NoteKind::Merged,
            subject: merged.ids().join(", "),
            text: "have the same stable labels, so they share one policy: give each a label of \
                   its own to tell them apart"
                .to_owned(),
        });
    }
    // `pop` takes from the back: first workloads come last.
    done.sort_by(|a, b| a.workloads.cmp(&b.workloads));
    done
}

/// The selector of a group: by what its pods have now and had before, if that is possible.
fn selector(group: &Group<'_>, others: &[&Labels]) -> Option<LabelSelector> {
    let all: Vec<&Labels> = group.label_sets.iter().collect();
    labels::selector(&all, others).or_else(|| {
        let now: Vec<&Labels> = group.endpoints.iter().map(|endpoint| &endpoint.labels).collect();
        if now.is_empty() { None } else { labels::selector(&now, others) }
    })
}

fn merge<'a>(a: Group<'a>, b: Group<'a>) -> Group<'a> {
    let mut merged = a;
    merged.workloads.extend(b.workloads);
    merged.endpoints.extend(b.endpoints);
    merged.label_sets.extend(b.label_sets);
    merged.selector = None;
    merged
}
