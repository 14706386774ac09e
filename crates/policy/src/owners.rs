//! The topmost owner of a pod, as far as `ownerReferences` and names lead.
//!
//! Asked of a list of objects by [`crate::Cluster::from_objects`] and of live ones by the
//! inventory: both must give one workload one name.

use sekisho_manifest::{OwnerRef, Pod};
use sekisho_model::{Labels, WorkloadRef};

/// Owners that are followed upwards; real chains have two.
const OWNER_STEPS_MAX: usize = 8;
/// Digits at the end of the name of a CronJob's Job: minutes since 1970.
const CRON_SUFFIX_DIGITS_MIN: usize = 8;
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// Who owns an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The object is not known.
    Unknown,
    /// It is known, and nobody owns it.
    Nobody,
    /// Its controller.
    Object(&'a OwnerRef),
}

/// Knows objects and who owns them.
pub trait Owners {
    /// The owner of the object that `workload` names.
    fn owner_of(&self, workload: &WorkloadRef) -> Owner<'_>;
}

/// The topmost owner of `pod`; a pod that nobody owns is its own.
pub fn top_of_pod(pod: &Pod, owners: &dyn Owners) -> WorkloadRef {
    let namespace = &pod.meta.namespace;
    match &pod.meta.owner {
        // A static pod is owned by its node, which is no workload.
        Some(owner) if owner.kind != "Node" => {
            let kind = if owner.kind.is_empty() { "Pod" } else { &owner.kind };
            top_of(reference(namespace, &owner.name, kind), &pod.meta.labels, owners)
        }
        _ => reference(namespace, &pod.meta.name, "Pod"),
    }
}

/// Follows owners upwards from `first`. `labels` are those of the pod that asks: they tell the
/// Deployment of a ReplicaSet that is not known.
pub(crate) fn top_of(first: WorkloadRef, labels: &Labels, owners: &dyn Owners) -> WorkloadRef {
    let mut top = first;
    for _ in 0..OWNER_STEPS_MAX {
        let next = match owners.owner_of(&top) {
            Owner::Object(owner) => Some(reference(&top.namespace, &owner.name, &owner.kind)),
            Owner::Nobody => None,
            Owner::Unknown => guess(&top, labels, owners),
        };
        match next {
            Some(next) if next != top => top = next,
            _ => break,
        }
    }
    top
}

/// The owner of a workload that is not known, told from its name.
fn guess(workload: &WorkloadRef, labels: &Labels, owners: &dyn Owners) -> Option<WorkloadRef> {
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
            let cron = reference(&workload.namespace, name, "CronJob");
            (timed && owners.owner_of(&cron) != Owner::Unknown).then_some(cron)
        }
        _ => None,
    }
}

/// The workload of that name.
pub(crate) fn reference(namespace: &str, name: &str, kind: &str) -> WorkloadRef {
    WorkloadRef { namespace: namespace.to_owned(), name: name.to_owned(), kind: kind.to_owned() }
}
