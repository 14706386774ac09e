//! `sekisho recommend --amend DIR`: what policies lack since the application changed.
//!
//! Replays history against the policies in DIR. What worked and they would deny becomes rules, added
//! to the policies that deny it; nothing is taken away, because a window of history never shows that
//! something is not needed. The result is replayed again, and explained for a pull request: with the
//! workloads whose image is another one since the revision in force was verified, and what these
//! asked for since and did not get. That is amended only if somebody says so: it may be an attack.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use sekisho_api::ImageChange;
use sekisho_manifest::{NetworkPolicy, Object, PolicyRule, print_policy};
use sekisho_model::{Direction, Protocol, Verdict};
use sekisho_policy::list::{DiffForm, Listing, PolicyDiff, Scope as ListScope};
use sekisho_policy::{Cluster, Dialect, RuleSet};
use sekisho_recommend::{Proposal, RecommendedPolicy, Scope, Template};
use sekisho_verify::{EdgeClass, EdgeReport, Limits, UNCHANGED_ALL};

use super::gitops::Folder;
use super::{history, input, output};
use crate::exit::Exit;
use crate::images::{self, Again};
use crate::pipeline::{self, History};

/// File that explains the amendment, in the folder that is written.
const EXPLANATION: &str = "AMENDMENT.md";

/// What was asked for.
pub(crate) struct Options<'a> {
    /// Workloads.
    pub(crate) scope: Scope,
    /// Folder to write into.
    pub(crate) write: Option<&'a Path>,
    /// Allow also what new images asked for and policies denied.
    pub(crate) include_denied: bool,
}

/// What became of the images since the policies in force were verified.
#[derive(Default)]
struct Renewed {
    revision: u64,
    changes: Vec<ImageChange>,
    again: Again,
    /// Edges that the policies denied, and nothing got through.
    stopped: Vec<EdgeReport>,
    /// Such edges count as if they had worked.
    taken: bool,
}

/// Policies that let in what worked.
struct Amendment {
    /// Edges that the policies deny and that worked.
    lacking: Vec<EdgeReport>,
    /// Those of them that are denied still: a tier or another kind of policy denies them.
    left: Vec<EdgeReport>,
    /// The policies that change or are new.
    changed: Vec<NetworkPolicy>,
    /// All policies as they would be.
    after: RuleSet,
    /// Why each rule is there.
    proposal: Proposal,
}

/// Prints or writes what the policies in `folder` lack; `Found` if there is something.
pub(crate) fn run(folder: &Path, history: &History, options: &Options<'_>) -> anyhow::Result<Exit> {
    let objects = input::objects(&[folder.to_owned()])?;
    let current = RuleSet::from_objects(&objects, Dialect::default());
    if current.is_empty() {
        anyhow::bail!("`{}` holds no policy to amend", folder.display());
    }
    let mut renewed = Renewed::of(history, &current);
    let mut history = history.clone();
    if options.include_denied {
        renewed.take_stopped(&mut history);
    }
    let amendment = amend(&history, &current, options.scope.clone());
    if amendment.lacking.is_empty() {
        output::print(&renewed.words())?;
        output::print("Nothing to amend: the policies allow all that worked in this window.\n")?;
        let found = if renewed.stopped.is_empty() { Exit::Done } else { Exit::Found };
        return whole(&history, found);
    }
    let text = explain(&amendment, &current, (&history, &renewed))?;
    match options.write {
        Some(target) => {
            let changed = amendment.changed.iter().cloned().map(Object::NetworkPolicy);
            let changed: Vec<Object> = changed.collect();
            let done = Folder::open(target, false)?.plan(&changed, false)?.carry_out(false)?;
            let path = target.join(EXPLANATION);
            std::fs::write(&path, &text).with_context(|| format!("write `{}`", path.display()))?;
            output::print(&format!("{done}explained in {}\n", path.display()))?;
        }
        None => {
            for line in text.lines() {
                output::print(&format!("# {line}\n"))?;
            }
            for policy in &amendment.changed {
                output::print(&format!("---\n{}", print_policy(policy)))?;
            }
        }
    }
    whole(&history, Exit::Found)
}

impl Renewed {
    fn of(history: &History, current: &RuleSet) -> Self {
        let Some((revision, changes)) = history.images.clone() else { return Self::default() };
        let known = images::known_edges(&history.rows, &changes);
        let again = images::verify_again(history, &changes, current, (&known, &[]));
        let mut tried = history.clone();
        tried.rows = images::unanswered(history, &changes);
        let answer = pipeline::what_if(
            &tried,
            (&RuleSet::default(), current),
            &[],
            Limits::ANY,
            UNCHANGED_ALL,
        );
        let mut stopped = answer.report.edges;
        stopped.retain(|edge| edge.after == "denied");
        Self { revision, changes, again, stopped, taken: false }
    }

    /// What was stopped counts as if it had worked, from here on.
    fn take_stopped(&mut self, history: &mut History) {
        self.taken = true;
        let names: BTreeSet<String> = self.stopped.drain(..).map(|edge| edge.name()).collect();
        let tried = images::unanswered(history, &self.changes);
        for row in &mut history.rows {
            if tried.contains(row) && names.contains(&images::edge_name(row)) {
                row.key_mut().verdict = Verdict::Allowed;
            }
        }
    }

    /// For people, in Markdown that reads as plain text, too; empty if no image changed.
    fn words(&self) -> String {
        if self.changes.is_empty() {
            return String::new();
        }
        let mut text = String::from("## Images that changed\n\n");
        for change in &self.changes {
            text.push_str(&format!("- {}\n", cell(&images::words(change, self.revision))));
        }
        text.push_str(&format!(
            "\nVerified again with what these workloads did since: {} denied, {} new.\n\n",
            output::count(self.again.blocked.len(), "edge", "edges"),
            output::count(self.again.new.len(), "edge", "edges"),
        ));
        if !self.stopped.is_empty() {
            text.push_str(
                "## Stopped, and not amended\n\nThe new images asked for these, and got no answer. \
                 If they need them, amend with --include-denied; if not, find out why they ask.\n\n",
            );
            for edge in &self.stopped {
                let line = format!("- {}: {}\n", cell(&edge.name()), cell(&edge.reason));
                text.push_str(&line);
            }
            text.push('\n');
        }
        text
    }
}

/// `found`, unless the history has gaps.
fn whole(history: &History, found: Exit) -> anyhow::Result<Exit> {
    if history.rows.is_empty() {
        output::note("no history in this window: nothing was watched, so nothing is known");
        return Ok(Exit::Partial);
    }
    Ok(match history::whole_or_partial(history) {
        Exit::Done => found,
        other => other,
    })
}

/// What worked in `history` and `rules` deny.
fn denied(history: &History, rules: &RuleSet) -> Vec<EdgeReport> {
    let everything = RuleSet::default();
    let answer = pipeline::what_if(history, (&everything, rules), &[], Limits::ANY, UNCHANGED_ALL);
    let mut edges = answer.report.edges;
    edges.retain(|edge| edge.class == EdgeClass::WouldBlock);
    edges
}

fn amend(history: &History, current: &RuleSet, scope: Scope) -> Amendment {
    let lacking = denied(history, current);
    let names: BTreeSet<(&str, &str, Protocol, u16)> = lacking
        .iter()
        .map(|edge| (edge.source.as_str(), edge.destination.as_str(), edge.protocol, edge.port))
        .collect();
    let mut part = history.clone();
    part.current = current.clone();
    part.rows.retain(|row| {
        let (source, destination) = (row.key.source.id(), row.key.destination.id());
        names.contains(&(&source, &destination, row.key.protocol, row.key.port))
    });
    let proposal = pipeline::propose(&part, scope, Template::default());
    let mut changed: Vec<NetworkPolicy> = Vec::new();
    for recommended in &proposal.policies {
        for direction in [Direction::Ingress, Direction::Egress] {
            add(recommended, direction, (current, &history.cluster), &mut changed);
        }
    }
    changed.sort_by_key(|policy| (policy.meta.namespace.clone(), policy.meta.name.clone()));
    let after = current.with(changed.iter().cloned().map(Object::NetworkPolicy));
    let left = denied(history, &after);
    Amendment { lacking, left, changed, after, proposal }
}

/// Adds the rules of one direction to the policy that isolates these pods in it. Where nothing
/// isolates them nothing denies them, and a rule would only begin to.
fn add(
    recommended: &RecommendedPolicy,
    direction: Direction,
    (current, cluster): (&RuleSet, &Cluster),
    changed: &mut Vec<NetworkPolicy>,
) {
    let proposed = &recommended.policy;
    if side(proposed, direction).is_empty() {
        return;
    }
    let pods: Vec<_> = cluster
        .endpoints
        .iter()
        .filter(|pod| pod.namespace == proposed.meta.namespace)
        .filter(|pod| proposed.pod_selector.matches(&pod.labels))
        .collect();
    let isolating: Vec<&NetworkPolicy> = current
        .policies()
        .iter()
        .filter(|policy| policy.meta.namespace == proposed.meta.namespace)
        .filter(|policy| isolates(policy, direction))
        .filter(|policy| {
            policy.pod_selector == proposed.pod_selector
                || pods.iter().any(|pod| policy.pod_selector.matches(&pod.labels))
        })
        .collect();
    if isolating.is_empty() {
        return;
    }
    let same = isolating.iter().find(|policy| policy.pod_selector == proposed.pod_selector);
    let mut target = match same {
        Some(policy) => {
            let known = |of: &NetworkPolicy| {
                of.meta.namespace == policy.meta.namespace && of.meta.name == policy.meta.name
            };
            match changed.iter().position(known) {
                Some(index) => changed.swap_remove(index),
                None => (*policy).clone(),
            }
        }
        None => additional(proposed, direction),
    };
    for rule in side(proposed, direction) {
        let list = match direction {
            Direction::Ingress => &mut target.ingress,
            Direction::Egress => &mut target.egress,
        };
        let there = |of: &PolicyRule| of.peers == rule.peers && of.ports == rule.ports;
        if !list.iter().any(there) {
            list.push(rule.clone());
        }
    }
    changed.push(target);
}

/// A policy that isolates in one direction only, without rules yet.
fn additional(proposed: &NetworkPolicy, direction: Direction) -> NetworkPolicy {
    let mut policy = proposed.clone();
    policy.isolates_ingress = direction == Direction::Ingress;
    policy.isolates_egress = direction == Direction::Egress;
    policy.ingress.clear();
    policy.egress.clear();
    let word = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    policy.meta.name = format!("{}-{word}-amended", policy.meta.name);
    policy
}

fn side(policy: &NetworkPolicy, direction: Direction) -> &[PolicyRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

fn isolates(policy: &NetworkPolicy, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => policy.isolates_ingress,
        Direction::Egress => policy.isolates_egress,
    }
}

/// The amendment in Markdown, for a pull request.
fn explain(
    amendment: &Amendment,
    current: &RuleSet,
    (history, renewed): (&History, &Renewed),
) -> anyhow::Result<String> {
    let list = |rules: &RuleSet| Listing::new(rules, &history.cluster, &ListScope::default());
    let diff = PolicyDiff::new(&list(current)?, &list(&amendment.after)?);
    let mut text = format!(
        "# Amended policies\n\nHistory {} to {}, {:.1} % complete, shows {} that {} and that the \
         policies deny.\n\n{}## Evidence\n\n| source | destination | port | connections | first seen | \
         last seen | denied by |\n|---|---|---|---|---|---|---|\n",
        history.window.from,
        history.window.to,
        (history.completeness.ratio * 1_000.0).floor() / 10.0,
        output::count(amendment.lacking.len(), "edge", "edges"),
        if renewed.taken { "worked, or that new images asked for," } else { "worked" },
        renewed.words(),
    );
    for edge in &amendment.lacking {
        let by = edge.decided_by.as_ref().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(
            "| {} | {} | {}/{} | {} | {} | {} | {} |\n",
            cell(&edge.source),
            cell(&edge.destination),
            edge.port,
            edge.protocol,
            edge.connections,
            edge.first_seen,
            edge.last_seen,
            cell(&by),
        ));
    }
    processes(amendment, history, &mut text);
    text.push_str("\n## Policies that change\n\n");
    for policy in &amendment.changed {
        text.push_str(&format!("- {}/{}\n", policy.meta.namespace, policy.meta.name));
    }
    text.push_str("\n## Connections that change\n\n");
    text.push_str(&diff.print(DiffForm::Markdown));
    if !amendment.left.is_empty() {
        text.push_str(
            "\n## Still denied\n\nBy policies of a tier or another kind, which no NetworkPolicy can \
             outweigh, or because labels can't tell the ends: decide by hand.\n\n",
        );
        for edge in &amendment.left {
            text.push_str(&format!("- {}: {}\n", cell(&edge.name()), cell(&edge.reason)));
        }
    }
    Ok(text)
}

/// Which processes spoke, of which images: a new one is often why there is a new edge.
fn processes(amendment: &Amendment, history: &History, text: &mut String) {
    let rules = amendment.proposal.policies.iter().flat_map(|recommended| &recommended.rules);
    let mut lines = BTreeSet::new();
    for (rule, edge) in rules.flat_map(|rule| rule.edges.iter().map(move |edge| (rule, edge))) {
        lines.insert(format!("- {}: {}\n", cell(edge), cell(&rule.processes.join(", "))));
    }
    let names: BTreeSet<String> = amendment.lacking.iter().map(EdgeReport::name).collect();
    for row in history.rows.iter().filter(|row| names.contains(&images::edge_name(row))) {
        let container = row.key.source_process.as_ref().and_then(|one| one.container.as_ref());
        if let Some(container) = container {
            let name = images::edge_name(row);
            lines.insert(format!("- {}: image {}\n", cell(&name), cell(&container.image)));
        }
    }
    if !lines.is_empty() {
        text.push_str("\nProcesses:\n\n");
        lines.iter().for_each(|line| text.push_str(line));
    }
}

/// Text of others in one cell of a table.
fn cell(text: &str) -> String {
    sekisho_base::harmless(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use sekisho_model::{Completeness, EdgeDay, EdgeMinute, EdgeStats, TimeRange, Timestamp};

    use super::*;
    use crate::samples::edge;

    const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
status: {podIP: 10.0.0.1, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: db, image: db}]}
status: {podIP: 10.0.0.2, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: shop, labels: {app: cache}}
spec: {containers: [{name: cache, image: cache}]}
status: {podIP: 10.0.0.3, phase: Running}
";

    /// web may speak to db:5432, and db takes only that; nobody isolates cache.
    const POLICIES: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
";

    fn row(from: (&str, u8), to: (&str, u8), port: u16) -> EdgeDay {
        let time = Timestamp::from_seconds(1_000);
        EdgeDay::from(EdgeMinute {
            minute: time,
            key: edge(from, to, port),
            stats: EdgeStats {
                connections: 3,
                bytes_sent: 10,
                bytes_received: 10,
                first_seen: time,
                last_seen: time,
                ..EdgeStats::default()
            },
        })
    }

    fn history(rows: Vec<EdgeDay>) -> History {
        History {
            places: std::sync::Arc::default(),
            window: TimeRange { from: Timestamp::EPOCH, to: Timestamp::from_seconds(2_000) },
            rows,
            completeness: Completeness { ratio: 1.0, produced: 9, dropped: 0, gaps: Vec::new() },
            cluster: Cluster::from_objects(&sekisho_manifest::parse("c", CLUSTER).unwrap()),
            current: RuleSet::default(),
            referred: Vec::new(),
            images: None,
            name: sekisho_model::ClusterName::default(),
            several: Vec::new(),
            mixed: false,
        }
    }

    fn rules(text: &str) -> RuleSet {
        RuleSet::from_objects(&sekisho_manifest::parse("p", text).unwrap(), Dialect::default())
    }

    #[test]
    fn policies_that_allow_all_that_worked_lack_nothing() {
        let history = history(vec![row(("web", 1), ("db", 2), 5432)]);
        let amendment = amend(&history, &rules(POLICIES), Scope::default());
        assert!(amendment.lacking.is_empty() && amendment.changed.is_empty());
    }

    #[test]
    fn a_new_edge_is_added_where_it_is_denied_and_nothing_new_is_isolated() {
        let rows = vec![row(("web", 1), ("db", 2), 5432), row(("web", 1), ("cache", 3), 6379)];
        let history = history(rows);
        let current = rules(POLICIES);
        let amendment = amend(&history, &current, Scope::default());
        assert_eq!(amendment.lacking.len(), 1);
        assert!(amendment.left.is_empty(), "{:?}", amendment.left);
        let names: Vec<&str> =
            amendment.changed.iter().map(|policy| policy.meta.name.as_str()).collect();
        assert_eq!(names, ["web"], "cache is isolated by nobody, and stays so");
        assert_eq!(amendment.changed[0].egress.len(), 2);
        let text = explain(&amendment, &current, (&history, &Renewed::default())).unwrap();
        assert!(text.contains("| shop/web[Pod] | shop/cache[Pod] | 6379/TCP | 3 |"), "{text}");
        assert!(text.contains("shop/web egress (no rule allows)"), "{text}");
    }

    #[test]
    fn an_edge_that_both_ends_deny_is_let_through_at_both() {
        let history = history(vec![row(("web", 1), ("db", 2), 9187)]);
        let amendment = amend(&history, &rules(POLICIES), Scope::default());
        let names: Vec<&str> =
            amendment.changed.iter().map(|policy| policy.meta.name.as_str()).collect();
        assert_eq!(names, ["db", "web"]);
        assert!(amendment.left.is_empty(), "{:?}", amendment.left);
        // What was allowed stays allowed although this window does not show it.
        let old = history_of_old();
        assert!(denied(&old, &amendment.after).is_empty());
    }

    fn history_of_old() -> History {
        history(vec![row(("web", 1), ("db", 2), 5432)])
    }

    /// web runs another image since second 500, and was denied what it asked of cache.
    fn renewed_history() -> History {
        let mut denied = row(("web", 1), ("cache", 3), 6379);
        denied.key_mut().verdict = Verdict::Denied;
        let change = ImageChange {
            workload: "shop/web[Pod]".to_owned(),
            before: vec!["web:1".to_owned()],
            after: vec!["web:2".to_owned()],
            since: Timestamp::from_seconds(500),
        };
        let rows = vec![row(("web", 1), ("db", 2), 5432), denied];
        History { images: Some((3, vec![change])), ..history(rows) }
    }

    #[test]
    fn what_a_new_image_was_denied_is_told_and_not_amended() {
        let history = renewed_history();
        let current = rules(POLICIES);
        let renewed = Renewed::of(&history, &current);
        let text = renewed.words();
        assert!(
            text.contains("image of shop/web[Pod] changed since revision 3: web:1 -"),
            "{text}"
        );
        assert!(text.contains("1 edge denied, 2 edges new"), "{text}");
        assert!(text.contains("## Stopped, and not amended"), "{text}");
        assert!(text.contains("shop/web[Pod] -> shop/cache[Pod]:6379/TCP: "), "{text}");
        assert!(amend(&history, &current, Scope::default()).changed.is_empty());
    }

    #[test]
    fn what_a_new_image_was_denied_is_amended_if_somebody_says_so() {
        let mut history = renewed_history();
        let current = rules(POLICIES);
        let mut renewed = Renewed::of(&history, &current);
        renewed.take_stopped(&mut history);
        let amendment = amend(&history, &current, Scope::default());
        let names: Vec<&str> =
            amendment.changed.iter().map(|policy| policy.meta.name.as_str()).collect();
        assert_eq!(names, ["web"]);
        let text = explain(&amendment, &current, (&history, &renewed)).unwrap();
        assert!(text.contains("## Images that changed"), "{text}");
        assert!(!text.contains("## Stopped"), "{text}");
    }

    #[test]
    fn where_no_image_changed_nothing_is_said_of_images_and_denials_stay() {
        let history = History { images: Some((3, Vec::new())), ..renewed_history() };
        let renewed = Renewed::of(&history, &rules(POLICIES));
        assert!(renewed.words().is_empty() && renewed.stopped.is_empty());
    }

    #[test]
    fn what_a_tier_denies_is_told_and_not_amended() {
        let guard = "
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec: {tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {app: cache}}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
";
        let history = history(vec![row(("web", 1), ("cache", 3), 6379)]);
        let current = rules(&format!("{POLICIES}{guard}"));
        let amendment = amend(&history, &current, Scope::default());
        assert_eq!(amendment.left.len(), 1);
        let text = explain(&amendment, &current, (&history, &Renewed::default())).unwrap();
        assert!(text.contains("## Still denied"), "{text}");
    }
}
