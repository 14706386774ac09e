//! The inventory's answers to the joiner.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_flow::{Directory, ServiceTarget};
use sekisho_manifest::{Object, Service};
use sekisho_model::{Labels, Party, PartyKind, Protocol, ServiceRef, Timestamp, WorkloadRef};

use crate::cgroup::pod_uid;
use crate::history::ObjectKey;
use crate::inventory::{Inventory, host_name, node_name, node_party};

/// Watch and kernel don't tell in step: who had an address at most this long before or after, if
/// nobody had it then, had it. Seconds.
const ADDRESS_SLACK_S: u64 = 2;

impl Directory for Inventory {
    fn party_of_cgroup(&self, node: &str, cgroup: &str, at: Timestamp) -> Option<Arc<Party>> {
        if let Some(uid) = pod_uid(cgroup) {
            // A uid is never reused, so that a pod's late flows are still its own. A pod that is
            // not known yet must not pass for its node.
            return self.named(&uid, at);
        }
        if let Some(host) = self.named(&host_name(node), at) {
            return Some(host);
        }
        // An unknown cgroup on a node may be any pod's.
        if cgroup.is_empty() { None } else { self.named(&node_name(node), at) }
    }

    fn party_of_address(
        &self,
        address: IpAddr,
        dns_name: Option<&str>,
        at: Timestamp,
    ) -> Arc<Party> {
        let address = address.to_canonical();
        if let Some(party) = self.holder_of_address(address, at) {
            return party;
        }
        let range = self.ranges.range(..=address).next_back();
        if range.is_some_and(|(_, range)| range.contains(&address)) {
            return Arc::new(unknown(address));
        }
        Arc::new(Party::external(address, dns_name.map(str::to_owned)))
    }

    fn holder_of_address(&self, address: IpAddr, at: Timestamp) -> Option<Arc<Party>> {
        let address = address.to_canonical();
        let spans = self.history.addresses.get(&address);
        if let Some(holder) = spans.and_then(|spans| spans.near(at, ADDRESS_SLACK_S)) {
            return Some(Arc::clone(&holder.party));
        }
        let node = self.gateways.get(&address)?;
        Some(Arc::new(node_party(node, Some(address))))
    }

    fn service_at(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<ServiceTarget> {
        let ip = address.ip().to_canonical();
        let holder = self.history.addresses.get(&ip)?.near(at, ADDRESS_SLACK_S)?;
        match holder.party.kind {
            PartyKind::Service => self.target(&holder.owner, at, |service| {
                let mut ports = service.ports.iter();
                ports
                    .find(|own| own.port == address.port() && own.protocol == protocol)
                    .map(|own| (own.port, own.protocol, ip))
            }),
            PartyKind::Node => {
                let services = self.node_ports.get(&address.port())?;
                services.iter().find_map(|key| {
                    self.target(key, at, |service| {
                        let mut ports = service.ports.iter();
                        ports
                            .find(|own| {
                                own.node_port == Some(address.port()) && own.protocol == protocol
                            })
                            .map(|own| (own.port, own.protocol, ip))
                    })
                })
            }
            PartyKind::Pod | PartyKind::Host | PartyKind::External | PartyKind::Unknown => None,
        }
    }
}

impl Inventory {
    fn named(&self, name: &str, at: Timestamp) -> Option<Arc<Party>> {
        self.history.names.get(name)?.nearest(at).map(|holder| Arc::clone(&holder.party))
    }

    /// The port of a Service that `pick` chooses, with its backends.
    fn target(
        &self,
        key: &Arc<ObjectKey>,
        at: Timestamp,
        pick: impl Fn(&Service) -> Option<(u16, Protocol, IpAddr)>,
    ) -> Option<ServiceTarget> {
        let object = self.history.objects.get(key)?.near(at, ADDRESS_SLACK_S)?;
        let Object::Service(service) = object.as_ref() else { return None };
        let (port, protocol, address) = pick(service)?;
        let backends = self.history.backends.get(key);
        Some(ServiceTarget {
            service: ServiceRef {
                namespace: service.meta.namespace.clone(),
                name: service.meta.name.clone(),
                port,
            },
            backends: backends.map(|it| it.at(port, protocol, address, at)).unwrap_or_default(),
        })
    }
}

fn unknown(address: IpAddr) -> Party {
    Party {
        kind: PartyKind::Unknown,
        workload: WorkloadRef {
            namespace: String::new(),
            name: address.to_string(),
            kind: "Unknown".to_owned(),
        },
        pod: String::new(),
        labels: Labels::new(),
        address: Some(address),
        dns_name: None,
    }
}
