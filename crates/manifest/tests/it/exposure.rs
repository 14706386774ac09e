//! Ingress, Gateway API and Route: what is read, and what is said of mistakes.

use sekisho_manifest::{
    Exposure, GatewayRouteKind, IngressBackend, Object, PortRef, RoutesFrom, read,
};

use crate::errors::shown;

fn exposure(text: &str) -> Exposure {
    let reading = read("f", text);
    assert_eq!((&reading.errors, &reading.refusals), (&vec![], &vec![]), "{text}");
    match reading.objects.into_iter().next() {
        Some(Object::Exposure(exposure)) => exposure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_mistakes_of_exposing_objects_are_reported() {
    insta::assert_snapshot!(shown(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  rules:
    - host: 10.0.0.1
      http:
        paths:
          - {path: api, pathType: prefix, backend: {service: {name: a, port: {number: 80, name: http}}}}
          - {path: /, pathType: Exact, backend: {serviceName: a, servicePort: 80}}
          - {path: api, pathType: Exact, backend: {service: {name: a, port: {}}}}
    - {http: {paths: []}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: empty}
spec: {}
---
apiVersion: networking.k8s.io/v1beta1
kind: Ingress
metadata: {name: old}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec: {listeners: [{name: a, port: 70000, protocol: HTTP, allowedRoutes: {namespaces: {from: all}}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  hostname: a.b
  rules:
    - backendRefs: [{name: a}, {name: b, port: 80, weight: -1}, {port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: r}
spec: {hostnames: [a.b]}
---
apiVersion: gateway.networking.k8s.io/v1alpha3
kind: HTTPRoute
metadata: {name: r}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g}
spec: {from: [{kind: HTTPRoute, namespace: a}]}
---
apiVersion: route.openshift.io/v1
kind: Route
metadata: {name: r}
spec: {to: {kind: Pod, name: a, weight: 257}, port: {targetPort: ''}, tls: {termination: Edge}}
"
    ));
}

#[test]
fn an_ingress_is_read_with_its_backends() {
    let Exposure::Ingress(ingress) = exposure(
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{host: \
         '*.a.b', http: {paths: [{pathType: Prefix, path: /x, backend: {service: {name: s, port: \
         {name: http}}}}, {pathType: ImplementationSpecific, backend: {resource: {apiGroup: g, kind: K, name: bucket}}}]}}]}}",
    ) else {
        panic!("no Ingress")
    };
    let [rule] = ingress.rules.as_slice() else { panic!("{:?}", ingress.rules) };
    assert_eq!(rule.host, "*.a.b");
    assert_eq!(
        rule.paths[0].backend,
        IngressBackend::Service { name: "s".to_owned(), port: PortRef::Name("http".to_owned()) }
    );
    assert!(matches!(rule.paths[1].backend, IngressBackend::Resource { .. }));
}

#[test]
fn routes_of_each_version_are_read_and_other_versions_are_not() {
    for (version, kind, wanted) in [
        ("v1", "HTTPRoute", GatewayRouteKind::Http),
        ("v1beta1", "HTTPRoute", GatewayRouteKind::Http),
        ("v1", "GRPCRoute", GatewayRouteKind::Grpc),
        ("v1alpha3", "TLSRoute", GatewayRouteKind::Tls),
        ("v1alpha2", "TCPRoute", GatewayRouteKind::Tcp),
        ("v1alpha2", "UDPRoute", GatewayRouteKind::Udp),
    ] {
        let text = format!(
            "{{apiVersion: gateway.networking.k8s.io/{version}, kind: {kind}, metadata: {{name: r}}, \
             spec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{{name: s, namespace: db, \
             port: 80}}]}}]}}}}"
        );
        let Exposure::GatewayRoute(route) = exposure(&text) else { panic!("{text}") };
        assert_eq!(route.kind, wanted);
        assert_eq!(route.parents[0].kind, "Gateway");
        let backend = &route.rules[0].backends[0];
        assert_eq!((backend.namespace.as_deref(), backend.port), (Some("db"), Some(80)));
        let other = text.replace(&format!("/{version},"), "/v9,");
        assert!(read("f", &other).errors[0].message.contains("not a version"), "{other}");
    }
}

#[test]
fn who_may_attach_to_a_listener_is_the_same_namespace_by_default() {
    for (allowed, wanted) in [
        ("", RoutesFrom::Same),
        (", allowedRoutes: {kinds: [{kind: HTTPRoute}]}", RoutesFrom::Same),
        (", allowedRoutes: {namespaces: {from: All}}", RoutesFrom::All),
        (", allowedRoutes: {namespaces: {from: None}}", RoutesFrom::None),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {}}}",
            RoutesFrom::Selector(Default::default()),
        ),
    ] {
        let text = format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: g}}, spec: \
             {{gatewayClassName: c, listeners: [{{name: l, port: 80, protocol: HTTP{allowed}}}]}}}}"
        );
        let Exposure::Gateway(gateway) = exposure(&text) else { panic!("{text}") };
        assert_eq!(gateway.listeners[0].routes_from, wanted);
    }
}

#[test]
fn a_service_says_how_it_is_reached_from_outside() {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, \
                externalIPs: [192.0.2.1], loadBalancerSourceRanges: [198.51.100.7/24], \
                externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30080}]}, status: \
                {loadBalancer: {ingress: [{ip: 203.0.113.1}, {hostname: x}]}}}";
    let reading = read("f", text);
    let Some(Object::Service(service)) = reading.objects.first() else { panic!("{reading:?}") };
    assert_eq!(service.external_ips.len(), 1);
    assert_eq!(service.load_balancer_ips, ["203.0.113.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(service.source_ranges[0].to_string(), "198.51.100.0/24");
    assert!(service.external_local);
    assert_eq!(service.ports[0].node_port, Some(30080));
    let wrong = text.replace("Local", "local");
    assert!(read("f", &wrong).errors[0].message.contains("must be Cluster or Local"));
}

#[test]
fn a_service_account_is_read() {
    let text = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, labels: {app: z}}, secrets: []}";
    let reading = read("f", text);
    assert!(
        matches!(reading.objects.as_slice(), [Object::ServiceAccount(a)] if a.meta.labels["app"] == "z")
    );
    assert_eq!(read("f", &text.replace("secrets", "spec")).errors.len(), 1);
}
