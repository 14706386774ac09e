//! Recommend, ask what-if, put in force, go back; and what is in force.

use std::collections::BTreeSet;

use bytes::Bytes;
use sekisho_api::{
    Account, ApplyQuestion, ApplyRequest, ApplyResponse, DatapathMode, DriftReport,
    RecommendQuestion, Refusal, Revision, RollbackQuestion, RollbackRequest, TemplatesQuestion,
    WhatIfQuestion,
};
use sekisho_manifest::{Meta, Object, print_policy, print_tier_policy};
use sekisho_model::{ClusterName, Timestamp};
use sekisho_policy::RuleSet;
use sekisho_recommend::{Choices, Scope};
use sekisho_verify::{EdgeClass, Limits, Summary, WhatIfReport};
use serde::Serialize;

use super::scope::{owns, whole};
use crate::approvals::{Approval, approval};
use crate::pipeline;
use crate::server::fleet::Fleet;
use crate::server::policies::read_objects;
use crate::server::problems::expiry;
use crate::server::service::now;

/// A revision, without its policies.
#[derive(Debug, Serialize)]
pub(super) struct Past {
    cluster: ClusterName,
    revision: u64,
    time: Timestamp,
    mode: DatapathMode,
    operator: String,
    restores: Option<u64>,
    /// Policies in it; 0 = none, everything is allowed.
    policies: usize,
    /// What the replay said when it was verified.
    summary: Option<Summary>,
    /// Whether it is in force, or staged, now.
    current: bool,
}

/// A policy that the server has in force or staged.
#[derive(Debug, Serialize)]
pub(super) struct PolicyView {
    namespace: String,
    name: String,
    kind: String,
    /// `enforced` or `staged`.
    state: &'static str,
    /// As it can be applied; None for kinds of vendors.
    yaml: Option<String>,
    /// When it ends, as a template wrote it; nothing takes it away by itself.
    expires: Option<Timestamp>,
    /// Who put it in force, or staged it, in its present form.
    approved: Option<Approval>,
    /// How it differs from that in the cluster; None = not at all, or nobody compares.
    drift: Option<DriftReport>,
}

impl Fleet {
    /// A recommendation.
    pub(super) fn recommend(
        &self,
        account: &Account,
        of: &RecommendQuestion,
    ) -> Result<Bytes, Refusal> {
        let history = self.seen(account, of.cluster.as_ref(), of.range)?;
        let wanted = (!of.namespaces.is_empty()).then(|| of.namespaces.clone());
        let namespaces = match (wanted, &account.namespaces) {
            (wanted, None) => wanted,
            (None, Some(own)) => Some(own.clone()),
            (Some(wanted), Some(own)) => {
                Some(wanted.intersection(own).cloned().collect::<BTreeSet<_>>())
            }
        };
        let own = account.namespaces.as_ref();
        let asked = (of.template.as_str(), of.settings.as_slice());
        let template = pipeline::template(&history, own, asked, now());
        let template = template.map_err(|error| Refusal::Invalid(error.to_string()))?;
        let scope = Scope { namespaces, workload: of.workload.clone() };
        let proposal = pipeline::propose(&history, scope, template);
        Ok(Bytes::from(match of.yaml {
            true => sekisho_recommend::yaml(&proposal),
            false => sekisho_recommend::json(&proposal),
        }))
    }

    /// The templates there are, and what the account can choose for them.
    pub(super) fn templates(
        &self,
        account: &Account,
        of: &TemplatesQuestion,
    ) -> Result<serde_json::Value, Refusal> {
        let history = self.seen(account, of.cluster.as_ref(), of.range)?;
        let own = account.namespaces.as_ref();
        Ok(Choices::new(&history.rows, &history.cluster, own).json(of.label.as_deref()))
    }

    /// What policies would have done.
    pub(super) fn what_if(
        &self,
        account: &Account,
        of: &WhatIfQuestion,
    ) -> Result<WhatIfReport, Refusal> {
        let objects = read_objects(&of.files)?;
        self.may_change(account, of, &objects)?;
        let history = self.seen(account, of.cluster.as_ref(), of.range)?;
        let current = history.current.clone();
        let none = RuleSet::default();
        let kept = if of.prune { &none } else { &current };
        if RuleSet::from_objects(&objects, current.dialect()).is_empty() && !of.prune {
            let text = "no policy in the given files: nothing to verify".to_owned();
            return Err(Refusal::Invalid(text));
        }
        let proposed = pipeline::proposed(&history, kept, objects);
        let limits = Limits { would_block: 0, uncertain: 0 };
        let rules = (&current, &proposed);
        Ok(pipeline::what_if(&history, rules, &[], limits, of.unchanged_max).report)
    }

    /// An account of some namespaces changes policies of these only, and never ends others.
    fn may_change(
        &self,
        account: &Account,
        of: &WhatIfQuestion,
        objects: &[Object],
    ) -> Result<(), Refusal> {
        if of.prune {
            whole(account, "ending the policies that are not given")?;
        }
        owns(account, objects)
    }

    /// Stages or applies policies.
    pub(super) fn put(
        &self,
        account: &Account,
        of: &ApplyQuestion,
        mode: DatapathMode,
    ) -> Result<ApplyResponse, Refusal> {
        let what_if = &of.what_if;
        let objects = read_objects(&what_if.files)?;
        self.may_change(account, what_if, &objects)?;
        let response = self.audited_apply(ApplyRequest {
            cluster: what_if.cluster.clone(),
            files: what_if.files.clone(),
            prune: what_if.prune,
            mode,
            cut: of.cut,
            range: what_if.range,
            accepted: of.accept.clone(),
            would_block_max: of.max_would_block,
            uncertain_max: of.max_uncertain,
            allow_partial: of.allow_partial,
            operator: account.name.clone(),
        })?;
        Ok(seen(account, response, what_if.unchanged_max))
    }

    /// Goes back.
    pub(super) fn go_back(
        &self,
        account: &Account,
        of: &RollbackQuestion,
    ) -> Result<ApplyResponse, Refusal> {
        whole(account, "a revision")?;
        self.audited_rollback(RollbackRequest {
            cluster: of.cluster.clone(),
            revision: of.revision,
            repair: false,
            operator: account.name.clone(),
        })
    }

    /// All revisions, newest first.
    pub(super) fn past(
        &self,
        account: &Account,
        cluster: Option<&ClusterName>,
    ) -> Result<Vec<Past>, Refusal> {
        whole(account, "the list of revisions")?;
        let core = self.pick(cluster)?.core();
        let (enforced, staged) = (core.enforced(), core.staged());
        let all = core.revisions.all().into_iter().rev();
        Ok(all.map(|revision| past(revision, enforced, staged)).collect())
    }

    /// Policies in force and staged.
    pub(super) fn policies(
        &self,
        account: &Account,
        cluster: Option<&ClusterName>,
    ) -> Result<Vec<PolicyView>, Refusal> {
        let member = self.pick(cluster)?;
        // Before the core is locked: whoever judges flows locks these the other way round.
        let drift = member.native().map(|native| native.status().drift).unwrap_or_default();
        let core = member.core();
        let mut found = Vec::new();
        for (mode, state) in [(DatapathMode::Enforce, "enforced"), (DatapathMode::Audit, "staged")]
        {
            let rules = core.revisions.rules(mode);
            let view = |meta: &Meta, kind: &str, yaml: Option<String>| {
                let named = (kind, meta.namespace.as_str(), meta.name.as_str());
                let object = match meta.namespace.as_str() {
                    "" => format!("{kind} {}", meta.name),
                    namespace => format!("{kind} {namespace}/{}", meta.name),
                };
                let is_it = |one: &&DriftReport| state == "enforced" && one.object == object;
                PolicyView {
                    namespace: meta.namespace.clone(),
                    name: meta.name.clone(),
                    kind: kind.to_owned(),
                    state,
                    yaml,
                    expires: expiry(meta),
                    approved: approval(core.revisions.iter(), mode, named),
                    drift: drift.iter().find(is_it).cloned(),
                }
            };
            let native = rules.policies().iter().filter(|one| account.has(&one.meta.namespace));
            found.extend(
                native.map(|one| view(&one.meta, "NetworkPolicy", Some(print_policy(one)))),
            );
            let others = rules.others().iter().filter(|one| account.has(&one.meta().namespace));
            found.extend(others.map(|one| view(one.meta(), one.kind(), yaml(one))));
        }
        Ok(found)
    }
}

/// A policy of the whole cluster as it can be applied.
fn yaml(object: &Object) -> Option<String> {
    match object {
        Object::TierPolicy(policy) => Some(print_tier_policy(policy)),
        _of_vendors => None,
    }
}

fn past(revision: Revision, enforced: u64, staged: u64) -> Past {
    let record = revision.record.as_ref();
    Past {
        policies: record.map_or(0, |record| record.policies.len() + record.others.len()),
        summary: record.map(|record| record.summary),
        current: [enforced, staged].contains(&revision.revision),
        cluster: revision.cluster,
        revision: revision.revision,
        time: revision.time,
        mode: revision.mode,
        operator: revision.operator,
        restores: revision.restores,
    }
}

/// What an account may see of the answer: edges of others are counted and not named, and so are
/// unchanged ones beyond the first so many.
fn seen(account: &Account, mut response: ApplyResponse, unchanged_max: u64) -> ApplyResponse {
    let Some(report) = &mut response.report else { return response };
    if account.namespaces.is_some() {
        let namespace = |id: &str| id.split_once('/').map_or("", |(own, _)| own).to_owned();
        report.edges.retain(|edge| {
            account.has(&namespace(&edge.source)) || account.has(&namespace(&edge.destination))
        });
    }
    let mut unchanged = 0;
    report.edges.retain(|edge| {
        unchanged += u64::from(edge.class == EdgeClass::Unchanged);
        edge.class != EdgeClass::Unchanged || unchanged <= unchanged_max
    });
    response
}
