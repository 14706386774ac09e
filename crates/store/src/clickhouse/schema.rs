//! The tables in ClickHouse: what they are, how they are made, and how they become those of a newer
//! version.
//!
//! `minutes` takes the rows; two materialised views sum them into `hours` and `days`. `edges` has
//! what an edge is, once. `losses` are the losses, `shipments` says which segments are in whole, and
//! `schema` which version of these tables there is. On a cluster each is a replicated table `*_local`
//! on every shard and a distributed one of the plain name over them.

use super::http::{Ask, post};
use super::settings::Target;
use super::{ArchiveError, ask};

/// The version that this program makes and knows.
pub(crate) const VERSION: u32 = 1;
/// Inserts that a table remembers, to know one that comes again.
const REMEMBERED_INSERTS: u32 = 10_000;
/// How long a replicated table remembers them, seconds: 30 days. Its default is an hour.
const REMEMBERED_S: u32 = 30 * 86_400;
/// The latest time from which rows age, such that the longest TTL ends before 2106.
const LATEST_AGING: &str = "2050-01-01 00:00:00";
/// What an edge is outlives its last counts by so many days: those of its month.
const EDGES_LONGER_DAYS: u32 = 62;

/// The columns that are summed, in all tables of counts.
pub(crate) const SUMS: [&str; 6] =
    ["connections", "bytes_sent", "bytes_received", "packets_sent", "packets_received", "resets"];
pub(crate) const FLAGS: [&str; 4] =
    ["reported_by_source", "reported_by_destination", "reported_by_datapath", "loss"];

/// The columns of what an edge is, as in the folder's Parquet files.
pub(crate) const KEY: [(&str, &str); 37] = [
    ("source_kind", WORD),
    ("source_namespace", WORD),
    ("source_workload", WORD),
    ("source_workload_kind", WORD),
    ("source_pod", "String"),
    ("source_labels", "String"),
    ("source_address", "Nullable(String)"),
    ("source_dns_name", "Nullable(String)"),
    ("source_exe", WORD_OR_NONE),
    ("source_comm", WORD_OR_NONE),
    ("source_uid", "Nullable(UInt32)"),
    ("source_container", WORD_OR_NONE),
    ("source_image", WORD_OR_NONE),
    ("destination_kind", WORD),
    ("destination_namespace", WORD),
    ("destination_workload", WORD),
    ("destination_workload_kind", WORD),
    ("destination_pod", "String"),
    ("destination_labels", "String"),
    ("destination_address", "Nullable(String)"),
    ("destination_dns_name", "Nullable(String)"),
    ("destination_exe", WORD_OR_NONE),
    ("destination_comm", WORD_OR_NONE),
    ("destination_uid", "Nullable(UInt32)"),
    ("destination_container", WORD_OR_NONE),
    ("destination_image", WORD_OR_NONE),
    ("protocol", WORD),
    ("port", "UInt16"),
    ("service_namespace", WORD_OR_NONE),
    ("service_name", WORD_OR_NONE),
    ("service_port", "Nullable(UInt16)"),
    ("verdict", WORD),
    ("decided_by_policy", WORD_OR_NONE),
    ("decided_by_rule", "Nullable(UInt32)"),
    ("decided_by_direction", WORD_OR_NONE),
    ("direction_inferred", "Bool"),
    ("cluster", WORD),
];
const WORD: &str = "LowCardinality(String)";
const WORD_OR_NONE: &str = "LowCardinality(Nullable(String))";
const TIME: &str = "DateTime64(3, 'UTC')";

/// A table.
struct Table {
    name: &'static str,
    columns: String,
    /// The engine of the family `MergeTree`, and its arguments.
    engine: (&'static str, &'static str),
    /// The column of time: months are its partitions.
    month_of: Option<&'static str>,
    order: &'static str,
    /// The column whose age counts, and days more than the setting.
    ttl: Option<(&'static str, u32)>,
    /// How rows are spread over shards.
    spread_by: &'static str,
}

fn columns(columns: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    let columns = columns.into_iter();
    let columns = columns.map(|(name, of)| format!("{} {}", name.as_ref(), of.as_ref()));
    columns.collect::<Vec<_>>().join(", ")
}

/// Columns of counts that ClickHouse sums when it merges parts.
fn summed(time: &str, more: &[(&str, &str)]) -> String {
    let aggregate = |function: &str, of: &str| format!("SimpleAggregateFunction({function}, {of})");
    let mut all = vec![
        ("history", WORD.to_owned()),
        ("id", "FixedString(16)".to_owned()),
        (time, format!("{TIME} CODEC(Delta, ZSTD)")),
    ];
    all.extend(more.iter().map(|(name, of)| (*name, (*of).to_owned())));
    all.extend(SUMS.map(|name| (name, aggregate("sum", "UInt64"))));
    all.push(("first_seen", aggregate("min", TIME)));
    all.push(("last_seen", aggregate("max", TIME)));
    all.extend(FLAGS.map(|name| (name, aggregate("max", "Bool"))));
    columns(all)
}

fn minutes() -> Table {
    let mut all = vec![
        ("history", WORD.to_owned()),
        ("id", "FixedString(16)".to_owned()),
        ("minute", format!("{TIME} CODEC(Delta, ZSTD)")),
    ];
    all.extend(SUMS.map(|name| (name, "UInt64 CODEC(T64, ZSTD)".to_owned())));
    all.extend(
        ["first_seen", "last_seen"].map(|name| (name, format!("{TIME} CODEC(Delta, ZSTD)"))),
    );
    all.extend(FLAGS.map(|name| (name, "Bool".to_owned())));
    Table {
        name: "minutes",
        columns: columns(all),
        engine: ("MergeTree", ""),
        month_of: Some("minute"),
        order: "history, toStartOfHour(minute), id, minute",
        ttl: Some(("minute", 0)),
        spread_by: "cityHash64(id)",
    }
}

fn rolled_up(name: &'static str, time: &'static str, order: &'static str) -> Table {
    let bits = [("hours", "SimpleAggregateFunction(groupBitOr, UInt32)")];
    Table {
        name,
        columns: summed(time, if time == "day" { &bits } else { &[] }),
        engine: ("AggregatingMergeTree", ""),
        month_of: Some(time),
        order,
        ttl: Some((time, 0)),
        spread_by: "cityHash64(id)",
    }
}

fn tables() -> [Table; 6] {
    let edges = [("history", WORD), ("id", "FixedString(16)"), ("day", TIME)];
    let losses = [("history", WORD), ("minute", TIME), ("cluster", WORD), ("node", WORD)];
    let more = [("hook", WORD), ("produced", "UInt64"), ("dropped", "UInt64")];
    let shipments = [("history", WORD), ("writer", WORD), ("first_log", "UInt64")];
    let and = [("last_log", "UInt64"), ("rows", "UInt64"), ("until", TIME)];
    let at = [("at", "DateTime DEFAULT now()")];
    [
        minutes(),
        rolled_up("hours", "hour", "history, hour, id"),
        rolled_up("days", "day", "history, day, id"),
        Table {
            name: "edges",
            columns: columns(edges.into_iter().chain(KEY)),
            engine: ("ReplacingMergeTree", "day"),
            month_of: None,
            order: "history, id",
            ttl: Some(("day", EDGES_LONGER_DAYS)),
            spread_by: "cityHash64(id)",
        },
        Table {
            name: "losses",
            columns: columns(losses.into_iter().chain(more)),
            engine: ("SummingMergeTree", "(produced, dropped)"),
            month_of: Some("minute"),
            order: "history, minute, cluster, node, hook",
            ttl: Some(("minute", 0)),
            spread_by: "cityHash64(node)",
        },
        Table {
            name: "shipments",
            columns: columns(shipments.into_iter().chain(and).chain(at)),
            engine: ("MergeTree", ""),
            month_of: None,
            order: "history, writer, last_log",
            ttl: None,
            spread_by: "cityHash64(writer)",
        },
    ]
}

/// SQL of the start of the hour or day that a minute lies in: exact for all times, which ClickHouse's
/// own functions are to 2106 only.
fn start_of(milliseconds: u64) -> String {
    format!(
        "fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(minute), {milliseconds}) * \
         {milliseconds}, 'UTC')"
    )
}

/// SQL of the bit of a time's hour in its day.
pub(crate) fn hour_bit(time: &str) -> String {
    format!("bitShiftLeft(toUInt32(1), intDiv(toUnixTimestamp64Milli({time}), 3600000) % 24)")
}

/// SQL that sums the columns of counts.
pub(crate) fn sums() -> String {
    let sums = SUMS.map(|name| format!("sum({name}) AS {name}"));
    let flags = FLAGS.map(|name| format!("toBool(max({name})) AS {name}"));
    let seen = ["min(first_seen) AS first_seen", "max(last_seen) AS last_seen"];
    let seen = seen.map(str::to_owned);
    sums.into_iter().chain(seen).chain(flags).collect::<Vec<_>>().join(", ")
}

/// How the tables of one target are made.
struct Making<'a>(&'a Target);

impl Making<'_> {
    fn on_cluster(&self) -> String {
        self.0.cluster.as_ref().map(|name| format!(" ON CLUSTER '{name}'")).unwrap_or_default()
    }

    /// The table that holds the rows.
    fn holder(&self, name: &str) -> String {
        if self.0.cluster.is_some() { format!("{name}_local") } else { name.to_owned() }
    }

    fn ttl(&self, (time, more): (&str, u32)) -> String {
        let days = self.0.ttl_days.saturating_add(more);
        // What is dated later ages from then: a time beyond 2106 would begin anew in 1970.
        let latest = format!("toDateTime64('{LATEST_AGING}', 3, 'UTC')");
        format!("toDateTime(least({time}, {latest})) + INTERVAL {days} DAY")
    }

    fn table(&self, table: &Table) -> Vec<String> {
        let (name, on) = (self.holder(table.name), self.on_cluster());
        let (family, arguments) = table.engine;
        let replicated = if self.0.cluster.is_some() { "Replicated" } else { "" };
        let month = table.month_of.map(|time| format!(" PARTITION BY toYYYYMM({time})"));
        let ttl = table.ttl.map(|ttl| format!(" TTL {}", self.ttl(ttl)));
        let remembered = match self.0.cluster {
            None => format!("non_replicated_deduplication_window = {REMEMBERED_INSERTS}"),
            Some(_) => format!(
                "replicated_deduplication_window = {REMEMBERED_INSERTS}, \
                 replicated_deduplication_window_seconds = {REMEMBERED_S}"
            ),
        };
        let mut made = vec![format!(
            "CREATE TABLE IF NOT EXISTS {name}{on} ({}) ENGINE = {replicated}{family}({arguments}){} \
             ORDER BY ({}){} SETTINGS {remembered}",
            table.columns,
            month.unwrap_or_default(),
            table.order,
            ttl.unwrap_or_default()
        )];
        if let Some(cluster) = &self.0.cluster {
            made.push(format!(
                "CREATE TABLE IF NOT EXISTS {}{on} AS {name} ENGINE = Distributed('{cluster}', \
                 currentDatabase(), '{name}', {})",
                table.name, table.spread_by
            ));
        }
        made
    }

    fn view(&self, to: &str, time: &str, milliseconds: u64) -> String {
        let bits = match time {
            "day" => format!("toUInt32(groupBitOr({})) AS hours, ", hour_bit("minute")),
            _ => String::new(),
        };
        format!(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS minutes_to_{to}{} TO {} AS SELECT history, id, {} \
             AS {time}, {bits}{} FROM {} GROUP BY history, id, {time}",
            self.on_cluster(),
            self.holder(to),
            start_of(milliseconds),
            sums(),
            self.holder("minutes")
        )
    }

    /// All of version 1.
    fn first(&self) -> Vec<String> {
        let mut made: Vec<String> = tables().iter().flat_map(|table| self.table(table)).collect();
        made.push(self.view("hours", "hour", 3_600_000));
        made.push(self.view("days", "day", 86_400_000));
        made
    }

    /// The table that says which version there is, and with which TTL.
    fn of_versions(&self) -> Vec<String> {
        let all = [
            ("version", "UInt32"),
            ("ttl_days", "UInt32"),
            ("at", "DateTime64(3) DEFAULT now64()"),
        ];
        self.table(&Table {
            name: "schema",
            columns: columns(all),
            engine: ("MergeTree", ""),
            month_of: None,
            order: "at",
            ttl: None,
            spread_by: "version",
        })
    }

    fn ages(&self) -> Vec<String> {
        let aged = |table: Table| {
            let ttl = self.ttl(table.ttl?);
            let (name, on) = (self.holder(table.name), self.on_cluster());
            Some(format!("ALTER TABLE {name}{on} MODIFY TTL {ttl}"))
        };
        tables().into_iter().filter_map(aged).collect()
    }
}

/// Makes what is not there, and makes older tables those of this version. Any number may do it at
/// once, and again.
pub(crate) fn ensure(target: &Target) -> Result<(), ArchiveError> {
    let making = Making(target);
    let name = &target.database;
    let known = format!("SELECT count() FROM system.databases WHERE name = '{name}'");
    let known = Ask { sql: known, without_database: true, ..Ask::default() };
    if ask::numbers::<1>(&post(target, known)?)? == [0] {
        let sql = format!("CREATE DATABASE IF NOT EXISTS {name}{}", making.on_cluster());
        post(target, Ask { sql, without_database: true, ..Ask::default() })?;
    }
    run(target, making.of_versions())?;
    let versions = "SELECT max(version), argMax(ttl_days, at) FROM schema".to_owned();
    let versions = post(target, Ask { sql: versions, ..Ask::default() })?;
    let [version, ttl_days] = ask::numbers(&versions)?;
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    if found > VERSION {
        return Err(ArchiveError::Schema { found, known: VERSION });
    }
    // All statements do nothing where they were done; somebody may have removed a table.
    run(target, making.first())?;
    if found == VERSION && ttl_days == u64::from(target.ttl_days) {
        return Ok(());
    }
    if found > 0 {
        run(target, making.ages())?;
    }
    let noted = format!(
        "INSERT INTO schema (version, ttl_days) SETTINGS insert_deduplicate = 0, async_insert = 0 \
         VALUES ({VERSION}, {})",
        target.ttl_days
    );
    run(target, vec![noted])
}

fn run(target: &Target, statements: Vec<String>) -> Result<(), ArchiveError> {
    for sql in statements {
        post(target, Ask { sql, ..Ask::default() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn target(cluster: Option<&str>) -> Target {
        Target {
            tls: false,
            host: String::new(),
            port: 0,
            path: String::new(),
            database: "sekisho".to_owned(),
            user: String::new(),
            password_file: None,
            ca: None,
            cluster: cluster.map(str::to_owned),
            ttl_days: 400,
            batch_rows: 1,
            timeout: Duration::ZERO,
        }
    }

    #[test]
    fn each_table_remembers_inserts_and_those_with_a_time_forget_rows() {
        for sql in Making(&target(None)).first().iter().filter(|sql| sql.contains("CREATE TABLE")) {
            assert!(sql.contains("non_replicated_deduplication_window = 10000"), "{sql}");
            assert_eq!(sql.contains(" TTL "), !sql.contains("shipments"), "{sql}");
        }
    }

    #[test]
    fn on_a_cluster_each_is_replicated_and_has_a_distributed_one_over_it() {
        let made = Making(&target(Some("main"))).first();
        assert!(made.iter().all(|sql| sql.contains(" ON CLUSTER 'main'")));
        let of = |word: &str| made.iter().filter(|sql| sql.contains(word)).count();
        assert_eq!((of("ENGINE = Replicated"), of("ENGINE = Distributed")), (6, 6));
        assert_eq!(of("replicated_deduplication_window_seconds = 2592000"), 6);
        // Views read and write what lies on their own shard.
        assert_eq!(of("FROM minutes_local GROUP BY"), 2);
        assert_eq!((of("TO hours_local AS"), of("TO days_local AS")), (1, 1));
    }

    #[test]
    fn a_changed_age_is_given_to_all_that_age() {
        let ages = Making(&target(Some("main"))).ages();
        assert_eq!(ages.len(), 5);
        assert!(ages.iter().any(|sql| sql.contains("edges_local") && sql.contains("462 DAY")));
        assert!(ages.iter().filter(|sql| sql.contains("INTERVAL 400 DAY")).count() == 4);
    }
}
