//! Pairs of ends and why they may connect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::Direction;

use super::answer::{Options, World};
use super::reasons::{Class, Ends, POLICY_RANK, Reasons, direction};
use crate::list::gateway::{ControllerTargets, Exposed};
use crate::list::npguard::{end_name, ranges};
use crate::list::{End, Focus, ListError};
use crate::{Peer, PortSet};

/// Most pairs that are explained; each takes about half a kilobyte of text.
const PAIRS_MAX: usize = 1_000_000;

/// A pair, and what decides its ports.
pub(super) struct Explained {
    pub(super) source: String,
    pub(super) destination: String,
    /// Disjoint, together everything that is in focus.
    pub(super) classes: Vec<PairClass>,
}

/// Ports of a pair that are decided for the same reasons.
pub(super) struct PairClass {
    pub(super) ports: PortSet,
    pub(super) egress: (bool, Reasons),
    pub(super) ingress: (bool, Reasons),
}

impl PairClass {
    pub(super) fn allowed(&self) -> bool {
        self.egress.0 && self.ingress.0
    }

    /// Whether no policy decided.
    pub(super) fn is_default(&self) -> bool {
        self.egress.1.is_default() && self.ingress.1.is_default()
    }
}

/// One end of pairs.
struct Party<'w> {
    end: End,
    name: String,
    peer: Peer<'w>,
}

/// All pairs in focus, sorted by names.
///
/// # Errors
/// [`ListError::Refused`] if there are more than [`PAIRS_MAX`].
pub(super) fn explained(world: &World<'_>, options: &Options) -> Result<Vec<Explained>, ListError> {
    let (sources, destinations) = ranges(&world.rules);
    let workloads: Vec<Party<'_>> = world
        .workloads()
        .into_iter()
        .map(|(name, endpoint)| Party {
            end: End::workload(&endpoint.workload),
            name,
            peer: Peer::Endpoint(endpoint),
        })
        .collect();
    let named = options.focus.workloads.len();
    let ends = workloads.len() + sources.len() + destinations.len();
    let most = if named == 0 { workloads.len() } else { named.min(workloads.len()) };
    if most.saturating_mul(ends) > PAIRS_MAX {
        return Err(ListError::Refused(format!(
            "there are more than {PAIRS_MAX} pairs to explain; name workloads (--focus-workload)"
        )));
    }
    let mut pairs = Vec::new();
    for (inward, ranges) in [(true, sources), (false, destinations)] {
        for range in ranges {
            let outside = external(range);
            for workload in &workloads {
                let (from, to) = if inward { (&outside, workload) } else { (workload, &outside) };
                pairs.extend(pair(world, from, to, &options.focus));
            }
        }
    }
    for source in &workloads {
        for destination in workloads.iter().filter(|other| other.name != source.name) {
            pairs.extend(pair(world, source, destination, &options.focus));
        }
    }
    let wanted = |pair: &Explained| {
        let allowed = pair.classes.iter().any(PairClass::allowed);
        options.only.is_none_or(|only| only == allowed)
    };
    pairs.retain(wanted);
    pairs.extend(from_controller(world, &options.focus).into_iter().filter(wanted));
    pairs.sort_by(|a, b| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)));
    Ok(pairs)
}

fn external((first, last): (IpAddr, IpAddr)) -> Party<'static> {
    let end = End::Addresses(first, last);
    Party { name: end_name(&end), end, peer: Peer::Address(first) }
}

fn pair(
    world: &World<'_>,
    source: &Party<'_>,
    destination: &Party<'_>,
    focus: &Focus,
) -> Option<Explained> {
    if !focus.includes(&source.end, &destination.end) {
        return None;
    }
    let ends = Ends {
        source: source.peer,
        source_name: &source.name,
        destination: destination.peer,
        destination_name: &destination.name,
    };
    let egress = direction(world, &ends, Direction::Egress);
    let ingress = direction(world, &ends, Direction::Ingress);
    Some(explain((&source.name, &destination.name), &egress, &ingress, focus))
}

/// Brings both directions together.
fn explain(
    (source, destination): (&str, &str),
    egress: &[Class],
    ingress: &[Class],
    focus: &Focus,
) -> Explained {
    let counted = match focus.connection {
        Some((protocol, port)) => PortSet::range(protocol, port, port),
        None => PortSet::all_transport(),
    };
    type Key<'c> = (bool, &'c Reasons, bool, &'c Reasons);
    let mut classes: BTreeMap<Key<'_>, PortSet> = BTreeMap::new();
    for out in egress {
        for into in ingress {
            let ports = out.ports.intersection(&into.ports).intersection(&counted);
            if !ports.is_empty() {
                let key = (out.allowed, &out.reasons, into.allowed, &into.reasons);
                let known = classes.entry(key).or_insert_with(PortSet::none);
                *known = known.union(&ports);
            }
        }
    }
    let class = |((out, egress, into, ingress), ports): (Key<'_>, PortSet)| PairClass {
        ports,
        egress: (out, egress.clone()),
        ingress: (into, ingress.clone()),
    };
    Explained {
        source: source.to_owned(),
        destination: destination.to_owned(),
        classes: classes.into_iter().map(class).collect(),
    }
}

/// Pairs from the ingress controller to what Ingress and Route objects expose; those that policies
/// close altogether are left out.
fn from_controller(world: &World<'_>, focus: &Focus) -> Vec<Explained> {
    let targets = ControllerTargets::of(world.objects, &world.cluster);
    let Some(cluster) = targets.add_controller(&world.cluster) else { return Vec::new() };
    let Some(controller) = cluster.endpoints.iter().find(|one| targets.is_controller(one)) else {
        return Vec::new();
    };
    let source = End::IngressController;
    let source_name = source.to_string();
    let workloads = world.workloads();
    let mut pairs = Vec::new();
    for (end, exposed) in targets.exposed().filter(|(end, _)| focus.includes(&source, end)) {
        let destination_name = end.to_string();
        let Some(endpoint) = workloads.get(&destination_name) else { continue };
        let ends = Ends {
            source: Peer::Endpoint(controller),
            source_name: &source_name,
            destination: Peer::Endpoint(endpoint),
            destination_name: &destination_name,
        };
        let egress = direction(world, &ends, Direction::Egress);
        let policies = direction(world, &ends, Direction::Ingress);
        let ingress = narrowed(&policies, &exposed_classes(exposed));
        let names = (source_name.as_str(), destination_name.as_str());
        let pair = explain(names, &egress, &ingress, focus);
        let opens = |classes: &[Class]| {
            let open = classes.iter().filter(|class| class.allowed);
            open.fold(PortSet::none(), |set, class| set.union(&class.ports))
        };
        if !opens(&egress).intersection(&opens(&ingress)).is_empty() {
            pairs.push(pair);
        }
    }
    pairs
}

/// What objects say of all ports: those that expose one are its reasons, else all are.
fn exposed_classes(exposed: &BTreeMap<Exposed, PortSet>) -> Vec<Class> {
    let all = PortSet::all_transport();
    let mut parts = vec![(all, Reasons::default(), Reasons::default(), false)];
    for (by, ports) in exposed {
        let called = format!("{} '{}' allows ingress", by.kind, by.name);
        let mut split = Vec::new();
        for (part, allowing, denying, allowed) in parts {
            let inside = part.intersection(ports);
            let outside = part.minus(ports);
            if !inside.is_empty() {
                let mut allowing = allowing.clone();
                let reason = format!("{called} connections through service {}", by.service);
                allowing.add(POLICY_RANK, by.kind, reason);
                split.push((inside, allowing, denying.clone(), true));
            }
            if !outside.is_empty() {
                let mut denying = denying;
                let lacks = "but the protocols and ports do not match";
                let reason = format!("{called} to service {}, {lacks}", by.service);
                denying.add(POLICY_RANK, by.kind, reason);
                split.push((outside, allowing, denying, allowed));
            }
        }
        parts = split;
    }
    let class = |(ports, allowing, denying, allowed)| {
        let reasons = if allowed { allowing } else { denying };
        Class { ports, allowed, reasons }
    };
    parts.into_iter().map(class).collect()
}

/// Policies and exposing objects together: both must allow, and both are reasons.
fn narrowed(policies: &[Class], exposed: &[Class]) -> Vec<Class> {
    let mut both = Vec::new();
    for policy in policies {
        for object in exposed {
            let ports = policy.ports.intersection(&object.ports);
            if ports.is_empty() {
                continue;
            }
            let mut reasons = object.reasons.clone();
            if !policy.reasons.is_default() {
                reasons.extend(&policy.reasons);
            }
            both.push(Class { ports, allowed: policy.allowed && object.allowed, reasons });
        }
    }
    both
}
