//! Measures the engine: `cargo run --release -p sekisho-policy --example engine_speed [DIR]`.
//!
//! CPU time of the whole process, medians of several runs. With DIR the inputs are written there
//! instead, for other tools to be timed on.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

mod generate;

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sekisho_manifest::{Object, read};
use sekisho_model::Protocol;
use sekisho_policy::{Cluster, Connection, Dialect, Edit, Pair, Peer, Reach, RuleSet};

use crate::generate::Size;

/// For peers that finish nothing larger.
const TINY: Size = Size { pods: 100, workloads: 50, policies: 40 };
const SMALL: Size = Size { pods: 1_000, workloads: 100, policies: 200 };
const USUAL: Size = Size { pods: 10_000, workloads: 1_000, policies: 1_000 };
const DISTINCT: Size = Size { pods: 10_000, workloads: 10_000, policies: 2_000 };
const LARGE: Size = Size { pods: 100_000, workloads: 5_000, policies: 10_000 };

type Failure = Box<dyn std::error::Error>;

fn cpu() -> Result<Duration, Failure> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?))
}

/// Median CPU time of `runs` runs, and the last result.
fn timed<T>(runs: usize, mut run: impl FnMut() -> T) -> Result<(Duration, T), Failure> {
    let mut times = Vec::new();
    loop {
        let start = cpu()?;
        let result = run();
        times.push(cpu()?.saturating_sub(start));
        if times.len() >= runs {
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            return Ok((median, result));
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Most memory that was resident so far (proc_pid_status(5), VmHWM).
fn resident() -> Result<String, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

struct World {
    rules: RuleSet,
    cluster: Cluster,
}

impl World {
    fn of(objects: Vec<Object>) -> Self {
        Self {
            rules: RuleSet::from_objects(&objects, Dialect::Spec),
            cluster: Cluster::from_owned(objects),
        }
    }
}

fn all_pairs(name: &str, size: Size, runs: usize) -> Result<World, Failure> {
    let text = size.yaml();
    let world = World::of(read("generated.yaml", &text).objects);
    let (time, (parties, pairs)) = timed(runs, || {
        let reach = Reach::new(&world.rules, &world.cluster);
        (reach.parties().len(), reach.connected_pairs())
    })?;
    let (compiled, _reach) = timed(runs, || Reach::new(&world.rules, &world.cluster))?;
    println!(
        "{name}: compile and all pairs {}, of these compiling {} ({parties} parties, {pairs} pairs \
         connected)",
        milliseconds(time),
        milliseconds(compiled)
    );
    Ok(world)
}

fn reading(size: Size) -> Result<(), Failure> {
    let text = size.yaml();
    let (time, pairs) = timed(5, || {
        let world = World::of(read("generated.yaml", &text).objects);
        Reach::new(&world.rules, &world.cluster).connected_pairs()
    })?;
    let megabytes = text.len() / 1_000_000;
    println!(
        "usual_with_reading: {} for {megabytes} MB of YAML ({pairs} pairs), most resident {}",
        milliseconds(time),
        resident()?
    );
    Ok(())
}

fn flows(world: &World) -> Result<(), Failure> {
    const FLOWS: usize = 4_000_000;
    let reach = Reach::new(&world.rules, &world.cluster);
    let parties = reach.parties().len();
    let (time, allowed) = timed(3, || {
        let mut allowed = 0_usize;
        let (mut source, mut destination) = (0, 1);
        for flow in 0..FLOWS {
            source = (source + 7_919) % parties;
            destination = (destination + 104_729) % parties;
            let port = if flow % 2 == 0 { 8_001 } else { 443 };
            allowed += usize::from(reach.allows(source, destination, Protocol::Tcp, port));
        }
        allowed
    })?;
    let rate = FLOWS as f64 / time.as_secs_f64() / 1e6;
    println!("flow_verdicts: {rate:.1} million/s/core ({allowed} of {FLOWS} allowed)");
    Ok(())
}

fn edit(world: &World, size: Size) -> Result<(), Failure> {
    let reach = Reach::new(&world.rules, &world.cluster);
    let book = world.rules.rulebook();
    let (mut times, mut changed) = (Vec::new(), 0_usize);
    for policy in (0..100).map(|number| number * 7) {
        let edited = read("edited.yaml", &size.edited(policy)).objects;
        let start = cpu()?;
        let edited = RuleSet::from_objects(&edited, Dialect::Spec);
        let policies = edited.rulebook().tiers.first().map_or(&[][..], |tier| &tier.policies);
        let Some(name) = policies.first().map(|policy| &policy.name) else { continue };
        let known = book.tiers.iter().flat_map(|tier| &tier.policies);
        if !known.into_iter().any(|policy| policy.name == *name) {
            return Err(format!("{name} is no policy").into());
        }
        let edit = Edit { tier: 0, name, policies };
        let Some(changes) = reach.what_if(&world.cluster, &edit) else { continue };
        let pairs = changes.iter().map(|change| change.sources.len() * change.destinations.len());
        changed += pairs.sum::<usize>();
        times.push(cpu()?.saturating_sub(start));
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!(
        "one_edit: median {}, 95 % {} ({} edits, {changed} pairs changed)",
        milliseconds(at(50)),
        milliseconds(at(95)),
        times.len()
    );
    Ok(())
}

fn pods_come_and_go(world: &World) -> Result<(), Failure> {
    const PODS: u32 = 1_000;
    let mut cluster = world.cluster.clone();
    let known = cluster.endpoints.len();
    for pod in 0..PODS {
        let Some(like) = cluster.endpoints.get(pod as usize * 7 % known).cloned() else { continue };
        cluster.endpoints.push(like);
    }
    let mut reach = Reach::new(&world.rules, &world.cluster);
    let (time, joined) = timed(3, || {
        let mut joined = 0_u32;
        for pod in known..cluster.endpoints.len() {
            joined += u32::from(reach.join(&cluster, pod));
            reach.leave(&cluster, pod);
        }
        joined
    })?;
    let each = time.as_secs_f64() * 1e6 / f64::from(PODS) / 2.0;
    println!("pod_event: {each:.2} us ({joined} of {PODS} pods known by their like)");
    Ok(())
}

fn explain(world: &World) -> Result<(), Failure> {
    const PAIRS: usize = 200;
    let endpoints = &world.cluster.endpoints;
    let (time, segments) = timed(3, || {
        let mut segments = 0;
        for pair in 0..PAIRS {
            let at = |index: usize| endpoints.get(index * 31 % endpoints.len());
            let (Some(source), Some(destination)) = (at(pair), at(pair * 3 + 1)) else { continue };
            let pair = Pair {
                source: Peer::Endpoint(source),
                destination: Peer::Endpoint(destination),
                source_address: None,
                destination_address: None,
            };
            segments += world.rules.decide_pair(&world.cluster, &pair).ingress.segments.len();
            let connection = Connection {
                source: Peer::Endpoint(source),
                destination: Peer::Endpoint(destination),
                source_address: None,
                destination_address: None,
                protocol: Protocol::Tcp,
                port: 443,
            };
            segments += usize::from(world.rules.decide(&world.cluster, &connection).allows());
        }
        segments
    })?;
    let each = time / u32::try_from(PAIRS)?;
    println!("explain_one_pair: {} ({segments} segments in all)", milliseconds(each));
    Ok(())
}

fn main() -> Result<(), Failure> {
    if let Some(directory) = std::env::args().nth(1) {
        let sizes = [("tiny", TINY), ("small", SMALL), ("usual", USUAL), ("distinct", DISTINCT)];
        for (name, size) in sizes {
            let directory = format!("{directory}/{name}");
            fs::create_dir_all(&directory)?;
            fs::write(format!("{directory}/cluster.yaml"), size.yaml())?;
        }
        return Ok(());
    }
    reading(USUAL)?;
    all_pairs("small", SMALL, 9)?;
    let usual = all_pairs("usual", USUAL, 9)?;
    flows(&usual)?;
    explain(&usual)?;
    pods_come_and_go(&usual)?;
    edit(&usual, USUAL)?;
    all_pairs("distinct", DISTINCT, 5)?;
    all_pairs("large", LARGE, 3)?;
    println!("most_resident: {}", resident()?);
    Ok(())
}
