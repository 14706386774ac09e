//! From history to policies: the order of the steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_manifest::{LabelSelector, NetworkPolicy};
use sekisho_model::{Direction, Labels, Party, PartyKind, Protocol, Timestamp};
use sekisho_policy::Endpoint;

use crate::confidence::{Watched, confidence};
use crate::fence::{Fence, fences};
use crate::groups::{Group, Groups, is_subject};
use crate::history::{End, Evidence, LeftOut, Seen, Traffic, one_line, sum, working};
use crate::names::Names;
use crate::proposal::{Note, NoteKind, Proposal, RecommendedPolicy};
use crate::rules::{Draft, Drafts, Public, RuleMaker, evidence};
use crate::template::{Build, Built, borders};
use crate::traffic::{Tracer, target};
use crate::{NotNative, Request, TemplateId};

/// Different outside sources that make a public port public.
const PUBLIC_SOURCES_MIN: usize = 8;

/// The label and its value on everything that Sekisho recommends.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "sekisho");

/// Proposes policies that allow what was seen working, and nothing else.
#[must_use]
pub fn propose(request: &Request<'_>) -> Proposal {
    let mut notes = BTreeSet::new();
    let mut left_out = LeftOut::default();
    let seen = working(sum(request.history), &mut left_out);
    let parties = subjects(request, &seen);
    let groups = Groups::new(request.cluster, &parties, &mut notes);
    let mut tracer = Tracer::new(request.cluster, &groups);
    let mut traffic = Vec::new();
    for seen in &seen {
        tracer.trace(seen, &mut left_out, &mut traffic);
    }
    let plan = Plan { request, groups: &groups, seen: &seen, watched_s: watched_s(request) };
    let in_scope = |index: usize| plan.is_subject(index);
    tracer.note_probes(in_scope, &mut notes);
    left_out.into_notes(&mut notes);
    let mut built = plan.build(&traffic, &mut notes);
    plan.note_others(&built, &mut notes);
    let entry = request.template.id().entry();
    if request.template.id() != TemplateId::LeastPrivilege {
        built.stamp(entry.name);
    }
    let ratio = request.completeness.ratio;
    let not_native = entry.not_native.iter();
    Proposal {
        template: entry.name.to_owned(),
        words: built.words,
        not_native: not_native
            .map(|(what, instead)| NotNative {
                what: (*what).to_owned(),
                instead: (*instead).to_owned(),
            })
            .collect(),
        window: request.window,
        completeness: if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) },
        default_deny: built.default_deny,
        policies: built.policies,
        cluster_policies: built.cluster,
        notes: notes.into_iter().collect(),
    }
}

/// The parties that policies can select. Pods in the node's network are not among them.
fn subjects<'a>(request: &Request<'_>, seen: &[Seen<'a>]) -> BTreeSet<&'a Party> {
    let in_node_network: BTreeSet<_> = request
        .cluster
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.host_network)
        .map(|endpoint| &endpoint.workload)
        .collect();
    let ends = |seen: &Seen<'a>| [seen.key.source.as_ref(), seen.key.destination.as_ref()];
    seen.iter()
        .flat_map(ends)
        .filter(|party| is_subject(party) && !in_node_network.contains(&party.workload))
        .collect()
}

/// Seconds between the first and the last record.
fn watched_s(request: &Request<'_>) -> u64 {
    let first = request.history.iter().map(|row| row.stats.first_seen).min();
    let last = request.history.iter().map(|row| row.stats.last_seen).max();
    first.zip(last).map_or(0, |(first, last): (Timestamp, Timestamp)| last.seconds_since(first))
}

/// What all steps after tracing need.
pub(crate) struct Plan<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) groups: &'a Groups<'a>,
    pub(crate) seen: &'a [Seen<'a>],
    pub(crate) watched_s: u64,
}

impl Plan<'_> {
    /// Whether the group at `index` gets a policy if there is traffic for one.
    fn is_subject(&self, index: usize) -> bool {
        self.groups.at(index).is_some_and(|group| self.in_scope(group))
    }

    pub(crate) fn in_scope(&self, group: &Group<'_>) -> bool {
        group.workloads.iter().any(|workload| self.request.scope.has_workload(workload))
    }

    /// What the template makes of the traffic.
    fn build(&self, traffic: &[Traffic], notes: &mut BTreeSet<Note>) -> Built {
        let mut names = Names::new(self.request.existing);
        let template = &self.request.template;
        match template.id() {
            TemplateId::LeastPrivilege | TemplateId::Application | TemplateId::Namespace => {
                self.policies(traffic, notes)
            }
            TemplateId::Environment => self.fenced(traffic, notes),
            TemplateId::Tenant if template.is("form", "native") => self.fenced(traffic, notes),
            _of_its_own => {
                let out = Built::default();
                Build { plan: self, template, traffic, names: &mut names, notes, out }.make()
            }
        }
    }

    /// Fences around parts that a label of namespaces names; what crosses from one to another gets
    /// no rule, unless it is asked for.
    fn fenced(&self, traffic: &[Traffic], notes: &mut BTreeSet<Note>) -> Built {
        let template = &self.request.template;
        match borders(self, template) {
            Some(border) if !template.is("keep-seen", "yes") => {
                self.policies(&border.inside(traffic, notes), notes)
            }
            _keeps_all => self.policies(traffic, notes),
        }
    }

    fn policies(&self, traffic: &[Traffic], notes: &mut BTreeSet<Note>) -> Built {
        let mut names = Names::new(self.request.existing);
        let default_deny = self.default_deny(&mut names);
        let fences = fences(self, traffic, notes);
        let mut policies: Vec<RecommendedPolicy> =
            fences.iter().map(|fence| self.fence_policy(fence, &mut names, notes)).collect();
        for (index, _) in self.groups.iter().filter(|(_, group)| self.in_scope(group)) {
            let fence = fences.iter().find(|fence| fence.members.contains(&index));
            if fence.is_none() && !self.is_least_privilege() {
                continue; // Noted where the fences are made.
            }
            policies.extend(self.policy(index, (traffic, fence), &mut names, notes));
        }
        policies.sort_by(|a, b| name(&a.policy).cmp(&name(&b.policy)));
        Built { default_deny, policies, ..Built::default() }
    }

    fn is_least_privilege(&self) -> bool {
        self.request.template.id() == TemplateId::LeastPrivilege
    }

    /// One default deny per namespace in scope.
    fn default_deny(&self, names: &mut Names) -> Vec<NetworkPolicy> {
        let scope = &self.request.scope;
        if scope.workload.is_some() || !self.is_least_privilege() {
            return Vec::new();
        }
        let with_groups = self.groups.iter().map(|(_, group)| group.namespace.as_str());
        let namespaces: BTreeSet<&str> =
            with_groups.filter(|namespace| scope.has_namespace(namespace)).collect();
        let deny = |namespace| {
            let name = names.take(namespace, "default-deny");
            self.blank(namespace, name, LabelSelector::default())
        };
        namespaces.into_iter().map(deny).collect()
    }

    /// A policy that isolates both directions and allows nothing yet.
    pub(crate) fn blank(
        &self,
        namespace: &str,
        name: String,
        pod_selector: LabelSelector,
    ) -> NetworkPolicy {
        let window = self.request.window;
        let mut policy = NetworkPolicy {
            pod_selector,
            isolates_ingress: true,
            isolates_egress: true,
            ..NetworkPolicy::default()
        };
        let (key, value) = MANAGED_BY;
        policy.meta.name = name;
        policy.meta.namespace = namespace.to_owned();
        policy.meta.labels = Labels::from([(key.to_owned(), value.to_owned())]);
        policy.meta.annotations = Labels::from([
            ("sekisho.dev/evidence-from".to_owned(), window.from.to_string()),
            ("sekisho.dev/evidence-to".to_owned(), window.to.to_string()),
        ]);
        policy
    }

    /// The policy of one group; None if nothing was seen that needs one.
    fn policy(
        &self,
        index: usize,
        (traffic, fence): (&[Traffic], Option<&Fence>),
        names: &mut Names,
        notes: &mut BTreeSet<Note>,
    ) -> Option<RecommendedPolicy> {
        let group = self.groups.at(index)?;
        let selector = group.selector.clone()?;
        let end = End::Group(index);
        let wanted = |traffic: &&Traffic| fence.is_none_or(|fence| !fence.covers(traffic));
        let wanted: Vec<&Traffic> = traffic.iter().filter(wanted).collect();
        let of = |side: fn(&Traffic) -> &End| -> Vec<&Traffic> {
            wanted.iter().copied().filter(|traffic| *side(traffic) == end).collect()
        };
        let ingress = of(|traffic| &traffic.destination);
        let egress = of(|traffic| &traffic.source);
        if ingress.is_empty() && egress.is_empty() {
            if fence.is_none() {
                notes.insert(silent(group));
            }
            return None;
        }
        let public = self.public(group, &ingress);
        let mut maker = RuleMaker {
            groups: self.groups,
            subject: index,
            direction: Direction::Ingress,
            public: &public,
        };
        let ingress = maker.rules(&ingress, notes);
        maker.direction = Direction::Egress;
        let egress = maker.rules(&egress, notes);
        let mut policy = self.blank(&group.namespace, names.of(self.groups, group), selector);
        if fence.is_some() {
            // The fence isolates already; this one only opens its gates.
            policy.isolates_ingress = !ingress.rules.is_empty();
            policy.isolates_egress = !egress.rules.is_empty();
        }
        if group.endpoints.is_empty() {
            notes.insert(gone(group));
        }
        Some(self.recommended(policy, group.ids(), [ingress, egress], &[index]))
    }

    /// Fills `policy` with rules and weighs them.
    pub(crate) fn recommended(
        &self,
        mut policy: NetworkPolicy,
        workloads: Vec<String>,
        [ingress, egress]: [Drafts; 2],
        members: &[usize],
    ) -> RecommendedPolicy {
        let mut rules = evidence(Direction::Ingress, &ingress.rules);
        rules.extend(evidence(Direction::Egress, &egress.rules));
        let drafts = || ingress.rules.iter().chain(&egress.rules);
        // A fence's rule for its inside needs no evidence.
        let all: Vec<&Evidence> = drafts()
            .map(|draft: &Draft| &draft.evidence)
            .filter(|evidence| evidence.first_seen.is_some())
            .collect();
        let confidence = confidence(self.watched(members), &all, self.request.completeness);
        let annotations = &mut policy.meta.annotations;
        annotations.insert("sekisho.dev/confidence".to_owned(), format!("{:.2}", confidence.score));
        if let Some(names) = dns_names(&egress.names) {
            annotations.insert("sekisho.dev/dns-names".to_owned(), names);
        }
        policy.ingress = ingress.rules.into_iter().map(|draft| draft.rule).collect();
        policy.egress = egress.rules.into_iter().map(|draft| draft.rule).collect();
        RecommendedPolicy { policy, workloads, rules, confidence }
    }

    /// What was seen of these groups.
    fn watched(&self, members: &[usize]) -> Watched {
        let mut hours: BTreeSet<u64> = BTreeSet::new();
        let mut pods = BTreeSet::new();
        let groups: Vec<&Group<'_>> =
            members.iter().filter_map(|index| self.groups.at(*index)).collect();
        for seen in self.seen {
            for party in [&seen.key.source, &seen.key.destination] {
                if groups.iter().any(|group| group.workloads.contains(&party.workload)) {
                    hours.extend(&seen.hours);
                    pods.insert((&party.workload, party.pod.as_str()));
                }
            }
        }
        pods.retain(|(_, pod)| !pod.is_empty());
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let runs = !groups.is_empty()
            && groups.iter().all(|group| matches!(group.kind(), "Job" | "CronJob"));
        let runs_seen = runs.then(|| count(pods.len()));
        let now: BTreeSet<_> = groups
            .iter()
            .flat_map(|group| &group.endpoints)
            .map(|endpoint| (&endpoint.workload, endpoint.name.as_str()))
            .collect();
        Watched {
            watched_s: self.watched_s,
            hours_seen: count(hours.len()),
            restarts_seen: count(pods.difference(&now).count()),
            runs_seen,
        }
    }

    /// Ports of the group that outsiders reach in numbers and that a Service opens to them.
    pub(crate) fn public(&self, group: &Group<'_>, ingress: &[&Traffic]) -> Public {
        let mut sources: BTreeMap<(Protocol, u16), BTreeSet<IpAddr>> = BTreeMap::new();
        for traffic in ingress {
            if let End::Outside { address, .. } = traffic.source {
                sources.entry((traffic.protocol, traffic.port)).or_default().insert(address);
            }
        }
        sources.retain(|(protocol, port), sources| {
            let opens = |endpoint: &&Endpoint| self.is_open(endpoint, *protocol, *port);
            sources.len() >= PUBLIC_SOURCES_MIN && group.endpoints.iter().any(opens)
        });
        sources.into_keys().collect()
    }

    /// Whether a Service opens the endpoint's port to the outside.
    fn is_open(&self, endpoint: &Endpoint, protocol: Protocol, port: u16) -> bool {
        self.request.cluster.services.iter().any(|service| {
            let outward = matches!(service.service_type.as_str(), "LoadBalancer" | "NodePort");
            outward
                && endpoint.kind == PartyKind::Pod
                && service.meta.namespace == endpoint.namespace
                && !service.selector.is_empty()
                && LabelSelector::of(service.selector.clone()).matches(&endpoint.labels)
                && service.ports.iter().any(|of| {
                    of.protocol == protocol
                        && target(&of.target_port, endpoint, protocol) == Some(port)
                })
        })
    }

    /// Notes on what gets no policy, and on policies that are there already.
    fn note_others(&self, built: &Built, notes: &mut BTreeSet<Note>) {
        for endpoint in &self.request.cluster.endpoints {
            if endpoint.host_network && self.request.scope.has_workload(&endpoint.workload) {
                notes.insert(Note {
                    kind: NoteKind::NoPolicy,
                    subject: endpoint.workload.to_string(),
                    text: "runs in the node's network: NetworkPolicy does not hold for it"
                        .to_owned(),
                });
            }
        }
        let proposed = built.default_deny.iter().chain(built.policies.iter().map(|of| &of.policy));
        let proposed: BTreeSet<(&str, &str)> = proposed.map(name).collect();
        for policy in self.request.existing.policies() {
            let namespace = policy.meta.namespace.as_str();
            let touched = proposed.iter().any(|(of, _)| *of == namespace);
            let allows = !policy.ingress.is_empty() || !policy.egress.is_empty();
            if touched && allows && !proposed.contains(&name(policy)) {
                notes.insert(Note {
                    kind: NoteKind::Existing,
                    subject: format!("{namespace}/{}", policy.meta.name),
                    text: "stays in force: policies add up, so whatever it allows stays allowed \
                           until it is removed"
                        .to_owned(),
                });
            }
        }
    }
}

fn name(policy: &NetworkPolicy) -> (&str, &str) {
    (&policy.meta.namespace, &policy.meta.name)
}

/// A workload that was not seen to talk.
fn silent(group: &Group<'_>) -> Note {
    let text = if matches!(group.kind(), "Job" | "CronJob") {
        "did not run in the window: what it needs is not known, and a default deny would cut it off"
    } else {
        "was not seen to need anything: no rule is proposed, and a default deny cuts it off"
    };
    Note { kind: NoteKind::NoPolicy, subject: group.ids().join(", "), text: text.to_owned() }
}

/// A workload that is not in the cluster now.
fn gone(group: &Group<'_>) -> Note {
    Note {
        kind: NoteKind::Gone,
        subject: group.ids().join(", "),
        text: "is not in the cluster now: its rules are kept for its return, by the labels it \
               had; drop them if it does not return"
            .to_owned(),
    }
}

/// `name=address,address; name=...`.
fn dns_names(names: &BTreeMap<String, BTreeSet<IpAddr>>) -> Option<String> {
    let one = |(name, addresses): (&String, &BTreeSet<IpAddr>)| {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("{}={}", one_line(name), addresses.join(","))
    };
    let text: Vec<String> = names.iter().map(one).collect();
    if text.is_empty() { None } else { Some(text.join("; ")) }
}
