//! Who stood behind a Service at a time: the pods that it selects, or, where it selects none, what its
//! EndpointSlices say (the API server itself, databases outside).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_manifest::{EndpointSlice, Object, Pod, PortRef, Service};
use sekisho_model::{Protocol, Timestamp};

use crate::history::ObjectKey;
use crate::inventory::is_alive;
use crate::spans::Span;

/// NAT rules follow the pods with a delay, and draining pods keep what was sent to them: a backend
/// counts this much before and after its time, seconds.
const BACKEND_SLACK_S: u64 = 5;

/// Port of a Service, protocol, port behind it; a named target port is the pod's own.
type PortPair = (u16, Protocol, u16);

/// What one pod, or one slice, offers to a Service. There is one for each pair of Service and pod, so
/// that it holds nothing of its own: a namespace with many of both has very many of these.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The pod or slice, whose addresses they are.
    source: Arc<Object>,
    ports: Arc<[PortPair]>,
}

impl Member {
    /// What `object` offers to `service`, ready or not; None if it is not selected or can't be
    /// reached.
    pub(crate) fn of(service: &Service, object: &Arc<Object>) -> Option<Self> {
        let ports: Vec<PortPair> = match object.as_ref() {
            Object::Pod(pod) => pod_ports(service, pod)?,
            Object::EndpointSlice(slice) => slice_ports(service, slice)?,
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
            | Object::Other(_) => return None,
        };
        Some(Self { source: Arc::clone(object), ports: ports.into() })
    }

    fn addresses(&self) -> &[IpAddr] {
        match self.source.as_ref() {
            Object::Pod(pod) => &pod.status.pod_ips,
            Object::EndpointSlice(slice) => &slice.addresses,
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
            | Object::Other(_) => &[],
        }
    }

    /// Whether both offer the same, whatever else changed of the pod.
    fn is_same(&self, other: &Self) -> bool {
        self.addresses() == other.addresses() && self.ports == other.ports
    }
}

fn pod_ports(service: &Service, pod: &Pod) -> Option<Vec<PortPair>> {
    let labels = &pod.meta.labels;
    let selected = !service.selector.is_empty()
        && service.selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    if !selected || !is_alive(pod) || pod.status.pod_ips.is_empty() {
        return None;
    }
    let target = |port: &sekisho_manifest::ServicePort| match &port.target_port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => pod
            .spec
            .ports()
            .find(|own| own.name == *name && own.protocol == port.protocol)
            .map(|own| own.port),
    };
    let pairs = service.ports.iter();
    Some(pairs.filter_map(|port| Some((port.port, port.protocol, target(port)?))).collect())
}

/// None if the slice is another Service's, or the Service selects pods, which are known sooner and
/// in more detail than its slices.
fn slice_ports(service: &Service, slice: &EndpointSlice) -> Option<Vec<PortPair>> {
    let is_own = slice.service() == Some(service.meta.name.as_str());
    if !is_own || !service.selector.is_empty() || slice.addresses.is_empty() {
        return None;
    }
    let target = |port: &sekisho_manifest::ServicePort| {
        let mut own = slice.ports.iter();
        own.find(|own| own.name == port.name && own.protocol == port.protocol)
            .map(|own| (port.port, port.protocol, own.port))
    };
    Some(service.ports.iter().filter_map(target).collect())
}

/// The pods behind one Service, now and before.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    now: BTreeMap<Arc<ObjectKey>, (Timestamp, Member)>,
    /// In order of their end.
    past: VecDeque<Span<Member>>,
}

impl Backends {
    /// Sets what `pod` offers from `from` on; gives the time at which an interval ended, if one did.
    pub(crate) fn set(
        &mut self,
        pod: &Arc<ObjectKey>,
        from: Timestamp,
        mut member: Option<Member>,
    ) -> Option<Timestamp> {
        match (self.now.get_mut(pod), &mut member) {
            (None, None) => return None,
            (Some((_, known)), Some(new)) if known.is_same(new) => {
                // The version of the pod that is known needs not be kept for this.
                known.source = Arc::clone(&new.source);
                return None;
            }
            (_, Some(new)) => {
                // All pods of a Service have the same ports as a rule.
                let shared = self.now.values().next().map(|(_, one)| &one.ports);
                if let Some(shared) = shared.filter(|shared| **shared == new.ports) {
                    new.ports = Arc::clone(shared);
                }
            }
            (Some(_), None) => {}
        }
        let before = match member {
            Some(member) => self.now.insert(Arc::clone(pod), (from, member)),
            None => self.now.remove(pod),
        };
        let (began, value) = before?;
        if from <= began {
            return None;
        }
        // Ends ascend, also if the watch told times out of order.
        let to = from.max(self.past.back().map_or(Timestamp::EPOCH, |span| span.to));
        self.past.push_back(Span { from: began, to, value });
        Some(to)
    }

    /// Backends of a Service port at `at`, of the family of `address`.
    pub(crate) fn at(
        &self,
        port: u16,
        protocol: Protocol,
        address: IpAddr,
        at: Timestamp,
    ) -> Vec<SocketAddr> {
        let latest = at.plus_seconds(BACKEND_SLACK_S);
        let earliest = at.minus_seconds(BACKEND_SLACK_S);
        let now = self.now.values().filter(|(from, _)| *from <= latest).map(|(_, member)| member);
        let past = self.past.iter().rev().take_while(|span| span.to >= earliest);
        let past = past.filter(|span| span.from <= latest).map(|span| &span.value);
        let mut backends: Vec<SocketAddr> = now
            .chain(past)
            .flat_map(|member| {
                let ports =
                    member.ports.iter().filter(move |own| (own.0, own.1) == (port, protocol));
                ports.flat_map(|own| {
                    let all = member.addresses().iter().map(IpAddr::to_canonical);
                    let family = all.filter(|own| own.is_ipv4() == address.is_ipv4());
                    family.map(|ip| SocketAddr::new(ip, own.2))
                })
            })
            .collect();
        backends.sort_unstable();
        backends.dedup();
        backends
    }

    pub(crate) fn forget_oldest(&mut self) {
        self.past.pop_front();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.now.is_empty() && self.past.is_empty()
    }
}
