//! Policies as a person would write them.

use sekisho_manifest::{Object, parse, print_policy};

const POLICY: &str = r#"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: cart
  namespace: shop
  labels:
    app.kubernetes.io/managed-by: sekisho
    version: "1"
  annotations:
    sekisho.dev/note: "first line\nsecond: line"
spec:
  podSelector:
    matchLabels:
      app: cart
    matchExpressions:
      - key: track
        operator: NotIn
        values: [canary, "no"]
      - key: tier
        operator: Exists
  policyTypes:
    - Ingress
    - Egress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: frontend
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: monitoring
          podSelector:
            matchLabels:
              app: scraper
      ports:
        - protocol: TCP
          port: http
        - protocol: TCP
          port: 9000
          endPort: 9010
    - {}
  egress:
    - to:
        - ipBlock:
            cidr: 203.0.113.0/24
            except:
              - 203.0.113.7/32
        - ipBlock:
            cidr: "2001:db8::/32"
        - namespaceSelector: {}
    - ports:
        - protocol: UDP
          port: 53
"#;

#[test]
fn a_policy_is_printed_as_a_person_writes_it() {
    let objects = parse("f", POLICY).unwrap();
    let Object::NetworkPolicy(policy) = &objects[0] else { panic!("{objects:?}") };
    assert_eq!(print_policy(policy), POLICY);
}

#[test]
fn comments_stand_above_their_rule_and_never_end_it() {
    let objects = parse("f", POLICY).unwrap();
    let Object::NetworkPolicy(policy) = &objects[0] else { panic!("{objects:?}") };
    let mut policy = policy.clone();
    policy.ingress[0].comment =
        vec!["seen 12 times\nby nginx".to_owned(), String::new(), "bell \u{7}".to_owned()];
    let text = print_policy(&policy);
    assert!(
        text.contains("  ingress:\n    # seen 12 times\n    # by nginx\n    # bell ?\n    - from:"),
        "{text}"
    );
    let again = parse("f", &text).unwrap();
    let Object::NetworkPolicy(again) = &again[0] else { panic!("{again:?}") };
    assert_eq!(again.ingress[0].peers, policy.ingress[0].peers);
}
