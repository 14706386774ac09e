//! The controllers: from workloads to pods (Kubernetes v1.34, pkg/controller, in the small).

use sekisho_manifest::{
    LabelSelector, Meta, Object, OwnerRef, PodPhase, PodTemplate, Workload, WorkloadKind,
};

use super::cluster::{Cluster, Key, LivePod, meta_key, owner_of};
use super::cron::Schedule;
use super::journal::now;
use super::kubelets::Kubelets;
use super::pods;
use crate::plan::fnv1a;

/// Label that tells the pods of one ReplicaSet from those of its forerunner.
const HASH_LABEL: &str = "pod-template-hash";
/// Failed pods after which a Job is given up (Kubernetes default backoffLimit).
const JOB_FAILURES_MAX: usize = 6;
/// A pod that ended this young is replaced only then, or one that can't start would be replaced
/// without end.
const REPLACE_AFTER_S: u64 = 5;
/// Finished Jobs that a CronJob keeps (Kubernetes default successfulJobsHistoryLimit).
const JOBS_KEPT: usize = 3;

/// Brings pods in line with workloads: one pass, which may leave work for the next.
pub(super) fn pass(cluster: &mut Cluster, kubelets: &Kubelets) {
    for deployment in cluster.workloads_of(WorkloadKind::Deployment) {
        roll_out(cluster, &deployment);
    }
    remove_orphans(cluster, kubelets);
    for kind in [WorkloadKind::ReplicaSet, WorkloadKind::ReplicationController] {
        for workload in cluster.workloads_of(kind) {
            keep_replicas(cluster, kubelets, &workload);
        }
    }
    for workload in cluster.workloads_of(WorkloadKind::StatefulSet) {
        keep_ordinals(cluster, kubelets, &workload);
    }
    for workload in cluster.workloads_of(WorkloadKind::DaemonSet) {
        keep_one_per_node(cluster, kubelets, &workload);
    }
    for job in cluster.workloads_of(WorkloadKind::Job) {
        work_on_job(cluster, kubelets, &job);
    }
}

/// Makes the Jobs of CronJobs whose schedule hits the minute that begins `minute` minutes after
/// the Unix epoch, and removes old finished ones.
pub(super) fn minute(cluster: &mut Cluster, minute: u64) {
    for cron in cluster.workloads_of(WorkloadKind::CronJob) {
        let schedule = cron.schedule.as_deref().unwrap_or_default();
        // Checked when the manifest was taken.
        let Ok(schedule) = Schedule::parse(schedule) else { continue };
        if schedule.hits(minute) {
            let name = format!("{}-{minute}", cron.meta.name);
            cluster.put(Object::Workload(child_of(&cron, WorkloadKind::Job, name)));
        }
        remove_old_jobs(cluster, &cron);
    }
}

/// A workload made by another: ReplicaSet of a Deployment, Job of a CronJob.
fn child_of(owner: &Workload, kind: WorkloadKind, name: String) -> Workload {
    Workload {
        meta: Meta {
            name,
            namespace: owner.meta.namespace.clone(),
            uid: pods::new_uid(),
            labels: owner.template.labels.clone(),
            owner: Some(owner_of(owner)),
            created: Some(now()),
            ..Meta::default()
        },
        kind,
        replicas: owner.replicas,
        selector: owner.selector.clone(),
        template: owner.template.clone(),
        schedule: None,
    }
}

/// A name part that changes with the template.
fn template_hash(template: &PodTemplate) -> String {
    let text = serde_json::to_vec(template).unwrap_or_default();
    format!("{:08x}", fnv1a(&text) & 0xffff_ffff)
}

/// Keeps a ReplicaSet for the Deployment's current template, and scales the former ones down once
/// its pods are ready.
fn roll_out(cluster: &mut Cluster, deployment: &Workload) {
    let hash = template_hash(&deployment.template);
    let name = format!("{}-{hash}", deployment.meta.name);
    let key: Key = (deployment.meta.namespace.clone(), name.clone());
    let current = match cluster.object("ReplicaSet", &key) {
        Some(Object::Workload(set)) => Workload { replicas: deployment.replicas, ..set.clone() },
        _ => {
            let mut set = child_of(deployment, WorkloadKind::ReplicaSet, name);
            let with_hash = |labels: &mut sekisho_model::Labels| {
                labels.insert(HASH_LABEL.to_owned(), hash.clone());
            };
            with_hash(&mut set.meta.labels);
            with_hash(&mut set.template.labels);
            with_hash(&mut set.selector.match_labels);
            set
        }
    };
    cluster.put(Object::Workload(current));
    let ready = ready_of(cluster, "ReplicaSet", &key);
    if ready < deployment.replicas {
        return;
    }
    let owner = Some(owner_of(deployment));
    let same_owner = |set: &Workload| {
        set.meta.owner == owner && set.meta.namespace == key.0 && set.meta.name != key.1
    };
    let former: Vec<Workload> =
        cluster.workloads_of(WorkloadKind::ReplicaSet).into_iter().filter(same_owner).collect();
    for set in former {
        let set_key = meta_key(&set.meta);
        if cluster.pods_of("ReplicaSet", &set_key.0, &set_key.1).is_empty() {
            cluster.remove("ReplicaSet", &set_key);
        } else if set.replicas > 0 {
            cluster.put(Object::Workload(Workload { replicas: 0, ..set }));
        }
    }
}

/// Seconds since the pod was made.
fn age_s(live: &LivePod) -> u64 {
    live.pod.meta.created.map_or(u64::MAX, |created| now().seconds_since(created))
}

/// Ready pods of an owner.
pub(super) fn ready_of(cluster: &Cluster, kind: &str, key: &Key) -> u32 {
    let keys = cluster.pods_of(kind, &key.0, &key.1);
    let live = keys.iter().filter_map(|key| cluster.pods.get(key));
    let count = live.filter(|live| live.is_active() && live.pod.status.ready).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Removes what is owned by something that is no more.
fn remove_orphans(cluster: &mut Cluster, kubelets: &Kubelets) {
    let is_lost = |cluster: &Cluster, meta: &Meta| {
        meta.owner.as_ref().is_some_and(|owner| {
            cluster.object(&owner.kind, &(meta.namespace.clone(), owner.name.clone())).is_none()
        })
    };
    let lost: Vec<Workload> =
        cluster.workloads().filter(|workload| is_lost(cluster, &workload.meta)).cloned().collect();
    for workload in lost {
        cluster.remove(workload.kind.as_str(), &meta_key(&workload.meta));
    }
    let lost: Vec<Key> = cluster
        .pods
        .iter()
        .filter(|(_, live)| !live.stopping && is_lost(cluster, &live.pod.meta))
        .map(|(key, _)| key.clone())
        .collect();
    for key in lost {
        pods::stop(cluster, kubelets, &key);
    }
}

/// Keeps `replicas` pods that the selector selects; pods that left it are released, pods that
/// ended are replaced.
fn keep_replicas(cluster: &mut Cluster, kubelets: &Kubelets, set: &Workload) {
    let owner = owner_of(set);
    let (namespace, name) = meta_key(&set.meta);
    let mut active = Vec::new();
    for key in cluster.pods_of(&owner.kind, &namespace, &name) {
        let Some(live) = cluster.pods.get(&key) else { continue };
        if live.stopping {
            continue;
        }
        if !selects(&set.selector, &set.template, &live.pod.meta.labels) {
            cluster.change_pod(&key, |pod| pod.meta.owner = None);
        } else if live.is_active() || age_s(live) < REPLACE_AFTER_S {
            active.push((live.pod.status.ready, live.pod.meta.created, key));
        } else {
            pods::stop(cluster, kubelets, &key);
        }
    }
    let wanted = usize::try_from(set.replicas).unwrap_or(usize::MAX);
    for _ in active.len()..wanted {
        let pod = (namespace.clone(), suffixed(cluster, &name));
        pods::create(cluster, kubelets, pod, &set.template, Some(owner.clone()));
    }
    // Those that are not ready go first, then the youngest.
    active.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let surplus = active.len().saturating_sub(wanted);
    for (_, _, key) in active.into_iter().take(surplus) {
        pods::stop(cluster, kubelets, &key);
    }
}

fn selects(
    selector: &LabelSelector,
    template: &PodTemplate,
    labels: &sekisho_model::Labels,
) -> bool {
    if selector.is_empty() {
        LabelSelector::of(template.labels.clone()).matches(labels)
    } else {
        selector.matches(labels)
    }
}

/// `name` with five characters more, as in Kubernetes (without vowels, so that no words arise).
fn suffixed(cluster: &mut Cluster, name: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = fnv1a(format!("{name}{}", cluster.next_serial()).as_bytes());
    let mut text = format!("{name}-");
    for _ in 0..5 {
        let count = LETTERS.len() as u64;
        let index = usize::try_from(number % count).unwrap_or_default();
        text.push(char::from(LETTERS.get(index).copied().unwrap_or(b'x')));
        number /= count;
    }
    text
}

fn keep_ordinals(cluster: &mut Cluster, kubelets: &Kubelets, set: &Workload) {
    let owner = owner_of(set);
    let (namespace, name) = meta_key(&set.meta);
    let wanted: Vec<String> =
        (0..set.replicas).map(|ordinal| format!("{name}-{ordinal}")).collect();
    let hash = template_hash(&set.template);
    for key in cluster.pods_of(&owner.kind, &namespace, &name) {
        let stays = cluster.pods.get(&key).is_some_and(|live| {
            live.is_active() && live.pod.meta.annotations.get(HASH_LABEL) == Some(&hash)
        });
        if !stays || !wanted.contains(&key.1) {
            pods::stop(cluster, kubelets, &key);
        }
    }
    for pod in wanted {
        let key = (namespace.clone(), pod.clone());
        if !cluster.pods.contains_key(&key) {
            let mut template = set.template.clone();
            template.labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), pod);
            template.annotations.insert(HASH_LABEL.to_owned(), hash.clone());
            pods::create(cluster, kubelets, key, &template, Some(owner.clone()));
        }
    }
}

fn keep_one_per_node(cluster: &mut Cluster, kubelets: &Kubelets, set: &Workload) {
    let owner = owner_of(set);
    let (namespace, name) = meta_key(&set.meta);
    let hash = template_hash(&set.template);
    let mut served = Vec::new();
    for key in cluster.pods_of(&owner.kind, &namespace, &name) {
        let Some(live) = cluster.pods.get(&key) else { continue };
        let node = live.pod.spec.node_name.clone();
        let current = live.pod.meta.annotations.get(HASH_LABEL) == Some(&hash);
        if live.is_active() && current && !served.contains(&node) {
            served.push(node);
        } else {
            pods::stop(cluster, kubelets, &key);
        }
    }
    let selector = set.template.spec.node_selector.clone();
    let nodes: Vec<String> = cluster
        .nodes
        .iter()
        .filter(|node| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value)))
        .map(|node| node.public.name.clone())
        .collect();
    for node in nodes {
        if !served.contains(&Some(node.clone())) {
            let mut template = set.template.clone();
            template.spec.node_name = Some(node);
            template.annotations.insert(HASH_LABEL.to_owned(), hash.clone());
            let pod = (namespace.clone(), suffixed(cluster, &name));
            pods::create(cluster, kubelets, pod, &template, Some(owner.clone()));
        }
    }
}

/// What became of a Job's pods.
pub(super) struct JobCount {
    pub(super) active: usize,
    pub(super) succeeded: usize,
    pub(super) failed: usize,
}

pub(super) fn count_job(cluster: &Cluster, job: &Workload) -> JobCount {
    let (namespace, name) = meta_key(&job.meta);
    let keys = cluster.pods_of("Job", &namespace, &name);
    let count = |wanted: fn(&LivePod) -> bool| {
        keys.iter().filter_map(|key| cluster.pods.get(key)).filter(|live| wanted(live)).count()
    };
    JobCount {
        active: count(LivePod::is_active),
        succeeded: count(|live| live.pod.status.phase == PodPhase::Succeeded),
        failed: count(|live| live.pod.status.phase == PodPhase::Failed),
    }
}

/// Whether nothing more will be done for the Job.
fn is_finished(count: &JobCount, job: &Workload) -> bool {
    let wanted = usize::try_from(job.replicas).unwrap_or(usize::MAX);
    count.succeeded >= wanted || count.failed > JOB_FAILURES_MAX
}

fn work_on_job(cluster: &mut Cluster, kubelets: &Kubelets, job: &Workload) {
    let count = count_job(cluster, job);
    if is_finished(&count, job) {
        return;
    }
    let wanted = usize::try_from(job.replicas).unwrap_or(usize::MAX);
    let (namespace, name) = meta_key(&job.meta);
    let keys = cluster.pods_of("Job", &namespace, &name);
    let youngest_s = keys.iter().filter_map(|key| cluster.pods.get(key)).map(age_s).min();
    if count.failed > 0 && youngest_s.is_some_and(|age| age < 1 << count.failed.min(6)) {
        return;
    }
    for _ in (count.active + count.succeeded)..wanted {
        let mut template = job.template.clone();
        for label in ["job-name", "batch.kubernetes.io/job-name"] {
            template.labels.insert(label.to_owned(), name.clone());
        }
        let owner = OwnerRef { kind: "Job".to_owned(), name: name.clone() };
        let pod = (namespace.clone(), suffixed(cluster, &name));
        pods::create(cluster, kubelets, pod, &template, Some(owner));
    }
}

fn remove_old_jobs(cluster: &mut Cluster, cron: &Workload) {
    let owner = Some(owner_of(cron));
    let mut finished: Vec<Workload> = cluster
        .workloads_of(WorkloadKind::Job)
        .into_iter()
        .filter(|job| job.meta.owner == owner && job.meta.namespace == cron.meta.namespace)
        .filter(|job| is_finished(&count_job(cluster, job), job))
        .collect();
    finished.sort_by_key(|job| std::cmp::Reverse(job.meta.created));
    for job in finished.into_iter().skip(JOBS_KEPT) {
        cluster.remove("Job", &meta_key(&job.meta));
    }
}
