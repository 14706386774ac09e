//! Questions to ClickHouse: sums of a window, what edges are, losses, and what was shipped.
//!
//! A window is exact to the minute, as in the folder: whole days come from `days`, whole hours from
//! `hours`, and only what is left from `minutes`. Answers come as Parquet and are read by the code
//! that reads the folder's files.

use hyper::body::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sekisho_flow::FlowFilter;
use sekisho_model::{TimeRange, Timestamp};

use super::ArchiveError;
use super::http::{self, Ask, post};
use super::schema::{FLAGS, KEY, SUMS, hour_bit, sums};
use super::settings::Target;
use crate::Wanted;
use crate::conditions::{All, Any, Condition, conditions};
use crate::run::EdgeId;

const NANOS_PER_MILLISECOND: u64 = 1_000_000;
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;
/// Edges asked about at once: 32 characters each.
pub(crate) const IDS_PER_ASK: usize = 50_000;
/// Bytes of a question at most: ids and some text.
const QUERY_BYTES_MAX: usize = 8 << 20;

/// A part of a window, and the table that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    table: &'static str,
    time: &'static str,
    from: Timestamp,
    to: Timestamp,
}

/// Parts `range` into days, hours and minutes: those minutes that overlap it, each once.
pub(crate) fn pieces(range: TimeRange) -> Vec<Piece> {
    let up = |time: Timestamp, floor: Timestamp, seconds| {
        if floor == time { time } else { floor.plus_seconds(seconds) }
    };
    let from = range.from.minute();
    let to = up(range.to, range.to.minute(), MINUTE_S);
    // The whole hours of the window, and the whole days of these.
    let hours = (up(from, from.hour(), HOUR_S), to.hour());
    let days = (up(hours.0, hours.0.day(), DAY_S), hours.1.day());
    let minutes = |from, to| Piece { table: "minutes", time: "minute", from, to };
    let of_hours = |from, to| Piece { table: "hours", time: "hour", from, to };
    let all = match (hours.0 < hours.1, days.0 < days.1) {
        (false, _) => vec![minutes(from, to)],
        (true, false) => {
            vec![minutes(from, hours.0), of_hours(hours.0, hours.1), minutes(hours.1, to)]
        }
        (true, true) => vec![
            minutes(from, hours.0),
            of_hours(hours.0, days.0),
            Piece { table: "days", time: "day", from: days.0, to: days.1 },
            of_hours(days.1, hours.1),
            minutes(hours.1, to),
        ],
    };
    all.into_iter().filter(|piece| piece.from < piece.to).collect()
}

/// SQL of a moment.
fn moment(time: Timestamp) -> String {
    format!("fromUnixTimestamp64Milli({}, 'UTC')", time.nanos() / NANOS_PER_MILLISECOND)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn within(history: &str, time: &str, (from, to): (Timestamp, Timestamp)) -> String {
    let (history, from, to) = (quoted(history), moment(from), moment(to));
    format!("history = {history} AND {time} >= {from} AND {time} < {to}")
}

/// SQL of what is wanted of edges, to follow other conditions; empty if all are.
fn of_edges(history: &str, filter: &FlowFilter) -> String {
    let text = |text: &str| quoted(text);
    let condition = |condition: &Condition<'_>| match condition {
        Condition::Is(column, wanted) => format!("{column} = {}", text(wanted)),
        Condition::Begins(column, wanted) => format!("startsWith({column}, {})", text(wanted)),
        Condition::OneOf(column, words) => {
            let words: Vec<String> = words.iter().map(|word| text(word)).collect();
            format!("{column} IN ({})", words.join(", "))
        }
        Condition::Port(port) => format!("port = {port}"),
    };
    let all = |all: &All<'_>| {
        format!("({})", all.iter().map(condition).collect::<Vec<_>>().join(" AND "))
    };
    let any = |any: &Any<'_>| format!("({})", any.iter().map(all).collect::<Vec<_>>().join(" OR "));
    let wanted: Vec<String> = conditions(filter).iter().map(any).collect();
    if wanted.is_empty() {
        return String::new();
    }
    let (history, wanted) = (quoted(history), wanted.join(" AND "));
    format!(" AND id IN (SELECT id FROM edges WHERE history = {history} AND {wanted})")
}

/// SQL of the sums by wanted edge and day of a window; None if it has no minute.
pub(crate) fn days(history: &str, wanted: &Wanted) -> Option<String> {
    let of_edges = of_edges(history, &wanted.filter);
    let counts = [&SUMS[..], &["first_seen", "last_seen"], &FLAGS].concat().join(", ");
    let select = |piece: &Piece| {
        let Piece { table, time, from, to } = *piece;
        let day = format!(
            "fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli({time}), 86400000) * 86400000, \
             'UTC')"
        );
        let bits = if table == "days" { "hours".to_owned() } else { hour_bit(time) };
        let within = within(history, time, (from, to));
        format!(
            "SELECT id, {day} AS of_day, toUInt32({bits}) AS bits, {counts} FROM {table} WHERE \
             {within}{of_edges}"
        )
    };
    let parts: Vec<String> = pieces(wanted.range).iter().map(select).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "SELECT id, of_day AS day, groupBitOr(bits) AS hours, toUInt32(0) AS minutes, {} FROM ({}) \
             GROUP BY id, of_day FORMAT Parquet",
            sums(),
            parts.join(" UNION ALL ")
        )
    })
}

/// SQL of the sums by wanted edge and minute of a window, of `limit` rows at most.
pub(crate) fn minutes(history: &str, wanted: &Wanted, limit: usize) -> String {
    let range = wanted.range;
    let window = (range.from.minute(), end(range));
    format!(
        "SELECT id, minute, {} FROM minutes WHERE {}{} GROUP BY id, minute LIMIT {limit} FORMAT Parquet",
        sums(),
        within(history, "minute", window),
        of_edges(history, &wanted.filter)
    )
}

/// The end of the last minute that overlaps `range`.
fn end(range: TimeRange) -> Timestamp {
    let floor = range.to.minute();
    if floor == range.to { floor } else { floor.plus_seconds(MINUTE_S) }
}

/// SQL of what was lost in a window.
pub(crate) fn losses(history: &str, range: TimeRange) -> String {
    format!(
        "SELECT minute, cluster, node, hook, sum(produced) AS produced, sum(dropped) AS dropped FROM \
         losses WHERE {} GROUP BY minute, cluster, node, hook FORMAT Parquet",
        within(history, "minute", (range.from.minute(), end(range)))
    )
}

/// SQL of what the given edges are.
pub(crate) fn keys(history: &str, ids: &[EdgeId]) -> String {
    let names = KEY.map(|(name, _)| name).join(", ");
    let mut hex = String::with_capacity(ids.len().saturating_mul(32));
    for byte in ids.iter().flat_map(|id| id.bytes()) {
        hex.push_str(&format!("{byte:02x}"));
    }
    // One literal: a list of thousands would be as many nodes of the query's tree.
    format!(
        "SELECT id, {names} FROM edges WHERE history = {} AND id IN (SELECT \
         toFixedString(substring(unhex('{hex}'), 16 * number + 1, 16), 16) FROM numbers({})) LIMIT 1 \
         BY id FORMAT Parquet",
        quoted(history),
        ids.len()
    )
}

/// SQL of the last log that `writer` shipped, and of where the history of all writers ends,
/// milliseconds.
pub(crate) fn ledger(history: &str, writer: &str) -> String {
    let (history, writer) = (quoted(history), quoted(writer));
    format!(
        "SELECT maxIf(last_log, writer = {writer}), toUInt64(toUnixTimestamp64Milli(max(until))) FROM \
         shipments WHERE history = {history}"
    )
}

/// Asks for rows and reads them batch by batch.
pub(crate) fn rows(
    target: &Target,
    sql: String,
    mut visit: impl FnMut(&arrow_array::RecordBatch) -> Result<(), crate::SegmentError>,
) -> Result<(), ArchiveError> {
    let settings = vec![
        ("max_query_size", QUERY_BYTES_MAX.to_string()),
        ("output_format_parquet_compression_method", "zstd".to_owned()),
        ("output_format_parquet_string_as_string", "1".to_owned()),
        ("output_format_parquet_fixed_string_as_fixed_byte_array", "1".to_owned()),
    ];
    let body: Bytes = post(target, Ask { sql, settings, ..Ask::default() })?;
    let unreadable = |_error| http::not_rows(&body);
    let reader = ParquetRecordBatchReaderBuilder::try_new(body.clone()).map_err(unreadable)?;
    let failed = |error: crate::SegmentError| ArchiveError::Rows(error);
    let batches = reader.build().map_err(|error| failed(error.into()))?;
    for batch in batches {
        visit(&batch.map_err(|error| failed(error.into()))?).map_err(failed)?;
    }
    Ok(())
}

/// The numbers of an answer of one row, as text with tabs.
pub(crate) fn numbers<const N: usize>(body: &[u8]) -> Result<[u64; N], ArchiveError> {
    if let Some((code, text)) = http::exception_in(body) {
        return Err(ArchiveError::Refused { status: 200, code, text });
    }
    let text = String::from_utf8_lossy(body);
    let mut words = text.split_ascii_whitespace();
    let mut found = [0; N];
    let wrong = || {
        let start: String = text.chars().take(80).filter(|char| !char.is_control()).collect();
        ArchiveError::Answer(format!("`{start}` is not {N} numbers"))
    };
    for place in &mut found {
        *place = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    }
    if words.next().is_some() { Err(wrong()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sums::overlaps;

    /// Wherever it is put.
    const DAY: u64 = 1_795_392_000;

    proptest! {
        #[test]
        fn the_pieces_of_a_window_hold_each_minute_that_overlaps_it_once(
            from in 0..4 * DAY_S, length in 1..3 * DAY_S, steps in prop::sample::select(vec![1, 60, 3_600]),
        ) {
            let at = |second: u64| Timestamp::from_seconds(DAY + second);
            let from = from / steps * steps;
            let range = TimeRange { from: at(from), to: at(from + length) };
            let pieces = pieces(range);
            for minute in (0..8 * 1_440).map(|minute| at(minute * 60)) {
                let held = pieces.iter().filter(|piece| piece.from <= minute && minute < piece.to);
                prop_assert_eq!(held.count(), usize::from(overlaps(minute, range)));
            }
            let is_whole = |piece: &Piece| match piece.table {
                "days" => piece.from == piece.from.day() && piece.to == piece.to.day(),
                "hours" => piece.from == piece.from.hour() && piece.to == piece.to.hour(),
                _ => piece.from == piece.from.minute() && piece.to == piece.to.minute(),
            };
            prop_assert!(pieces.iter().all(is_whole));
        }
    }

    #[test]
    fn all_of_time_is_asked_of_days_but_for_its_last_one() {
        let tables: Vec<&str> = pieces(TimeRange::ALL).iter().map(|piece| piece.table).collect();
        assert_eq!(tables, ["days", "hours", "minutes"]);
    }

    #[test]
    fn an_answer_that_is_no_numbers_is_an_error_that_shows_it() {
        assert_eq!(numbers::<2>(b"1\t2\n").unwrap(), [1, 2]);
        let error = |body: &[u8]| numbers::<2>(body).unwrap_err().to_string();
        assert!(error(b"1\n").contains("`1` is not 2 numbers"));
        assert!(error(b"<html>").contains("<html>"));
        assert!(error(b"1\t2\nCode: 241. DB::Exception: Memory limit").contains("batch_rows"));
    }
}
