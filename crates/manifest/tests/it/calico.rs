//! Objects of Calico: what is read, and what is refused.

use proptest::prelude::*;
use sekisho_manifest::calico::{
    CalicoObject, DefaultAction, Entity, IcmpMatch, IpVersion, Order, Policy, PolicyScope, Port,
    Protocol, RuleAction, Selector,
};
use sekisho_manifest::{Object, parse, to_json};

fn shown(text: &str) -> String {
    let errors = parse("policy.yaml", text).expect_err("must be refused");
    errors
        .iter()
        .map(|error| match &error.help {
            Some(help) => format!("{error}\n    help: {help}\n"),
            None => format!("{error}\n"),
        })
        .collect()
}

fn objects(text: &str) -> Vec<CalicoObject> {
    let objects = parse("policy.yaml", text).expect("valid");
    for object in &objects {
        let again = parse("policy.yaml", &to_json(object)).expect("what is written reads back");
        let again: Vec<String> = again.iter().map(to_json).collect();
        assert_eq!(again, [to_json(object)]);
    }
    let found = objects.into_iter().map(|object| match object {
        Object::Calico(object) => object,
        other => panic!("{other:?}"),
    });
    found.collect()
}

fn policy(text: &str) -> Policy {
    match objects(text).as_slice() {
        [CalicoObject::Policy(policy)] => (**policy).clone(),
        other => panic!("{other:?}"),
    }
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect(text)
}

const GLOBAL_POLICY: &str = "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: security.web}
spec:
  tier: security
  order: 100.5
  selector: role == 'web'
  namespaceSelector: env in {'prod', 'test'}
  serviceAccountSelector: has(team)
  types: [Ingress, Egress]
  performanceHints: [AssumeNeededOnEveryNode]
  ingress:
    - action: Allow
      metadata: {annotations: {from: web}}
      protocol: TCP
      ipVersion: 4
      source:
        nets: [10.0.0.5/8, 192.0.2.1]
        notNets: [10.1.0.0/16]
        selector: app == 'a'
        notSelector: app == 'b'
        namespaceSelector: global()
        serviceAccounts: {names: [x], selector: has(y)}
        ports: [1024]
      destination:
        ports: [80, '443', '8000:8080', http]
        notPorts: [8001]
      http: {methods: [GET], paths: [{exact: /a}, {prefix: /b}]}
    - {action: Pass, protocol: 6}
    - {action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}, notICMP: {type: 3}}
    - {action: Log, notProtocol: 47}
    - {action: Deny, protocol: '17'}
  egress:
    - action: Allow
      destination: {services: {name: dns, namespace: kube-system}}
    - action: Allow
      destination: {domains: ['*.example.com']}
";

#[test]
fn a_global_policy_is_read_with_all_its_fields() {
    let policy = policy(GLOBAL_POLICY);
    assert_eq!((policy.scope, policy.tier.as_str()), (PolicyScope::Global, "security"));
    assert_eq!(policy.order, Some(Order(100.5)));
    assert_eq!(policy.selector, selector("role == 'web'"));
    assert_eq!(policy.namespace_selector, Some(selector("env in {'prod', 'test'}")));
    assert_eq!(policy.service_account_selector, Some(selector("has(team)")));
    assert!(policy.applies_ingress && policy.applies_egress);
    let [first, pass, icmp, log, udp] = policy.ingress.as_slice() else { panic!() };
    assert_eq!((first.action, first.protocol), (RuleAction::Allow, Some(Protocol::Tcp)));
    assert_eq!((first.ip_version, first.http), (Some(IpVersion::V4), true));
    assert_eq!(first.position.line, 13);
    let nets: Vec<String> = first.source.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(first.source.namespace_selector, Some(Selector::Global));
    assert_eq!(first.source.ports, [Port::Range(1024, 1024)]);
    assert_eq!(
        first.destination.ports,
        [
            Port::Range(80, 80),
            Port::Range(443, 443),
            Port::Range(8000, 8080),
            Port::Name("http".to_owned())
        ]
    );
    assert_eq!((pass.action, pass.protocol), (RuleAction::Pass, Some(Protocol::Tcp)));
    assert_eq!(icmp.icmp, Some(IcmpMatch { kind: Some(8), code: Some(0) }));
    assert_eq!((log.action, log.not_protocol), (RuleAction::Log, Some(Protocol::Other(47))));
    assert_eq!(udp.protocol, Some(Protocol::Udp));
    let [service, domain] = policy.egress.as_slice() else { panic!() };
    assert_eq!(service.destination.services.as_ref().map(|it| it.name.as_str()), Some("dns"));
    assert_eq!(domain.destination.domains, ["*.example.com"]);
    assert_eq!(domain.source, Entity::default());
}

#[test]
fn types_follow_the_rules_where_they_are_not_given() {
    for (rules, expected) in [
        ("", (true, false)),
        ("ingress: [{action: Allow}]", (true, false)),
        ("egress: [{action: Allow}]", (false, true)),
        ("ingress: [{action: Allow}]\n  egress: [{action: Allow}]", (true, true)),
        ("types: [Egress]\n  ingress: [{action: Allow}]", (false, true)),
    ] {
        let policy = policy(&format!(
            "apiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {{name: a, \
             namespace: shop}}\nspec:\n  selector: all()\n  {rules}\n"
        ));
        assert_eq!((policy.applies_ingress, policy.applies_egress), expected, "{rules}");
        assert_eq!((policy.tier.as_str(), policy.order), ("default", None));
    }
}

#[test]
fn a_network_policy_of_calico_is_not_that_of_kubernetes() {
    let text = |version| {
        format!(
            "apiVersion: {version}\nkind: NetworkPolicy\nmetadata: {{name: a, namespace: b}}\n\
             spec: {{}}\n"
        )
    };
    let kind = |version| parse("f", &text(version)).expect(version)[0].kind().to_owned();
    assert_eq!(kind("projectcalico.org/v3"), "CalicoNetworkPolicy");
    assert_eq!(kind("networking.k8s.io/v1"), "NetworkPolicy");
    assert!(shown(&text("projectcalico.org/v1")).contains("write `projectcalico.org/v3`"));
}

#[test]
fn sets_and_tiers_are_read() {
    let found = objects(
        "apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: bad, labels: {threat: 'yes'}}
spec: {nets: [203.0.113.0/24, '2001:db8::/32'], allowedEgressDomains: [example.com]}
---
apiVersion: projectcalico.org/v3
kind: NetworkSet
metadata: {name: db, namespace: shop}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: -1, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: last}
",
    );
    let kinds: Vec<&str> = found.iter().map(CalicoObject::kind).collect();
    assert_eq!(kinds, ["GlobalNetworkSet", "NetworkSet", "Tier", "Tier"]);
    let [CalicoObject::NetworkSet(set), _, CalicoObject::Tier(first), CalicoObject::Tier(last)] =
        found.as_slice()
    else {
        panic!("{found:?}")
    };
    assert!(set.is_global() && set.nets.len() == 2);
    assert_eq!((first.order, first.default_action), (Some(Order(-1.0)), DefaultAction::Pass));
    assert_eq!((last.order, last.default_action), (None, DefaultAction::Deny));
}

#[test]
fn staged_policies_and_other_kinds_are_counted_only() {
    let text = "apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: a}
spec: {stagedAction: Set, selector: all(), ingress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: StagedKubernetesNetworkPolicy
metadata: {name: b}
spec: {podSelector: {}}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: c}
spec: {node: n, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {anything: 1}
";
    let objects = parse("f", text).expect("valid");
    assert_eq!(objects.len(), 4);
    assert!(objects.iter().all(|object| matches!(object, Object::Other(_))), "{objects:?}");
}

#[test]
fn all_mistakes_of_a_policy_are_reported() {
    insta::assert_snapshot!(shown(
        "apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: a}
spec:
  order: high
  selector: role = 'web'
  namespaceSelector: global()
  podSelector: {}
  types: [ingress]
  doNotTrack: true
  performanceHints: [Fast]
  ingress:
    - {}
    - {action: allow}
    - action: Deny
      protocol: tcp
      http: {methods: [GET]}
    - action: Allow
      protocol: 256
    - action: Allow
      ipVersion: 5
      source: {ports: [80]}
    - action: Allow
      protocol: TCP
      source: {nets: [10.0.0.0/33], ports: [0, 70000, '90:80', 'a b'], from: x}
      destination: {services: {name: x}}
    - action: Allow
      ipVersion: 6
      source: {nets: [10.0.0.0/8]}
    - action: Allow
      protocol: ICMP
      ipVersion: 6
      icmp: {code: 1}
    - action: Allow
      icmp: {type: 300}
  egress:
    - action: Allow
      destination:
        services: {}
        selector: all()
        namespaceSelector: role ==
    - action: Allow
      destination: {services: {name: x}, selector: all(), ports: [1]}
      source: {domains: [example.com]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: b}
spec: {namespaceSelector: all(), stagedAction: Set}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicie
metadata: {name: b}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: t, namespace: x}
spec: {defaultAction: deny}
"
    ));
}

fn selectors() -> impl Strategy<Value = Selector> {
    let key = "[a-c/.-]{1,3}";
    let text = "[a-c\"]{0,3}|[a-c']{0,3}";
    let texts = || proptest::collection::vec("[a-c]{0,2}", 0..3);
    let leaf = prop_oneof![
        Just(Selector::All),
        Just(Selector::Global),
        key.prop_map(Selector::Has),
        (key, text).prop_map(|(key, text)| Selector::Equal(key, text)),
        (key, text).prop_map(|(key, text)| Selector::NotEqual(key, text)),
        (key, texts()).prop_map(|(key, texts)| Selector::In(key, texts)),
        (key, texts()).prop_map(|(key, texts)| Selector::NotIn(key, texts)),
        (key, text).prop_map(|(key, text)| Selector::Contains(key, text)),
        (key, text).prop_map(|(key, text)| Selector::StartsWith(key, text)),
        (key, text).prop_map(|(key, text)| Selector::EndsWith(key, text)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Selector::Not(Box::new(inner))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Selector::And),
            proptest::collection::vec(inner, 2..4).prop_map(Selector::Or),
        ]
    })
}

proptest! {
    #[test]
    fn every_selector_that_is_printed_reads_back(selector in selectors()) {
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn any_text_is_a_selector_or_a_mistake_within_it(text in "[a-z =!&|(){}'\",äß\t]{0,40}") {
        if let Err(error) = Selector::parse(&text) {
            prop_assert!(error.offset <= text.chars().count(), "{error}");
        }
    }
}
