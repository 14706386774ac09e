//! What an agent says of itself, gathered from its threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sekisho_api::{AgentReport, Client, EstablishedReport};
use sekisho_base::{Clock, error_chain};
use sekisho_model::{DecidedBy, Timestamp};
use sekisho_system::SystemClock;

/// Area of the tier that says which certificate is used.
const CERTIFICATE: &str = "certificate: ";

/// The next report.
#[derive(Debug)]
pub(crate) struct AgentState {
    node: String,
    report: Mutex<AgentReport>,
}

impl AgentState {
    /// Makes the report of an agent that just started.
    pub(crate) fn new(node: &str, tiers: Vec<String>) -> Self {
        let report = AgentReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel_release(),
            tiers,
            ..AgentReport::default()
        };
        Self { node: node.to_owned(), report: Mutex::new(report) }
    }

    fn report(&self) -> MutexGuard<'_, AgentReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which order is in force, and why a later one is not (empty = there is none).
    pub(crate) fn note_order(&self, generation: u64, error: String) {
        let mut report = self.report();
        report.generation = generation;
        report.error = error;
    }

    /// Notes what was found among the established connections when a revision came into force.
    pub(crate) fn note_established(&self, established: EstablishedReport) {
        self.report().established = Some(established);
    }

    /// Notes that somebody else changed our rules at `time`.
    pub(crate) fn note_tampering(&self, time: Timestamp) {
        let mut report = self.report();
        report.tampered += 1;
        report.tampered_last = time;
    }

    /// Notes what the assembler holds and let go.
    pub(crate) fn note_assembler(&self, figures: Vec<(String, u64)>) {
        self.report().assembler = figures;
    }

    /// Notes what the kernel dropped, by reason.
    pub(crate) fn note_drops(&self, drops: Vec<(String, u64)>) {
        self.report().drops = drops;
    }

    /// Notes what the rules counted since they are in force.
    pub(crate) fn note_rules(&self, rules: Vec<(DecidedBy, u64, u64)>) {
        self.report().rules = rules;
    }

    /// Sends the report; what the server does not get, the next one tells.
    pub(crate) async fn tell(&self, client: &Client) {
        let until = client.tls_files().and_then(|files| files.lifetime().ok());
        let (certificate, ending) = (client.certificate_words(), client.ending_certificate());
        let report = {
            let mut report = self.report();
            if let Some(words) = certificate {
                report.tiers.retain(|tier| !tier.starts_with(CERTIFICATE));
                report.tiers.push(format!("{CERTIFICATE}{words}"));
            }
            report.certificate_until = until.map(|lifetime| lifetime.not_after);
            report.certificate_old = until.is_some_and(|lifetime| lifetime.is_old(now()));
            // That of this node alone ends first, and is the agent's own to renew.
            if let Some(left) = ending {
                report.certificate_until = Some(now().plus_seconds(left.as_secs()));
                report.certificate_old = true;
            }
            report.memory_bytes = crate::memory::resident_bytes();
            report.clone()
        };
        if let Err(error) = client.report(&self.node, &report).await {
            tracing::debug!(error = %error_chain(&error), "report not delivered");
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}
