//! What a period brought: edges, revisions of policies, images, and calls.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_api::{AuditEntry, DatapathMode, Outcome};
use sekisho_manifest::Object;
use sekisho_map::{Changed, MapDiff, MapEdge};
use sekisho_model::Timestamp;
use sekisho_policy::Cluster;
use serde::{Deserialize, Serialize};

use super::Report;
use super::connectivity::{COLUMNS, EdgeLine, cells, line};
use super::sheet::{Cell, Sheet};
use super::words::W;

/// Edges of each kind that are told one by one.
const EDGES_MAX: usize = 5_000;
/// Workloads whose images are told.
const IMAGES_MAX: usize = 5_000;

/// The data of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Edges that were not seen in the period before.
    pub(crate) new: Vec<EdgeLine>,
    pub(crate) new_total: u64,
    /// Edges that were seen in the period before only.
    pub(crate) gone: Vec<EdgeLine>,
    pub(crate) gone_total: u64,
    /// Edges that were decided otherwise in the period before, as they are now.
    pub(crate) changed: Vec<EdgeLine>,
    pub(crate) changed_total: u64,
    /// None = they are not for who asks.
    pub(crate) revisions: Option<Vec<RevisionLine>>,
    /// Workloads that came, went, or run another image.
    pub(crate) images: Vec<Images>,
    pub(crate) images_total: u64,
    /// Oldest first; None = they are not for who asks.
    pub(crate) calls: Option<Vec<AuditEntry>>,
    /// Calls there are, told or not.
    pub(crate) calls_total: u64,
}

/// A revision of policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevisionLine {
    pub(crate) revision: u64,
    pub(crate) time: Timestamp,
    pub(crate) mode: DatapathMode,
    pub(crate) operator: String,
    pub(crate) restores: Option<u64>,
    pub(crate) policies: u64,
}

/// The images of a workload's pods at both ends of the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Images {
    pub(crate) workload: String,
    /// Empty = it had no pod.
    pub(crate) before: Vec<String>,
    /// Empty = it has no pod.
    pub(crate) after: Vec<String>,
}

impl Images {
    /// Workloads whose images differ, sorted. `is_asked` takes a namespace.
    pub(crate) fn changed(
        (before, after): (&[Object], &[Object]),
        is_asked: &dyn Fn(&str) -> bool,
    ) -> Vec<Self> {
        let (before, after) = (images(before, is_asked), images(after, is_asked));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let of = |found: &BTreeMap<String, BTreeSet<String>>, workload: &String| -> Vec<String> {
            found.get(workload).into_iter().flatten().cloned().collect()
        };
        let lines = all.into_iter().map(|workload| Self {
            workload: workload.clone(),
            before: of(&before, workload),
            after: of(&after, workload),
        });
        lines.filter(|one| one.before != one.after).collect()
    }
}

fn images(
    objects: &[Object],
    is_asked: &dyn Fn(&str) -> bool,
) -> BTreeMap<String, BTreeSet<String>> {
    let cluster = Cluster::from_objects(objects);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let Object::Pod(pod) = object else { continue };
        let endpoint = cluster.endpoint_of_pod(&pod.meta.namespace, &pod.meta.name);
        let Some(endpoint) = endpoint.filter(|one| is_asked(&one.namespace)) else { continue };
        let own = found.entry(endpoint.workload.to_string()).or_default();
        own.extend(crate::images::of_pod(pod));
    }
    found
}

impl Changes {
    /// The edges that differ; what is no edge is the caller's to add.
    pub(crate) fn of_edges(diff: &MapDiff<'_>) -> Self {
        let lines = |edges: &[&MapEdge]| -> Vec<EdgeLine> {
            edges.iter().take(EDGES_MAX).map(|edge| line(edge, None)).collect()
        };
        let changed: Vec<&MapEdge> =
            diff.changed.iter().flat_map(|Changed { after, .. }| after.iter().copied()).collect();
        Self {
            new: lines(&diff.added),
            new_total: diff.added.len() as u64,
            gone: lines(&diff.removed),
            gone_total: diff.removed.len() as u64,
            changed: lines(&changed),
            changed_total: changed.len() as u64,
            ..Self::default()
        }
    }

    /// The same with these images.
    pub(crate) fn with_images(mut self, mut images: Vec<Images>) -> Self {
        self.images_total = images.len() as u64;
        images.truncate(IMAGES_MAX);
        self.images = images;
        self
    }

    fn revision_sheet(&self) -> Sheet {
        let Some(revisions) = &self.revisions else {
            return Sheet::withheld(W::Revisions, W::NotYoursRevisions);
        };
        let rows = revisions.iter().map(|one| {
            vec![
                Cell::Number(one.revision),
                Cell::Time(one.time),
                Cell::Word(match one.mode {
                    DatapathMode::Enforce => W::Enforce,
                    DatapathMode::Audit => W::Audit,
                }),
                Cell::Text(one.operator.clone()),
                Cell::Number(one.policies),
                one.restores.map_or(Cell::Empty, Cell::Number),
            ]
        });
        let columns = [W::Number, W::Time, W::Mode, W::Who, W::Policies, W::Restores];
        Sheet::new(W::Revisions, &columns, rows.collect())
    }

    fn image_sheet(&self) -> Sheet {
        let rows = self.images.iter().map(|one| {
            vec![
                Cell::Text(one.workload.clone()),
                Cell::Lines(one.before.clone()),
                Cell::Lines(one.after.clone()),
            ]
        });
        let columns = [W::Workload, W::ImagesBefore, W::ImagesAfter];
        Sheet::new(W::Images, &columns, rows.collect()).of(self.images_total)
    }

    fn call_sheet(&self) -> Sheet {
        let Some(calls) = &self.calls else { return Sheet::withheld(W::Calls, W::NotYours) };
        let rows = calls.iter().map(|one| {
            let outcome = match one.outcome {
                Outcome::Begun => "begun",
                Outcome::Done => "done",
                Outcome::Refused => "refused",
                Outcome::Denied => "denied",
            };
            vec![
                Cell::Time(one.time),
                Cell::Text(one.who.clone()),
                Cell::Text(one.action.clone()),
                Cell::Text(one.target.clone()),
                Cell::Text(outcome.to_owned()),
                Cell::Text(one.detail.clone()),
            ]
        });
        let columns = [W::Time, W::Who, W::Action, W::Target, W::Outcome, W::Detail];
        Sheet::new(W::Calls, &columns, rows.collect()).of(self.calls_total)
    }
}

impl Report for Changes {
    fn sheets(&self) -> Vec<Sheet> {
        let edges = |title, edges: &[EdgeLine], total| {
            Sheet::new(title, &COLUMNS, edges.iter().map(cells).collect()).of(total)
        };
        vec![
            edges(W::NewEdges, &self.new, self.new_total),
            edges(W::GoneEdges, &self.gone, self.gone_total),
            edges(W::ChangedEdges, &self.changed, self.changed_total),
            self.revision_sheet(),
            self.image_sheet(),
            self.call_sheet(),
        ]
    }
}
