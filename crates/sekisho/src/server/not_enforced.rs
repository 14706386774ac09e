//! Flows that policies deny and the kernel let pass: what a plugin that enforces nothing looks like.
//!
//! Judged by the replay itself, so that every doubt it knows (a guessed direction, an address of
//! nobody) speaks for the plugin. Only connections count that both ends saw, and that began when
//! the policies had been there for a while: plugins need a moment, and what was open before may
//! stay open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_api::Contradiction;
use sekisho_model::{
    Completeness, EdgeDay, EdgeKey, EdgeStats, Flow, Protocol, TimeRange, Timestamp, Verdict,
};
use sekisho_policy::{Cluster, RuleSet};
use sekisho_verify::{Limits, Request, UNCHANGED_ALL};

/// Edges that wait to be judged.
const PENDING_MAX: usize = 4_096;
/// Contradictions held; the oldest goes first.
const FOUND_MAX: usize = 256;
/// A contradiction is told for so long after its last connection, seconds.
const TOLD_S: u64 = 900;
/// Seconds between two judgements.
const JUDGE_S: u64 = 5;
/// Edges remembered as allowed, so that they are judged once per state of policies and cluster.
const FINE_MAX: usize = 16_384;

/// Which flows count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Both ends saw the connection: packets did pass.
    BothEnds,
    /// One end is enough: for what would be denied.
    OneEnd,
}

/// Collects flows and judges them by a set of policies.
#[derive(Debug)]
pub(crate) struct Contradictions {
    proof: Proof,
    pending: BTreeMap<EdgeKey, Pending>,
    /// Edges that are allowed in the state below.
    fine: BTreeSet<EdgeKey>,
    /// Since when the policies are what they are, and the generation of the cluster.
    state: (Timestamp, u64),
    found: BTreeMap<Name, Contradiction>,
    /// Connections that contradict, since the start.
    pub(crate) total: u64,
    /// Flows that were not judged because too many waited.
    pub(crate) unjudged: u64,
    judged: Timestamp,
}

#[derive(Debug)]
struct Pending {
    stats: EdgeStats,
    opened: Timestamp,
    ends: (SocketAddr, SocketAddr),
}

/// Source, destination, protocol, port.
type Name = (String, String, Protocol, u16);

impl Contradictions {
    pub(crate) fn new(proof: Proof) -> Self {
        Self {
            proof,
            pending: BTreeMap::new(),
            fine: BTreeSet::new(),
            state: (Timestamp::EPOCH, 0),
            found: BTreeMap::new(),
            total: 0,
            unjudged: 0,
            judged: Timestamp::EPOCH,
        }
    }

    /// Takes flows, to be judged later.
    pub(crate) fn take(&mut self, flows: &[Flow]) {
        for flow in flows {
            if !self.counts(flow) || self.fine.contains(&flow.key) {
                continue;
            }
            if let Some(known) = self.pending.get_mut(&flow.key) {
                known.stats.add(&flow.stats);
                // The earliest decides: an old connection must not count as a new one.
                known.opened = known.opened.min(flow.opened);
            } else if self.pending.len() < PENDING_MAX {
                let ends = (flow.source, flow.destination);
                let pending = Pending { stats: flow.stats.clone(), opened: flow.opened, ends };
                self.pending.insert(flow.key.clone(), pending);
            } else {
                self.unjudged = self.unjudged.saturating_add(1);
            }
        }
    }

    fn counts(&self, flow: &Flow) -> bool {
        let passed = match flow.key.verdict {
            Verdict::Allowed => true,
            Verdict::WouldDeny | Verdict::Denied | Verdict::Unknown => false,
        };
        let reporters = flow.stats.reporters;
        let seen = match self.proof {
            Proof::BothEnds => reporters.source && reporters.destination,
            Proof::OneEnd => true,
        };
        // Later records of a long connection say nothing new: its beginning was judged.
        let began = flow.stats.connections > 0;
        // Refused by the peer itself: no proof that a policy let it pass, a reject looks the same.
        let answered = flow.stats.resets < flow.stats.connections || flow.stats.bytes_received > 0;
        passed && seen && began && answered
    }

    /// Whether it is time to judge, and there is something to be judged.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let waits = !(self.pending.is_empty() && self.found.is_empty());
        waits && now.seconds_since(self.judged) >= JUDGE_S
    }

    /// Judges what waits by `rules`, that are in force since `since` in a cluster of `generation`.
    pub(crate) fn judge(
        &mut self,
        (rules, since): (&RuleSet, Timestamp),
        (cluster, generation): (&Cluster, u64),
        now: Timestamp,
    ) {
        self.judged = now;
        self.found.retain(|_, one| now.seconds_since(one.last_seen) < TOLD_S);
        if self.state != (since, generation) {
            self.state = (since, generation);
            self.fine.clear();
        }
        let waits = std::mem::take(&mut self.pending);
        let waits: BTreeMap<EdgeKey, Pending> =
            waits.into_iter().filter(|(_, one)| one.opened >= since).collect();
        if waits.is_empty() {
            return;
        }
        let rows: Vec<EdgeDay> = waits.iter().map(row).collect();
        let answer = sekisho_verify::what_if(&Request {
            current: rules,
            proposed: rules,
            cluster,
            history: &rows,
            window: TimeRange { from: since, to: now },
            completeness: &Completeness { ratio: 1.0, produced: 0, dropped: 0, gaps: Vec::new() },
            accepted: &[],
            limits: Limits::ANY,
            unchanged_max: UNCHANGED_ALL,
        });
        let mut samples: BTreeMap<Name, (EdgeKey, Pending)> =
            waits.into_iter().map(|(key, one)| (name(&key), (key, one))).collect();
        for edge in answer.report.edges.iter().filter(|edge| edge.after == "denied") {
            let name = (edge.source.clone(), edge.destination.clone(), edge.protocol, edge.port);
            let Some((key, one)) = samples.remove(&name) else { continue };
            self.total = self.total.saturating_add(edge.connections);
            let found = Contradiction {
                source: edge.source.clone(),
                destination: edge.destination.clone(),
                protocol: edge.protocol,
                port: edge.port,
                denied_by: edge.decided_by.clone(),
                reason: edge.reason.clone(),
                nodes: nodes(&key, cluster),
                example: format!("{} -> {}", one.ends.0, one.ends.1),
                connections: edge.connections,
                first_seen: edge.first_seen,
                last_seen: edge.last_seen,
            };
            self.add(name, found);
        }
        if self.fine.len() >= FINE_MAX {
            self.fine.clear();
        }
        // Whole names were taken out above: of an edge with one denied pod none counts as fine.
        let denied: BTreeSet<Name> = self.found.keys().cloned().collect();
        let fine = samples.into_values().map(|(key, _)| key);
        self.fine.extend(fine.filter(|key| !denied.contains(&name(key))).take(FINE_MAX));
    }

    /// Nothing is in force: what was found is no contradiction any more.
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.fine.clear();
        self.found.clear();
    }

    fn add(&mut self, name: Name, found: Contradiction) {
        if let Some(known) = self.found.get_mut(&name) {
            let connections = known.connections.saturating_add(found.connections);
            let first_seen = known.first_seen.min(found.first_seen);
            *known = Contradiction { connections, first_seen, ..found };
            return;
        }
        if self.found.len() >= FOUND_MAX {
            let oldest = self.found.iter().min_by_key(|(_, one)| one.last_seen);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.found.remove(&name);
            }
        }
        self.found.insert(name, found);
    }

    /// What was found of late, by name.
    pub(crate) fn found(&self) -> Vec<Contradiction> {
        self.found.values().cloned().collect()
    }
}

fn name(key: &EdgeKey) -> Name {
    (key.source.id(), key.destination.id(), key.protocol, key.port)
}

fn row((key, waits): (&EdgeKey, &Pending)) -> EdgeDay {
    let first = waits.stats.first_seen;
    let (key, hours) = (Arc::new(key.clone()), 1 << first.hour_of_day());
    EdgeDay { key, day: first.day(), hours, stats: waits.stats.clone() }
}

/// The nodes of both ends, where known.
fn nodes(key: &EdgeKey, cluster: &Cluster) -> Vec<String> {
    let node = |party: &sekisho_model::Party| {
        let pod = cluster.endpoint_of_pod(&party.workload.namespace, &party.pod)?;
        pod.node.clone()
    };
    let mut nodes: Vec<String> =
        [&key.source, &key.destination].into_iter().filter_map(|party| node(party)).collect();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use sekisho_model::Reporters;

    use super::*;
    use crate::samples::edge;

    const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
";

    fn rules() -> RuleSet {
        let objects = sekisho_manifest::parse("p", POLICY).unwrap();
        RuleSet::from_objects(&objects, Default::default())
    }

    fn flow(from: &str, port: u16, opened: u64) -> Flow {
        let time = Timestamp::from_seconds(opened);
        Flow {
            key: edge((from, 1), ("db", 2), port),
            source: ([10, 0, 0, 1], 40_000).into(),
            destination: ([10, 0, 0, 2], port).into(),
            opened: time,
            stats: EdgeStats {
                connections: 1,
                bytes_received: 5,
                first_seen: time,
                last_seen: time,
                reporters: Reporters { source: true, destination: true, datapath: false },
                ..EdgeStats::default()
            },
        }
    }

    /// What is found of `flows` under a policy that is in force since second 100.
    fn found(proof: Proof, flows: &[Flow]) -> Vec<Contradiction> {
        let mut judge = Contradictions::new(proof);
        judge.take(flows);
        let since = Timestamp::from_seconds(100);
        let now = Timestamp::from_seconds(300);
        judge.judge((&rules(), since), (&Cluster::default(), 1), now);
        judge.found()
    }

    #[test]
    fn a_connection_that_a_policy_denies_is_found_with_its_evidence() {
        let all = found(Proof::BothEnds, &[flow("mallory", 5432, 200)]);
        assert_eq!(all.len(), 1);
        let one = &all[0];
        assert_eq!(one.source, "shop/mallory[Pod]");
        assert_eq!(one.example, "10.0.0.1:40000 -> 10.0.0.2:5432");
        assert_eq!(one.denied_by.as_ref().unwrap().policy, "shop/db");
    }

    #[test]
    fn what_a_policy_allows_is_not_found() {
        assert!(found(Proof::BothEnds, &[flow("web", 5432, 200)]).is_empty());
    }

    #[test]
    fn what_began_before_the_policy_or_was_seen_at_one_end_or_refused_proves_nothing() {
        let early = flow("mallory", 5432, 99);
        assert!(found(Proof::BothEnds, &[early]).is_empty());
        let mut one_end = flow("mallory", 5432, 200);
        one_end.stats.reporters.destination = false;
        assert!(found(Proof::BothEnds, std::slice::from_ref(&one_end)).is_empty());
        assert_eq!(found(Proof::OneEnd, &[one_end]).len(), 1, "enough for what is only staged");
        let mut refused = flow("mallory", 5432, 200);
        (refused.stats.resets, refused.stats.bytes_received) = (1, 0);
        assert!(found(Proof::BothEnds, &[refused]).is_empty());
        let mut later = flow("mallory", 5432, 200);
        later.stats.connections = 0;
        assert!(found(Proof::BothEnds, &[later]).is_empty());
        let mut denied = flow("mallory", 5432, 200);
        denied.key.verdict = Verdict::Denied;
        assert!(found(Proof::BothEnds, &[denied]).is_empty());
    }

    #[test]
    fn what_was_found_is_forgotten_after_a_while_and_its_count_is_not() {
        let mut judge = Contradictions::new(Proof::BothEnds);
        let since = Timestamp::from_seconds(100);
        judge.take(&[flow("mallory", 5432, 200), flow("web", 5432, 200)]);
        let cluster = Cluster::default();
        judge.judge((&rules(), since), (&cluster, 1), Timestamp::from_seconds(300));
        assert_eq!((judge.found().len(), judge.total), (1, 1));
        judge.judge((&rules(), since), (&cluster, 1), Timestamp::from_seconds(200 + TOLD_S));
        assert_eq!((judge.found().len(), judge.total), (0, 1));
    }

    #[test]
    fn a_flood_of_edges_is_bounded_and_counted() {
        let mut judge = Contradictions::new(Proof::BothEnds);
        let flood: Vec<Flow> = (1..=5_000).map(|port| flow("mallory", port, 200)).collect();
        judge.take(&flood);
        assert_eq!(judge.unjudged, 5_000 - PENDING_MAX as u64);
        let since = Timestamp::from_seconds(100);
        judge.judge((&rules(), since), (&Cluster::default(), 1), Timestamp::from_seconds(300));
        assert_eq!(judge.found().len(), FOUND_MAX);
        assert_eq!(judge.total, PENDING_MAX as u64);
    }
}
