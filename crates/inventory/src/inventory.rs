//! The inventory: watch lines in, who-was-who out.
//!
//! Fails open: a line that can't be understood is reported by the caller and changes nothing; an
//! address nobody holds is External or Unknown, never somebody by guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sekisho_manifest::{Host, Node, Object, Pod, PodPhase, Service};
use sekisho_model::{Labels, Party, PartyKind, Timestamp, WorkloadRef};
use sekisho_policy::{Owner, Owners, top_of_pod};

use crate::history::{History, Holder, ObjectKey};
use crate::services::Member;

/// Annotation of a mirror pod: the uid its static pod has in cgroup paths (Kubernetes v1.34,
/// ConfigMirrorAnnotationKey).
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Kind of a change (Kubernetes WatchEvent.type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is there.
    Added,
    /// The object is different from before.
    Modified,
    /// The object is gone.
    Deleted,
}

/// Bounds of an [`Inventory`].
#[derive(Clone, Copy, Debug)]
pub struct InventoryLimits {
    /// Ended intervals remembered, over all kinds of history; the oldest are evicted first.
    pub intervals_max: usize,
}

impl Default for InventoryLimits {
    fn default() -> Self {
        Self { intervals_max: 262_144 }
    }
}

/// What an [`Inventory`] holds now, and let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InventoryStats {
    /// Objects that are there now.
    pub objects: usize,
    /// Ended intervals remembered.
    pub intervals: usize,
    /// Ended intervals forgotten because there were too many.
    pub evicted: u64,
    /// Changes ignored because they were older than what is known of their object.
    pub stale: u64,
}

/// Who is who, over time.
#[derive(Debug, Default)]
pub struct Inventory {
    limits: InventoryLimits,
    pub(crate) history: History,
    /// Addresses that live objects claim, and since when: of two, the later one has it.
    claims: BTreeMap<Arc<ObjectKey>, BTreeMap<IpAddr, Timestamp>>,
    /// Ranges of pods by their first address; they don't overlap. An address of theirs that nobody holds is Unknown, not External.
    pub(crate) ranges: BTreeMap<IpAddr, IpNet>,
    /// The node's own addresses inside its pod ranges.
    pub(crate) gateways: BTreeMap<IpAddr, String>,
    /// Node port -> Services that have it now or had it.
    pub(crate) node_ports: BTreeMap<u16, BTreeSet<Arc<ObjectKey>>>,
    /// When each object changed last: an older line of it is one that was read before.
    changed: BTreeMap<Arc<ObjectKey>, Timestamp>,
    stale: u64,
    generation: u64,
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
    /// Makes an empty inventory.
    #[must_use]
    pub fn new(limits: InventoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a change that happened at `time`. Repeating a change, or adding what is there, does
    /// nothing; neither does a change older than the last one of its object, since a watch tells
    /// the changes of one object in order: it was read before.
    pub fn apply(&mut self, time: Timestamp, change: Change, object: &Object) {
        let meta = object.meta();
        let key = (object.kind().to_owned(), meta.namespace.clone(), meta.name.clone());
        let known = self.history.objects.get_key_value(&key);
        let is_new = known.is_none();
        let unchanged = known
            .and_then(|(_, spans)| spans.current())
            .is_some_and(|current| is_same(current, object));
        if change != Change::Deleted && unchanged {
            return;
        }
        let key = known.map_or_else(|| Arc::new(key.clone()), |(known, _)| Arc::clone(known));
        if self.changed.get(&key).is_some_and(|changed| time < *changed) {
            self.stale += 1;
            return;
        }
        self.changed.insert(Arc::clone(&key), time);
        if change == Change::Deleted {
            self.remove(&key, time);
        } else {
            if self.is_replaced(&key, object) {
                self.remove(&key, time);
            }
            // Seen for the first time, it was there since its start, not since we looked.
            let from = if is_new { time.min(started(object).unwrap_or(time)) } else { time };
            self.history.open_object(&key, from, Arc::new(object.clone()));
            self.update(&key, (from, time), object);
        }
        self.generation += 1;
        self.history.bound(self.limits.intervals_max);
        if self.changed.len() > self.history.objects.len().saturating_mul(2).max(1_024) {
            let objects = &self.history.objects;
            self.changed.retain(|key, _| objects.contains_key(key));
        }
    }

    /// The objects that were there at `at`, pods that had ended left out, by kind, namespace, name.
    #[must_use]
    pub fn objects_at(&self, at: Timestamp) -> Vec<Object> {
        let objects = self.history.objects.values().filter_map(|spans| spans.at(at));
        let alive = objects.filter(|object| match object.as_ref() {
            Object::Pod(pod) => is_alive(pod),
            Object::Namespace(_)
            | Object::Node(_)
            | Object::Workload(_)
            | Object::Service(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Host(_)
            | Object::Other(_) => true,
        });
        alive.map(|object| Object::clone(object)).collect()
    }

    /// Grows with every change; equal generations give equal answers.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Forgets what ended before `time`.
    pub fn forget_before(&mut self, time: Timestamp) {
        self.history.forget_before(time);
    }

    /// What it holds and let go.
    #[must_use]
    pub fn stats(&self) -> InventoryStats {
        let live = self.history.objects.values().filter(|spans| spans.current().is_some());
        InventoryStats {
            objects: live.count(),
            intervals: self.history.ended(),
            evicted: self.history.evicted,
            stale: self.stale,
        }
    }

    /// Whether `object` is another one of the same name, and the end of the first was missed.
    fn is_replaced(&self, key: &ObjectKey, object: &Object) -> bool {
        let current = self.history.objects.get(key).and_then(|spans| spans.current());
        current.is_some_and(|current| {
            let (old, new) = (&current.meta().uid, &object.meta().uid);
            !old.is_empty() && !new.is_empty() && old != new
        })
    }

    fn update(&mut self, key: &Arc<ObjectKey>, times: (Timestamp, Timestamp), object: &Object) {
        match object {
            Object::Pod(pod) => self.update_pod(key, times, pod),
            Object::Host(host) => self.update_host(key, times, host),
            Object::Node(node) => self.update_node(key, times, node),
            Object::Service(service) => self.update_service(key, times, service),
            Object::Workload(workload) => self.name_anew(&workload.meta.namespace),
            Object::Namespace(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Other(_) => {}
        }
    }

    fn remove(&mut self, key: &Arc<ObjectKey>, time: Timestamp) {
        let last = self.history.objects.get(key).and_then(|spans| spans.current()).cloned();
        let Some(last) = last else { return };
        self.claim(key, (time, time), &[]);
        match last.as_ref() {
            Object::Pod(pod) => {
                for name in pod_names(pod) {
                    self.history.close_name(&name, time);
                }
                for service in self.services_of(&pod.meta.namespace) {
                    self.history.set_backend(&service, key, time, None);
                }
            }
            Object::Host(host) => self.history.close_name(&host_name(&host.meta.name), time),
            Object::Node(node) => self.history.close_name(&node_name(&node.meta.name), time),
            Object::Service(service) => {
                for (pod, _) in self.live_pods(&service.meta.namespace) {
                    self.history.set_backend(key, &pod, time, None);
                }
            }
            Object::Namespace(_)
            | Object::Workload(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Other(_) => {}
        }
        self.history.close_object(key, time);
    }

    fn update_pod(&mut self, key: &Arc<ObjectKey>, times: (Timestamp, Timestamp), pod: &Pod) {
        let alive = is_alive(pod);
        let addresses: Vec<IpAddr> =
            pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect();
        let party = self.party_of_pod(pod);
        let own = alive && !pod.spec.host_network;
        let held: Vec<_> = if own { addresses.clone() } else { Vec::new() };
        let held: Vec<_> = held.into_iter().map(|it| (it, at_address(&party, it))).collect();
        self.claim(key, times, &held);
        let first = addresses.first().filter(|_| !pod.spec.host_network);
        let party = first.map_or(Arc::clone(&party), |address| at_address(&party, *address));
        for name in pod_names(pod) {
            if alive {
                let holder = Holder { owner: Arc::clone(key), party: Arc::clone(&party) };
                self.history.open_name(&name, times.0, holder);
            } else {
                self.history.close_name(&name, times.1);
            }
        }
        for (service, object) in self.live_services(&pod.meta.namespace) {
            if let Object::Service(definition) = object.as_ref() {
                let member = Member::of(definition, pod, alive);
                self.history.set_backend(&service, key, times.0, member);
            }
        }
    }

    fn update_host(&mut self, key: &Arc<ObjectKey>, times: (Timestamp, Timestamp), host: &Host) {
        let addresses: Vec<IpAddr> =
            host.addresses.iter().map(|address| address.to_canonical()).collect();
        let party = Arc::new(Party {
            kind: PartyKind::Host,
            workload: WorkloadRef {
                namespace: host.meta.namespace.clone(),
                name: host.meta.name.clone(),
                kind: "Host".to_owned(),
            },
            pod: String::new(),
            labels: host.meta.labels.clone(),
            address: addresses.first().copied(),
            dns_name: None,
        });
        let held: Vec<_> = addresses.iter().map(|it| (*it, at_address(&party, *it))).collect();
        self.claim(key, times, &held);
        let holder = Holder { owner: Arc::clone(key), party };
        self.history.open_name(&host_name(&host.meta.name), times.0, holder);
    }

    fn update_node(&mut self, key: &Arc<ObjectKey>, times: (Timestamp, Timestamp), node: &Node) {
        let addresses: Vec<IpAddr> =
            node.addresses.iter().map(|address| address.to_canonical()).collect();
        let party = Arc::new(node_party(&node.meta.name, addresses.first().copied()));
        let held: Vec<_> = addresses.iter().map(|it| (*it, at_address(&party, *it))).collect();
        self.claim(key, times, &held);
        let holder = Holder { owner: Arc::clone(key), party };
        self.history.open_name(&node_name(&node.meta.name), times.0, holder);
        for range in &node.pod_cidrs {
            self.ranges.insert(range.network(), range.trunc());
            // Bridges and overlays take the first addresses of a node's range for the node.
            let first = range.hosts().next();
            for address in [Some(range.network()), first].into_iter().flatten() {
                self.gateways.insert(address, node.meta.name.clone());
            }
        }
    }

    fn update_service(
        &mut self,
        key: &Arc<ObjectKey>,
        times: (Timestamp, Timestamp),
        service: &Service,
    ) {
        let party = Arc::new(Party {
            kind: PartyKind::Service,
            workload: WorkloadRef {
                namespace: service.meta.namespace.clone(),
                name: service.meta.name.clone(),
                kind: "Service".to_owned(),
            },
            pod: String::new(),
            labels: Labels::new(),
            address: None,
            dns_name: None,
        });
        let addresses = service.cluster_ips.iter().map(|address| address.to_canonical());
        let held: Vec<_> = addresses.map(|it| (it, at_address(&party, it))).collect();
        self.claim(key, times, &held);
        for port in service.ports.iter().filter_map(|port| port.node_port) {
            self.node_ports.entry(port).or_default().insert(Arc::clone(key));
        }
        for (pod_key, object) in self.live_pods(&service.meta.namespace) {
            if let Object::Pod(pod) = object.as_ref() {
                let member = Member::of(service, pod, is_alive(pod));
                self.history.set_backend(key, &pod_key, times.0, member);
            }
        }
    }

    /// Makes `held` the addresses of `key`. `times`: since when, and when that became known.
    fn claim(
        &mut self,
        key: &Arc<ObjectKey>,
        (from, known): (Timestamp, Timestamp),
        held: &[(IpAddr, Arc<Party>)],
    ) {
        let before = self.claims.remove(key).unwrap_or_default();
        for address in before.keys() {
            if !held.iter().any(|(it, _)| it == address) {
                self.history.close_address(*address, known, key);
            }
        }
        let mut claims = BTreeMap::new();
        for (address, party) in held {
            let since = before.get(address).copied().unwrap_or(known);
            claims.insert(*address, since);
            let spans = self.history.addresses.get(address);
            let from = match spans.and_then(|spans| spans.current()) {
                None => from,
                Some(holder) if holder.owner == *key && holder.party == *party => continue,
                Some(holder) if holder.owner == *key => known,
                Some(holder) => {
                    let theirs = self.claims.get(&holder.owner).and_then(|it| it.get(address));
                    // A stale object that still names the address does not get it back.
                    if theirs.is_some_and(|theirs| *theirs > since) {
                        continue;
                    }
                    known
                }
            };
            let holder = Holder { owner: Arc::clone(key), party: Arc::clone(party) };
            self.history.open_address(*address, from, holder);
        }
        if !claims.is_empty() {
            self.claims.insert(Arc::clone(key), claims);
        }
    }

    /// Lists may give pods before their owners: names them again, from the beginning.
    fn name_anew(&mut self, namespace: &str) {
        for (key, object) in self.live_pods(namespace) {
            let Object::Pod(pod) = object.as_ref() else { continue };
            if pod.meta.owner.is_none() || pod.spec.host_network {
                continue;
            }
            let workload = top_of_pod(pod, self);
            let held = self.claims.get(&key).into_iter().flat_map(BTreeMap::keys).copied();
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

    fn party_of_pod(&self, pod: &Pod) -> Arc<Party> {
        if pod.spec.host_network {
            let node = pod.spec.node_name.as_deref().unwrap_or_default();
            let known = self.history.names.get(&node_name(node));
            if let Some(holder) = known.and_then(|spans| spans.current()) {
                return Arc::clone(&holder.party);
            }
            let address = pod.status.host_ip.map(|address| address.to_canonical());
            return Arc::new(node_party(node, address));
        }
        Arc::new(Party {
            kind: PartyKind::Pod,
            workload: top_of_pod(pod, self),
            pod: pod.meta.name.clone(),
            labels: pod.meta.labels.clone(),
            address: None,
            dns_name: None,
        })
    }

    fn live(&self, kind: &str, namespace: &str) -> Vec<(Arc<ObjectKey>, Arc<Object>)> {
        let from = (kind.to_owned(), namespace.to_owned(), String::new());
        let objects = self.history.objects.range(Arc::new(from)..);
        objects
            .take_while(|(key, _)| key.0 == kind && key.1 == namespace)
            .filter_map(|(key, spans)| Some((Arc::clone(key), Arc::clone(spans.current()?))))
            .collect()
    }

    fn live_pods(&self, namespace: &str) -> Vec<(Arc<ObjectKey>, Arc<Object>)> {
        self.live("Pod", namespace)
    }

    fn live_services(&self, namespace: &str) -> Vec<(Arc<ObjectKey>, Arc<Object>)> {
        self.live("Service", namespace)
    }

    fn services_of(&self, namespace: &str) -> Vec<Arc<ObjectKey>> {
        self.live_services(namespace).into_iter().map(|(key, _)| key).collect()
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

pub(crate) fn is_alive(pod: &Pod) -> bool {
    match pod.status.phase {
        PodPhase::Succeeded | PodPhase::Failed => false,
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => true,
    }
}

/// The keys of a pod in `History::names`: its uids in cgroup paths.
fn pod_names(pod: &Pod) -> impl Iterator<Item = String> {
    let mirror = pod.meta.annotations.get(MIRROR_ANNOTATION);
    let uids = [Some(&pod.meta.uid), mirror].into_iter().flatten();
    uids.filter(|uid| !uid.is_empty()).cloned().collect::<Vec<_>>().into_iter()
}

pub(crate) fn host_name(name: &str) -> String {
    format!("host/{name}")
}

pub(crate) fn node_name(name: &str) -> String {
    format!("node/{name}")
}

pub(crate) fn node_party(name: &str, address: Option<IpAddr>) -> Party {
    Party {
        kind: PartyKind::Node,
        workload: WorkloadRef {
            namespace: String::new(),
            name: name.to_owned(),
            kind: "Node".to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address,
        dns_name: None,
    }
}

pub(crate) fn at_address(party: &Arc<Party>, address: IpAddr) -> Arc<Party> {
    if party.address == Some(address) {
        return Arc::clone(party);
    }
    Arc::new(Party { address: Some(address), ..Party::clone(party) })
}

/// Since when an object that is seen for the first time was there.
fn started(object: &Object) -> Option<Timestamp> {
    match object {
        Object::Pod(pod) => pod.status.started.or(pod.meta.created),
        Object::Namespace(_)
        | Object::Node(_)
        | Object::Workload(_)
        | Object::Service(_)
        | Object::NetworkPolicy(_)
        | Object::TierPolicy(_)
        | Object::Exposure(_)
        | Object::ServiceAccount(_)
        | Object::Cilium(_)
        | Object::Calico(_)
        | Object::Host(_)
        | Object::Other(_) => object.meta().created,
    }
}

/// Whether both are the same but for where they stood in a text.
fn is_same(a: &Object, b: &Object) -> bool {
    a == b || unplaced(a) == unplaced(b)
}

fn unplaced(object: &Object) -> Object {
    let mut object = object.clone();
    object.meta_mut().position = Default::default();
    object
}

#[cfg(test)]
mod tests;
