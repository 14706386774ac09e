//! Where things are, as the inventory knows it: what groups nodes and no connection tells.

use std::collections::BTreeMap;

use sekisho_model::{ClusterName, Labels};

/// Labels of namespaces, and the machines that pods are on, of any number of clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<ClusterName, BTreeMap<String, Space>>);

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Space {
    labels: Labels,
    /// Name of the machine, by name of the pod.
    machines: BTreeMap<String, String>,
}

impl Places {
    fn space(&mut self, cluster: &ClusterName, namespace: &str) -> &mut Space {
        let spaces = self.0.entry(cluster.clone()).or_default();
        spaces.entry(namespace.to_owned()).or_default()
    }

    /// Learns the labels of a namespace.
    pub fn add_namespace(&mut self, cluster: &ClusterName, name: &str, labels: &Labels) {
        self.space(cluster, name).labels = labels.clone();
    }

    /// Learns which machine a pod is on.
    pub fn add_pod(&mut self, cluster: &ClusterName, namespace: &str, pod: &str, machine: &str) {
        self.space(cluster, namespace).machines.insert(pod.to_owned(), machine.to_owned());
    }

    fn known(&self, cluster: &ClusterName, namespace: &str) -> Option<&Space> {
        self.0.get(cluster)?.get(namespace)
    }

    /// A label of a namespace.
    pub(crate) fn label(&self, cluster: &ClusterName, namespace: &str, key: &str) -> Option<&str> {
        self.known(cluster, namespace)?.labels.get(key).map(String::as_str)
    }

    /// The machine that a pod is on; None if nobody knows, as of pods that are gone.
    pub(crate) fn machine(
        &self,
        cluster: &ClusterName,
        namespace: &str,
        pod: &str,
    ) -> Option<&str> {
        self.known(cluster, namespace)?.machines.get(pod).map(String::as_str)
    }
}
