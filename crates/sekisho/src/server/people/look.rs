//! Maps: as they are, beside an earlier one, and with a place for each node.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_api::{Account, DatapathMode, MapQuestion, Refusal};
use sekisho_map::{
    Coverage, GlyphState, Grouping, Map, MapNode, MapOptions, Order, Scene, SceneOptions, Top,
    node_id,
};
use sekisho_model::{Direction, Party, PartyKind, TimeRange};
use sekisho_policy::{Endpoint, RuleSet};

use super::answer::json;
use crate::pipeline::{self, History};
use crate::server::fleet::Fleet;
use crate::server::service::ClusterServer;

/// Edges that the first so many are taken of where only an order is given.
const TOP: usize = 1_000_000;

impl Fleet {
    /// The options of a map of `history`.
    pub(super) fn options(
        &self,
        account: &Account,
        of: &MapQuestion,
        history: &History,
    ) -> MapOptions {
        let top = match (of.top, of.order) {
            (None, None) => None,
            (count, order) => Some(Top {
                count: count.unwrap_or(TOP),
                order: order.unwrap_or(Order::Connections),
            }),
        };
        MapOptions {
            grouping: of.grouping.clone(),
            labels: self.labels().told().of_map(history, &of.grouping, &of.within),
            places: Arc::clone(&history.places),
            range: history.window,
            hide_dns: of.hide_dns,
            hide_probes: of.hide_probes,
            hide_scrapes: of.hide_scrapes,
            clusters: history.mixed,
            namespaces: of.namespaces.clone(),
            rules: if of.hide_noise { self.noise_rules(account) } else { Vec::new() },
            within: of.within.clone(),
            top,
        }
    }

    /// The map.
    pub(super) fn map(&self, account: &Account, of: &MapQuestion) -> Result<Map, Refusal> {
        let history = self.seen_all(account, of.cluster.as_ref(), of.range)?;
        Ok(pipeline::build(&history, &self.options(account, of, &history)))
    }

    /// What the map has other than that of an earlier window.
    pub(super) fn compare(
        &self,
        account: &Account,
        of: &MapQuestion,
        earlier: TimeRange,
    ) -> Result<Bytes, Refusal> {
        let after = self.map(account, of)?;
        let before = self.map(account, &MapQuestion { range: earlier, ..of.clone() })?;
        json(&sekisho_map::compare(&before, &after))
    }

    /// The map with a place for each node, and what policies select it.
    pub(super) fn scene(&self, account: &Account, of: &MapQuestion) -> Result<Scene, Refusal> {
        let history = self.seen_all(account, of.cluster.as_ref(), of.range)?;
        let options = self.options(account, of, &history);
        let map = pipeline::build(&history, &options);
        let coverage = match history.mixed {
            // Names mean something in one cluster only.
            true => BTreeMap::new(),
            false => self.coverage(&options, (of, &history), &map)?,
        };
        Ok(sekisho_map::scene(&map, &SceneOptions { coverage, ..SceneOptions::default() }))
    }

    /// What policies select the map's nodes, by id.
    fn coverage(
        &self,
        options: &MapOptions,
        (of, history): (&MapQuestion, &History),
        map: &Map,
    ) -> Result<BTreeMap<String, Coverage>, Refusal> {
        let workload = MapOptions { grouping: Grouping::Workload, ..options.clone() };
        let member = self.pick(of.cluster.as_ref())?;
        let mut found: BTreeMap<String, Coverage> = BTreeMap::new();
        for (endpoint, coverage) in covered(member, history) {
            let party = party(endpoint);
            for options in [options, &workload] {
                let id = node_id(options, member.name(), &party);
                let known = found.entry(id).or_insert(coverage);
                *known = known.weakest(coverage);
            }
        }
        // A process is covered as its workload is.
        let of_node = |node: &MapNode| {
            let id = node.id.split_once("] ").map(|(workload, _)| format!("{workload}]"));
            found.get(id.as_deref().unwrap_or(&node.id)).copied()
        };
        let nodes = map.nodes.iter();
        Ok(nodes.filter_map(|node| Some((node.id.clone(), of_node(node)?))).collect())
    }

    /// Policy state of each workload of the cluster as it is now, by id.
    pub(super) fn workload_states(
        &self,
        of: &MapQuestion,
        history: &History,
    ) -> Result<BTreeMap<String, GlyphState>, Refusal> {
        let member = self.pick(of.cluster.as_ref())?;
        let mut found = BTreeMap::new();
        for (endpoint, Coverage { state, .. }) in covered(member, history) {
            // Pods of a workload may differ in labels: it is as open as the most open of them.
            let known = found.entry(endpoint.workload.to_string()).or_insert(state);
            *known = state.min(*known);
        }
        Ok(found)
    }
}

/// The endpoints of a cluster as it is now that policies may select, with those that do.
pub(super) fn covered<'a>(
    member: &ClusterServer,
    history: &'a History,
) -> impl Iterator<Item = (&'a Endpoint, Coverage)> {
    let staged = member.core().revisions.rules(DatapathMode::Audit);
    let cluster = &history.cluster;
    cluster.endpoints.iter().filter(|endpoint| !endpoint.host_network).map(move |endpoint| {
        let directions = |rules: &RuleSet| -> Vec<Direction> {
            rules.selecting(cluster, endpoint).into_iter().flat_map(|(_, all)| all).collect()
        };
        let (enforced, staged) = (directions(&history.current), directions(&staged));
        let of = |direction| match () {
            () if enforced.contains(&direction) => GlyphState::Enforced,
            () if staged.contains(&direction) => GlyphState::Staged,
            () => GlyphState::NoPolicy,
        };
        let (ingress, egress) = (of(Direction::Ingress), of(Direction::Egress));
        (endpoint, Coverage { state: ingress.max(egress), ingress, egress })
    })
}

/// The party that an endpoint is when it speaks.
fn party(endpoint: &Endpoint) -> Party {
    let pod = match endpoint.kind {
        PartyKind::Pod => endpoint.name.clone(),
        _other => String::new(),
    };
    Party {
        kind: endpoint.kind,
        workload: endpoint.workload.clone(),
        pod,
        labels: endpoint.labels.clone(),
        address: None,
        dns_name: None,
    }
}
