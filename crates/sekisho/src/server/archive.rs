//! History that outgrows the folder: ships what is sealed to ClickHouse, and asks it about what the
//! folder let go.

use std::sync::{Mutex, PoisonError};

use sekisho_api::{ArchiveFigures, Refusal, Status, Step};
use sekisho_base::error_chain;
use sekisho_model::{ClusterName, Timestamp};
use sekisho_store::{
    Archive, ArchiveError, ArchiveLag, ArchiveSettings, Archived, Grain, Reach, Reading,
    StoreLimits, Wanted,
};

use super::metrics::Text;
use super::service::{ClusterServer, now};
use crate::config::ClickHouseConfig;

/// Between two looks whether there is something to ship, seconds.
pub(crate) const LOOK_S: u64 = 5;
/// How often a question ships first what ClickHouse may have in part.
const SETTLED_AGAIN_MAX: u32 = 3;

/// ClickHouse, and how it went.
pub(crate) struct Shipping {
    archive: Archive,
    /// Why the last turn failed, and since when they do.
    failure: Mutex<Option<(String, Timestamp)>>,
    /// Segments lost before the start: told then.
    lost_before: u64,
}

impl Shipping {
    /// None if no ClickHouse is wanted. Connects to nothing yet.
    pub(crate) fn open(
        config: &ClickHouseConfig,
        cluster: &ClusterName,
    ) -> Result<Option<Self>, ArchiveError> {
        let Some(settings) = settings(config) else { return Ok(None) };
        let archive = Archive::new(&settings, cluster)?;
        Ok(Some(Self { archive, failure: Mutex::default(), lost_before: 0 }))
    }

    /// Learns how many segments were lost in earlier lives.
    pub(crate) fn with_lost(self, lag: Option<ArchiveLag>) -> Self {
        Self { lost_before: lag.map_or(0, |lag| lag.lost_segments), ..self }
    }

    fn note<T>(&self, outcome: &Result<T, ArchiveError>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => {
                if failure.take().is_some() {
                    tracing::info!("ClickHouse answers again");
                }
            }
            Err(error) => {
                let why = error_chain(error);
                let since = failure.as_ref().map_or_else(now, |(_, since)| *since);
                if failure.as_ref().is_none_or(|(told, _)| *told != why) {
                    tracing::error!(
                        error = why,
                        "nothing is shipped to ClickHouse, will be tried again"
                    );
                }
                *failure = Some((why, since));
            }
        }
    }

    /// How it is.
    pub(crate) fn figures(&self, lag: ArchiveLag) -> ArchiveFigures {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (error, failing_since) = failure.unzip();
        ArchiveFigures {
            segments: lag.segments,
            rows: lag.rows,
            waiting_segments: lag.waiting_segments,
            waiting_rows: lag.waiting_rows,
            waiting_s: lag.waiting_s,
            lost_segments: lag.lost_segments,
            lost_rows: lag.lost_rows,
            only_there_until: lag.elsewhere_until.filter(|until| *until > Timestamp::EPOCH),
            error: error.unwrap_or_default(),
            failing_since,
        }
    }

    /// What is wrong, with what to do.
    pub(crate) fn problems(&self, figures: &ArchiveFigures) -> Vec<String> {
        let mut problems = Vec::new();
        if !figures.error.is_empty() {
            problems.push(format!(
                "history is not shipped to ClickHouse: {}; {} segments wait on this disk, the oldest for {} \
                 s, until retention takes them",
                figures.error, figures.waiting_segments, figures.waiting_s
            ));
        }
        let lost = figures.lost_segments.saturating_sub(self.lost_before);
        if lost > 0 {
            problems.push(format!(
                "{lost} segments of history were deleted before ClickHouse had them: raise `retention_days` \
                 and `retention_bytes`, so that they outlast its absence"
            ));
        }
        problems
    }
}

/// What the configuration says, if it says anything.
pub(crate) fn settings(config: &ClickHouseConfig) -> Option<ArchiveSettings> {
    (!config.url.is_empty()).then(|| ArchiveSettings {
        url: config.url.clone(),
        database: config.database.clone(),
        user: config.user.clone(),
        password_file: config.password_file.clone(),
        ca: config.ca.clone(),
        plaintext: config.plaintext,
        cluster: config.cluster.clone(),
        ttl_days: config.ttl_days,
        batch_rows: config.batch_rows,
        timeout_s: config.timeout_s,
    })
}

/// What is wrong where history was shipped once and ClickHouse is not in the configuration any more.
pub(crate) fn forgotten(lag: &ArchiveLag) -> Option<String> {
    let until = lag.elsewhere_until.filter(|until| *until > Timestamp::EPOCH)?;
    Some(format!(
        "history before {until} is in ClickHouse, in whole or in part, and `server.clickhouse` is not \
         set: answers leave it out. Set it again, or remove `clickhouse.json` from the data folder"
    ))
}

/// What ClickHouse has of a window. Nothing is shipped while it is held, so that the folder's part can
/// be taken with it.
pub(crate) struct Old<'a> {
    pub(crate) archived: Archived,
    pub(crate) reading: Reading<'a>,
}

impl ClusterServer {
    /// Ships all that is sealed.
    pub(crate) fn ship(&self) {
        let Some(shipping) = self.shipping() else { return };
        let has_failed =
            || shipping.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        // What failed is tried again also if nothing new came, so that it is known to work.
        while self.core().store.wants_shipping() || has_failed() {
            let shipped = self.ship_one(shipping);
            shipping.note(&shipped);
            if !matches!(shipped, Ok(true)) {
                return;
            }
        }
    }

    /// Ships the next segment; false if there is none.
    fn ship_one(&self, shipping: &Shipping) -> Result<bool, ArchiveError> {
        let writing = shipping.archive.writing();
        let writer = self.core().store.writer().to_owned();
        let ledger = writing.ledger(&writer)?;
        let next = self.core().store.next_shipment(ledger, shipping.archive.batch_rows())?;
        let Some(shipment) = next else { return Ok(false) };
        writing.send(&shipment)?;
        self.core().store.shipped(&shipment)?;
        tracing::debug!(rows = shipment.rows(), "segment shipped to ClickHouse");
        Ok(true)
    }

    /// Asks ClickHouse for its part of a window; None if the folder has all of it.
    pub(crate) fn old(&self, wanted: &Wanted, step: Step) -> Result<Option<Old<'_>>, Refusal> {
        let Some(shipping) = self.shipping() else { return Ok(None) };
        let refused = |error: ArchiveError| match error.is_too_much() {
            true => Refusal::Invalid(error_chain(&error)),
            false => Refusal::Unavailable(format!(
                "the window begins in history that is in ClickHouse: {}",
                error_chain(&error)
            )),
        };
        let grain = match step {
            Step::Day => Grain::Days,
            Step::Minute => Grain::Minutes(StoreLimits::default().scanned_rows_max),
        };
        for _ in 0..SETTLED_AGAIN_MAX {
            let reading = shipping.archive.reading();
            let reach = self.core().store.reach(wanted.range);
            match reach {
                Reach::Here => return Ok(None),
                Reach::Archive(after) => {
                    let archived = reading.fetch((wanted, grain), after).map_err(refused)?;
                    return Ok(Some(Old { archived, reading }));
                }
                Reach::Unsettled => {
                    drop(reading);
                    let shipped = self.ship_one(shipping);
                    shipping.note(&shipped);
                    shipped.map_err(refused)?;
                }
            }
        }
        let text = "history is being shipped to ClickHouse: ask again in a moment";
        Err(Refusal::Unavailable(text.to_owned()))
    }
}

/// The metrics of it.
pub(crate) fn metrics(text: &mut Text, status: &Status) {
    let Some(figures) = &status.store.archive else { return };
    let up = u8::from(figures.error.is_empty());
    text.single("sekisho_archive_up", "gauge", "1 if the last turn to ClickHouse went well.", up);
    let help = "Segments that ClickHouse has.";
    text.single("sekisho_archive_segments_total", "counter", help, figures.segments);
    let help = "Rows of minutes that ClickHouse has.";
    text.single("sekisho_archive_rows_total", "counter", help, figures.rows);
    let help = "Segments that wait for ClickHouse.";
    text.single("sekisho_archive_waiting_segments", "gauge", help, figures.waiting_segments);
    let help = "Seconds since the last minute of the oldest segment that waits.";
    text.single("sekisho_archive_waiting_seconds", "gauge", help, figures.waiting_s);
    let help = "Rows that retention deleted before ClickHouse had them.";
    text.single("sekisho_archive_lost_rows_total", "counter", help, figures.lost_rows);
}
