//! What an object says, apart from who wrote it when: for comparing two objects.

use sekisho_manifest::{Meta, Object, to_json};
use serde_json::{Map, Value};

/// Fields named in one message; the rest is counted.
const FIELDS_SHOWN_MAX: usize = 6;
/// Fields of an object that hold its meaning (`specs`: Cilium).
pub(crate) const CONTENT_FIELDS: [&str; 2] = ["spec", "specs"];

/// The part of `object` that decides about traffic, with defaults filled in as the reader does, so
/// that two ways to write the same policy are equal.
pub(crate) fn content(object: &Object) -> Value {
    let mut plain = object.clone();
    *plain.meta_mut() = Meta {
        name: object.meta().name.clone(),
        namespace: object.meta().namespace.clone(),
        ..Meta::default()
    };
    let mut value: Value = serde_json::from_str(&to_json(&plain)).unwrap_or_default();
    let fields = CONTENT_FIELDS.iter().filter_map(|name| {
        let field = value.get_mut(*name)?.take();
        Some(((*name).to_owned(), field))
    });
    Value::Object(fields.collect::<Map<String, Value>>())
}

/// The paths at which two contents differ, at most a handful: `.spec.ingress[0].from`.
pub(crate) fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    walk(old, new, String::new(), &mut paths);
    let more = paths.len().saturating_sub(FIELDS_SHOWN_MAX);
    paths.truncate(FIELDS_SHOWN_MAX);
    if more > 0 {
        paths.push(format!("and {more} more"));
    }
    paths
}

fn walk(old: &Value, new: &Value, path: String, paths: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let (one, other) = (old.get(name), new.get(name));
                let path = format!("{path}.{name}");
                walk(one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null), path, paths);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (one, other)) in old.iter().zip(new).enumerate() {
                walk(one, other, format!("{path}[{index}]"), paths);
            }
        }
        (old, new) if old == new => {}
        _different => paths.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Object {
        sekisho_manifest::parse("a.yaml", text).unwrap().remove(0)
    }

    const SHORT: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: b, labels: {x: z}}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}}";
    const LONG: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a, namespace: b}, spec: {podSelector: {matchLabels: {}}, policyTypes: [Ingress], ingress: [{from: [], ports: [{port: 80, protocol: TCP}]}]}}";

    #[test]
    fn two_ways_to_write_the_same_are_equal() {
        assert_eq!(content(&of(SHORT)), content(&of(LONG)));
    }

    #[test]
    fn a_difference_is_told_by_its_path() {
        let other = SHORT.replace("port: 80", "port: 81");
        let found = differences(&content(&of(SHORT)), &content(&of(&other)));
        assert_eq!(found, [".spec.ingress[0].ports[0].port"]);
        assert!(differences(&content(&of(SHORT)), &content(&of(LONG))).is_empty());
    }
}
