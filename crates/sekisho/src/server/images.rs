//! Notices that workloads run another image than when the policies in force were verified, and
//! verifies these again with what the new image did.

use std::collections::BTreeSet;
use std::sync::Arc;

use sekisho_api::{ImageChange, ImageReview, Status, VerifiedImages, WorkloadImages};
use sekisho_manifest::{Object, PodPhase};
use sekisho_model::{TimeRange, Timestamp};
use sekisho_policy::{Cluster, RuleSet};

use super::core::Core;
use super::metrics::Text;
use super::service::ClusterServer;
use crate::images::{changes, known_edges, note, note_seen, verify_again};
use crate::pipeline::History;

/// Between two looks, seconds.
pub(crate) const LOOK_S: u64 = 10;
/// Between two replays while the same images are new, seconds.
const REPLAY_S: u64 = 30;
/// How much of the past is replayed at most, seconds.
const REPLAYED_S: u64 = 24 * 60 * 60;
/// Names of edges told.
const EDGES_MAX: usize = 10;

/// What was found at the last look.
#[derive(Debug, Default)]
pub(crate) struct Reviewed {
    report: Option<ImageReview>,
    /// Edges of the changed workloads before; reading them takes the whole history.
    known: BTreeSet<String>,
}

impl Reviewed {
    /// For `sekisho status`.
    pub(crate) fn status(&self) -> Option<ImageReview> {
        self.report.clone()
    }

    /// Whether the last replay was of the same, and lately.
    fn is_fresh(&self, revision: u64, changes: &[ImageChange], time: Timestamp) -> bool {
        self.is_of(revision, changes)
            && self.report.as_ref().is_some_and(|last| time.seconds_since(last.checked) < REPLAY_S)
    }

    fn is_of(&self, revision: u64, changes: &[ImageChange]) -> bool {
        let since = |all: &[ImageChange]| -> Vec<(String, Timestamp)> {
            all.iter().map(|one| (one.workload.clone(), one.since)).collect()
        };
        self.report
            .as_ref()
            .is_some_and(|last| last.revision == revision && since(&last.changes) == since(changes))
    }
}

impl Core {
    /// The images of what `rules` select: those that ran at the end of this history. Of a workload
    /// that had no running pod then (a CronJob between two runs, a pod that starts just now), those
    /// that the history saw talk; without any, those that run or start now.
    pub(crate) fn images(&self, history: &History, rules: &RuleSet) -> Vec<WorkloadImages> {
        let noted = |objects: &[Arc<Object>], cluster: &Cluster, phase: PodPhase| {
            note((objects.iter().map(AsRef::as_ref), phase), cluster, rules)
        };
        let then = self.inventory.shared_at(history.window.to);
        let now = self.inventory.shared_now();
        let mut images: Vec<WorkloadImages> = Vec::new();
        for source in [
            noted(&then, &history.cluster, PodPhase::Running),
            note_seen(&history.rows, &history.cluster, rules),
            noted(&now, &self.cluster, PodPhase::Running),
            noted(&now, &self.cluster, PodPhase::Pending),
        ] {
            let is_new = |one: &WorkloadImages| images.iter().all(|of| of.workload != one.workload);
            let fresh: Vec<WorkloadImages> = source.into_iter().filter(is_new).collect();
            images.extend(fresh);
        }
        images.sort_unstable_by(|one, other| one.workload.cmp(&other.workload));
        images
    }
}

impl ClusterServer {
    /// Looks whether images changed, and replays what the new ones did.
    pub(crate) fn review_images(&self, time: Timestamp) {
        let found = {
            let core = self.core();
            // Half a cluster has half its images.
            if core.feed.is_listing() {
                return;
            }
            core.revisions.in_force().map(|revision| {
                let objects = core.inventory.shared_now();
                let images = revision.images.clone();
                let verified = VerifiedImages { revision: revision.revision, images };
                let objects = objects.iter().map(AsRef::as_ref);
                (revision.clone(), changes(&verified, objects, &core.cluster))
            })
        };
        let Some((revision, changes)) = found else {
            *self.reviewed() = Reviewed::default();
            return;
        };
        let (Some(record), Some(first), Some(last)) = (
            &revision.record,
            changes.iter().map(|change| change.since).min(),
            changes.iter().map(|change| change.since).max(),
        ) else {
            *self.reviewed() = Reviewed {
                report: Some(all_as_was(revision.revision, time)),
                ..Reviewed::default()
            };
            return;
        };
        let (is_fresh, known) = {
            let reviewed = self.reviewed();
            let known = reviewed.is_of(revision.revision, &changes).then(|| reviewed.known.clone());
            (reviewed.is_fresh(revision.revision, &changes, time), known)
        };
        if is_fresh {
            return;
        }
        let known = known.map_or_else(
            || {
                let range = TimeRange { from: record.window.from, to: last };
                self.history(range).map(|history| known_edges(&history.rows, &changes))
            },
            Ok,
        );
        let from = first.max(time.minus_seconds(REPLAYED_S));
        let since = self.history(TimeRange { from, to: Timestamp::MAX });
        let (known, since) = match (known, since) {
            (Ok(known), Ok(since)) => (known, since),
            // Status tells of a history that can't be read; the next look tries again.
            (Err(_refusal), _) | (_, Err(_refusal)) => return,
        };
        let again = verify_again(&since, &changes, &record.rules(), (&known, &record.accepted));
        let report = ImageReview {
            revision: revision.revision,
            checked: time,
            changes,
            would_block: again.blocked.len() as u64,
            new_edges: again.new.len() as u64,
            blocked: again.blocked.into_iter().take(EDGES_MAX).collect(),
        };
        *self.reviewed() = Reviewed { report: Some(report), known };
    }
}

fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

fn all_as_was(revision: u64, checked: Timestamp) -> ImageReview {
    ImageReview {
        revision,
        checked,
        changes: Vec::new(),
        would_block: 0,
        new_edges: 0,
        blocked: Vec::new(),
    }
}

/// The figures that an alert can be made of.
pub(crate) fn metrics(text: &mut Text, status: &Status) {
    let Some(review) = &status.images else { return };
    let help = "Workloads that run an image with which the policies were not verified.";
    text.single("sekisho_new_image_workloads", "gauge", help, review.changes.len());
    let help = "Edges of these that the policies deny.";
    text.single("sekisho_new_image_denied_edges", "gauge", help, review.would_block);
}

/// What is to be done, for the problems of `sekisho status`: only if policies deny what a new image
/// does.
pub(crate) fn problem(review: &ImageReview) -> Option<String> {
    let workloads: Vec<&str> = review.changes.iter().map(|one| one.workload.as_str()).collect();
    (review.would_block > 0).then(|| {
        format!(
            "revision {} denies {} that new images ask for ({}): {}; `sekisho recommend --amend DIR` \
             says what the policies lack",
            review.revision,
            count(review.would_block, "edge"),
            workloads.join(", "),
            review.blocked.join("; "),
        )
    })
}
