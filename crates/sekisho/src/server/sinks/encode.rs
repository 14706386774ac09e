//! Records in the form of a sink.

use anyhow::Context;
use sekisho_api::Transport;
use sekisho_exchange::{
    ExportFormat, Exporter, Finding, FindingActivity, MetricFamily, OCSF_FINDINGS, Stamp, Syslog,
    ocsf_finding, otlp_logs, otlp_metrics,
};
use sekisho_model::{EdgeDay, Timestamp};

use super::settings::{Form, Settings};

/// Series in one request: some 2 MB, where receivers take 20.
const SERIES_MAX: usize = 5_000;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes records as a sink wants them.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    form: Form,
    transport: Transport,
    syslog: Syslog,
    /// The machine's name.
    host: String,
}

impl Encoder {
    /// For this sink.
    pub(super) fn of(settings: &Settings) -> Self {
        let id = match settings.form {
            Form::Lines(format) => format.name(),
            Form::Otlp => "otlp",
            Form::Findings => OCSF_FINDINGS,
            Form::Metrics => "otlp-metrics",
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            form: settings.form,
            transport: settings.destination.transport,
            syslog: Syslog::new(host.trim(), id),
            host: host.trim().to_owned(),
        }
    }

    /// All of `rows` as one message, or one after the other.
    pub(super) fn batch(&self, rows: &[EdgeDay]) -> anyhow::Result<Vec<u8>> {
        let format = match self.form {
            Form::Lines(format) => format,
            // Findings and figures have verbs of their own.
            Form::Otlp | Form::Findings | Form::Metrics => {
                return Ok(otlp_logs(rows, VERSION).into_bytes());
            }
        };
        let exporter = Exporter::new(format, VERSION);
        let mut text = String::new();
        for row in rows {
            let record = exporter.record(row).context("encode a record")?;
            self.line(&mut text, row.into(), &record);
        }
        Ok(text.into_bytes())
    }

    /// Findings, one after the other.
    pub(super) fn findings(&self, all: &[(Finding, FindingActivity)]) -> Vec<u8> {
        let mut text = String::new();
        for (finding, activity) in all {
            self.line(&mut text, finding.into(), &ocsf_finding(finding, *activity, VERSION));
        }
        text.into_bytes()
    }

    /// Figures as requests, with the number of series in each.
    pub(super) fn figures(
        &self,
        families: &[MetricFamily],
        time: Timestamp,
    ) -> Vec<(String, usize)> {
        otlp_metrics(families, (&self.host, VERSION), time, SERIES_MAX)
    }

    fn line(&self, text: &mut String, stamp: Stamp, record: &str) {
        match self.transport {
            Transport::Http | Transport::Https => {
                text.push_str(record);
                text.push('\n');
            }
            Transport::Tcp | Transport::Tls => {
                text.push_str(&Syslog::framed(&self.syslog.message(stamp, record)));
            }
            Transport::Udp => {
                text.push_str(&self.syslog.message(stamp, record));
                text.push('\n');
            }
        }
    }

    /// The media type of a batch over HTTP.
    pub(super) fn content_type(&self) -> &'static str {
        match self.form {
            Form::Otlp | Form::Metrics => "application/json",
            Form::Findings | Form::Lines(ExportFormat::Jsonl | ExportFormat::Ocsf) => {
                "application/x-ndjson"
            }
            Form::Lines(ExportFormat::Csv | ExportFormat::Cef | ExportFormat::Leef) => {
                "text/plain; charset=utf-8"
            }
        }
    }
}
