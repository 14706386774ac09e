//! What native enforcement did in the cluster, in words.

use sekisho_api::{ApplyResponse, NativeReport, NativeStatus};
use sekisho_base::harmless;
use sekisho_model::Timestamp;

use super::output;
use crate::exit::Exit;

/// Objects listed; all are in the JSON.
const STEPS_SHOWN_MAX: usize = 40;

/// `Found` if nothing came into force, `Partial` if it is not known what is.
pub(crate) fn exit(response: &ApplyResponse) -> Exit {
    let half = response.native.as_ref().is_some_and(|native| !native.half_applied.is_empty());
    let unknown = response.native.as_ref().is_some_and(|native| !native.unreadable.is_empty());
    match response.revision {
        _ if half => Exit::Partial,
        None => Exit::Found,
        Some(_) if unknown => Exit::Partial,
        Some(_) => Exit::Done,
    }
}

/// The state of native enforcement, for `sekisho status`; what is wrong is among the problems.
pub(crate) fn status(native: &NativeStatus, now: Timestamp) -> String {
    let compared = match native.checked {
        Some(time) => format!("compared {} s ago", now.seconds_since(time)),
        None => "not compared yet".to_owned(),
    };
    let mut text = format!(
        "enforcement: native, by the network plugin of {}: {} of ours, {} of others, {compared}\n",
        native.server,
        output::count(to_usize(native.objects), "policy", "policies"),
        native.foreign,
    );
    let drift = to_usize(native.drift_more).saturating_add(native.drift.len());
    if drift > 0 || native.repaired > 0 {
        let repaired = match native.repaired {
            0 => String::new(),
            count => format!(", {count} put right unasked"),
        };
        text.push_str(&format!("drift: {}{repaired}\n", output::count(drift, "object", "objects")));
    }
    for found in native.would_deny.iter().take(STEPS_SHOWN_MAX) {
        let by = found.denied_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let line = format!(
            "staged policies would deny: {} -> {}:{}/{}, {} times{by}",
            found.source, found.destination, found.port, found.protocol, found.connections
        );
        text.push_str(&format!("{}\n", harmless(&line)));
    }
    text
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What was done, object by object, and what is in force now.
pub(crate) fn outcome(response: &ApplyResponse, done: &str) -> String {
    let Some(native) = &response.native else {
        return match response.revision {
            Some(revision) => {
                format!(
                    "Revision {revision} {done}: the server judges flows, the cluster is not touched.\n"
                )
            }
            None if !response.unenforced.is_empty() => {
                "Refused: nothing was changed. The rules above hold parts (HTTP and its kin) that \
                 are not kept: apply these policies by other means.\n"
                    .to_owned()
            }
            None => {
                "Refused: nothing was changed. Correct the policies; or accept an edge by name \
                     with --accept, or uncertain ones by number with --max-uncertain; or, if the \
                     edges above are an attack, leave its time out with \
                     --until.\n"
                    .to_owned()
            }
        };
    };
    let mut text = steps(native);
    for what in &native.unreadable {
        text.push_str(&format!("not known: {}\n", harmless(what)));
    }
    for error in &native.errors {
        text.push_str(&format!("failed: {}\n", harmless(error)));
    }
    if !native.half_applied.is_empty() {
        text.push_str("HALF APPLIED: these objects could not be taken back:\n");
        native
            .half_applied
            .iter()
            .for_each(|left| text.push_str(&format!("  {}\n", harmless(left))));
        text.push_str(
            "Everything else is as before. As soon as it can work, apply again, or put back what is in \
             force: `sekisho rollback --repair`.\n",
        );
        return text;
    }
    match response.revision {
        Some(revision) => {
            text.push_str(&format!("Revision {revision} {done} in {}.\n", native.server));
        }
        None if native.undone > 0 => text.push_str(&format!(
            "Not applied: {} taken back; what was in force still is.\n",
            output::count(to_usize(native.undone), "change", "changes"),
        )),
        None => text.push_str("Not applied: nothing was changed.\n"),
    }
    text
}

/// What changes, a line each; what stays is counted.
fn steps(native: &NativeReport) -> String {
    let count = |step: &str| native.steps.iter().filter(|one| one.step == step).count();
    let changes: Vec<_> = native
        .steps
        .iter()
        .filter(|one| !matches!(one.step.as_str(), "unchanged" | "foreign"))
        .collect();
    let mut text = String::new();
    for one in changes.iter().take(STEPS_SHOWN_MAX) {
        let detail = match one.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({detail})"),
        };
        text.push_str(&format!("{:9} {}{}\n", one.step, harmless(&one.object), harmless(&detail)));
    }
    let more = changes.len().saturating_sub(STEPS_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("and {more} more (all with -o json)\n"));
    }
    let words = [
        (count("create"), "to create"),
        (count("update"), "to update"),
        (count("prune"), "to delete"),
        (count("conflict"), "in conflict"),
        (count("unchanged"), "unchanged"),
        (count("foreign"), "of others, left alone"),
    ];
    let words: Vec<String> = words
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if !words.is_empty() {
        text.push_str(&format!("policies: {}\n", words.join(", ")));
    }
    text
}
