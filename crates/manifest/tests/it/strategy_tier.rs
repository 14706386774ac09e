//! Random policies in tiers and exposing objects, such as parsing can give.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sekisho_manifest::{
    BackendRef, Exposure, Gateway, GatewayListener, GatewayRoute, GatewayRouteKind,
    GatewayRouteRule, GrantFrom, GrantTo, Ingress, IngressBackend, IngressPath, IngressRule,
    ParentRef, PathType, Position, ReferenceGrant, Route, RouteBackend, RouteTls, RoutesFrom, Tier,
    TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort, TierRule, TierSubject,
};

use crate::strategy::{cidr, labels, meta, name, port_ref, protocol, selector};

fn tier_port() -> impl Strategy<Value = TierPort> {
    let range =
        (protocol(), 1_u16.., option::of(any::<u16>())).prop_map(|(protocol, first, more)| {
            TierPort::Range {
                protocol,
                first,
                last: first.saturating_add(more.unwrap_or_default()),
            }
        });
    prop_oneof![range, name().prop_map(TierPort::Named)]
}

fn tier_peer(kind: TierPolicyKind, is_egress: bool) -> BoxedStrategy<TierPeer> {
    let inside = prop_oneof![
        selector().prop_map(TierPeer::Namespaces),
        (selector(), selector()).prop_map(|(namespaces, pods)| TierPeer::Pods { namespaces, pods }),
    ];
    if !is_egress {
        return inside.boxed();
    }
    let networks = vec(cidr(), 1..4).prop_map(|mut nets| {
        nets.sort();
        nets.dedup();
        TierPeer::Networks(nets)
    });
    let outside = prop_oneof![selector().prop_map(TierPeer::Nodes), networks];
    if kind == TierPolicyKind::BaselineAdminNetworkPolicy {
        return prop_oneof![inside, outside].boxed();
    }
    let names = subsequence(vec!["example.com", "*.example.com", "a_b.c-d.e."], 1..3)
        .prop_map(|names| TierPeer::DomainNames(names.into_iter().map(str::to_owned).collect()));
    prop_oneof![2 => inside, 2 => outside, 1 => names].boxed()
}

fn tier_rule(kind: TierPolicyKind, is_egress: bool) -> impl Strategy<Value = TierRule> {
    let actions = match kind {
        TierPolicyKind::ClusterNetworkPolicy | TierPolicyKind::AdminNetworkPolicy => {
            vec![TierAction::Accept, TierAction::Deny, TierAction::Pass]
        }
        TierPolicyKind::BaselineAdminNetworkPolicy => vec![TierAction::Accept, TierAction::Deny],
    };
    let peers = vec(tier_peer(kind, is_egress), 1..3);
    (name(), select(actions), peers, option::of(vec(tier_port(), 1..3))).prop_map(
        |(name, action, mut peers, mut ports)| {
            let is_outside =
                |peer: &TierPeer| !matches!(peer, TierPeer::Namespaces(_) | TierPeer::Pods { .. });
            if action != TierAction::Accept {
                peers.retain(|peer| !matches!(peer, TierPeer::DomainNames(_)));
            }
            if peers.is_empty() {
                peers.push(TierPeer::Namespaces(Default::default()));
            }
            if peers.iter().any(is_outside) {
                ports = ports.map(|mut ports: Vec<TierPort>| {
                    ports.retain(|port| !matches!(port, TierPort::Named(_)));
                    ports
                });
                ports = ports.filter(|ports| !ports.is_empty());
            }
            TierRule { name, action, peers, ports, position: Position::default() }
        },
    )
}

/// A policy in a tier, of any kind.
pub(crate) fn tier_policy() -> impl Strategy<Value = TierPolicy> {
    let kinds = vec![
        TierPolicyKind::ClusterNetworkPolicy,
        TierPolicyKind::AdminNetworkPolicy,
        TierPolicyKind::BaselineAdminNetworkPolicy,
    ];
    let subject = prop_oneof![
        selector().prop_map(TierSubject::Namespaces),
        (selector(), selector())
            .prop_map(|(namespaces, pods)| TierSubject::Pods { namespaces, pods }),
    ];
    let parts = (meta(true), 0_u16..=1000, subject, select(vec![Tier::Admin, Tier::Baseline]));
    (parts, select(kinds)).prop_flat_map(|((mut meta, priority, subject, tier), kind)| {
        let (tier, priority) = match kind {
            TierPolicyKind::ClusterNetworkPolicy => (tier, priority),
            TierPolicyKind::AdminNetworkPolicy => (Tier::Admin, priority),
            TierPolicyKind::BaselineAdminNetworkPolicy => {
                meta.name = "default".to_owned();
                (Tier::Baseline, 0)
            }
        };
        (vec(tier_rule(kind, false), 0..3), vec(tier_rule(kind, true), 0..3)).prop_map(
            move |(ingress, egress)| TierPolicy {
                meta: meta.clone(),
                kind,
                tier,
                priority,
                subject: subject.clone(),
                ingress,
                egress,
            },
        )
    })
}

fn host() -> impl Strategy<Value = String> {
    select(vec!["", "shop.example.com", "*.example.com"]).prop_map(str::to_owned)
}

fn ingress_backend() -> impl Strategy<Value = IngressBackend> {
    prop_oneof![
        (name(), port_ref()).prop_map(|(name, port)| IngressBackend::Service { name, port }),
        (name(), name()).prop_map(|(kind, name)| IngressBackend::Resource { kind, name }),
    ]
}

fn ingress() -> impl Strategy<Value = Ingress> {
    let types = vec![PathType::Exact, PathType::Prefix, PathType::ImplementationSpecific];
    let path =
        ("/[a-z]{0,3}", select(types), ingress_backend()).prop_map(|(path, path_type, backend)| {
            IngressPath { path, path_type, backend, position: Position::default() }
        });
    let rule = (host(), vec(path, 0..3)).prop_map(|(host, paths)| IngressRule {
        host,
        paths,
        position: Position::default(),
    });
    (meta(false), option::of(name()), ingress_backend(), vec(rule, 0..3)).prop_map(
        |(meta, class, backend, rules)| Ingress {
            meta,
            class,
            default_backend: Some(backend),
            rules,
        },
    )
}

fn gateway() -> impl Strategy<Value = Gateway> {
    let from = prop_oneof![
        Just(RoutesFrom::Same),
        Just(RoutesFrom::All),
        Just(RoutesFrom::None),
        selector().prop_map(RoutesFrom::Selector),
    ];
    let hostname = option::of(Just("*.example.com".to_owned()));
    let listener = (name(), hostname, 1_u16.., from, vec("[A-Z]{3}Route", 0..2)).prop_map(
        |(name, hostname, port, routes_from, route_kinds)| GatewayListener {
            name,
            hostname,
            port,
            protocol: "HTTPS".to_owned(),
            routes_from,
            route_kinds,
            position: Position::default(),
        },
    );
    (meta(false), name(), vec(listener, 1..3), labels()).prop_map(
        |(meta, class, listeners, infrastructure_labels)| Gateway {
            meta,
            class,
            listeners,
            infrastructure_labels,
        },
    )
}

fn backend_ref() -> impl Strategy<Value = BackendRef> {
    (option::of(name()), name(), 1_u16.., 0_u32..=1_000_000, any::<bool>()).prop_map(
        |(namespace, name, port, weight, is_service)| BackendRef {
            group: if is_service { String::new() } else { "example.com".to_owned() },
            kind: if is_service { "Service".to_owned() } else { "Bucket".to_owned() },
            namespace,
            name,
            port: is_service.then_some(port),
            weight,
        },
    )
}

fn gateway_route() -> impl Strategy<Value = GatewayRoute> {
    let kinds = vec![
        GatewayRouteKind::Http,
        GatewayRouteKind::Grpc,
        GatewayRouteKind::Tls,
        GatewayRouteKind::Tcp,
        GatewayRouteKind::Udp,
    ];
    let parent = (option::of(name()), name(), option::of(name()), option::of(1_u16..)).prop_map(
        |(namespace, name, section, port)| ParentRef {
            group: "gateway.networking.k8s.io".to_owned(),
            kind: "Gateway".to_owned(),
            namespace,
            name,
            section,
            port,
        },
    );
    let rule =
        (vec(backend_ref(), 0..3), vec(backend_ref(), 0..2)).prop_map(|(backends, mut mirrors)| {
            mirrors.iter_mut().for_each(|mirror| mirror.weight = 1);
            GatewayRouteRule { backends, mirrors, position: Position::default() }
        });
    (meta(false), select(kinds), vec(parent, 0..3), vec(rule, 1..3)).prop_map(
        |(meta, kind, parents, mut rules)| {
            let is_http = matches!(kind, GatewayRouteKind::Http | GatewayRouteKind::Grpc);
            if !is_http {
                rules.iter_mut().for_each(|rule| rule.mirrors.clear());
            }
            let hostnames = if is_http { vec!["*.example.com".to_owned()] } else { Vec::new() };
            GatewayRoute { meta, kind, parents, hostnames, rules }
        },
    )
}

fn reference_grant() -> impl Strategy<Value = ReferenceGrant> {
    let from = (name(), name()).prop_map(|(kind, namespace)| GrantFrom {
        group: "gateway.networking.k8s.io".to_owned(),
        kind,
        namespace,
    });
    let to = (name(), option::of(name())).prop_map(|(kind, name)| GrantTo {
        group: String::new(),
        kind,
        name,
    });
    (meta(false), vec(from, 1..3), vec(to, 1..3)).prop_map(|(meta, from, to)| ReferenceGrant {
        meta,
        from,
        to,
    })
}

fn route() -> impl Strategy<Value = Route> {
    let backend =
        (name(), 0_u16..=256).prop_map(|(service, weight)| RouteBackend { service, weight });
    let tls = vec![RouteTls::Edge, RouteTls::Passthrough, RouteTls::Reencrypt];
    let (port, tls) = (option::of(port_ref()), option::of(select(tls)));
    (meta(false), host(), vec(backend, 1..4), port, tls).prop_map(
        |(meta, host, backends, target_port, tls)| Route {
            meta,
            host,
            path: "/x".to_owned(),
            backends,
            target_port,
            tls,
        },
    )
}

/// An object that exposes Services.
pub(crate) fn exposure() -> impl Strategy<Value = Exposure> {
    prop_oneof![
        ingress().prop_map(Exposure::Ingress),
        gateway().prop_map(Exposure::Gateway),
        gateway_route().prop_map(Exposure::GatewayRoute),
        reference_grant().prop_map(Exposure::ReferenceGrant),
        route().prop_map(Exposure::Route),
    ]
}

/// Drops positions.
pub(crate) fn forget_tier(policy: &mut TierPolicy) {
    policy.meta.position = Position::default();
    for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
        rule.position = Position::default();
    }
}

/// Drops positions.
pub(crate) fn forget_exposure(exposure: &mut Exposure) {
    exposure.meta_mut().position = Position::default();
    match exposure {
        Exposure::Ingress(ingress) => {
            for rule in &mut ingress.rules {
                rule.position = Position::default();
                rule.paths.iter_mut().for_each(|path| path.position = Position::default());
            }
        }
        Exposure::Gateway(gateway) => {
            gateway.listeners.iter_mut().for_each(|one| one.position = Position::default());
        }
        Exposure::GatewayRoute(route) => {
            route.rules.iter_mut().for_each(|rule| rule.position = Position::default());
        }
        Exposure::ReferenceGrant(_) | Exposure::Route(_) => {}
    }
}
