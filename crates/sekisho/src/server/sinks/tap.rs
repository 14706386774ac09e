//! Takes the flows that came since from the memory of each cluster, and sums them for a while.

use std::collections::BTreeMap;

use sekisho_api::{SnapshotQuery, Step};
use sekisho_model::{
    ClusterName, EdgeDay, EdgeKey, EdgeStats, Flow, TimeRange, Timestamp, Verdict,
};

use super::settings::{Form, Settings, SinkConfig};
use crate::server::service::ClusterServer;

/// Flows taken in one go.
const TAKEN_MAX: usize = 5_000;
/// Edges that are summed at one time; beyond that they are sent before the time is over.
const EDGES_MAX: usize = 2_000;
/// History that is sent again after a restart reaches so far back before the last that was queued,
/// seconds: agents resend what they could not give for that long.
const AGAIN_S: u64 = 600;

/// What a sink has taken and not yet queued.
#[derive(Debug)]
pub(super) struct Tap {
    config: SinkConfig,
    /// Where each cluster's flows go on.
    cursors: BTreeMap<ClusterName, u64>,
    sums: BTreeMap<EdgeKey, EdgeStats>,
    since: Option<Timestamp>,
    /// Flows that fell out of memory before they were taken.
    missed: u64,
    /// Allowed edges seen, for the sampling.
    allowed: u64,
}

impl Tap {
    /// Begins with what comes from now on.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut config = settings.config.clone();
        if settings.form == Form::Findings && config.verdicts.is_empty() {
            config.verdicts = vec![Verdict::Denied, Verdict::WouldDeny];
        }
        Self {
            config,
            cursors: BTreeMap::new(),
            sums: BTreeMap::new(),
            since: None,
            missed: 0,
            allowed: 0,
        }
    }

    /// Flows that were missed since the start.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Takes what came since from this cluster. The first time these are all that are in memory: what
    /// a server learned before its sinks worked is not passed over.
    pub(super) fn take(&mut self, member: &ClusterServer, now: Timestamp) {
        loop {
            let cursor = self.cursors.entry(member.name().clone()).or_insert(0);
            let page = member.flows(*cursor, TAKEN_MAX);
            self.missed += page.missed;
            *cursor = page.cursor;
            let taken = page.flows.len();
            for flow in page.flows {
                self.add(flow, now);
            }
            if taken < TAKEN_MAX || self.sums.len() >= EDGES_MAX {
                return;
            }
        }
    }

    /// Takes what history holds since shortly before `until`, the last that an earlier run queued.
    pub(super) fn take_again(&mut self, member: &ClusterServer, until: Timestamp, now: Timestamp) {
        let range = TimeRange { from: until.minus_seconds(AGAIN_S), to: Timestamp::MAX };
        let query =
            SnapshotQuery { step: Step::Minute, objects: false, ..SnapshotQuery::of(range) };
        match member.snapshot(&query) {
            Ok(snapshot) => {
                for row in snapshot.rows {
                    self.sum(EdgeKey::clone(&row.key), &row.stats, now);
                }
            }
            // Too long ago for minutes: what was not queued then is missing, and counted as one.
            Err(refusal) => {
                tracing::warn!(%refusal, "what happened before this start is not sent");
                self.missed += 1;
            }
        }
    }

    fn add(&mut self, flow: Flow, now: Timestamp) {
        self.sum(flow.key, &flow.stats, now);
    }

    fn sum(&mut self, key: EdgeKey, stats: &EdgeStats, now: Timestamp) {
        if !self.wants(&key) {
            return;
        }
        self.since.get_or_insert(now);
        match self.sums.get_mut(&key) {
            Some(sum) => sum.add(stats),
            None => {
                self.sums.insert(key, stats.clone());
            }
        }
    }

    fn wants(&self, key: &EdgeKey) -> bool {
        let SinkConfig { verdicts, namespaces, .. } = &self.config;
        let ends = [&key.source, &key.destination];
        let inside = |name: &String| ends.iter().any(|end| end.workload.namespace == *name);
        (verdicts.is_empty() || verdicts.contains(&key.verdict))
            && (namespaces.is_empty() || namespaces.iter().any(inside))
    }

    /// Whether it is time to send.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let interval_s = self.config.interval_s;
        self.sums.len() >= EDGES_MAX
            || self.since.is_some_and(|since| now.seconds_since(since) >= interval_s)
    }

    /// The records of the time that is over.
    pub(super) fn drain(&mut self) -> Vec<EdgeDay> {
        self.since = None;
        let sample = u64::from(self.config.sample.max(1));
        let mut rows = Vec::new();
        for (key, stats) in std::mem::take(&mut self.sums) {
            if key.verdict == Verdict::Allowed {
                self.allowed += 1;
                if !self.allowed.is_multiple_of(sample) {
                    continue;
                }
            }
            let seen = stats.last_seen;
            let hours = 1 << seen.hour_of_day();
            rows.push(EdgeDay { key: key.into(), day: seen.day(), hours, stats });
        }
        rows
    }
}
