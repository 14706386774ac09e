//! Policies of Cilium. Traps 61 to 67 of our notes; where a number stands above a test, the
//! documents of Cilium that say so are named (docs.cilium.io, Network Policy).

use crate::world::{World, policy};

/// A CiliumNetworkPolicy `c` of namespace `a` with this spec in flow style.
fn cilium(spec: &str) -> String {
    named("c", spec)
}

fn named(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {name}, namespace: \
         a}}\nspec: {spec}\n"
    )
}

fn clusterwide(spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: \
         w}}\nspec: {spec}\n"
    )
}

/// The small cluster with a policy of these fields about `a/web`.
fn about_web(fields: &str) -> World {
    let spec = format!("{{endpointSelector: {{matchLabels: {{app: web}}}}, {fields}}}");
    World::with(&[cilium(&spec)])
}

// 61: "Deny policies take precedence over allow policies, regardless of whether they are a Cilium
// Network Policy, a Clusterwide Cilium Network Policy or even a Kubernetes Network Policy."
#[test]
fn a_deny_wins_over_every_allow_whatever_the_kinds_and_names() {
    let allow_all = [
        named("a", "{endpointSelector: {}, ingress: [{fromEntities: [all]}]}"),
        named("z", "{endpointSelector: {}, ingress: [{fromEntities: [all]}]}"),
        policy("{podSelector: {}, ingress: [{}]}"),
        clusterwide("{endpointSelector: {}, ingress: [{fromEntities: [all]}]}"),
    ];
    for allow in allow_all {
        let deny = named(
            "m",
            "{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEndpoints: \
             [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}",
        );
        World::with(&[allow, deny]).denies(&["a/web a/db 80"]).allows(&[
            "a/web a/db 81",
            "a/web a/db UDP 80",
            "b/web a/db 80",
            "198.51.100.1 a/db 80",
        ]);
    }
}

// 61: "Similarly to allow policies, Pods will enter default-deny mode as soon as a single policy
// selects it."
#[test]
fn a_deny_alone_isolates_too() {
    let deny =
        "{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEntities: [world]}]}";
    World::with(&[cilium(deny)])
        .denies(&["a/web a/db 80", "198.51.100.1 a/db 80"])
        .allows(&["a/db a/web 80"]);
    let open = deny.replace("ingressDeny", "enableDefaultDeny: {ingress: false}, ingressDeny");
    World::with(&[cilium(&open)])
        .denies(&["198.51.100.1 a/db 80"])
        .allows(&["a/web a/db 80", "node:n1 a/db 80"]);
}

// The table under "Deny Policies".
#[test]
fn the_documented_table_of_deny_policies_holds() {
    let allow = |item: &str| format!("{{fromEndpoints: [{{matchLabels: {{app: web}}}}]{item}}}");
    let port = |port: &str| format!(", toPorts: [{{ports: [{{port: '{port}', protocol: TCP}}]}}]");
    let world = |deny: &[String]| {
        let spec = format!(
            "{{endpointSelector: {{matchLabels: {{app: db}}}}, ingress: [{}, {}, {}], \
             ingressDeny: [{}]}}",
            allow(&port("80")),
            allow(&port("81")),
            allow(""),
            deny.join(", "),
        );
        World::with(&[cilium(&spec)])
    };
    world(&[]).allows(&["a/web a/db 81", "a/web a/db 80", "a/web a/db ICMP 0"]);
    world(&[allow(&port("80"))])
        .allows(&["a/web a/db 81", "a/web a/db ICMP 0"])
        .denies(&["a/web a/db 80"]);
    for both in [vec![allow("")], vec![allow(""), allow(&port("80"))]] {
        world(&both).denies(&["a/web a/db 81", "a/web a/db 80", "a/web a/db ICMP 0"]);
    }
}

// 62: "If any rule selects an Endpoint and the rule has an ingress section, the endpoint goes into
// default deny-mode for ingress" and the like for egress.
#[test]
fn default_deny_is_for_the_directions_that_have_rules() {
    about_web("ingress: [{fromEndpoints: [{matchLabels: {app: db}}]}]")
        .allows(&["a/db a/web 80", "a/web b/bare 80", "b/web b/bare 80"])
        .denies(&["b/web a/web 80", "198.51.100.1 a/web 80"]);
    about_web("egress: [{toEndpoints: [{matchLabels: {app: db}}]}]")
        .allows(&["a/web a/db 80", "b/bare a/web 80"])
        .denies(&["a/web b/bare 80", "a/web 198.51.100.1 80"]);
}

// 62: "Rules with EnableDefaultDeny disabled are ignored when determining the default mode."
#[test]
fn default_deny_that_is_disabled_keeps_the_direction_open() {
    let open = "enableDefaultDeny: {ingress: false}, ingress: [{fromEntities: [cluster]}]";
    about_web(open).allows(&["198.51.100.1 a/web 80", "b/web a/web 80"]);
    // Another policy that isolates still does.
    let closed = named("d", "{endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}");
    let spec = format!("{{endpointSelector: {{}}, {open}}}");
    World::with(&[cilium(&spec), closed])
        .allows(&["b/web a/web 80", "a/db a/web 80"])
        .denies(&["198.51.100.1 a/web 80"]);
    // What is denied is denied all the same.
    about_web("enableDefaultDeny: {egress: false}, egressDeny: [{toEntities: [world]}]")
        .denies(&["a/web 198.51.100.1 80"])
        .allows(&["a/web a/db 80", "a/web node:n2 80"]);
}

// 63: "This example illustrates how to put an endpoint into default deny mode without whitelisting
// other peers" (egress: [{}]); in NetworkPolicy `[{}]` allows everything.
#[test]
fn an_empty_rule_isolates_and_matches_nothing() {
    about_web("ingress: [{}]")
        .denies(&["a/db a/web 80", "198.51.100.1 a/web 80"])
        .allows(&["a/web a/db 80"]);
    about_web("egress: [{}]").denies(&["a/web a/db 80", "a/web 198.51.100.1 80"]);
    about_web("ingressDeny: [{}], ingress: [{fromEntities: [all]}]").allows(&["a/db a/web 80"]);
    // The twin: the same words in a NetworkPolicy.
    World::policy("{podSelector: {}, ingress: [{}]}").allows(&["a/db a/web 80", "b/web a/web 80"]);
}

// 63: the list is empty: nothing; one empty selector: all of the namespace; no list, with ports:
// everyone on these ports.
#[test]
fn absent_empty_and_all_selecting_peers_differ() {
    about_web("ingress: [{fromEndpoints: []}]").denies(&["a/db a/web 80"]);
    about_web("ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}]")
        .denies(&["a/db a/web 80"]);
    about_web("ingress: [{fromEndpoints: [{}]}]").allows(&["a/db a/web 80"]).denies(&[
        "b/web a/web 80",
        "198.51.100.1 a/web 80",
        "node:n2 a/web 80",
    ]);
    about_web("ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]")
        .allows(&["a/db a/web 80", "198.51.100.1 a/web 80", "node:n2 a/web 80"])
        .denies(&["a/db a/web 81", "a/db a/web UDP 80"]);
    about_web("ingress: [{fromEndpoints: [{}], toPorts: [{}]}]").denies(&["a/db a/web 80"]);
    // No rule at all is no policy.
    let spec = "{endpointSelector: {}, enableDefaultDeny: {ingress: true}, ingress: []}";
    World::refused(&[cilium(spec)]).allows(&["a/db a/web 80"]);
}

// 63: "If omitted, we limit the scope to the namespace the policy lives in"; clusterwide policies
// have no such scope (Kubernetes, "Namespaces").
#[test]
fn peers_stay_in_the_namespace_unless_they_name_one() {
    about_web("ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]")
        .denies(&["b/web a/web 80", "c/web a/web 80"]);
    for key in ["k8s:io.kubernetes.pod.namespace", "io.kubernetes.pod.namespace"] {
        about_web(&format!("ingress: [{{fromEndpoints: [{{matchLabels: {{'{key}': b}}}}]}}]"))
            .allows(&["b/web a/web 80", "b/bare a/web 80"])
            .denies(&["c/web a/web 80", "a/db a/web 80"]);
    }
    about_web(
        "ingress: [{fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, \
         operator: Exists}]}]}]",
    )
    .allows(&["b/web a/web 80", "a/db a/web 80"])
    .denies(&["198.51.100.1 a/web 80"]);
    about_web(
        "ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': b, \
         'k8s:io.cilium.k8s.namespace.labels.team': blue, 'any:app': web}}]}]",
    )
    .allows(&["b/web a/web 80"])
    .denies(&["b/bare a/web 80"]);
    World::with(&[clusterwide(
        "{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{}]}]}",
    )])
    .allows(&["b/web a/db 80", "a/web a/db 80"])
    .denies(&["198.51.100.1 a/db 80", "node:n1 a/db 80"]);
    // The subject never leaves the namespace of the policy.
    World::with(&[cilium(
        "{endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': b}}, ingress: [{}]}",
    )])
    .denies(&["a/web a/db 80"])
    .allows(&["a/web b/web 80"]);
}

#[test]
fn namespace_labels_and_service_accounts_are_labels_of_pods() {
    let by = |test: &str| {
        about_web(&format!(
            "ingress: [{{fromEndpoints: [{{matchExpressions: [{{key: \
             'k8s:io.kubernetes.pod.namespace', operator: Exists}}, {test}]}}]}}]"
        ))
    };
    by("{key: io.cilium.k8s.namespace.labels.team, operator: In, values: [blue]}")
        .allows(&["b/web a/web 80"])
        .denies(&["a/db a/web 80", "c/web a/web 80"]);
    by("{key: io.cilium.k8s.namespace.labels.team, operator: DoesNotExist}")
        .allows(&["c/web a/web 80"])
        .denies(&["b/web a/web 80"]);
    by("{key: 'k8s:io.cilium.k8s.policy.serviceaccount', operator: In, values: [default]}")
        .allows(&["b/web a/web 80"]);
    by("{key: 'k8s:io.cilium.k8s.policy.serviceaccount', operator: NotIn, values: [default]}")
        .denies(&["b/web a/web 80"]);
    by("{key: 'container:app', operator: Exists}").denies(&["b/web a/web 80"]);
    by("{key: 'container:app', operator: DoesNotExist}").allows(&["b/web a/web 80"]);
}

// 64: "host: includes the local host, and all containers in host networking mode on it";
// "remote-node: any node other than the local host"; "world: all endpoints outside of the
// cluster"; "cluster: endpoints, host, remote-node"; "all".
#[test]
fn entities_are_classes_of_ends() {
    // a/db runs on n2.
    let from = |entity: &str| {
        World::with(&[cilium(&format!(
            "{{endpointSelector: {{matchLabels: {{app: db}}}}, ingress: [{{fromEntities: \
             [{entity}]}}]}}"
        ))])
    };
    let (remote, pod, world) = ("node:n1 a/db 80", "b/web a/db 80", "198.51.100.1 a/db 80");
    let on_remote = "b/agent a/db 80";
    from("remote-node").allows(&[remote, on_remote]).denies(&[pod, world]);
    from("world").allows(&[world]).denies(&[remote, on_remote, pod]);
    from("cluster").allows(&[remote, on_remote, pod]).denies(&[world]);
    from("all").allows(&[remote, on_remote, pod, world]);
    for nobody in ["host", "none", "init", "health", "unmanaged", "ingress"] {
        from(nobody).denies(&[remote, on_remote, pod, world]);
    }
    from("world-ipv4").allows(&[world]).denies(&["2001:db8::1 a/db 80", pod]);
    from("world-ipv6").allows(&["2001:db8::1 a/db 80"]).denies(&[world, pod]);
}

// 64: "Kubernetes will automatically allow all communication from the local host of all local
// endpoints" (--allow-localhost).
#[test]
fn the_own_node_always_reaches_its_pods() {
    World::with(&[cilium("{endpointSelector: {}, ingress: [{}]}")])
        .allows(&["node:n2 a/db 80"])
        .denies(&["node:n1 a/db 80"]);
    // Towards the node the pod needs the entity.
    let to = |entity: &str| {
        World::with(&[cilium(&format!(
            "{{endpointSelector: {{}}, egress: [{{toEntities: [{entity}]}}]}}"
        ))])
    };
    to("host").allows(&["a/db node:n2 80"]).denies(&["a/db node:n1 80"]);
    to("remote-node").allows(&["a/db node:n1 80"]).denies(&["a/db node:n2 80"]);
}

// 64: the API server is where the control plane is.
#[test]
fn the_api_server_is_on_nodes_of_the_control_plane() {
    let master = "apiVersion: v1\nkind: Node\nmetadata: {name: cp, labels: \
                  {node-role.kubernetes.io/control-plane: ''}}\nstatus: {addresses: [{type: \
                  InternalIP, address: 192.0.2.9}]}\n";
    let policy = cilium("{endpointSelector: {}, egress: [{toEntities: [kube-apiserver]}]}");
    World::with(&[master.to_owned(), policy])
        .allows(&["a/db node:cp 6443", "a/db 192.0.2.9 6443"])
        .denies(&["a/db node:n1 6443", "a/db 198.51.100.1 6443"]);
}

#[test]
fn reserved_labels_select_entities() {
    let from = |selector: &str| {
        World::with(&[cilium(&format!(
            "{{endpointSelector: {{matchLabels: {{app: db}}}}, ingress: [{{fromEndpoints: \
             [{selector}]}}]}}"
        ))])
    };
    let (remote, pod, world) = ("node:n1 a/db 80", "b/web a/db 80", "198.51.100.1 a/db 80");
    from("{matchLabels: {'reserved:world': ''}}").allows(&[world]).denies(&[pod, remote]);
    from("{matchExpressions: [{key: 'reserved:remote-node', operator: Exists}]}")
        .allows(&[remote])
        .denies(&[pod, world]);
    from("{matchExpressions: [{key: 'reserved:world', operator: DoesNotExist}]}")
        .allows(&[pod, remote])
        .denies(&[world]);
    from("{matchLabels: {'reserved:world': x}}").denies(&[world, pod]);
}

// 65: "Only connections destined for outside of the cluster and not targeting the host will be
// subject to CIDR rules" (toCIDR; policy-cidr-match-mode is empty by default).
#[test]
fn ranges_match_the_world_only() {
    about_web("egress: [{toCIDR: [0.0.0.0/0]}]").allows(&["a/web 198.51.100.1 80"]).denies(&[
        "a/web a/db 80",
        "a/web node:n2 80",
        "a/web 192.0.2.2 80",
        "a/web 2001:db8::1 80",
    ]);
    about_web("egress: [{toCIDRSet: [{cidr: 198.51.100.0/24, except: [198.51.100.128/25]}]}]")
        .allows(&["a/web 198.51.100.1 80"])
        .denies(&["a/web 198.51.100.129 80", "a/web 203.0.113.1 80"]);
    about_web("egressDeny: [{toCIDR: [10.0.0.0/8]}], egress: [{toEntities: [all]}]")
        .allows(&["a/web a/db 80", "a/web 198.51.100.1 80"])
        .denies(&["a/web 10.9.9.9 80"]);
}

#[test]
fn groups_of_ranges_are_picked_by_name_and_label() {
    let group = "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: vpn, labels: \
                 {role: vpn}}\nspec: {externalCIDRs: [198.51.100.0/24]}\n";
    let from = |item: &str| {
        let spec = format!("{{endpointSelector: {{}}, ingress: [{{fromCIDRSet: [{item}]}}]}}");
        World::with(&[group.to_owned(), cilium(&spec)])
    };
    for item in ["{cidrGroupRef: vpn}", "{cidrGroupSelector: {matchLabels: {role: vpn}}}"] {
        from(item).allows(&["198.51.100.1 a/db 80"]).denies(&["203.0.113.1 a/db 80"]);
    }
    for item in ["{cidrGroupRef: other}", "{cidrGroupSelector: {matchLabels: {role: x}}}"] {
        from(item).denies(&["198.51.100.1 a/db 80", "a/web a/db 80"]);
    }
}

// 66: layer 7 rules let connections through to the proxy.
#[test]
fn application_rules_are_conditions_of_an_allow() {
    let world = about_web(
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: \
         {http: [{method: GET}]}}]}]",
    );
    world.allows(&["a/db a/web 80"]).denies(&["a/db a/web 81", "b/web a/web 80"]);
    let tier = &world.rules.rulebook().tiers[0];
    let rule = &tier.policies[0].ingress.as_ref().expect("ingress").rules[0];
    assert_eq!(rule.condition.as_deref(), Some("HTTP rules"));
}

// 66: names are known only once they are asked for, so they are symbolic; patterns are of one
// label (`*.`), or of any number (`**.`).
#[test]
fn domains_are_symbolic_and_patterns_stay_within_labels() {
    let to = |item: &str| about_web(&format!("egress: [{{toFQDNs: [{item}]}}]"));
    to("{matchName: example.com}").allows(&["a/web domain:example.com 443"]).denies(&[
        "a/web domain:www.example.com 443",
        "a/web 198.51.100.1 443",
        "a/web a/db 443",
    ]);
    to("{matchPattern: '*.example.com'}")
        .allows(&["a/web domain:www.example.com 443"])
        .denies(&["a/web domain:example.com 443", "a/web domain:a.b.example.com 443"]);
    to("{matchPattern: 'sub*.example.com'}")
        .allows(&["a/web domain:sub.example.com 443", "a/web domain:subs.example.com 443"])
        .denies(&["a/web domain:www.example.com 443"]);
    to("{matchPattern: '**.example.com'}")
        .allows(&["a/web domain:www.example.com 443", "a/web domain:a.b.example.com 443"])
        .denies(&["a/web domain:example.com 443"]);
    to("{matchPattern: '*'}").allows(&["a/web domain:a.b.c 443"]).denies(&["a/web a/db 443"]);
}

// 67: toServices stands for the pods behind a Service.
#[test]
fn services_stand_for_the_pods_behind_them() {
    let services = [
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: a, labels: {env: staging}}\n\
         spec: {selector: {app: db}, ports: [{port: 5432}]}\n"
            .to_owned(),
        "apiVersion: v1\nkind: Service\nmetadata: {name: by-hand, namespace: a}\nspec: {ports: \
         [{port: 5432}]}\n"
            .to_owned(),
    ];
    let to = |item: &str| {
        let spec = format!(
            "{{endpointSelector: {{matchLabels: {{app: web}}}}, egress: [{{toServices: [{item}]}}]}}"
        );
        let mut documents = services.to_vec();
        documents.push(cilium(&spec));
        World::with(&documents)
    };
    for item in [
        "{k8sService: {serviceName: db, namespace: a}}",
        "{k8sServiceSelector: {selector: {matchLabels: {env: staging}}, namespace: a}}",
        "{k8sServiceSelector: {selector: {matchLabels: {env: staging}}}}",
        "{k8sService: {serviceName: db}}",
        "{k8sService: {serviceName: x}, k8sServiceSelector: {selector: {matchLabels: {env: \
         staging}}}}",
    ] {
        to(item).allows(&["a/web a/db 5432"]).denies(&["a/web b/web 5432"]);
    }
    for item in [
        "{k8sService: {serviceName: by-hand, namespace: a}}",
        "{k8sService: {serviceName: db, namespace: b}}",
        "{k8sServiceSelector: {selector: {matchLabels: {env: prod}}}}",
    ] {
        to(item).denies(&["a/web a/db 5432", "a/web 198.51.100.1 5432"]);
    }
}

// 67: ICMP types; "If any layer 4 policy is specified, then ICMP will be blocked".
#[test]
fn icmp_needs_a_rule_of_its_own_beside_ports() {
    about_web("ingress: [{fromEndpoints: [{}]}]").allows(&["a/db a/web ICMP 0", "a/db a/web 80"]);
    about_web("ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '0'}]}]}]")
        .allows(&["a/db a/web 80", "a/db a/web UDP 1", "a/db a/web SCTP 65535"])
        .denies(&["a/db a/web ICMP 0"]);
    // One type is not the whole protocol, and says nothing of ports.
    let world = about_web("ingress: [{fromEndpoints: [{}], icmps: [{fields: [{type: 8}]}]}]");
    world.denies(&["a/db a/web ICMP 0", "a/db a/web 80"]);
    let side = world.rules.rulebook().tiers[0].policies[0].ingress.clone().expect("ingress");
    assert_eq!(side.rules.len(), 1);
}

#[test]
fn ports_have_names_ranges_and_any_protocol() {
    let on = |ports: &str| {
        about_web(&format!("ingress: [{{fromEndpoints: [{{}}], toPorts: [{{ports: [{ports}]}}]}}]"))
    };
    on("{port: '80'}").allows(&["a/db a/web 80", "a/db a/web UDP 80"]).denies(&["a/db a/web 81"]);
    on("{port: '80', endPort: 90, protocol: TCP}")
        .allows(&["a/db a/web 80", "a/db a/web 90"])
        .denies(&["a/db a/web 91", "a/db a/web UDP 85"]);
    on("{port: http, protocol: TCP}")
        .allows(&["a/db a/web 8080"])
        .denies(&["a/db a/web 80", "a/db a/web UDP 8080"]);
    on("{port: dns}").allows(&["a/db a/web UDP 53"]).denies(&["a/db a/web 53"]);
    on("{port: nothing}").denies(&["a/db a/web 8080"]);
}

// fromRequires (up to 1.18): "stay in effect no matter what would otherwise be allowed".
#[test]
fn what_is_required_of_endpoints_limits_every_allow() {
    let required = named(
        "r",
        "{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromRequires: [{matchLabels: \
         {app: db}}]}]}",
    );
    let allow = |entity: &str| {
        cilium(&format!("{{endpointSelector: {{}}, ingress: [{{fromEntities: [{entity}]}}]}}"))
    };
    World::with(&[required.clone(), allow("cluster")])
        .allows(&["a/db a/web 80", "a/web a/db 80"])
        .denies(&["b/web a/web 80"]);
    World::with(&[required]).denies(&["a/db a/web 80"]);
}

// Policies with nodeSelector are about nodes (Host Firewall).
#[test]
fn policies_about_nodes_say_nothing_of_pods() {
    World::with(&[clusterwide("{nodeSelector: {}, ingress: [{}]}")])
        .allows(&["a/db a/web 80", "b/web node:n1 80"]);
}

#[test]
fn network_policies_and_ciliums_unite() {
    World::with(&[
        policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}"),
        cilium("{endpointSelector: {}, ingress: [{fromEntities: [world]}]}"),
    ])
    .allows(&["a/db a/web 80", "198.51.100.1 a/web 80"])
    .denies(&["b/web a/web 80"]);
}

#[test]
fn every_spec_of_a_policy_counts() {
    let text = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c, namespace: \
                a}\nspecs:\n- {endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}\n- \
                {endpointSelector: {matchLabels: {app: db}}, egress: [{}]}\n";
    World::with(&[text.to_owned()])
        .denies(&["b/web a/web 80", "a/db b/web 80"])
        .allows(&["b/web a/db 80", "a/web b/web 80"]);
}
