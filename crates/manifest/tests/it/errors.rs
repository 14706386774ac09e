//! What people read when a manifest is wrong.

use sekisho_manifest::{ManifestError, parse, read};

pub(crate) fn shown(text: &str) -> String {
    let errors = parse("policy.yaml", text).expect_err("must be refused");
    let show = |error: &ManifestError| match &error.help {
        Some(help) => format!("{error}\n    help: {help}\n"),
        None => format!("{error}\n"),
    };
    errors.iter().map(show).collect()
}

#[test]
fn all_mistakes_of_a_policy_are_reported_with_line_field_and_help() {
    insta::assert_snapshot!(shown(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: Wrong_Name
  labels: {app: 1, 'bad key': x}
spec:
  podselector: {}
  podSelector:
    matchExpressions:
      - {key: app, operator: in, values: [web]}
      - {key: app, operator: In, values: []}
      - {key: app, operator: Exists, values: [x]}
      - {operator: Exists}
    matchLabels: {app: yes}
  policyTypes: [Ingress, egress]
  ingress:
    - from:
        - {}
        - ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8, 10.0.0.0/8]}
        - ipBlock: {cidr: 10.0.0.1}
        - ipBlock: {cidr: 10.0.0.0/8}
          podSelector: {}
        - namespaceSelector: []
      ports:
        - {port: 0}
        - {port: 65536}
        - {port: 80, endPort: 79}
        - {port: http, endPort: 90}
        - {endPort: 90}
        - {port: '80'}
        - {port: sixteen-chars-xx}
        - {protocol: tcp, port: 80.5}
    - to: []
  egress: {}
"
    ));
}

#[test]
fn mistakes_in_other_kinds_name_their_field() {
    insta::assert_snapshot!(shown(
        "apiVersion: v1
kind: Pod
metadata: {name: p, namespace: Shop}
spec:
  hostNetwork: 'true'
  restartPolicy: Alway
  containers:
    - name: m
      image: x
      comand: [a]
      args: [1]
      env: [{name: A, value: 7}]
      ports: [{containerPort: http, name: TOO_LONG_FOR_A_PORT_NAME}, {name: x}]
      readinessProbe: {httpGet: {path: /}, tcpSocket: {port: 1}}
      livenessProbe: {httpGet: {path: /}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop}
spec:
  replicas: -1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: other}}, spec: {containers: []}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {type: ClusterIp, clusterIP: 10.0.0, ports: [{targetPort: http}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: ns, namespace: ns}
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: old}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicies
metadata: {name: typo}
---
kind: Pod
metadata: {name: p}
---
just text
"
    ));
}

#[test]
fn items_of_a_list_are_named_by_their_index() {
    insta::assert_snapshot!(shown(
        r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
  {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"},
   "spec": {"ingress": [{"ports": [{"port": 80}, {"prt": 81}]}]}}
]}"#
    ));
}

#[test]
fn texts_that_are_no_yaml_are_refused_where_they_break() {
    for (text, line, words) in [
        ("a: [1\nb: 2\n", 2, ""),
        ("kind: Pod\n  bad: indent\n", 2, ""),
        ("kind: Pod\nkind: Pod\napiVersion: v1\n", 2, "the key `kind` was already given"),
        ("kind: Pod\nspec: {a: &x [*x]}\n", 2, "inside the value it refers to"),
        ("kind: Pod\nspec: *nothing\n", 2, ""),
        ("kind: Pod\n? [a]\n: b\n", 2, "a key must be a string"),
        ("kind: Pod\n\tspec: {}\n", 1, "found a tab"),
        ("kind: Pod\nspec:\n\tcontainers: []\n", 3, ""),
        ("kind: Pod\n~: x\n", 2, "a key must not be empty"),
        ("text\n", 1, "expected an object with apiVersion and kind"),
    ] {
        let errors = parse("f", text).expect_err(text);
        assert!(errors.iter().any(|e| e.line == line && e.message.contains(words)), "{errors:?}");
    }
}

#[test]
fn deep_nesting_and_alias_bombs_are_bounded() {
    let deep = format!("kind: Pod\nspec: {}{}\n", "[".repeat(200), "]".repeat(200));
    assert!(parse("f", &deep).expect_err("deep")[0].message.contains("nested deeper than 100"));
    let deep = format!(
        "{}x: 1\n",
        (0..150).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>() + &" ".repeat(150)
    );
    assert!(parse("f", &deep).expect_err("deep")[0].message.contains("nested deeper than 100"));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let errors = parse("f", &bomb).expect_err("bomb");
    assert!(errors[0].message.contains("copy more than"), "{errors:?}");
}

#[test]
fn no_more_than_a_thousand_mistakes_are_kept() {
    let fields: String = (0..5000).map(|n| format!("  f{n}: 1\n")).collect();
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec:\n{fields}"
    );
    let errors = parse("f", &text).expect_err("wrong");
    assert_eq!(errors.len(), 1001);
    assert!(errors[1000].message.contains("more than 1000 mistakes"));
}

#[test]
fn what_is_only_refused_can_still_be_analysed() {
    let text = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: under_score, labels: {a: b/c}}
spec: {}
";
    let reading = read("f", text);
    assert_eq!(reading.objects.len(), 1);
    assert_eq!(reading.errors, []);
    assert_eq!(reading.refusals.len(), 2);
    assert_eq!(parse("f", text), Err(reading.refusals));
    // A mistake that changes the meaning is an error, and the rest is still read.
    let reading =
        read("f", &format!("{}---\n{text}", text.replace("spec: {}", "spec: {ingres: []}")));
    assert_eq!(reading.errors.len(), 1);
    assert_eq!(reading.objects.len(), 2);
}

#[test]
fn an_unknown_field_spoils_a_policy_but_not_a_workload() {
    let counts = |text: &str| {
        let reading = read("f.yaml", text);
        (reading.objects.len(), reading.errors.len(), reading.refusals.len())
    };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, imag: i, image: i}]}\n";
    assert_eq!(counts(pod), (1, 0, 1));
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}, ingres: []}\n";
    assert_eq!(counts(policy).1, 1);
    assert!(parse("f.yaml", pod).is_err(), "an API server told to be strict");
}

#[test]
fn a_key_given_twice_is_told_in_small_and_in_large_mappings() {
    for keys in [2, 12, 13, 40, 1500] {
        let labels: String = (0..keys).map(|key| format!("    k{key}: v\n")).collect();
        let head = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n  labels:\n";
        assert_eq!(read("f.yaml", &format!("{head}{labels}")).errors, [], "{keys}");
        let twice = read("f.yaml", &format!("{head}{labels}    k1: v\n")).errors;
        let [error] = twice.as_slice() else { panic!("{keys}: {twice:?}") };
        assert_eq!((error.line, error.column), (6 + keys, 5));
        assert_eq!(error.message, "the key `k1` was already given");
    }
}

#[test]
fn lists_of_any_length_are_read_whole() {
    for items in [0, 1, 999, 1000, 1001, 3000] {
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: x}}";
        let text = format!(
            "apiVersion: v1\nkind: List\nother: [1, 2]\nitems:\n{}",
            format!("- {namespace}\n").repeat(items)
        );
        assert_eq!(read("f.yaml", &text).objects.len(), items);
        assert_eq!(read("f.yaml", &text.replace("other: [1, 2]\n", "")).objects.len(), items);
    }
}
