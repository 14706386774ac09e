//! The plain evaluator.

use sekisho_model::Direction;

use crate::{Cluster, Connection, Decision, DirectionDecision, Reason, RuleSet};

impl RuleSet {
    /// Decides a new connection.
    #[must_use]
    pub fn decide(&self, cluster: &Cluster, connection: &Connection<'_>) -> Decision {
        // SKELETON: being written.
        let (_, _) = (cluster, connection);
        Decision {
            egress: DirectionDecision { direction: Direction::Egress, reason: Reason::NotIsolated },
            ingress: DirectionDecision {
                direction: Direction::Ingress,
                reason: Reason::NotIsolated,
            },
        }
    }
}
