//! Reads metadata: names, labels, annotations, owners, times.

use sekisho_model::{Labels, Timestamp};

use crate::at::{At, shorten};
use crate::{Meta, OwnerRef, check, known};

const DEFAULT_NAMESPACE: &str = "default";

/// Whether objects of a kind live in a namespace, and the rule for their names.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    Cluster(fn(&str) -> Option<String>),
    Namespaced(fn(&str) -> Option<String>),
}

/// Reads the `metadata` of the object at `at`, reporting what is wrong.
pub(crate) fn read_meta(at: &At<'_>, scope: Scope) -> Meta {
    let position = at.position();
    let Some(meta) = at.required("metadata") else { return Meta { position, ..Meta::default() } };
    if !meta.check_fields(known::META) {
        return Meta { position, ..Meta::default() };
    }
    let (Scope::Cluster(check_name) | Scope::Namespaced(check_name)) = scope;
    Meta {
        name: read_name(&meta, check_name),
        namespace: read_namespace(&meta, scope),
        uid: string(&meta, "uid").unwrap_or_default(),
        labels: meta.get("labels").map(|at| labels(&at)).unwrap_or_default(),
        annotations: meta.get("annotations").map(|at| annotations(&at)).unwrap_or_default(),
        owner: read_owner(&meta),
        created: read_time(&meta, "creationTimestamp"),
        deleted: read_time(&meta, "deletionTimestamp"),
        position,
    }
}

/// Reads what can be read of the metadata of an object whose kind we do not know.
pub(crate) fn read_lenient_meta(at: &At<'_>) -> Meta {
    let mut result = Meta { position: at.position(), ..Meta::default() };
    let Some(meta) = at.get("metadata") else { return result };
    let text = |name: &str| {
        meta.get(name).and_then(|at| at.lenient_string().map(str::to_owned)).unwrap_or_default()
    };
    result.name = text("name");
    result.namespace = text("namespace");
    result
}

fn read_name(meta: &At<'_>, check_name: fn(&str) -> Option<String>) -> String {
    if let Some(at) = meta.get("name") {
        let Some(name) = at.string() else { return String::new() };
        if let Some(message) = check_name(name) {
            at.refuse(format!("`{}`: {message}", shorten(name)));
        }
        return name.to_owned();
    }
    let Some(at) = meta.get("generateName") else {
        meta.missing("name");
        return String::new();
    };
    // The cluster will add random letters; until then the prefix is the name.
    let prefix = at.string().unwrap_or_default().trim_end_matches('-');
    if let Some(message) = check_name(prefix) {
        at.refuse(format!("`{}`: {message}", shorten(prefix)));
    }
    prefix.to_owned()
}

fn read_namespace(meta: &At<'_>, scope: Scope) -> String {
    let given = meta.get("namespace");
    let name = given.as_ref().and_then(At::string).unwrap_or_default();
    match scope {
        Scope::Namespaced(_) if name.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        Scope::Namespaced(_) => {
            if let (Some(at), Some(message)) = (&given, check::dns_label(name)) {
                at.refuse(format!("`{}`: {message}", shorten(name)));
            }
            name.to_owned()
        }
        Scope::Cluster(_) => {
            if let Some(at) = &given
                && !name.is_empty()
            {
                at.wrong("this kind does not live in a namespace");
            }
            String::new()
        }
    }
}

/// metadata.ownerReferences: the controller, or the only one.
fn read_owner(meta: &At<'_>) -> Option<OwnerRef> {
    let mut owners = meta.list("ownerReferences", |item| {
        if !item.check_fields(known::OWNER) {
            return None;
        }
        let kind = item.expected("kind").and_then(|at| at.string().map(str::to_owned));
        let name = item.required("name").and_then(|at| at.string().map(str::to_owned));
        let controller = item.get("controller").and_then(|at| at.bool()).unwrap_or(false);
        Some((controller, OwnerRef { kind: kind.unwrap_or_default(), name: name? }))
    });
    let index = match owners.iter().position(|(controller, _)| *controller) {
        Some(index) => index,
        None if owners.len() == 1 => 0,
        None => return None,
    };
    Some(owners.swap_remove(index).1)
}

fn read_time(meta: &At<'_>, name: &str) -> Option<Timestamp> {
    let at = meta.get(name)?;
    let text = at.string()?;
    match text.parse() {
        Ok(time) => Some(time),
        // The zero time of Go stands for "not set".
        Err(_) if text.starts_with("0001-") => None,
        Err(error) => {
            at.wrong(format!("{error}"));
            None
        }
    }
}

/// The string in field `name`; None if absent or (reported) no string.
pub(crate) fn string(at: &At<'_>, name: &str) -> Option<String> {
    at.get(name).and_then(|at| at.string().map(str::to_owned))
}

/// Reads labels, checking keys and values.
pub(crate) fn labels(at: &At<'_>) -> Labels {
    read_labels(at, check::label_key, check::label_value)
}

/// Reads annotations, checking keys.
pub(crate) fn annotations(at: &At<'_>) -> Labels {
    read_labels(at, check::annotation_key, |_| None)
}

fn read_labels(
    at: &At<'_>,
    check_key: fn(&str) -> Option<String>,
    check_value: fn(&str) -> Option<String>,
) -> Labels {
    let mut labels = Labels::new();
    for (key, value_at) in at.entries() {
        if let Some(message) = check_key(key) {
            value_at.refuse(format!("key `{}`: {message}", shorten(key)));
        }
        // A null value is the empty string, as for the API server.
        let value = if value_at.is_null() { Some("") } else { value_at.string() };
        let Some(value) = value else { continue };
        if let Some(message) = check_value(value) {
            value_at.refuse(format!("`{}`: {message}", shorten(value)));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}
