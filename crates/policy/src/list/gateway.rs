//! Workloads that an ingress controller reaches through Ingress and Route objects.

use std::collections::BTreeMap;

use sekisho_manifest::{Exposure, Ingress, IngressBackend, Object, PortRef, Route, Service};
use sekisho_model::{Labels, PartyKind, Protocol, WorkloadRef};

use super::End;
use super::end::{CONTROLLER_NAME, CONTROLLER_NAMESPACE};
use crate::{Cluster, Endpoint, Party, PortSet, Reach};

/// Which ports of which workloads an ingress controller connects to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControllerTargets {
    ports: BTreeMap<End, PortSet>,
    /// What each object exposes.
    exposed: BTreeMap<End, BTreeMap<Exposed, PortSet>>,
}

/// An object and the Service through which it exposes a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exposed {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// `namespace/name` of the object.
    pub(crate) name: String,
    /// Name of the Service.
    pub(crate) service: String,
}

/// A Service that an object exposes.
struct Backend<'a> {
    namespace: &'a str,
    service: &'a str,
    /// Port of the Service; None = all.
    port: Option<&'a PortRef>,
}

impl ControllerTargets {
    /// Follows Ingress and Route objects to the pods behind their Services, the way
    /// np-guard/netpol-analyzer does: a backend's port names a port of the Service by number, by
    /// name or by target port, and only ports that a container declares are reached, over TCP.
    pub(crate) fn of(objects: &[Object], cluster: &Cluster) -> Self {
        let mut targets = Self::default();
        for object in objects {
            let Object::Exposure(exposure) = object else { continue };
            let backends = match exposure {
                Exposure::Ingress(ingress) => ingress_backends(ingress),
                Exposure::Route(route) => route_backends(route),
                Exposure::Gateway(_) | Exposure::GatewayRoute(_) | Exposure::ReferenceGrant(_) => {
                    continue;
                }
            };
            let meta = exposure.meta();
            let name = format!("{}/{}", meta.namespace, meta.name);
            for backend in backends {
                let service = backend.service.to_owned();
                let by = Exposed { kind: exposure.kind(), name: name.clone(), service };
                targets.add(&backend, &by, cluster);
            }
        }
        targets
    }

    fn add(&mut self, backend: &Backend<'_>, by: &Exposed, cluster: &Cluster) {
        let called = |service: &&Service| {
            service.meta.namespace == backend.namespace && service.meta.name == backend.service
        };
        let Some(service) = cluster.services.iter().find(called) else { return };
        let selected = |endpoint: &&Endpoint| {
            let labels = &endpoint.labels;
            endpoint.namespace == backend.namespace
                && service.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        if service.selector.is_empty() {
            return;
        }
        for endpoint in cluster.endpoints.iter().filter(selected) {
            let reached = reached_ports(service, backend.port, endpoint);
            let known = self.ports.entry(End::workload(&endpoint.workload)).or_default();
            *known = known.union(&reached);
            let exposed = self.exposed.entry(End::workload(&endpoint.workload)).or_default();
            let known = exposed.entry(by.clone()).or_default();
            *known = known.union(&reached);
        }
    }

    /// The workloads that are exposed, and by what.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (&End, &BTreeMap<Exposed, PortSet>)> {
        self.exposed.iter()
    }

    /// The exposed ports of a workload.
    pub(crate) fn ports(&self, end: &End) -> Option<&PortSet> {
        self.ports.get(end)
    }

    /// The cluster with the controller's pod in it; None if nothing is exposed.
    pub(crate) fn add_controller(&self, cluster: &Cluster) -> Option<Cluster> {
        if self.ports.is_empty() {
            return None;
        }
        let mut cluster = cluster.clone();
        cluster.endpoints.push(controller());
        Some(cluster)
    }

    /// Whether `endpoint` is the pod that [`Self::add_controller`] adds.
    pub(crate) fn is_controller(&self, endpoint: &Endpoint) -> bool {
        !self.ports.is_empty()
            && endpoint.namespace == CONTROLLER_NAMESPACE
            && endpoint.name == CONTROLLER_NAME
    }

    /// The party of that pod.
    pub(crate) fn party(&self, reach: &Reach, cluster: &Cluster) -> Option<usize> {
        let own = cluster.endpoints.iter().position(|endpoint| self.is_controller(endpoint))?;
        reach.parties().iter().position(|party| match party {
            Party::Endpoints(list) => list.contains(&own),
            Party::Addresses(_) | Party::Domain(_) => false,
        })
    }
}

/// The pod that stands for all ingress controllers.
pub(crate) fn controller() -> Endpoint {
    Endpoint {
        namespace: CONTROLLER_NAMESPACE.to_owned(),
        name: CONTROLLER_NAME.to_owned(),
        workload: WorkloadRef {
            namespace: CONTROLLER_NAMESPACE.to_owned(),
            name: CONTROLLER_NAME.to_owned(),
            kind: "Pod".to_owned(),
        },
        kind: PartyKind::Pod,
        labels: Labels::new(),
        addresses: Vec::new(),
        ports: Vec::new(),
        host_network: false,
        node: None,
        service_account: None,
    }
}

fn ingress_backends(ingress: &Ingress) -> Vec<Backend<'_>> {
    let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
    let all = ingress.default_backend.iter().chain(paths);
    let services = all.filter_map(|backend| match backend {
        IngressBackend::Service { name, port } => {
            Some(Backend { namespace: &ingress.meta.namespace, service: name, port: Some(port) })
        }
        IngressBackend::Resource { .. } => None,
    });
    services.collect()
}

fn route_backends(route: &Route) -> Vec<Backend<'_>> {
    let backend = |service| Backend {
        namespace: &route.meta.namespace,
        service,
        port: route.target_port.as_ref(),
    };
    route.backends.iter().map(|one| backend(one.service.as_str())).collect()
}

/// Ports of the pod behind a port of the Service.
fn reached_ports(service: &Service, wanted: Option<&PortRef>, endpoint: &Endpoint) -> PortSet {
    let is_wanted = |port: &&sekisho_manifest::ServicePort| match wanted {
        None => true,
        Some(wanted @ PortRef::Number(number)) => {
            port.port == *number || port.target_port == *wanted
        }
        Some(wanted @ PortRef::Name(name)) => port.name == *name || port.target_port == *wanted,
    };
    let mut matching: Vec<_> = service.ports.iter().filter(is_wanted).collect();
    if wanted.is_some() {
        matching.truncate(1);
    }
    let mut reached = PortSet::none();
    for port in matching {
        let number = match &port.target_port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => {
                let named = endpoint.ports.iter().find(|own| own.name == *name);
                named.filter(|own| own.protocol == Protocol::Tcp).map(|own| own.port)
            }
        };
        // A declared port counts whatever its protocol is.
        let declared = number.filter(|number| endpoint.ports.iter().any(|own| own.port == *number));
        if let Some(number) = declared {
            reached = reached.union(&PortSet::range(Protocol::Tcp, number, number));
        }
    }
    reached
}
