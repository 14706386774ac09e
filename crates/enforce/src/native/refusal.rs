//! Why the API server did not do what we asked, and what to do about it.

use std::fmt;

use kube::core::Status;

use super::kinds::{NativeKind, ObjectKey};

/// A field that another manager holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// Path of the field, e.g. `.spec.podSelector`.
    pub field: String,
    /// Who holds it, in the API server's words: `kubectl-edit using networking.k8s.io/v1`.
    pub manager: String,
}

/// One request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which object or kind, as text.
    pub what: String,
    /// `create`, `update`, `delete`, `list`.
    pub action: &'static str,
    /// HTTP status; 0 = no answer came.
    pub code: u16,
    /// What the API server said.
    pub message: String,
    /// Fields that others hold.
    pub conflicts: Vec<FieldConflict>,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.code {
            0 => String::new(),
            code => format!(" ({code})"),
        };
        write!(f, "{} {}: {}{code}", self.action, self.what, self.message)?;
        for conflict in &self.conflicts {
            write!(f, "; `{}` is held by {}", conflict.field, conflict.manager)?;
        }
        write!(f, ": {}", self.advice)
    }
}

/// Sentences of the API server that name a manager begin so (structured-merge-diff).
const CONFLICT_WITH: &str = "conflict with ";
/// Reason of a cause that is a conflict with a manager (metav1.CauseTypeFieldManagerConflict).
const FIELD_MANAGER_CONFLICT: &str = "FieldManagerConflict";

impl Refusal {
    /// Of a request about the object `key`.
    pub(crate) fn of_object(
        action: &'static str,
        (key, kind): (&ObjectKey, &NativeKind),
        error: &RequestError,
    ) -> Self {
        Self::new(action, key.to_string(), kind, error)
    }

    /// Of a request about all objects of a kind.
    pub(crate) fn of_kind(action: &'static str, kind: &NativeKind, error: &RequestError) -> Self {
        Self::new(action, kind.resource(), kind, error)
    }

    fn new(action: &'static str, what: String, kind: &NativeKind, error: &RequestError) -> Self {
        match error {
            RequestError::Answer(status) => Self {
                what,
                action,
                code: status.code,
                message: one_line(&status.message),
                conflicts: conflicts(status),
                advice: advice(action, kind, status),
            },
            RequestError::Silence(why) => Self {
                what,
                action,
                code: 0,
                message: format!("no answer: {}", one_line(why)),
                conflicts: Vec::new(),
                advice:
                    "is the API server up, and are its address and our credentials right? try again"
                        .to_owned(),
            },
        }
    }

    /// Something that we found in an answer.
    pub(crate) fn found(
        action: &'static str,
        key: &ObjectKey,
        message: String,
        advice: &str,
    ) -> Self {
        Self {
            what: key.to_string(),
            action,
            code: 0,
            message,
            conflicts: Vec::new(),
            advice: advice.to_owned(),
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The API server answered with a status.
    Answer(Box<Status>),
    /// No answer, or none that could be read: it may have been done or not.
    Silence(String),
}

impl RequestError {
    /// Whether the request was certainly not carried out.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            // 5xx: it may have been stored before something failed.
            Self::Answer(status) => (400..500).contains(&status.code),
            Self::Silence(_) => false,
        }
    }

    /// Whether there is no such object or kind.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer(status) if status.code == 404)
    }
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Answer(status),
            other => Self::Silence(sekisho_base::error_chain(&other)),
        }
    }
}

fn conflicts(status: &Status) -> Vec<FieldConflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == FIELD_MANAGER_CONFLICT)
        .map(|cause| FieldConflict {
            field: cause.field.clone(),
            manager: one_line(cause.message.strip_prefix(CONFLICT_WITH).unwrap_or(&cause.message)),
        })
        .collect()
}

fn advice(action: &'static str, kind: &NativeKind, status: &Status) -> String {
    let says = |text: &str| status.message.contains(text);
    let admission = says("admission webhook") || says("ValidatingAdmissionPolicy");
    match status.code {
        _ if says("failed calling webhook") => "a webhook of this cluster does not answer, and \
             without it nothing may be stored: have it repaired, or our policies exempted from it \
             (`kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`), then \
             try again"
            .to_owned(),
        _ if admission => {
            "an admission rule of this cluster forbids it: change the policy, or ask \
                           whoever runs that rule for an exception"
                .to_owned()
        }
        401 => "our credentials are not accepted: renew them".to_owned(),
        403 => format!(
            "we lack a right: grant the verb `{}` on `{}`",
            verb(action, status),
            kind.resource()
        ),
        404 if says("namespaces ") => "make the namespace first".to_owned(),
        404 => format!(
            "it is gone, or the cluster does not serve {} {}/{}: install its CRD, or leave such \
             policies out",
            kind.kind, kind.group, kind.version
        ),
        409 if !conflicts(status).is_empty() => "somebody else manages this field, and nothing is \
             forced: agree with them, or take the object out of their hands"
            .to_owned(),
        409 => "it was deleted or replaced meanwhile: run the command again".to_owned(),
        400 | 422 => "correct the policy".to_owned(),
        429 | 503 | 504 => "the API server is busy: try again".to_owned(),
        _ if says("no space") || says("mvcc: database space exceeded") => {
            "etcd is full: compact and defragment it, disarm its alarm, then try again".to_owned()
        }
        _ => "see the log of the API server, then try again".to_owned(),
    }
}

/// The verb that was refused: the API server names it (`User "x" cannot patch resource ...`).
fn verb<'a>(action: &'a str, status: &'a Status) -> &'a str {
    let named = status.message.split("cannot ").nth(1).and_then(|rest| rest.split(' ').next());
    named.unwrap_or(action)
}

/// Text of others in one line of ours.
fn one_line(text: &str) -> String {
    sekisho_base::harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}
