//! What is proposed, with its evidence.

use sekisho_manifest::{NetworkPolicy, Object, TierPolicy};
use sekisho_model::{Direction, TimeRange, Timestamp};
use sekisho_policy::RuleSet;
use serde::{Deserialize, Serialize};

/// Policies with their evidence, and what was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Name of the template that made it.
    pub template: String,
    /// What the policies do together, in sentences; empty where each rule says it.
    pub words: Vec<String>,
    /// What of the template NetworkPolicy cannot say.
    pub not_native: Vec<NotNative>,
    /// History that was used.
    pub window: TimeRange,
    /// Completeness of that history, 0 to 1.
    pub completeness: f64,
    /// One default deny per namespace, by namespace.
    pub default_deny: Vec<NetworkPolicy>,
    /// The policies that allow, by namespace and name.
    pub policies: Vec<RecommendedPolicy>,
    /// Policies of the whole cluster, in the order of their priority.
    pub cluster_policies: Vec<TierPolicy>,
    /// What was left out, merged or widened, and why.
    pub notes: Vec<Note>,
}

impl Proposal {
    /// All proposed NetworkPolicies, the default denies first in each namespace.
    #[must_use]
    pub fn all(&self) -> Vec<&NetworkPolicy> {
        let mut all: Vec<&NetworkPolicy> = self.default_deny.iter().collect();
        all.extend(self.policies.iter().map(|recommended| &recommended.policy));
        // Stable: a default deny stays before the policies of its namespace.
        all.sort_by(|a, b| a.meta.namespace.cmp(&b.meta.namespace));
        all
    }

    /// The policies in force if the proposal is applied on top of `existing`, of every kind;
    /// NetworkPolicies of the same namespace and name are replaced.
    #[must_use]
    pub fn applied_to(&self, existing: &RuleSet) -> RuleSet {
        let cluster = self.cluster_policies.iter().cloned().map(Object::TierPolicy);
        existing.with(self.all().into_iter().cloned().map(Object::NetworkPolicy).chain(cluster))
    }
}

/// Something that a NetworkPolicy cannot say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotNative {
    /// What.
    pub what: String,
    /// What does it.
    pub instead: String,
}

/// A policy, why each of its rules is there, and how sure that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecommendedPolicy {
    /// The policy.
    pub policy: NetworkPolicy,
    /// The workloads it selects, as ids, sorted; empty for a policy of a whole namespace or
    /// application.
    pub workloads: Vec<String>,
    /// Evidence of each rule: ingress rules first, each in order.
    pub rules: Vec<RuleEvidence>,
    /// How sure.
    pub confidence: Confidence,
}

/// Why a rule is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleEvidence {
    /// Whose list the rule is in.
    pub direction: Direction,
    /// Its index there, from 0.
    pub rule: u32,
    /// The rule in words, as in the comment above it.
    pub words: Vec<String>,
    /// Connections that it allows, in the window.
    pub connections: u64,
    /// First seen in the window; the epoch if a template asks for the rule without evidence.
    pub first_seen: Timestamp,
    /// Last seen in the window; the epoch if a template asks for the rule without evidence.
    pub last_seen: Timestamp,
    /// `source -> destination` processes, sorted; `?` where no agent saw one.
    pub processes: Vec<String>,
    /// Edges that it allows, sorted: `source -> destination:port/proto`.
    pub edges: Vec<String>,
}

/// How sure a recommendation is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// 0 to 1: a rough figure to sort by; the reasons say more.
    pub score: f64,
    /// Seconds between the first and the last record of the whole history.
    pub watched_s: u64,
    /// Distinct hours in which the workload was seen to talk.
    pub hours_seen: u64,
    /// Pods of the workload that were seen and are gone: restarts, roll-outs.
    pub restarts_seen: u64,
    /// Runs seen, for a Job or CronJob; 0 for the rest.
    pub runs_seen: u64,
    /// Rules that rest on a single connection.
    pub rules_seen_once: u64,
    /// In words: what speaks against trusting it blindly, and what for.
    pub reasons: Vec<String>,
}

/// What kind of remark a [`Note`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Traffic was seen, but no rule is proposed for it.
    LeftOut,
    /// Labels can't tell these workloads apart: they share a policy.
    Merged,
    /// A rule is wider or vaguer than one would like.
    Wide,
    /// Needs no rule: NetworkPolicy always allows it.
    AlwaysAllowed,
    /// A workload that gets no policy.
    NoPolicy,
    /// A workload of history that is not in the cluster now.
    Gone,
    /// A policy in force that touches the recommendation.
    Existing,
}

/// A remark on the proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// Kind.
    pub kind: NoteKind,
    /// What it is about: an edge, a workload or a policy.
    pub subject: String,
    /// In words.
    pub text: String,
}
