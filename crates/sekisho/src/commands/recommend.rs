//! `sekisho recommend`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use sekisho_model::{EdgeKey, Party, PartyKind};
use sekisho_recommend::catalogue::{CATALOGUE, Entry, Parameter, Preset};
use sekisho_recommend::{Choices, Proposal, Scope, TemplateId};
use serde_json::Value;

use super::{history, output};
use crate::cli::{RecommendArgs, YamlOrJson};
use crate::exit::Exit;
use crate::pipeline;

/// Values of a parameter in its table; the rest is counted.
const SEEN_SHOWN: usize = 6;
/// File of what is of no namespace: no namespace has such a name.
const CLUSTER_FILE: &str = "_cluster";

/// Prints or writes the proposal; `Partial` if the history behind it is empty or has gaps.
pub(crate) fn run(args: &RecommendArgs) -> anyhow::Result<Exit> {
    if args.list_templates && args.template.is_none() {
        return list(args.output);
    }
    // A template that is not there is told before history is fetched.
    let name = args.template.as_deref().unwrap_or("least-privilege");
    let id = TemplateId::named(name)?;
    let now = history::now();
    let history = history::load(&args.history, args.history.range(now))?;
    if args.list_templates {
        let choices = Choices::new(&history.rows, &history.cluster, None);
        let label = args.set.iter().find(|(key, _)| key == "label");
        let choices = choices.json(label.map(|(_, value)| value.as_str()));
        return describe(id.entry(), &choices, args.output);
    }
    let namespaces = (!args.namespace.is_empty()).then(|| args.namespace.iter().cloned().collect());
    let scope = Scope { namespaces, workload: args.workload.clone() };
    if let Some(folder) = &args.amend {
        let write = args.write.as_deref();
        let options = super::amend::Options { scope, write, include_denied: args.include_denied };
        return super::amend::run(folder, &history, &options);
    }
    let template = pipeline::template(&history, None, (name, &args.set), now)?;
    let proposal = pipeline::propose(&history, scope, template);
    match &args.write {
        Some(folder) => write(&proposal, folder, args.history.store.as_deref())?,
        None => output::print(&match args.output {
            YamlOrJson::Yaml => sekisho_recommend::yaml(&proposal),
            YamlOrJson::Json => sekisho_recommend::json(&proposal),
        })?,
    }
    if history.rows.is_empty() {
        output::note("no history in this window: nothing was watched, so nothing is recommended");
        return Ok(Exit::Partial);
    }
    if !history.rows.iter().any(|row| has_subject(&row.key)) {
        output::note(
            "no pod and no host is known in this window, so there is nobody to write a policy for: \
             --inventory says who has which address",
        );
    }
    Ok(history::whole_or_partial(&history))
}

/// Whether an end is something that policies select.
fn has_subject(key: &EdgeKey) -> bool {
    let is_subject = |party: &Party| matches!(party.kind, PartyKind::Pod | PartyKind::Host);
    is_subject(&key.source) || is_subject(&key.destination)
}

/// The catalogue: one line for each template.
fn list(form: YamlOrJson) -> anyhow::Result<Exit> {
    match form {
        YamlOrJson::Json => output::print_json(&Choices::default().json(None))?,
        YamlOrJson::Yaml => {
            let head = ["TEMPLATE", "FOR", "WHAT"].map(str::to_owned).to_vec();
            let row = |entry: &Entry| {
                [entry.name, entry.purpose.as_str(), entry.what].map(str::to_owned).to_vec()
            };
            let rows: Vec<Vec<String>> =
                std::iter::once(head).chain(CATALOGUE.iter().map(row)).collect();
            output::print(&output::columns(&rows, &[]))?;
        }
    }
    Ok(Exit::Done)
}

/// One template: what it asks, and what of that was seen.
fn describe(entry: &Entry, choices: &Value, form: YamlOrJson) -> anyhow::Result<Exit> {
    let own = choices.as_array().into_iter().flatten().find(|one| one["name"] == entry.name);
    let own = own.unwrap_or(&Value::Null);
    if form == YamlOrJson::Json {
        output::print_json(own)?;
        return Ok(Exit::Done);
    }
    let mut text = format!("{}: {}\nmakes {}\n", entry.name, entry.what, entry.makes);
    if !entry.parameters.is_empty() {
        let head = ["PARAMETER", "IF ABSENT", "MEANING", "SEEN"].map(str::to_owned).to_vec();
        let asked = own["parameters"].as_array().into_iter().flatten();
        let rows = entry.parameters.iter().zip(asked).map(|(parameter, own)| row(parameter, own));
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        text.push_str(&format!("\n{}", output::columns(&rows, &[])));
    }
    if !entry.not_native.is_empty() {
        text.push_str("\nNetworkPolicy cannot say:\n");
        for (what, instead) in entry.not_native {
            text.push_str(&format!("  {what}\n    instead: {instead}\n"));
        }
    }
    output::print(&text)?;
    Ok(Exit::Done)
}

/// One parameter: name, what holds without it, what it means, values that were seen.
fn row(parameter: &Parameter, own: &Value) -> Vec<String> {
    let absent = match (own["default"].as_str(), parameter.preset) {
        (Some(value), _) => value.to_owned(),
        (None, Preset::Otherwise(words)) => words.to_owned(),
        (None, Preset::Needed | Preset::Value(_) | Preset::FirstOf(_)) => {
            "must be given".to_owned()
        }
    };
    let choices: Vec<&str> =
        own["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let shown = choices.iter().take(SEEN_SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more = choices.len().saturating_sub(SEEN_SHOWN);
    let more = more + own["more"].as_u64().and_then(|more| usize::try_from(more).ok()).unwrap_or(0);
    let seen = if more == 0 { shown } else { format!("{shown} and {more} more") };
    vec![parameter.name.to_owned(), absent, parameter.what.to_owned(), seen]
}

/// Writes one file per namespace, so that a pull request reads well.
fn write(proposal: &Proposal, folder: &Path, store: Option<&Path>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let all = proposal.all();
    let mut namespaces: BTreeSet<&str> =
        all.iter().map(|policy| policy.meta.namespace.as_str()).collect();
    if !proposal.cluster_policies.is_empty() {
        namespaces.insert(CLUSTER_FILE);
    }
    for namespace in &namespaces {
        let path = folder.join(format!("{namespace}.yaml"));
        let draft = folder.join(format!(".{namespace}.yaml.tmp"));
        let text = sekisho_recommend::yaml(&of_namespace(proposal, namespace));
        // Never half a policy: somebody's `apply` may read the folder now.
        std::fs::write(&draft, text).with_context(|| format!("write `{}`", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("write `{}`", path.display()))?;
    }
    let store = store.map_or_else(String::new, |store| format!(" --store {}", store.display()));
    let folder = folder.display();
    let next = match namespaces.is_empty() {
        true => String::new(),
        false => format!("next: sekisho verify{store} -f {folder}\n"),
    };
    output::print(&format!(
        "{} in {} in {folder}\n{next}",
        output::count(all.len() + proposal.cluster_policies.len(), "policy", "policies"),
        output::count(namespaces.len(), "file", "files"),
    ))
}

/// The part of a proposal that speaks about one namespace.
fn of_namespace(proposal: &Proposal, namespace: &str) -> Proposal {
    let mut part = proposal.clone();
    part.default_deny.retain(|policy| policy.meta.namespace == namespace);
    part.policies.retain(|policy| policy.policy.meta.namespace == namespace);
    if namespace != CLUSTER_FILE {
        part.cluster_policies.clear();
        part.notes.retain(|note| note.subject.split('/').next() == Some(namespace));
    }
    part
}
