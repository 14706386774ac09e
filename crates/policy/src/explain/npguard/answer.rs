//! What is asked, and the whole answer.

use std::collections::BTreeMap;

use sekisho_manifest::Object;

use super::{exposed, pairs, text as layout};
use crate::list::{Focus, ListError, Listing, Scope, npguard};
use crate::{Cluster, Dialect, Endpoint, RuleSet};

/// What is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which connections.
    pub focus: Focus,
    /// Print why connections are allowed and denied, instead of the list of allowed ones.
    pub explain: bool,
    /// Explain only pairs that may connect (true), or only those that may not (false).
    pub only: Option<bool>,
    /// Print also what peers that do not exist yet could reach.
    pub exposure: bool,
}

/// What all questions are asked of.
pub(super) struct World<'o> {
    pub(super) objects: &'o [Object],
    pub(super) rules: RuleSet,
    /// With the ingress controller's pod, if there is one.
    pub(super) cluster: Cluster,
    pub(super) exposure: bool,
}

/// Prints explanations, or the list of allowed connections, and exposure if asked for.
///
/// # Errors
/// As [`npguard::list`].
pub fn text(objects: &[Object], dialect: Dialect, options: &Options) -> Result<String, ListError> {
    let mut text = if options.explain {
        let world = World::new(objects, dialect, options)?;
        layout::explanation(&pairs::explained(&world, options)?)
    } else {
        npguard::print(&listing(objects, dialect, options)?, npguard::Form::Text)
    };
    if options.exposure {
        if !text.is_empty() {
            text.push('\n');
        }
        let exposure = exposed::exposure(objects, dialect, options)?;
        text.push_str(&exposure.text(options.focus.connection));
    }
    Ok(text)
}

/// Prints the list of allowed connections and exposure as JSON; explanations have no such form.
///
/// # Errors
/// As [`npguard::list`].
pub fn json(objects: &[Object], dialect: Dialect, options: &Options) -> Result<String, ListError> {
    let listing = listing(objects, dialect, options)?;
    if !options.exposure {
        return Ok(npguard::print(&listing, npguard::Form::Json));
    }
    let exposure = exposed::exposure(objects, dialect, options)?;
    Ok(exposure.json(&listing, options.focus.connection.is_some()))
}

pub(super) fn listing(
    objects: &[Object],
    dialect: Dialect,
    options: &Options,
) -> Result<Listing, ListError> {
    npguard::list(objects, dialect, &scope(options))
}

fn scope(options: &Options) -> Scope {
    Scope { focus: options.focus.clone(), ..Scope::default() }
}

impl<'o> World<'o> {
    pub(super) fn new(
        objects: &'o [Object],
        dialect: Dialect,
        options: &Options,
    ) -> Result<Self, ListError> {
        let rules = RuleSet::from_objects(objects, dialect);
        let cluster = npguard::cluster(objects);
        npguard::check(objects, &rules, &cluster).map_err(ListError::Refused)?;
        Ok(Self { objects, rules, cluster, exposure: options.exposure })
    }

    /// One pod of each workload, by the workload's name: that tool takes the pods of an owner for
    /// alike, and refuses input where policies tell them apart.
    pub(super) fn workloads(&self) -> BTreeMap<String, &Endpoint> {
        let mut workloads = BTreeMap::new();
        for endpoint in &self.cluster.endpoints {
            workloads.entry(endpoint.workload.to_string()).or_insert(endpoint);
        }
        workloads
    }
}
