//! Gets recorded history: from a server, or from a folder on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use sekisho_api::{Snapshot, SnapshotQuery};
use sekisho_base::Clock;
use sekisho_model::{ClusterName, TimeRange, Timestamp};
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

/// Gets the history of `range` of the cluster that is asked for, or of the only one.
pub(crate) fn load(args: &HistoryArgs, range: TimeRange) -> anyhow::Result<History> {
    load_one(args, &SnapshotQuery::of(range))
}

fn load_one(args: &HistoryArgs, query: &SnapshotQuery) -> anyhow::Result<History> {
    let snapshot = match &args.store {
        Some(folder) => {
            let clusters = recorded(folder);
            let name = server::pick(&clusters, args.cluster.as_ref())?;
            offline((name, folder), args.inventory.as_deref(), query)?
        }
        None => {
            let query = SnapshotQuery { cluster: args.cluster.clone(), ..query.clone() };
            call(args.server.connect()?.snapshot(query))?
        }
    };
    Ok(History::of(snapshot))
}

/// Gets what `query` asks for of all clusters, or of the one that is asked for, to look at.
pub(crate) fn load_all(args: &HistoryArgs, query: &SnapshotQuery) -> anyhow::Result<History> {
    if args.cluster.is_some() {
        return load_one(args, query);
    }
    let mut all = Vec::new();
    if let Some(folder) = &args.store {
        for name in recorded(folder).keys() {
            all.push(offline((name, folder), args.inventory.as_deref(), query)?);
        }
    } else {
        let client = args.server.connect()?;
        for name in call(client.clusters())? {
            let query = SnapshotQuery { cluster: Some(name), ..query.clone() };
            all.push(call(client.snapshot(query))?);
        }
    }
    Ok(History::of_all(all))
}

/// The clusters in a folder of history; without any, the folder itself is asked, and says why not.
fn recorded(folder: &Path) -> BTreeMap<ClusterName, ClusterName> {
    let mut names = server::recorded(folder);
    if names.is_empty() {
        names.push(ClusterName::default());
    }
    names.into_iter().map(|name| (name.clone(), name)).collect()
}

/// Reads a data folder without a server: the same code, the same answer.
fn offline(
    (cluster, folder): (&ClusterName, &Path),
    inventory: Option<&Path>,
    query: &SnapshotQuery,
) -> anyhow::Result<Snapshot> {
    let folder = server::folder_of(folder, cluster);
    let mut snapshot = server::read_offline((cluster, &folder), query, now())?;
    if !query.objects {
        return Ok(snapshot);
    }
    if let Some(path) = inventory {
        let objects = super::input::objects(&[path.to_owned()])?;
        snapshot.objects = objects.into_iter().map(Arc::new).collect();
    }
    if snapshot.objects.is_empty() {
        super::output::note("no inventory: named ports and labels come from the flows alone");
    }
    Ok(snapshot)
}
