//! `sekisho stage`, `sekisho apply`, `sekisho rollback`.

use sekisho_api::{ApplyRequest, ApplyResponse, Client, DatapathMode, Revision, RollbackRequest};
use sekisho_model::{TimeRange, Timestamp};

use super::{history, input, output};
use crate::cli::{ApplyArgs, RollbackArgs, TableOrJson};
use crate::exit::Exit;

/// Asks the server to verify and to put in force (or to audit).
pub(crate) fn apply(args: &ApplyArgs, mode: DatapathMode) -> anyhow::Result<Exit> {
    let now = history::now();
    let request = ApplyRequest {
        files: input::read(&args.files)?,
        prune: args.prune,
        dry_run: false,
        mode,
        range: TimeRange {
            from: args.since.map_or(Timestamp::EPOCH, |since| since.at(now)),
            to: args.until.map_or(Timestamp::MAX, |until| until.at(now)),
        },
        accepted: args.accept.clone(),
        would_block_max: args.max_would_block,
        operator: operator(),
    };
    let response = history::call(Client::new(&args.server.server).apply(&request))?;
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
        output::print(&outcome(&response, done))?;
    }
    Ok(exit(&response))
}

/// Goes back, or lists what there is to go back to.
pub(crate) fn rollback(args: &RollbackArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.server.server);
    if args.list {
        output::print(&revisions(&history::call(client.revisions())?))?;
        return Ok(Exit::Done);
    }
    let request = RollbackRequest { revision: args.revision, operator: operator() };
    let response = history::call(client.rollback(&request))?;
    output::print(&outcome(&response, "in force"))?;
    Ok(exit(&response))
}

fn operator() -> String {
    use std::os::unix::fs::MetadataExt;
    let named = std::env::var("SUDO_USER").or_else(|_unset| std::env::var("USER"));
    let number = || std::fs::metadata("/proc/self").map(|meta| format!("uid {}", meta.uid()));
    named.or_else(|_unset| number()).unwrap_or_default()
}

fn exit(response: &ApplyResponse) -> Exit {
    match response.revision {
        None => Exit::Found,
        Some(_) if !response.pending.is_empty() => Exit::Partial,
        Some(_) => Exit::Done,
    }
}

fn outcome(response: &ApplyResponse, done: &str) -> String {
    let Some(revision) = response.revision else {
        return "Refused: nothing was changed. Correct the policies; or accept an edge by name with \
                --accept; or, if the edges above are an attack, leave its time out with --until.\n"
            .to_owned();
    };
    let mut text = format!("Revision {revision} {done} on {}.\n", response.nodes.join(", "));
    for pending in &response.pending {
        text.push_str(&format!("Not on {pending}; its last good policy stays in force.\n"));
    }
    text
}

fn revisions(all: &[Revision]) -> String {
    let mut rows =
        vec![["revision", "time", "mode", "policies", "by", "note"].map(str::to_owned).to_vec()];
    for revision in all {
        let mode = match revision.mode {
            DatapathMode::Enforce => "enforce",
            DatapathMode::Audit => "audit",
        };
        let policies = revision.record.as_ref().map_or(0, |record| record.policies.len());
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
