//! What was found, for receivers of alerts: edges that a policy denies, folded by who, whom and by what,
//! and what the server says of its cluster (policies that are not enforced, that others changed, ...).
//!
//! A finding is a matter, not an occurrence: told again, it has the same name
//! ([`Finding::uid`]) and newer figures. So its name holds no time, no pod and no address that a
//! restart changes.

use std::collections::BTreeMap;
use std::fmt;

use sekisho_model::{
    ClusterName, DecidedBy, EdgeDay, EdgeKey, Party, Protocol, Timestamp, Verdict,
};
use serde_json::Value;

/// Pieces of evidence in one finding; the rest is in its count.
const EVIDENCE_MAX: usize = 16;

/// What kind of matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// A policy in force stopped connections.
    Denied,
    /// A staged policy would stop them; they passed.
    WouldDeny,
    /// They passed although a policy in force denies them.
    NotEnforced,
    /// A policy in the cluster is not as the revision in force has it.
    PolicyChanged,
    /// Somebody changed the rules in a node's kernel.
    RulesChanged,
    /// A workload's new image does what the policies in force deny.
    NewImage,
}

impl FindingKind {
    /// One word, a part of [`Finding::uid`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::WouldDeny => "would-deny",
            Self::NotEnforced => "not-enforced",
            Self::PolicyChanged => "policy-changed",
            Self::RulesChanged => "rules-changed",
            Self::NewImage => "new-image",
        }
    }

    /// The kind in words.
    #[must_use]
    pub fn caption(self) -> &'static str {
        match self {
            Self::Denied => "Connections denied by policy",
            Self::WouldDeny => "Connections that a staged policy would deny",
            Self::NotEnforced => "Connections passed that a policy in force denies",
            Self::PolicyChanged => "Policy differs from the revision in force",
            Self::RulesChanged => "Rules in a node's kernel were changed by others",
            Self::NewImage => "A new image does what policies deny",
        }
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look.
    Low,
    /// Worth a question.
    Medium,
    /// Protection that is believed to be there is not.
    High,
}

/// A technique of MITRE ATT&CK that a finding is itself an instance of. A denied connection is none:
/// it may be an attack's, and is a forgotten rule's most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// T1562, Impair Defenses: a policy was changed so that it lets more through.
    ImpairDefenses,
    /// T1562.004, Disable or Modify System Firewall: the kernel's rules were.
    SystemFirewall,
}

/// What proves it.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// An edge of history.
    Edge(Box<EdgeDay>),
    /// A connection between two workloads by name.
    Pair {
        /// Who connected, `namespace/name[Kind]`.
        source: String,
        /// Who was asked.
        destination: String,
        /// By what.
        protocol: Protocol,
        /// Destination port.
        port: u16,
        /// More of it, a JSON object.
        data: Value,
    },
    /// Anything else, a JSON object.
    Data(Value),
}

/// An object of the cluster, or a node, that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Namespace; empty if it has none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind: `Deployment`, `NetworkPolicy`, `Node`.
    pub kind: String,
}

/// A matter that somebody should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// Where.
    pub cluster: ClusterName,
    /// What it is about; with kind and cluster its name.
    pub subject: String,
    /// What happened, in words.
    pub detail: String,
    /// How much it matters.
    pub severity: Severity,
    /// The technique that it is an instance of.
    pub attack: Option<Attack>,
    /// Earliest moment.
    pub first_seen: Timestamp,
    /// Latest moment.
    pub last_seen: Timestamp,
    /// How often: connections, or changes.
    pub count: u64,
    /// The policy that is about it.
    pub policy: Option<DecidedBy>,
    /// What proves it; not all of it.
    pub evidence: Vec<Evidence>,
    /// What it is about.
    pub affected: Vec<Affected>,
    /// What to do; empty = nobody knows.
    pub remedy: String,
}

impl Finding {
    /// Its name: the same whenever it is told, by whatever server of this cluster.
    #[must_use]
    pub fn uid(&self) -> String {
        format!("sekisho/{}/{}/{}", self.cluster, self.kind.as_str(), self.subject)
    }

    /// The finding that an edge makes; None if nothing denies it.
    #[must_use]
    pub fn of_edge(row: &EdgeDay) -> Option<Self> {
        let (kind, severity, remedy) = match row.key.verdict {
            Verdict::Denied => (
                FindingKind::Denied,
                Severity::Medium,
                "if it is wanted, allow it (`sekisho recommend`); if not, find out why it is tried",
            ),
            Verdict::WouldDeny => (
                FindingKind::WouldDeny,
                Severity::Low,
                "before the policy is enforced: allow it (`sekisho recommend`), or let it be denied",
            ),
            Verdict::Allowed | Verdict::Unknown => return None,
        };
        let (key, stats) = (&*row.key, &row.stats);
        Some(Self {
            kind,
            cluster: key.cluster.clone(),
            subject: subject(key),
            detail: format!("{} -> {} {}/{}", key.source, key.destination, key.protocol, key.port),
            severity,
            attack: None,
            first_seen: stats.first_seen,
            last_seen: stats.last_seen,
            count: stats.connections,
            policy: key.decided_by.clone(),
            evidence: vec![Evidence::Edge(Box::new(row.clone()))],
            affected: vec![Affected::of(&key.destination)],
            remedy: remedy.to_owned(),
        })
    }

    /// Adds another telling of the same matter.
    fn add(&mut self, other: Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.count = self.count.saturating_add(other.count);
        let room = EVIDENCE_MAX.saturating_sub(self.evidence.len());
        self.evidence.extend(other.evidence.into_iter().take(room));
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.caption(), self.detail)
    }
}

impl Affected {
    fn of(party: &Party) -> Self {
        Self {
            namespace: party.workload.namespace.clone(),
            name: party.workload.name.clone(),
            kind: party.workload.kind.clone(),
        }
    }
}

/// Who, whom, by what and by which policy. A rule's number is left out: it changes when a policy gets
/// another rule.
fn subject(key: &EdgeKey) -> String {
    let EdgeKey { source, destination, protocol, port, .. } = key;
    let by = key.decided_by.as_ref().map_or_else(
        || "-".to_owned(),
        |decided| format!("{} {}", decided.policy, decided.direction),
    );
    format!("{source} -> {destination} {protocol}/{port} {by}")
}

/// The findings that edges make, each matter once, in the order of their last moment.
#[must_use]
pub fn findings_of<'a>(rows: impl IntoIterator<Item = &'a EdgeDay>) -> Vec<Finding> {
    let mut matters: BTreeMap<String, Finding> = BTreeMap::new();
    for finding in rows.into_iter().filter_map(Finding::of_edge) {
        let uid = finding.uid();
        match matters.get_mut(&uid) {
            Some(known) => known.add(finding),
            None => {
                matters.insert(uid, finding);
            }
        }
    }
    let mut all: Vec<Finding> = matters.into_values().collect();
    all.sort_by_key(|finding| finding.last_seen);
    all
}
