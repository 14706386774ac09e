//! All files, one after the other.

use anyhow::Context;

use super::args::ImportArgs;
use super::report;
use super::source::Source;
use crate::cli::TableOrJson;
use crate::commands::{input, output};
use crate::exit::Exit;
use crate::server::ImportFolder;

/// Imports all files; `Partial` if anything was not understood or is said to be lost.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<Exit> {
    let objects = match args.inventory.as_slice() {
        [] => Vec::new(),
        files => input::objects(files)?,
    };
    // All sources are looked at before anything is written.
    let mut sources = Vec::new();
    for path in &args.files {
        sources.push(Source::open(path, args.format)?);
    }
    let mut folder = ImportFolder::open(&args.store)?;
    if !objects.is_empty() {
        folder.add_objects(&objects)?;
    }
    let mut outcomes = Vec::new();
    for source in sources {
        let name = source.name.clone();
        let outcome = source
            .import(&mut folder, args.commit_lines)
            .with_context(|| format!("import `{name}`"))?;
        outcomes.push(outcome);
    }
    let text = match args.output {
        TableOrJson::Table => report::table(&outcomes, &folder, &args.store),
        TableOrJson::Json => {
            let mut text = serde_json::to_string_pretty(&report::as_json(&outcomes, &folder))
                .context("encode the answer")?;
            text.push('\n');
            text
        }
    };
    output::print(&text)?;
    let whole = outcomes.iter().all(|one| one.tally.rejected_sum() == 0 && one.tally.lost == 0);
    Ok(if whole { Exit::Done } else { Exit::Partial })
}
