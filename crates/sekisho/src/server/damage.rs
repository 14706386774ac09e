//! Segments that could not be read and were set aside: history that is missing must lower the
//! completeness of every window that it may have been part of, until somebody removes the file.

use std::path::{Path, PathBuf};

use sekisho_base::Clock;
use sekisho_model::{ClusterName, LossMinute, TimeRange, Timestamp};
use sekisho_system::SystemClock;

/// Of the file that makes a segment; its other parts are named alike.
const ENDING: &str = ".edges.parquet.damaged";

/// A segment that is missing from history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// Where it is now.
    pub(crate) path: PathBuf,
    /// When it was last written: it holds nothing later.
    pub(crate) until: Timestamp,
}

/// Lists what was set aside in the data folder, by name.
pub(crate) fn set_aside(data_dir: &Path) -> Vec<Damaged> {
    let entries = std::fs::read_dir(data_dir.join("segments")).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut damaged: Vec<Damaged> = paths
        .filter(|path| path.to_string_lossy().ends_with(ENDING))
        .map(|path| Damaged { until: written(&path), path })
        .collect();
    damaged.sort_by(|a, b| a.path.cmp(&b.path));
    damaged
}

/// Time of the last change; now if nobody can tell.
fn written(path: &Path) -> Timestamp {
    let changed = std::fs::metadata(path).and_then(|meta| meta.modified());
    let since = changed.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let nanos = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
    Timestamp::from_nanos(nanos.unwrap_or_else(|| SystemClock.now()))
}

/// The loss that `damaged` means for the window asked for, `range`, filed under a minute of it that
/// somebody looks at; how many records it held nobody knows.
pub(crate) fn losses(
    (cluster, damaged): (&ClusterName, &[Damaged]),
    range: TimeRange,
    at: Timestamp,
) -> Option<LossMinute> {
    let touching = damaged.iter().filter(|damaged| damaged.until >= range.from).count() as u64;
    (touching > 0).then(|| LossMinute {
        minute: at.minute(),
        cluster: cluster.clone(),
        node: "history".to_owned(),
        hook: super::losses::SERVER.to_owned(),
        produced: 0,
        dropped: touching,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_after_the_damage_is_whole() {
        let damaged = [Damaged { path: "x".into(), until: Timestamp::from_seconds(600) }];
        let range = |from| TimeRange { from: Timestamp::from_seconds(from), to: Timestamp::MAX };
        let cluster = ClusterName::default();
        let lost =
            |from| losses((&cluster, &damaged), range(from), Timestamp::MAX).map(|row| row.dropped);
        assert_eq!((lost(60), lost(601)), (Some(1), None));
    }
}
