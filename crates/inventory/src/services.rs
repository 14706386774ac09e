//! Who stood behind a Service at a time: the pods that it selects, or, where it selects none, what its
//! EndpointSlices say (the API server itself, databases outside).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_manifest::{EndpointSlice, Pod, PortRef, Service};
use sekisho_model::{Protocol, Timestamp};

use crate::history::ObjectKey;
use crate::spans::Span;

/// NAT rules follow the pods with a delay, and draining pods keep what was sent to them: a backend
/// counts this much before and after its time, seconds.
const BACKEND_SLACK_S: u64 = 5;

/// What one pod, or one slice, offers to a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) addresses: Vec<IpAddr>,
    /// (Service port, protocol, port of the pod); a named target port is the pod's own.
    pub(crate) ports: Vec<(u16, Protocol, u16)>,
}

impl Member {
    /// What `pod` offers to `service`, ready or not; None if it is not selected or can't be reached.
    pub(crate) fn of(service: &Service, pod: &Pod, is_alive: bool) -> Option<Self> {
        let labels = &pod.meta.labels;
        let selected = !service.selector.is_empty()
            && service.selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let addresses: Vec<IpAddr> =
            pod.status.pod_ips.iter().map(|address| address.to_canonical()).collect();
        if !selected || !is_alive || addresses.is_empty() {
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
        let ports = service
            .ports
            .iter()
            .filter_map(|port| Some((port.port, port.protocol, target(port)?)))
            .collect();
        Some(Self { addresses, ports })
    }
}

impl Member {
    /// What `slice` offers to `service`; None if it is another's, or the Service selects pods, which
    /// are known sooner and in more detail than its slices.
    pub(crate) fn of_slice(service: &Service, slice: &EndpointSlice) -> Option<Self> {
        let is_own = slice.service() == Some(service.meta.name.as_str());
        let addresses: Vec<IpAddr> =
            slice.addresses.iter().map(|address| address.to_canonical()).collect();
        if !is_own || !service.selector.is_empty() || addresses.is_empty() {
            return None;
        }
        let target = |port: &sekisho_manifest::ServicePort| {
            let mut own = slice.ports.iter();
            own.find(|own| own.name == port.name && own.protocol == port.protocol)
                .map(|own| (port.port, port.protocol, own.port))
        };
        Some(Self { addresses, ports: service.ports.iter().filter_map(target).collect() })
    }
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
        member: Option<Member>,
    ) -> Option<Timestamp> {
        if self.now.get(pod).map(|(_, known)| known) == member.as_ref() {
            return None;
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
                    let family =
                        member.addresses.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
                    family.map(|ip| SocketAddr::new(*ip, own.2))
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
