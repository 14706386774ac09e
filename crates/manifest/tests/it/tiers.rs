//! ClusterNetworkPolicy and its forerunners: what is read, and what is said of mistakes.

use sekisho_manifest::{
    Object, Tier, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort, TierSubject, read,
};
use sekisho_model::Protocol;

use crate::errors::shown;

/// A ClusterNetworkPolicy with `rules` (ingress and egress, in flow style).
fn cluster(rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: p}}
spec: {{tier: Admin, priority: 7, subject: {{namespaces: {{}}}}, {rules}}}
"
    )
}

fn policy(text: &str) -> TierPolicy {
    let reading = read("f", text);
    assert_eq!(reading.errors, []);
    match reading.objects.into_iter().next() {
        Some(Object::TierPolicy(policy)) => policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_mistakes_of_a_cluster_network_policy_are_reported() {
    insta::assert_snapshot!(shown(
        "apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  tier: admin
  priority: 1001
  subject: {namespaces: {}, pods: {podSelector: {}}}
  policyTypes: [Ingress]
  ingress:
    - {action: Allow, from: [{namespaces: {}}]}
    - {action: Deny, from: []}
    - {action: Deny, to: [{namespaces: {}}]}
    - {from: [{networks: [10.0.0.0/8]}, {namespace: {}}], action: Pass}
    - {action: Deny, from: [{namespaces: {}, pods: {podSelector: {}}}], ports: []}
    - action: Accept
      from: [{pods: {namespaceSelector: {}}}]
      protocols:
        - {tcp: {destinationPort: {number: 0}}}
        - {tcp: {destinationPort: {range: {start: 90, end: 80}}}}
        - {tcp: {destinationPort: {number: 80, range: {start: 1, end: 2}}}}
        - {udp: {destinationPort: {range: {start: 5}}}}
        - {tcp: {}, udp: {}}
        - {TCP: {destinationPort: {number: 1}}}
  egress:
    - {action: Deny, to: [{domainNames: [example.com]}]}
    - {action: Accept, to: [{domainNames: [com, 'a.*.b']}, {networks: [10.0.0.1, '::ffff:10.0.0.0/104']}]}
    - {action: Accept, to: [{networks: []}, {nodes: {matchLabels: {a: b}}}], protocols: [{destinationNamedPort: http}]}
"
    ));
}

#[test]
fn all_mistakes_of_the_v1alpha1_kinds_are_reported() {
    insta::assert_snapshot!(shown(
        "apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: p}
spec:
  tier: Admin
  subject: {}
  ingress:
    - {action: Accept, from: [{namespaces: {}}]}
    - {action: Allow, from: [{}]}
    - {action: Allow, from: [{namespaces: {}}], ports: [{portNumber: {port: 80, protocol: tcp}}, {portRange: {start: 8, end: 8}}]}
    - {action: Allow, from: [{namespaces: {}}], ports: [{}, {namedPort: 80}, {portNumber: {protocol: UDP}}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: base}
spec:
  priority: 5
  subject: {pods: {namespaceSelector: {}}}
  egress:
    - {action: Pass, to: [{namespaces: {}}]}
    - {action: Deny, to: [{domainNames: [example.com]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: ClusterNetworkPolicy
metadata: {name: p}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolice
metadata: {name: p}
"
    ));
}

#[test]
fn a_policy_is_read_with_all_its_parts() {
    let policy = policy(&cluster(
        "ingress: [{name: r, action: Pass, from: [{namespaces: {}}, {pods: {podSelector: {}}}]}], \
         egress: [{action: Accept, to: [{nodes: {}}, {networks: [10.0.0.5/8, 'fd00::/8']}], protocols: \
         [{tcp: {destinationPort: {number: 80}}}, {sctp: {destinationPort: {range: {start: 1, end: 9}}}}]}, \
         {action: Accept, to: [{domainNames: ['*.a.b']}]}]",
    ));
    assert_eq!(policy.kind, TierPolicyKind::ClusterNetworkPolicy);
    assert_eq!((policy.tier, policy.priority), (Tier::Admin, 7));
    assert_eq!(policy.subject, TierSubject::Namespaces(Default::default()));
    let [rule] = policy.ingress.as_slice() else { panic!("{:?}", policy.ingress) };
    assert_eq!((rule.name.as_str(), rule.action, rule.position.line), ("r", TierAction::Pass, 4));
    assert_eq!(rule.ports, None);
    assert_eq!(rule.peers.len(), 2);
    let [first, second] = policy.egress.as_slice() else { panic!("{:?}", policy.egress) };
    let nets = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
    assert_eq!(first.peers[1], TierPeer::Networks(nets.to_vec()));
    let range = |protocol, first, last| TierPort::Range { protocol, first, last };
    assert_eq!(first.ports, Some(vec![range(Protocol::Tcp, 80, 80), range(Protocol::Sctp, 1, 9)]));
    assert_eq!(second.peers, [TierPeer::DomainNames(vec!["*.a.b".to_owned()])]);
}

#[test]
fn what_only_a_newer_api_can_hold_is_refused_and_fails_closed() {
    for (rules, words) in [
        ("ingress: [{action: Deny, from: [{}]}]", "has none of namespaces, pods"),
        ("ingress: [{action: Deny, from: [{clusterSets: {}}]}]", "has none of namespaces, pods"),
        ("egress: [{action: Accept, to: [{services: [a]}]}]", "an Accept rule matches nothing"),
    ] {
        let reading = read("f", &cluster(rules));
        assert_eq!(reading.errors, []);
        assert!(reading.refusals[0].message.contains(words), "{:?}", reading.refusals);
        let policy = policy(&cluster(rules));
        let rule = policy.ingress.iter().chain(&policy.egress).next().unwrap();
        assert_eq!(rule.peers, [TierPeer::Unknown]);
    }
    for protocol in
        ["{}", "{icmp: {type: 8}}", "{tcp: {sourcePort: 1}}", "{tcp: {destinationPort: {}}}"]
    {
        let rules = format!(
            "ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], protocols: [{protocol}]}}]"
        );
        let policy = policy(&cluster(&rules));
        assert_eq!(policy.ingress[0].ports, Some(vec![TierPort::Unknown]), "{protocol}");
        assert_eq!(read("f", &cluster(&rules)).refusals.len(), 1, "{protocol}");
    }
    // The v1alpha1 kinds get no new fields any more, so there it is a mistake.
    let old = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\n\
               metadata: {name: p}\nspec: {priority: 1, subject: {namespaces: {}}, ingress: \
               [{action: Deny, from: [{clusterSets: {}}]}]}\n";
    assert!(read("f", old).errors.iter().any(|error| error.message == "unknown field"));
}

#[test]
fn limits_on_items_are_those_of_each_version() {
    let many = |count: usize, item: &str| vec![item; count].join(", ");
    let rule = "{action: Deny, from: [{namespaces: {}}]}";
    for (count, refusals) in [(25, 0), (26, 1)] {
        let reading = read("f", &cluster(&format!("ingress: [{}]", many(count, rule))));
        assert_eq!((reading.errors.len(), reading.refusals.len()), (0, refusals), "{count}");
    }
    for (count, refusals) in [(100, 0), (101, 1)] {
        let text = format!(
            "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: \
             {{name: p}}\nspec: {{priority: 0, subject: {{namespaces: {{}}}}, ingress: [{}]}}\n",
            many(count, rule)
        );
        let reading = read("f", &text);
        assert_eq!((reading.errors.len(), reading.refusals.len()), (0, refusals), "{count}");
    }
    let name = |chars| {
        format!(
            "ingress: [{{name: {}, action: Deny, from: [{{namespaces: {{}}}}]}}]",
            "n".repeat(chars)
        )
    };
    assert_eq!(read("f", &cluster(&name(100))).refusals, []);
    assert_eq!(read("f", &cluster(&name(101))).refusals.len(), 1);
}

#[test]
fn host_bits_are_masked_and_refused_only_by_the_version_that_does() {
    let text = cluster("egress: [{action: Deny, to: [{networks: [10.0.0.5/8]}]}]");
    assert_eq!(read("f", &text).refusals, []);
    let text = text.replace("v1alpha2", "v1beta1");
    assert!(read("f", &text).refusals[0].message.contains("write `10.0.0.0/8`"));
    let twice = cluster("egress: [{action: Deny, to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]}]");
    assert!(read("f", &twice).refusals[0].message.contains("twice"));
}
