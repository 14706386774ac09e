//! Native enforcement in words and metrics.

use std::collections::BTreeMap;

use sekisho_api::{Contradiction, NativeStatus, Status};

use super::metrics::Text;

/// Differences and contradictions told one by one; the rest is counted.
const TOLD_MAX: usize = 5;

/// What is wrong now, each with what to do.
pub(crate) fn problems(native: &NativeStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if !native.error.is_empty() {
        problems.push(format!(
            "the cluster can't be compared with the revision in force: {}",
            native.error
        ));
    }
    problems.extend(native.unreadable.iter().map(|what| format!("not known: {what}")));
    problems.extend(native.contested.iter().take(TOLD_MAX).map(|what| {
        format!(
            "FOUGHT OVER: {what}: agree with whoever runs that manager, or take the policy out of \
             its hands, then `sekisho rollback --repair`"
        )
    }));
    for drift in native.drift.iter().take(TOLD_MAX) {
        let by = match (drift.manager.as_str(), drift.time) {
            ("", _) => String::new(),
            (manager, Some(time)) => format!(" by {manager} at {time}"),
            (manager, None) => format!(" by {manager}"),
        };
        let fields = match drift.fields.as_slice() {
            [] => String::new(),
            fields => format!(" at {}", fields.join(", ")),
        };
        let effect = |word: &str, list: &[String]| match list {
            [] => String::new(),
            [first] => format!("; {word} {first}"),
            [first, rest @ ..] => format!("; {word} {first} and {} more", rest.len()),
        };
        problems.push(format!(
            "{} {}{by}{fields}{}{}: {}",
            drift.object,
            happened(&drift.kind),
            effect("opens", &drift.opens),
            effect("closes", &drift.closes),
            remedy(&drift.kind),
        ));
    }
    let more = native.drift.len().saturating_sub(TOLD_MAX) as u64 + native.drift_more;
    if more > 0 {
        problems.push(format!("{more} more differences between cluster and revision (-o json)"));
    }
    problems.extend(native.not_enforced.iter().take(TOLD_MAX).map(not_enforced));
    let more = native.not_enforced.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        problems.push(format!("{more} more connections not enforced (-o json)"));
    }
    problems
}

fn happened(kind: &str) -> &'static str {
    match kind {
        "edited" => "was edited",
        "deleted" => "was deleted",
        "taken" => "lost our marks, or was replaced",
        "stray" => "is of an apply that was cut short",
        "foreign_added" => "was added and is not ours",
        "foreign_changed" => "was changed and is not ours",
        _ => "was removed and was not ours",
    }
}

fn remedy(kind: &str) -> &'static str {
    match kind {
        "edited" | "deleted" | "stray" => {
            "put it back with `sekisho rollback --repair`, or apply what is wanted"
        }
        "taken" => "nothing is forced: remove that object, then `sekisho rollback --repair`",
        _ => "if it is wanted, apply again, so that it is verified with ours",
    }
}

fn not_enforced(found: &Contradiction) -> String {
    let by = found.denied_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let nodes = match found.nodes.as_slice() {
        [] => String::new(),
        nodes => format!(" on {}", nodes.join(" and ")),
    };
    format!(
        "NOT ENFORCED{nodes}: {} -> {}:{}/{} passed {} times, last at {} ({}), and is denied{by}: does \
         the network plugin enforce? measure with `sekisho cluster probe`",
        found.source,
        found.destination,
        found.port,
        found.protocol,
        found.connections,
        found.last_seen,
        found.example,
    )
}

/// Writes the metrics of native enforcement. Labels are kinds of drift only.
pub(super) fn metrics(text: &mut Text, status: &Status) {
    text.family("sekisho_enforcement_info", "gauge", "Always 1; who enforces is a label.");
    text.value("sekisho_enforcement_info", &[("by", status.enforcement.as_str())], 1_u64);
    let Some(native) = &status.native else { return };
    let help = "Differences between the cluster and the revision in force, by kind.";
    text.family("sekisho_native_drift", "gauge", help);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for drift in &native.drift {
        *kinds.entry(&drift.kind).or_default() += 1;
    }
    for kind in [
        "edited",
        "deleted",
        "taken",
        "stray",
        "foreign_added",
        "foreign_changed",
        "foreign_removed",
    ] {
        let count = kinds.get(kind).copied().unwrap_or_default();
        text.value("sekisho_native_drift", &[("kind", kind)], count);
    }
    let age = native.checked.map(|then| status.time.seconds_since(then));
    if let Some(age) = age {
        let help = "Seconds since the cluster was last compared with the revision in force.";
        text.single("sekisho_native_check_age_seconds", "gauge", help, age);
    }
    let help = "1 if the last comparison failed.";
    let failed = u8::from(!native.error.is_empty());
    text.single("sekisho_native_check_failed", "gauge", help, failed);
    let help = "Our policies in the cluster.";
    text.single("sekisho_native_objects", "gauge", help, native.objects);
    let help = "Objects put right without being asked.";
    text.single("sekisho_native_repairs_total", "counter", help, native.repaired);
    let help = "Our policies that are left as they are because others change them back.";
    text.single("sekisho_native_contested", "gauge", help, native.contested.len());
    let help = "Edges of the last 15 minutes that passed although a policy in force denies them.";
    text.single("sekisho_not_enforced_edges", "gauge", help, native.not_enforced.len());
    let help = "Connections that passed although a policy in force denies them.";
    text.single(
        "sekisho_not_enforced_connections_total",
        "counter",
        help,
        native.not_enforced_total,
    );
    let help = "Edges of the last 15 minutes that the staged policies would deny.";
    text.single("sekisho_would_deny_edges", "gauge", help, native.would_deny.len());
    let help = "Flows that were not judged because there were too many.";
    text.single("sekisho_unjudged_flows_total", "counter", help, native.unjudged);
}
