//! Rules and policies that change nothing, because others say it already or come first.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Direction, Protocol};

use super::code::{REDUNDANT_POLICY, REDUNDANT_RULE, SHADOWED_RULE, UNREACHABLE_RULE};
use super::context::{Class, Context, Far, direction_word, object_name};
use super::cover::{implies, rule_covers};
use super::finding::{Finding, Fix, Severity, evidence};
use crate::ir::{Action, PeerMatch, Peers, Policy, Rule};
use crate::matching::Question;
use crate::{Connection, Endpoint, Peer, PolicyName, PortSet};

/// Rules that are tried, pairs of ends times rules; beyond, overlaps are not looked for.
const TRIALS_MAX: usize = 8_000_000;

/// What tells a rule from all others of a direction.
type RuleKey = (PolicyName, Action, u32);

/// What is known of a rule after all pairs of ends were tried.
#[derive(Default)]
struct Seen {
    matched: bool,
    decides: bool,
    /// The rules that were faster, wherever this one matched.
    before: BTreeSet<RuleKey>,
}

struct Trial {
    rules: BTreeMap<RuleKey, Seen>,
    /// What rules of a tier without order allow together, for each pair of ends that differs.
    columns: BTreeSet<Vec<(RuleKey, PortSet)>>,
}

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    let rules: usize = cx.rules().count();
    let selected = cx.classes.iter().filter(|class| !class.book.tiers.is_empty()).count();
    let ends = cx.classes.len() + cx.externals().len();
    let per_class = 2 + rules / cx.classes.len().max(1);
    let trials = selected.saturating_mul(ends).saturating_mul(per_class);
    if trials > TRIALS_MAX {
        let why =
            format!("{trials} trials of rules on pairs of ends, {TRIALS_MAX} are made at most");
        let codes = [&REDUNDANT_POLICY, &REDUNDANT_RULE, &SHADOWED_RULE, &UNREACHABLE_RULE];
        cx.leave_out(&codes, why);
        return;
    }
    let mut removed = BTreeMap::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let trial = try_all(cx, direction);
        let keys = removable(&trial);
        unreachable(cx, direction, &trial, out);
        removed.insert(direction_word(direction), (keys, trial));
    }
    let redundant = redundant_policies(cx, &removed);
    for (policy, by) in &redundant {
        report_policy(cx, policy, by, out);
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        let Some((keys, trial)) = removed.get(direction_word(direction)) else { continue };
        for (policy, own, rule) in cx.rules() {
            let is_reported = redundant.iter().any(|(one, _)| one.name == policy.name);
            if own == direction && !is_reported && keys.contains(&key(policy, rule)) {
                report_rule(cx, (policy, direction, rule), trial, out);
            }
        }
    }
}

fn key(policy: &Policy, rule: &Rule) -> RuleKey {
    (policy.name.clone(), rule.action, rule.index)
}

fn try_all(cx: &Context<'_>, direction: Direction) -> Trial {
    let mut trial = Trial { rules: BTreeMap::new(), columns: BTreeSet::new() };
    let ends = cx.far_ends();
    for (class, endpoint) in cx.ordinary() {
        let mut sides = class.book.tiers.iter().flat_map(|tier| &tier.policies);
        if sides.all(|policy| policy.side(direction).is_none()) {
            continue;
        }
        for far in &ends {
            for (peer, address) in peers(cx, *far) {
                try_pair(cx, direction, (class, endpoint), (peer, address), &mut trial);
            }
        }
    }
    trial
}

/// An end as evaluation takes it, once for each of its addresses.
fn peers<'c>(cx: &'c Context<'_>, far: Far) -> Vec<(Peer<'c>, Option<std::net::IpAddr>)> {
    match far {
        Far::Address(address) => vec![(Peer::Address(address), Some(address))],
        Far::Class(index) => {
            let endpoint = cx.classes.get(index).and_then(|class| cx.endpoint(class));
            let Some(endpoint) = endpoint else { return Vec::new() };
            let peer = Peer::Endpoint(endpoint);
            if endpoint.addresses.is_empty() {
                return vec![(peer, None)];
            }
            endpoint.addresses.iter().map(|address| (peer, Some(*address))).collect()
        }
    }
}

fn try_pair<'c>(
    cx: &'c Context<'_>,
    direction: Direction,
    (class, endpoint): (&'c Class, &'c Endpoint),
    (peer, address): (Peer<'c>, Option<std::net::IpAddr>),
    trial: &mut Trial,
) {
    let own = Peer::Endpoint(endpoint);
    let (source, destination) = match direction {
        Direction::Ingress => (peer, own),
        Direction::Egress => (own, peer),
    };
    let (source_address, destination_address) = match direction {
        Direction::Ingress => (address, None),
        Direction::Egress => (None, address),
    };
    let connection = Connection {
        source,
        destination,
        source_address,
        destination_address,
        protocol: Protocol::Tcp,
        port: 0,
    };
    let question = Question::new(&cx.cluster, cx.dialect(), &connection, (direction, endpoint));
    let mut open = PortSet::all();
    let mut before: BTreeSet<RuleKey> = BTreeSet::new();
    for tier in &class.book.tiers {
        let entry = open.clone();
        let (mut passed, mut decided) = (PortSet::none(), PortSet::none());
        let mut column = Vec::new();
        let mut isolates = false;
        for policy in &tier.policies {
            let Some(side) = policy.side(direction) else { continue };
            isolates |= side.isolates;
            for rule in side.rules.iter().filter(|rule| question.peer_matches(&rule.peers)) {
                let raw = question.port_set(&rule.ports);
                if raw.is_empty() {
                    continue;
                }
                let mut effective = raw.intersection(&entry);
                if policy.rank.is_some() {
                    effective = effective.minus(&decided).minus(&passed);
                }
                let key = key(policy, rule);
                let seen = trial.rules.entry(key.clone()).or_default();
                seen.matched = true;
                if effective.is_empty() {
                    seen.before.extend(before.iter().cloned());
                } else {
                    seen.decides = true;
                    match rule.action {
                        Action::Pass => passed = passed.union(&effective),
                        Action::Accept | Action::Deny => decided = decided.union(&effective),
                    }
                    if policy.rank.is_none() {
                        column.push((key.clone(), effective));
                    } else {
                        before.insert(key);
                    }
                }
            }
        }
        open = if isolates { passed } else { entry.minus(&decided).minus(&passed).union(&passed) };
        before.extend(column.iter().map(|(key, _)| key.clone()));
        if !column.is_empty() {
            trial.columns.insert(column);
        }
    }
}

/// The rules of tiers without order that can go together, the later ones first.
fn removable(trial: &Trial) -> BTreeSet<RuleKey> {
    let mut columns_of: BTreeMap<&RuleKey, Vec<&Vec<(RuleKey, PortSet)>>> = BTreeMap::new();
    for column in &trial.columns {
        for (key, _) in column {
            columns_of.entry(key).or_default().push(column);
        }
    }
    let mut removed: BTreeSet<RuleKey> = BTreeSet::new();
    for (key, columns) in columns_of.iter().rev() {
        let is_covered = columns.iter().all(|column| {
            let own = column.iter().find(|(one, _)| one == *key).map(|(_, ports)| ports);
            let others = column
                .iter()
                .filter(|(one, _)| one != *key && !removed.contains(one))
                .fold(PortSet::none(), |set, (_, ports)| set.union(ports));
            own.is_none_or(|own| own.is_subset(&others))
        });
        if is_covered {
            removed.insert((*key).clone());
        }
    }
    removed
}

/// Rules of ordered tiers, and rules behind another tier, that never decide.
fn unreachable(cx: &Context<'_>, direction: Direction, trial: &Trial, out: &mut Vec<Finding>) {
    for (policy, own, rule) in cx.rules() {
        if own != direction {
            continue;
        }
        let Some(seen) = trial.rules.get(&key(policy, rule)) else { continue };
        if !seen.matched || seen.decides {
            continue;
        }
        let disagrees = seen.before.iter().any(|(_, action, _)| *action != rule.action);
        let before = describe(seen.before.iter());
        let verb = if seen.before.len() == 1 { "decides" } else { "decide" };
        let (message, fix) = if seen.before.is_empty() {
            (
                "never decides: a tier before it ends with a denial of all it would match"
                    .to_owned(),
                Fix::words("end the earlier tier with a rule of action Pass, or delete this rule"),
            )
        } else if disagrees {
            (
                format!("never decides: {before} {verb} first, with another action"),
                Fix::words(
                    "move the rule before them (a lower priority number, an earlier place), or \
                     delete it",
                ),
            )
        } else {
            (
                format!("never decides: {before} {verb} first, with the same action"),
                Fix::with("delete the rule", cx.rule_removal(policy, rule)),
            )
        };
        let is_sure = seen.before.is_empty() || is_behind(cx, (policy, direction, rule), seen);
        let given = if is_sure { "" } else { "with the workloads in these files " };
        let message = format!("{given}this {} rule {message}", direction_word(direction));
        let mut finding = cx.rule_place(policy, rule).finding(&UNREACHABLE_RULE, message, fix);
        if !is_sure {
            finding.severity = Severity::Note;
            finding.fix.edits.clear();
        }
        finding.evidence =
            evidence(super::context::workload_names(cx.selected(policy).map(|(class, _)| class)));
        out.push(finding);
    }
}

/// Whether one of the rules before it takes all of a rule, whatever pods there are.
fn is_behind(cx: &Context<'_>, asked: (&Policy, Direction, &Rule), seen: &Seen) -> bool {
    let (policy, direction, rule) = asked;
    cx.rules().any(|(other, side, one)| {
        side == direction
            && seen.before.contains(&key(other, one))
            && (other.name == policy.name || implies(&cx.cluster, &policy.subject, &other.subject))
            && rule_covers(&cx.cluster, one, rule)
    })
}

fn describe<'k>(keys: impl Iterator<Item = &'k RuleKey>) -> String {
    let all: Vec<String> = keys
        .map(|(policy, action, index)| format!("{action:?} rule {index} of `{policy}`"))
        .collect();
    let shown = all.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn report_rule(
    cx: &Context<'_>,
    (policy, direction, rule): (&Policy, Direction, &Rule),
    trial: &Trial,
    out: &mut Vec<Finding>,
) {
    let own = key(policy, rule);
    let covering: Vec<(&Policy, &Rule)> = cx
        .rules()
        .filter(|(other, side, one)| {
            *side == direction
                && key(other, one) != own
                && other.rank.is_none()
                && (other.name == policy.name
                    || implies(&cx.cluster, &policy.subject, &other.subject))
                && rule_covers(&cx.cluster, one, rule)
        })
        .map(|(other, _, one)| (other, one))
        .collect();
    let here = covering.iter().find(|(other, _)| other.name == policy.name);
    let edit = cx.rule_removal(policy, rule);
    let place = cx.rule_place(policy, rule);
    let word = direction_word(direction);
    let fix = Fix::with("delete the rule", edit);
    let mut finding = match (here, covering.first()) {
        (Some((_, by)), _) => {
            let message = format!(
                "this {word} rule adds nothing: rule {} of the same policy allows it all",
                by.index
            );
            place.finding(&SHADOWED_RULE, message, fix)
        }
        (None, Some((other, by))) => {
            let message = format!(
                "this {word} rule adds nothing: rule {} of `{}` allows it all",
                by.index, other.name
            );
            place.finding(&REDUNDANT_RULE, message, fix)
        }
        (None, None) => {
            let by: BTreeSet<&RuleKey> = trial
                .columns
                .iter()
                .filter(|column| column.iter().any(|(one, _)| *one == own))
                .flatten()
                .map(|(one, _)| one)
                .filter(|one| **one != own)
                .collect();
            let message = format!(
                "with the workloads in these files this {word} rule adds nothing: {} allow it all",
                describe(by.into_iter())
            );
            let fix = Fix::words("delete the rule, unless it is meant for pods to come");
            let mut finding = place.finding(&REDUNDANT_RULE, message, fix);
            finding.severity = Severity::Note;
            finding
        }
    };
    if cx.is_recommended(&policy.name) || is_single_hosts(rule) {
        finding.severity = Severity::Note;
    }
    out.push(finding);
}

/// A rule for single addresses tells who is meant, even if a wider one lets them in.
fn is_single_hosts(rule: &Rule) -> bool {
    let Peers::List(peers) = &rule.peers else { return false };
    peers.iter().all(|peer| {
        matches!(peer, PeerMatch::Networks { nets, .. }
            if nets.iter().all(|net| net.prefix_len() == net.max_prefix_len()))
    })
}

type Removed = BTreeMap<&'static str, (BTreeSet<RuleKey>, Trial)>;

/// Policies without which everything stays the same, each with one that makes it so.
fn redundant_policies<'c>(cx: &'c Context<'_>, removed: &Removed) -> Vec<(&'c Policy, PolicyName)> {
    let mut found: Vec<(&Policy, PolicyName)> = Vec::new();
    let all: Vec<&Policy> = cx.policies().map(|(_, policy)| policy).collect();
    for policy in all.iter().rev() {
        if policy.rank.is_some() || cx.selected(policy).next().is_none() {
            continue;
        }
        let sides: Vec<Direction> = [Direction::Ingress, Direction::Egress]
            .into_iter()
            .filter(|direction| policy.side(*direction).is_some())
            .collect();
        let rules_can_go = sides.iter().all(|direction| {
            let keys = removed.get(direction_word(*direction)).map(|(keys, _)| keys);
            policy.side(*direction).is_none_or(|side| {
                side.rules
                    .iter()
                    .all(|rule| keys.is_some_and(|keys| keys.contains(&key(policy, rule))))
            })
        });
        let other = all.iter().find(|other| {
            other.name != policy.name
                && !found.iter().any(|(gone, _)| gone.name == other.name)
                && sides.iter().all(|side| {
                    other.side(*side).is_some_and(|own| own.isolates) && other.rank.is_none()
                })
                && implies(&cx.cluster, &policy.subject, &other.subject)
        });
        if let Some(other) = other
            && rules_can_go
        {
            found.push((policy, other.name.clone()));
        }
    }
    found
}

fn report_policy(cx: &Context<'_>, policy: &Policy, by: &PolicyName, out: &mut Vec<Finding>) {
    let place = cx.place(object_name(&policy.name), &policy.position, "metadata.name");
    let message = format!(
        "removing this policy changes nothing: `{by}` isolates the same pods, and other policies \
         allow all that this one allows"
    );
    let mut finding = place.finding(&REDUNDANT_POLICY, message, Fix::words("delete the policy"));
    finding.evidence =
        evidence(super::context::workload_names(cx.selected(policy).map(|(class, _)| class)));
    // Default-denies are often written twice on purpose, as a safety net.
    if cx.is_recommended(&policy.name) {
        finding.severity = Severity::Note;
    }
    out.push(finding);
}
