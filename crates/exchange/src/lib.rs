//! Flow records of other tools, read (`bytes -> lines -> Record -> Flow`), and history in the formats
//! that other tools read (`EdgeDay -> line`).
//!
//! A [`Record`] is what the tool says; who its ends are is asked as the joiner asks, of a
//! [`Directory`](sekisho_flow::Directory), unless the record names them. What the tool lost, and what
//! could not be read, is counted and filed as losses: an imported map is never more complete than its
//! source.

mod elements;
mod export;
mod format;
mod formats;
mod frames;
mod import;
mod lines;
mod networks;
pub mod observer;
mod reader;
mod record;
mod resolve;
mod tuples;

pub use export::{
    Affected, Attack, Evidence, ExportError, ExportFormat, ExportFormatError, Exporter, Finding,
    FindingActivity, FindingKind, MetricFamily, MetricKind, MetricPoint, Number, OCSF_FINDINGS,
    Severity, Stamp, Syslog, findings_of, ocsf_finding, otlp_logs, otlp_metrics,
};
pub use format::{Format, FormatError};
pub use import::{HOOK, Import, Rejected, Tally, is_import};
pub use networks::{ListError, Listed, Named, Networks, is_list, read_list};
pub use record::{Count, End, Identity, Item, Orientation, Record, Reject, Side, Sums};
