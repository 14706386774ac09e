//! How the sinks do, for `status` and metrics.

use std::sync::{Arc, Mutex, PoisonError};

use sekisho_api::SinkStatus;

use crate::server::metrics::Text;

/// The state of each sink, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkStates(Arc<Mutex<Vec<SinkStatus>>>);

impl SinkStates {
    /// The state of all of them.
    pub(crate) fn all(&self) -> Vec<SinkStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes room for one more; gives its place.
    pub(super) fn add(&self, first: SinkStatus) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(first);
        all.len() - 1
    }

    /// Changes the one at `place`.
    pub(super) fn change(&self, place: usize, change: impl FnOnce(&mut SinkStatus)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = all.get_mut(place) {
            change(one);
        }
    }
}

/// What is wrong with sinks, each with what to do.
pub(crate) fn problems(all: &[SinkStatus]) -> Vec<String> {
    let mut found = Vec::new();
    for sink in all {
        if !sink.error.is_empty() {
            found.push(format!(
                "sink `{}` ({}) does not take records: {}; {} wait, in {} KiB",
                sink.name,
                sink.destination,
                sink.error,
                sink.waiting,
                sink.waiting_bytes / 1_024
            ));
        }
        if sink.lost > 0 {
            found.push(format!(
                "sink `{}` lost {} records since the start: give it a larger `queue_bytes`, a longer \
                 `interval_s`, or fewer records (`verdicts`, `namespaces`, `sample`)",
                sink.name, sink.lost
            ));
        }
    }
    found
}

/// The figures of sinks.
pub(crate) fn metrics(text: &mut Text, all: &[SinkStatus]) {
    if all.is_empty() {
        return;
    }
    text.family("sekisho_sink_records_total", "counter", "Records by what became of them.");
    for sink in all {
        for (state, count) in [("sent", sink.sent), ("lost", sink.lost)] {
            let labels = [("sink", sink.name.as_str()), ("state", state)];
            text.value("sekisho_sink_records_total", &labels, count);
        }
    }
    text.family("sekisho_sink_waiting_bytes", "gauge", "Bytes that wait on disk.");
    for sink in all {
        text.value("sekisho_sink_waiting_bytes", &[("sink", &sink.name)], sink.waiting_bytes);
    }
    text.family("sekisho_sink_failing", "gauge", "1 if the other end took nothing the last time.");
    for sink in all {
        let failing = u8::from(!sink.error.is_empty());
        text.value("sekisho_sink_failing", &[("sink", &sink.name)], failing);
    }
}
