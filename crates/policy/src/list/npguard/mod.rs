//! Lists as np-guard/netpol-analyzer makes and prints them.
//!
//! What differs from our own lists: pods and their workload are listed apart if both are there; a
//! pod belongs to its direct owner; external ranges are IPv4 only, and cut at every range that a
//! policy names in that direction; an ingress controller is a pod of its own namespace; input that
//! makes answers ambiguous is refused.

mod cluster;
mod print;
mod ranges;
mod refuse;

use sekisho_manifest::Object;

use super::build::{ListError, Listing, Scope};
use super::gateway::ControllerTargets;
use crate::{Dialect, RuleSet};

pub use cluster::cluster;
pub(crate) use print::quoted;
pub use print::{Form, connections, end_name, print};
pub use refuse::check;

/// Lists what policies allow, as np-guard/netpol-analyzer does.
///
/// # Errors
/// [`ListError::Refused`] if that tool refuses the objects, else as [`Listing::new`].
pub fn list(objects: &[Object], dialect: Dialect, scope: &Scope) -> Result<Listing, ListError> {
    let rules = RuleSet::from_objects(objects, dialect);
    let cluster = cluster(objects);
    check(objects, &rules, &cluster).map_err(ListError::Refused)?;
    let targets = ControllerTargets::of(objects, &cluster);
    let ranges = ranges::ranges(&rules);
    Listing::build(&rules, &cluster, scope, Some(&ranges), &targets)
}
