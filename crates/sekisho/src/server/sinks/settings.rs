//! `[[server.sinks]]`.

use std::path::PathBuf;

use anyhow::Context;
use sekisho_api::{Destination, Transport};
use sekisho_exchange::{ExportFormat, OCSF_FINDINGS};
use sekisho_model::Verdict;
use serde::Deserialize;

/// Shortest time that records are summed over, seconds, and the longest.
const INTERVAL_S: std::ops::RangeInclusive<u64> = 1..=3_600;
/// Smallest queue, bytes: some batches.
const QUEUE_BYTES_MIN: u64 = 1 << 20;
/// Longest name.
const NAME_MAX: usize = 64;

/// A sink as it is configured.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// Unique; names its queue, and it in `status`.
    pub(crate) name: String,
    /// Where to: https://, http://, tls://, tcp:// or udp://.
    pub(crate) url: String,
    /// What is sent: `jsonl`, `ocsf`, `cef`, `leef`, `ocsf-findings`, or (HTTP only) `otlp` and
    /// `otlp-metrics`.
    pub(crate) format: String,
    /// File whose content signs each POST; none: they are not signed.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
    /// Authorities that the other end is believed by; the machine's if absent.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// Only these verdicts; empty = all.
    #[serde(default)]
    pub(crate) verdicts: Vec<Verdict>,
    /// Only edges with an end in one of these namespaces; empty = all.
    #[serde(default)]
    pub(crate) namespaces: Vec<String>,
    /// Of allowed edges only one in so many; what is not allowed is sent whole.
    #[serde(default = "one")]
    pub(crate) sample: u32,
    /// Seconds over which connections of an edge are summed to a record.
    #[serde(default = "ten")]
    pub(crate) interval_s: u64,
    /// Bytes on disk that wait at most; beyond that the oldest go, counted.
    #[serde(default = "quarter_gib")]
    pub(crate) queue_bytes: u64,
}

fn one() -> u32 {
    1
}

fn ten() -> u64 {
    10
}

fn quarter_gib() -> u64 {
    256 << 20
}

/// What records are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One line each.
    Lines(ExportFormat),
    /// One OTLP request for all.
    Otlp,
    /// Findings of OCSF, one line each: of edges, and of what the server says of its clusters.
    Findings,
    /// The server's figures, as OTLP requests.
    Metrics,
}

/// A sink that can work.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) config: SinkConfig,
    pub(super) destination: Destination,
    pub(super) form: Form,
}

impl Settings {
    /// Reads a sink; says what is wrong with it.
    pub(super) fn of(config: &SinkConfig) -> anyhow::Result<Self> {
        let name = &config.name;
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        anyhow::ensure!(
            !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_letter),
            "server.sinks: `{name}` is no name: 1 to {NAME_MAX} letters, digits, `-`, `_`"
        );
        let place = || format!("server.sinks `{name}`");
        let destination: Destination = config.url.parse().with_context(place)?;
        let is_http = match destination.transport {
            Transport::Http | Transport::Https => true,
            Transport::Tcp | Transport::Tls | Transport::Udp => false,
        };
        let form = match config.format.as_str() {
            "otlp" => Form::Otlp,
            "otlp-metrics" => Form::Metrics,
            OCSF_FINDINGS => Form::Findings,
            other => {
                let more = || format!("{}: nor {OCSF_FINDINGS}, otlp, otlp-metrics", place());
                Form::Lines(other.parse().with_context(more)?)
            }
        };
        let wrong = wrong(config, form, is_http);
        if let Some(wrong) = wrong {
            anyhow::bail!("{}: {wrong}", place());
        }
        anyhow::ensure!(
            INTERVAL_S.contains(&config.interval_s),
            "{}: interval_s is not between {} and {}",
            place(),
            INTERVAL_S.start(),
            INTERVAL_S.end()
        );
        anyhow::ensure!(
            config.queue_bytes >= QUEUE_BYTES_MIN,
            "{}: queue_bytes is less than {QUEUE_BYTES_MIN}",
            place()
        );
        Ok(Self { config: config.clone(), destination, form })
    }
}

/// What of it can't be together.
fn wrong(config: &SinkConfig, form: Form, is_http: bool) -> Option<&'static str> {
    let denials = [Verdict::Denied, Verdict::WouldDeny];
    let is_whole = config.sample == 1;
    let all_edges = config.verdicts.is_empty() && config.namespaces.is_empty();
    match form {
        Form::Otlp | Form::Metrics if !is_http => {
            Some("`otlp` and `otlp-metrics` go over https:// or http:// only")
        }
        Form::Lines(ExportFormat::Csv) => Some("rows of csv mean nothing without their head"),
        Form::Metrics if !(is_whole && all_edges) => {
            Some("`verdicts`, `namespaces` and `sample` are about edges, and figures are none")
        }
        Form::Findings if config.verdicts.iter().any(|one| !denials.contains(one)) => {
            Some("findings are of the `verdicts` denied and would_deny only")
        }
        Form::Findings if !is_whole => Some("`sample` is of allowed edges, and findings are none"),
        Form::Otlp | Form::Metrics | Form::Findings | Form::Lines(_)
            if config.secret_file.is_some() && !is_http =>
        {
            Some("`secret_file` signs what goes over https:// or http://, and nothing else")
        }
        Form::Otlp | Form::Metrics | Form::Findings | Form::Lines(_) => {
            (config.sample == 0).then_some("`sample` is 1 or more")
        }
    }
}

/// Refuses sinks that can't work, and two of one name.
pub(crate) fn check_sinks(all: &[SinkConfig]) -> anyhow::Result<()> {
    for (place, config) in all.iter().enumerate() {
        Settings::of(config)?;
        anyhow::ensure!(
            all.iter().take(place).all(|one| one.name != config.name),
            "server.sinks: there are two of the name `{}`",
            config.name
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<Settings, String> {
        let text = format!("name = 'siem'\n{more}");
        let config: SinkConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        Settings::of(&config).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_sink_that_cannot_work_is_refused_with_what_is_wrong() {
        assert!(read("url = 'https://a/hook'\nformat = 'jsonl'").is_ok());
        assert!(read("url = 'tls://a:6514'\nformat = 'cef'\nverdicts = ['denied']").is_ok());
        assert!(read("url = 'http://127.0.0.1:4318/v1/logs'\nformat = 'otlp'").is_ok());
        assert!(read("url = 'http://127.0.0.1:4318/v1/metrics'\nformat = 'otlp-metrics'").is_ok());
        let findings = "url = 'tls://a:6514'\nformat = 'ocsf-findings'";
        assert!(read(findings).is_ok());
        assert!(read(&format!("{findings}\nverdicts = ['denied']")).is_ok());
        for (more, words) in [
            ("url = 'a'\nformat = 'jsonl'", "is none of https://"),
            ("url = 'https://a'\nformat = 'xml'", "xml"),
            ("url = 'tcp://a:1'\nformat = 'otlp'", "`otlp` and"),
            ("url = 'tcp://a:1'\nformat = 'otlp-metrics'", "`otlp-metrics`"),
            ("url = 'http://a'\nformat = 'otlp-metrics'\nnamespaces = ['shop']", "about edges"),
            ("url = 'http://a'\nformat = 'otlp-metrics'\nsample = 2", "about edges"),
            ("url = 'http://a'\nformat = 'ocsf-findings'\nverdicts = ['allowed']", "denied and"),
            ("url = 'http://a'\nformat = 'ocsf-findings'\nsample = 2", "`sample`"),
            ("url = 'https://a'\nformat = 'csv'", "head"),
            ("url = 'tcp://a:1'\nformat = 'cef'\nsecret_file = '/s'", "`secret_file` signs"),
            ("url = 'https://a'\nformat = 'cef'\nsample = 0", "`sample`"),
            ("url = 'https://a'\nformat = 'cef'\ninterval_s = 0", "interval_s"),
            ("url = 'https://a'\nformat = 'cef'\nqueue_bytes = 10", "queue_bytes"),
            ("url = 'https://a'\nformat = 'cef'\nport = 1", "unknown field `port`"),
        ] {
            let error = read(more).unwrap_err();
            assert!(error.contains(words), "{more}: {error}");
        }
    }
}
