//! All files, one after the other.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use sekisho_exchange::{Listed, is_list, read_list};
use sekisho_manifest::Object;

use super::args::ImportArgs;
use super::report;
use super::source::Source;
use crate::cli::TableOrJson;
use crate::commands::{input, output};
use crate::exit::Exit;
use crate::server::ImportFolder;

/// Imports all files; `Partial` if anything was not understood or is said to be lost.
pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<Exit> {
    let (objects, listed) = inventory(&args.inventory)?;
    // All sources are looked at before anything is written.
    let mut sources = Vec::new();
    for path in &args.files {
        sources.push(Source::open(path, args.format)?);
    }
    let mut folder = ImportFolder::open(&args.store, &args.cluster)?;
    if !objects.is_empty() || !listed.is_empty() {
        folder.add_objects(&objects, &listed)?;
    }
    let mut outcomes = Vec::new();
    for source in sources {
        let name = source.name().to_owned();
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

/// Objects of the cluster, and lists of networks and machines, by what the files hold.
fn inventory(paths: &[PathBuf]) -> anyhow::Result<(Vec<Object>, Vec<Listed>)> {
    if paths.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (lists, objects): (Vec<_>, Vec<_>) =
        input::read(paths)?.into_iter().partition(|file| is_list(&file.text));
    let mut listed = Vec::new();
    for file in &lists {
        let read = read_list(&file.text).map_err(|error| anyhow!("`{}`: {error}", file.name))?;
        listed.extend(read);
    }
    Ok((input::parse(&objects)?, listed))
}
