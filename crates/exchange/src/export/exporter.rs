//! The formats by name, and what writes their records.

use std::fmt;
use std::str::FromStr;

use sekisho_model::EdgeDay;

use super::{cef, csv, jsonl, leef, ocsf};

/// A format that history goes out in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// JSON Lines of our own: every field of a record.
    Jsonl,
    /// Comma-separated values (RFC 4180) with a head.
    Csv,
    /// OCSF 1.3.0, class Network Activity (4001), as JSON Lines.
    Ocsf,
    /// ArcSight Common Event Format, version 0.
    Cef,
    /// `QRadar` Log Event Extended Format 2.0, fields by tabs.
    Leef,
}

const FORMATS: [(ExportFormat, &str); 5] = [
    (ExportFormat::Jsonl, "jsonl"),
    (ExportFormat::Csv, "csv"),
    (ExportFormat::Ocsf, "ocsf"),
    (ExportFormat::Cef, "cef"),
    (ExportFormat::Leef, "leef"),
];

impl ExportFormat {
    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.into_iter().map(|(format, _)| format)
    }

    /// Its name, as in `--format`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Leef => "leef",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text names no format of export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not one of jsonl, csv, ocsf, cef, leef", .0.escape_debug())]
pub struct ExportFormatError(String);

impl FromStr for ExportFormat {
    type Err = ExportFormatError;

    fn from_str(text: &str) -> Result<Self, ExportFormatError> {
        let found = FORMATS.iter().find(|(_, name)| *name == text);
        found.map(|(format, _)| *format).ok_or_else(|| ExportFormatError(text.to_owned()))
    }
}

/// A record could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("encode a record as JSON")]
pub struct ExportError(#[from] serde_json::Error);

/// Writes records of one format.
#[derive(Clone, Debug)]
pub struct Exporter {
    format: ExportFormat,
    version: String,
}

impl Exporter {
    /// Makes it; `version` of the product goes into the records that tell it (OCSF, CEF, LEEF).
    #[must_use]
    pub fn new(format: ExportFormat, version: &str) -> Self {
        Self { format, version: version.to_owned() }
    }

    /// What stands before all records, with its line's end; empty in most formats.
    #[must_use]
    pub fn head(&self) -> String {
        match self.format {
            ExportFormat::Csv => csv::head() + self.line_end(),
            ExportFormat::Jsonl | ExportFormat::Ocsf | ExportFormat::Cef | ExportFormat::Leef => {
                String::new()
            }
        }
    }

    /// What ends each line: CR LF in CSV (RFC 4180 §2), else LF.
    #[must_use]
    pub fn line_end(&self) -> &'static str {
        match self.format {
            ExportFormat::Csv => "\r\n",
            ExportFormat::Jsonl | ExportFormat::Ocsf | ExportFormat::Cef | ExportFormat::Leef => {
                "\n"
            }
        }
    }

    /// One record, without its line's end; no name in `row` can put one into it.
    ///
    /// # Errors
    /// [`ExportError`] if the JSON encoder refuses a record.
    pub fn record(&self, row: &EdgeDay) -> Result<String, ExportError> {
        match self.format {
            ExportFormat::Jsonl => jsonl::record(row),
            ExportFormat::Csv => csv::record(row),
            ExportFormat::Ocsf => ocsf::record(row, &self.version),
            ExportFormat::Cef => Ok(cef::record(row, &self.version)),
            ExportFormat::Leef => Ok(leef::record(row, &self.version)),
        }
    }
}
