//! Records in the form of a sink.

use anyhow::Context;
use sekisho_api::Transport;
use sekisho_exchange::{ExportFormat, Exporter, Syslog, otlp_logs};
use sekisho_model::EdgeDay;

use super::settings::{Form, Settings};

/// Writes records as a sink wants them.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    form: Form,
    transport: Transport,
    syslog: Syslog,
}

impl Encoder {
    /// For this sink.
    pub(super) fn of(settings: &Settings) -> Self {
        let id = match settings.form {
            Form::Lines(format) => format.name(),
            Form::Otlp => "otlp",
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            form: settings.form,
            transport: settings.destination.transport,
            syslog: Syslog::new(host.trim(), id),
        }
    }

    /// All of `rows` as one message, or one after the other.
    pub(super) fn batch(&self, rows: &[EdgeDay]) -> anyhow::Result<Vec<u8>> {
        let version = env!("CARGO_PKG_VERSION");
        let format = match self.form {
            Form::Otlp => return Ok(otlp_logs(rows, version).into_bytes()),
            Form::Lines(format) => format,
        };
        let exporter = Exporter::new(format, version);
        let mut text = String::new();
        for row in rows {
            let record = exporter.record(row).context("encode a record")?;
            match self.transport {
                Transport::Http | Transport::Https => {
                    text.push_str(&record);
                    text.push('\n');
                }
                Transport::Tcp | Transport::Tls => {
                    text.push_str(&Syslog::framed(&self.syslog.message(row, &record)));
                }
                Transport::Udp => {
                    text.push_str(&self.syslog.message(row, &record));
                    text.push('\n');
                }
            }
        }
        Ok(text.into_bytes())
    }

    /// The media type of a batch over HTTP.
    pub(super) fn content_type(&self) -> &'static str {
        match self.form {
            Form::Otlp => "application/json",
            Form::Lines(ExportFormat::Jsonl | ExportFormat::Ocsf) => "application/x-ndjson",
            Form::Lines(ExportFormat::Csv | ExportFormat::Cef | ExportFormat::Leef) => {
                "text/plain; charset=utf-8"
            }
        }
    }
}
