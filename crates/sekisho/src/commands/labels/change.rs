//! Changes: rules, tables, values by hand.

use std::path::Path;

use anyhow::{Context, bail};
use sekisho_api::{ImportReport, LabelChanges};

use super::args::{ImportArgs, RulesArgs, SetArgs};
use super::changed::changed;
use crate::cli::TableOrJson;
use crate::commands::apply::operator;
use crate::commands::connect::ServerArg;
use crate::commands::{history, output};
use crate::exit::{Exit, UNUSABLE};

/// Prints the rules, or replaces them.
pub(super) fn rules(args: &RulesArgs) -> anyhow::Result<Exit> {
    let client = args.server.connect()?;
    let Some(path) = &args.file else {
        let rules = history::call(client.label_rules())?;
        match args.output {
            TableOrJson::Json => output::print_json(&rules)?,
            TableOrJson::Table => output::print(&rules.rules)?,
        }
        return Ok(Exit::Done);
    };
    let text = read(path)?;
    let attempt = history::call(client.try_label_rules(&text))?;
    if !attempt.errors.is_empty() {
        if args.output == TableOrJson::Json {
            output::print_json(&attempt)?;
        }
        for error in &attempt.errors {
            output::note(&format!("{}:{error}", path.display()));
        }
        output::note("nothing was changed");
        return Ok(Exit::Program(UNUSABLE));
    }
    let changes = match args.dry_run {
        true => attempt,
        false => history::call(client.set_label_rules(&text, &operator()))?,
    };
    told(&changes, args.output)?;
    Ok(if args.dry_run && changes.changed > 0 { Exit::Found } else { Exit::Done })
}

/// Imports a table.
pub(super) fn import(args: &ImportArgs) -> anyhow::Result<Exit> {
    let text = read(&args.file)?;
    let stem = || args.file.file_stem().map(|name| name.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(stem).unwrap_or_default();
    let columns: std::collections::BTreeMap<_, _> = args.column.iter().cloned().collect();
    let table = serde_json::json!({
        "name": name,
        "text": text,
        "cluster": args.cluster,
        "key": args.key,
        "columns": columns,
        "partial": args.partial,
        "dry_run": args.dry_run,
    });
    let client = args.server.connect()?;
    let report = history::call(client.import_labels(&table, &operator()))
        .with_context(|| format!("import `{}`", args.file.display()))?;
    match args.output {
        TableOrJson::Json => output::print_json(&report)?,
        TableOrJson::Table => output::print(&told_import(args, &report))?,
    }
    let rejects = report.rejected_total > 0;
    Ok(match () {
        () if args.dry_run && !rejects && report.changes.changed > 0 => Exit::Found,
        () if args.dry_run && !rejects => Exit::Done,
        () if !report.kept => Exit::Program(UNUSABLE),
        () if rejects => Exit::Partial,
        () => Exit::Done,
    })
}

fn told_import(args: &ImportArgs, report: &ImportReport) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    for one in &report.rejected {
        let column =
            if one.column.is_empty() { String::new() } else { format!("{}: ", one.column) };
        line(format!("{}:{}: {column}{}", args.file.display(), one.line, one.reason));
    }
    for one in &report.unmatched {
        line(format!("{}:{}: {}: {}", args.file.display(), one.line, one.asset, one.reason));
    }
    if !report.ignored_columns.is_empty() {
        line(format!("columns that are no dimension: {}", report.ignored_columns.join(", ")));
    }
    line(format!(
        "{} values, {} of assets that are known, {} of none, {} of a name that several have; {} lines \
         rejected",
        report.rows, report.matched, report.unknown, report.ambiguous, report.rejected_total
    ));
    text.push_str(&changed(&report.changes));
    text.push_str(&match (report.kept, report.replaces) {
        (true, true) => format!("`{}` is kept in place of the one before\n", report.name),
        (true, false) => format!("`{}` is kept\n", report.name),
        (false, _) if args.dry_run => "nothing was changed: a dry run\n".to_owned(),
        (false, _) => {
            "nothing was changed: mend the lines, or keep the others with --partial\n".to_owned()
        }
    });
    text
}

/// Drops a table.
pub(super) fn drop_table(name: &str, server: &ServerArg) -> anyhow::Result<Exit> {
    let changes = history::call(server.connect()?.drop_label_import(name, &operator()))?;
    told(&changes, TableOrJson::Table)?;
    Ok(Exit::Done)
}

/// Says by hand what an asset is called.
pub(super) fn set(args: &SetArgs) -> anyhow::Result<Exit> {
    let (dimension, value) = &args.value;
    if dimension.is_empty() {
        bail!("`={value}` names no dimension");
    }
    let value = Some(value.as_str()).filter(|value| !value.is_empty());
    let client = args.server.connect()?;
    let asset = (args.cluster.as_ref(), args.asset.as_str());
    let who = operator();
    let changes = history::call(client.label_asset(asset, (dimension, value), &who))?;
    told(&changes, TableOrJson::Table)?;
    Ok(Exit::Done)
}

fn told(changes: &LabelChanges, form: TableOrJson) -> anyhow::Result<()> {
    match form {
        TableOrJson::Json => output::print_json(changes),
        TableOrJson::Table => output::print(&changed(changes)),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin());
        return text.context("read standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))
}
