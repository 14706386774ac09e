//! The images of the workloads that policies select: what was verified is what these did, so a new
//! image asks for a new look.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_api::{ImageChange, VerifiedImages, WorkloadImages};
use sekisho_inventory::cri::pinned;
use sekisho_manifest::{Object, Pod, PodPhase};
use sekisho_model::{EdgeDay, EdgeKey, Labels, Party, PartyKind, Timestamp, Verdict};
use sekisho_policy::{Cluster, Endpoint, RuleSet};
use sekisho_verify::{EdgeReport, Limits, UNCHANGED_ALL};

use crate::pipeline::{self, History};

/// Images of the running pods of one workload, each with when the first pod that has it started.
type Running = BTreeMap<String, BTreeMap<String, Timestamp>>;

/// Images of the pods in `phase` that are wanted, by workload.
fn running<'a>(
    (objects, phase): (impl IntoIterator<Item = &'a Object>, PodPhase),
    cluster: &Cluster,
    is_wanted: impl Fn(&Endpoint) -> bool,
) -> Running {
    let pods = objects.into_iter().filter_map(|object| match object {
        Object::Pod(pod) if pod.status.phase == phase => {
            Some(((pod.meta.namespace.as_str(), pod.meta.name.as_str()), pod))
        }
        _other => None,
    });
    let pods: BTreeMap<(&str, &str), &Pod> = pods.collect();
    let mut found = Running::new();
    for endpoint in cluster.endpoints.iter().filter(|one| is_wanted(one)) {
        let Some(pod) = pods.get(&(endpoint.namespace.as_str(), endpoint.name.as_str())) else {
            continue;
        };
        let of_workload = found.entry(endpoint.workload.to_string()).or_default();
        let started = pod.status.started.or(pod.meta.created).unwrap_or(Timestamp::EPOCH);
        for image in of_pod(pod) {
            let first = of_workload.entry(image).or_insert(started);
            *first = started.min(*first);
        }
    }
    found
}

/// The images of a pod's containers and sidecars, as exactly as the kubelet says.
pub(crate) fn of_pod(pod: &Pod) -> impl Iterator<Item = String> {
    let sidecars = pod.spec.init_containers.iter().filter(|container| container.sidecar);
    pod.spec.containers.iter().chain(sidecars).map(|container| {
        let ids = &pod.status.image_ids;
        let id = ids.iter().find(|(name, _)| *name == container.name);
        pinned(&container.image, id.map_or("", |(_, id)| id))
    })
}

/// The images of the pods in `phase` that `rules` select, by workload.
pub(crate) fn note<'a>(
    (objects, phase): (impl IntoIterator<Item = &'a Object>, PodPhase),
    cluster: &Cluster,
    rules: &RuleSet,
) -> Vec<WorkloadImages> {
    let found = running((objects, phase), cluster, |one| rules.selects(cluster, one)).into_iter();
    let noted = |(workload, images): (String, BTreeMap<String, Timestamp>)| WorkloadImages {
        workload,
        images: images.into_keys().collect(),
    };
    found.map(noted).collect()
}

/// The images whose processes were seen to talk, of what `rules` select, by workload.
pub(crate) fn note_seen(
    rows: &[EdgeDay],
    cluster: &Cluster,
    rules: &RuleSet,
) -> Vec<WorkloadImages> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut selected: BTreeMap<(String, &Labels), bool> = BTreeMap::new();
    for key in rows.iter().map(|row| &row.key) {
        let ends = [
            (&key.source, key.source_process.as_deref()),
            (&key.destination, key.destination_process.as_deref()),
        ];
        for (party, process) in ends {
            let Some(container) = process.and_then(|process| process.container.as_ref()) else {
                continue;
            };
            if party.kind != PartyKind::Pod || container.image.is_empty() {
                continue;
            }
            let is_selected = *selected
                .entry((party.id(), &party.labels))
                .or_insert_with(|| rules.selects(cluster, &endpoint_of(party)));
            if is_selected {
                found.entry(party.id()).or_default().insert(&container.image);
            }
        }
    }
    let noted = |(workload, images): (String, BTreeSet<&str>)| WorkloadImages {
        workload,
        images: images.into_iter().map(str::to_owned).collect(),
    };
    found.into_iter().map(noted).collect()
}

/// A pod that may be gone, as far as policies tell subjects apart.
fn endpoint_of(party: &Party) -> Endpoint {
    Endpoint {
        namespace: party.workload.namespace.clone(),
        name: party.pod.clone(),
        workload: party.workload.clone(),
        kind: party.kind,
        labels: party.labels.clone(),
        addresses: party.address.into_iter().collect(),
        ports: Vec::new(),
        host_network: false,
        node: None,
        service_account: None,
    }
}

/// The workloads that run an image which they did not run when the policies were verified. One that
/// had no pod then, and none in the history, is none of them: nothing is known of it to compare with.
pub(crate) fn changes<'a>(
    verified: &VerifiedImages,
    objects: impl IntoIterator<Item = &'a Object>,
    cluster: &Cluster,
) -> Vec<ImageChange> {
    let known: BTreeSet<&str> = verified.images.iter().map(|one| one.workload.as_str()).collect();
    if known.is_empty() {
        return Vec::new();
    }
    let now = running((objects, PodPhase::Running), cluster, |one| {
        known.contains(one.workload.to_string().as_str())
    });
    let change = |then: &WorkloadImages| {
        let images = now.get(&then.workload)?;
        let is_new = |image: &&String| !then.images.iter().any(|old| is_same(old, image));
        let since = images.iter().filter(|(image, _)| is_new(image)).map(|(_, since)| *since).min();
        since.map(|since| ImageChange {
            workload: then.workload.clone(),
            before: then.images.clone(),
            after: images.keys().cloned().collect(),
            since,
        })
    };
    verified.images.iter().filter_map(change).collect()
}

/// Whether two references mean one image: by digest where both have one, as a tag may mean another
/// image later, and the same one be tagged anew.
fn is_same(one: &str, other: &str) -> bool {
    match (digest(one), digest(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one == other,
        (Some(_), None) | (None, Some(_)) => name(one) == name(other),
    }
}

fn digest(image: &str) -> Option<&str> {
    match image.rsplit_once('@') {
        Some((_, digest)) => Some(digest),
        None => image.starts_with("sha256:").then_some(image),
    }
}

fn name(image: &str) -> &str {
    image.split('@').next().unwrap_or_default()
}

/// When the image of an end of this edge changed; None if it did not.
fn changed_at(changes: &[ImageChange], key: &EdgeKey) -> Option<Timestamp> {
    let ends = [key.source.id(), key.destination.id()];
    let of_ends = changes.iter().filter(|change| ends.contains(&change.workload));
    of_ends.map(|change| change.since).min()
}

/// Whether the row is of a changed workload and was seen before its image changed.
fn is_before(changes: &[ImageChange], row: &EdgeDay) -> bool {
    changed_at(changes, &row.key).is_some_and(|since| row.stats.first_seen < since)
}

/// Whether the row is of a changed workload and was seen since its image changed: by the new image,
/// or by an old one that ends.
fn is_since(changes: &[ImageChange], row: &EdgeDay) -> bool {
    changed_at(changes, &row.key).is_some_and(|since| row.stats.last_seen >= since)
}

/// The edges of the changed workloads before their images changed, by name.
pub(crate) fn known_edges(rows: &[EdgeDay], changes: &[ImageChange]) -> BTreeSet<String> {
    rows.iter().filter(|row| is_before(changes, row)).map(edge_name).collect()
}

/// What changed workloads did since, verified again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Again {
    /// Edges that the policies deny: worked all the same, or were stopped; sorted.
    pub(crate) blocked: Vec<String>,
    /// Edges that were not among the known ones; sorted.
    pub(crate) new: Vec<String>,
}

/// Replays what the changed workloads did since against `rules`. Edges in `accepted` were meant to
/// be blocked.
pub(crate) fn verify_again(
    history: &History,
    changes: &[ImageChange],
    rules: &RuleSet,
    (known, accepted): (&BTreeSet<String>, &[String]),
) -> Again {
    let mut since = history.clone();
    since.rows.retain(|row| is_since(changes, row));
    let names: BTreeSet<String> = since.rows.iter().map(edge_name).collect();
    let new = names.into_iter().filter(|name| !known.contains(name)).collect();
    let answer = pipeline::what_if(
        &since,
        (&RuleSet::default(), rules),
        accepted,
        Limits::ANY,
        UNCHANGED_ALL,
    );
    let denied = answer.report.edges.iter().filter(|edge| edge.after == "denied" && !edge.accepted);
    let mut blocked: Vec<String> = denied.map(EdgeReport::name).collect();
    blocked.sort_unstable();
    Again { blocked, new }
}

/// The name of an edge as `verify` has it.
pub(crate) fn edge_name(row: &EdgeDay) -> String {
    let key = &row.key;
    format!("{} -> {}:{}/{}", key.source, key.destination, key.port, key.protocol)
}

/// Sets apart what changed workloads asked for since and did not get. Policies in force are one
/// reason for that; whether they are is asked of them.
pub(crate) fn unanswered(history: &History, changes: &[ImageChange]) -> Vec<EdgeDay> {
    let rows = history.rows.iter().filter(|row| is_since(changes, row));
    rows.filter(|row| match row.key.verdict {
        Verdict::Denied | Verdict::Unknown => true,
        Verdict::Allowed | Verdict::WouldDeny => false,
    })
    .cloned()
    .collect()
}

/// A change in words.
pub(crate) fn words(change: &ImageChange, revision: u64) -> String {
    format!(
        "image of {} changed since revision {revision}: {} -> {} (at {})",
        change.workload,
        change.before.join(", "),
        change.after.join(", "),
        change.since,
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_model::{Completeness, Container, EdgeStats, Process, TimeRange};
    use sekisho_policy::Dialect;

    use super::*;
    use crate::samples::edge;

    fn objects(web: &str, id: &str) -> Vec<Object> {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, labels: {{app: web}}}}, \
             spec: {{containers: [{{name: a, image: '{web}'}}]}}, status: {{phase: Running, podIP: \
             10.0.0.1, startTime: '1970-01-01T00:10:00Z', containerStatuses: [{{name: a, imageID: \
             '{id}'}}]}}}}\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: db, namespace: shop, \
             labels: {{app: db}}}}, spec: {{containers: [{{name: a, image: db}}]}}, status: {{phase: \
             Running, podIP: 10.0.0.2}}}}\n"
        );
        sekisho_manifest::parse("c", &text).unwrap()
    }

    fn rules() -> RuleSet {
        let text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web, \
                    namespace: shop}, spec: {podSelector: {matchLabels: {app: web}}, policyTypes: \
                    [Egress], egress: [{ports: [{port: 5432}]}]}}";
        RuleSet::from_objects(&sekisho_manifest::parse("p", text).unwrap(), Dialect::default())
    }

    fn verified(objects: &[Object]) -> VerifiedImages {
        let cluster = Cluster::from_objects(objects);
        VerifiedImages {
            revision: 3,
            images: note((objects, PodPhase::Running), &cluster, &rules()),
        }
    }

    fn changed(then: &[Object], now: &[Object]) -> Vec<ImageChange> {
        changes(&verified(then), now, &Cluster::from_objects(now))
    }

    #[test]
    fn only_workloads_that_a_policy_selects_are_noted() {
        let noted = verified(&objects("web:1", "sha256:01")).images;
        let names: Vec<&str> = noted.iter().map(|one| one.workload.as_str()).collect();
        assert_eq!(names, ["shop/web[Pod]"]);
        assert_eq!(noted[0].images, ["web:1@sha256:01"]);
    }

    #[test]
    fn a_pod_that_starts_just_now_is_noted_as_what_it_was_asked_to_run() {
        let mut all = objects("web:1", "");
        for object in &mut all {
            if let Object::Pod(pod) = object {
                pod.status.phase = PodPhase::Pending;
            }
        }
        let cluster = Cluster::from_objects(&all);
        assert!(note((&all, PodPhase::Running), &cluster, &rules()).is_empty());
        assert_eq!(note((&all, PodPhase::Pending), &cluster, &rules())[0].images, ["web:1"]);
    }

    #[test]
    fn what_history_saw_is_noted_of_what_the_policies_select_only() {
        let by = |row: &mut EdgeDay, image: &str| {
            let container = Container { name: "a".to_owned(), image: image.to_owned() };
            let (exe, comm) = ("/web".to_owned(), "web".to_owned());
            let process = Process { exe, comm, uid: 0, container: Some(container) };
            row.key_mut().source_process = Some(Arc::new(process.clone()));
            row.key_mut().destination_process = Some(Arc::new(process));
        };
        let mut rows = vec![row(("db", 2), 5432, 100), row(("db", 2), 22, 100)];
        by(&mut rows[0], "one:1@sha256:01");
        let noted = note_seen(&rows, &Cluster::default(), &rules());
        assert_eq!(noted.len(), 1, "the policy selects web and not db: {noted:?}");
        assert_eq!(noted[0].workload, "shop/web[Pod]");
        assert_eq!(noted[0].images, ["one:1@sha256:01"]);
    }

    #[test]
    fn a_tag_that_means_another_image_now_is_a_change_and_the_same_image_tagged_anew_is_none() {
        let then = objects("web:1", "sha256:01");
        let found = changed(&then, &objects("web:1", "sha256:02"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].after, ["web:1@sha256:02"]);
        assert_eq!(found[0].since, Timestamp::from_seconds(600));
        assert!(changed(&then, &objects("web:2", "sha256:01")).is_empty());
        assert!(changed(&then, &then).is_empty());
    }

    #[test]
    fn without_a_digest_the_name_decides() {
        let then = objects("web:1", "");
        assert!(changed(&then, &objects("web:1", "sha256:02")).is_empty());
        assert_eq!(changed(&then, &objects("web:2", "")).len(), 1);
    }

    fn row(to: (&str, u8), port: u16, second: u64) -> EdgeDay {
        let time = Timestamp::from_seconds(second);
        let stats = EdgeStats { first_seen: time, last_seen: time, ..EdgeStats::default() };
        let key = Arc::new(edge(("web", 1), to, port));
        EdgeDay { day: time.day(), hours: 1, key, stats }
    }

    #[test]
    fn what_a_new_image_does_is_verified_again_and_what_the_old_one_did_is_not() {
        let now = objects("web:1", "sha256:02");
        let changes = changed(&objects("web:1", "sha256:01"), &now);
        let rows = vec![
            row(("db", 2), 5432, 100),
            row(("db", 2), 22, 100),
            row(("db", 2), 5432, 700),
            row(("db", 2), 6379, 700),
        ];
        let history = History {
            places: Arc::default(),
            window: TimeRange { from: Timestamp::EPOCH, to: Timestamp::from_seconds(900) },
            rows,
            completeness: Completeness { ratio: 1.0, produced: 9, dropped: 0, gaps: Vec::new() },
            cluster: Cluster::from_objects(&now),
            current: RuleSet::default(),
            referred: Vec::new(),
            images: None,
            name: sekisho_model::ClusterName::default(),
            several: Vec::new(),
            mixed: false,
        };
        let known = known_edges(&history.rows, &changes);
        assert_eq!(known.len(), 2);
        let again = verify_again(&history, &changes, &rules(), (&known, &[]));
        let edge = "shop/web[Pod] -> shop/db[Pod]:6379/TCP";
        assert_eq!(again, Again { blocked: vec![edge.to_owned()], new: vec![edge.to_owned()] });
        let accepted = [edge.to_owned()];
        let again = verify_again(&history, &changes, &rules(), (&known, &accepted));
        assert!(again.blocked.is_empty());
    }
}
