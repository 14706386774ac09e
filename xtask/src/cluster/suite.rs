//! The cluster's part of `cargo xtask test` and `bench`: up, the tests, and down again whatever
//! happened.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::control::Shape;
use super::plan::Plan;
use super::{binary, clean, index, node, up};
use crate::image;
use crate::steps::Steps;

/// Runs `tests`, which are told the cluster's state folder and add their own steps, in a new cluster
/// of `release` (none is the main version) whose nodes have `program` as an image.
///
/// Each step is shown in the table; the tests don't run without a cluster.
pub(crate) fn run(
    root: &Path,
    (program, release): (&Path, Option<&str>),
    steps: &mut Steps,
    tests: impl FnOnce(&Path, &mut Steps),
) {
    let state = state(root, "test");
    let came = steps.check("cluster up", || {
        let programs = binary::programs(root, release)?;
        up::up(root, &programs, &state, Shape::Nodes)?;
        load(&find(&state)?, program)
    });
    if came {
        tests(&state, steps);
    }
    steps.check("cluster down", || match index::find(&state) {
        Some(plan) => clean::down(&plan),
        None => Ok(()),
    });
}

/// Runs `work`, which is told the state folder, while the control plane of a new cluster is up.
///
/// # Errors
/// Those of `work`, and if the control plane does not come or go.
pub(crate) fn with_control_plane<T>(
    root: &Path,
    work: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let state = state(root, "bench");
    let programs = binary::programs(root, None)?;
    let done = up::up(root, &programs, &state, Shape::ControlPlane).and_then(|()| work(&state));
    let down = index::find(&state).map_or(Ok(()), |plan| clean::down(&plan));
    let done = done?;
    down.map(|()| done)
}

/// A folder of its own for each checkout and use: two that test at the same time don't meet, and one that
/// was killed finds what it left.
fn state(root: &Path, purpose: &str) -> PathBuf {
    // Hasher without a key: the same in each run, and no secret.
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    PathBuf::from(format!("/var/tmp/sekisho-{purpose}-{:016x}", hasher.finish()))
}

fn find(state: &Path) -> Result<Plan> {
    index::find(state).context("the cluster is gone")
}

/// Gives the nodes the product as it was built for the tests.
fn load(plan: &Plan, program: &Path) -> Result<()> {
    let tar = plan.path("images/sekisho.tar");
    let bytes = image::archive(&[image::sekisho(program)?])?;
    fs::write(&tar, bytes).with_context(|| format!("write {}", tar.display()))?;
    node::import(plan, &tar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_has_a_cluster_of_its_own_and_always_the_same() {
        let state = |root: &str| state(Path::new(root), "test");
        assert_eq!(state("/a"), state("/a"));
        assert_ne!(state("/a"), state("/b"));
    }
}
