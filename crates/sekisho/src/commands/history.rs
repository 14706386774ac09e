//! Gets recorded history: from a server, or from a folder on disk.

use std::path::Path;

use anyhow::Context;
use sekisho_api::{Snapshot, SnapshotQuery};
use sekisho_base::Clock;
use sekisho_model::{TimeRange, Timestamp};
use sekisho_system::SystemClock;

use crate::cli::HistoryArgs;
use crate::exit::Exit;
use crate::pipeline::History;
use crate::server;

/// The time now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

/// Runs one call to a server to its end.
pub(crate) fn call<T>(
    future: impl Future<Output = Result<T, sekisho_api::CallError>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(runtime.block_on(future)?)
}

/// How an answer from `history` ends that found nothing: in part, if the history has gaps.
pub(crate) fn whole_or_partial(history: &History) -> Exit {
    if history.completeness.ratio >= 1.0 {
        return Exit::Done;
    }
    for gap in &history.completeness.gaps {
        super::output::note(&format!("gap: {gap}"));
    }
    Exit::Partial
}

/// Gets the history of `range`.
pub(crate) fn load(args: &HistoryArgs, range: TimeRange) -> anyhow::Result<History> {
    let snapshot = match &args.store {
        Some(folder) => offline(folder, args.inventory.as_deref(), range)?,
        None => call(args.server.connect()?.snapshot(SnapshotQuery { range }))?,
    };
    Ok(History::of(snapshot))
}

/// Reads a data folder without a server: the same code, the same answer.
fn offline(folder: &Path, inventory: Option<&Path>, range: TimeRange) -> anyhow::Result<Snapshot> {
    let mut snapshot = server::read_offline(folder, range, now())?;
    if let Some(path) = inventory {
        snapshot.objects = super::input::objects(&[path.to_owned()])?;
    }
    if snapshot.objects.is_empty() {
        super::output::note("no inventory: named ports and labels come from the flows alone");
    }
    Ok(snapshot)
}
