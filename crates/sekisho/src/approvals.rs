//! Who put a policy in force as it is: the revision that brought its present text.

use sekisho_api::{DatapathMode, Revision};
use sekisho_manifest::{Meta, NetworkPolicy, Object, print_policy, print_tier_policy};
use sekisho_model::Timestamp;
use sekisho_verify::VerifiedRecord;
use serde::{Deserialize, Serialize};

/// The revision by which a policy became what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Approval {
    /// Number of the revision.
    pub(crate) revision: u64,
    /// When it was made.
    pub(crate) time: Timestamp,
    /// Who asked for it.
    pub(crate) operator: String,
}

/// A policy as people know it: kind as its object has it, namespace and name.
pub(crate) type Named<'a> = (&'a str, &'a str, &'a str);

/// Who put the policy in force (or staged it) in the form it has now; None if it is not there. It was
/// that in all revisions since, without a break. `revisions` are the oldest first.
pub(crate) fn approval<'r>(
    revisions: impl DoubleEndedIterator<Item = &'r Revision>,
    mode: DatapathMode,
    named: Named<'_>,
) -> Option<Approval> {
    let mut found: Option<(Form<'r>, &Revision)> = None;
    // From the newest back to where it was not there, or was something else.
    for revision in revisions.rev().filter(|revision| revision.mode == mode) {
        let form = revision.record.as_ref().and_then(|record| form(record, named));
        match (&found, form) {
            (None, Some(form)) => found = Some((form, revision)),
            (Some((known, _)), Some(form)) if known.is_like(form) => found = Some((form, revision)),
            (None | Some(_), _) => break,
        }
    }
    found.map(|(_, revision)| Approval {
        revision: revision.revision,
        time: revision.time,
        operator: revision.operator.clone(),
    })
}

/// A policy as it stands in a record.
#[derive(Clone, Copy)]
enum Form<'r> {
    Native(&'r NetworkPolicy),
    Other(&'r Object),
}

impl Form<'_> {
    /// Whether both say the same: where they stood in a file is no part of that.
    fn is_like(self, other: Form<'_>) -> bool {
        match (self, other) {
            (Form::Native(one), Form::Native(other)) => {
                one == other || print_policy(one) == print_policy(other)
            }
            (Form::Other(Object::TierPolicy(one)), Form::Other(Object::TierPolicy(other))) => {
                one == other || print_tier_policy(one) == print_tier_policy(other)
            }
            (Form::Other(one), Form::Other(other)) => one == other,
            (Form::Native(_), Form::Other(_)) | (Form::Other(_), Form::Native(_)) => false,
        }
    }
}

fn form<'r>(record: &'r VerifiedRecord, (kind, namespace, name): Named<'_>) -> Option<Form<'r>> {
    let is_it = |meta: &Meta| meta.namespace == namespace && meta.name == name;
    if kind == "NetworkPolicy" {
        let found = record.policies.iter().find(|policy| is_it(&policy.meta));
        return found.map(Form::Native);
    }
    let found = record.others.iter().find(|one| one.kind() == kind && is_it(one.meta()));
    found.map(Form::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, mode: DatapathMode, port: Option<u16>) -> Revision {
        let policy = |port| {
            let text = format!(
                "{}apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, \
                 namespace: shop}}\nspec: {{podSelector: {{}}, ingress: [{{ports: [{{port: \
                 {port}}}]}}]}}\n",
                // The same policy at another place of its file.
                "\n".repeat(usize::try_from(number).unwrap())
            );
            sekisho_manifest::parse("p.yaml", &text).unwrap()
        };
        let record = port.map(|port| crate::samples::record(&policy(port)));
        Revision {
            cluster: sekisho_model::ClusterName::default(),
            revision: number,
            time: Timestamp::from_seconds(number),
            mode,
            operator: format!("operator-{number}"),
            restores: None,
            cut: false,
            enforcement: sekisho_api::Enforcement::Datapath,
            foreign: Vec::new(),
            images: Vec::new(),
            record,
        }
    }

    #[test]
    fn a_policy_was_approved_by_who_brought_its_present_form() {
        use DatapathMode::{Audit, Enforce};
        let all = [
            revision(1, Enforce, Some(1)),
            revision(2, Enforce, Some(2)),
            revision(3, Audit, Some(9)),
            revision(4, Enforce, Some(2)),
        ];
        let by = |count: usize, mode, name| {
            approval(all[..count].iter(), mode, ("NetworkPolicy", "shop", name))
                .map(|one| one.revision)
        };
        assert_eq!(by(4, Enforce, "db"), Some(2), "4 holds what 2 brought");
        assert_eq!(by(1, Enforce, "db"), Some(1));
        assert_eq!(by(4, Audit, "db"), Some(3));
        assert_eq!(by(2, Audit, "db"), None);
        assert_eq!(by(4, Enforce, "other"), None);
    }

    #[test]
    fn what_ended_and_came_back_was_approved_anew() {
        use DatapathMode::Enforce;
        let all = [
            revision(1, Enforce, Some(1)),
            revision(2, Enforce, None),
            revision(3, Enforce, Some(1)),
        ];
        let named = ("NetworkPolicy", "shop", "db");
        assert_eq!(approval(all.iter(), Enforce, named).unwrap().operator, "operator-3");
        assert_eq!(approval(all[..2].iter(), Enforce, named), None);
    }
}
