//! Its arguments.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use sekisho_exchange::{ExportFormat, OCSF_FINDINGS};

use crate::cli::HistoryArgs;

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Format of the records: jsonl, csv, ocsf, cef or leef; or ocsf-findings, for what was denied or
    /// would be.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Form,
    /// The time that a record sums; a window with too many minutes is refused.
    #[arg(long, value_enum, default_value_t = RecordSpan::Day)]
    pub(crate) by: RecordSpan,
    /// Only edges with an end in one of these namespaces; may be given again.
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Vec<String>,
    /// Only these verdicts: allowed, denied, would_deny, unknown; may be given again.
    #[arg(long, value_name = "V")]
    pub(crate) verdict: Vec<sekisho_flow::VerdictFilter>,
    /// Write to this file, whole or not at all; standard output if absent, or `-`.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Send each record as a syslog message (RFC 5424) to tcp://HOST:PORT (octet counting) or
    /// udp://HOST:PORT instead. Not for csv.
    #[arg(long, value_name = "URL", conflicts_with = "output")]
    pub(crate) syslog: Option<Collector>,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A record for each edge.
    Edges(ExportFormat),
    /// A finding of OCSF for each matter.
    Findings,
}

impl Form {
    /// Its name, as in `--format`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edges(format) => format.name(),
            Self::Findings => OCSF_FINDINGS,
        }
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            OCSF_FINDINGS => Ok(Self::Findings),
            other => {
                other.parse().map(Self::Edges).map_err(|error| format!("{error}, {OCSF_FINDINGS}"))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecordSpan {
    Day,
    Minute,
}

const EXPORT_HELP: &str =
    "A record is one edge on one day (UTC), or the part of the day that was asked for.
docs/export.md tells which field carries what.

Try it:
  sekisho export --store history --format csv -o edges.csv
  sekisho export --since 24h --format ocsf -o edges.ocsf.jsonl
  sekisho export --since 24h --format ocsf-findings
  sekisho export --since 1h --by minute --format cef --syslog tcp://collector.example:601

Exit code 3: all records are written, and history has gaps.";

/// Where syslog messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    /// True for a stream, false for datagrams.
    pub(crate) tcp: bool,
    /// `HOST:PORT`.
    pub(crate) address: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tcp, address) = match (text.strip_prefix("tcp://"), text.strip_prefix("udp://")) {
            (Some(address), _) => (true, address),
            (None, Some(address)) => (false, address),
            (None, None) => return Err("is neither tcp://HOST:PORT nor udp://HOST:PORT".to_owned()),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        match port {
            Some((host, Ok(port))) if !host.is_empty() && port != 0 => {
                Ok(Self { tcp, address: address.to_owned() })
            }
            _ => Err("needs a host and a port, as in tcp://127.0.0.1:601".to_owned()),
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tcp { "tcp" } else { "udp" }, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_transport_a_host_and_a_port() {
        for text in ["tcp://127.0.0.1:601", "udp://collector.example:514", "tcp://[::1]:601"] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1:601", "tcp://host", "tcp://:601", "tcp://host:0", "tls://host:1"] {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
    }
}
