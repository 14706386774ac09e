//! The data folder: a day of history as it lies days later, thinner days before it, and the cluster that
//! they are of.

use std::path::Path;

use anyhow::Context;
use sekisho_model::{EdgeKey, Timestamp, Verdict};
use sekisho_store::{FlowSink, LocalStore, StoreLimits};
use sekisho_system::SystemClock;

#[path = "../../../store/examples/measured/edges.rs"]
mod edges;
#[path = "../../../store/examples/measured/flows.rs"]
mod flows;

const EDGES: usize = 66_000;
const MINUTES_PER_EDGE: u64 = 288;
/// Old enough to be merged, young enough to be kept, days.
const AGE_DAYS: u64 = 3;
/// Days of history in all.
pub(crate) const DAYS: u64 = 7;
/// Days before the one that is asked for have one edge in so many, those that are denied among them.
const THINNER: usize = 10;
/// Edges of a workload that tries ports and is denied, each day.
const TRIED: u16 = 200;
const DAY_S: u64 = 86_400;

/// Makes it if it is not there; returns when the last day begins, seconds since 1970. The days before
/// have a tenth of its edges.
pub(crate) fn make(folder: &Path) -> anyhow::Result<u64> {
    let noted = folder.join("start");
    if let Ok(text) = std::fs::read_to_string(&noted) {
        return text.trim().parse().context("the noted start of the day");
    }
    let now_s = sekisho_base::Clock::now(&SystemClock) / 1_000_000_000;
    let start_s = (now_s / DAY_S - AGE_DAYS) * DAY_S;
    let (mut store, _) = LocalStore::open(folder, StoreLimits::default())?;
    let mut keys = edges::keys(EDGES);
    keys.extend(tried(&keys));
    let some: Vec<EdgeKey> = keys.iter().step_by(THINNER).cloned().collect();
    for day in (1..DAYS).rev() {
        fill(&mut store, &some, start_s - day * DAY_S)?;
    }
    fill(&mut store, &keys, start_s)?;
    let later = Timestamp::from_seconds(start_s + 10 * DAY_S);
    while let Some(compaction) = store.compaction(later) {
        store.adopt(compaction.run()?)?;
        store.remove_replaced()?;
    }
    drop(store);
    // What begins there was not written by a server: all is in segments, so it begins anew.
    std::fs::remove_dir_all(folder.join("log"))?;
    super::pods::write(&folder.join("inventory.jsonl"), &keys, start_s)?;
    std::fs::write(&noted, start_s.to_string())?;
    Ok(start_s)
}

/// Records what `keys` do in a day, an hour in a segment.
fn fill(store: &mut LocalStore, keys: &[EdgeKey], start_s: u64) -> anyhow::Result<()> {
    for minute in 0..DAY_S / 60 {
        store.record(&flows::flows(keys, start_s, (minute, MINUTES_PER_EDGE)), &[]);
        if minute % 60 == 59 {
            store.rotate(b"")?;
        }
    }
    Ok(())
}

/// The first source tries ports of the first destination, and is denied.
fn tried(keys: &[EdgeKey]) -> Vec<EdgeKey> {
    let edge = |key: &EdgeKey, port| EdgeKey { port, verdict: Verdict::Denied, ..key.clone() };
    keys.iter()
        .take(1)
        .flat_map(|key| (0..TRIED).map(move |more| edge(key, 20_000 + more)))
        .collect()
}
