//! `sekisho recommend`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use sekisho_recommend::{Proposal, Scope, Template};

use super::{history, output};
use crate::cli::{RecommendArgs, TemplateName, YamlOrJson};
use crate::exit::Exit;
use crate::pipeline;

/// Prints or writes the proposal; `Partial` if the history behind it is empty or has gaps.
pub(crate) fn run(args: &RecommendArgs) -> anyhow::Result<Exit> {
    let history = history::load(&args.history, args.history.range(history::now()))?;
    let namespaces = (!args.namespace.is_empty()).then(|| args.namespace.iter().cloned().collect());
    let scope = Scope { namespaces, workload: args.workload.clone() };
    if let Some(folder) = &args.amend {
        let write = args.write.as_deref();
        let options = super::amend::Options { scope, write, include_denied: args.include_denied };
        return super::amend::run(folder, &history, &options);
    }
    let template = match args.template {
        TemplateName::LeastPrivilege => Template::LeastPrivilege,
        TemplateName::RingFenceNamespace => Template::RingFenceNamespace,
        TemplateName::RingFenceApplication => {
            Template::RingFenceApplication { label: args.application_label.clone() }
        }
    };
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
    Ok(history::whole_or_partial(&history))
}

/// Writes one file per namespace, so that a pull request reads well.
fn write(proposal: &Proposal, folder: &Path, store: Option<&Path>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    let all = proposal.all();
    let namespaces: BTreeSet<&str> =
        all.iter().map(|policy| policy.meta.namespace.as_str()).collect();
    for namespace in &namespaces {
        let path = folder.join(format!("{namespace}.yaml"));
        let draft = folder.join(format!(".{namespace}.yaml.tmp"));
        let text = sekisho_recommend::yaml(&of_namespace(proposal, namespace));
        // Never half a policy: somebody's `apply` may read the folder now.
        std::fs::write(&draft, text).with_context(|| format!("write `{}`", draft.display()))?;
        std::fs::rename(&draft, &path).with_context(|| format!("write `{}`", path.display()))?;
    }
    let store = store.map_or_else(String::new, |store| format!(" --store {}", store.display()));
    output::print(&format!(
        "{} in {} in {folder}\nnext: sekisho verify{store} -f {folder}\n",
        output::count(all.len(), "policy", "policies"),
        output::count(namespaces.len(), "file", "files"),
        folder = folder.display(),
    ))
}

/// The part of a proposal that speaks about one namespace.
fn of_namespace(proposal: &Proposal, namespace: &str) -> Proposal {
    let mut part = proposal.clone();
    part.default_deny.retain(|policy| policy.meta.namespace == namespace);
    part.policies.retain(|policy| policy.policy.meta.namespace == namespace);
    part.notes.retain(|note| note.subject.split('/').next() == Some(namespace));
    part
}
