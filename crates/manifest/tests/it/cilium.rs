//! Objects of Cilium: what is read, and what is refused.

use sekisho_manifest::cilium::{
    Authentication, CidrSource, CiliumObject, Condition, DomainMatch, EndpointSelector, Entity,
    IcmpFamily, IcmpField, LabelSource, Peers, Policy, PolicyScope, PortProtocol, Protocol,
    RuleSpec, Subject,
};
use sekisho_manifest::{Object, PortRef, parse, to_json};

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

fn objects(text: &str) -> Vec<CiliumObject> {
    let objects = parse("policy.yaml", text).expect("valid");
    for object in &objects {
        let again = parse("policy.yaml", &to_json(object)).expect("what is written reads back");
        let again: Vec<String> = again.iter().map(to_json).collect();
        assert_eq!(again, [to_json(object)]);
    }
    let found = objects.into_iter().map(|object| match object {
        Object::Cilium(object) => object,
        other => panic!("{other:?}"),
    });
    found.collect()
}

fn policy(text: &str) -> Policy {
    match objects(text).as_slice() {
        [CiliumObject::Policy(policy)] => policy.clone(),
        other => panic!("{other:?}"),
    }
}

/// The spec of a CiliumNetworkPolicy with these fields.
fn spec(fields: &str) -> RuleSpec {
    let policy = policy(&format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: a}}\nspec: \
         {{endpointSelector: {{}}, {fields}}}\n"
    ));
    policy.rules[0].clone()
}

const FULL_POLICY: &str = "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  description: what web may
  labels: [{key: a, value: b, source: k8s}]
  enableDefaultDeny: {ingress: false}
  endpointSelector:
    matchLabels: {app: web, 'k8s:io.cilium.k8s.policy.serviceaccount': web}
    matchExpressions: [{key: 'any:tier', operator: NotIn, values: [x]}]
  ingress:
    - fromEndpoints:
        - {}
        - matchLabels: {'k8s:io.kubernetes.pod.namespace': front}
      toPorts:
        - ports: [{port: '80', protocol: TCP}, {port: HTTP, protocol: TCP}]
          rules: {http: [{method: GET, path: /}]}
    - fromEntities: [cluster, remote-node]
      icmps: [{fields: [{type: 8}, {family: IPv6, type: EchoRequest}]}]
      authentication: {mode: required}
    - fromCIDR: [10.0.0.5/8]
  ingressDeny:
    - fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.96.0.0/12]}, {cidrGroupRef: vpn}]
  egress:
    - toFQDNs: [{matchName: Example.com.}, {matchPattern: '*.example.com'}]
      toPorts: [{ports: [{port: '443', protocol: ANY}, {port: '1000', endPort: 2000}]}]
    - toServices:
        - k8sService: {serviceName: db, namespace: data}
        - k8sServiceSelector: {selector: {matchLabels: {a: b}}}
    - toPorts:
        - ports: [{port: '53', protocol: UDP}]
          rules: {dns: [{matchPattern: '*'}]}
  egressDeny:
    - toEntities: [world]
      toPorts: [{ports: [{port: '0', protocol: UDP}]}]
specs:
  - endpointSelector: {}
    egress: [{}]
";

#[test]
fn a_policy_is_read_with_all_its_fields() {
    let policy = policy(FULL_POLICY);
    assert_eq!(policy.scope, PolicyScope::Namespaced);
    let [spec, second] = policy.rules.as_slice() else { panic!() };
    assert_eq!(second.subject, Subject::Endpoints(EndpointSelector::default()));
    assert_eq!((second.egress.len(), second.position.line), (1, 37));
    assert_eq!((spec.default_deny_ingress, spec.default_deny_egress), (Some(false), None));
    let Subject::Endpoints(subject) = &spec.subject else { panic!() };
    let sources: Vec<_> = subject.tests.iter().map(|test| test.source.clone()).collect();
    assert_eq!(sources, [LabelSource::Any, LabelSource::K8s, LabelSource::Any]);
    let [endpoints, entities, cidr] = spec.ingress.as_slice() else { panic!() };
    let Some(Peers::Endpoints(selectors)) = &endpoints.peers else { panic!() };
    assert!(selectors[0].tests.is_empty());
    assert!(selectors[1].has_key("io.kubernetes.pod.namespace"));
    assert_eq!(endpoints.ports[0].conditions, [Condition::Http]);
    assert_eq!(endpoints.ports[0].ports[1].port, PortRef::Name("http".to_owned()));
    assert_eq!(entities.peers, Some(Peers::Entities(vec![Entity::Cluster, Entity::RemoteNode])));
    assert_eq!(
        entities.icmps[0].fields,
        [
            IcmpField { family: IcmpFamily::V4, kind: 8 },
            IcmpField { family: IcmpFamily::V6, kind: 128 }
        ]
    );
    assert_eq!(entities.authentication, Some(Authentication::Required));
    let Some(Peers::Networks(nets)) = &cidr.peers else { panic!() };
    assert_eq!(nets[0].source, CidrSource::Cidr("10.0.0.0/8".parse().expect("a range")));
    let Some(Peers::Networks(nets)) = &spec.ingress_deny[0].peers else { panic!() };
    assert_eq!(nets[1].source, CidrSource::Group("vpn".to_owned()));
    let [domains, services, dns] = spec.egress.as_slice() else { panic!() };
    assert_eq!(
        domains.peers,
        Some(Peers::Domains(vec![
            DomainMatch::Name("example.com".to_owned()),
            DomainMatch::Pattern("*.example.com".to_owned())
        ]))
    );
    assert_eq!(
        domains.ports[0].ports[1],
        PortProtocol { protocol: Protocol::Any, port: PortRef::Number(1000), end_port: Some(2000) }
    );
    let Some(Peers::Services(services)) = &services.peers else { panic!() };
    assert_eq!(services[0].service, Some(("data".to_owned(), "db".to_owned())));
    assert_eq!(dns.ports[0].conditions, [Condition::Dns]);
}

#[test]
fn trap_63_absent_and_empty_peers_are_told_apart() {
    let peers = |rule| spec(&format!("ingress: [{rule}]")).ingress[0].peers.clone();
    assert_eq!(peers("{}"), None);
    assert_eq!(peers("{fromEndpoints: null}"), None);
    assert_eq!(peers("{fromEndpoints: []}"), Some(Peers::Endpoints(Vec::new())));
    assert_eq!(
        peers("{fromEndpoints: [{}]}"),
        Some(Peers::Endpoints(vec![EndpointSelector::default()]))
    );
    assert_eq!(peers("{fromCIDRSet: []}"), Some(Peers::Networks(Vec::new())));
    // An empty list makes nothing match, whatever stands beside it.
    assert_eq!(
        peers("{fromEndpoints: [], fromEntities: [all]}"),
        Some(Peers::Endpoints(Vec::new()))
    );
    assert_eq!(peers("{fromGroups: []}"), None);
}

#[test]
fn clusterwide_policies_and_groups_are_read() {
    let found = objects(
        "apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: hosts}
spec:
  nodeSelector: {matchLabels: {type: ingress}}
  ingress: [{fromEntities: [all]}]
---
apiVersion: cilium.io/v2alpha1
kind: CiliumCIDRGroup
metadata: {name: vpn, labels: {role: vpn}}
spec: {externalCIDRs: [10.48.0.0/24, '2001:db8::/32']}
",
    );
    let [CiliumObject::Policy(policy), CiliumObject::CidrGroup(group)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(policy.scope, PolicyScope::Clusterwide);
    assert!(matches!(policy.rules[0].subject, Subject::Nodes(_)));
    assert_eq!(group.cidrs.len(), 2);
}

#[test]
fn other_kinds_of_cilium_are_counted_only() {
    let text = "apiVersion: cilium.io/v2\nkind: CiliumEndpoint\nmetadata: {name: a}\n---\n\
                apiVersion: cilium.io/v2alpha1\nkind: CiliumLoadBalancerIPPool\nmetadata: {name: b}\n";
    let objects = parse("f", text).expect("valid");
    assert!(objects.iter().all(|object| matches!(object, Object::Other(_))), "{objects:?}");
}

#[test]
fn all_mistakes_of_a_policy_are_reported() {
    insta::assert_snapshot!(shown(
        "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: a}
spec:
  podSelector: {}
  nodeSelector: {}
  ingress: []
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: b}
spec:
  endpointSelector:
    matchExpressions:
      - {key: a, operator: is, values: [x]}
      - {key: a, operator: In}
  ingres: []
  ingress:
    - fromEndpoint: []
    - fromEndpoints: [{}]
      fromEntities: [all]
    - fromEntities: [worlds]
    - fromCIDR: [10.0.0.1]
    - fromCIDRSet:
        - {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}
        - {cidr: 10.0.0.0/8, cidrGroupRef: x}
        - {}
    - toFQDNs: [{matchName: a}]
    - toPorts:
        - ports:
            - {port: 80}
            - {port: '65536'}
            - {port: '080'}
            - {port: a--b}
            - {port: '80', endPort: 79}
            - {port: '80', protocol: tcp}
            - {protocol: TCP}
        - ports: [{port: '80'}]
          rules: {http: [{path: /, metod: GET}], kafka: [{}]}
        - ports: [{port: '53', protocol: UDP}]
          rules: {dns: [{matchPattern: '*'}], l7: [{}]}
    - icmps: [{fields: [{type: EchoRequst}, {type: 256}, {family: IPv5, type: 1}, {}]}]
      toPorts: [{}]
      authentication: {mode: maybe}
  ingressDeny:
    - toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]
  egress:
    - toFQDNs: [{matchName: a, matchPattern: b}, {}, {matchName: 'a b'}, {matchPattern: a..b}]
    - toServices: [{}, {k8sService: {namespace: x}}]
  egressDeny:
    - toFQDNs: [{matchName: a}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: c}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumNetworkPolicy
metadata: {name: c}
"
    ));
}
