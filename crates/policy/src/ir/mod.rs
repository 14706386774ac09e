//! Policies of every kind in one shape: tiers of policies, policies of rules.
//!
//! Evaluation of one direction of a connection, for the subject (source for egress, destination
//! for ingress):
//! 1. Tiers are asked in order. In a tier only the policies count that select the subject and
//!    speak about the direction.
//! 2. Their rules are tried in order, policy by policy; the first that matches peer and port
//!    decides: Accept and Deny for good, Pass leaves the tier.
//! 3. If none matches and one of these policies isolates, the connection is denied; if none
//!    isolates, the next tier is asked.
//! 4. What no tier decided is accepted.
//!
//! NetworkPolicies are policies that isolate and whose rules all accept, so that their order does
//! not matter. A connection is allowed if both directions accept it.

mod expr;
mod matches;
mod rulebook;

pub use expr::{Expr, Scope, Subject, Test, TextOperator, TextTest};
pub use matches::{Entity, Extent, PeerMatch, Peers, PortMatch, Ports};
pub use rulebook::{Action, Policy, Rank, Rule, Rulebook, Side, Tier};
