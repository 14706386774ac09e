//! The policies there are, rule by rule: what of history each lets through, and what others do as well.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{Direction, Protocol, TimeRange, Timestamp, Verdict};
use sekisho_policy::ir::{Action, Policy, Rule};
use sekisho_policy::{Effect, PolicyName, RuleId, RuleSet};
use sekisho_verify::{Hit, Hits, HitsRequest, SetHits, Word};
use serde::{Deserialize, Serialize};

use crate::pipeline::History;

/// Edges named of one rule: those with most connections; the rest is counted.
const EDGES_MAX: usize = 10;

/// All policies, and how much of the window is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RuleHits {
    pub(crate) window: TimeRange,
    pub(crate) completeness: f64,
    pub(crate) gaps: Vec<String>,
    /// Connections of the window.
    pub(crate) connections: u64,
    /// Why nobody knows what rules are shadowed; None = it was worked out.
    pub(crate) shadows_left_out: Option<String>,
    pub(crate) policies: Vec<PolicyHits>,
}

/// A policy with its rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PolicyHits {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// `enforced` or `staged`.
    pub(crate) state: State,
    /// Name of its tier.
    pub(crate) tier: String,
    /// Workloads of the cluster as it is now that it selects.
    pub(crate) workloads: u64,
    /// Since when it is that in its present form; None = not known.
    pub(crate) since: Option<Timestamp>,
    /// Connections that it denies because no rule allows them.
    pub(crate) isolates: Vec<Isolation>,
    pub(crate) rules: Vec<RuleUse>,
}

/// How far a policy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Enforced,
    Staged,
}

/// What a policy denies in one direction because no rule of its tier allows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Isolation {
    pub(crate) direction: Direction,
    #[serde(flatten)]
    pub(crate) used: Used,
}

/// A rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RuleUse {
    pub(crate) direction: Direction,
    /// Index in its list, from 0.
    pub(crate) index: u32,
    /// Name it was given; empty if none.
    pub(crate) name: String,
    pub(crate) action: Action,
    /// Who and on what ports, in words.
    pub(crate) words: String,
    #[serde(flatten)]
    pub(crate) used: Used,
    pub(crate) effect: EffectWord,
    /// The rules that decide where it would; policies that deny there by having none that allows.
    pub(crate) shadowed_by: Vec<Other>,
    /// Whether it is shadowed whatever pods come to be.
    pub(crate) always: bool,
}

/// The connections of the window that something decided.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Nothing in the window, in any way to read it.
    pub(crate) unused: bool,
    pub(crate) connections: u64,
    /// Of these, those that no other rule of the tier allows as well.
    pub(crate) alone: u64,
    /// Connections that it decides in some ways to read the record only.
    pub(crate) uncertain: u64,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) last_seen: Option<Timestamp>,
    /// Edges behind all of them.
    pub(crate) edges: u64,
    /// Those with most connections.
    pub(crate) most: Vec<EdgeUse>,
}

/// An edge that a rule decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EdgeUse {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) verdict: Verdict,
    pub(crate) connections: u64,
    pub(crate) last_seen: Timestamp,
}

/// What would be otherwise without a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EffectWord {
    /// Something.
    Needed,
    /// Nothing: the policy selects nobody.
    SelectsNothing,
    /// Nothing: nobody is like whom it speaks of.
    MatchesNothing,
    /// Nothing: others do the same, or decide first.
    Shadowed,
    /// That was not worked out.
    Unknown,
}

/// Another rule, or a policy as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Other {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) direction: Direction,
    /// None = what denies is that no rule of it allows.
    pub(crate) index: Option<u32>,
}

impl EffectWord {
    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::SelectsNothing => "selects nothing",
            Self::MatchesNothing => "matches nothing",
            Self::Shadowed => "shadowed",
            Self::Unknown => "not known",
        }
    }
}

impl State {
    /// The word used in JSON and tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Staged => "staged",
        }
    }
}

/// Replays `history` against the policies in force and those staged.
pub(crate) fn replay(history: &History, enforced: &RuleSet, staged: &RuleSet) -> Hits {
    let (cluster, history) = (&history.cluster, history.rows.as_slice());
    sekisho_verify::hits(&HitsRequest { enforced, staged, cluster, history })
}

/// What each rule of both sets let through. `is_asked` says which policies are told; `since` since
/// when one is what it is.
pub(crate) fn rule_hits(
    history: &History,
    (enforced, staged): (&RuleSet, &RuleSet),
    is_asked: &dyn Fn(&PolicyName) -> bool,
    since: &dyn Fn(State, &PolicyName) -> Option<Timestamp>,
) -> RuleHits {
    let hits = replay(history, enforced, staged);
    let connections =
        history.rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.stats.connections));
    let mut all = RuleHits {
        window: history.window,
        completeness: history.completeness.ratio,
        gaps: history.completeness.gaps.clone(),
        connections,
        shadows_left_out: None,
        policies: Vec::new(),
    };
    for (state, rules, hits) in
        [(State::Enforced, enforced, &hits.enforced), (State::Staged, staged, &hits.staged)]
    {
        let effects = match sekisho_policy::effects(rules, &history.cluster) {
            Ok(effects) => effects,
            Err(why) => {
                all.shadows_left_out = Some(why.to_string());
                BTreeMap::new()
            }
        };
        all.policies.extend(of_set((state, rules), (history, hits, &effects), is_asked, since));
    }
    all.policies.sort_by(|a, b| order(a).cmp(&order(b)));
    all
}

fn order(one: &PolicyHits) -> (State, &str, &str, &str) {
    (one.state, &one.namespace, &one.name, &one.kind)
}

fn of_set(
    (state, rules): (State, &RuleSet),
    (history, hits, effects): (&History, &SetHits, &BTreeMap<RuleId, Effect>),
    is_asked: &dyn Fn(&PolicyName) -> bool,
    since: &dyn Fn(State, &PolicyName) -> Option<Timestamp>,
) -> Vec<PolicyHits> {
    let mut selected: BTreeMap<&PolicyName, BTreeSet<String>> = BTreeMap::new();
    for endpoint in &history.cluster.endpoints {
        for (policy, _) in rules.selecting(&history.cluster, endpoint) {
            selected.entry(policy).or_default().insert(endpoint.workload.to_string());
        }
    }
    // The halves of a Cilium policy are one policy.
    let mut found: BTreeMap<&PolicyName, PolicyHits> = BTreeMap::new();
    for tier in &rules.rulebook().tiers {
        for policy in tier.policies.iter().filter(|policy| is_asked(&policy.name)) {
            let own = found.entry(&policy.name).or_insert_with(|| PolicyHits {
                namespace: policy.name.namespace.clone(),
                name: policy.name.name.clone(),
                kind: policy.name.kind.as_str().to_owned(),
                state,
                tier: tier.name.clone(),
                workloads: selected.get(&policy.name).map_or(0, |all| all.len() as u64),
                since: since(state, &policy.name),
                isolates: Vec::new(),
                rules: Vec::new(),
            });
            add(own, policy, hits, effects);
        }
    }
    found.into_values().collect()
}

fn add(own: &mut PolicyHits, policy: &Policy, hits: &SetHits, effects: &BTreeMap<RuleId, Effect>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let Some(side) = policy.side(direction) else { continue };
        let is_known = own.isolates.iter().any(|one| one.direction == direction);
        if side.isolates && !is_known {
            let word = Word::Isolation(policy.name.clone(), direction);
            let used = used(hits.words.get(&word));
            own.isolates.push(Isolation { direction, used });
        }
        for rule in &side.rules {
            let new = of_rule(policy, direction, rule, (hits, effects));
            let is_it = |one: &&mut RuleUse| {
                (one.direction, one.index, one.action) == (direction, rule.index, rule.action)
            };
            // What is one rule in the policy's text may be several here.
            match own.rules.iter_mut().find(is_it) {
                Some(known) => known.words = format!("{}; {}", known.words, new.words),
                None => own.rules.push(new),
            }
        }
    }
}

fn of_rule(
    policy: &Policy,
    direction: Direction,
    rule: &Rule,
    (hits, effects): (&SetHits, &BTreeMap<RuleId, Effect>),
) -> RuleUse {
    let id = RuleId::of(policy, direction, rule);
    let (effect, shadow) = match effects.get(&id) {
        None => (EffectWord::Unknown, None),
        Some(Effect::Needed) => (EffectWord::Needed, None),
        Some(Effect::SelectsNothing) => (EffectWord::SelectsNothing, None),
        Some(Effect::MatchesNothing) => (EffectWord::MatchesNothing, None),
        Some(Effect::Shadowed(shadow)) => (EffectWord::Shadowed, Some(shadow)),
    };
    let other = |policy: &PolicyName, index: Option<u32>| Other {
        kind: policy.kind.as_str().to_owned(),
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        direction,
        index,
    };
    let shadowed_by = shadow.iter().flat_map(|shadow| {
        let rules = shadow.by.iter().map(|id| other(&id.policy, Some(id.index)));
        rules.chain(shadow.isolated_by.iter().map(|policy| other(policy, None)))
    });
    RuleUse {
        direction,
        index: rule.index,
        name: rule.name.clone(),
        action: rule.action,
        words: rule.words(),
        effect,
        shadowed_by: shadowed_by.collect(),
        always: shadow.is_some_and(|shadow| shadow.always),
        used: used(hits.words.get(&Word::Rule(id))),
    }
}

fn used(hit: Option<&Hit>) -> Used {
    let none = Hit::default();
    let hit = hit.unwrap_or(&none);
    let mut most: Vec<EdgeUse> = hit
        .edges
        .iter()
        .map(|(edge, (connections, last_seen))| EdgeUse {
            source: edge.source.clone(),
            destination: edge.destination.clone(),
            protocol: edge.protocol,
            port: edge.port,
            verdict: edge.verdict,
            connections: *connections,
            last_seen: *last_seen,
        })
        .collect();
    // Stable: edges with as many connections stay in order.
    most.sort_by_key(|edge| std::cmp::Reverse(edge.connections));
    most.truncate(EDGES_MAX);
    Used {
        unused: hit.is_unused(),
        connections: hit.connections,
        alone: hit.alone,
        uncertain: hit.uncertain,
        first_seen: hit.seen.map(|(first, _)| first),
        last_seen: hit.seen.map(|(_, last)| last),
        edges: hit.edges.len() as u64,
        most,
    }
}
