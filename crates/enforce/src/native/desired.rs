//! The objects that verified policies ask for, as we apply them.

use std::collections::BTreeSet;

use sekisho_manifest::{Object, to_json};
use sekisho_verify::VerifiedPolicy;
use serde_json::{Map, Value, json};

use super::content::{CONTENT_FIELDS, content};
use super::installation::Installation;
use super::kinds::{NativeKind, ObjectKey};

/// The revision that wrote an object last. With the label below and the field manager it makes an
/// object ours.
pub const ANNOTATION_REVISION: &str = "sekisho.dev/revision";
/// The digest of the verified record that the revision holds.
pub const ANNOTATION_DIGEST: &str = "sekisho.dev/digest";
/// The installation that wrote it.
pub const ANNOTATION_INSTALLATION: &str = "sekisho.dev/installation";
/// The label on everything that is ours, and its value.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "sekisho");
/// What `kubectl apply` leaves; a copy of it would say nothing true.
const KUBECTL_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is written on every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the revision.
    pub revision: u64,
    /// Who writes it.
    pub installation: Installation,
}

/// An object that we want in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Which.
    pub key: ObjectKey,
    /// Its kind.
    pub kind: &'static NativeKind,
    /// The object as parsed.
    pub object: Object,
    /// What we apply.
    pub(crate) body: Value,
    /// What it means, for comparing.
    pub(crate) content: Value,
    /// When it is applied: what is referred to, then what allows, then what only isolates, so that
    /// a pod is not cut off from what the next object allows it.
    pub(crate) rank: u8,
}

/// The objects of `verified`, but those named in `foreign`: others made these, and they were only
/// part of what was verified. By rank, then key.
#[must_use]
pub fn desired(
    verified: &VerifiedPolicy,
    foreign: &BTreeSet<ObjectKey>,
    stamp: &Stamp,
) -> Vec<Desired> {
    let rules = verified.rules();
    let policies = rules.policies().iter().cloned().map(Object::NetworkPolicy);
    let all = policies.chain(rules.others().iter().cloned());
    let digest = verified.record().digest.as_str();
    let mut found: Vec<Desired> = all
        .filter_map(|object| {
            let key = ObjectKey::of(&object);
            let kind = key.native()?;
            let ours = !foreign.contains(&key);
            ours.then(|| Desired::new(key, kind, object, (stamp, digest)))
        })
        .collect();
    found.sort_by(|a, b| (a.rank, &a.key).cmp(&(b.rank, &b.key)));
    found
}

impl Desired {
    fn new(
        key: ObjectKey,
        kind: &'static NativeKind,
        object: Object,
        (stamp, digest): (&Stamp, &str),
    ) -> Self {
        let mut labels = object.meta().labels.clone();
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        let mut annotations = object.meta().annotations.clone();
        annotations.remove(KUBECTL_ANNOTATION);
        annotations.insert(ANNOTATION_REVISION.to_owned(), stamp.revision.to_string());
        let installation = stamp.installation.name().to_owned();
        annotations.insert(ANNOTATION_INSTALLATION.to_owned(), installation);
        annotations.insert(ANNOTATION_DIGEST.to_owned(), digest.to_owned());
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(key.name));
        if kind.namespaced {
            metadata.insert("namespace".to_owned(), json!(key.namespace));
        }
        metadata.insert("labels".to_owned(), json!(labels));
        metadata.insert("annotations".to_owned(), json!(annotations));
        let mut body: Value = serde_json::from_str(&to_json(&object)).unwrap_or_default();
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, _| CONTENT_FIELDS.contains(&name.as_str()));
            fields.insert("apiVersion".to_owned(), json!(kind.api().api_version));
            fields.insert("kind".to_owned(), json!(kind.kind));
            fields.insert("metadata".to_owned(), Value::Object(metadata));
        }
        let content = content(&object);
        let rank = match (kind.referred, allows(&content)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        Self { key, kind, object, body, content, rank }
    }

    /// Labels and annotations that the object must carry, our annotations left out: these differ
    /// with every revision.
    pub(crate) fn marks(&self) -> [Map<String, Value>; 2] {
        marks_of(&self.body)
    }
}

/// Labels and annotations of an object, but the annotations that differ with every revision.
pub(crate) fn marks_of(body: &Value) -> [Map<String, Value>; 2] {
    ["labels", "annotations"].map(|name| {
        let found = body.pointer(&format!("/metadata/{name}")).and_then(Value::as_object);
        let mut marks = found.cloned().unwrap_or_default();
        marks.retain(|key, _| key != ANNOTATION_REVISION && key != ANNOTATION_DIGEST);
        marks
    })
}

/// Whether a content holds a rule that opens something: anything in a list of rules.
fn allows(content: &Value) -> bool {
    const LISTS: [&str; 2] = ["ingress", "egress"];
    let in_spec = |spec: &Value| {
        LISTS.iter().any(|name| {
            spec.get(*name).and_then(Value::as_array).is_some_and(|rules| !rules.is_empty())
        })
    };
    let specs = content.get("specs").and_then(Value::as_array);
    content.get("spec").is_some_and(in_spec) || specs.is_some_and(|all| all.iter().any(in_spec))
}
