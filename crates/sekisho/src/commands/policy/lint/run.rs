//! Reads files, finds mistakes, and mends what can be mended by rote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use sekisho_api::PolicyFile;
use sekisho_manifest::Object;
use sekisho_policy::Dialect;
use sekisho_policy::lint::{self, Code, Edit, Finding, LintInput, Linted, Severity, Unchecked};

use super::{forms, junit, sarif};
use crate::commands::{input, output};
use crate::exit::Exit;

/// Times that fixes are made and the files read again: one fix may uncover another.
const ROUNDS_MAX: usize = 5;

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Objects and policies: files or folders; `-` is standard input.
    #[arg(short = 'f', required_unless_present_any = ["explain", "list"], value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// Mildest finding that makes the exit code 1: error, warning or note.
    #[arg(long, default_value = "warning", value_name = "SEVERITY")]
    fail_on: Severity,
    /// Only findings of these codes (SK101 or selects-nothing).
    #[arg(long, value_delimiter = ',', value_parser = code, value_name = "CODE")]
    only: Vec<&'static Code>,
    /// No findings of these codes.
    #[arg(long, value_delimiter = ',', value_parser = code, value_name = "CODE")]
    skip: Vec<&'static Code>,
    /// Change the files where the fix is mechanical, and tell what is left.
    #[arg(long)]
    fix: bool,
    /// Tell what a code means, with an example and its fix.
    #[arg(long, value_parser = code, value_name = "CODE", conflicts_with = "list")]
    explain: Option<&'static Code>,
    /// List all codes.
    #[arg(long)]
    list: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = LintOutput::Table)]
    output: LintOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintOutput {
    /// For people.
    Table,
    /// One object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test reports.
    Junit,
    /// Markdown, for a comment on a pull request.
    Md,
}

fn code(text: &str) -> Result<&'static Code, String> {
    lint::find_code(text)
        .ok_or_else(|| "no such code; `sekisho policy lint --list` lists them".to_owned())
}

/// What is printed.
pub(super) struct Report<'r> {
    pub(super) findings: &'r [Finding],
    pub(super) files: &'r [PolicyFile],
    pub(super) fail_on: Severity,
    /// Findings that were mended.
    pub(super) fixed: usize,
    /// What was not looked at.
    pub(super) unchecked: &'r [Unchecked],
}

impl Report<'_> {
    /// The change that mends a finding, as a unified diff.
    pub(super) fn patch(&self, finding: &Finding) -> Option<String> {
        let name = finding.fix.edits.first().map(|edit| edit.file.as_str())?;
        let file = self.files.iter().find(|file| file.name == name)?;
        let shown = name.trim_start_matches("./").trim_start_matches('/');
        let diff = lint::unified_diff(shown, &file.text, &finding.fix.edits);
        (!diff.is_empty()).then_some(diff)
    }

    pub(super) fn text(&self, file: &str) -> Option<&str> {
        self.files.iter().find(|one| one.name == file).map(|one| one.text.as_str())
    }

    pub(super) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Lints; `Found` if there is a finding at or above the threshold, else `Partial` if something was
/// not looked at.
pub(crate) fn run(args: &LintArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    if let Some(code) = args.explain {
        output::print(&forms::explain(code))?;
        return Ok(Exit::Done);
    }
    if args.list {
        output::print(&forms::list(args.output))?;
        return Ok(Exit::Done);
    }
    let mut files = input::read(&args.files)?;
    let mut linted = find(&files, args, dialect)?;
    let mut fixed = 0;
    if args.fix {
        for _ in 0..ROUNDS_MAX {
            let before = linted.findings.len();
            if !mend(&mut files, &linted.findings)? {
                break;
            }
            linted = find(&files, args, dialect)?;
            fixed += before.saturating_sub(linted.findings.len());
        }
    }
    let Linted { findings, unchecked } = &linted;
    let report = Report { findings, files: &files, fail_on: args.fail_on, fixed, unchecked };
    match args.output {
        LintOutput::Table => output::print(&forms::table(&report, output::color()))?,
        LintOutput::Json => output::print_json(&forms::json(&report))?,
        LintOutput::Sarif => output::print_json(&sarif::report(&report))?,
        LintOutput::Junit => output::print(&junit::report(&report))?,
        LintOutput::Md => output::print(&forms::markdown(&report))?,
    }
    let is_bad = findings.iter().any(|finding| finding.severity >= args.fail_on);
    Ok(match (is_bad, unchecked.is_empty()) {
        (true, _) => Exit::Found,
        (false, true) => Exit::Done,
        (false, false) => Exit::Partial,
    })
}

fn find(files: &[PolicyFile], args: &LintArgs, dialect: Option<Dialect>) -> anyhow::Result<Linted> {
    let objects = objects(files)?;
    let texts: Vec<(&str, &str)> =
        files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect();
    let dialect = dialect.unwrap_or_default();
    let mut linted = lint::lint(LintInput { objects: &objects, files: &texts, dialect });
    let is_wanted = |code: &&'static Code| {
        (args.only.is_empty() || args.only.contains(code)) && !args.skip.contains(code)
    };
    linted.findings.retain(|finding| is_wanted(&finding.code));
    linted.unchecked.retain(|left| left.codes.is_empty() || left.codes.iter().any(is_wanted));
    Ok(linted)
}

fn objects(files: &[PolicyFile]) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        let reading = sekisho_manifest::read(&file.name, &file.text);
        wrong.extend(reading.errors.iter().map(input::sentence));
        for refusal in &reading.refusals {
            output::note(&format!("warning: {}", input::sentence(refusal)));
        }
        objects.extend(reading.objects);
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(objects)
}

/// Makes the edits of all findings; false if there is none.
fn mend(files: &mut [PolicyFile], findings: &[Finding]) -> anyhow::Result<bool> {
    let mut edits: BTreeMap<&str, Vec<Edit>> = BTreeMap::new();
    for edit in findings.iter().flat_map(|finding| &finding.fix.edits) {
        edits.entry(edit.file.as_str()).or_default().push(edit.clone());
    }
    let mut changed = false;
    for file in files {
        let Some(edits) = edits.get(file.name.as_str()) else { continue };
        let text = lint::apply(&file.text, edits);
        if text == file.text {
            continue;
        }
        let path = Path::new(&file.name);
        if !path.is_file() {
            bail!("`{}` is no file that could be changed: leave out --fix", file.name);
        }
        std::fs::write(path, &text).with_context(|| format!("write `{}`", file.name))?;
        output::note(&format!("changed {}", file.name));
        file.text = text;
        changed = true;
    }
    Ok(changed)
}
