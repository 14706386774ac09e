//! `sekisho policy hits`: what of history each rule let through.

use std::path::PathBuf;

use clap::Args;
use sekisho_api::{DatapathMode, Revision};
use sekisho_model::Timestamp;
use sekisho_policy::{Dialect, PolicyName, RuleSet};

use crate::approvals::approval;
use crate::cli::{HistoryArgs, TableOrJson};
use crate::commands::{history, input, output};
use crate::exit::Exit;
use crate::pipeline;
use crate::rule_hits::{EffectWord, Other, PolicyHits, RuleHits, RuleUse, State, rule_hits};

/// Whose rules.
#[derive(Debug, Args)]
pub(crate) struct HitsArgs {
    /// Policies: files or folders, `-` is standard input; those in force and staged if absent.
    #[arg(short = 'f', value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Only policies of these namespaces.
    #[arg(short, long, value_name = "NS")]
    namespace: Vec<String>,
    /// Only rules that nothing used, or that others make needless; exit code 1: there are some.
    #[arg(long)]
    unused: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    output: TableOrJson,
}

/// Prints each rule with its hits; `Partial` if the history behind them has gaps.
pub(crate) fn run(args: &HitsArgs, dialect: Option<Dialect>) -> anyhow::Result<Exit> {
    let range = args.history.range(history::now());
    let history = history::load(&args.history, range)?;
    let read = |rules: RuleSet| dialect.map_or(rules.clone(), |dialect| rules.in_dialect(dialect));
    let mut revisions: Vec<Revision> = Vec::new();
    let (mut enforced, mut staged) = (history.current.clone(), RuleSet::default());
    if !args.files.is_empty() {
        let objects = input::objects(&args.files)?;
        let none = RuleSet::default().in_dialect(dialect.unwrap_or_default());
        enforced = pipeline::proposed(&history, &none, objects);
        if enforced.is_empty() {
            anyhow::bail!("the files hold no policy");
        }
    } else if args.history.store.is_none() {
        let client = args.history.server.connect()?;
        revisions = history::call(client.revisions(args.history.cluster.as_ref()))?;
        let is_staged = |one: &&Revision| one.mode == DatapathMode::Audit;
        let newest = revisions.iter().rev().find(is_staged).and_then(|one| one.record.as_ref());
        staged = newest.map(sekisho_verify::VerifiedRecord::rules).unwrap_or_default();
    }
    let is_asked = |policy: &PolicyName| {
        args.namespace.is_empty() || args.namespace.contains(&policy.namespace)
    };
    let since = |state: State, policy: &PolicyName| -> Option<Timestamp> {
        let mode = match state {
            State::Enforced => DatapathMode::Enforce,
            State::Staged => DatapathMode::Audit,
        };
        let named = (policy.kind.as_str(), policy.namespace.as_str(), policy.name.as_str());
        approval(revisions.iter(), mode, named).map(|approval| approval.time)
    };
    let sets = (&read(enforced), &read(staged));
    let mut found = rule_hits(&history, sets, &is_asked, &since);
    if args.unused {
        for policy in &mut found.policies {
            policy.rules.retain(is_needless);
            policy.isolates.clear();
        }
        found.policies.retain(|policy| !policy.rules.is_empty());
    }
    match args.output {
        TableOrJson::Table => output::print(&table(&found))?,
        TableOrJson::Json => output::print_json(&found)?,
    }
    if args.unused && !found.policies.is_empty() {
        return Ok(Exit::Found);
    }
    Ok(history::whole_or_partial(&history))
}

fn is_needless(rule: &RuleUse) -> bool {
    use crate::rule_hits::EffectWord::{MatchesNothing, Needed, SelectsNothing, Shadowed, Unknown};
    rule.used.unused
        || match rule.effect {
            SelectsNothing | MatchesNothing | Shadowed => true,
            Needed | Unknown => false,
        }
}

fn table(found: &RuleHits) -> String {
    let RuleHits { window, completeness, .. } = found;
    let mut text = format!(
        "{} to {}, {:.1} % complete: what is unused here may be used outside of this window\n\n",
        window.from,
        window.to,
        (completeness * 1_000.0).floor() / 10.0
    );
    let head = [
        "POLICY",
        "STATE",
        "RULE",
        "CONNECTIONS",
        "ALONE",
        "UNCERTAIN",
        "LAST SEEN",
        "WITHOUT IT",
        "WHAT",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(found.policies.iter().flat_map(of_policy));
    text.push_str(&output::columns(&rows, &[false, false, false, true, true, true]));
    if let Some(why) = &found.shadows_left_out {
        text.push_str(&format!("shadowed rules were not looked for: {why}\n"));
    }
    text
}

fn of_policy(policy: &PolicyHits) -> Vec<Vec<String>> {
    let name = match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    let last = |seen: Option<Timestamp>| seen.map_or("never".to_owned(), |seen| seen.to_string());
    let rules = policy.rules.iter().map(|rule| {
        let used = &rule.used;
        vec![
            name.clone(),
            policy.state.as_str().to_owned(),
            format!("{}[{}]", rule.direction, rule.index),
            used.connections.to_string(),
            used.alone.to_string(),
            used.uncertain.to_string(),
            last(used.last_seen),
            without(rule),
            sekisho_base::harmless(&rule.words),
        ]
    });
    let isolates = policy.isolates.iter().filter(|one| !one.used.unused).map(|one| {
        vec![
            name.clone(),
            policy.state.as_str().to_owned(),
            format!("{} -", one.direction),
            one.used.connections.to_string(),
            one.used.alone.to_string(),
            one.used.uncertain.to_string(),
            last(one.used.last_seen),
            String::new(),
            "denied: no rule allows".to_owned(),
        ]
    });
    rules.chain(isolates).collect()
}

/// What would be otherwise without the rule.
fn without(rule: &RuleUse) -> String {
    let by = |other: &Other| match other.index {
        Some(index) => format!("{} {}[{index}]", other.name, other.direction),
        None => other.name.clone(),
    };
    match rule.shadowed_by.is_empty() {
        true if rule.effect == EffectWord::Shadowed => "nothing: allowed anyway".to_owned(),
        true => rule.effect.as_str().to_owned(),
        false => {
            let all: Vec<String> = rule.shadowed_by.iter().map(by).collect();
            format!("nothing: {}", all.join(", "))
        }
    }
}
