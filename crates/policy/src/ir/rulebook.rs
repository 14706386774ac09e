//! Tiers, policies and rules.

use sekisho_manifest::Position;
use sekisho_model::Direction;
use serde::{Deserialize, Serialize};

use super::{Expr, Peers, Ports};
use crate::{Dialect, PolicyName};

/// All policies of a cluster, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// In the order they are asked.
    pub tiers: Vec<Tier>,
    /// How the policies were read.
    pub dialect: Dialect,
}

/// Policies that are asked together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Name in answers: `admin`, `network_policy`, `baseline`, or the name of a Calico tier.
    pub name: String,
    /// In the order they are asked; equal ranks stand in order of kind and name.
    pub policies: Vec<Policy>,
}

/// A policy, or the half of a Cilium policy that denies or allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Kind and name.
    pub name: PolicyName,
    /// Place in the tier; None = order has no meaning (NetworkPolicy). Two policies of a tier with
    /// equal ranks that select the same subject are an ambiguity.
    pub rank: Option<Rank>,
    /// Which pods and hosts it selects.
    pub subject: Expr,
    /// What it says of ingress; None = nothing, so that it does not select in this direction.
    pub ingress: Option<Side>,
    /// The same for egress.
    pub egress: Option<Side>,
    /// Where the policy stands.
    pub position: Position,
}

/// A place in an order, lowest first: a priority or Calico's `order` (a float there).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rank(pub f64);

impl Eq for Rank {}

/// One direction of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Whether what no rule of the tier matches is denied.
    pub isolates: bool,
    /// In the order they are tried.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens to what matches.
    pub action: Action,
    /// Which other ends match.
    pub peers: Peers,
    /// Which protocols and destination ports match.
    pub ports: Ports,
    /// Index in the list of the policy that holds it, from 0.
    pub index: u32,
    /// Name the rule was given; empty if none.
    pub name: String,
    /// What else must hold for an Accept that ports and addresses can't tell, e.g. `HTTP rules`;
    /// the rule counts as if it did.
    pub condition: Option<String>,
    /// Where the rule stands.
    pub position: Position,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Accept for good, in this direction.
    Accept,
    /// Deny for good.
    Deny,
    /// Leave the rest of the tier out.
    Pass,
}

impl Policy {
    /// What the policy says of a direction.
    #[must_use]
    pub fn side(&self, direction: Direction) -> Option<&Side> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}
