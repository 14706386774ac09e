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

use self::naming::Dependents;
use crate::history::{History, Holder, ObjectKey};
use crate::services::Member;

mod naming;

/// Annotation of a mirror pod: the uid its static pod has in cgroup paths (Kubernetes v1.34,
/// ConfigMirrorAnnotationKey).
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Addresses that an object claims, and since when; nearly always one or two.
type Claims = Box<[(IpAddr, Timestamp)]>;

/// Clocks that differ by less are taken for the same, milliseconds: the API server tells its own to
/// the second.
const AHEAD_SLACK_MS: i64 = 2_000;

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
    claims: BTreeMap<Arc<ObjectKey>, Claims>,
    /// Ranges of pods by their first address; they don't overlap. An address of theirs that nobody holds is Unknown, not External.
    pub(crate) ranges: BTreeMap<IpAddr, IpNet>,
    /// The node's own addresses inside its pod ranges.
    pub(crate) gateways: BTreeMap<IpAddr, String>,
    /// Node port -> Services that have it now or had it.
    pub(crate) node_ports: BTreeMap<u16, BTreeSet<Arc<ObjectKey>>>,
    /// When each object changed last: an older line of it is one that was read before.
    changed: BTreeMap<Arc<ObjectKey>, Timestamp>,
    dependents: Dependents,
    stale: u64,
    generation: u64,
    /// How much the clock that stamps objects is ahead of ours.
    ahead_ms: i64,
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
        let (key, is_news) = self.look_up(change, object);
        if !is_news {
            return;
        }
        if self.changed.get(&key).is_some_and(|changed| time < *changed) {
            self.stale += 1;
            return;
        }
        self.change(time, (change, &key), Arc::new(object.clone()));
    }

    /// Takes a change that a watch tells now, and gives the time since when it holds; None if it
    /// changes nothing. Unlike [`Self::apply`], a change that seems older than the last one of its
    /// object is believed: our clock was set back.
    pub fn apply_live(
        &mut self,
        time: Timestamp,
        change: Change,
        object: &Arc<Object>,
    ) -> Option<Timestamp> {
        let (key, is_news) = self.look_up(change, object);
        let known = self.history.objects.get(&key).is_some_and(|spans| spans.current().is_some());
        if !is_news || (change == Change::Deleted && !known) {
            return None;
        }
        let time = self.changed.get(&key).map_or(time, |changed| time.max(*changed));
        Some(self.change(time, (change, &key), Arc::clone(object)))
    }

    /// The key of an object, and whether a change of it tells something new.
    fn look_up(&self, change: Change, object: &Object) -> (Arc<ObjectKey>, bool) {
        let meta = object.meta();
        let key = (object.kind().to_owned(), meta.namespace.clone(), meta.name.clone());
        let Some((known, spans)) = self.history.objects.get_key_value(&key) else {
            return (Arc::new(key), true);
        };
        let same = spans.current().is_some_and(|current| is_same(current, object));
        (Arc::clone(known), change == Change::Deleted || !same)
    }

    /// Gives the time since when the change holds.
    fn change(
        &mut self,
        time: Timestamp,
        (change, key): (Change, &Arc<ObjectKey>),
        object: Arc<Object>,
    ) -> Timestamp {
        self.changed.insert(Arc::clone(key), time);
        let mut from = time;
        if change == Change::Deleted {
            self.remove(key, time);
        } else {
            let owner = self.known_owner(key);
            if self.is_replaced(key, &object) {
                self.remove(key, time);
            }
            // Seen for the first time, it was there since its start, not since we looked.
            if owner.is_none() {
                from = time.min(self.started(&object).unwrap_or(time));
            }
            self.history.open_object(key, from, Arc::clone(&object));
            self.update(key, (from, time), &object);
            if owner.is_none_or(|owner| owner != object.meta().owner) {
                self.name_anew(key);
            }
        }
        self.generation += 1;
        self.history.bound(self.limits.intervals_max);
        if self.changed.len() > self.history.objects.len().saturating_mul(2).max(1_024) {
            let objects = &self.history.objects;
            self.changed.retain(|key, _| objects.contains_key(key));
        }
        from
    }

    /// Says how much the clock that stamps objects (`creationTimestamp`, `startTime`) is ahead of
    /// the clock of our times, milliseconds. Less than it can be measured to counts as nothing.
    pub fn set_ahead_ms(&mut self, ahead_ms: i64) {
        self.ahead_ms = if ahead_ms.abs() > AHEAD_SLACK_MS { ahead_ms } else { 0 };
    }

    /// Since when an object that is seen for the first time was there, by our clock.
    fn started(&self, object: &Object) -> Option<Timestamp> {
        let told = started(object)?;
        let off_ns = self.ahead_ms.unsigned_abs().saturating_mul(1_000_000);
        let nanos = match self.ahead_ms > 0 {
            true => told.nanos().saturating_sub(off_ns),
            false => told.nanos().saturating_add(off_ns),
        };
        Some(Timestamp::from_nanos(nanos))
    }

    /// Namespace and name of the objects of a kind that are there now, in order.
    #[must_use]
    pub fn live_names(&self, kind: &str) -> Vec<(String, String)> {
        let from = (kind.to_owned(), String::new(), String::new());
        let of_kind =
            self.history.objects.range(Arc::new(from)..).take_while(|(it, _)| it.0 == kind);
        let live = of_kind.filter(|(_, spans)| spans.current().is_some());
        live.map(|(key, _)| (key.1.clone(), key.2.clone())).collect()
    }

    /// The objects that were there at `at`, pods that had ended left out, by kind, namespace, name.
    #[must_use]
    pub fn objects_at(&self, at: Timestamp) -> Vec<Object> {
        self.shared_at(at).iter().map(|object| Object::clone(object)).collect()
    }

    /// The same as [`Self::objects_at`], without copies of them.
    #[must_use]
    pub fn shared_at(&self, at: Timestamp) -> Vec<Arc<Object>> {
        alive(self.history.objects.values().filter_map(|spans| spans.at(at)))
    }

    /// The objects as they were last heard of, also if their times are ahead of ours by a clock's
    /// skew, or by the moment since we looked at it: what a decision about now is to be made of.
    #[must_use]
    pub fn shared_now(&self) -> Vec<Arc<Object>> {
        alive(self.history.objects.values().filter_map(|spans| spans.current()))
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

    fn update(
        &mut self,
        key: &Arc<ObjectKey>,
        times: (Timestamp, Timestamp),
        object: &Arc<Object>,
    ) {
        match object.as_ref() {
            Object::Pod(pod) => {
                self.update_pod(key, times, pod);
                self.update_backend(key, times.0, object);
            }
            Object::Host(host) => self.update_host(key, times, host),
            Object::Node(node) => self.update_node(key, times, node),
            Object::Service(service) => self.update_service(key, times, service),
            Object::EndpointSlice(_) => self.update_backend(key, times.0, object),
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
    }

    fn remove(&mut self, key: &Arc<ObjectKey>, time: Timestamp) {
        let last = self.history.objects.get(key).and_then(|spans| spans.current()).cloned();
        let Some(last) = last else { return };
        self.claim(key, (time, time), &[]);
        self.dependents.remove(key);
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
                let namespace = &service.meta.namespace;
                for (member, _) in
                    self.live_pods(namespace).into_iter().chain(self.live_slices(namespace))
                {
                    self.history.set_backend(key, &member, time, None);
                }
            }
            Object::EndpointSlice(slice) => {
                for service in self.services_of(&slice.meta.namespace) {
                    self.history.set_backend(&service, key, time, None);
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
        let party = self.party_of_pod(key, pod);
        let own = alive && !pod.spec.host_network;
        let held: Vec<_> = if own { addresses.clone() } else { Vec::new() };
        let held: Vec<_> = held.into_iter().map(|it| (it, at_address(&party, it))).collect();
        self.claim(key, times, &held);
        for name in pod_names(pod) {
            if alive {
                let holder = Holder { owner: Arc::clone(key), party: Arc::clone(&party) };
                self.history.open_name(&name, times.0, holder);
            } else {
                self.history.close_name(&name, times.1);
            }
        }
    }

    /// What a pod or a slice offers to the Services of its namespace.
    fn update_backend(&mut self, key: &Arc<ObjectKey>, from: Timestamp, object: &Arc<Object>) {
        for (service, definition) in self.live_services(&object.meta().namespace) {
            if let Object::Service(definition) = definition.as_ref() {
                let member = Member::of(definition, object);
                self.history.set_backend(&service, key, from, member);
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
        let namespace = &service.meta.namespace;
        for (member, object) in
            self.live_pods(namespace).into_iter().chain(self.live_slices(namespace))
        {
            let offer = Member::of(service, &object);
            self.history.set_backend(key, &member, times.0, offer);
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
        for (address, _) in &before {
            if !held.iter().any(|(it, _)| it == address) {
                self.history.close_address(*address, known, key);
            }
        }
        let mut claims = Vec::with_capacity(held.len());
        for (address, party) in held {
            let since = since(&before, *address).unwrap_or(known);
            claims.push((*address, since));
            let spans = self.history.addresses.get(address);
            let from = match spans.and_then(|spans| spans.current()) {
                None => from,
                Some(holder) if holder.owner == *key && holder.party == *party => continue,
                Some(holder) if holder.owner == *key => known,
                Some(holder) => {
                    let theirs = self.claims.get(&holder.owner);
                    let theirs = theirs.and_then(|theirs| self::since(theirs, *address));
                    // A stale object that still names the address does not get it back.
                    if theirs.is_some_and(|theirs| theirs > since) {
                        continue;
                    }
                    // Seen for the first time with the address of another: nobody told when that
                    // one lost it, which was when this one began at the latest.
                    theirs.map_or(known, |theirs| from.max(theirs))
                }
            };
            let holder = Holder { owner: Arc::clone(key), party: Arc::clone(party) };
            self.history.open_address(*address, from, holder);
        }
        if !claims.is_empty() {
            self.claims.insert(Arc::clone(key), claims.into());
        }
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

    fn live_slices(&self, namespace: &str) -> Vec<(Arc<ObjectKey>, Arc<Object>)> {
        self.live("EndpointSlice", namespace)
    }

    fn live_services(&self, namespace: &str) -> Vec<(Arc<ObjectKey>, Arc<Object>)> {
        self.live("Service", namespace)
    }

    fn services_of(&self, namespace: &str) -> Vec<Arc<ObjectKey>> {
        self.live_services(namespace).into_iter().map(|(key, _)| key).collect()
    }
}

/// Since when an address is claimed.
fn since(claims: &[(IpAddr, Timestamp)], address: IpAddr) -> Option<Timestamp> {
    claims.iter().find(|(claimed, _)| *claimed == address).map(|(_, since)| *since)
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
        | Object::EndpointSlice(_)
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

/// Without pods that had ended.
fn alive<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Vec<Arc<Object>> {
    let alive = objects.filter(|object| match object.as_ref() {
        Object::Pod(pod) => is_alive(pod),
        Object::Namespace(_)
        | Object::Node(_)
        | Object::Workload(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::NetworkPolicy(_)
        | Object::TierPolicy(_)
        | Object::Exposure(_)
        | Object::ServiceAccount(_)
        | Object::Cilium(_)
        | Object::Calico(_)
        | Object::Host(_)
        | Object::Other(_) => true,
    });
    alive.cloned().collect()
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
