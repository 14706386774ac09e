//! Forms of text: YAML as people and tools write it.

use sekisho_manifest::{Object, parse};

fn names(text: &str) -> Vec<String> {
    let objects = parse("f", text).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    objects.iter().map(|object| format!("{} {}", object.kind(), object.meta().name)).collect()
}

#[test]
fn documents_and_lists_of_all_forms_are_flattened_in_order() {
    let namespace =
        |name: &str| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
    let text = format!(
        "# comment\n---\n{}\n---\n---\n# empty\n---\nkind: List\napiVersion: v1\nitems: [{}, {{kind: List, apiVersion: v1, items: [{}]}}]\n...\n---\nkind: NamespaceList\napiVersion: v1\nitems: [{{metadata: {{name: d}}}}]\n---\nkind: PodList\napiVersion: v1\nitems: null\n",
        namespace("a"),
        namespace("b"),
        namespace("c"),
    );
    assert_eq!(names(&text), ["Namespace a", "Namespace b", "Namespace c", "Namespace d"]);
}

#[test]
fn kinds_we_do_not_read_are_kept_by_name() {
    let objects = parse(
        "f",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: n}, data: {a: 1}}\n---\n{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: x}, spec: {tier: t}}\n---\n[1, 2]\n---\n{a: b}\n",
    )
    .unwrap();
    let kinds: Vec<_> = objects.iter().map(Object::kind).collect();
    assert_eq!(kinds, ["ConfigMap", "IPPool", "", ""]);
    assert!(objects.iter().all(|object| matches!(object, Object::Other(_))));
    assert_eq!(objects[0].meta().namespace, "n");
}

#[test]
fn anchors_aliases_and_merge_keys_are_resolved() {
    let text = "apiVersion: v1
kind: Pod
metadata: {name: p, labels: &l {app: web, tier: x}}
spec:
  nodeSelector: {<<: *l, tier: z}
  containers: [{name: m}]
";
    let objects = parse("f", text).unwrap();
    let Object::Pod(pod) = &objects[0] else { panic!("{objects:?}") };
    assert_eq!(pod.spec.node_selector["app"], "web");
    assert_eq!(pod.spec.node_selector["tier"], "z");
}

#[test]
fn a_byte_order_mark_windows_line_ends_and_tabs_in_json_are_read() {
    assert_eq!(
        names("\u{feff}apiVersion: v1\r\nkind: Namespace\r\nmetadata:\r\n  name: a\r\n"),
        ["Namespace a"]
    );
    assert_eq!(
        names(
            "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\n\t\t\"name\": \"a\"\n\t}\n}\n"
        ),
        ["Namespace a"]
    );
    assert_eq!(names(""), Vec::<String>::new());
}

#[test]
fn escapes_of_json_are_read() {
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{"a":"\u00e9\/\"\\\b\f\n\r\t\u0001","b":"\ud83d\ude00"}},"spec":{"containers":[{"name":"m"}]}}"#;
    let objects = parse("f", text).unwrap();
    let annotations = &objects[0].meta().annotations;
    assert_eq!(annotations["a"], "\u{e9}/\"\\\u{8}\u{c}\n\r\t\u{1}");
    assert_eq!(annotations["b"], "\u{1f600}");
}

#[test]
fn lines_at_the_margin_or_with_tabs_are_read_inside_brackets_and_quotes_only() {
    let pod = |containers: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n    - name: m\n{containers}"
        )
    };
    for good in [
        "      args: [\n\t\"a\",\n\t\"b\"\n      ]\n",
        "      args: [\n\"a\",\n\t\"b\",\n]\n",
        "      args: ['a\nb']\n",
        "      image: 'it''s\n{\n}'\n",
        "      image: \"a \\\" b\nc\"\n",
    ] {
        assert_eq!(names(&pod(good)), ["Pod p"], "{good}");
    }
    for bad in ["\t  args: [a]\n", "      args:\n\t- a\n", "\targs: [a,\n\tb]\n"] {
        assert!(parse("f", &pod(bad)).is_err(), "{bad}");
    }
    let objects = parse("f", &pod("      args: ['a\nb', c]\n")).unwrap();
    let Object::Pod(pod) = &objects[0] else { panic!("{objects:?}") };
    assert_eq!(pod.spec.containers[0].args, ["a b", "c"]);
}

#[test]
fn a_null_is_an_absent_field_and_a_null_rule_is_an_empty_one() {
    let text = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: null, creationTimestamp: null, labels: null}
spec: {podSelector: null, ingress: [null], egress: null, policyTypes: null}
status: {}
";
    let objects = parse("f", text).unwrap();
    let Object::NetworkPolicy(policy) = &objects[0] else { panic!("{objects:?}") };
    assert_eq!(policy.ingress.len(), 1);
    assert!(policy.ingress[0].peers.is_empty() && policy.ingress[0].ports.is_empty());
    assert!(policy.isolates_ingress && !policy.isolates_egress);
    assert_eq!(policy.meta.namespace, "default");
}

#[test]
fn unquoted_keys_mean_what_kubectl_reads() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {y: a, 0x10: b, 'n': c}}, spec: {containers: [{name: m}]}}";
    let objects = parse("f", text).unwrap();
    let keys: Vec<_> = objects[0].meta().labels.keys().collect();
    assert_eq!(keys, ["16", "n", "true"]);
}

#[test]
fn positions_are_those_of_the_text() {
    let text = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  ingress:\n    - from: [{podSelector: {}}]\n    - ports: [{port: 1}]\n";
    let objects = parse("dir/f.yaml", text).unwrap();
    let Object::NetworkPolicy(policy) = &objects[0] else { panic!("{objects:?}") };
    let at = |position: &sekisho_manifest::Position| (position.line, position.column);
    assert_eq!(policy.meta.position.file, "dir/f.yaml");
    assert_eq!(at(&policy.meta.position), (2, 1));
    assert_eq!(
        policy.ingress.iter().map(|rule| at(&rule.position)).collect::<Vec<_>>(),
        [(7, 7), (8, 7)]
    );
}
