//! `sekisho policy compare`: which of two sets of policies allows more.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use sekisho_manifest::Object;
use sekisho_policy::{Cluster, Comparison, Dialect, Relation, RuleSet, Witness};
use serde_json::{Value, json};

use crate::cli::TableOrJson;
use crate::commands::{input, output};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Two sets of policies, A and B: files or folders; one may be `-`. Both are asked about the
    /// workloads of both.
    #[arg(short = 'f', required = true, value_name = "A -f B")]
    files: Vec<PathBuf>,
    /// What must hold, else the exit code is 1.
    #[arg(long, value_enum, default_value_t = Expected::Equal)]
    expect: Expected,
    /// Ask only about the workloads in the files, not about pods that might come to be.
    #[arg(long)]
    only_given: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    output: TableOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    /// A and B allow the same.
    Equal,
    /// A allows nothing that B does not.
    Subset,
    /// A allows all that B does.
    Superset,
}

/// Compares; `Found` if what was expected does not hold.
pub(crate) fn run(args: &CompareArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let [a, b] = args.files.as_slice() else {
        bail!("give two sets of files: -f A -f B");
    };
    let a = input::lenient(std::slice::from_ref(a))?;
    let b = input::lenient(std::slice::from_ref(b))?;
    let dialect = dialect.unwrap_or_default();
    let sets = [&a, &b].map(|objects| RuleSet::from_objects(objects, dialect));
    let all: Vec<Object> = a.into_iter().chain(b).collect();
    let cluster = Cluster::from_objects(&all);
    let [first, second] = &sets;
    let found = sekisho_policy::compare(first, second, &cluster, !args.only_given);
    match args.output {
        TableOrJson::Table => output::print(&table(&found))?,
        TableOrJson::Json => output::print_json(&json_of(&found))?,
    }
    let holds = match args.expect {
        Expected::Equal => found.relation == Relation::Equal,
        Expected::Subset => matches!(found.relation, Relation::Equal | Relation::Subset),
        Expected::Superset => matches!(found.relation, Relation::Equal | Relation::Superset),
    };
    Ok(match (holds, found.complete) {
        (false, _) => Exit::Found,
        (true, true) => Exit::Done,
        (true, false) => Exit::Partial,
    })
}

fn table(found: &Comparison) -> String {
    let mut text = match found.relation {
        Relation::Equal => "A and B allow the same\n",
        Relation::Subset => "A allows a subset of what B allows\n",
        Relation::Superset => "A allows a superset of what B allows\n",
        Relation::Neither => "neither holds the other: each allows something of its own\n",
    }
    .to_owned();
    for (title, list, pairs) in [
        ("only A allows", &found.only_first, found.first_pairs),
        ("only B allows", &found.only_second, found.second_pairs),
    ] {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "\n{title} ({}):\n",
            output::count(usize::try_from(pairs).unwrap_or(usize::MAX), "pair", "pairs")
        ));
        for one in list {
            text.push_str(&format!("  {} -> {} {}\n", one.source, one.destination, one.ports));
        }
        let more = pairs.saturating_sub(u64::try_from(list.len()).unwrap_or(u64::MAX));
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
    }
    if !found.complete {
        text.push_str("\ntoo many selectors: not all pods that might exist were asked about\n");
    }
    text
}

fn json_of(found: &Comparison) -> Value {
    let list = |list: &[Witness]| -> Vec<Value> {
        list.iter()
            .map(|one| {
                json!({"source": one.source, "destination": one.destination,
                       "ports": one.ports.to_string()})
            })
            .collect()
    };
    json!({
        "relation": found.relation.as_str(),
        "complete": found.complete,
        "only_a": {"pairs": found.first_pairs, "witnesses": list(&found.only_first)},
        "only_b": {"pairs": found.second_pairs, "witnesses": list(&found.only_second)},
    })
}
