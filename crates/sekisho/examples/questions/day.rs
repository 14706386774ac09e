//! The data folder: a day of history as it lies a day later, and the cluster that it is of.

use std::path::Path;

use anyhow::Context;
use sekisho_model::Timestamp;
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
const DAY_S: u64 = 86_400;

/// Makes it if it is not there; returns when the day begins, seconds since 1970.
pub(crate) fn make(folder: &Path) -> anyhow::Result<u64> {
    let noted = folder.join("start");
    if let Ok(text) = std::fs::read_to_string(&noted) {
        return text.trim().parse().context("the noted start of the day");
    }
    let now_s = sekisho_base::Clock::now(&SystemClock) / 1_000_000_000;
    let start_s = (now_s / DAY_S - AGE_DAYS) * DAY_S;
    let (mut store, _) = LocalStore::open(folder, StoreLimits::default())?;
    let keys = edges::keys(EDGES);
    for minute in 0..DAY_S / 60 {
        store.record(&flows::flows(&keys, start_s, (minute, MINUTES_PER_EDGE)), &[]);
        if minute % 60 == 59 {
            store.rotate(b"")?;
        }
    }
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
