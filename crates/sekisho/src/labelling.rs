//! From history and what people told to what assets are called: the same code for the server and for
//! a folder on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use sekisho_labels::{Asset, Assigned, LabelState, Labelling, Rules, assign, read_rules};
use sekisho_map::{Grouping, Within};
use sekisho_model::{
    ClusterName, EdgeDay, Labels, Party, PartyKind, Protocol, Verdict, WorkloadRef,
};
use sekisho_policy::{Cluster, Endpoint};

use crate::pipeline::History;

/// File of what people told, in the data folder.
const NAME: &str = "labels.json";
/// Ports of one asset that are kept: who answers on all of them says nothing by it.
const PORTS_MAX: usize = 1_024;

/// What people told, with its rules read.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) state: LabelState,
    pub(crate) rules: Rules,
}

/// Where a data folder keeps what people told.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

impl Told {
    /// Reads the rules of `state`; `environment` is the key of the label that tells environments.
    pub(crate) fn of(state: LabelState, environment: &str) -> anyhow::Result<Self> {
        match read_rules(&state.rules, environment) {
            Ok(rules) => Ok(Self { state, rules }),
            Err(errors) => {
                let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
                bail!("the rules of labels: {}", words.join("; "))
            }
        }
    }

    /// Reads what the data folder `folder` keeps; without a file nobody told anything.
    pub(crate) fn open(folder: &Path, environment: &str) -> anyhow::Result<Self> {
        let path = path_in(folder);
        let state = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("labels in `{}`", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => LabelState::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("read `{}`", path.display()));
            }
        };
        Self::of(state, environment).with_context(|| format!("labels in `{}`", path.display()))
    }

    /// What assets are called.
    pub(crate) fn labelling(&self, assets: &[Asset]) -> Labelling {
        Labelling::new(self.rules.clone(), assign(assets, &self.rules, &self.state))
    }

    /// What a map of `history` asks for: nothing is looked up that its groupings don't need.
    pub(crate) fn of_map(
        &self,
        history: &History,
        grouping: &Grouping,
        within: &[Within],
    ) -> Arc<Labelling> {
        let asks = grouping.asks_for_values()
            || within.iter().any(|within| within.grouping().asks_for_values());
        match asks {
            true => Arc::new(self.labelling(&assets(history))),
            false => Arc::new(Labelling::new(self.rules.clone(), Assigned::new())),
        }
    }
}

/// All assets that the clusters of `history` have, or that took part in it, by cluster and workload.
pub(crate) fn assets(history: &History) -> Vec<Asset> {
    let mut found = Found::default();
    match history.mixed {
        false => found.add_cluster(&history.name, &history.cluster),
        true => {
            for (name, objects) in &history.several {
                let objects: Vec<_> = objects.iter().map(AsRef::as_ref).collect();
                found.add_cluster(name, &Cluster::from_shared(&objects));
            }
        }
    }
    found.add_history(&history.rows);
    found.0.into_values().collect()
}

#[derive(Default)]
struct Found(BTreeMap<(ClusterName, WorkloadRef), Asset>);

impl Found {
    fn add_cluster(&mut self, name: &ClusterName, cluster: &Cluster) {
        let mut owned: BTreeMap<&WorkloadRef, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in &cluster.endpoints {
            owned.entry(&endpoint.workload).or_default().push(endpoint);
        }
        for (workload, endpoints) in owned {
            self.put(of_endpoints((name, cluster), workload, &endpoints));
        }
        for (node, addresses) in &cluster.nodes {
            let (namespace, kind) = (String::new(), "Node".to_owned());
            let workload = WorkloadRef { namespace, name: node.clone(), kind };
            let mut asset = Asset::new(name.clone(), workload, PartyKind::Node);
            addresses.iter().for_each(|address| asset.add_address(*address));
            asset.labels = cluster.node_labels.get(node).cloned().unwrap_or_default();
            asset.present = true;
            self.put(asset);
        }
    }

    fn put(&mut self, asset: Asset) {
        self.0.insert((asset.cluster.clone(), asset.workload.clone()), asset);
    }

    /// Who took part in history: externals, what is gone, and the ports that were answered on.
    fn add_history(&mut self, rows: &[EdgeDay]) {
        for row in rows {
            let key = &row.key;
            for party in [&key.source, &key.destination] {
                self.meet(&key.cluster, party);
            }
            let answered = row.stats.connections > row.stats.resets;
            let is_listener = key.protocol == Protocol::Tcp && key.verdict == Verdict::Allowed;
            if !answered || !is_listener || key.direction_inferred {
                continue;
            }
            let place = (key.cluster.clone(), key.destination.workload.clone());
            if let Some(asset) = self.0.get_mut(&place)
                && asset.ports.len() < PORTS_MAX
            {
                asset.ports.insert(key.port);
            }
        }
    }

    fn meet(&mut self, cluster: &ClusterName, party: &Party) {
        match party.kind {
            PartyKind::Pod | PartyKind::Host | PartyKind::Node | PartyKind::External => {}
            PartyKind::Service | PartyKind::Unknown => return,
        }
        let place = (cluster.clone(), party.workload.clone());
        let asset = self.0.entry(place).or_insert_with(|| {
            let mut asset = Asset::new(cluster.clone(), party.workload.clone(), party.kind);
            asset.labels = party.labels.clone();
            asset
        });
        asset.seen = true;
        // What is there now has the addresses of now; a name on the Internet has all it was seen at.
        if !asset.present
            && let Some(address) = party.address
        {
            asset.add_address(address);
        }
    }
}

fn of_endpoints(
    (name, cluster): (&ClusterName, &Cluster),
    workload: &WorkloadRef,
    endpoints: &[&Endpoint],
) -> Asset {
    let kind = endpoints.first().map_or(PartyKind::Pod, |endpoint| endpoint.kind);
    let mut asset = Asset::new(name.clone(), workload.clone(), kind);
    for endpoint in endpoints {
        if !endpoint.host_network {
            endpoint.addresses.iter().for_each(|address| asset.add_address(*address));
        }
        asset.ports.extend(endpoint.ports.iter().map(|port| port.port));
    }
    asset.labels = common(endpoints.iter().map(|endpoint| &endpoint.labels));
    let nodes: BTreeSet<&str> =
        endpoints.iter().filter_map(|endpoint| endpoint.node.as_deref()).collect();
    let none = Labels::new();
    asset.node_labels =
        common(nodes.into_iter().map(|node| cluster.node_labels.get(node).unwrap_or(&none)));
    if !workload.namespace.is_empty() {
        asset.namespace_labels = cluster.namespace_labels(&workload.namespace);
    }
    asset.present = true;
    asset
}

/// The labels that all have.
fn common<'a>(mut all: impl Iterator<Item = &'a Labels>) -> Labels {
    let mut labels = all.next().cloned().unwrap_or_default();
    for other in all {
        labels.retain(|name, value| other.get(name) == Some(value));
    }
    labels
}
