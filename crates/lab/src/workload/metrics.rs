//! Counters of a workload, as Prometheus text (exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Different label values kept per counter; more are counted as `other`.
const SERIES_MAX: usize = 512;

/// Calls and requests so far.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// upstream -> (ok, error).
    calls: BTreeMap<String, (u64, u64)>,
    /// upstream -> why the last call failed.
    errors: BTreeMap<String, String>,
    /// listener -> requests.
    requests: BTreeMap<String, u64>,
}

impl Metrics {
    /// Counts a call.
    pub(super) fn call(&self, upstream: &str, result: Result<(), String>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.calls.len() >= SERIES_MAX && !counts.calls.contains_key(upstream);
        let name = if full { "other" } else { upstream };
        let entry = counts.calls.entry(name.to_owned()).or_default();
        match result {
            Ok(()) => entry.0 += 1,
            Err(why) => {
                entry.1 += 1;
                counts.errors.insert(name.to_owned(), why);
            }
        }
    }

    /// Counts a request at a listener.
    pub(super) fn request(&self, listener: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry(listener.to_owned()).or_default() += 1;
    }

    /// All counters as text.
    pub(super) fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a String can't fail.
            let _infallible: Result<(), std::fmt::Error> = writeln!(text, "{line}");
        };
        line(format_args!("# HELP sekisho_workload_calls_total Calls to upstreams."));
        line(format_args!("# TYPE sekisho_workload_calls_total counter"));
        for (upstream, (ok, error)) in &counts.calls {
            for (result, count) in [("ok", ok), ("error", error)] {
                line(format_args!(
                    "sekisho_workload_calls_total{{upstream=\"{upstream}\",result=\"{result}\"}} {count}"
                ));
            }
        }
        line(format_args!("# HELP sekisho_workload_requests_total Requests served."));
        line(format_args!("# TYPE sekisho_workload_requests_total counter"));
        for (listener, count) in &counts.requests {
            line(format_args!(
                "sekisho_workload_requests_total{{listener=\"{listener}\"}} {count}"
            ));
        }
        for (upstream, why) in &counts.errors {
            line(format_args!("# last error of {upstream}: {}", why.replace(['\n', '\r'], " ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_upstream_and_result() {
        let metrics = Metrics::default();
        metrics.call("http://a:1/", Ok(()));
        metrics.call("http://a:1/", Err("refused\nagain".to_owned()));
        let text = metrics.text();
        assert!(text.contains("calls_total{upstream=\"http://a:1/\",result=\"ok\"} 1"));
        assert!(text.contains("calls_total{upstream=\"http://a:1/\",result=\"error\"} 1"));
        assert!(text.contains("# last error of http://a:1/: refused again"));
    }
}
