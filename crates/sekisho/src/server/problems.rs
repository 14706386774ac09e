//! What is wrong now, each with what to do: the last lines of `sekisho status`.

use std::collections::BTreeMap;

use sekisho_api::{DatapathMode, ListenerStatus};
use sekisho_manifest::Meta;
use sekisho_model::Timestamp;

use super::core::Core;
use super::service::SILENT_S;

/// How long status tells that rules were changed by somebody else, seconds.
const TAMPERING_TOLD_S: u64 = 900;

/// When a policy ends, as templates write it.
const EXPIRES_AT: &str = "sekisho.dev/expires-at";
/// Policies told by name as having ended; the rest is counted.
const OVER_MAX: usize = 8;

/// A thing the server does again and again, and may fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Duty {
    /// Making batches durable.
    Append,
    /// Turning the log into a segment.
    Seal,
    /// Following the cluster.
    Follow,
    /// Merging segments.
    Merge,
    /// Deleting old history.
    Retain,
}

impl Duty {
    fn sentence(self, why: &str) -> String {
        match self {
            Self::Append => format!(
                "history can't be written: {why}; agents keep what they see and send it again"
            ),
            Self::Seal => format!(
                "history can't be sealed: {why}; it stays in the log, which grows until this is repaired"
            ),
            Self::Follow => format!("the cluster can't be followed: {why}"),
            Self::Merge => {
                format!("segments can't be merged: {why}; nothing is lost, questions take longer")
            }
            Self::Retain => format!("old history can't be deleted: {why}"),
        }
    }
}

/// Duties that failed the last time, and why.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<Duty, String>);

impl Troubles {
    /// Notes how `duty` went. Logs only what changed: a full disk would else fill the log, too.
    pub(crate) fn note<T>(&mut self, duty: Duty, outcome: &anyhow::Result<T>) {
        match outcome {
            Ok(_) => {
                if self.0.remove(&duty).is_some() {
                    tracing::info!(?duty, "works again");
                }
            }
            Err(error) => {
                let why = format!("{error:#}");
                if self.0.get(&duty) != Some(&why) {
                    tracing::error!(?duty, error = why, "failed, will be tried again");
                    self.0.insert(duty, why);
                }
            }
        }
    }

    /// Whether `duty` failed the last time.
    pub(crate) fn has(&self, duty: Duty) -> bool {
        self.0.contains_key(&duty)
    }
}

/// When a policy ends, if a template said so.
pub(crate) fn expiry(meta: &Meta) -> Option<Timestamp> {
    meta.annotations.get(EXPIRES_AT)?.parse().ok()
}

/// What is wrong with the listener on the network.
pub(crate) fn of_listener(listener: &ListenerStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if listener.old {
        problems.push(format!(
            "the server's certificate ends at {}: renew it (`sekisho certificates`)",
            listener.not_after
        ));
    }
    if !listener.problem.is_empty() {
        problems.push(format!(
            "renewed TLS files can't be used, the old ones are: {}",
            listener.problem
        ));
    }
    problems
}

impl Core {
    /// What is wrong now, each with what to do.
    pub(crate) fn problems(&self, now: Timestamp) -> Vec<String> {
        let mut problems: Vec<String> =
            self.troubles.0.iter().map(|(duty, why)| duty.sentence(why)).collect();
        problems.extend(self.log_damage.iter().map(|what| {
            format!("{what} could not be read at the last start: what they held is lost")
        }));
        problems.extend(self.damaged.iter().map(|segment| {
            let path = segment.path.display();
            format!(
                "segment `{path}` is damaged and left out of history: restore it from a copy, or \
                 delete it to accept the loss"
            )
        }));
        if self.feed.rejected > 0 {
            let (count, why) = (self.feed.rejected, &self.feed.rejection);
            problems.push(format!("{count} objects of the cluster unreadable, last: {why}"));
        }
        problems.extend(self.feed.problems());
        for agent in self.derivation.agents.iter() {
            let silent_s = now.seconds_since(agent.last_heard);
            if silent_s >= SILENT_S {
                problems.push(format!(
                    "agent on {} silent for {silent_s} s: is it running? its last good policy stays in force",
                    agent.node
                ));
            }
            let report = &agent.report;
            if !report.error.is_empty() {
                problems.push(format!("agent on {}: {}", agent.node, report.error));
            }
            if let (true, Some(until)) = (report.certificate_old, report.certificate_until) {
                problems.push(format!(
                    "the certificate of the agent on {} ends at {until}: renew it (`sekisho \
                     certificates`; where the agent itself does that, its log says what hinders it), \
                     else it will not be let in",
                    agent.node
                ));
            }
            if report.tampered > 0 && now.seconds_since(report.tampered_last) < TAMPERING_TOLD_S {
                problems.push(format!(
                    "somebody changed our rules on {} ({} times, last at {}); they were put back: \
                     find out who",
                    agent.node, report.tampered, report.tampered_last
                ));
            }
        }
        problems.extend(self.over(now));
        problems
    }

    /// Policies whose window is over: nothing takes them away by itself.
    fn over(&self, now: Timestamp) -> Vec<String> {
        let mut found = Vec::new();
        for (mode, state) in [(DatapathMode::Enforce, "in force"), (DatapathMode::Audit, "staged")]
        {
            let Some(record) = self.revisions.record(mode) else { continue };
            for policy in &record.policies {
                if let Some(ends) = expiry(&policy.meta).filter(|ends| *ends <= now) {
                    found.push(format!(
                        "policy `{}/{}` ended at {ends} and is still {state}: apply the others without \
                         it (`--prune`)",
                        policy.meta.namespace, policy.meta.name
                    ));
                }
            }
        }
        if found.len() > OVER_MAX {
            let more = found.len() - OVER_MAX;
            found.truncate(OVER_MAX);
            found.push(format!("{more} more policies have ended"));
        }
        found
    }
}
