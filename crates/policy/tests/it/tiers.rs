//! The traps of policies in tiers, numbered 48 to 60 in our notes, at the crate's verbs. The random
//! ones are in `tier_properties`, the upstream ones in `cnp_conformance`.

use sekisho_model::Protocol;
use sekisho_policy::{Connection, Decision, Peer, PolicyKind, Reason};

use crate::world::{World, errors, policy};

const ALL: &str = "{namespaces: {}}";
/// Deny and Accept of everything that pods send.
const DENY_ALL: &str = "ingress: [{action: Deny, from: [{namespaces: {}}]}]";
const ACCEPT_ALL: &str = "ingress: [{action: Accept, from: [{namespaces: {}}]}]";

/// A ClusterNetworkPolicy over all pods.
fn cnp(name: &str, tier: &str, priority: u16, rules: &str) -> String {
    cnp_for(name, tier, priority, ALL, rules)
}

fn cnp_for(name: &str, tier: &str, priority: u16, subject: &str, rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: \
         {{name: {name}}}\nspec: {{tier: {tier}, priority: {priority}, subject: {subject}, {rules}}}\n"
    )
}

fn anp(name: &str, priority: u16, rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: \
         {name}}}\nspec: {{priority: {priority}, subject: {{namespaces: {{}}}}, {rules}}}\n"
    )
}

fn banp(rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: \
         {{name: default}}\nspec: {{subject: {{namespaces: {{}}}}, {rules}}}\n"
    )
}

/// Who decided the ingress side: tier, policy and rule.
fn ingress_by(decision: &Decision) -> (Option<&str>, Option<(&str, u32)>) {
    let rule = match &decision.ingress.reason {
        Reason::Rule { policy, rule, .. } => Some((policy.name.as_str(), *rule)),
        Reason::NoRule { isolated_by } => Some((isolated_by[0].name.as_str(), u32::MAX)),
        Reason::NotSubject | Reason::Itself | Reason::OwnNode | Reason::NotIsolated => None,
    };
    (decision.ingress.tier.as_deref(), rule)
}

// 48
#[test]
fn tiers_are_asked_in_the_order_admin_network_policy_baseline() {
    let allow_web =
        policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}");
    // Admin before NetworkPolicy, both ways.
    World::with(&[cnp("p", "Admin", 1, DENY_ALL), allow_web.clone()]).denies(&["a/web a/db 80"]);
    World::with(&[cnp("p", "Admin", 1, ACCEPT_ALL), allow_web.clone()])
        .allows(&["a/web a/db 80", "b/web a/db 80"]);
    // NetworkPolicy before Baseline, both ways; Baseline where no NetworkPolicy selects.
    World::with(&[cnp("p", "Baseline", 1, DENY_ALL), allow_web.clone()])
        .allows(&["a/web a/db 80"])
        .denies(&["b/web a/db 80", "a/web b/web 80"]);
    World::with(&[cnp("p", "Baseline", 1, ACCEPT_ALL), allow_web])
        .denies(&["b/web a/db 80"])
        .allows(&["a/web b/web 80"]);
    // The default after all.
    World::with(&[]).allows(&["b/web a/db 80"]);
}

#[test]
fn the_tier_that_decided_is_named() {
    let world = World::with(&[
        cnp(
            "p",
            "Admin",
            1,
            "ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: blue}}}]}]",
        ),
        policy("{podSelector: {matchLabels: {app: db}}}"),
        cnp(
            "q",
            "Baseline",
            1,
            "ingress: [{action: Pass, from: [{pods: {podSelector: {matchLabels: {app: db}}}}]}, {action: Deny, from: [{namespaces: {}}]}]",
        ),
    ]);
    let by = |flow| world.decide(flow);
    assert_eq!(ingress_by(&by("b/web a/web 80")), (Some("admin"), Some(("p", 0))));
    assert_eq!(ingress_by(&by("a/web a/db 80")), (Some("network_policy"), Some(("p", u32::MAX))));
    assert_eq!(ingress_by(&by("c/web a/web 80")), (Some("baseline"), Some(("q", 1))));
    assert_eq!(ingress_by(&by("a/db a/web 80")), (None, None));
}

// 49
#[test]
fn the_lowest_priority_is_asked_first() {
    for (accept, deny, allowed) in [(0, 1, true), (1, 0, false), (999, 1000, true), (10, 9, false)]
    {
        let world = World::with(&[
            cnp("a", "Admin", accept, ACCEPT_ALL),
            cnp("b", "Admin", deny, DENY_ALL),
        ]);
        assert_eq!(world.decide("b/web a/db 80").allows(), allowed, "{accept} {deny}");
    }
    let wrong = errors(&cnp("p", "Admin", 1001, DENY_ALL));
    assert!(wrong.contains("spec.priority: must be from 0 to 1000, found 1001"), "{wrong}");
}

// 49
#[test]
fn equal_priorities_have_equal_ranks_and_are_asked_by_kind_and_name() {
    let world = World::with(&[
        cnp("b", "Admin", 5, DENY_ALL),
        cnp("a", "Admin", 5, ACCEPT_ALL),
        anp("a", 5, "ingress: [{action: Deny, from: [{namespaces: {}}]}]"),
    ]);
    world.allows(&["b/web a/db 80"]);
    let policies = &world.rules.rulebook().tiers[0].policies;
    let order: Vec<_> =
        policies.iter().map(|one| (one.name.kind, one.name.name.as_str())).collect();
    let (cluster, admin) = (PolicyKind::ClusterNetworkPolicy, PolicyKind::AdminNetworkPolicy);
    assert_eq!(order, [(cluster, "a"), (cluster, "b"), (admin, "a")]);
    assert!(policies.iter().all(|one| one.rank == policies[0].rank));
    // One that speaks about others makes no difference, whatever its priority.
    World::with(&[
        cnp_for("a", "Admin", 0, "{namespaces: {matchLabels: {team: blue}}}", ACCEPT_ALL),
        cnp("b", "Admin", 5, DENY_ALL),
    ])
    .denies(&["b/web a/db 80"])
    .allows(&["a/db b/web 80"]);
}

// 50
#[test]
fn the_first_rule_that_matches_decides_each_port_so_overlaps_split() {
    let range = |first, last| {
        format!(
            "protocols: [{{tcp: {{destinationPort: {{range: {{start: {first}, end: {last}}}}}}}}}]"
        )
    };
    let rules = format!(
        "ingress: [{{action: Deny, from: [{ALL}], {}}}, {{action: Accept, from: [{ALL}], {}}}, {{action: \
         Deny, from: [{ALL}]}}]",
        range(80, 90),
        range(85, 100)
    );
    World::with(&[cnp("p", "Admin", 1, &rules)])
        .denies(&["b/web a/db 80", "b/web a/db 85", "b/web a/db 90", "b/web a/db 101"])
        .allows(&["b/web a/db 91", "b/web a/db 100"]);
}

// 50
#[test]
fn the_first_rule_that_matches_decides_each_peer() {
    let rules = "ingress: [{action: Accept, from: [{namespaces: {matchLabels: {team: blue}}}]}, \
                 {action: Deny, from: [{pods: {podSelector: {matchLabels: {app: web}}}}]}]";
    World::with(&[cnp("p", "Admin", 1, rules)])
        .allows(&["b/web a/db 80", "b/bare a/db 80"])
        .denies(&["c/web a/db 80", "a/web a/db 80"]);
}

// 51
#[test]
fn pass_in_admin_skips_the_rest_of_the_tier_and_asks_network_policies() {
    let pass = cnp(
        "a",
        "Admin",
        1,
        "ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: blue}}}]}]",
    );
    let deny = cnp("b", "Admin", 2, DENY_ALL);
    // The rest of the same policy is skipped as well.
    let rules = "ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: blue}}}]}, {action: \
                 Deny, from: [{namespaces: {}}]}]";
    for admin in [vec![pass, deny], vec![cnp("a", "Admin", 1, rules)]] {
        World::with(&admin).allows(&["b/web a/db 80"]).denies(&["c/web a/db 80"]);
        let with = |spec: &str| World::with(&[admin.clone(), vec![policy(spec)]].concat());
        with("{podSelector: {}}").denies(&["b/web a/db 80"]);
        with("{podSelector: {}, ingress: [{}]}").allows(&["b/web a/db 80"]);
    }
}

// 51
#[test]
fn pass_in_baseline_ends_in_the_default_which_allows() {
    let rules = "ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: blue}}}]}]";
    World::with(&[cnp("a", "Baseline", 1, rules), cnp("b", "Baseline", 2, DENY_ALL)])
        .allows(&["b/web a/db 80"])
        .denies(&["c/web a/db 80"]);
    // Pass in Admin, and no NetworkPolicy selects: Baseline is asked.
    World::with(&[cnp("a", "Admin", 1, rules), cnp("b", "Baseline", 2, DENY_ALL)])
        .denies(&["b/web a/db 80"]);
}

// 52
#[test]
fn what_no_rule_matches_is_not_denied() {
    let rules = "ingress: [{action: Accept, from: [{namespaces: {matchLabels: {team: blue}}}]}]";
    for tier in ["Admin", "Baseline"] {
        World::with(&[cnp("p", tier, 1, rules)]).allows(&["c/web a/db 80", "203.0.113.1 a/db 80"]);
    }
    // A NetworkPolicy with the same words isolates.
    World::policy(
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}",
    )
    .denies(&["c/web a/db 80", "203.0.113.1 a/db 80"])
    .allows(&["b/web a/db 80"]);
}

// 53
#[test]
fn a_network_policy_that_selects_the_pod_decides_for_good() {
    // It denies by having no rule that allows; Baseline is not asked.
    let baseline = cnp("p", "Baseline", 1, ACCEPT_ALL);
    World::with(&[baseline.clone(), policy("{podSelector: {}}")]).denies(&["b/web a/db 80"]);
    World::with(std::slice::from_ref(&baseline)).allows(&["b/web a/db 80"]);
    // In the other direction it says nothing, so there Baseline is asked.
    let egress = cnp("q", "Baseline", 1, "egress: [{action: Deny, to: [{namespaces: {}}]}]");
    World::with(&[egress.clone(), policy("{podSelector: {}, ingress: [{}]}")])
        .denies(&["a/web a/db 80"]);
    World::with(&[egress, policy("{podSelector: {}, policyTypes: [Egress], egress: [{}]}")])
        .allows(&["a/web a/db 80"])
        .denies(&["b/web a/db 80"]);
}

// 54
#[test]
fn each_direction_is_decided_for_itself() {
    let accept = cnp("a", "Admin", 1, "egress: [{action: Accept, to: [{namespaces: {}}]}]");
    World::with(&[accept.clone(), cnp("b", "Admin", 2, DENY_ALL)]).denies(&["a/web a/db 80"]);
    World::with(&[accept.clone(), policy("{podSelector: {}}")]).denies(&["b/web a/db 80"]);
    World::with(&[accept, policy("{podSelector: {}, policyTypes: [Egress]}")])
        .allows(&["a/web b/web 80"]);
}

// 55
#[test]
fn the_older_kinds_say_allow_and_baseline_there_has_no_pass() {
    let allow = "ingress: [{action: Allow, from: [{namespaces: {matchLabels: {team: blue}}}]}, {action: Deny, from: [{namespaces: {}}]}]";
    World::with(&[anp("p", 1, allow), policy("{podSelector: {}}")])
        .allows(&["b/web a/db 80"])
        .denies(&["c/web a/db 80"]);
    World::with(&[banp(allow)]).allows(&["b/web a/db 80"]).denies(&["c/web a/db 80"]);
    let pass = anp("p", 1, "ingress: [{action: Pass, from: [{namespaces: {}}]}]");
    World::with(&[pass, anp("q", 2, "ingress: [{action: Deny, from: [{namespaces: {}}]}]")])
        .allows(&["b/web a/db 80"]);
    for (text, words) in [
        (banp("ingress: [{action: Pass, from: [{namespaces: {}}]}]"), "must be Allow or Deny"),
        (banp(DENY_ALL).replace("name: default", "name: other"), "named `default`"),
        (
            banp(DENY_ALL).replace("subject:", "priority: 1, subject:"),
            "spec.priority: unknown field",
        ),
        (anp("p", 1, ACCEPT_ALL), "must be Allow, Deny or Pass, found `Accept`"),
        (
            cnp("p", "Admin", 1, "ingress: [{action: Allow, from: [{namespaces: {}}]}]"),
            "must be Accept, Deny or Pass, found `Allow`",
        ),
    ] {
        assert!(errors(&text).contains(words), "{words}: {}", errors(&text));
    }
}

// 55
#[test]
fn baseline_cluster_network_policies_have_priorities_among_themselves() {
    World::with(&[
        cnp("a", "Baseline", 2, DENY_ALL),
        cnp(
            "b",
            "Baseline",
            1,
            "ingress: [{action: Accept, from: [{namespaces: {matchLabels: {team: blue}}}]}]",
        ),
    ])
    .allows(&["b/web a/db 80"])
    .denies(&["c/web a/db 80"]);
}

// 56
#[test]
fn a_subject_is_namespaces_or_pods_and_pods_need_both_selectors() {
    let rules = "ingress: [{action: Deny, from: [{namespaces: {}}]}]";
    let with = |subject: &str| World::with(&[cnp_for("p", "Admin", 1, subject, rules)]);
    with("{namespaces: {matchLabels: {team: blue}}}")
        .denies(&["a/db b/web 80", "a/db b/bare 80"])
        .allows(&["b/web a/web 80"]);
    with("{pods: {namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}}")
        .denies(&["a/db b/web 80"])
        .allows(&["a/db b/bare 80", "b/web a/web 80"]);
    with("{pods: {podSelector: {matchLabels: {app: web}}}}")
        .denies(&["a/db b/web 80", "b/web a/web 80"])
        .allows(&["b/web a/db 80"]);
    for subject in ["{}", "{namespaces: {}, pods: {podSelector: {}}}"] {
        assert!(errors(&cnp_for("p", "Admin", 1, subject, rules)).contains("spec.subject"));
    }
}

// 56
#[test]
fn a_peer_of_pods_needs_both_selectors_and_items_are_alternatives() {
    let with = |peers: &str| {
        World::with(&[cnp(
            "p",
            "Admin",
            1,
            &format!("ingress: [{{action: Deny, from: [{peers}]}}]"),
        )])
    };
    with("{pods: {namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}}")
        .denies(&["b/web a/db 80"])
        .allows(&["b/bare a/db 80", "a/web a/db 80"]);
    with("{pods: {namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}}, {namespaces: {matchLabels: {team: red}}}")
        .denies(&["b/web a/db 80", "a/web a/db 80"])
        .allows(&["b/bare a/db 80"]);
    // All namespaces, but no ends outside the cluster and no nodes.
    with(ALL).denies(&["c/web a/db 80"]).allows(&["203.0.113.1 a/db 80", "node:n1 a/db 80"]);
}

// 57
#[test]
fn protocols_match_numbers_ranges_and_names_and_unset_matches_icmp_too() {
    let with = |protocols: &str| {
        World::with(&[cnp(
            "p",
            "Admin",
            1,
            &format!("ingress: [{{action: Deny, from: [{ALL}]{protocols}}}]"),
        )])
    };
    with(", protocols: [{tcp: {destinationPort: {number: 80}}}]")
        .denies(&["b/web a/web 80"])
        .allows(&["b/web a/web 81", "b/web a/web UDP 80", "b/web a/web ICMP 0"]);
    with(", protocols: [{udp: {destinationPort: {range: {start: 10, end: 20}}}}, {sctp: {destinationPort: {number: 5}}}]")
        .denies(&["b/web a/web UDP 10", "b/web a/web UDP 20", "b/web a/web SCTP 5"])
        .allows(&["b/web a/web UDP 9", "b/web a/web UDP 21", "b/web a/web 10", "b/web a/web SCTP 6"]);
    with("").denies(&["b/web a/web 1", "b/web a/web SCTP 65535", "b/web a/web ICMP 0"]);
    let empty = cnp(
        "p",
        "Admin",
        1,
        "ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 9}}}}]}]",
    );
    assert!(errors(&empty).contains("start must be below end"));
}

// 57
#[test]
fn a_named_port_is_the_destinations_whatever_its_protocol() {
    let rules = |direction: &str, peers: &str, name: &str| {
        format!(
            "{direction}: [{{action: Deny, {peers}: [{ALL}], protocols: [{{destinationNamedPort: {name}}}]}}]"
        )
    };
    // `http` is 8080 at a/web and 9090 at a/db; `dns` is 53/UDP at a/web.
    World::with(&[cnp("p", "Admin", 1, &rules("ingress", "from", "http"))])
        .denies(&["b/web a/web 8080", "b/web a/db 9090"])
        .allows(&["b/web a/web 9090", "b/web a/db 8080", "a/web b/web 8080"]);
    World::with(&[cnp("p", "Admin", 1, &rules("egress", "to", "dns"))])
        .denies(&["b/web a/web UDP 53"])
        .allows(&["b/web a/web 53", "b/web a/db UDP 53"]);
}

// 58
#[test]
fn networks_match_pods_nodes_and_icmp_of_their_family() {
    let with = |net: &str| {
        World::with(&[cnp(
            "p",
            "Admin",
            1,
            &format!("egress: [{{action: Deny, to: [{{networks: ['{net}']}}]}}]"),
        )])
    };
    with("0.0.0.0/0")
        .denies(&[
            "a/web@10.0.0.1 a/db@10.0.0.2 80",
            "a/web 203.0.113.1 80",
            "a/web node:n2@192.0.2.2 80",
        ])
        .denies(&["a/web 203.0.113.1 ICMP 0", "b/web b/agent 80"])
        .allows(&["a/web@fd00::1 a/db@fd00::2 80", "a/web 2001:db8::1 80"]);
    with("fd00::/8")
        .denies(&["a/web@fd00::1 a/db@fd00::2 80", "a/web@fd00::1 a/db@fd00::2 ICMP 0"])
        .allows(&["a/web@10.0.0.1 a/db@10.0.0.2 80", "a/web 2001:db8::1 80"]);
    // Passing pods on first leaves the rest to the network, as the API advises.
    let rules = "egress: [{action: Pass, to: [{namespaces: {}}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]";
    World::with(&[cnp("p", "Admin", 1, rules)])
        .allows(&["a/web a/db 80"])
        .denies(&["a/web 203.0.113.1 80"]);
}

// 58
#[test]
fn nodes_match_the_addresses_of_selected_nodes_only() {
    let labelled = "{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {edge: 'yes'}}, status: \
                    {addresses: [{type: InternalIP, address: 192.0.2.2}, {type: ExternalIP, address: \
                    203.0.113.9}, {type: Hostname, address: n2}]}}\n";
    let with = |selector: &str| {
        let rules = format!("egress: [{{action: Deny, to: [{{nodes: {selector}}}]}}]");
        World::with(&[labelled.to_owned(), cnp("p", "Admin", 1, &rules)])
    };
    with("{matchLabels: {edge: 'yes'}}")
        .denies(&["a/web node:n2 80", "a/web 192.0.2.2 80", "a/web 203.0.113.9 80"])
        .allows(&["a/web node:n1 80", "a/web b/agent 80", "a/web 203.0.113.1 80", "a/web a/db 80"]);
    // Empty selects all; a host-network pod has its node's address.
    with("{}").denies(&["a/web node:n1 80", "a/web b/agent 80"]).allows(&["a/web c/web 80"]);
    let inward = cnp("p", "Admin", 1, "ingress: [{action: Deny, from: [{nodes: {}}]}]");
    assert!(errors(&inward).contains("spec.ingress[0].from[0].nodes: unknown field"));
}

// 58
#[test]
fn domain_names_match_by_whole_labels_and_only_accept() {
    let world = World::with(&[
        cnp(
            "a",
            "Admin",
            1,
            "egress: [{action: Accept, to: [{domainNames: ['*.Example.com.', one.org]}]}, {action: Deny, to: [{networks: [0.0.0.0/0, '::/0']}]}]",
        ),
        policy("{podSelector: {}, policyTypes: [Egress]}"),
    ]);
    let asks = |name: &str| {
        let source = Peer::Endpoint(world.cluster.endpoint_of_pod("a", "web").unwrap());
        let connection = Connection {
            source,
            destination: Peer::Domain(name),
            source_address: None,
            destination_address: None,
            protocol: Protocol::Tcp,
            port: 443,
        };
        world.rules.decide(&world.cluster, &connection).allows()
    };
    for name in ["www.example.com", "a.b.example.com", "one.org"] {
        assert!(asks(name), "{name}");
    }
    for name in ["example.com", "notexample.com", "www.one.org", "example.com.org"] {
        assert!(!asks(name), "{name}");
    }
    // Names say nothing of addresses, which change.
    world.denies(&["a/web 203.0.113.1 443"]);
    for action in ["Deny", "Pass"] {
        let rules = format!("egress: [{{action: {action}, to: [{{domainNames: [a.b]}}]}}]");
        assert!(errors(&cnp("p", "Admin", 1, &rules)).contains("only be used with action Accept"));
    }
}

// 58
#[test]
fn a_named_port_matches_no_network() {
    let rules = "egress: [{action: Deny, to: [{networks: [10.0.0.2/32]}, {pods: {podSelector: \
                 {matchLabels: {tier: front}}}}], protocols: [{destinationNamedPort: http}, {tcp: \
                 {destinationPort: {number: 80}}}]}]";
    assert!(
        errors(&cnp("p", "Admin", 1, rules)).contains("may not stand together with a named port")
    );
    World::refused(&[cnp("p", "Admin", 1, rules)])
        .denies(&["b/web a/web 8080", "b/web a/web 80", "b/web a/db 80"])
        .allows(&["b/web a/db 9090"]);
}

// 59
#[test]
fn items_are_limited_to_25_and_in_v1alpha1_to_100() {
    let rules = |word: &str, count: usize| {
        let rule = format!("{{action: {word}, from: [{{namespaces: {{}}}}]}}");
        format!("ingress: [{}]", vec![rule; count].join(", "))
    };
    World::with(&[cnp("p", "Admin", 1, &rules("Deny", 25))]).denies(&["b/web a/db 80"]);
    World::with(&[anp("p", 1, &rules("Deny", 100))]).denies(&["b/web a/db 80"]);
    for (text, most) in [
        (cnp("p", "Admin", 1, &rules("Deny", 26)), "more than 25 rules, found 26"),
        (anp("p", 1, &rules("Deny", 101)), "more than 100 rules, found 101"),
        (banp(&rules("Deny", 101)), "more than 100 rules, found 101"),
    ] {
        assert!(errors(&text).contains(most), "{}", errors(&text));
    }
}

// 10, 60
#[test]
fn a_rule_with_a_peer_of_a_newer_api_fails_closed() {
    for unknown in ["{}", "{clusterSets: {}}"] {
        let with = |action: &str| {
            let rules = format!("ingress: [{{action: {action}, from: [{ALL}, {unknown}]}}]");
            // Behind it a NetworkPolicy that lets in nothing (a) and one that lets in all (b).
            World::refused(&[
                cnp("p", "Admin", 1, &rules),
                policy("{podSelector: {}}"),
                crate::world::policy_named("b", "p", "{podSelector: {}, ingress: [{}]}"),
            ])
        };
        // Accept matches nothing, not even by its other peer.
        with("Accept").denies(&["c/web a/db 80"]).allows(&["c/web b/web 80"]);
        // Deny and Pass deny all, ends outside the cluster too.
        with("Deny").denies(&["c/web b/web 80", "203.0.113.1 b/web 80", "c/web b/web ICMP 0"]);
        with("Pass").denies(&["c/web b/web 80", "203.0.113.1 b/web 80"]);
        // Only in the direction of the rule.
        with("Deny").allows(&["b/web 203.0.113.1 80"]);
    }
}

// 60
#[test]
fn a_rule_with_a_protocol_of_a_newer_api_fails_closed() {
    let with = |action: &str| {
        let rules = format!(
            "ingress: [{{action: {action}, from: [{ALL}], protocols: [{{icmp: {{type: 8}}}}, {{tcp: \
             {{destinationPort: {{number: 80}}}}}}]}}]"
        );
        World::refused(&[cnp("p", "Admin", 1, &rules), policy("{podSelector: {}}")])
    };
    with("Accept").denies(&["c/web a/db 80"]).allows(&["c/web b/web 80"]);
    with("Deny").denies(&["c/web b/web 443", "203.0.113.1 b/web 80"]);
    with("Pass").denies(&["c/web b/web 443"]);
}

// 36
#[test]
fn host_network_pods_are_neither_subject_nor_pod_peers() {
    World::with(&[cnp(
        "p",
        "Admin",
        1,
        &format!("{DENY_ALL}, egress: [{{action: Deny, to: [{ALL}]}}]"),
    )])
    .allows(&["203.0.113.1 b/agent 80", "b/agent c/web 80"])
    .denies(&["a/web b/web 80", "b/web c/web 80"]);
}

// 38
#[test]
fn a_pod_reaches_itself_by_its_own_address_whatever_tiers_say() {
    World::with(&[cnp("p", "Admin", 1, DENY_ALL)])
        .allows(&["a/web a/web 8080", "node:n1 a/web 80"])
        .denies(&["a/db a/web 8080"]);
}
