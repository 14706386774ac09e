//! What the ends of a question mean: pods, workloads, Services, nodes, addresses, names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_manifest::{PortRef, Service};
use sekisho_model::{Labels, Protocol};

use super::answer::{Explanation, asked, explain_pair, shown};
use crate::{Cluster, Endpoint, Pair, Peer, PortSet, RuleSet, atoms};

/// Ends that one word may stand for; they differ only while labels do.
const ENDS_MAX: usize = 64;
/// Address ranges that are spelled out.
const RANGES_SHOWN_MAX: usize = 3;

/// What is asked of two ends.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Source: see [`Question::answer`].
    pub from: &'a str,
    /// Destination, in the same forms; a Service too.
    pub to: &'a str,
    /// Protocol; None = all, or TCP if a port is given.
    pub protocol: Option<Protocol>,
    /// Destination port, of the Service if the destination is one; None = all.
    pub port: Option<u16>,
}

/// The answers to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// What stands behind a Service, in words; one line per port. Empty if none was named.
    pub notes: Vec<String>,
    /// One per kind of pods or addresses that policies tell apart, at least one.
    pub explanations: Vec<Explanation>,
}

/// A word that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing is called so.
    #[error(
        "`{0}` means nothing here: give `namespace/name` of a pod, workload or Service, \
         `node/name`, an address, a DNS name, or `external`"
    )]
    Unknown(String),
    /// More kinds of pods than are explained.
    #[error("`{0}` stands for more than {ENDS_MAX} kinds of pods: name a pod")]
    TooMany(String),
    /// Services receive, they do not send.
    #[error("`{0}` is a Service: connections go to it, not from it; name a pod or workload")]
    ServiceAsSource(String),
    /// Nothing that policies could be asked about.
    #[error("Service `{0}` has no selector: name the pod or address behind it")]
    NoSelector(String),
    /// No pod is selected.
    #[error("Service `{0}` selects no pod")]
    NoPods(String),
    /// The Service has no such port.
    #[error("Service `{service}` has no port {protocol} {port}; it has {known}")]
    NoPort {
        /// The Service.
        service: String,
        /// The protocol that was asked for.
        protocol: Protocol,
        /// The port that was asked for.
        port: u16,
        /// Its ports.
        known: String,
    },
}

/// One end.
#[derive(Clone)]
struct End<'a> {
    name: String,
    peer: Peer<'a>,
    address: Option<IpAddr>,
    /// Another pod just like it, for when an end is asked about itself.
    twin: Option<&'a Endpoint>,
    /// What of the question reaches it; None = all (no Service in between).
    ports: Option<PortSet>,
}

impl<'a> End<'a> {
    fn of(peer: Peer<'a>, address: Option<IpAddr>) -> Self {
        Self { name: shown(peer), peer, address, twin: None, ports: None }
    }
}

impl Question<'_> {
    /// Explains every pair that the words stand for. The forms are `namespace/name` of a pod,
    /// workload or (as destination) Service, in this order, or with `pod/`, `workload/` or
    /// `service/` before it; `name.namespace.svc`; `node/name` or the bare name of a node; an
    /// address, a Service's own among them; a DNS name; `external` for all addresses outside.
    ///
    /// # Errors
    /// [`TargetError`] for words that mean nothing.
    pub fn answer(&self, rules: &RuleSet, cluster: &Cluster) -> Result<Answers, TargetError> {
        let asked = match (self.protocol, self.port) {
            (None, None) => PortSet::all(),
            (protocol, port) => asked(protocol.unwrap_or(Protocol::Tcp), port.unwrap_or_default()),
        };
        let words = Words { rules, cluster };
        let mut notes = Vec::new();
        let sources = match words.service(self.from) {
            Some(_) => return Err(TargetError::ServiceAsSource(self.from.to_owned())),
            None => words.ends(self.from)?,
        };
        let destinations = match words.service(self.to) {
            Some(service) => self.behind(cluster, service, &mut notes)?,
            None => words.ends(self.to)?,
        };
        let mut explanations: Vec<Explanation> = Vec::new();
        for source in &sources {
            for destination in &destinations {
                let ports = destination.ports.as_ref().unwrap_or(&asked);
                let one = explained(rules, cluster, (source, destination), ports);
                add(&mut explanations, one, (&source.peer, &destination.peer));
            }
        }
        for one in &mut explanations {
            one.source = shortened(&one.source);
            one.destination = shortened(&one.destination);
            one.egress.subject.clone_from(&one.source);
            one.ingress.subject.clone_from(&one.destination);
        }
        Ok(Answers { notes, explanations })
    }

    /// The pods behind a Service, and which of their ports the question reaches.
    fn behind<'a>(
        &self,
        cluster: &'a Cluster,
        service: &'a Service,
        notes: &mut Vec<String>,
    ) -> Result<Vec<End<'a>>, TargetError> {
        let name = format!("{}/{}", service.meta.namespace, service.meta.name);
        if let Some(domain) = service.external_name.as_deref() {
            notes.push(format!("Service {name} is another name of {domain}"));
            return Ok(vec![End::of(Peer::Domain(domain), None)]);
        }
        if service.selector.is_empty() {
            return Err(TargetError::NoSelector(name));
        }
        let is_behind = |endpoint: &&Endpoint| {
            endpoint.namespace == service.meta.namespace && has(&endpoint.labels, &service.selector)
        };
        let mut ends = kinds(cluster.endpoints.iter().filter(is_behind), &name)?;
        if ends.is_empty() {
            return Err(TargetError::NoPods(name));
        }
        let protocol = self.protocol.unwrap_or(Protocol::Tcp);
        let wanted = |port: &&sekisho_manifest::ServicePort| match (self.port, self.protocol) {
            (Some(number), _) => port.port == number && port.protocol == protocol,
            (None, Some(protocol)) => port.protocol == protocol,
            (None, None) => true,
        };
        let ports: Vec<_> = service.ports.iter().filter(wanted).collect();
        if ports.is_empty()
            && let Some(port) = self.port
        {
            let known = service.ports.iter().map(|port| format!("{} {}", port.protocol, port.port));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(TargetError::NoPort { service: name, protocol, port, known });
        }
        let pods: Vec<&str> = ends.iter().map(|end| end.name.as_str()).collect();
        for port in &ports {
            notes.push(format!(
                "Service {name} {} {} -> port {} of {}",
                port.protocol,
                port.port,
                port.target_port,
                pods.join(", ")
            ));
        }
        for end in &mut ends {
            let numbers = ports.iter().filter_map(|port| {
                let number = target(&end.peer, port)?;
                Some(PortSet::range(port.protocol, number, number))
            });
            end.ports = Some(numbers.fold(PortSet::none(), |set, one| set.union(&one)));
        }
        // A name that a pod does not give to any port leads nowhere.
        ends.retain(|end| end.ports.as_ref().is_some_and(|ports| !ports.is_empty()));
        if ends.is_empty() { Err(TargetError::NoPods(name)) } else { Ok(ends) }
    }
}

/// The pod's port behind a port of a Service.
fn target(peer: &Peer<'_>, port: &sekisho_manifest::ServicePort) -> Option<u16> {
    match (&port.target_port, peer) {
        (PortRef::Number(number), _) => Some(*number),
        (PortRef::Name(name), Peer::Endpoint(endpoint)) => {
            let is_it = |own: &&sekisho_manifest::ContainerPort| {
                own.name == *name && own.protocol == port.protocol
            };
            endpoint.ports.iter().find(is_it).map(|own| own.port)
        }
        (PortRef::Name(_), Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_)) => None,
    }
}

fn has(labels: &Labels, selector: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Where words are looked up.
struct Words<'a> {
    rules: &'a RuleSet,
    cluster: &'a Cluster,
}

impl<'a> Words<'a> {
    /// The Service that `text` means.
    fn service(&self, text: &str) -> Option<&'a Service> {
        let cluster = self.cluster;
        if let Ok(address) = text.parse::<IpAddr>() {
            let address = address.to_canonical();
            let own = |service: &&Service| {
                service.cluster_ips.iter().any(|ip| ip.to_canonical() == address)
            };
            return cluster.services.iter().find(own);
        }
        let named = |namespace: &str, name: &str| {
            let is_it = |service: &&Service| {
                service.meta.namespace == namespace && service.meta.name == name
            };
            cluster.services.iter().find(is_it)
        };
        for prefix in ["service/", "svc/"] {
            if let Some((namespace, name)) =
                text.strip_prefix(prefix).and_then(|rest| rest.split_once('/'))
            {
                return named(namespace, name);
            }
        }
        if let Some((namespace, name)) = text.split_once('/') {
            let is_pod = !self.pods(namespace, name).is_empty();
            return if is_pod { None } else { named(namespace, name) };
        }
        let dns = text.strip_suffix(".cluster.local").unwrap_or(text).strip_suffix(".svc")?;
        let (name, namespace) = dns.split_once('.')?;
        named(namespace, name)
    }

    fn pods(&self, namespace: &str, name: &str) -> Vec<&'a Endpoint> {
        let cluster = self.cluster;
        match cluster.endpoint_of_pod(namespace, name) {
            Some(pod) => vec![pod],
            None => workload(cluster, namespace, name),
        }
    }

    fn ends(&self, text: &'a str) -> Result<Vec<End<'a>>, TargetError> {
        let cluster = self.cluster;
        let unknown = || TargetError::Unknown(text.to_owned());
        if text == "external" {
            return Ok(self.outside());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(vec![self.at(address)]);
        }
        let node = text.strip_prefix("node/").unwrap_or(text);
        if let Some((name, _)) = cluster.nodes.get_key_value(node) {
            return Ok(vec![End::of(Peer::Node { name, address: None }, None)]);
        }
        let parts: Vec<&str> = text.split('/').collect();
        let pods = match parts.as_slice() {
            ["pod", namespace, name] => {
                cluster.endpoint_of_pod(namespace, name).into_iter().collect()
            }
            ["workload", namespace, name] => workload(cluster, namespace, name),
            [namespace, name] => {
                // As lists print it: `namespace/name[Kind]`.
                let (plain, kind) = match name.strip_suffix(']').and_then(|n| n.split_once('[')) {
                    Some((plain, kind)) => (plain, Some(kind)),
                    None => (*name, None),
                };
                match kind {
                    Some(kind) => workload(cluster, namespace, plain)
                        .into_iter()
                        .filter(|endpoint| endpoint.workload.kind == kind)
                        .collect(),
                    None => self.pods(namespace, plain),
                }
            }
            [domain] if is_domain(domain) => {
                return Ok(vec![End::of(Peer::Domain(text), None)]);
            }
            _nothing_known => Vec::new(),
        };
        let ends = kinds(pods.into_iter(), text)?;
        if ends.is_empty() { Err(unknown()) } else { Ok(ends) }
    }

    fn at(&self, address: IpAddr) -> End<'a> {
        let cluster = self.cluster;
        if let Some(endpoint) = cluster.endpoint_at(address) {
            return End::of(Peer::Endpoint(endpoint), Some(address));
        }
        match cluster.node_at(address) {
            Some(name) => End::of(Peer::Node { name, address: Some(address) }, Some(address)),
            None => End::of(Peer::Address(address), Some(address)),
        }
    }

    /// One end per range of addresses that no policy cuts.
    fn outside(&self) -> Vec<End<'a>> {
        let ranges = [false, true].into_iter().flat_map(|ipv6| atoms(self.rules, ipv6));
        let ends = ranges.map(|(first, last)| {
            let name = if first == last { first.to_string() } else { format!("{first}-{last}") };
            End { name, ..End::of(Peer::Address(first), Some(first)) }
        });
        ends.collect()
    }
}

fn workload<'a>(cluster: &'a Cluster, namespace: &str, name: &str) -> Vec<&'a Endpoint> {
    let is_it = |endpoint: &&Endpoint| {
        endpoint.workload.namespace == namespace && endpoint.workload.name == name
    };
    cluster.endpoints.iter().filter(is_it).collect()
}

/// `example.com` or `*.example.com`.
fn is_domain(text: &str) -> bool {
    let letters =
        |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_*.".contains(c));
    text.contains('.') && letters(text) && !text.starts_with('.') && !text.contains("..")
}

/// What policies may tell pods apart by; addresses aside.
type Kind<'a> = (String, &'a Labels, Vec<(&'a str, u16, Protocol)>, bool, Option<&'a str>);

/// One end per kind of pods.
fn kinds<'a>(
    pods: impl Iterator<Item = &'a Endpoint>,
    text: &str,
) -> Result<Vec<End<'a>>, TargetError> {
    let mut kinds: BTreeMap<Kind<'a>, Vec<&'a Endpoint>> = BTreeMap::new();
    for pod in pods {
        let ports = pod.ports.iter().map(|port| (port.name.as_str(), port.port, port.protocol));
        let account = pod.service_account.as_deref();
        let workload = pod.workload.to_string();
        let kind = (workload, &pod.labels, ports.collect(), pod.host_network, account);
        kinds.entry(kind).or_default().push(pod);
        if kinds.len() > ENDS_MAX {
            return Err(TargetError::TooMany(text.to_owned()));
        }
    }
    let ends = kinds.into_values().filter_map(|pods| {
        let first = *pods.first()?;
        let mut end = End::of(Peer::Endpoint(first), None);
        end.twin = pods.get(1).copied();
        if pods.len() > 1 {
            end.name = format!("{} (and {} like it)", end.name, pods.len() - 1);
        }
        Some(end)
    });
    Ok(ends.collect())
}

fn explained(
    rules: &RuleSet,
    cluster: &Cluster,
    (source, destination): (&End<'_>, &End<'_>),
    asked: &PortSet,
) -> Explanation {
    let peer = match (source.peer, destination.peer, destination.twin) {
        (Peer::Endpoint(one), Peer::Endpoint(other), Some(twin)) if one.is(other) => {
            Peer::Endpoint(twin)
        }
        (_, peer, _) => peer,
    };
    let pair = Pair {
        source: source.peer,
        destination: peer,
        source_address: source.address,
        destination_address: destination.address,
    };
    let mut explanation = explain_pair(rules, cluster, &pair, asked);
    explanation.source.clone_from(&source.name);
    explanation.destination.clone_from(&destination.name);
    explanation
}

/// Adds an explanation; ranges of addresses that are explained alike become one end.
fn add(
    all: &mut Vec<Explanation>,
    one: Explanation,
    (source, destination): (&Peer<'_>, &Peer<'_>),
) {
    let is_outside = |peer: &Peer<'_>| matches!(peer, Peer::Address(_));
    for other in all.iter_mut().filter(|other| other.is_like(&one)) {
        if is_outside(source) && other.destination == one.destination {
            other.source = format!("{}, {}", other.source, one.source);
            return;
        }
        if is_outside(destination) && other.source == one.source {
            other.destination = format!("{}, {}", other.destination, one.destination);
            return;
        }
    }
    all.push(one);
}

/// The first ranges of many.
fn shortened(name: &str) -> String {
    let parts: Vec<&str> = name.split(", ").collect();
    match parts.get(..RANGES_SHOWN_MAX) {
        Some(first) if parts.len() > RANGES_SHOWN_MAX => {
            format!("{} and {} more", first.join(", "), parts.len() - RANGES_SHOWN_MAX)
        }
        Some(_) | None => name.to_owned(),
    }
}
