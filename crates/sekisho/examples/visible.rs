//! How soon a connection is seen, and what agents and server take in memory.
//!
//! Runs the shop (`sekisho lab up` from the same build) and asks the server for new flows every
//! 5 ms: a flow's age is the time from connect() in the kernel to its first sight here, both ends
//! joined. `cargo run --release -p sekisho --example visible -- [SECONDS]` (60 if absent); root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sekisho_api::Client;
use sekisho_base::Clock;
use sekisho_model::{PartyKind, Protocol};
use sekisho_system::{SystemClock, process, terminate, wait};

const READY_WAIT: Duration = Duration::from_secs(120);
const ASK_PERIOD: Duration = Duration::from_millis(5);
const NANOS_PER_MS: f64 = 1e6;
/// Longer connections are open on purpose: their first flow is held a second.
const SHORT_NANOS: u64 = 200_000_000;
const MIB: f64 = 1_048_576.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(60), |text| text.parse::<u64>())?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let mut lab = start(folder.path())?;
    let measured = measure(&folder.path().join("s.sock"), seconds).await;
    terminate(&mut lab, Duration::from_secs(60));
    writeln!(std::io::stdout(), "{}", measured?).context("write the figures")
}

fn start(folder: &Path) -> anyhow::Result<Child> {
    let own = process::own_program()?;
    // target/<profile>/examples/visible -> target/<profile>/sekisho
    let program = own.parent().and_then(Path::parent).map(|folder| folder.join("sekisho"));
    let program = program.filter(|path| path.exists()).context("build the binary first")?;
    let log = folder.join("up.log");
    let file = std::fs::File::create(&log)?;
    let lab = process::prepare(program)
        .args(["lab", "up", "--state"])
        .arg(folder.join("lab"))
        .arg("--server")
        .arg(folder.join("s.sock"))
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        .spawn()?;
    await_ready(&log, lab)
}

fn await_ready(log: &PathBuf, mut lab: Child) -> anyhow::Result<Child> {
    let ready = wait::until(READY_WAIT, || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.contains("ready").then_some(())
    });
    if ready.is_none() {
        terminate(&mut lab, Duration::from_secs(60));
        bail!("the lab did not come up: {}", std::fs::read_to_string(log)?);
    }
    Ok(lab)
}

async fn measure(socket: &Path, seconds: u64) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let mut cursor = client.flows(None, u64::MAX, 1).await?.cursor;
    let mut ages = Vec::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let page = client.flows(None, cursor, 10_000).await?;
        cursor = page.cursor;
        let now = SystemClock.now();
        for flow in &page.flows {
            let is_pods = flow.key.source.kind == PartyKind::Pod
                && flow.key.destination.kind == PartyKind::Pod
                && flow.key.protocol == Protocol::Tcp;
            let both = flow.stats.reporters.source && flow.stats.reporters.destination;
            let short = flow.stats.last_seen.nanos_since(flow.opened) < SHORT_NANOS;
            if is_pods && both && short && flow.stats.connections == 1 {
                ages.push(now.saturating_sub(flow.opened.nanos()));
            }
        }
        tokio::time::sleep(ASK_PERIOD).await;
    }
    let status = client.status().await?;
    ages.sort_unstable();
    let lost: u64 = status.agents.iter().flat_map(|it| &it.hooks).map(|hook| hook.dropped).sum();
    let agents = status.agents.iter().map(|agent| mib(agent.report.memory_bytes));
    Ok(format!(
        "{} connections seen in {seconds} s, {lost} records lost\n\
         connect() to visible, both ends joined: median {:.0} ms, 99 % {:.0} ms, longest {:.0} ms\n\
         resident memory: server {}, agents {}",
        ages.len(),
        quantile(&ages, 0.5),
        quantile(&ages, 0.99),
        quantile(&ages, 1.0),
        mib(status.memory_bytes),
        agents.collect::<Vec<_>>().join(", "),
    ))
}

fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
    let mib = bytes as f64 / MIB;
    format!("{mib:.0} MiB")
}

/// The value below which a share of the sorted `values` lies, in milliseconds; 0 if there is none.
fn quantile(values: &[u64], share: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list that is in memory"
    )]
    let index = ((values.len().saturating_sub(1)) as f64 * share) as usize;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    values.get(index).map_or(0.0, |nanos| *nanos as f64 / NANOS_PER_MS)
}
