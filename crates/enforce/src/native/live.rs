//! What the API server holds: our objects, those of others, and who changed what.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::Object;
use sekisho_model::Timestamp;
use serde_json::{Map, Value, json};

use super::content::{CONTENT_FIELDS, content};
use super::desired::{ANNOTATION_INSTALLATION, ANNOTATION_REVISION, MANAGED_BY, marks_of};
use super::installation::Installation;
use super::kinds::{NativeKind, ObjectKey};

/// One manager's last change of an object (ManagedFieldsEntry).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Who, e.g. `kubectl-edit`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// When; None if the API server did not say.
    pub time: Option<Timestamp>,
}

/// An object as the API server holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Which.
    pub key: ObjectKey,
    /// Its kind.
    pub kind: &'static NativeKind,
    /// metadata.uid: another object of the same name has another one.
    pub uid: String,
    /// Whether we made it: our label, our annotations, and the field manager of our installation.
    pub ours: bool,
    /// The revision that wrote it; None if it is not ours.
    pub revision: Option<u64>,
    /// All managers, oldest change first; those of the status left out.
    pub managers: Vec<FieldChange>,
    /// What it says, parsed; None if it can't be read.
    pub object: Option<Object>,
    /// What it means, for comparing; Null if it can't be read.
    pub(crate) content: Value,
    /// What we would apply to have it as it is: the fields that we own.
    pub(crate) restore: Value,
    /// The field manager that is us.
    manager: String,
}

/// A kind or an object that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which kind or object.
    pub what: String,
    /// Why, and what to do.
    pub why: String,
}

/// All objects that hold policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveState {
    /// By key.
    pub objects: BTreeMap<ObjectKey, Live>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Names of kinds whose objects could not be listed: nothing is known of them.
    pub unlisted: BTreeSet<&'static str>,
    /// Names of kinds that the API server does not serve.
    pub unserved: Vec<&'static str>,
}

impl LiveState {
    /// Takes one object as the API server wrote it.
    pub(crate) fn take(&mut self, kind: &'static NativeKind, value: Value, us: &Installation) {
        let live = Live::of(kind, value, us);
        if live.object.is_none() {
            self.unreadable.push(Unreadable {
                what: live.key.to_string(),
                why: "its content is none that we know: it counts as no policy at all".to_owned(),
            });
        }
        self.objects.insert(live.key.clone(), live);
    }

    /// The objects that others made and that could be read.
    pub fn foreign(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        let foreign = self.objects.values().filter(|live| !live.ours);
        foreign.filter_map(|live| Some((&live.key, live.object.as_ref()?)))
    }
}

impl Live {
    /// Reads an object as the API server wrote it.
    pub(crate) fn of(kind: &'static NativeKind, mut value: Value, us: &Installation) -> Self {
        let text = |value: &Value, pointer: &str| {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let key = ObjectKey {
            kind: kind.name.to_owned(),
            namespace: text(&value, "/metadata/namespace"),
            name: text(&value, "/metadata/name"),
        };
        let uid = text(&value, "/metadata/uid");
        let manager = us.manager();
        let (managers, owned) = managers(&value, &manager);
        let marks = ["labels", "annotations"].map(|name| {
            let found = value.pointer(&format!("/metadata/{name}")).and_then(Value::as_object);
            found.cloned().unwrap_or_default()
        });
        let revision = marks[1].get(ANNOTATION_REVISION).and_then(Value::as_str);
        let revision = revision.and_then(|text| text.parse().ok());
        let labelled = marks[0].get(MANAGED_BY.0).and_then(Value::as_str) == Some(MANAGED_BY.1);
        let installation = marks[1].get(ANNOTATION_INSTALLATION).and_then(Value::as_str);
        let by_us = installation.is_none_or(|name| name == us.name());
        let ours = labelled && revision.is_some() && owned.is_some() && by_us;
        let restore = restore(kind, &key, &value, (&marks, owned.as_ref()));
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
            fields.insert("apiVersion".to_owned(), json!(kind.api().api_version));
            fields.insert("kind".to_owned(), json!(kind.kind));
        }
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|name, _| {
                ["name", "namespace", "uid", "labels", "annotations"].contains(&name.as_str())
            });
        }
        let object = read(&key, &value);
        let content = object.as_ref().map(content).unwrap_or_default();
        Self { key, kind, uid, ours, revision, managers, object, content, restore, manager }
    }

    /// Labels and annotations that we own, but those that differ with every revision.
    pub(crate) fn own_marks(&self) -> [Map<String, Value>; 2] {
        marks_of(&self.restore)
    }

    /// The managers but us.
    #[must_use]
    pub fn others(&self) -> Vec<&str> {
        let others = self.managers.iter().filter(|change| !is_us(change, &self.manager));
        let mut names: Vec<&str> = others.map(|change| change.manager.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The last change that was not ours.
    #[must_use]
    pub fn last_change_by_others(&self) -> Option<&FieldChange> {
        let others = self.managers.iter().filter(|change| !is_us(change, &self.manager));
        others.max_by_key(|change| change.time)
    }
}

fn is_us(change: &FieldChange, manager: &str) -> bool {
    change.manager == manager && change.operation == "Apply"
}

/// The object, if it is one that policy can be read from.
fn read(key: &ObjectKey, value: &Value) -> Option<Object> {
    let reading = sekisho_manifest::read(&key.to_string(), &value.to_string());
    let object = reading.objects.into_iter().next()?;
    (reading.errors.is_empty() && ObjectKey::of(&object) == *key).then_some(object)
}

/// All managers of an object but those of its status, oldest first; and the fields that we applied.
fn managers(value: &Value, us: &str) -> (Vec<FieldChange>, Option<Value>) {
    let entries = value.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut managers = Vec::new();
    let mut owned = None;
    for entry in entries.into_iter().flatten() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        if !text("subresource").is_empty() {
            continue;
        }
        let change = FieldChange {
            manager: text("manager").to_owned(),
            operation: text("operation").to_owned(),
            time: text("time").parse().ok(),
        };
        if is_us(&change, us) {
            owned = entry.get("fieldsV1").cloned();
        }
        managers.push(change);
    }
    managers.sort_by_key(|change| change.time);
    (managers, owned)
}

/// What we would apply to have the object as it is now: of labels and annotations only those that
/// we own, else we would take those of others.
fn restore(
    kind: &'static NativeKind,
    key: &ObjectKey,
    value: &Value,
    (marks, owned): (&[Map<String, Value>; 2], Option<&Value>),
) -> Value {
    let owns = |part: &str, name: &str| {
        let fields = owned.and_then(|owned| owned.get("f:metadata")?.get(format!("f:{part}")));
        fields.is_some_and(|fields| fields.get(format!("f:{name}")).is_some())
    };
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(key.name));
    if kind.namespaced {
        metadata.insert("namespace".to_owned(), json!(key.namespace));
    }
    for (part, marks) in ["labels", "annotations"].into_iter().zip(marks) {
        let mut marks = marks.clone();
        marks.retain(|name, _| owns(part, name));
        metadata.insert(part.to_owned(), Value::Object(marks));
    }
    let mut body = Map::new();
    body.insert("apiVersion".to_owned(), json!(kind.api().api_version));
    body.insert("kind".to_owned(), json!(kind.kind));
    body.insert("metadata".to_owned(), Value::Object(metadata));
    for name in CONTENT_FIELDS {
        if let Some(field) = value.get(name) {
            body.insert(name.to_owned(), field.clone());
        }
    }
    Value::Object(body)
}
