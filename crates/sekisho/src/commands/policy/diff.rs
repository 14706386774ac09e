//! `sekisho policy diff`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use sekisho_policy::Dialect;
use sekisho_policy::list::{DiffForm, Listing, PolicyDiff, Scope, npguard};

use crate::commands::{input, output};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Objects and policies before, then after: two files or folders; one may be `-`.
    #[arg(short = 'f', required = true, value_name = "OLD -f NEW")]
    files: Vec<PathBuf>,
    /// What the npguard forms call the two sides.
    #[arg(long, value_name = "OLD,NEW", value_delimiter = ',', default_value = "ref1,ref2")]
    names: Vec<String>,
    /// Form of the answer; md is a comment for a pull request, those of npguard are, word for word,
    /// what np-guard/netpol-analyzer prints.
    #[arg(short, long, value_enum, default_value_t = DiffOutput::Table)]
    output: DiffOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DiffOutput {
    Table,
    Json,
    Csv,
    Md,
    NpguardTxt,
    NpguardCsv,
    NpguardMd,
}

/// Compares what two sets of files allow; `Found` if they differ.
pub(crate) fn run(args: &DiffArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let [before, after] = args.files.as_slice() else {
        bail!("give two sets of files: -f OLD -f NEW");
    };
    let [old, new] = args.names.as_slice() else {
        bail!("--names takes two names, as in `--names before,after`");
    };
    let form = match args.output {
        DiffOutput::Table => DiffForm::Table,
        DiffOutput::Json => DiffForm::Json,
        DiffOutput::Csv => DiffForm::Csv,
        DiffOutput::Md => DiffForm::Markdown,
        DiffOutput::NpguardTxt => DiffForm::NpGuardText(old, new),
        DiffOutput::NpguardCsv => DiffForm::NpGuardCsv(old, new),
        DiffOutput::NpguardMd => DiffForm::NpGuardMarkdown(old, new),
    };
    let as_npguard = match form {
        DiffForm::NpGuardText(..) | DiffForm::NpGuardCsv(..) | DiffForm::NpGuardMarkdown(..) => {
            true
        }
        DiffForm::Table | DiffForm::Json | DiffForm::Markdown | DiffForm::Csv => {
            dialect == Some(Dialect::NpGuard)
        }
    };
    let list = |path: &PathBuf| -> anyhow::Result<Listing> {
        let objects = input::lenient(std::slice::from_ref(path))?;
        let scope = Scope::default();
        Ok(if as_npguard {
            npguard::list(&objects, dialect.unwrap_or(Dialect::NpGuard), &scope)?
        } else {
            Listing::of_objects(&objects, dialect.unwrap_or_default(), &scope)?
        })
    };
    let diff = PolicyDiff::new(&list(before)?, &list(after)?);
    output::print(&diff.print(form))?;
    Ok(if diff.is_empty() { Exit::Done } else { Exit::Found })
}
