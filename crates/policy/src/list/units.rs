//! Parties of the engine, put together as what a row names: workloads or pods.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Labels, WorkloadRef};

use super::End;
use crate::{Cluster, Endpoint, Party, Reach};

/// Pod names that are spelled out in an identity.
const NAMES_SHOWN_MAX: usize = 3;

/// What a row names.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Its name.
    pub(crate) end: End,
    /// Its pods, by what policies tell apart; one or more.
    pub(crate) members: Vec<Member>,
}

/// Pods of a unit that policies do not tell apart.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Index into [`Reach::parties`].
    pub(crate) party: usize,
    /// The unit's name, narrowed to these pods.
    pub(crate) end: End,
    /// Whether they are two pods or more.
    pub(crate) is_many: bool,
}

/// The party of each endpoint.
fn parties(reach: &Reach, endpoints: usize) -> Vec<Option<usize>> {
    let mut party_of = vec![None; endpoints];
    for (party, ends) in reach.parties().iter().enumerate() {
        let Party::Endpoints(list) = ends else { continue };
        for endpoint in list {
            if let Some(slot) = party_of.get_mut(*endpoint) {
                *slot = Some(party);
            }
        }
    }
    party_of
}

/// One unit per workload, or per pod; endpoints that are `left_out` are none.
pub(crate) fn units(
    reach: &Reach,
    cluster: &Cluster,
    by_pod: bool,
    left_out: impl Fn(&Endpoint) -> bool,
) -> Vec<Unit> {
    let party_of = parties(reach, cluster.endpoints.len());
    let listed = cluster.endpoints.iter().zip(party_of);
    let listed = listed.filter(|(endpoint, _)| !left_out(endpoint));
    if by_pod {
        let units = listed.filter_map(|(endpoint, party)| Some(pod_unit(endpoint, party?)));
        return units.collect();
    }
    let mut workloads: BTreeMap<&WorkloadRef, BTreeMap<usize, Vec<&Endpoint>>> = BTreeMap::new();
    for (endpoint, party) in listed {
        if let Some(party) = party {
            let members = workloads.entry(&endpoint.workload).or_default();
            members.entry(party).or_default().push(endpoint);
        }
    }
    workloads.into_iter().map(|(workload, members)| workload_unit(workload, &members)).collect()
}

fn pod_unit(endpoint: &Endpoint, party: usize) -> Unit {
    let (end, is_many) = (pod_end(endpoint), endpoint.stands_for_many());
    Unit { members: vec![Member { party, end: end.clone(), is_many }], end }
}

/// The name of a pod; of its workload if it stands for all of them.
pub(crate) fn pod_end(endpoint: &Endpoint) -> End {
    if endpoint.stands_for_many() {
        End::workload(&endpoint.workload)
    } else {
        End::Pod { namespace: endpoint.namespace.clone(), name: endpoint.name.clone() }
    }
}

fn workload_unit(workload: &WorkloadRef, members: &BTreeMap<usize, Vec<&Endpoint>>) -> Unit {
    let identities = identities(members.values());
    let narrowed = members.iter().zip(identities).map(|((party, endpoints), identity)| Member {
        party: *party,
        end: End::Workload { workload: workload.clone(), identity },
        is_many: endpoints.len() > 1 || endpoints.iter().any(|one| one.stands_for_many()),
    });
    Unit { members: narrowed.collect(), end: End::workload(workload) }
}

/// Words for each group of pods: the labels that differ between groups, or the pods' names where
/// labels do not tell them apart.
fn identities<'a>(groups: impl Iterator<Item = &'a Vec<&'a Endpoint>> + Clone) -> Vec<String> {
    let labels = groups.clone().filter_map(|group| group.first()).map(|first| &first.labels);
    let keys: BTreeSet<&String> = labels.clone().flat_map(Labels::keys).collect();
    let differing: Vec<&String> = keys
        .into_iter()
        .filter(|key| labels.clone().map(|of| of.get(*key)).collect::<BTreeSet<_>>().len() > 1)
        .collect();
    let words = labels.map(|of| {
        let words = differing.iter().map(|key| match of.get(*key) {
            Some(value) => format!("{key}={value}"),
            None => format!("!{key}"),
        });
        words.collect::<Vec<_>>().join(",")
    });
    let words: Vec<String> = words.collect();
    let distinct: BTreeSet<&String> = words.iter().collect();
    if distinct.len() == words.len() { words } else { groups.map(|group| names(group)).collect() }
}

fn names(group: &[&Endpoint]) -> String {
    let shown: Vec<&str> =
        group.iter().take(NAMES_SHOWN_MAX).map(|endpoint| endpoint.name.as_str()).collect();
    match group.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => format!("pod={}", shown.join("|")),
        more => format!("pod={} and {more} more", shown.join("|")),
    }
}
