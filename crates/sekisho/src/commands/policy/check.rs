//! `sekisho policy check`.

use std::path::PathBuf;

use clap::Args;
use sekisho_manifest::Object;

use crate::commands::{input, output};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files or folders; `-` is standard input.
    #[arg(short = 'f', required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
}

/// Reads objects as strictly as an API server does.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let objects = input::objects(&args.files)?;
    let unknown = objects.iter().filter(|object| matches!(object, Object::Other(_))).count();
    output::print(&format!(
        "{} objects read, {unknown} of kinds that Sekisho does not use\n",
        objects.len()
    ))?;
    Ok(Exit::Done)
}
