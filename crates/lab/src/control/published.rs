//! What the lab publishes beside the journal: nodes.json, the DNS zone, the scrape targets and the
//! nodes' Service tables. Files are replaced as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use sekisho_manifest::{LabelSelector, Meta};
use serde::Serialize;

use super::cluster::{Cluster, LivePod};
use super::kubelets::Kubelets;
use super::services::{self, Backend, Route};
use super::{LAB_DNS, LabNode};
use crate::plan;
use crate::protocol::ToKubelet;
use crate::{TARGETS_FILE, ZONE_FILE};

/// Names of headless Services and StatefulSet pods end in this.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// What was published last, so that only changes are written.
#[derive(Debug, Default)]
pub(super) struct Published {
    zone: String,
    targets: String,
    scripts: BTreeMap<String, String>,
}

impl Published {
    /// Publishes everything that changed.
    pub(super) fn update(&mut self, cluster: &mut Cluster, kubelets: &Kubelets) {
        let shared = cluster.state.shared();
        let files = [
            (ZONE_FILE, zone(cluster), &mut self.zone),
            (TARGETS_FILE, targets(cluster), &mut self.targets),
        ];
        let mut troubles = Vec::new();
        for (name, text, last) in files {
            if text != *last {
                match replace(&shared.join(name), &text) {
                    Ok(()) => *last = text,
                    Err(error) => troubles.push(format!("replace `{name}`: {error}")),
                }
            }
        }
        troubles.into_iter().for_each(|message| cluster.trouble(message));
        let routes = routes(cluster);
        let names: Vec<String> = kubelets.names().cloned().collect();
        for name in names {
            let script = services::script(&routes, &own_addresses(cluster, &name));
            if self.scripts.get(&name) != Some(&script) {
                kubelets.send(&name, ToKubelet::Services { script: script.clone() });
                self.scripts.insert(name, script);
            }
        }
    }

    /// A new kubelet has no tables: send them again.
    pub(super) fn forget(&mut self, node: &str) {
        self.scripts.remove(node);
    }
}

fn own_addresses(cluster: &Cluster, kubelet: &str) -> Vec<IpAddr> {
    cluster.node(kubelet).map(|node| node.public.addresses.clone()).unwrap_or_default()
}

/// Replaces a file as a whole.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

/// Writes nodes.json.
pub(super) fn write_nodes(path: &Path, nodes: &[LabNode]) -> io::Result<()> {
    replace(path, &serde_json::to_string_pretty(nodes)?)
}

fn ready_pods<'a>(cluster: &'a Cluster, namespace: &str) -> impl Iterator<Item = &'a LivePod> {
    let namespace = namespace.to_owned();
    cluster.pods.values().filter(move |live| {
        live.pod.meta.namespace == namespace && live.is_active() && live.pod.status.ready
    })
}

fn routes(cluster: &Cluster) -> Vec<Route> {
    let mut all = Vec::new();
    for service in cluster.services().filter(|service| !service.selector.is_empty()) {
        let selector = LabelSelector::of(service.selector.clone());
        let backends: Vec<Backend<'_>> = ready_pods(cluster, &service.meta.namespace)
            .filter(|live| selector.matches(&live.pod.meta.labels))
            .map(|live| Backend { addresses: &live.pod.status.pod_ips, spec: &live.pod.spec })
            .collect();
        all.extend(services::routes(service, &backends));
    }
    all.sort();
    all
}

/// name -> addresses, for the DNS server: Services, pods of headless Services, and the names that
/// hosts give themselves.
fn zone(cluster: &Cluster) -> String {
    let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for service in cluster.services() {
        let Meta { name, namespace, .. } = &service.meta;
        let full = format!("{name}.{namespace}.{CLUSTER_DOMAIN}");
        let mut addresses = service.cluster_ips.clone();
        if service.headless {
            let selector = LabelSelector::of(service.selector.clone());
            for live in ready_pods(cluster, namespace) {
                if selector.matches(&live.pod.meta.labels) {
                    let ips = live.pod.status.pod_ips.clone();
                    addresses.extend(ips.iter());
                    names.insert(format!("{}.{full}", live.pod.meta.name), ips);
                }
            }
        }
        names.insert(full, addresses);
    }
    for machine in cluster.machines.values() {
        let host = &machine.host;
        let given = host.meta.annotations.get(LAB_DNS).map(String::as_str).unwrap_or_default();
        for name in given.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            names.entry(name.to_ascii_lowercase()).or_default().extend(&host.addresses);
        }
    }
    serde_json::to_string(&names).unwrap_or_default()
}

#[derive(Serialize)]
struct Target {
    pod: String,
    address: std::net::SocketAddr,
}

/// Pods that ask to be scraped (annotations `prometheus.io/scrape` and `prometheus.io/port`).
fn targets(cluster: &Cluster) -> String {
    let mut targets = Vec::new();
    for live in cluster.pods.values().filter(|live| live.is_active() && live.pod.status.ready) {
        let Meta { name, namespace, annotations, .. } = &live.pod.meta;
        let wanted = annotations.get("prometheus.io/scrape").is_some_and(|value| value == "true");
        let port = annotations.get("prometheus.io/port").and_then(|port| port.parse().ok());
        if let (true, Some(port), Some(ip)) = (wanted, port, live.pod.status.pod_ips.first()) {
            let address = std::net::SocketAddr::new(*ip, port);
            targets.push(Target { pod: format!("{namespace}/{name}"), address });
        }
    }
    serde_json::to_string(&targets).unwrap_or_default()
}

/// Gives a Service its addresses: those of its manifest, the well-known one of the cluster's DNS,
/// or the next free ones.
pub(super) fn give_addresses(cluster: &Cluster, service: &mut sekisho_manifest::Service) {
    let is_external = service.external_name.is_some() || service.service_type == "ExternalName";
    if service.headless || is_external || !service.cluster_ips.is_empty() {
        return;
    }
    let key = super::cluster::meta_key(&service.meta);
    if let Some(sekisho_manifest::Object::Service(old)) = cluster.object("Service", &key) {
        service.cluster_ips.clone_from(&old.cluster_ips);
        return;
    }
    let taken: Vec<u16> = cluster
        .services()
        .flat_map(|other| &other.cluster_ips)
        .filter_map(|ip| plan::service_index(*ip))
        .collect();
    let is_dns = key == ("kube-system".to_owned(), "kube-dns".to_owned());
    let index = is_dns
        .then(|| plan::service_index(plan::DNS_SERVICE.into()))
        .flatten()
        // The first hundred are left for those that manifests give.
        .or_else(|| (100..u16::MAX).find(|index| !taken.contains(index)));
    if let Some(index) = index {
        // One family, as ipFamilyPolicy SingleStack, the default: manifests that want IPv6 name an
        // address.
        service.cluster_ips = vec![plan::service_addresses(index).0.into()];
    }
}
