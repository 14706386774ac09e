//! History out, in the formats that collectors and data lakes read: one [`EdgeDay`](sekisho_model::EdgeDay), one
//! record, one line; what was found in it ([`Finding`]); and the server's own figures for OTLP.
//!
//! Names come from workloads (programs, DNS, labels), so no name may end a line, open a field or
//! become a formula. JSON keeps every character, escaped; CSV, CEF and LEEF have no escape for most
//! control characters and carry them as U+FFFD.

mod cef;
mod csv;
mod exporter;
mod finding;
mod jsonl;
mod leef;
mod ocsf;
mod ocsf_finding;
mod otlp;
mod otlp_metrics;
mod syslog;
mod text;

pub use exporter::{ExportError, ExportFormat, ExportFormatError, Exporter};
pub use finding::{Affected, Attack, Evidence, Finding, FindingKind, Severity, findings_of};
pub use ocsf_finding::{FindingActivity, OCSF_FINDINGS, ocsf_finding};
pub use otlp::otlp_logs;
pub use otlp_metrics::{MetricFamily, MetricKind, MetricPoint, Number, otlp_metrics};
pub use syslog::{Stamp, Syslog};
