//! What a large cluster costs the server: 10,000 pods and 5,000 Services in a real API server, its
//! memory when it knows them all, and how soon it knows of 100 changes of pods a second.
//!
//! Runs `sekisho server` of the same build against the control plane whose state folder
//! SEKISHO_TEST_CLUSTER names (`cargo xtask bench inventory` brings one up; nodes are not needed),
//! and reads what it knows from its copy of the journal. `-- [PODS]` makes it smaller (half as many
//! Services). Fails if a bound of docs/promises.md is broken.

#[path = "inventory/load.rs"]
mod load;
#[path = "inventory/product.rs"]
mod product;

use std::collections::BTreeMap;
use std::io::{Write, stderr, stdout};
use std::time::{Duration, Instant};

use self::load::Load;
use self::product::Product;

const PODS: usize = 10_000;
const CHANGES_PER_SECOND: usize = 100;
const CHURN_S: usize = 30;
/// Bounds: resident memory for all of [`PODS`], bytes, and the 99th percentile of the lag.
const RESIDENT_MAX: u64 = 150_000_000;
const LAG_MAX: Duration = Duration::from_secs(1);
/// Patience with the API server.
const LIST_LIMIT: Duration = Duration::from_secs(300);
const CHURN_LIMIT: Duration = Duration::from_secs(300);
/// What comes late, like a cluster made anew for the policy engine, is done by then.
const SETTLE: Duration = Duration::from_secs(10);

type Fault = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Fault> {
    let pods = std::env::args().nth(1).map_or(Ok(PODS), |text| text.parse::<usize>())?;
    let mut load = Load::new().await?;
    let measured = measure(&mut load, pods).await;
    load.end().await?;
    measured
}

async fn measure(load: &mut Load, pods: usize) -> Result<(), Fault> {
    let started = Instant::now();
    load.fill(pods).await?;
    let services = pods / 2;
    let made = started.elapsed();
    writeln!(stderr(), "{pods} pods and {services} Services made in {made:.0?}")?;
    let started = Instant::now();
    let mut product = Product::start(&load.kubeconfig)?;
    let deadline = started + LIST_LIMIT;
    let mut known = 0;
    while known < pods + services {
        known += product.news()?.len();
        if Instant::now() > deadline {
            return Err(format!("{known} objects are known: {}", product.log()).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = started.elapsed();
    writeln!(stdout(), "{pods} pods and {services} Services known in {took:.1?}")?;
    tokio::time::sleep(SETTLE).await;
    let listed = product.memory()?;
    writeln!(stdout(), "resident memory of the server: {listed}")?;

    let started = Instant::now();
    let lags = churn(load, &mut product).await?;
    let took = started.elapsed();
    let at = |share: usize| lags.get(lags.len().saturating_sub(1) * share / 100).copied();
    let (half, most, all) = (at(50), at(99), at(100));
    writeln!(
        stdout(),
        "{} changes of pods in {took:.0?} (wanted: {CHANGES_PER_SECOND} a second) known after: \
         median {:.0?}, 99 % {:.0?}, longest {:.0?}",
        lags.len(),
        half.unwrap_or_default(),
        most.unwrap_or_default(),
        all.unwrap_or_default()
    )?;
    let churned = product.memory()?;
    writeln!(stdout(), "resident memory of the server after them: {churned}")?;
    if pods >= PODS && listed.resident.max(churned.resident) > RESIDENT_MAX {
        return Err(format!("more than {} MB", RESIDENT_MAX / 1_000_000).into());
    }
    match most.filter(|most| *most > LAG_MAX) {
        Some(most) => Err(format!("99 % of changes were known after {most:?}").into()),
        None => Ok(()),
    }
}

/// The sorted times from before a change was sent until the server had it in its journal.
async fn churn(load: &Load, product: &mut Product) -> Result<Vec<Duration>, Fault> {
    product.news()?;
    let mut writes = load.churn(CHANGES_PER_SECOND, CHANGES_PER_SECOND * CHURN_S);
    let mut sent: BTreeMap<String, Instant> = BTreeMap::new();
    let mut known: BTreeMap<String, Instant> = BTreeMap::new();
    let deadline = Instant::now() + CHURN_LIMIT;
    loop {
        let now = Instant::now();
        for news in product.news()? {
            known.entry(news).or_insert(now);
        }
        while let Some(lane) = writes.try_join_next() {
            sent.extend(lane??);
        }
        if writes.is_empty() && sent.keys().all(|change| known.contains_key(change)) {
            break;
        }
        if now > deadline {
            let missing = sent.keys().filter(|change| !known.contains_key(*change)).count();
            let (writers, sent) = (writes.len(), sent.len());
            let text = format!(
                "after {} s, {missing} of {sent} changes are not known, and {writers} writers wait \
                 for the API server",
                CHURN_LIMIT.as_secs()
            );
            return Err(text.into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lag = |(change, before): (&String, &Instant)| {
        known.get(change).map(|at| at.saturating_duration_since(*before))
    };
    let mut lags: Vec<Duration> = sent.iter().filter_map(lag).collect();
    lags.sort_unstable();
    Ok(lags)
}
