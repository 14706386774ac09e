//! The verb: install, build, generate, measure, compare, print.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::clusters;
use super::install::{self, Peer};
use super::timing::{Outcome, measure};
use crate::score::difference;
use crate::{artifact, run};

/// Inputs of `engine_speed`, smallest first.
const INPUTS: [&str; 3] = ["tiny", "small", "usual"];
/// Wall-clock time that a run may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Runs of ours; the median counts. Peers that are slow run once.
const RUNS: usize = 3;
/// Small clusters compared unless the command line says how many.
const CLUSTERS: u64 = 200;
/// Different answers that are shown in full.
const SHOWN_MAX: usize = 10;

/// Runs the verb: `peers [CLUSTERS]`.
///
/// # Errors
/// If an argument is no number, our program can't be built, it fails on an input, or an answer of
/// a peer differs from ours.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let clusters = match arguments {
        [] => CLUSTERS,
        [count] => count.parse().with_context(|| format!("`{count}` is no number of clusters"))?,
        _ => bail!("usage: cargo xtask bench peers [CLUSTERS]"),
    };
    let folder = root.join("target/peers");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let peers = install::all(&folder);
    let sekisho = artifact::sekisho(root)?;
    generate(root, &folder.join("inputs"))?;
    let mut differences = Vec::new();
    let mut table = Vec::new();
    for input in INPUTS {
        let input = Input { name: input.to_owned(), folder: folder.join("inputs").join(input) };
        let (time, ours) = ours(&sekisho, &input)?;
        table.push(format!("{:<7}sekisho {}", input.name, seconds(time)));
        for peer in &peers {
            let (row, difference) = beside(peer, &input, (time, &ours));
            println!("{row}");
            table.push(row);
            differences.extend(difference);
        }
    }
    for peer in &peers {
        let (same, different) = small_clusters(&sekisho, peer, &folder, clusters)?;
        table.push(format!("small clusters answered as {} does: {same} of {clusters}", peer.name));
        differences.extend(different);
    }
    println!("\n{}", table.join("\n"));
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>();
    bail!("{} answers differ:\n{}", differences.len(), shown.join("\n"))
}

/// A folder of manifests.
struct Input {
    name: String,
    folder: PathBuf,
}

fn generate(root: &Path, folder: &Path) -> Result<()> {
    let mut cargo = run::cargo();
    cargo.current_dir(root).args(["run", "--release", "--quiet", "--package", "sekisho-policy"]);
    run::stream(cargo.args(["--example", "engine_speed", "--"]).arg(folder))
}

/// Median time and answer of our program.
fn ours(sekisho: &Path, input: &Input) -> Result<(Duration, String)> {
    let mut times = Vec::new();
    let mut text = String::new();
    for _ in 0..RUNS {
        match measure(&mut listing(sekisho, &input.folder), LIMIT)? {
            Outcome::Done { time, output } => {
                times.push(time);
                text = output;
            }
            Outcome::Failed(why) => bail!("sekisho on {}: {why}", input.name),
            Outcome::TooSlow { .. } => {
                bail!("sekisho did not finish {} in {} s", input.name, LIMIT.as_secs())
            }
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok((median, text))
}

fn listing(sekisho: &Path, folder: &Path) -> std::process::Command {
    let mut command = run::command(&sekisho.to_string_lossy());
    command
        .args(["policy", "list", "-o", "npguard-txt", "--dialect", "np-guard", "-f"])
        .arg(folder);
    command
}

/// A peer's row of the table, and what differs in its answer.
fn beside(peer: &Peer, input: &Input, ours: (Duration, &str)) -> (String, Option<String>) {
    let (time, answer) = ours;
    let name = format!("{:<7}{}", input.name, peer.name);
    match measure(&mut peer.listing(&input.folder), LIMIT) {
        Ok(Outcome::Done { time: theirs, output }) => {
            let ratio = theirs.as_secs_f64() / time.as_secs_f64().max(1e-6);
            let different = difference(&(peer.read)(&output), answer);
            let verdict = if different.is_some() { "another answer" } else { "the same answer" };
            (
                format!("{name} {}, {ratio:.0} times ours, {verdict}", seconds(theirs)),
                different.map(|why| format!("{} and {}: {why}", input.name, peer.name)),
            )
        }
        Ok(Outcome::TooSlow { time: used }) => {
            // By its CPU time, not the limit: on a busy machine it had less.
            let ratio = used.as_secs_f64() / time.as_secs_f64().max(1e-6);
            let limit = LIMIT.as_secs();
            (format!("{name} did not finish in {limit} s, {ratio:.0} times ours or more"), None)
        }
        Ok(Outcome::Failed(why)) => (format!("{name} failed: {why}"), None),
        Err(error) => (format!("{name} failed: {error:#}"), None),
    }
}

/// Compares answers on clusters that are drawn; how many were the same, and what was not.
fn small_clusters(
    sekisho: &Path,
    peer: &Peer,
    folder: &Path,
    count: u64,
) -> Result<(u64, Vec<String>)> {
    let mut same = 0;
    let mut different = Vec::new();
    for seed in 0..count {
        let name = format!("cluster {seed}");
        let input = Input { name, folder: folder.join("clusters").join(seed.to_string()) };
        let place = || format!("write {}", input.folder.display());
        std::fs::create_dir_all(&input.folder).with_context(place)?;
        let text = clusters::draw(seed, peer.forms);
        std::fs::write(input.folder.join("cluster.yaml"), text).with_context(place)?;
        let Outcome::Done { output: ours, .. } =
            measure(&mut listing(sekisho, &input.folder), LIMIT)?
        else {
            different.push(format!("{} is not answered by sekisho", input.folder.display()));
            continue;
        };
        let why = match measure(&mut peer.listing(&input.folder), LIMIT)? {
            Outcome::Done { output, .. } => difference(&(peer.read)(&output), &ours),
            Outcome::Failed(why) => Some(format!("it failed: {why}")),
            Outcome::TooSlow { .. } => Some("it did not finish".to_owned()),
        };
        match why {
            None => same += 1,
            Some(why) => {
                different.push(format!("{} and {}: {why}", input.folder.display(), peer.name));
            }
        }
    }
    Ok((same, different))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
