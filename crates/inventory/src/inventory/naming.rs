//! Which workload a pod belongs to: the topmost owner, as far as owners are known.
//!
//! A pod may be told before its ReplicaSet. Then its name is a guess or the lowest owner; whoever
//! was asked for on the way is remembered, and when one of them comes, the pod is named again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sekisho_manifest::{Object, OwnerRef, Pod};
use sekisho_model::{Party, PartyKind, Timestamp, WorkloadRef};
use sekisho_policy::{Owner, Owners, top_of_pod};

use super::{Inventory, at_address, node_name, node_party, pod_names};
use crate::history::{Holder, ObjectKey};

/// Which pods' names hang on which objects, known or not.
#[derive(Debug, Default)]
pub(crate) struct Dependents {
    pods: BTreeMap<ObjectKey, BTreeSet<Arc<ObjectKey>>>,
    asked: BTreeMap<Arc<ObjectKey>, Vec<ObjectKey>>,
}

impl Dependents {
    /// The name of `pod` hangs on `asked` from now on.
    fn set(&mut self, pod: &Arc<ObjectKey>, asked: Vec<ObjectKey>) {
        if self.asked.get(pod) == Some(&asked) {
            return;
        }
        self.remove(pod);
        for key in &asked {
            self.pods.entry(key.clone()).or_default().insert(Arc::clone(pod));
        }
        if !asked.is_empty() {
            self.asked.insert(Arc::clone(pod), asked);
        }
    }

    pub(crate) fn remove(&mut self, pod: &Arc<ObjectKey>) {
        for key in self.asked.remove(pod).unwrap_or_default() {
            if let Some(pods) = self.pods.get_mut(&key) {
                pods.remove(pod);
                if pods.is_empty() {
                    self.pods.remove(&key);
                }
            }
        }
    }

    fn of(&self, owner: &ObjectKey) -> Vec<Arc<ObjectKey>> {
        self.pods.get(owner).into_iter().flatten().cloned().collect()
    }
}

/// Remembers who was asked for.
struct Asking<'a> {
    inventory: &'a Inventory,
    asked: RefCell<Vec<ObjectKey>>,
}

impl Owners for Asking<'_> {
    fn owner_of(&self, workload: &WorkloadRef) -> Owner<'_> {
        let WorkloadRef { namespace, name, kind } = workload.clone();
        self.asked.borrow_mut().push((kind, namespace, name));
        self.inventory.owner_of(workload)
    }
}

impl Owners for Inventory {
    /// Of the object as it is now or was last.
    fn owner_of(&self, workload: &WorkloadRef) -> Owner<'_> {
        let WorkloadRef { namespace, name, kind } = workload.clone();
        let spans = self.history.objects.get(&(kind, namespace, name));
        match spans.and_then(|spans| spans.nearest(Timestamp::MAX)) {
            Some(object) => object.meta().owner.as_ref().map_or(Owner::Nobody, Owner::Object),
            None => Owner::Unknown,
        }
    }
}

impl Inventory {
    /// The node that a pod which is there now was put on; None = there is no such pod, or it waits.
    #[must_use]
    pub fn node_of_pod(&self, namespace: &str, name: &str) -> Option<String> {
        let key = ("Pod".to_owned(), namespace.to_owned(), name.to_owned());
        match self.history.objects.get(&key)?.current()?.as_ref() {
            Object::Pod(pod) => pod.spec.node_name.clone(),
            _ => None,
        }
    }

    /// The owner of the object `key` as it was known before a change of it; None = the object was
    /// not known.
    pub(super) fn known_owner(&self, key: &ObjectKey) -> Option<Option<OwnerRef>> {
        let spans = self.history.objects.get(key)?;
        spans.nearest(Timestamp::MAX).map(|object| object.meta().owner.clone())
    }

    /// Names the pods again, from their beginning, whose name hangs on the object `owner`.
    pub(super) fn name_anew(&mut self, owner: &ObjectKey) {
        for key in self.dependents.of(owner) {
            let object = self.history.objects.get(&key).and_then(|spans| spans.current()).cloned();
            let Some(Object::Pod(pod)) = object.as_deref() else { continue };
            let workload = self.workload_of(&key, pod);
            let held = self.claims.get(&key).into_iter().flatten().map(|(address, _)| *address);
            for address in held.collect::<Vec<_>>() {
                let spans = self.history.addresses.get_mut(&address);
                rename(spans.and_then(|it| it.current_mut()), &key, &workload);
            }
            for name in pod_names(pod) {
                let spans = self.history.names.get_mut(&name);
                rename(spans.and_then(|it| it.current_mut()), &key, &workload);
            }
        }
    }

    fn workload_of(&mut self, key: &Arc<ObjectKey>, pod: &Pod) -> WorkloadRef {
        let asking = Asking { inventory: self, asked: RefCell::default() };
        let workload = top_of_pod(pod, &asking);
        let asked = asking.asked.into_inner();
        self.dependents.set(key, asked);
        workload
    }

    pub(super) fn party_of_pod(&mut self, key: &Arc<ObjectKey>, pod: &Pod) -> Arc<Party> {
        if pod.spec.host_network {
            let node = pod.spec.node_name.as_deref().unwrap_or_default();
            let known = self.history.names.get(&node_name(node));
            if let Some(holder) = known.and_then(|spans| spans.current()) {
                return Arc::clone(&holder.party);
            }
            let address = pod.status.host_ip.map(|address| address.to_canonical());
            return Arc::new(node_party(node, address));
        }
        let party = Arc::new(Party {
            kind: PartyKind::Pod,
            workload: self.workload_of(key, pod),
            pod: pod.meta.name.clone(),
            labels: pod.meta.labels.clone(),
            address: None,
            dns_name: None,
        });
        match pod.status.pod_ips.first() {
            Some(first) => at_address(&party, first.to_canonical()),
            None => party,
        }
    }
}

fn rename(holder: Option<&mut Holder>, key: &Arc<ObjectKey>, workload: &WorkloadRef) {
    if let Some(holder) = holder.filter(|holder| holder.owner == *key)
        && holder.party.workload != *workload
    {
        holder.party =
            Arc::new(Party { workload: workload.clone(), ..Party::clone(&holder.party) });
    }
}
