//! The lab's objects and pods, and the journal of their changes. Only the supervisor's thread
//! touches them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use sekisho_manifest::{
    Host, Meta, Object, OwnerRef, Pod, PodPhase, Service, Workload, WorkloadKind,
};
use sekisho_model::Labels;

use super::LabNode;
use super::journal::{Change, Journal};
use crate::plan::{Names, StateDir};
use crate::protocol::PodReport;

/// Troubles kept for `lab status`.
const TROUBLES_MAX: usize = 20;

/// `(namespace, name)`.
pub(super) type Key = (String, String);

/// A Kubernetes node of the lab.
#[derive(Debug)]
pub(super) struct NodeState {
    /// From 1.
    pub(super) number: u8,
    /// What others see of it.
    pub(super) public: LabNode,
    /// Labels, for nodeSelector.
    pub(super) labels: Labels,
    /// The host number in the node's range that was given out last.
    pub(super) last_index: u8,
}

/// A pod, and what the supervisor knows beyond the object.
#[derive(Debug)]
pub(super) struct LivePod {
    /// The object as the journal has it.
    pub(super) pod: Pod,
    /// Host number in its node's range; 0 for a pod on the host network.
    pub(super) index: u8,
    /// Told to stop; it stays until its kubelet says it is gone.
    pub(super) stopping: bool,
    /// The kubelet's last report.
    pub(super) report: PodReport,
}

impl LivePod {
    /// Whether the pod works or is about to: neither ended nor told to stop.
    pub(super) fn is_active(&self) -> bool {
        !self.stopping && matches!(self.pod.status.phase, PodPhase::Pending | PodPhase::Running)
    }
}

/// A host's processes.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) uid: String,
    /// Name of the kubelet that runs it: the host's own, or `internet`.
    pub(super) kubelet: String,
    pub(super) host: Host,
    pub(super) report: PodReport,
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) names: Names,
    pub(super) state: StateDir,
    /// cgroup2 mount + the lab's folder.
    pub(super) cgroup_root: PathBuf,
    pub(super) program: PathBuf,
    pub(super) nodes: Vec<NodeState>,
    /// (kind, namespace, name) -> object; pods and internet hosts are elsewhere.
    objects: BTreeMap<(String, String, String), Object>,
    pub(super) pods: BTreeMap<Key, LivePod>,
    pub(super) machines: BTreeMap<Key, Machine>,
    journal: Journal,
    pub(super) troubles: VecDeque<String>,
    /// Counts everything named by number.
    pub(super) serial: u64,
}

impl Cluster {
    pub(super) fn new(
        state: StateDir,
        cgroup_root: PathBuf,
        program: PathBuf,
        journal: Journal,
    ) -> Self {
        Self {
            names: Names::of(state.path()),
            state,
            cgroup_root,
            program,
            nodes: Vec::new(),
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            machines: BTreeMap::new(),
            journal,
            troubles: VecDeque::new(),
            serial: 0,
        }
    }

    /// Notes what went wrong, for `lab status` and the log.
    pub(super) fn trouble(&mut self, message: String) {
        tracing::warn!(message, "lab");
        if self.troubles.len() >= TROUBLES_MAX {
            self.troubles.pop_front();
        }
        self.troubles.push_back(message);
    }

    /// Appends a change to the journal.
    pub(super) fn record(&mut self, change: Change, object: &Object) {
        if let Err(message) = self.journal.append(change, object) {
            self.trouble(message);
        }
    }

    /// Adds or replaces an object; an unchanged one is not journalled again.
    pub(super) fn put(&mut self, object: Object) {
        let key = key_of(&object);
        let change = match self.objects.get(&key) {
            Some(old) if *old == object => return,
            Some(_) => Change::Modified,
            None => Change::Added,
        };
        self.record(change, &object);
        self.objects.insert(key, object);
    }

    /// Removes an object; false if it is not there.
    pub(super) fn remove(&mut self, kind: &str, key: &Key) -> bool {
        let full = (kind.to_owned(), key.0.clone(), key.1.clone());
        let Some(object) = self.objects.remove(&full) else { return false };
        self.record(Change::Deleted, &object);
        true
    }

    /// The object of that kind and name.
    pub(super) fn object(&self, kind: &str, key: &Key) -> Option<&Object> {
        self.objects.get(&(kind.to_owned(), key.0.clone(), key.1.clone()))
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.objects.values().filter_map(|object| match object {
            Object::Service(service) => Some(service),
            _ => None,
        })
    }

    pub(super) fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.objects.values().filter_map(|object| match object {
            Object::Workload(workload) => Some(workload),
            _ => None,
        })
    }

    /// Workloads of one kind, copied so that they can be changed while walking over them.
    pub(super) fn workloads_of(&self, kind: WorkloadKind) -> Vec<Workload> {
        self.workloads().filter(|workload| workload.kind == kind).cloned().collect()
    }

    /// The workload of a manifest (one that no other workload owns) with that name.
    pub(super) fn workload(&self, key: &Key) -> Option<&Workload> {
        self.workloads().find(|it| it.meta.owner.is_none() && meta_key(&it.meta) == *key)
    }

    /// Keys of the pods of an owner, sorted.
    pub(super) fn pods_of(&self, kind: &str, namespace: &str, name: &str) -> Vec<Key> {
        let owned = |live: &LivePod| {
            let meta = &live.pod.meta;
            meta.namespace == namespace
                && meta.owner.as_ref().is_some_and(|it| it.kind == kind && it.name == name)
        };
        self.pods.iter().filter(|(_, live)| owned(live)).map(|(key, _)| key.clone()).collect()
    }

    /// Changes a pod's object and journals it if that made a difference.
    pub(super) fn change_pod(&mut self, key: &Key, change: impl FnOnce(&mut Pod)) {
        let Some(live) = self.pods.get_mut(key) else { return };
        let before = live.pod.clone();
        change(&mut live.pod);
        if live.pod != before {
            let object = Object::Pod(live.pod.clone());
            self.record(Change::Modified, &object);
        }
    }

    pub(super) fn node(&self, name: &str) -> Option<&NodeState> {
        self.nodes.iter().find(|node| node.public.name == name)
    }

    /// The next number for a name.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// The owner reference to a workload.
pub(super) fn owner_of(workload: &Workload) -> OwnerRef {
    OwnerRef { kind: workload.kind.as_str().to_owned(), name: workload.meta.name.clone() }
}

pub(super) fn meta_key(meta: &Meta) -> Key {
    (meta.namespace.clone(), meta.name.clone())
}

fn key_of(object: &Object) -> (String, String, String) {
    let meta = object.meta();
    (object.kind().to_owned(), meta.namespace.clone(), meta.name.clone())
}
