//! Losses per minute, cluster, node and hook: merged, bounded, scanned by range.

use std::collections::BTreeMap;

use sekisho_model::{ClusterName, LossMinute, TimeRange, Timestamp};

use crate::sums::overlaps;

/// Rows held at most; later ones fold into node `other`, hook `other` of their minute.
const LOSS_ROWS_MAX: usize = 200_000;

/// Minute, cluster, node, hook.
type Place = (Timestamp, ClusterName, String, String);

/// Sums of losses.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    rows: BTreeMap<Place, (u64, u64)>,
}

impl Losses {
    pub(crate) fn add(&mut self, loss: &LossMinute) {
        let cluster = loss.cluster.clone();
        let mut key = (loss.minute.minute(), cluster, loss.node.clone(), loss.hook.clone());
        if self.rows.len() >= LOSS_ROWS_MAX && !self.rows.contains_key(&key) {
            key = (key.0, key.1, "other".to_owned(), "other".to_owned());
        }
        let sum = self.rows.entry(key).or_default();
        sum.0 = sum.0.saturating_add(loss.produced);
        sum.1 = sum.1.saturating_add(loss.dropped);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Earliest and latest minute held.
    pub(crate) fn minutes(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.rows.first_key_value()?.0.0, self.rows.last_key_value()?.0.0))
    }

    /// Rows of minutes that overlap `range`, sorted by minute, cluster, node, hook.
    pub(crate) fn rows(&self, range: TimeRange) -> impl Iterator<Item = LossMinute> {
        let inside = self.rows.iter().filter(move |((minute, ..), _)| overlaps(*minute, range));
        inside.map(|((minute, cluster, node, hook), (produced, dropped))| LossMinute {
            minute: *minute,
            cluster: cluster.clone(),
            node: node.clone(),
            hook: hook.clone(),
            produced: *produced,
            dropped: *dropped,
        })
    }
}
