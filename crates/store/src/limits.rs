//! Bounds of a store, and how it says that it is well or not.

use sekisho_model::Timestamp;

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Rows (edge and minute) of the hot generation; beyond, new edges fold into
    /// `other[Other] -> other[Other]`. About 250 bytes each.
    pub hot_rows_max: usize,
    /// New edges per source and minute; beyond, they fold into `source -> other[Other]`, so that a
    /// port scan does not grow memory.
    pub edges_per_source_minute_max: u32,
    /// New edges per destination and minute; beyond, they fold into `other[Other] -> destination`,
    /// so that forged or many source addresses do not grow memory.
    pub edges_per_destination_minute_max: u32,
    /// Bytes of logs above which the store wants a rotation.
    pub log_bytes_max: u64,
    /// Rows of minutes that one scan holds at most, and those of one segment more.
    pub scanned_rows_max: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            hot_rows_max: 1_000_000,
            edges_per_source_minute_max: 1_024,
            edges_per_destination_minute_max: 4_096,
            log_bytes_max: 256 << 20,
            scanned_rows_max: 2_000_000,
        }
    }
}

/// How a store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreStatus {
    /// Bytes of segments and logs.
    pub bytes: u64,
    /// Segments.
    pub segments: usize,
    /// Rows in segments and in memory; an edge's minute may be in several.
    pub rows: u64,
    /// Rows in memory.
    pub hot_rows: usize,
    /// Bytes of logs that no segment covers.
    pub log_bytes: u64,
    /// Log files.
    pub logs: usize,
    /// Earliest minute held; None if nothing is.
    pub oldest: Option<Timestamp>,
    /// Flows that went into an `other` edge since the start because a limit was reached.
    pub folded: u64,
    /// Why the store cannot do all it should; None if it can.
    pub degraded: Option<String>,
    /// Segments that could not be read at opening, with the reason.
    pub damaged: Vec<String>,
}
