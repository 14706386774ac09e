//! Policies of Calico and of Cilium, each beside NetworkPolicies, on random clusters: what is read,
//! lowered and decided agrees with the naive judges of `vendor_oracle`, from the text of the
//! objects on.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sekisho_manifest::read;
use sekisho_policy::{Cluster, Connection, Dialect, RuleSet};
use serde_json::{Value, json};

use crate::tier_oracle::Side;
use crate::tier_properties::{
    PODS, PORTS, labels, namespace, network_policy, node, peer, pod, questions, selector,
};
use crate::vendor_oracle::Judge;

const NETS: [&str; 8] = [
    "0.0.0.0/0",
    "10.0.0.0/30",
    "10.0.0.3/32",
    "10.0.0.0/29",
    "192.0.2.0/24",
    "192.0.2.2/32",
    "203.0.113.0/25",
    "203.0.113.0/24",
];
const NETS6: [&str; 4] = ["::/0", "fd00::/126", "2001:db8::/32", "fd00::3/128"];

/// The cluster that policies are about; namespace `c` has no object.
fn cluster() -> impl Strategy<Value = Vec<Value>> {
    let accounts = vec(select(vec![None, Some("s"), Some("default")]), PODS);
    let pods = (1..=PODS).map(|index| pod(index).boxed()).collect::<Vec<_>>();
    let nodes = (
        node("n1", &["192.0.2.1"]),
        node("n2", &["192.0.2.2", "fd00:2::2"]),
        namespace("a"),
        namespace("b"),
    );
    let service = (labels(), select(vec![json!(80), json!("p")]));
    (pods, accounts, nodes, labels(), service, vec(network_policy(), 0..3)).prop_map(
        |(pods, accounts, (n1, n2, a, b), account, (behind, target), policies)| {
            let mut objects = vec![n1, n2, a, b];
            for (mut pod, account) in pods.into_iter().zip(accounts) {
                if let Some(account) = account {
                    pod["spec"]["serviceAccountName"] = account.into();
                }
                objects.push(pod);
            }
            objects.push(json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "s", "namespace": "a", "labels": account},
            }));
            objects.push(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "a"},
                "spec": {"selector": behind, "ports": [{"port": 1000, "targetPort": target}]},
            }));
            for (index, mut policy) in policies.into_iter().enumerate() {
                policy["metadata"]["name"] = format!("p{index}").into();
                objects.push(policy);
            }
            objects
        },
    )
}

// Calico.

/// A selector without parentheses, over the keys `k` and `l`.
fn calico_selector() -> BoxedStrategy<String> {
    let atom = prop_oneof![
        Just("all()".to_owned()),
        (
            select(vec!["k", "l"]),
            select(vec![
                "== 'x'",
                "== ''",
                "!= 'x'",
                "!= 'yes'",
                "in {'x', 'yes'}",
                "not in {'x', ''}",
                "contains 'e'",
                "starts with 'y'",
                "ends with 's'",
            ])
        )
            .prop_map(|(key, test)| format!("{key} {test}")),
        select(vec!["has(k)", "!has(l)"]).prop_map(str::to_owned),
    ];
    (vec(atom, 1..3), select(vec![" && ", " || "]))
        .prop_map(|(atoms, between)| atoms.join(between))
        .boxed()
}

fn namespace_selector(global: bool) -> BoxedStrategy<String> {
    let fixed = if global {
        vec!["all()", "global()", "projectcalico.org/name == 'c'"]
    } else {
        vec!["all()", "projectcalico.org/name == 'c'", "kubernetes.io/metadata.name != 'a'"]
    };
    prop_oneof![1 => select(fixed).prop_map(str::to_owned), 2 => calico_selector()].boxed()
}

fn set(object: &mut Value, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[field] = value.into();
    }
}

fn calico_nets() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        3 => subsequence(NETS.to_vec(), 1..3),
        1 => subsequence(NETS6.to_vec(), 1..3),
    ]
}

/// The other end of a rule; `service` is whether it may be one of a Service.
fn calico_end(service: bool) -> impl Strategy<Value = Value> {
    let accounts = prop_oneof![
        Just(json!({"names": ["s"]})),
        Just(json!({"names": ["default", "t"]})),
        calico_selector().prop_map(|selector| json!({"selector": selector})),
    ];
    let selectors = (
        option::weighted(0.4, calico_selector()),
        option::weighted(0.2, calico_selector()),
        option::weighted(0.3, namespace_selector(true)),
        option::weighted(0.15, accounts),
    );
    let nets = (option::weighted(0.3, calico_nets()), any::<bool>());
    (selectors, nets, 0..12_u8).prop_map(
        move |((selector, not_selector, namespaces, accounts), (nets, negated), kind)| {
            if kind == 0 && service {
                return json!({"services": {"name": "s", "namespace": "a"}});
            }
            let mut end = json!({});
            set(&mut end, "selector", selector);
            set(&mut end, "notSelector", not_selector);
            set(&mut end, "namespaceSelector", namespaces);
            set(&mut end, "serviceAccounts", accounts);
            set(&mut end, if negated { "notNets" } else { "nets" }, nets);
            end
        },
    )
}

fn calico_rule(is_egress: bool) -> impl Strategy<Value = Value> {
    let port = prop_oneof![
        select(PORTS.to_vec()).prop_map(|port| json!(port)),
        Just(json!("79:80")),
        Just(json!("p")),
    ];
    let ports = (vec(port.clone(), 0..3), vec(port, 0..2));
    let own = (option::weighted(0.15, calico_selector()), option::weighted(0.1, calico_selector()));
    let what = (
        select(vec!["Allow", "Allow", "Deny", "Pass", "Log"]),
        option::of(select(vec!["TCP", "UDP", "SCTP"])),
        option::weighted(0.1, select(vec!["TCP", "UDP"])),
        option::weighted(0.1, select(vec![4, 6])),
    );
    (what, calico_end(true), own, ports).prop_map(
        move |((action, protocol, not_protocol, version), other, own, (ports, not_ports))| {
            let mut rule = json!({"action": action});
            let has_services = other.get("services").is_some();
            // One rule speaks about addresses of one version.
            let has_nets = other.get("nets").is_some() || other.get("notNets").is_some();
            set(&mut rule, "protocol", protocol);
            set(&mut rule, "notProtocol", not_protocol);
            set(&mut rule, "ipVersion", version.filter(|_| !has_nets));
            let mut subject = json!({});
            set(&mut subject, "selector", own.0);
            set(&mut subject, "notSelector", own.1);
            let (source, mut destination) =
                if is_egress { (subject, other) } else { (other, subject) };
            let may_have_ports = protocol.is_some() && !(is_egress && has_services);
            set(&mut destination, "ports", Some(ports).filter(|_| may_have_ports));
            set(&mut destination, "notPorts", Some(not_ports).filter(|_| may_have_ports));
            rule["source"] = source;
            rule["destination"] = destination;
            rule
        },
    )
}

fn calico_policy() -> impl Strategy<Value = Value> {
    let place = (
        select(vec![None, Some("default"), Some("t1"), Some("t2")]),
        option::of(select(vec![-1.0, 0.5, 10.0, 999.0, 1001.0])),
        option::of(select(vec!["a", "b"])),
    );
    let subject = (
        calico_selector(),
        option::weighted(0.3, namespace_selector(false)),
        option::weighted(0.2, calico_selector()),
    );
    let types =
        option::of(select(vec![vec!["Ingress"], vec!["Egress"], vec!["Ingress", "Egress"]]));
    let rules = (vec(calico_rule(false), 0..4), vec(calico_rule(true), 0..4));
    (place, subject, types, rules).prop_map(
        |((tier, order, namespace), (selector, namespaces, accounts), types, (ingress, egress))| {
            let mut spec = json!({"selector": selector, "ingress": ingress, "egress": egress});
            set(&mut spec, "tier", tier);
            set(&mut spec, "order", order);
            set(&mut spec, "types", types);
            set(&mut spec, "serviceAccountSelector", accounts);
            let mut meta = json!({"name": ""});
            let kind = match namespace {
                Some(namespace) => {
                    meta["namespace"] = namespace.into();
                    "NetworkPolicy"
                }
                None => {
                    set(&mut spec, "namespaceSelector", namespaces);
                    "GlobalNetworkPolicy"
                }
            };
            json!({
                "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": meta, "spec": spec,
            })
        },
    )
}

fn network_set() -> impl Strategy<Value = Value> {
    let nets = subsequence([NETS.to_vec(), NETS6.to_vec()].concat(), 0..4);
    (option::of(select(vec!["a", "c"])), labels(), nets).prop_map(|(namespace, labels, nets)| {
        let kind = if namespace.is_some() { "NetworkSet" } else { "GlobalNetworkSet" };
        let mut meta = json!({"name": "", "labels": labels});
        set(&mut meta, "namespace", namespace);
        json!({
            "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": meta,
            "spec": {"nets": nets},
        })
    })
}

fn calico_cluster() -> impl Strategy<Value = Vec<Value>> {
    let tier =
        || (option::of(select(vec![1.0, 2.0, 2_000_000.0])), select(vec!["Deny", "Deny", "Pass"]));
    (cluster(), vec(calico_policy(), 1..5), vec(network_set(), 0..3), [tier(), tier()]).prop_map(
        |(mut objects, policies, sets, tiers)| {
            // Names do not go by the order of the text.
            for (index, mut object) in policies.into_iter().chain(sets).enumerate() {
                object["metadata"]["name"] = format!("p{}", (index * 3) % 7).into();
                objects.push(object);
            }
            for (name, (order, action)) in ["t1", "t2"].into_iter().zip(tiers) {
                let mut spec = json!({"defaultAction": action});
                set(&mut spec, "order", order);
                objects.push(json!({
                    "apiVersion": "projectcalico.org/v3", "kind": "Tier",
                    "metadata": {"name": name}, "spec": spec,
                }));
            }
            objects
        },
    )
}

// Cilium.

fn cilium_selector() -> impl Strategy<Value = Value> {
    let fixed = vec![
        json!({"matchLabels": {"k8s:io.kubernetes.pod.namespace": "b"}}),
        json!({"matchLabels": {"io.kubernetes.pod.namespace": "c", "k": "x"}}),
        json!({"matchExpressions": [{"key": "k8s:io.kubernetes.pod.namespace", "operator": "Exists"}]}),
        json!({"matchExpressions": [{"key": "any:io.kubernetes.pod.namespace", "operator": "NotIn", "values": ["a"]}]}),
        json!({"matchLabels": {"io.cilium.k8s.namespace.labels.k": "x", "k8s:io.kubernetes.pod.namespace": "a"}}),
        json!({"matchLabels": {"k8s:io.cilium.k8s.policy.serviceaccount": "s"}}),
        json!({"matchLabels": {"any:k": "yes", "k8s:l": ""}}),
        json!({"matchExpressions": [{"key": "container:k", "operator": "DoesNotExist"}]}),
    ];
    prop_oneof![2 => selector(), 3 => select(fixed)]
}

fn cilium_peers(is_egress: bool, deny: bool) -> BoxedStrategy<Value> {
    let prefix = if is_egress { "to" } else { "from" };
    let of = move |name: &str, list: Value| json!({format!("{prefix}{name}"): list});
    let reserved = vec![
        json!({"matchLabels": {"reserved:world": ""}}),
        json!({"matchLabels": {"reserved:host": ""}}),
        json!({"matchExpressions": [{"key": "reserved:remote-node", "operator": "Exists"}]}),
        json!({"matchExpressions": [{"key": "reserved:world", "operator": "DoesNotExist"}, {"key": "k", "operator": "NotIn", "values": ["x"]}]}),
        json!({"matchExpressions": [{"key": "reserved:host", "operator": "DoesNotExist"}, {"key": "k", "operator": "Exists"}]}),
    ];
    let endpoints = vec(prop_oneof![4 => cilium_selector(), 1 => select(reserved)], 0..3)
        .prop_map(move |list| of("Endpoints", list.into()));
    let entities = vec![
        "all",
        "world",
        "cluster",
        "host",
        "remote-node",
        "none",
        "init",
        "health",
        "unmanaged",
    ];
    let entities = subsequence(entities, 0..3).prop_map(move |list| of("Entities", json!(list)));
    let cidrs = subsequence([NETS.to_vec(), NETS6.to_vec()].concat(), 0..3)
        .prop_map(move |list| of("CIDR", json!(list)));
    let cidr_set = select(vec![
        json!({"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}),
        json!({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "203.0.113.1/32"]}),
        json!({"cidr": "::/0", "except": ["::/0"]}),
    ])
    .prop_map(move |one| of("CIDRSet", json!([one])));
    let mut kinds = vec![
        (4, endpoints.boxed()),
        (3, entities.boxed()),
        (2, cidrs.boxed()),
        (1, cidr_set.boxed()),
        (3, Just(json!({})).boxed()),
    ];
    if is_egress {
        let service =
            json!({"toServices": [{"k8sService": {"serviceName": "s", "namespace": "a"}}]});
        kinds.push((1, Just(service).boxed()));
    }
    if is_egress && !deny {
        let domains = vec![
            json!({"matchName": "example.com"}),
            json!({"matchPattern": "*.example.com"}),
            json!({"matchPattern": "**.example.com"}),
            json!({"matchPattern": "*"}),
            json!({"matchPattern": "*w*.ex*ple.com"}),
        ];
        kinds.push((2, select(domains).prop_map(|one| json!({"toFQDNs": [one]})).boxed()));
    }
    proptest::strategy::Union::new_weighted(kinds).boxed()
}

fn cilium_rule(is_egress: bool, deny: bool) -> impl Strategy<Value = Value> {
    let port = (
        select(vec!["0", "80", "81", "443", "p", "q"]),
        option::of(select(vec!["ANY", "TCP", "UDP", "SCTP"])),
        option::weighted(0.2, select(vec![443, 65535])),
    )
        .prop_map(|(port, protocol, end)| {
            let mut item = json!({"port": port});
            set(&mut item, "protocol", protocol);
            let is_number = !matches!(port, "0" | "p" | "q");
            set(&mut item, "endPort", end.filter(|_| is_number));
            item
        });
    let ports = vec(vec(port, 0..3).prop_map(|ports| json!({"ports": ports})), 0..3);
    (cilium_peers(is_egress, deny), ports, 0..10_u8).prop_map(|(mut rule, ports, kind)| {
        if kind == 0 {
            rule["icmps"] = json!([{"fields": [{"type": 8}]}]);
        } else if !ports.is_empty() && kind < 6 {
            rule["toPorts"] = ports.into();
        }
        rule
    })
}

fn cilium_policy() -> impl Strategy<Value = Value> {
    let rules = (
        vec(cilium_rule(false, false), 0..3),
        vec(cilium_rule(false, true), 0..2),
        vec(cilium_rule(true, false), 0..3),
        vec(cilium_rule(true, true), 0..2),
    );
    let open = option::weighted(0.3, (option::of(any::<bool>()), option::of(any::<bool>())));
    (option::of(select(vec!["a", "b"])), selector(), rules, open).prop_map(
        |(namespace, subject, (ingress, ingress_deny, egress, egress_deny), open)| {
            let mut spec = json!({
                "endpointSelector": subject, "ingress": ingress, "ingressDeny": ingress_deny,
                "egress": egress, "egressDeny": egress_deny,
            });
            if let Some((ingress, egress)) = open {
                spec["enableDefaultDeny"] = json!({});
                set(&mut spec["enableDefaultDeny"], "ingress", ingress);
                set(&mut spec["enableDefaultDeny"], "egress", egress);
            }
            let mut meta = json!({"name": ""});
            let kind = match namespace {
                Some(namespace) => {
                    meta["namespace"] = namespace.into();
                    "CiliumNetworkPolicy"
                }
                None => "CiliumClusterwideNetworkPolicy",
            };
            // The pod's namespace is known by another label here.
            let text = spec["endpointSelector"].to_string();
            let text = text.replace("kubernetes.io/metadata.name", "io.kubernetes.pod.namespace");
            spec["endpointSelector"] = serde_json::from_str(&text).unwrap();
            json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": meta, "spec": spec})
        },
    )
}

fn cilium_cluster() -> impl Strategy<Value = Vec<Value>> {
    (cluster(), vec(cilium_policy(), 1..5)).prop_map(|(mut objects, policies)| {
        for (index, mut policy) in policies.into_iter().enumerate() {
            policy["metadata"]["name"] = format!("p{index}").into();
            objects.push(policy);
        }
        objects
    })
}

/// Long runs: `PROPTEST_CASES=20000 cargo test -p sekisho-policy vendor`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

type Accepts = for<'j, 'v, 's> fn(&'j Judge<'v>, &'s Side<'s>) -> bool;

/// Compares every `step`th question, from the `start`th on.
fn compare(
    objects: &[Value],
    accepts: Accepts,
    start: usize,
    step: usize,
) -> Result<(), TestCaseError> {
    let text: Vec<_> = objects.iter().map(ToString::to_string).collect();
    let reading = read("random.yaml", &text.join("\n---\n"));
    prop_assert_eq!(&reading.errors, &vec![]);
    let rules = RuleSet::from_objects(&reading.objects, Dialect::Spec);
    let cluster = Cluster::from_objects(&reading.objects);
    let judge = Judge::new(objects);
    for question in questions(objects).iter().skip(start).step_by(step) {
        let (source, source_address) = peer(&cluster, &judge.oracle, &question.source);
        let (destination, destination_address) =
            peer(&cluster, &judge.oracle, &question.destination);
        let protocol = question.protocol.parse().unwrap();
        let port = question.port;
        let connection =
            Connection { source, destination, source_address, destination_address, protocol, port };
        let decision = rules.decide(&cluster, &connection);
        let expected = judge.oracle.allows(question, &|side| accepts(&judge, side));
        prop_assert!(
            decision.allows() == expected,
            "{question:?}: {decision:?}, not as in:\n{}",
            text.join("\n---\n")
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_global_rejects: cases().max(1_024), ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn calico_is_decided_as_the_naive_judge_does(objects in calico_cluster(), start in 0_usize..37) {
        compare(&objects, |judge, side| judge.calico_accepts(side), start, 37)?;
    }

    #[test]
    fn cilium_is_decided_as_the_naive_judge_does(objects in cilium_cluster(), start in 0_usize..37) {
        compare(&objects, |judge, side| judge.cilium_accepts(side), start, 37)?;
    }
}
