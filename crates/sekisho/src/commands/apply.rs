//! `sekisho stage`, `sekisho apply`, `sekisho rollback`.

use sekisho_api::{
    ApplyRequest, ApplyResponse, DatapathMode, Enforcement, EstablishedReport, Revision,
    RollbackRequest,
};

use super::{history, input, native, output};
use crate::cli::{ApplyArgs, RollbackArgs, TableOrJson};
use crate::exit::Exit;

/// Rules listed that can't be enforced; all are in the JSON.
const UNENFORCED_SHOWN_MAX: usize = 20;

/// Asks the server to verify and to put in force; with `cut` established connections that are
/// denied end.
pub(crate) fn apply(args: &ApplyArgs, cut: bool) -> anyhow::Result<Exit> {
    ask(args, DatapathMode::Enforce, cut)
}

/// Asks the server to verify and to audit.
pub(crate) fn stage(args: &ApplyArgs) -> anyhow::Result<Exit> {
    ask(args, DatapathMode::Audit, false)
}

fn ask(args: &ApplyArgs, mode: DatapathMode, cut: bool) -> anyhow::Result<Exit> {
    if args.history.store.is_some() {
        anyhow::bail!("--store gives history to `apply --to DIR`; the server has its own");
    }
    let now = history::now();
    let request = ApplyRequest {
        cluster: args.history.cluster.clone(),
        files: input::read(&args.files)?,
        prune: args.prune,
        mode,
        cut,
        range: args.history.range(now),
        accepted: args.accept.clone(),
        would_block_max: args.max_would_block,
        uncertain_max: args.max_uncertain,
        allow_partial: args.allow_partial,
        operator: operator(),
    };
    let response = history::call(args.history.server.connect()?.apply(&request))?;
    if args.output == TableOrJson::Json {
        output::print_json(&response)?;
    } else {
        if let Some(report) = &response.report {
            output::print(&sekisho_verify::table(report, output::width(), output::color()))?;
        }
        let done = match mode {
            DatapathMode::Enforce => "enforced",
            DatapathMode::Audit => "staged (nothing is stopped)",
        };
        output::print(&unenforced(&response.unenforced))?;
        if response.enforcement == Enforcement::Native {
            output::print(&native::outcome(&response, done))?;
            return Ok(native::exit(&response));
        }
        output::print(&outcome(&response, done))?;
        output::print(&established(&response, cut))?;
        if !cut && response.established.values().any(|found| found.denied > 0) {
            output::print("To end them, apply the same files with --cut.\n")?;
        }
    }
    if response.enforcement == Enforcement::Native {
        return Ok(native::exit(&response));
    }
    Ok(exit(&response, cut))
}

/// Goes back, or lists what there is to go back to.
pub(crate) fn rollback(args: &RollbackArgs) -> anyhow::Result<Exit> {
    let client = args.server.connect()?;
    if args.list {
        output::print(&revisions(&history::call(client.revisions(args.cluster.as_ref()))?))?;
        return Ok(Exit::Done);
    }
    let request = RollbackRequest {
        cluster: args.cluster.clone(),
        revision: args.revision,
        repair: args.repair,
        operator: operator(),
    };
    let response = history::call(client.rollback(&request))?;
    if response.enforcement == Enforcement::Native {
        output::print(&native::outcome(&response, "in force"))?;
        return Ok(native::exit(&response));
    }
    output::print(&outcome(&response, "in force"))?;
    output::print(&established(&response, false))?;
    Ok(exit(&response, false))
}

/// Who we are, for the record.
pub(crate) fn operator() -> String {
    use std::os::unix::fs::MetadataExt;
    let named = std::env::var("SUDO_USER").or_else(|_unset| std::env::var("USER"));
    let number = || std::fs::metadata("/proc/self").map(|meta| format!("uid {}", meta.uid()));
    named.or_else(|_unset| number()).unwrap_or_default()
}

fn exit(response: &ApplyResponse, cut: bool) -> Exit {
    match response.revision {
        None => Exit::Found,
        Some(_) if !response.pending.is_empty() => Exit::Partial,
        Some(_) if !gaps(response, cut).is_empty() => Exit::Partial,
        Some(_) => Exit::Done,
    }
}

fn outcome(response: &ApplyResponse, done: &str) -> String {
    let Some(revision) = response.revision else {
        let verified = response.report.as_ref().is_some_and(|report| report.verified);
        if verified && !response.unenforced.is_empty() {
            return "Refused: nothing was changed. Rewrite the rules above with addresses and \
                    ports; or enforce all but them with --allow-partial.\n"
                .to_owned();
        }
        return "Refused: nothing was changed. Correct the policies; or accept an edge by name with \
                --accept, or uncertain ones by number with --max-uncertain; or, if the edges above \
                are an attack, leave its time out with --until.\n"
            .to_owned();
    };
    let mut text = format!("Revision {revision} {done} on {}.\n", response.nodes.join(", "));
    for pending in &response.pending {
        text.push_str(&format!("Not on {pending}; its last good policy stays in force.\n"));
    }
    text
}

/// The rules that can't be enforced as they are written.
fn unenforced(rules: &[String]) -> String {
    let mut text = match rules.len() {
        0 => String::new(),
        1 => "1 rule can't be enforced as it is written:\n".to_owned(),
        number => format!("{number} rules can't be enforced as they are written:\n"),
    };
    let shown = rules.iter().take(UNENFORCED_SHOWN_MAX);
    shown.for_each(|rule| text.push_str(&format!("  {rule}\n")));
    let more = rules.len().saturating_sub(UNENFORCED_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("  and {more} more (all with -o json)\n"));
    }
    text
}

/// What became of the established connections that the revision denies.
fn established(response: &ApplyResponse, cut: bool) -> String {
    let by_node = &response.established;
    let number = |found: &EstablishedReport| if cut { found.cut } else { found.denied };
    let sum: u64 = by_node.values().map(number).sum();
    let some = by_node.iter().filter(|(_, found)| number(found) > 0);
    let places: Vec<String> =
        some.map(|(node, found)| format!("{} on {node}", number(found))).collect();
    let places = places.join(", ");
    let (noun, go, were) = match sum {
        1 => ("connection", "goes on until it ends", "was"),
        _ => ("connections", "go on until they end", "were"),
    };
    let gaps = gaps(response, cut);
    let mut text = match (sum, cut) {
        (0, true) if gaps.is_empty() => {
            "No established connection is denied: none was ended.\n".to_owned()
        }
        (0, _) => String::new(),
        (_, false) => {
            format!("{sum} established {noun} that it denies {go}: {places}.\n")
        }
        (_, true) => format!("{sum} established {noun} that it denies {were} ended: {places}.\n"),
    };
    for gap in gaps {
        text.push_str(&format!("{gap}\n"));
    }
    text
}

/// Why the figures of established connections are not the whole truth, a sentence each.
fn gaps(response: &ApplyResponse, cut: bool) -> Vec<String> {
    let mut gaps = Vec::new();
    for (node, found) in &response.established {
        if !found.error.is_empty() {
            gaps.push(format!("Established connections on {node}: {}.", found.error));
        } else if found.skipped > 0 {
            gaps.push(format!("Too many connections on {node}: {} not judged.", found.skipped));
        }
    }
    if cut {
        let silent = response.nodes.iter().filter(|node| !response.established.contains_key(*node));
        gaps.extend(silent.map(|node| {
            format!("{node} did not say whether it ended connections: it may have had the revision before.")
        }));
    }
    gaps
}

fn revisions(all: &[Revision]) -> String {
    let mut rows =
        vec![["revision", "time", "mode", "policies", "by", "note"].map(str::to_owned).to_vec()];
    for revision in all {
        let mode = match (revision.mode, revision.enforcement) {
            (DatapathMode::Enforce, Enforcement::Datapath) => "enforce",
            (DatapathMode::Enforce, Enforcement::Native) => "enforce (native)",
            (DatapathMode::Audit, _) => "audit",
        };
        let policies = revision.record.as_ref().map_or(0, |record| record.policy_count());
        let note = match revision.restores {
            Some(0) => "none in force".to_owned(),
            Some(number) => format!("as revision {number}"),
            None => String::new(),
        };
        rows.push(vec![
            revision.revision.to_string(),
            revision.time.to_string(),
            mode.to_owned(),
            policies.to_string(),
            revision.operator.clone(),
            note,
        ]);
    }
    output::columns(&rows, &[true, false, false, true])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(established: &[(&str, EstablishedReport)]) -> ApplyResponse {
        let by_node = established.iter().map(|(node, found)| ((*node).to_owned(), found.clone()));
        ApplyResponse {
            report: None,
            revision: Some(2),
            unenforced: Vec::new(),
            nodes: established.iter().map(|(node, _)| (*node).to_owned()).collect(),
            pending: Vec::new(),
            established: by_node.collect(),
            enforcement: Enforcement::Datapath,
            native: None,
        }
    }

    fn found(denied: u64, cut: u64) -> EstablishedReport {
        EstablishedReport { revision: 2, denied, cut, ..EstablishedReport::default() }
    }

    #[test]
    fn connections_are_named_by_node_and_nothing_is_said_of_none() {
        let some = response(&[("a", found(2, 0)), ("b", found(0, 0)), ("c", found(1, 0))]);
        let text =
            "3 established connections that it denies go on until they end: 2 on a, 1 on c.\n";
        assert_eq!(established(&some, false), text);
        assert_eq!(established(&response(&[("a", found(0, 0))]), false), "");
        let one = response(&[("a", found(1, 1))]);
        let text = "1 established connection that it denies were ended: 1 on a.\n";
        assert_eq!(established(&one, true), text.replace("were", "was"));
        let none = established(&response(&[("a", found(0, 0))]), true);
        assert_eq!(none, "No established connection is denied: none was ended.\n");
    }

    #[test]
    fn what_was_not_ended_for_sure_makes_the_answer_partial() {
        let complete = response(&[("a", found(1, 1))]);
        assert_eq!(exit(&complete, true), Exit::Done);
        let mut silent = complete.clone();
        silent.nodes.push("b".to_owned());
        assert_eq!(exit(&silent, true), Exit::Partial);
        assert!(established(&silent, true).contains("b did not say"));
        assert_eq!(exit(&silent, false), Exit::Done);
        let mut failed = complete;
        failed.established.insert(
            "a".to_owned(),
            EstablishedReport { error: "no rights".to_owned(), ..found(0, 0) },
        );
        assert_eq!(exit(&failed, true), Exit::Partial);
        assert_eq!(established(&failed, true), "Established connections on a: no rights.\n");
    }
}
