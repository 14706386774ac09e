//! Flow history: hot minutes, write-ahead log, Parquet segments.
//!
//! [`LocalStore::append`] makes raw agent batches durable before they are acknowledged;
//! [`FlowSink::record`] sums the flows derived from them per edge and minute in memory;
//! [`LocalStore::rotate`] turns those sums into a Parquet segment and retires the log. Every batch
//! counts exactly once across `kill -9`: its rows are in a segment or its frames are in a log that
//! the next [`LocalStore::open`] hands back, never both. docs/store.md has the layout on disk.
//! Parquet of others is read as text by [`TableText`].
//! Where one machine is not enough, [`Archive`] takes sealed segments to ClickHouse.

mod by_id;
mod candidates;
mod clickhouse;
mod columns;
mod compact;
mod conditions;
mod decode;
mod errors;
mod files;
mod frame;
mod history;
mod interned;
mod keys;
mod layout;
mod limits;
mod local;
mod log;
mod loss;
mod parties;
mod pick;
mod read_only;
mod reader;
mod run;
mod scan;
mod segment;
mod series;
mod sums;
mod table;
mod totals;
mod wanted;
mod words;
mod writer;

pub use clickhouse::{
    Archive, ArchiveError, ArchiveLag, ArchiveSettings, Archived, Grain, Joined, Ledger, Reach,
    Reading, Shipment, Writing,
};
pub use compact::{Compacted, Compaction};
pub use errors::{
    AppendError, CompactError, OpenError, RetentionError, RotateError, ScanError, SegmentError,
};
pub use frame::{FRAME_BYTES_MAX, Frame, FrameKind};
pub use history::{FlowSink, FlowStore, Question};
pub use limits::{StoreLimits, StoreStatus};
pub use local::LocalStore;
pub use log::{Damage, ReplayedLog};
pub use read_only::{ReadOnlyStore, open_read_only};
pub use series::{Counted, Parts, SeriesQuestion};
pub use table::{PARQUET_MAGIC, TableError, TableText};
pub use wanted::Wanted;
