//! What a person can choose from: labels, workloads, ports, addresses and names that were seen.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{EdgeDay, PartyKind, WorkloadRef};
use sekisho_policy::Cluster;
use serde_json::{Value, json};

use super::catalogue::{Asks, CATALOGUE, Entry, Parameter, Preset};
use crate::labels;

/// Values offered for a parameter; the rest is counted.
const OFFERED_MAX: usize = 200;
/// Ports, outside addresses and names that are remembered, each.
const REMEMBERED_MAX: usize = 10_000;

/// Values seen in a cluster and its history.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    pod_labels: BTreeMap<String, BTreeSet<String>>,
    namespace_labels: BTreeMap<String, BTreeSet<String>>,
    workloads: BTreeSet<WorkloadRef>,
    ports: BTreeSet<(u16, String)>,
    addresses: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Choices {
    /// What `history` and `cluster` hold. Who may look at some namespaces only (`own`) chooses from
    /// those, and from the workloads that `history` has.
    #[must_use]
    pub fn new(history: &[EdgeDay], cluster: &Cluster, own: Option<&BTreeSet<String>>) -> Self {
        let mut found = Self::default();
        let is_own = |namespace: &str| own.is_none_or(|own| own.contains(namespace));
        for (_, labels) in cluster.namespaces.iter().filter(|(name, _)| is_own(name)) {
            for (key, value) in labels {
                found.namespace_labels.entry(key.clone()).or_default().insert(value.clone());
            }
        }
        let endpoints = cluster.endpoints.iter().filter(|endpoint| is_own(&endpoint.namespace));
        for endpoint in endpoints.filter(|endpoint| !endpoint.host_network) {
            found.workloads.insert(endpoint.workload.clone());
            for (key, value) in endpoint.labels.iter().filter(|(key, _)| labels::is_stable(key)) {
                found.pod_labels.entry(key.clone()).or_default().insert(value.clone());
            }
        }
        let on_nodes: BTreeSet<&WorkloadRef> = cluster
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.host_network)
            .map(|endpoint| &endpoint.workload)
            .collect();
        for row in history {
            let key = &row.key;
            if found.ports.len() < REMEMBERED_MAX && key.port != 0 {
                found.ports.insert((key.port, key.protocol.to_string()));
            }
            for party in [&key.source, &key.destination] {
                match party.kind {
                    PartyKind::Pod | PartyKind::Host if !on_nodes.contains(&party.workload) => {
                        if !found.workloads.contains(&party.workload) {
                            found.workloads.insert(party.workload.clone());
                        }
                    }
                    PartyKind::External => found.outside(party),
                    PartyKind::Pod
                    | PartyKind::Host
                    | PartyKind::Service
                    | PartyKind::Node
                    | PartyKind::Unknown => {}
                }
            }
        }
        found
    }

    fn outside(&mut self, party: &sekisho_model::Party) {
        if let Some(name) = &party.dns_name
            && self.names.len() < REMEMBERED_MAX
        {
            self.names.insert(name.clone());
        }
        if let Some(address) = party.address
            && self.addresses.len() < REMEMBERED_MAX
        {
            self.addresses.insert(address.to_canonical().to_string());
        }
    }

    /// What may be chosen for `parameter`, all of it.
    pub(crate) fn of(&self, entry: &Entry, parameter: &Parameter, label: &str) -> Vec<String> {
        let ids = |wanted: fn(&WorkloadRef) -> bool| {
            self.workloads.iter().filter(|one| wanted(one)).map(ToString::to_string).collect()
        };
        match parameter.asks {
            Asks::PodLabel => self.pod_labels.keys().cloned().collect(),
            Asks::NamespaceLabel => self.namespace_labels.keys().cloned().collect(),
            Asks::LabelValue => {
                let on_pods = entry.parameters.iter().any(|other| other.asks == Asks::PodLabel);
                let labels = if on_pods { &self.pod_labels } else { &self.namespace_labels };
                labels.get(label).into_iter().flatten().cloned().collect()
            }
            Asks::Workload => ids(|_any| true),
            Asks::Machine => ids(|one| one.kind == "Host"),
            Asks::Port => {
                self.ports.iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect()
            }
            Asks::Network => self.addresses.iter().cloned().collect(),
            Asks::Name => self.names.iter().cloned().collect(),
            Asks::Time => Vec::new(),
            Asks::Word(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    /// The workloads that `text` names: `name`, `namespace/name` or `namespace/name[Kind]`.
    pub(crate) fn workloads(&self, text: &str) -> Vec<&WorkloadRef> {
        let named = |one: &&WorkloadRef| {
            one.name == text
                || format!("{}/{}", one.namespace, one.name) == text
                || one.to_string() == text
        };
        self.workloads.iter().filter(named).collect()
    }

    /// The value that holds where nothing was given; None if it must be given, or the template
    /// makes it up.
    pub(crate) fn preset(&self, entry: &Entry, parameter: &Parameter) -> Option<String> {
        match parameter.preset {
            Preset::Value(text) => Some(text.to_owned()),
            Preset::FirstOf(usual) => {
                let there = self.of(entry, parameter, "");
                usual
                    .iter()
                    .find(|key| there.iter().any(|own| own == *key))
                    .map(|key| (*key).to_owned())
            }
            Preset::Needed | Preset::Otherwise(_) => None,
        }
    }

    /// The catalogue with what may be chosen: an array of objects. Values are those of `label` where
    /// a template may ask for it, else those of the label that holds without a choice.
    #[must_use]
    pub fn json(&self, label: Option<&str>) -> Value {
        CATALOGUE.iter().map(|entry| self.entry(entry, label)).collect()
    }

    fn entry(&self, entry: &Entry, wanted: Option<&str>) -> Value {
        let asks = entry.parameters.iter().find(|parameter| parameter.name == "label");
        let label = asks.and_then(|parameter| {
            let there = self.of(entry, parameter, "");
            let wanted = wanted.filter(|wanted| there.iter().any(|own| own == wanted));
            wanted.map(str::to_owned).or_else(|| self.preset(entry, parameter))
        });
        let label = label.unwrap_or_default();
        let one = |parameter: &Parameter| {
            let choices = self.of(entry, parameter, &label);
            let otherwise = match parameter.preset {
                Preset::Otherwise(words) => Some(words),
                Preset::Needed | Preset::Value(_) | Preset::FirstOf(_) => None,
            };
            let preset = self.preset(entry, parameter);
            let needed = preset.is_none() && otherwise.is_none();
            json!({
                "name": parameter.name,
                "asks": parameter.asks.as_str(),
                "many": parameter.many,
                "needed": needed,
                "default": preset,
                "otherwise": otherwise,
                "what": parameter.what,
                "choices": choices.iter().take(OFFERED_MAX).collect::<Vec<_>>(),
                "more": choices.len().saturating_sub(OFFERED_MAX),
            })
        };
        let not_native = entry.not_native.iter();
        json!({
            "name": entry.name,
            "purpose": entry.purpose.as_str(),
            "what": entry.what,
            "makes": entry.makes,
            "parameters": entry.parameters.iter().map(one).collect::<Vec<_>>(),
            "not_native": not_native
                .map(|(what, instead)| json!({"what": what, "instead": instead}))
                .collect::<Vec<_>>(),
        })
    }
}
