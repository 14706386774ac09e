//! Policies of Calico. Traps 68 to 72 of our notes; where a number stands above a test, what says
//! so is in docs.tigera.io (Network policy, Tier, Policy rules) and the API (projectcalico.org/v3).

use crate::world::{World, policy};

/// A Calico NetworkPolicy of namespace `a` with this spec in flow style.
fn calico(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{name: {name}, \
         namespace: a}}\nspec: {spec}\n"
    )
}

fn global(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: \
         {name}}}\nspec: {spec}\n"
    )
}

fn tier(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// The small cluster with a policy about `a/web` with these ingress rules.
fn ingress(rules: &str) -> World {
    World::with(&[calico("p", &format!("{{selector: app == 'web', ingress: [{rules}]}}"))])
}

fn egress(rules: &str) -> World {
    World::with(&[calico("p", &format!("{{selector: app == 'web', egress: [{rules}]}}"))])
}

// 68: "Tiers are ordered; order determines precedence, lowest first."
#[test]
fn tiers_go_by_order_then_by_name_and_none_is_last() {
    let allow = |tier: &str| {
        global(tier, &format!("{{tier: {tier}, selector: all(), ingress: [{{action: Allow}}]}}"))
    };
    let deny = |tier: &str| {
        global(tier, &format!("{{tier: {tier}, selector: all(), ingress: [{{action: Deny}}]}}"))
    };
    for (first, second) in [
        ("{order: 1}", "{order: 2}"),
        ("{order: -0.5}", "{order: 0}"),
        ("{order: 5}", "{}"),
        ("{order: 3}", "{order: 3}"),
        ("{}", "{}"),
    ] {
        let tiers = [tier("ta", first), tier("tb", second)];
        let with = |ta: String, tb: String| {
            let mut documents = tiers.to_vec();
            documents.extend([ta, tb]);
            World::with(&documents)
        };
        with(allow("ta"), deny("tb")).allows(&["b/web a/web 80"]);
        with(deny("ta"), allow("tb")).denies(&["b/web a/web 80"]);
    }
    // 10 is not before 9, as it would be in the order of letters.
    World::with(&[tier("ta", "{order: 10}"), tier("tb", "{order: 9}"), allow("ta"), deny("tb")])
        .denies(&["b/web a/web 80"]);
}

// 68: "If no rule matches and a policy of the tier applies to the endpoint: the tier's default
// action, Deny unless it is Pass."
#[test]
fn the_end_of_a_tier_denies_endpoints_that_the_tier_selects() {
    let policy = global(
        "p",
        "{tier: t, selector: app == 'web', ingress: [{action: Allow, protocol: TCP, destination: \
         {ports: [80]}}]}",
    );
    World::with(&[tier("t", "{order: 1}"), policy.clone()])
        .allows(&["b/bare a/web 80", "b/bare a/db 81", "a/web a/db 81"])
        .denies(&["b/bare a/web 81", "b/bare b/web 81"]);
    World::with(&[tier("t", "{order: 1, defaultAction: Pass}"), policy.clone()])
        .allows(&["b/bare a/web 80", "b/bare a/web 81"]);
    // What passes goes to the next tier, which may deny.
    let next = "{selector: all(), ingress: [{action: Deny, protocol: TCP, destination: {ports: \
                [81]}}, {action: Allow}]}";
    World::with(&[tier("t", "{order: 1, defaultAction: Pass}"), policy, global("x", next)])
        .allows(&["b/bare a/web 80", "b/bare a/web 82"])
        .denies(&["b/bare a/web 81", "b/bare a/db 81"]);
}

// 68, 72: after the last tier come profiles, which allow for pods of Kubernetes.
#[test]
fn what_passes_the_last_tier_is_allowed() {
    let pass = "{tier: t, selector: all(), ingress: [{action: Pass}]}";
    World::with(&[tier("t", "{order: 1}"), global("p", pass)]).allows(&["b/bare a/web 80"]);
    let deny = pass.replace("Pass", "Deny");
    World::with(&[tier("t", "{order: 1}"), global("p", &deny)]).denies(&["b/bare a/web 80"]);
}

// 68: policies go by order, then by name; those without one come last.
#[test]
fn policies_of_a_tier_go_by_order_then_by_name() {
    let with = |order: &str, name: &str, action: &str| {
        global(name, &format!("{{{order}selector: all(), ingress: [{{action: {action}}}]}}"))
    };
    for (first, second) in [
        (("order: 1, ", "z"), ("order: 2, ", "a")),
        (("order: 9, ", "z"), ("order: 10, ", "a")),
        (("order: 1, ", "z"), ("", "a")),
        (("order: 1, ", "a"), ("order: 1.0, ", "z")),
        (("", "a"), ("", "z")),
    ] {
        World::with(&[with(second.0, second.1, "Deny"), with(first.0, first.1, "Allow")])
            .allows(&["b/web a/web 80"]);
        World::with(&[with(second.0, second.1, "Allow"), with(first.0, first.1, "Deny")])
            .denies(&["b/web a/web 80"]);
    }
}

// 69: "Rules are processed in order; the first match decides"; Log goes on.
#[test]
fn the_first_rule_that_matches_decides() {
    let port = |action: &str, port: &str| {
        format!("{{action: {action}, protocol: TCP, destination: {{ports: [{port}]}}}}")
    };
    ingress(&[port("Deny", "80"), port("Allow", "'79:81'")].join(", "))
        .denies(&["a/db a/web 80", "a/db a/web 82"])
        .allows(&["a/db a/web 79", "a/db a/web 81"]);
    ingress(&[port("Allow", "'79:81'"), port("Deny", "80")].join(", "))
        .allows(&["a/db a/web 80"])
        .denies(&["a/db a/web 82"]);
    ingress(&[port("Log", "80"), port("Allow", "80")].join(", ")).allows(&["a/db a/web 80"]);
    ingress("{action: Log}").denies(&["a/db a/web 80"]);
}

// 69: Pass skips the rest of the tier, its default action included.
#[test]
fn pass_leaves_the_rest_of_the_tier_out() {
    let documents = [
        tier("t", "{order: 1}"),
        global(
            "a",
            "{tier: t, order: 1, selector: all(), ingress: [{action: Pass, protocol: TCP, destination: {ports: [80]}}]}",
        ),
        global("b", "{tier: t, order: 2, selector: all(), ingress: [{action: Deny}]}"),
        calico(
            "x",
            "{selector: app == 'web', ingress: [{action: Allow, source: {selector: app == 'db'}}]}",
        ),
    ];
    World::with(&documents)
        .allows(&["a/db a/web 80", "b/web a/db 80"])
        .denies(&["b/web a/web 80", "a/db a/web 81"]);
}

// 69: "Each positive match criteria has a negated version; all must be satisfied."
#[test]
fn negated_conditions_must_all_hold() {
    ingress("{action: Allow, notProtocol: TCP}")
        .allows(&["a/db a/web UDP 80", "a/db a/web ICMP 0"])
        .denies(&["a/db a/web 80"]);
    ingress("{action: Allow, protocol: TCP, destination: {ports: ['1:100'], notPorts: [80]}}")
        .allows(&["a/db a/web 79"])
        .denies(&["a/db a/web 80", "a/db a/web 101", "a/db a/web UDP 79"]);
    ingress("{action: Allow, source: {nets: [10.0.0.0/8], notNets: [10.0.1.0/24]}}")
        .allows(&["a/db a/web 80", "c/web a/web 80", "10.9.9.9 a/web 80"])
        .denies(&["b/web a/web 80", "198.51.100.1 a/web 80"]);
    ingress("{action: Allow, source: {notNets: [10.0.1.0/24]}}")
        .allows(&["a/db a/web 80", "198.51.100.1 a/web 80"])
        .denies(&["b/web a/web 80"]);
}

// 70: "Selector `!has(x)` matches endpoints without the label; notSelector `has(x)` matches
// everything that is not an endpoint with it"; a NetworkPolicy then still stays in its namespace.
#[test]
fn a_negated_selector_is_not_a_selector_of_the_negation() {
    let both = |source: &str| {
        World::with(&[global(
            "p",
            &format!(
                "{{selector: app == 'web', ingress: [{{action: Allow, source: {{{source}}}}}]}}"
            ),
        )])
    };
    both("selector: '!has(tier)'").allows(&["a/db a/web 80", "b/bare a/web 80"]).denies(&[
        "198.51.100.1 a/web 80",
        "a/web b/web 80",
        "node:n2 a/web 80",
    ]);
    both("notSelector: has(tier)")
        .allows(&["a/db a/web 80", "198.51.100.1 a/web 80", "node:n2 a/web 80"])
        .denies(&["a/web b/web 80"]);
    ingress("{action: Allow, source: {notSelector: has(tier)}}")
        .allows(&["a/db a/web 80"])
        .denies(&["198.51.100.1 a/web 80", "b/bare a/web 80"]);
}

// 70: "For NetworkPolicy, an empty NamespaceSelector implies that the Selector is limited to the
// same namespace; for GlobalNetworkPolicy it applies across all namespaces."
#[test]
fn selectors_stay_in_the_namespace_of_a_network_policy() {
    ingress("{action: Allow, source: {selector: has(app)}}")
        .allows(&["a/db a/web 80"])
        .denies(&["b/web a/web 80"]);
    ingress("{action: Allow, source: {selector: has(app), namespaceSelector: all()}}")
        .allows(&["a/db a/web 80", "b/web a/web 80"])
        .denies(&["b/bare a/web 80", "198.51.100.1 a/web 80"]);
    ingress("{action: Allow, source: {namespaceSelector: team == 'blue'}}")
        .allows(&["b/bare a/web 80"])
        .denies(&["a/db a/web 80", "c/web a/web 80"]);
    ingress("{action: Allow, source: {namespaceSelector: projectcalico.org/name == 'c'}}")
        .allows(&["c/web a/web 80"])
        .denies(&["b/bare a/web 80"]);
    ingress("{action: Allow, source: {namespaceSelector: global()}}")
        .denies(&["a/db a/web 80", "198.51.100.1 a/web 80"]);
    ingress("{action: Allow}").allows(&["b/bare a/web 80", "198.51.100.1 a/web 80"]);
    World::with(&[global(
        "p",
        "{selector: app == 'web', ingress: [{action: Allow, source: {selector: has(app)}}]}",
    )])
    .allows(&["b/web a/web 80", "a/db a/web 80"])
    .denies(&["b/bare a/web 80"]);
}

// 70: what the operators mean is tested with the parser; here, that they reach the pods.
#[test]
fn subjects_are_selected_by_labels_namespaces_and_service_accounts() {
    let about = |fields: &str| {
        World::with(&[global("p", &format!("{{{fields}, ingress: [{{action: Deny}}]}}"))])
    };
    about("selector: app starts with 'we' && app != 'db'")
        .denies(&["a/db a/web 80", "a/db b/web 80"])
        .allows(&["a/web a/db 80", "a/web b/bare 80"]);
    about("selector: \"app not in {'web', 'agent'}\"")
        .denies(&["a/web a/db 80", "a/web b/bare 80"])
        .allows(&["a/db a/web 80"]);
    about("namespaceSelector: \"team in {'red', 'green'}\"")
        .denies(&["b/web a/db 80"])
        .allows(&["a/web b/bare 80", "a/web c/web 80"]);
    about("selector: projectcalico.org/namespace == 'b' && pcns.team == 'blue'")
        .denies(&["a/web b/web 80"])
        .allows(&["b/web a/web 80"]);
    about("serviceAccountSelector: projectcalico.org/name == 'default'")
        .denies(&["a/web b/web 80"]);
    about("serviceAccountSelector: projectcalico.org/name != 'default'")
        .allows(&["a/web b/web 80"]);
    about("selector: projectcalico.org/orchestrator == 'k8s'").denies(&["a/web b/web 80"]);
}

// 70: service accounts by name and label.
#[test]
fn service_accounts_are_matched_by_name_and_label() {
    let documents = |accounts: &str| {
        [
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: build, namespace: a, labels: \
             {role: ci}}\n"
                .to_owned(),
            "apiVersion: v1\nkind: Pod\nmetadata: {name: ci, namespace: a}\nspec: \
             {serviceAccountName: build, containers: [{name: m}]}\nstatus: {phase: Running, podIPs: \
             [{ip: 10.0.0.9}]}\n"
                .to_owned(),
            calico(
                "p",
                &format!(
                    "{{selector: app == 'web', ingress: [{{action: Allow, source: \
                     {{serviceAccounts: {{{accounts}}}}}}}]}}"
                ),
            ),
        ]
    };
    for accounts in
        ["names: [build]", "selector: role == 'ci'", "names: [build], selector: has(role)"]
    {
        World::with(&documents(accounts))
            .allows(&["a/ci a/web 80"])
            .denies(&["a/db a/web 80", "b/web a/web 80"]);
    }
    World::with(&documents("names: [default]"))
        .allows(&["a/db a/web 80"])
        .denies(&["a/ci a/web 80"]);
    World::with(&documents("names: [default], selector: has(role)"))
        .denies(&["a/ci a/web 80", "a/db a/web 80"]);
}

// 70: network sets are picked by the same selectors.
#[test]
fn network_sets_are_picked_by_their_labels() {
    let sets = [
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: bad, labels: \
         {threat: yes1}}\nspec: {nets: [198.51.100.0/24, 10.0.2.0/24]}\n"
            .to_owned(),
        "apiVersion: projectcalico.org/v3\nkind: NetworkSet\nmetadata: {name: office, namespace: a, \
         labels: {site: x}}\nspec: {nets: [203.0.113.0/24]}\n"
            .to_owned(),
    ];
    let with = |policy: String| World::with(&[sets[0].clone(), sets[1].clone(), policy]);
    let rules = "ingress: [{action: Deny, source: {selector: has(threat)}}, {action: Allow}]";
    with(global("p", &format!("{{selector: all(), {rules}}}")))
        .denies(&["198.51.100.1 a/web 80", "c/web a/web 80"])
        .allows(&["203.0.113.1 a/web 80", "a/db a/web 80"]);
    // A global set is in no namespace, so a NetworkPolicy sees it with `global()` only.
    with(calico("p", &format!("{{selector: all(), {rules}}}"))).allows(&["198.51.100.1 a/web 80"]);
    let global_rules = rules.replace("has(threat)", "has(threat), namespaceSelector: global()");
    with(calico("p", &format!("{{selector: all(), {global_rules}}}")))
        .denies(&["198.51.100.1 a/web 80"])
        .allows(&["203.0.113.1 a/web 80"]);
    with(calico(
        "p",
        "{selector: all(), ingress: [{action: Allow, source: {selector: has(site)}}]}",
    ))
    .allows(&["203.0.113.1 a/web 80"])
    .denies(&["198.51.100.1 a/web 80", "a/db a/web 80"]);
    with(global(
        "p",
        "{selector: all(), ingress: [{action: Allow, source: {namespaceSelector: team == 'red'}}]}",
    ))
    .allows(&["203.0.113.1 a/web 80", "a/db a/web 80"])
    .denies(&["198.51.100.1 a/web 80", "b/web a/web 80"]);
}

// 69: a rule's own end narrows it to some of the policy's subjects.
#[test]
fn the_own_end_of_a_rule_narrows_it() {
    World::with(&[global(
        "p",
        "{selector: has(app), ingress: [{action: Allow, destination: {selector: app == 'web'}}, \
         {action: Deny, destination: {selector: app == 'db'}}, {action: Allow, source: {selector: \
         app == 'web'}}]}",
    )])
    .allows(&["b/bare a/web 80", "b/bare c/web 80"])
    .denies(&["a/web a/db 80", "b/bare a/db 80"]);
    World::with(&[calico(
        "p",
        "{selector: all(), egress: [{action: Allow, source: {notSelector: app == 'db'}}]}",
    )])
    .allows(&["a/web b/web 80"])
    .denies(&["a/db b/web 80"]);
}

#[test]
fn ip_versions_and_ports_are_told_apart() {
    ingress("{action: Allow, ipVersion: 4}")
        .allows(&["a/db@10.0.0.2 a/web@10.0.0.1 80"])
        .denies(&["a/db@fd00::2 a/web@fd00::1 80"]);
    ingress("{action: Allow, ipVersion: 6}")
        .allows(&["a/db@fd00::2 a/web@fd00::1 80"])
        .denies(&["a/db@10.0.0.2 a/web@10.0.0.1 80"]);
    ingress("{action: Allow, protocol: TCP, destination: {ports: [http]}}")
        .allows(&["a/db a/web 8080"])
        .denies(&["a/db a/web 9090"]);
    egress("{action: Allow, protocol: TCP, destination: {ports: [http]}}")
        .allows(&["a/web a/db 9090"])
        .denies(&["a/web a/db 8080", "a/web 198.51.100.1 8080"]);
}

// A Service as destination stands for its pods and their ports.
#[test]
fn services_stand_for_pods_and_ports() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: a}\nspec: \
                   {selector: {app: db}, ports: [{port: 80, targetPort: http}]}\n";
    let with = |spec: &str| World::with(&[service.to_owned(), calico("p", spec)]);
    with(
        "{selector: app == 'web', egress: [{action: Allow, destination: {services: {name: db}}}]}",
    )
    .allows(&["a/web a/db 9090"])
    .denies(&["a/web a/db 80", "a/web b/web 9090"]);
    with("{selector: app == 'web', ingress: [{action: Allow, source: {services: {name: db, namespace: a}}}]}")
        .allows(&["a/db a/web 1", "a/db a/web UDP 1"])
        .denies(&["b/web a/web 1"]);
    with("{selector: app == 'web', egress: [{action: Allow, destination: {services: {name: other}}}]}")
        .denies(&["a/web a/db 9090"]);
}

// 71: "doNotTrack and preDNAT apply to host endpoints"; applyOnForward adds forwarded traffic of
// host endpoints and leaves pods as they are.
#[test]
fn policies_of_host_endpoints_do_not_count_for_pods() {
    for field in ["doNotTrack: true, ", "preDNAT: true, "] {
        World::with(&[global(
            "p",
            &format!(
                "{{{field}applyOnForward: true, selector: all(), ingress: [{{action: Deny}}]}}"
            ),
        )])
        .allows(&["a/db a/web 80"]);
    }
    World::with(&[global(
        "p",
        "{applyOnForward: true, selector: all(), ingress: [{action: Deny}]}",
    )])
    .denies(&["a/db a/web 80"]);
}

// 72: NetworkPolicies are in the tier `default`, with order 1000.
#[test]
fn network_policies_stand_at_order_1000_of_the_default_tier() {
    let kubernetes =
        policy("{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}");
    let with = |spec: &str| World::with(&[kubernetes.clone(), calico("p", spec)]);
    let deny = "selector: app == 'web', ingress: [{action: Deny}]";
    with(&format!("{{order: 999, {deny}}}")).denies(&["a/db a/web 80"]);
    with(&format!("{{order: 1001, {deny}}}"))
        .allows(&["a/db a/web 80"])
        .denies(&["b/web a/web 80"]);
    with(&format!("{{{deny}}}")).allows(&["a/db a/web 80"]);
    // What a NetworkPolicy does not allow a later policy of the tier may: only the end denies.
    let allow = "selector: app == 'web', ingress: [{action: Allow}]";
    with(&format!("{{order: 2000, {allow}}}")).allows(&["b/web a/web 80"]);
    // A tier before the default one decides before NetworkPolicies do.
    let before = |action: &str| {
        let spec = format!("{{tier: t, selector: all(), ingress: [{{action: {action}}}]}}");
        World::with(&[kubernetes.clone(), tier("t", "{order: 1}"), global("p", &spec)])
    };
    before("Allow").allows(&["b/web a/web 80"]);
    before("Deny").denies(&["a/db a/web 80"]);
    before("Pass").allows(&["a/db a/web 80"]).denies(&["b/web a/web 80"]);
}

// 72: policies of the network policy API have tiers of their own, at 1000 and 10,000,000.
#[test]
fn tiers_of_the_network_policy_api_stand_among_calicos() {
    let admin = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: \
                 ClusterNetworkPolicy\nmetadata: {name: x}\nspec: {tier: Admin, priority: 1, \
                 subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}\n";
    let with = |order: &str| {
        World::with(&[
            admin.to_owned(),
            tier("t", &format!("{{order: {order}}}")),
            global("p", "{tier: t, selector: all(), ingress: [{action: Allow}]}"),
        ])
    };
    with("999").allows(&["a/db a/web 80"]);
    with("1001").denies(&["a/db a/web 80"]).allows(&["198.51.100.1 a/web 80"]);
}

// 72: staged policies take no effect.
#[test]
fn staged_policies_never_count() {
    let spec = "{selector: all(), ingress: [{action: Deny}]}";
    let staged = |kind: &str| {
        let text = calico("p", spec).replace("kind: NetworkPolicy", &format!("kind: {kind}"));
        let text = if kind.contains("Global") { text.replace(", namespace: a", "") } else { text };
        World::with(&[text])
    };
    staged("StagedNetworkPolicy").allows(&["a/db a/web 80"]);
    staged("StagedGlobalNetworkPolicy").allows(&["a/db a/web 80"]);
    staged("NetworkPolicy").denies(&["a/db a/web 80"]);
}

// What a connection cannot tell lets a rule allow, on a condition, but neither deny nor pass.
#[test]
fn rules_narrower_than_a_connection_allow_on_a_condition_only() {
    let source_port = "protocol: TCP, source: {ports: [123]}";
    let world = ingress(&format!("{{action: Allow, {source_port}}}"));
    world.allows(&["a/db a/web 80"]).denies(&["a/db a/web UDP 80"]);
    let rules =
        &world.rules.rulebook().tiers[0].policies[0].ingress.as_ref().expect("ingress").rules;
    assert_eq!(rules[0].condition.as_deref(), Some("source port"));
    ingress(&format!("{{action: Deny, {source_port}}}, {{action: Allow}}"))
        .allows(&["a/db a/web 80"]);
    ingress("{action: Allow, protocol: TCP, http: {methods: [GET]}}").allows(&["a/db a/web 80"]);
}
