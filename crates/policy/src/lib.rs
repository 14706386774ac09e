//! Policies of every kind: lower to one shape, decide with the deciding rule.
//!
//! [`RuleSet`] holds the policies and what they become ([`ir`]). [`RuleSet::decide`] is the plain
//! evaluator: it asks tiers, policies and rules in turn about one connection.

mod cluster;
mod compare;
mod decide;
mod decision;
mod dialect;
mod engine;
pub mod explain;
pub mod exposure;
mod from_objects;
pub mod ir;
mod lines;
pub mod lint;
pub mod list;
mod lower;
mod matching;
mod named;
mod owners;
mod pair;
mod ports;
mod reach;
mod rule_id;
mod ruleset;
mod shadow;

pub use cluster::{Cluster, Endpoint, OutsideBackend};
pub use compare::{ANY_POD, Comparison, Relation, WITNESSES_MAX, Witness, compare};
pub use decision::{Connection, Decision, DirectionDecision, Peer, PolicyKind, PolicyName, Reason};
pub use dialect::{Dialect, DialectError};
pub use engine::tables::{ClassTable, Decider, Share};
pub use explain::{DirectionExplanation, Explanation, Miss, explain};
pub use lines::decide_line;
pub use owners::{Owner, Owners, top_of_pod};
pub use pair::{DirectionAnswer, MatchedRule, Pair, PairAnswer, Segment, Step};
pub use ports::{IcmpVersion, PortSet};
pub use reach::{Change, Edit, Party, Place, Reach, Rectangle, atoms};
pub use rule_id::RuleId;
pub use ruleset::RuleSet;
pub use shadow::{Effect, Shadow, TooManyTrials, effects};
