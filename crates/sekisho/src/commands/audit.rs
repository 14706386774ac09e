//! `sekisho audit`: who changed what, and who was not permitted to.

use clap::Args;
use sekisho_api::{AuditEntry, Outcome};

use super::connect::ServerArg;
use super::{history, output};
use crate::cli::TableOrJson;
use crate::exit::Exit;

/// Entries asked for at one time.
const PAGE: usize = 1_000;

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) server: ServerArg,
    /// At most this many of the newest.
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Form of the answer; JSON is one object a line, oldest first.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    output: TableOrJson,
}

/// Prints the newest entries, oldest first.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<Exit> {
    let client = args.server.connect()?;
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut before = None;
    while entries.len() < args.last {
        let page = history::call(client.audit(before, PAGE.min(args.last - entries.len())))?;
        entries.extend(page.entries);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    entries.reverse();
    match args.output {
        TableOrJson::Table => output::print(&table(&entries))?,
        TableOrJson::Json => {
            for entry in &entries {
                output::print(&(serde_json::to_string(entry)? + "\n"))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn table(entries: &[AuditEntry]) -> String {
    let head = ["TIME", "WHO", "ACTION", "TARGET", "OUTCOME", "DETAIL"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    rows.extend(entries.iter().map(|entry| {
        let outcome = match entry.outcome {
            Outcome::Begun => "begun",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Denied => "denied",
        };
        let detail = match entry.repeated {
            0 => entry.detail.clone(),
            times => format!("{} (and {times} times before)", entry.detail),
        };
        let plain = [&entry.who, &entry.action, &entry.target].map(String::clone);
        let [who, action, target] = plain;
        vec![entry.time.to_string(), who, action, target, outcome.to_owned(), detail]
    }));
    output::columns(&rows, &[])
}
