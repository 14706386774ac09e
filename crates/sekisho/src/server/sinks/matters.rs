//! Findings of a sink: those that edges make, and those that the server's state is, each told when it
//! comes, when its figures change, and when it is over.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_api::{AgentStatus, Contradiction, DriftReport, ImageReview, Status};
use sekisho_exchange::{
    Affected, Attack, Evidence, Finding, FindingActivity, FindingKind, Severity,
};
use sekisho_model::{ClusterName, Timestamp};
use serde_json::json;

/// Matters remembered as told; beyond that those of longest ago are forgotten, and told as new.
const TOLD_MAX: usize = 16_384;
/// A matter of edges is forgotten after so long a silence, seconds: a day.
const EDGES_FORGOTTEN_S: u64 = 86_400;
/// Changes of a node's rules are told for so long after the last, seconds.
const RULES_TOLD_S: u64 = 900;
/// Workloads named of one review of images.
const WORKLOADS_MAX: usize = 16;

/// What was told, by its name.
#[derive(Debug, Default)]
pub(super) struct Matters {
    told: BTreeMap<String, Told>,
}

#[derive(Debug)]
struct Told {
    finding: Finding,
    /// A state of the server, which ends; None of edges does, before somebody says so.
    stands: bool,
}

impl Matters {
    /// Takes findings of edges, and all that stand now; gives what is to be told.
    pub(super) fn take(
        &mut self,
        edges: Vec<Finding>,
        standing: Vec<Finding>,
        now: Timestamp,
    ) -> Vec<(Finding, FindingActivity)> {
        let still: BTreeSet<String> = standing.iter().map(Finding::uid).collect();
        let over: Vec<String> = self
            .told
            .iter()
            .filter(|(uid, told)| told.stands && !still.contains(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        let mut news = Vec::new();
        for uid in over {
            let told = self.told.remove(&uid);
            news.extend(told.map(|told| (told.finding, FindingActivity::Close(now))));
        }
        let edges = edges.into_iter().map(|finding| (finding, false));
        let standing = standing.into_iter().map(|finding| (finding, true));
        for (finding, stands) in edges.chain(standing) {
            let known = self.told.get(&finding.uid());
            let activity = match known {
                None => FindingActivity::Create,
                // A state that is as it was is no news.
                Some(told) if stands && told.finding == finding => continue,
                Some(_) => FindingActivity::Update,
            };
            self.told.insert(finding.uid(), Told { finding: finding.clone(), stands });
            news.push((finding, activity));
        }
        self.forget(now);
        news
    }

    fn forget(&mut self, now: Timestamp) {
        self.told.retain(|_, told| {
            told.stands || now.seconds_since(told.finding.last_seen) < EDGES_FORGOTTEN_S
        });
        let Some(more) = self.told.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) else {
            return;
        };
        let mut ages: Vec<(Timestamp, String)> =
            self.told.iter().map(|(uid, told)| (told.finding.last_seen, uid.clone())).collect();
        ages.sort();
        for (_, uid) in ages.into_iter().take(more) {
            self.told.remove(&uid);
        }
    }
}

/// What the state of a cluster finds, besides its edges.
pub(super) fn standing(status: &Status) -> Vec<Finding> {
    let cluster = &status.cluster_name;
    let mut all = Vec::new();
    if let Some(native) = &status.native {
        let passed = native.not_enforced.iter();
        all.extend(passed.map(|one| connection(cluster, FindingKind::NotEnforced, one)));
        let staged = native.would_deny.iter();
        all.extend(staged.map(|one| connection(cluster, FindingKind::WouldDeny, one)));
        let time = native.checked.unwrap_or(status.time);
        all.extend(native.drift.iter().map(|drift| policy_changed(cluster, drift, time)));
    }
    all.extend(status.agents.iter().filter_map(|agent| rules_changed(cluster, agent, status.time)));
    all.extend(status.images.iter().filter_map(|review| new_image(cluster, review)));
    all
}

fn connection(cluster: &ClusterName, kind: FindingKind, one: &Contradiction) -> Finding {
    let Contradiction { source, destination, protocol, port, .. } = one;
    let by = one.denied_by.as_ref().map_or_else(
        || "-".to_owned(),
        |decided| format!("{} {}", decided.policy, decided.direction),
    );
    let detail = format!("{source} -> {destination} {protocol}/{port}");
    let (severity, remedy) = match kind {
        FindingKind::NotEnforced => (
            Severity::High,
            "does the network plugin enforce? measure with `sekisho cluster probe`",
        ),
        _ => (Severity::Low, "before the policy is enforced: allow it, or let it be denied"),
    };
    Finding {
        kind,
        cluster: cluster.clone(),
        subject: format!("{detail} {by}"),
        detail,
        severity,
        attack: None,
        first_seen: one.first_seen,
        last_seen: one.last_seen,
        count: one.connections,
        policy: one.denied_by.clone(),
        evidence: vec![Evidence::Pair {
            source: source.clone(),
            destination: destination.clone(),
            protocol: *protocol,
            port: *port,
            data: json!({ "example": one.example, "nodes": one.nodes, "reason": one.reason }),
        }],
        affected: vec![of_text(destination)],
        remedy: remedy.to_owned(),
    }
}

fn policy_changed(cluster: &ClusterName, drift: &DriftReport, checked: Timestamp) -> Finding {
    let time = drift.time.unwrap_or(checked);
    // Closing more than was wanted breaks something, and opens nothing.
    let opens = !drift.opens.is_empty();
    let ours = matches!(drift.kind.as_str(), "edited" | "deleted" | "taken");
    let severity = match (ours, opens) {
        (true, true) => Severity::High,
        (true, false) | (false, true) => Severity::Medium,
        (false, false) => Severity::Low,
    };
    let by = if drift.manager.is_empty() { "unknown" } else { &drift.manager };
    Finding {
        kind: FindingKind::PolicyChanged,
        cluster: cluster.clone(),
        subject: drift.object.clone(),
        detail: format!("{} ({}, by {by})", drift.object, drift.kind),
        severity,
        attack: opens.then_some(Attack::ImpairDefenses),
        first_seen: time,
        last_seen: time,
        count: 1,
        policy: None,
        evidence: vec![Evidence::Data(json!({
            "object": drift.object,
            "change": drift.kind,
            "fields": drift.fields,
            "manager": drift.manager,
            "opens": drift.opens,
            "closes": drift.closes,
            "more": drift.more,
        }))],
        affected: vec![Affected {
            namespace: String::new(),
            name: drift.object.clone(),
            kind: "policy".to_owned(),
        }],
        remedy:
            "`sekisho status` tells what it opens and closes; `sekisho rollback --repair` puts \
                 our policies back"
                .to_owned(),
    }
}

fn rules_changed(cluster: &ClusterName, agent: &AgentStatus, now: Timestamp) -> Option<Finding> {
    let report = &agent.report;
    let late = now.seconds_since(report.tampered_last) < RULES_TOLD_S;
    (report.tampered > 0 && late).then(|| Finding {
        kind: FindingKind::RulesChanged,
        cluster: cluster.clone(),
        subject: agent.node.clone(),
        detail: format!("on {}; they were put back", agent.node),
        severity: Severity::High,
        attack: Some(Attack::SystemFirewall),
        first_seen: report.tampered_last,
        last_seen: report.tampered_last,
        count: report.tampered,
        policy: None,
        evidence: vec![Evidence::Data(json!({ "node": agent.node, "changes": report.tampered }))],
        affected: vec![Affected {
            namespace: String::new(),
            name: agent.node.clone(),
            kind: "Node".to_owned(),
        }],
        remedy: "find out who may change nftables there".to_owned(),
    })
}

fn new_image(cluster: &ClusterName, review: &ImageReview) -> Option<Finding> {
    let first = review.changes.iter().map(|change| change.since).min()?;
    let last = review.changes.iter().map(|change| change.since).max()?;
    (review.would_block > 0).then(|| Finding {
        kind: FindingKind::NewImage,
        cluster: cluster.clone(),
        subject: format!("revision {} of {first}", review.revision),
        detail: format!("{} edges that revision {} denies", review.would_block, review.revision),
        severity: Severity::Medium,
        attack: None,
        first_seen: first,
        last_seen: last,
        count: review.would_block,
        policy: None,
        evidence: vec![Evidence::Data(json!({
            "blocked": review.blocked,
            "new_edges": review.new_edges,
            "changes": review.changes.iter().take(WORKLOADS_MAX).collect::<Vec<_>>(),
        }))],
        affected: review
            .changes
            .iter()
            .take(WORKLOADS_MAX)
            .map(|change| of_text(&change.workload))
            .collect(),
        remedy: "`sekisho recommend --amend DIR` says what the policies lack".to_owned(),
    })
}

/// `namespace/name[Kind]` in its parts, as far as it has them.
fn of_text(text: &str) -> Affected {
    let (namespace, rest) = text.split_once('/').unwrap_or(("", text));
    let (name, kind) = rest.rsplit_once('[').unwrap_or((rest, ""));
    Affected {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: kind.trim_end_matches(']').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sekisho_api::NativeStatus;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn drift(kind: &str, opens: &[&str]) -> DriftReport {
        DriftReport {
            object: "NetworkPolicy shop/db".to_owned(),
            kind: kind.to_owned(),
            fields: vec!["spec.ingress".to_owned()],
            manager: "kubectl-edit".to_owned(),
            time: Some(at(50)),
            opens: opens.iter().map(|one| (*one).to_owned()).collect(),
            closes: Vec::new(),
            more: 0,
        }
    }

    fn changed(drifts: Vec<DriftReport>) -> Vec<Finding> {
        let cluster = ClusterName::default();
        drifts.iter().map(|one| policy_changed(&cluster, one, at(60))).collect()
    }

    fn activities(told: &[(Finding, FindingActivity)]) -> Vec<FindingActivity> {
        told.iter().map(|(_, activity)| *activity).collect()
    }

    #[test]
    fn a_state_is_told_when_it_comes_when_it_changes_and_when_it_is_over() {
        let mut matters = Matters::default();
        let edited = || changed(vec![drift("edited", &["mallory -> db: TCP/5432"])]);
        let told = matters.take(Vec::new(), edited(), at(60));
        assert_eq!(activities(&told), [FindingActivity::Create]);
        let uid = told[0].0.uid();
        assert!(matters.take(Vec::new(), edited(), at(70)).is_empty(), "as it was");
        let told = matters.take(Vec::new(), changed(vec![drift("deleted", &[])]), at(80));
        assert_eq!(activities(&told), [FindingActivity::Update]);
        assert_eq!(told[0].0.uid(), uid, "one matter has one name");
        let told = matters.take(Vec::new(), Vec::new(), at(90));
        assert_eq!(activities(&told), [FindingActivity::Close(at(90))]);
        assert!(matters.take(Vec::new(), Vec::new(), at(99)).is_empty());
        let told = matters.take(Vec::new(), edited(), at(100));
        assert_eq!(activities(&told), [FindingActivity::Create], "it came again");
    }

    #[test]
    fn only_a_change_that_lets_more_through_is_called_an_attacks_technique() {
        let all = changed(vec![
            drift("edited", &["mallory -> db: TCP/5432"]),
            drift("edited", &[]),
            drift("foreign_added", &["mallory -> db: TCP/5432"]),
            drift("stray", &[]),
        ]);
        let judged: Vec<_> = all.iter().map(|one| (one.severity, one.attack.is_some())).collect();
        assert_eq!(
            judged,
            [
                (Severity::High, true),
                (Severity::Medium, false),
                (Severity::Medium, true),
                (Severity::Low, false)
            ]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_edges_are_forgotten_after_a_day() {
        let mut matters = Matters::default();
        let edges = |from: usize, count: usize, second: u64| -> Vec<Finding> {
            let one = changed(vec![drift("edited", &[])]).remove(0);
            let named = |number: usize| Finding {
                subject: number.to_string(),
                last_seen: at(second),
                ..one.clone()
            };
            (from..from + count).map(named).collect()
        };
        matters.take(edges(0, TOLD_MAX, 1), Vec::new(), at(1));
        matters.take(edges(TOLD_MAX, 10, 2), Vec::new(), at(2));
        assert_eq!(matters.told.len(), TOLD_MAX);
        let told = matters.take(edges(TOLD_MAX, 1, 3), Vec::new(), at(3));
        assert_eq!(activities(&told), [FindingActivity::Update]);
        let told = matters.take(Vec::new(), Vec::new(), at(3 + EDGES_FORGOTTEN_S));
        assert!(told.is_empty() && matters.told.is_empty(), "silence is no end of a matter");
    }

    #[test]
    fn not_enforced_is_grave_and_staged_is_not() {
        let one = Contradiction {
            source: "shop/mallory[Pod]".to_owned(),
            destination: "shop/db[Deployment]".to_owned(),
            protocol: sekisho_model::Protocol::Tcp,
            port: 5432,
            denied_by: None,
            reason: "no rule allows it".to_owned(),
            nodes: vec!["a".to_owned()],
            example: "10.0.0.1:4 -> 10.0.0.2:5432".to_owned(),
            connections: 3,
            first_seen: at(1),
            last_seen: at(2),
        };
        let native = NativeStatus {
            not_enforced: vec![one.clone()],
            would_deny: vec![one],
            ..NativeStatus::default()
        };
        let of = |kind| connection(&ClusterName::default(), kind, &native.not_enforced[0]);
        assert_eq!(of(FindingKind::NotEnforced).severity, Severity::High);
        assert_eq!(of(FindingKind::WouldDeny).severity, Severity::Low);
        let affected = of(FindingKind::NotEnforced).affected.remove(0);
        assert_eq!((&*affected.namespace, &*affected.name), ("shop", "db"));
        assert_eq!(affected.kind, "Deployment");
    }
}
