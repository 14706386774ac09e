//! From objects to a list.

use sekisho_manifest::Object;

use super::ranges::ranges;
use super::{check, cluster};
use crate::list::build::{ListError, Listing, Scope};
use crate::list::gateway::ControllerTargets;
use crate::{Dialect, RuleSet};

/// Lists what policies allow, as np-guard/netpol-analyzer does.
///
/// # Errors
/// [`ListError::Refused`] if that tool refuses the objects, else as [`Listing::new`].
pub fn list(objects: &[Object], dialect: Dialect, scope: &Scope) -> Result<Listing, ListError> {
    let rules = RuleSet::from_objects(objects, dialect);
    let cluster = cluster(objects);
    check(objects, &rules, &cluster).map_err(ListError::Refused)?;
    let targets = ControllerTargets::of(objects, &cluster);
    let ranges = ranges(&rules);
    Listing::build(&rules, &cluster, scope, Some(&ranges), &targets)
}
