//! Maps: as they are, beside an earlier one, and with a place for each node.

use std::collections::BTreeMap;

use bytes::Bytes;
use sekisho_api::{Account, DatapathMode, MapQuestion, Refusal};
use sekisho_map::{GlyphState, Grouping, Map, MapOptions, Order, Scene, SceneOptions, Top};
use sekisho_model::{PartyKind, TimeRange};

use super::answer::json;
use crate::pipeline::{self, History};
use crate::server::fleet::Fleet;

/// Edges that the first so many are taken of where only an order is given.
const TOP: usize = 1_000_000;

/// The options of a map of `history`.
pub(super) fn options(of: &MapQuestion, history: &History) -> MapOptions {
    let top = match (of.top, of.order) {
        (None, None) => None,
        (count, order) => {
            Some(Top { count: count.unwrap_or(TOP), order: order.unwrap_or(Order::Connections) })
        }
    };
    MapOptions {
        grouping: of.grouping,
        range: history.window,
        hide_dns: of.hide_dns,
        hide_probes: of.hide_probes,
        clusters: history.mixed,
        namespaces: of.namespaces.clone(),
        top,
    }
}

impl Fleet {
    /// The map.
    pub(super) fn map(&self, account: &Account, of: &MapQuestion) -> Result<Map, Refusal> {
        let history = self.seen_all(account, of.cluster.as_ref(), of.range)?;
        Ok(pipeline::build(&history, &options(of, &history)))
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
        let map = pipeline::build(&history, &options(of, &history));
        let states = match history.mixed {
            // Names mean something in one cluster only.
            true => BTreeMap::new(),
            false => self.states(of, &history, &map)?,
        };
        Ok(sekisho_map::scene(&map, &SceneOptions { states, ..SceneOptions::default() }))
    }

    /// Policy state of the map's nodes, by id.
    fn states(
        &self,
        of: &MapQuestion,
        history: &History,
        map: &Map,
    ) -> Result<BTreeMap<String, GlyphState>, Refusal> {
        let by_workload = self.workload_states(of, history)?;
        let state = |id: &str, namespace: &str, party: PartyKind| match (of.grouping, party) {
            (_, PartyKind::External) => Some(GlyphState::External),
            (Grouping::Workload, _) => by_workload.get(id).copied(),
            // The weakest of what is behind it: a namespace is as open as its most open workload.
            (Grouping::Namespace, _) => {
                let inside = by_workload.iter().filter(|(own, _)| {
                    own.split_once('/').is_some_and(|(own, _)| own == namespace)
                });
                inside.map(|(_, state)| *state).min()
            }
            (Grouping::Pod | Grouping::Process, _) => None,
        };
        let found = map.nodes.iter().filter_map(|node| {
            Some((node.id.clone(), state(&node.id, &node.namespace, node.party)?))
        });
        Ok(found.collect())
    }

    /// Policy state of each workload of the cluster as it is now, by id.
    pub(super) fn workload_states(
        &self,
        of: &MapQuestion,
        history: &History,
    ) -> Result<BTreeMap<String, GlyphState>, Refusal> {
        let member = self.pick(of.cluster.as_ref())?;
        let staged = member.core().revisions.rules(DatapathMode::Audit);
        let mut found = BTreeMap::new();
        let cluster = &history.cluster;
        for endpoint in cluster.endpoints.iter().filter(|endpoint| !endpoint.host_network) {
            let state = if history.current.selects(cluster, endpoint) {
                GlyphState::Enforced
            } else if staged.selects(cluster, endpoint) {
                GlyphState::Staged
            } else {
                GlyphState::NoPolicy
            };
            // Pods of a workload may differ in labels: it is as open as the most open of them.
            let known = found.entry(endpoint.workload.to_string()).or_insert(state);
            *known = state.min(*known);
        }
        Ok(found)
    }
}
