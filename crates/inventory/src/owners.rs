//! The topmost owner of a pod, as far as `ownerReferences` and names lead.
//!
//! The same rules as `sekisho_policy::Cluster::from_objects`, asked of the live objects: both must
//! give one workload one name.

use sekisho_manifest::{Object, Pod};
use sekisho_model::{Labels, WorkloadRef};

/// Owners that are followed upwards; real chains have two.
const OWNER_STEPS_MAX: usize = 8;
/// Digits at the end of the name of a CronJob's Job: minutes since 1970.
const CRON_SUFFIX_DIGITS_MIN: usize = 8;
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// Looks objects up by kind, namespace and name.
pub(crate) trait Objects {
    /// The object, as it is now or was last.
    fn known(&self, kind: &str, namespace: &str, name: &str) -> Option<&Object>;
}

pub(crate) fn top_of_pod(pod: &Pod, objects: &dyn Objects) -> WorkloadRef {
    let namespace = &pod.meta.namespace;
    match &pod.meta.owner {
        // A static pod is owned by its node, which is no workload.
        Some(owner) if owner.kind != "Node" && !owner.kind.is_empty() => {
            top(reference(namespace, &owner.name, &owner.kind), &pod.meta.labels, objects)
        }
        _ => reference(namespace, &pod.meta.name, "Pod"),
    }
}

fn top(first: WorkloadRef, labels: &Labels, objects: &dyn Objects) -> WorkloadRef {
    let mut top = first;
    for _ in 0..OWNER_STEPS_MAX {
        let next = match objects.known(&top.kind, &top.namespace, &top.name) {
            Some(object) => {
                let owner = object.meta().owner.as_ref();
                owner.map(|owner| reference(&top.namespace, &owner.name, &owner.kind))
            }
            None => guess(&top, labels, objects),
        };
        match next {
            Some(next) if next != top => top = next,
            _ => break,
        }
    }
    top
}

/// The owner of a workload whose object is missing, told from its name.
fn guess(workload: &WorkloadRef, labels: &Labels, objects: &dyn Objects) -> Option<WorkloadRef> {
    match workload.kind.as_str() {
        "ReplicaSet" => {
            let hash = labels.get(TEMPLATE_HASH_LABEL)?;
            let name = workload.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
            (!name.is_empty()).then(|| reference(&workload.namespace, name, "Deployment"))
        }
        "Job" => {
            let (name, digits) = workload.name.rsplit_once('-')?;
            let timed = digits.len() >= CRON_SUFFIX_DIGITS_MIN
                && digits.bytes().all(|c| c.is_ascii_digit());
            // The name alone proves nothing: only a CronJob that is or was there is believed.
            let known = objects.known("CronJob", &workload.namespace, name).is_some();
            (timed && known).then(|| reference(&workload.namespace, name, "CronJob"))
        }
        _ => None,
    }
}

fn reference(namespace: &str, name: &str, kind: &str) -> WorkloadRef {
    WorkloadRef { namespace: namespace.to_owned(), name: name.to_owned(), kind: kind.to_owned() }
}
