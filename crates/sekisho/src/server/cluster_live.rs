//! The live cluster: carries what its watch tells into the inventory and the copy.

use sekisho_api::{ClusterStatus, KindFigures};
use sekisho_inventory::Inventory;
use sekisho_inventory::watch::{DELTAS_MAX, Intake, KindState, Watch};
use sekisho_model::Timestamp;

use super::cluster_copy::JournalCopy;

/// Between two tries to write the copy anew, seconds.
const REWRITE_PAUSE_S: u64 = 10;
/// How long agents wait for the first list, seconds: flows that come before it would be named by
/// what an earlier run knew, or not at all.
const LIST_WAIT_S: u64 = 30;

/// A cluster that is watched.
pub(crate) struct LiveCluster {
    watch: Watch,
    intake: Intake,
    since: Timestamp,
    /// How long the oldest delta of the last second waited, milliseconds.
    lag_ms: u64,
    measured: Timestamp,
    rewritten: Timestamp,
}

impl LiveCluster {
    pub(crate) fn new(watch: Watch, now: Timestamp) -> Self {
        let (intake, lag_ms) = (Intake::default(), 0);
        Self { watch, intake, since: now, lag_ms, measured: now, rewritten: now }
    }

    /// Takes what was told since the last call.
    pub(crate) fn read(
        &mut self,
        inventory: &mut Inventory,
        copy: &mut JournalCopy,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        inventory.set_ahead_ms(self.watch.status().ahead_ms());
        if now.seconds_since(self.measured) >= 1 {
            (self.lag_ms, self.measured) = (0, now);
        }
        let mut lines = Vec::new();
        // What comes meanwhile is for the next call: others wait for the inventory, too.
        for _ in 0..DELTAS_MAX {
            let Some(delta) = self.watch.try_next() else { break };
            self.intake.take(inventory, delta, &mut lines);
            let waited_ms = now.nanos_since(self.intake.heard()) / 1_000_000;
            self.lag_ms = self.lag_ms.max(waited_ms);
        }
        let kept = copy.keep(&lines);
        if copy.is_overgrown() && now.seconds_since(self.rewritten) >= REWRITE_PAUSE_S {
            self.rewritten = now;
            return copy.rewrite(inventory);
        }
        kept
    }

    /// Whether the first list is under way: what is known may be a part of the cluster only.
    pub(crate) fn is_listing(&self) -> bool {
        !self.watch.status().is_synced() || self.watch.waiting() >= DELTAS_MAX
    }

    /// Whether agents should wait before they report.
    pub(crate) fn holds_agents(&self, now: Timestamp) -> bool {
        self.is_listing() && now.seconds_since(self.since) < LIST_WAIT_S
    }

    /// What is wrong, each with what to do.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.watch.status().read().problems();
        if self.is_listing() {
            problems.push(
                "the cluster is being listed: nodes keep the orders they have until that is done"
                    .to_owned(),
            );
        }
        problems
    }

    pub(crate) fn status(&self, copy: &JournalCopy) -> ClusterStatus {
        let status = self.watch.status().read();
        let kinds = status.kinds.into_iter().map(|kind| {
            let (state, reason) = match &kind.state {
                KindState::Listing => ("listing", String::new()),
                KindState::Following => ("following", String::new()),
                KindState::Denied { .. } => ("denied", kind.problem().unwrap_or_default()),
                KindState::Failing => ("failing", kind.problem().unwrap_or_default()),
            };
            KindFigures {
                kind: kind.kind,
                group: kind.group,
                version: kind.version,
                resource: kind.resource,
                state: state.to_owned(),
                since: kind.since,
                synced: kind.listed,
                objects: kind.objects as u64,
                events: kind.events,
                lists: kind.lists,
                unreadable: kind.unreadable as u64,
                errors: kind.errors,
                error: kind.error,
                reason,
            }
        });
        ClusterStatus {
            server: status.server,
            version: status.version,
            synced: status.synced,
            away_since: status.away_since,
            ahead_ms: status.ahead_ms,
            waiting: self.watch.waiting() as u64,
            lag_ms: self.lag_ms,
            copy_bytes: copy.length(),
            kinds: kinds.collect(),
        }
    }
}
