//! History out, in the formats that collectors and data lakes read: one [`EdgeDay`](sekisho_model::EdgeDay), one
//! record, one line.
//!
//! Names come from workloads (programs, DNS, labels), so no name may end a line, open a field or
//! become a formula. JSON keeps every character, escaped; CSV, CEF and LEEF have no escape for most
//! control characters and carry them as U+FFFD.

mod cef;
mod csv;
mod exporter;
mod jsonl;
mod leef;
mod ocsf;
mod otlp;
mod syslog;
mod text;

pub use exporter::{ExportError, ExportFormat, ExportFormatError, Exporter};
pub use otlp::otlp_logs;
pub use syslog::Syslog;
