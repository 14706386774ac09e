//! Prints a policy in tiers as the YAML a person would write.

use serde_json::{Map, Value};

use crate::print::{Printer, scalar};
use crate::{TierPolicy, json_tier};

/// Fields in the order of the API's documents; others follow by name.
const ORDER: [&str; 14] = [
    "tier",
    "priority",
    "subject",
    "ingress",
    "name",
    "action",
    "from",
    "to",
    "ports",
    "protocols",
    "protocol",
    "port",
    "namespaceSelector",
    "start",
];

/// Prints a policy of one of the three kinds as one YAML document without `---`, ending with a
/// newline.
///
/// Name, labels and annotations of the metadata are printed. [`crate::parse`] reads an equal policy
/// back (positions and other metadata aside).
#[must_use]
pub fn print_tier_policy(policy: &TierPolicy) -> String {
    let mut out = Printer::default();
    out.line(0, &format!("apiVersion: {}", json_tier::version(policy.kind)));
    out.line(0, &format!("kind: {}", policy.kind.as_str()));
    out.line(0, "metadata:");
    out.line(1, &format!("name: {}", scalar(&policy.meta.name)));
    out.labels(1, "labels", &policy.meta.labels);
    out.labels(1, "annotations", &policy.meta.annotations);
    out.line(0, "spec:");
    if let Value::Object(spec) = json_tier::spec(policy) {
        fields(&mut out, 1, "", &spec);
    }
    out.text
}

/// The fields of an object; `dash` stands before the first one if it is an item of a list.
fn fields(out: &mut Printer, level: usize, dash: &str, object: &Map<String, Value>) {
    let mut sorted: Vec<(&String, &Value)> = object.iter().collect();
    let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    sorted.sort_by_key(|(name, _)| (rank(name), *name));
    // The first field of an item stands behind its dash, the others below the first.
    let inner = level + dash.len() / 2;
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        let (at, dash) = if index == 0 { (level, dash) } else { (inner, "") };
        field(out, (at, inner), &format!("{dash}{}", scalar(name)), value);
    }
}

/// One field: its value behind the name, or below it.
fn field(out: &mut Printer, (level, inner): (usize, usize), name: &str, value: &Value) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.line(level, &format!("{name}:"));
            fields(out, inner + 1, "", object);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.line(level, &format!("{name}:"));
            for item in items {
                match item {
                    Value::Object(object) if !object.is_empty() => {
                        fields(out, inner + 1, "- ", object);
                    }
                    other => out.line(inner + 1, &format!("- {}", flat(other))),
                }
            }
        }
        other => out.line(level, &format!("{name}: {}", flat(other))),
    }
}

/// A value without objects, on one line.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flat).collect::<Vec<_>>().join(", "))
        }
        Value::Object(_) => "{}".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Object, parse};

    const TEXT: &str = r#"apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata:
  name: deny-metadata
  annotations:
    sekisho.dev/template: cloud-metadata
spec:
  tier: Admin
  priority: 210
  subject:
    namespaces:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: NotIn
          values: [kube-system, "1"]
  ingress:
    - action: Accept
      from:
        - pods:
            namespaceSelector: {}
            podSelector:
              matchLabels:
                app: "true"
  egress:
    - name: "no metadata"
      action: Deny
      to:
        - networks: [169.254.169.254/32, "fd00:ec2::254/128"]
      protocols:
        - tcp:
            destinationPort:
              number: 80
        - udp:
            destinationPort:
              range:
                start: 10
                end: 20
"#;

    #[test]
    fn what_is_printed_reads_back_and_is_what_was_read() {
        let objects = parse("x.yaml", TEXT).unwrap();
        let [Object::TierPolicy(policy)] = objects.as_slice() else { panic!("one policy") };
        assert_eq!(print_tier_policy(policy), TEXT);
    }

    #[test]
    fn text_that_yaml_would_take_for_more_is_quoted() {
        let objects = parse("x.yaml", &TEXT.replace("no metadata", "a: b # c")).unwrap();
        let [Object::TierPolicy(policy)] = objects.as_slice() else { panic!("one policy") };
        let again = parse("y.yaml", &print_tier_policy(policy)).unwrap();
        let [Object::TierPolicy(again)] = again.as_slice() else { panic!("one policy") };
        assert_eq!(again.egress[0].name, "a: b # c");
    }
}
