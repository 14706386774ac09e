//! NetworkPolicy: compile, decide with the deciding rule.
//!
//! [`RuleSet::decide`] is the plain, obviously right evaluator: it walks policies, rules, peers and
//! ports exactly as the specification reads. It stays as the oracle of faster engines.

mod cluster;
mod decision;
mod evaluate;
mod explain;
mod from_objects;
mod lines;
mod ruleset;

pub use cluster::{Cluster, Endpoint};
pub use decision::{Connection, Decision, DirectionDecision, Peer, PolicyName, Reason};
pub use explain::{DirectionExplanation, Explanation, Miss, explain};
pub use lines::decide_line;
pub use ruleset::RuleSet;
