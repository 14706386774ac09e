//! What peers that do not exist yet could reach or be reached by, as that tool sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sekisho_manifest::{
    NetworkPolicy, Object, PolicyPeer, PolicyPort, PolicyRule, PortRef, Tier, TierAction, TierPeer,
    TierPolicy, TierPort, TierRule, TierSubject,
};
use sekisho_model::{Direction, Protocol};
use serde::Serialize;

use super::answer::{Options, World, listing};
use super::reasons::title;
use super::selectors::Selected;
use crate::list::npguard::{connections, end_name};
use crate::list::{End, FocusDirection, ListError, Listing, npguard};
use crate::{Cluster, Dialect, Endpoint, PortSet, RuleSet};

/// Ports by number, and by names that nothing resolves: protocol (empty = any) and name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    ports: PortSet,
    names: BTreeSet<(String, String)>,
}

/// A policy, reduced to what exposure asks.
struct Policy {
    /// Which pods it selects.
    subject: Subject,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
    /// None = NetworkPolicy.
    tier: Option<(Tier, u16, String)>,
}

enum Subject {
    Own { namespace: String, pods: sekisho_manifest::LabelSelector },
    Any(Selected),
}

struct Rule {
    action: TierAction,
    /// None = any peer.
    peers: Option<Vec<Selected>>,
    /// None = all.
    ports: Option<Vec<Port>>,
}

enum Port {
    Range(PortSet),
    /// Protocol (None = any) and name.
    Named(Option<Protocol>, String),
}

/// The far end that does not exist.
#[derive(Clone, Copy)]
enum Far<'p> {
    EntireCluster,
    Representative(&'p Selected),
}

impl Far<'_> {
    fn shown(self) -> String {
        match self {
            Self::EntireCluster => "entire-cluster".to_owned(),
            Self::Representative(selected) => selected.shown(),
        }
    }
}

/// One direction of the analysis: lines by workload.
#[derive(Default)]
struct Side {
    lines: Vec<Line>,
    /// Workloads that no policy selects.
    unprotected: BTreeSet<String>,
    /// Workloads that are exposed.
    workloads: BTreeSet<String>,
}

#[derive(Clone, Serialize)]
struct Line {
    src: String,
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
}

/// The result.
pub(super) struct Exposure {
    egress: Side,
    ingress: Side,
}

/// Analyses exposure.
pub(super) fn exposure(
    objects: &[Object],
    dialect: Dialect,
    options: &Options,
) -> Result<Exposure, ListError> {
    let world = World::new(objects, dialect, options)?;
    let policies = policies(&world.rules);
    let representatives = representatives(&policies, &world.cluster);
    let analysis = Analysis { world: &world, policies, representatives, options };
    let mut exposure = Exposure {
        egress: analysis.side(Direction::Egress),
        ingress: analysis.side(Direction::Ingress),
    };
    let list = listing(objects, dialect, options)?;
    exposure.add_externals(&list);
    Ok(exposure)
}

struct Analysis<'w> {
    world: &'w World<'w>,
    policies: Vec<Policy>,
    representatives: Vec<Selected>,
    options: &'w Options,
}

impl Analysis<'_> {
    fn side(&self, direction: Direction) -> Side {
        let mut side = Side::default();
        let focus = &self.options.focus;
        match focus.direction {
            FocusDirection::Only(only) if only != direction => return side,
            FocusDirection::Both | FocusDirection::Only(_) => {}
        }
        for (name, endpoint) in self.world.workloads() {
            let end = End::workload(&endpoint.workload);
            let wanted = focus.workloads.is_empty()
                || focus.workloads.iter().any(|workload| end.is_called(workload));
            if wanted {
                self.add(&name, endpoint, direction, &mut side);
            }
        }
        side
    }

    fn add(&self, name: &str, endpoint: &Endpoint, direction: Direction, side: &mut Side) {
        let focus = &self.options.focus;
        let asked = |open: &Open| match focus.connection {
            Some((protocol, port)) => open.ports.contains(protocol, port),
            None => !open.is_empty(),
        };
        let mut push = |far: Far<'_>, open: &Open| {
            let (own, far) = (name.to_owned(), far.shown());
            let (src, dst) = match direction {
                Direction::Egress => (own, far),
                Direction::Ingress => (far, own),
            };
            let conn = focus.connection.is_none().then(|| open.shown());
            side.workloads.insert(name.to_owned());
            side.lines.push(Line { src, dst, conn });
        };
        let selecting: Vec<&Policy> = self
            .policies
            .iter()
            .filter(|policy| policy.side(direction).is_some())
            .filter(|policy| policy.selects(&self.world.cluster, endpoint))
            .collect();
        if selecting.is_empty() {
            let all = Open { ports: PortSet::all_transport(), names: BTreeSet::new() };
            push(Far::EntireCluster, &all);
            side.unprotected.insert(name.to_owned());
            return;
        }
        let open = |far| self.open(&selecting, endpoint, direction, far);
        let everywhere = open(Far::EntireCluster);
        if asked(&everywhere) {
            push(Far::EntireCluster, &everywhere);
        }
        // A peer in focus is one that exists.
        let wanted = focus.workloads.is_empty() || focus.peers.is_empty();
        for selected in self.representatives.iter().filter(|_| wanted) {
            let far = Far::Representative(selected);
            let here = open(far);
            let same = match focus.connection {
                Some(_) => !asked(&here) || asked(&everywhere),
                None => here == everywhere,
            };
            if !same {
                push(far, &here);
            }
        }
    }

    /// What the policies open between a workload and the far end.
    fn open(
        &self,
        selecting: &[&Policy],
        endpoint: &Endpoint,
        direction: Direction,
        far: Far<'_>,
    ) -> Open {
        let destination = match direction {
            Direction::Egress => None,
            Direction::Ingress => Some(endpoint),
        };
        let rules = |tier: Option<Tier>| {
            let own = selecting
                .iter()
                .filter(move |policy| policy.tier.as_ref().map(|(tier, ..)| *tier) == tier);
            own.filter_map(|policy| policy.side(direction))
                .flatten()
                .filter(move |rule| rule.speaks_about(far))
        };
        let mut fold = Fold::new(destination);
        for rule in rules(Some(Tier::Admin)) {
            fold.take(rule);
        }
        fold.next_tier();
        if selecting.iter().any(|policy| policy.tier.is_none()) {
            for rule in rules(None) {
                fold.take(rule);
            }
            return fold.allowed;
        }
        for rule in rules(Some(Tier::Baseline)) {
            fold.take(rule);
        }
        let Fold { mut allowed, rest, .. } = fold;
        allowed.ports = allowed.ports.union(&rest);
        allowed
    }
}

/// Decides ports, and names, by the first rule that speaks about them.
struct Fold<'e> {
    destination: Option<&'e Endpoint>,
    allowed: Open,
    /// Not decided in this tier.
    rest: PortSet,
    passed: PortSet,
    /// Names that are decided in this tier.
    decided: BTreeSet<(String, String)>,
    passed_names: BTreeSet<(String, String)>,
    /// Whether a rule for all ports came before.
    is_over: bool,
}

impl<'e> Fold<'e> {
    fn new(destination: Option<&'e Endpoint>) -> Self {
        Self {
            destination,
            allowed: Open { ports: PortSet::none(), names: BTreeSet::new() },
            rest: PortSet::all_transport(),
            passed: PortSet::none(),
            decided: BTreeSet::new(),
            passed_names: BTreeSet::new(),
            is_over: false,
        }
    }

    fn take(&mut self, rule: &Rule) {
        let Open { ports, names } = rule.open(self.destination);
        let ports = ports.intersection(&self.rest);
        self.rest = self.rest.minus(&ports);
        let is_over = self.is_over;
        let decided = &self.decided;
        let names: BTreeSet<_> =
            names.into_iter().filter(|name| !is_over && !decided.contains(name)).collect();
        self.decided.extend(names.iter().cloned());
        self.is_over |= rule.ports.is_none() && rule.action != TierAction::Pass;
        match rule.action {
            TierAction::Accept => {
                self.allowed.ports = self.allowed.ports.union(&ports);
                self.allowed.names.extend(names);
            }
            TierAction::Deny => {}
            TierAction::Pass => {
                self.passed = self.passed.union(&ports);
                self.passed_names.extend(names);
            }
        }
    }

    fn next_tier(&mut self) {
        self.rest = self.rest.union(&self.passed);
        for name in std::mem::take(&mut self.passed_names) {
            self.decided.remove(&name);
        }
    }
}

impl Open {
    fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.names.is_empty()
    }

    /// As [`connections`], with names behind the numbers of their protocol.
    fn shown(&self) -> String {
        if self.names.is_empty() || self.ports == PortSet::all_transport() {
            return connections(&self.ports);
        }
        let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for protocol in [Protocol::Sctp, Protocol::Tcp, Protocol::Udp] {
            let own = self.ports.intersection(&PortSet::protocol(protocol));
            if let Some((protocol, ports)) = connections(&own).split_once(' ')
                && !own.is_empty()
            {
                parts.entry(protocol.to_owned()).or_default().push(ports.to_owned());
            }
        }
        for (protocol, name) in &self.names {
            parts.entry(protocol.clone()).or_default().push(name.clone());
        }
        let parts = parts.iter().map(|(protocol, ports)| format!("{protocol} {}", ports.join(",")));
        parts.collect::<Vec<_>>().join(",")
    }
}

impl Policy {
    fn side(&self, direction: Direction) -> Option<&Vec<Rule>> {
        match direction {
            Direction::Egress => self.egress.as_ref(),
            Direction::Ingress => self.ingress.as_ref(),
        }
    }

    fn selects(&self, cluster: &Cluster, endpoint: &Endpoint) -> bool {
        match &self.subject {
            Subject::Own { namespace, pods } => {
                *namespace == endpoint.namespace && pods.matches(&endpoint.labels)
            }
            Subject::Any(Selected { namespaces, pods }) => {
                namespaces.matches(&cluster.namespace_labels(&endpoint.namespace))
                    && pods.as_ref().is_none_or(|pods| pods.matches(&endpoint.labels))
            }
        }
    }
}

impl Rule {
    fn speaks_about(&self, far: Far<'_>) -> bool {
        let Some(peers) = &self.peers else { return true };
        peers.iter().any(|peer| match far {
            Far::EntireCluster => peer.is_entire_cluster(),
            Far::Representative(selected) => peer.covers(selected),
        })
    }

    /// Its ports; names are resolved where the destination exists.
    fn open(&self, destination: Option<&Endpoint>) -> Open {
        let mut open = Open { ports: PortSet::none(), names: BTreeSet::new() };
        let Some(ports) = &self.ports else {
            return Open { ports: PortSet::all_transport(), ..open };
        };
        for port in ports {
            match (port, destination) {
                (Port::Range(ports), _) => open.ports = open.ports.union(ports),
                (Port::Named(protocol, name), None) => {
                    let protocol = protocol.map(|protocol| protocol.to_string());
                    open.names.insert((protocol.unwrap_or_default(), name.clone()));
                }
                (Port::Named(protocol, name), Some(endpoint)) => {
                    let own = endpoint.ports.iter().find(|own| own.name == *name);
                    let own = own.filter(|own| protocol.is_none_or(|one| one == own.protocol));
                    if let Some(own) = own {
                        let number = PortSet::range(own.protocol, own.port, own.port);
                        open.ports = open.ports.union(&number);
                    }
                }
            }
        }
        open
    }
}

/// The policies in the order they are asked.
fn policies(rules: &RuleSet) -> Vec<Policy> {
    let tiers = rules.others().iter().filter_map(|object| match object {
        Object::TierPolicy(policy) => Some(tier_policy(policy)),
        _other => None,
    });
    let mut all: Vec<Policy> = rules.policies().iter().map(network_policy).chain(tiers).collect();
    all.sort_by(|a, b| a.tier.cmp(&b.tier));
    all
}

fn network_policy(policy: &NetworkPolicy) -> Policy {
    let namespace = &policy.meta.namespace;
    let side = |affected: bool, rules: &[PolicyRule]| {
        affected.then(|| rules.iter().map(|rule| network_rule(namespace, rule)).collect())
    };
    Policy {
        subject: Subject::Own { namespace: namespace.clone(), pods: policy.pod_selector.clone() },
        ingress: side(policy.isolates_ingress, &policy.ingress),
        egress: side(policy.isolates_egress, &policy.egress),
        tier: None,
    }
}

fn network_rule(namespace: &str, rule: &PolicyRule) -> Rule {
    let peer = |peer: &PolicyPeer| match peer {
        PolicyPeer::Pods { namespaces: None, pods } => {
            Some(Selected::in_namespace(namespace, pods.clone()))
        }
        PolicyPeer::Pods { namespaces: Some(namespaces), pods } => {
            Some(Selected { namespaces: namespaces.clone(), pods: pods.clone() })
        }
        PolicyPeer::IpBlock { .. } => None,
    };
    let port = |PolicyPort { protocol, port, end_port }: &PolicyPort| match port {
        None => Port::Range(PortSet::protocol(*protocol)),
        Some(PortRef::Number(first)) => {
            Port::Range(PortSet::range(*protocol, *first, end_port.unwrap_or(*first)))
        }
        Some(PortRef::Name(name)) => Port::Named(Some(*protocol), name.clone()),
    };
    Rule {
        action: TierAction::Accept,
        peers: (!rule.peers.is_empty()).then(|| rule.peers.iter().filter_map(peer).collect()),
        ports: (!rule.ports.is_empty()).then(|| rule.ports.iter().map(port).collect()),
    }
}

fn tier_policy(policy: &TierPolicy) -> Policy {
    // Without rules a policy says nothing of a direction.
    let side =
        |rules: &[TierRule]| (!rules.is_empty()).then(|| rules.iter().map(tier_rule).collect());
    let subject = match &policy.subject {
        TierSubject::Namespaces(namespaces) => {
            Selected { namespaces: namespaces.clone(), pods: None }
        }
        TierSubject::Pods { namespaces, pods } => {
            Selected { namespaces: namespaces.clone(), pods: Some(pods.clone()) }
        }
    };
    Policy {
        subject: Subject::Any(subject),
        ingress: side(&policy.ingress),
        egress: side(&policy.egress),
        tier: Some((policy.tier, policy.priority, policy.meta.name.clone())),
    }
}

fn tier_rule(rule: &TierRule) -> Rule {
    let peer = |peer: &TierPeer| match peer {
        TierPeer::Namespaces(namespaces) => {
            Some(Selected { namespaces: namespaces.clone(), pods: None })
        }
        TierPeer::Pods { namespaces, pods } => {
            Some(Selected { namespaces: namespaces.clone(), pods: Some(pods.clone()) })
        }
        TierPeer::Nodes(_)
        | TierPeer::Networks(_)
        | TierPeer::DomainNames(_)
        | TierPeer::Unknown => None,
    };
    let port = |port: &TierPort| match port {
        TierPort::Range { protocol, first, last } => {
            Some(Port::Range(PortSet::range(*protocol, *first, *last)))
        }
        TierPort::Named(name) => Some(Port::Named(None, name.clone())),
        TierPort::Unknown => None,
    };
    Rule {
        action: rule.action,
        peers: Some(rule.peers.iter().filter_map(peer).collect()),
        ports: rule.ports.as_ref().map(|ports| ports.iter().filter_map(port).collect()),
    }
}

/// One per pair of selectors; not for those that only stand for pods that exist.
fn representatives(policies: &[Policy], cluster: &Cluster) -> Vec<Selected> {
    let mut found: BTreeMap<_, Selected> = BTreeMap::new();
    for policy in policies {
        for rule in policy.ingress.iter().chain(&policy.egress).flatten() {
            let peers = rule.peers.iter().flatten();
            // A NetworkPolicy rule for the entire cluster says nothing of some pods.
            let is_wide = policy.tier.is_none() && peers.clone().any(Selected::is_entire_cluster);
            for peer in peers.filter(|peer| !is_wide && !peer.is_entire_cluster()) {
                found.entry(peer.key()).or_insert_with(|| peer.clone());
            }
        }
    }
    for endpoint in &cluster.endpoints {
        let namespace_labels = cluster.namespace_labels(&endpoint.namespace);
        found.retain(|_, selected| !selected.is_met_by(&namespace_labels, &endpoint.labels));
    }
    found.into_values().collect()
}

impl Exposure {
    /// Adds what exposed workloads may do with external addresses.
    fn add_externals(&mut self, listing: &Listing) {
        let exposed: BTreeSet<String> =
            self.egress.workloads.union(&self.ingress.workloads).cloned().collect();
        let focused = listing.focus.connection.is_some();
        for (source, destination, ports) in listing.rows() {
            let (side, own) = match (source.is_external(), destination.is_external()) {
                (true, _) => (&mut self.ingress, destination.to_string()),
                (_, true) => (&mut self.egress, source.to_string()),
                (false, false) => continue,
            };
            if exposed.contains(&own) {
                let conn = (!focused).then(|| connections(ports));
                side.lines.push(Line { src: end_name(source), dst: end_name(destination), conn });
            }
        }
        let out = |line: &Line| (line.src.clone(), line.dst.clone());
        let into = |line: &Line| (line.dst.clone(), line.src.clone());
        self.egress.lines.sort_by_key(out);
        self.ingress.lines.sort_by_key(into);
    }

    /// Lines for people.
    pub(super) fn text(&self, focus: Option<(Protocol, u16)>) -> String {
        let exposed = self.egress.workloads.iter().chain(&self.ingress.workloads);
        let width = exposed.map(String::len).max().unwrap_or_default();
        let mut text = match focus {
            Some((protocol, port)) => {
                format!("Exposure Analysis Result On {protocol} {port}:\n")
            }
            None => "Exposure Analysis Result:\n".to_owned(),
        };
        for (side, direction) in
            [(&self.egress, Direction::Egress), (&self.ingress, Direction::Ingress)]
        {
            if side.lines.is_empty() {
                continue;
            }
            let is_second = direction == Direction::Ingress && !self.egress.lines.is_empty();
            let gap = if is_second { "\n" } else { "" };
            let _infallible = writeln!(text, "{gap}{} Exposure:", title(direction));
            for Line { src, dst, conn } in &side.lines {
                let (own, arrow, far) = match direction {
                    Direction::Egress => (src, "=>", dst),
                    Direction::Ingress => (dst, "<=", src),
                };
                let conn = conn.as_ref().map(|conn| format!(" : {conn}")).unwrap_or_default();
                let _infallible = writeln!(text, "{own:width$} \t{arrow} \t{far}{conn}");
            }
        }
        if focus.is_none() {
            text.push_str(&self.unprotected());
        }
        text
    }

    fn unprotected(&self) -> String {
        let lines = |side: &Side, direction| -> Vec<String> {
            let title = title(direction);
            let names = side.unprotected.iter();
            names.map(|name| format!("{name} is not protected on {title}\n")).collect()
        };
        let mut all = lines(&self.egress, Direction::Egress);
        all.extend(lines(&self.ingress, Direction::Ingress));
        all.sort();
        if all.is_empty() {
            return String::new();
        }
        format!("\nWorkloads not protected by network policies:\n{}", all.concat())
    }

    /// One object: the list, and exposure by direction; where there is none, null, or an empty list
    /// if the focus is one connection.
    pub(super) fn json(&self, listing: &Listing, focused: bool) -> String {
        let lines = |side: &Side| match side.lines.as_slice() {
            [] if focused => "[]".to_owned(),
            [] => "null".to_owned(),
            // Text always has a JSON form.
            lines => serde_json::to_string_pretty(lines).unwrap_or_default(),
        };
        let infix = if focused { "_conn_focus" } else { "" };
        let list = npguard::print(listing, npguard::Form::Json);
        let list = list.trim_end();
        let both = format!(
            "{{\n  \"egress_exposure\": {},\n  \"ingress_exposure\": {}\n}}",
            indented(&lines(&self.egress)),
            indented(&lines(&self.ingress))
        );
        format!(
            "{{\n  \"connlist{infix}_results\": {},\n  \"exposure{infix}_results\": {}\n}}",
            indented(list),
            indented(&both)
        )
    }
}

fn indented(json: &str) -> String {
    json.replace('\n', "\n  ")
}
