//! A window of which ClickHouse has one part and the folder the rest, as one store.

use std::sync::Arc;

use sekisho_model::{EdgeKey, EdgeMinute, EdgeStats, LossMinute, TimeRange, Timestamp};

use crate::loss::Losses;
use crate::run::EdgeId;
use crate::{FlowStore, LocalStore, Question, ScanError, StoreStatus, Wanted};

/// The sum of an edge over a day, or what of it lies in the window.
#[derive(Clone, Debug)]
pub(crate) struct DaySum {
    pub(crate) id: EdgeId,
    pub(crate) key: Arc<EdgeKey>,
    pub(crate) day: Timestamp,
    pub(crate) hours: u32,
    pub(crate) stats: EdgeStats,
}

/// What ClickHouse has of a window.
#[derive(Clone, Debug)]
pub struct Archived {
    /// It has all segments up to this log; the folder answers for those after it.
    pub(crate) after: u64,
    pub(crate) wanted: Wanted,
    pub(crate) days: Option<Vec<DaySum>>,
    pub(crate) minutes: Option<Vec<EdgeMinute>>,
    pub(crate) losses: Vec<LossMinute>,
}

/// A folder, and what ClickHouse has of one window. It answers for that window and filter only, and of
/// the grain that was asked for.
#[derive(Debug)]
pub struct Joined<'a> {
    local: &'a LocalStore,
    archived: Archived,
}

impl<'a> Joined<'a> {
    /// Joins the two.
    #[must_use]
    pub fn new(local: &'a LocalStore, archived: Archived) -> Self {
        Self { local, archived }
    }

    fn check(&self, range: TimeRange) -> Result<(), ScanError> {
        if range == self.archived.wanted.range { Ok(()) } else { Err(ScanError::NotFetched) }
    }

    fn check_all(&self, wanted: &Wanted) -> Result<(), ScanError> {
        if wanted.filter == self.archived.wanted.filter {
            self.check(wanted.range)
        } else {
            Err(ScanError::NotFetched)
        }
    }
}

impl FlowStore for Joined<'_> {
    fn question(&self, wanted: &Wanted) -> Result<Question, ScanError> {
        self.check_all(wanted)?;
        let days = self.archived.days.as_ref().ok_or(ScanError::NotFetched)?;
        let mut question = self.local.history.question(wanted, self.archived.after);
        for sum in days {
            question.add(sum);
        }
        Ok(question)
    }

    fn scan(&self, wanted: &Wanted) -> Result<Vec<EdgeMinute>, ScanError> {
        self.check_all(wanted)?;
        let minutes = self.archived.minutes.as_ref().ok_or(ScanError::NotFetched)?;
        self.local.history.scan(wanted, (self.archived.after, minutes))
    }

    fn losses(&self, range: TimeRange) -> Result<Vec<LossMinute>, ScanError> {
        self.check(range)?;
        let mut losses = Losses::default();
        let local = self.local.history.losses(range, self.archived.after)?;
        for loss in self.archived.losses.iter().chain(&local) {
            losses.add(loss);
        }
        Ok(losses.rows(TimeRange::ALL).collect())
    }

    fn status(&self) -> StoreStatus {
        self.local.status()
    }
}
