//! Lists of all allowed connections, and what two of them differ in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_manifest::{Object, parse};
use sekisho_model::{Direction, Protocol};
use sekisho_policy::list::{
    ChangeKind, DiffForm, End, Focus, FocusDirection, ListForm, Listing, PolicyDiff, Scope, npguard,
};
use sekisho_policy::{Cluster, Dialect, Endpoint, Pair, Peer, PortSet, RuleSet};

use crate::properties::{cluster, policy};

const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web},
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]},
  spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, namespace: shop, labels: {app: web, canary: blue},
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]},
  spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: db, namespace: shop},
  spec: {selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}},
  spec: {containers: [{name: c, image: i}]}}}}
";

/// Objects of the shop with NetworkPolicies in its namespace.
fn shop(specs: &[&str]) -> Vec<Object> {
    let mut text = PODS.to_owned();
    for (number, spec) in specs.iter().enumerate() {
        text += &format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
             metadata: {{name: p{number}, namespace: shop}}, spec: {spec}}}\n"
        );
    }
    parse("shop.yaml", &text).unwrap()
}

fn list(objects: &[Object], scope: &Scope) -> Listing {
    Listing::of_objects(objects, Dialect::Spec, scope).unwrap()
}

/// Rows `source -> destination: ports`, without the outside.
fn inside(listing: &Listing) -> Vec<String> {
    let rows = listing.rows().filter(|(from, to, _)| !from.is_external() && !to.is_external());
    rows.map(|(from, to, set)| format!("{from} -> {to}: {set}")).collect()
}

fn outside(listing: &Listing) -> Vec<String> {
    let rows = listing.rows().filter(|(from, to, _)| from.is_external() || to.is_external());
    rows.map(|(from, to, set)| format!("{from} -> {to}: {set}")).collect()
}

const DB_FROM_CANARY: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: \
     [{podSelector: {matchLabels: {canary: blue}}}], ports: [{port: 5432}]}]}";
const DB_FROM_WEB: &str = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: \
     [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}";

#[test]
fn pods_of_a_workload_have_rows_of_their_own_only_where_verdicts_differ() {
    let rows = inside(&list(&shop(&[DB_FROM_CANARY]), &Scope::default()));
    let expected = [
        "shop/db[Deployment] -> shop/web[StatefulSet]: all",
        "shop/web[StatefulSet]{canary=blue} -> shop/db[Deployment]: TCP 5432",
    ];
    assert_eq!(rows, expected);
    let rows = inside(&list(&shop(&[DB_FROM_WEB]), &Scope::default()));
    let expected = [
        "shop/db[Deployment] -> shop/web[StatefulSet]: all",
        "shop/web[StatefulSet] -> shop/db[Deployment]: TCP 5432",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn pods_of_the_same_workload_are_listed_only_if_asked_for() {
    let scope = Scope { with_itself: true, ..Scope::default() };
    let rows = inside(&list(&shop(&[]), &scope));
    assert!(rows.contains(&"shop/web[StatefulSet] -> shop/web[StatefulSet]: all".to_owned()));
    assert!(rows.contains(&"shop/db[Deployment] -> shop/db[Deployment]: all".to_owned()));
    let rows = inside(&list(&shop(&[]), &Scope::default()));
    assert_eq!(rows.len(), 2);
    let by_pod = Scope { by_pod: true, ..Scope::default() };
    let rows = inside(&list(&shop(&[DB_FROM_CANARY]), &by_pod));
    let expected = [
        "shop/db[Deployment] -> shop/web-1: all",
        "shop/db[Deployment] -> shop/web-2: all",
        "shop/web-1 -> shop/web-2: all",
        "shop/web-2 -> shop/db[Deployment]: TCP 5432",
        "shop/web-2 -> shop/web-1: all",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn ranges_are_split_where_verdicts_differ_and_nowhere_else() {
    // Two blocks that touch and allow the same, one apart that allows something else.
    let spec = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/9}}, \
         {ipBlock: {cidr: 10.128.0.0/9}}]}, {from: [{ipBlock: {cidr: 192.0.2.0/24}}], \
         ports: [{port: 443}]}]}";
    let rows = outside(&list(&shop(&[spec]), &Scope::default()));
    let expected = [
        "10.0.0.0-10.255.255.255 -> shop/db[Deployment]: all",
        "10.0.0.0-10.255.255.255 -> shop/web[StatefulSet]: all",
        "192.0.2.0-192.0.2.255 -> shop/db[Deployment]: TCP 443",
        "192.0.2.0-192.0.2.255 -> shop/web[StatefulSet]: TCP 443",
        "shop/db[Deployment] -> 0.0.0.0-255.255.255.255: all",
        "shop/db[Deployment] -> ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff: all",
        "shop/web[StatefulSet] -> 0.0.0.0-255.255.255.255: all",
        "shop/web[StatefulSet] -> ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff: all",
    ];
    assert_eq!(rows, expected);
    let listing = npguard::list(&shop(&[spec]), Dialect::NpGuard, &Scope::default()).unwrap();
    let text = npguard::print(&listing, npguard::Form::Text);
    let first: Vec<&str> = text.lines().take(2).collect();
    let expected = [
        "10.0.0.0-10.127.255.255[External] => shop/db[Deployment] : All Connections",
        "10.0.0.0-10.127.255.255[External] => shop/web[StatefulSet] : All Connections",
    ];
    assert_eq!(first, expected, "that tool cuts at every block");
    assert!(!text.contains("::"), "and knows no IPv6 outside");
}

#[test]
fn a_focus_keeps_its_workloads_peers_direction_and_port() {
    let objects = shop(&[DB_FROM_WEB]);
    let count = |focus: Focus| list(&objects, &Scope { focus, ..Scope::default() }).len();
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let db = || Focus { workloads: names(&["shop/db"]), ..Focus::default() };
    let only = |direction| FocusDirection::Only(direction);
    assert_eq!(count(Focus::default()), 8, "all: 2 inside, 6 with the outside");
    assert_eq!(count(db()), 4);
    assert_eq!(count(Focus { direction: only(Direction::Ingress), ..db() }), 1);
    assert_eq!(count(Focus { direction: only(Direction::Egress), ..db() }), 3);
    assert_eq!(count(Focus { peers: names(&["web"]), ..db() }), 2);
    assert_eq!(count(Focus { connection: Some((Protocol::Udp, 53)), ..db() }), 3);
    assert_eq!(count(Focus { workloads: names(&["other/db"]), ..Focus::default() }), 0);
    let focus = Focus { workloads: names(&["shop/db", "typo"]), ..Focus::default() };
    let listing = list(&objects, &Scope { focus, ..Scope::default() });
    assert_eq!(listing.unknown_names(), ["typo"]);
}

#[test]
fn the_forms_of_a_list() {
    let focus = Focus {
        workloads: vec!["db".to_owned()],
        direction: FocusDirection::Only(Direction::Ingress),
        ..Focus::default()
    };
    let listing = list(&shop(&[DB_FROM_CANARY]), &Scope { focus, ..Scope::default() });
    let forms = [ListForm::Table, ListForm::Json, ListForm::Csv, ListForm::Markdown, ListForm::Dot];
    let printed: Vec<String> = forms.iter().map(|form| listing.print(*form)).collect();
    let json: serde_json::Value = serde_json::from_str(&printed[1]).unwrap();
    let row = &json["connections"][0];
    assert_eq!(row["src"], "shop/web[StatefulSet]{canary=blue}");
    assert_eq!((&row["protocol"], &row["ports"][0][1]), (&"TCP".into(), &5432.into()));
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn the_forms_of_a_diff() {
    let (old, new) = (shop(&[DB_FROM_CANARY]), shop(&[DB_FROM_WEB]));
    let diff = PolicyDiff::new(&list(&old, &Scope::default()), &list(&new, &Scope::default()));
    assert_eq!((diff.count(ChangeKind::Added), diff.changes.len()), (1, 1), "the other pod");
    let forms = [DiffForm::Table, DiffForm::Json, DiffForm::Markdown, DiffForm::Csv];
    let mut printed: Vec<String> = forms.iter().map(|form| diff.print(*form)).collect();
    let (old, new) = (shop(&[]), shop(&[DB_FROM_WEB]));
    let as_npguard =
        |objects: &[Object]| npguard::list(objects, Dialect::NpGuard, &Scope::default()).unwrap();
    let diff = PolicyDiff::new(&as_npguard(&old), &as_npguard(&new));
    printed.push(diff.print(DiffForm::NpGuardText("ref1", "ref2")));
    printed.push(diff.print(DiffForm::NpGuardCsv("ref1", "ref2")));
    printed.push(diff.print(DiffForm::NpGuardMarkdown("ref1", "ref2")));
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn a_workload_that_appears_is_told_with_what_it_may_do() {
    let mut new = shop(&[]);
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: cache, namespace: shop}, \
         spec: {containers: [{name: c, image: i}]}}";
    new.extend(parse("new.yaml", text).unwrap());
    let (old, new) = (list(&shop(&[]), &Scope::default()), list(&new, &Scope::default()));
    let diff = PolicyDiff::new(&old, &new);
    let appeared: Vec<String> = diff.appeared.iter().map(ToString::to_string).collect();
    assert_eq!(appeared, ["shop/cache[Pod]"]);
    assert!(diff.changes.iter().all(|change| change.kind() == ChangeKind::Added));
    let back = PolicyDiff::new(&new, &old);
    assert_eq!(back.vanished, diff.appeared);
    assert!(back.changes.iter().all(|change| change.kind() == ChangeKind::Removed));
}

#[test]
fn pods_of_one_owner_that_a_policy_tells_apart_have_no_answer_in_npguards_view() {
    let refused = |specs: &[&str]| {
        npguard::list(&shop(specs), Dialect::NpGuard, &Scope::default())
            .err()
            .map(|error| error.to_string())
    };
    let why = refused(&[DB_FROM_CANARY]).unwrap();
    assert!(why.contains("`web-1` and `web-2`") && why.contains("shop/p0"), "{why}");
    assert_eq!(refused(&[DB_FROM_WEB]), None);
}

/// The same cluster with at most one address per pod, so that each pair has one verdict.
fn single_stack(mut cluster: Cluster) -> Cluster {
    for endpoint in &mut cluster.endpoints {
        endpoint.addresses.truncate(1);
        endpoint.host_network = false;
    }
    cluster
}

fn name(endpoint: &Endpoint) -> End {
    if endpoint.stands_for_many() {
        return End::Workload { workload: endpoint.workload.clone(), identity: String::new() };
    }
    End::Pod { namespace: endpoint.namespace.clone(), name: endpoint.name.clone() }
}

/// What a list says of an address.
fn with_address(listing: &Listing, pod: &End, address: IpAddr, inward: bool) -> PortSet {
    let found = listing.rows().find(|(from, to, _)| {
        let (external, own) = if inward { (from, to) } else { (to, from) };
        let holds = match external {
            End::Addresses(first, last) => {
                first.is_ipv4() == address.is_ipv4() && (*first..=*last).contains(&address)
            }
            End::Domain(_) | End::Workload { .. } | End::Pod { .. } | End::IngressController => {
                false
            }
        };
        holds && *own == pod
    });
    found.map_or(PortSet::none(), |(_, _, set)| set.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_list_of_pods_says_what_the_plain_evaluator_decides(
        cluster in cluster().prop_map(single_stack), policies in vec(policy(), 0..5)
    ) {
        let rules = RuleSet::new(policies);
        let scope = Scope { by_pod: true, ..Scope::default() };
        let listing = Listing::new(&rules, &cluster, &scope).unwrap();
        let rows: BTreeMap<(&End, &End), &PortSet> =
            listing.rows().map(|(from, to, set)| ((from, to), set)).collect();
        let decided = |source, destination| {
            let pair = Pair { source, destination, source_address: None, destination_address: None };
            rules.decide_pair(&cluster, &pair).allowed()
        };
        let pods = || cluster.endpoints.iter().map(|endpoint| (endpoint, name(endpoint)));
        for (one, source) in pods() {
            for (other, destination) in pods().filter(|(other, _)| !other.is(one)) {
                let families = |pod: &Endpoint| pod.addresses.first().map(IpAddr::is_ipv4);
                let meet = families(one).is_none() || families(other).is_none()
                    || families(one) == families(other);
                let listed = rows.get(&(&source, &destination)).copied().cloned().unwrap_or_default();
                let expected = if meet {
                    decided(Peer::Endpoint(one), Peer::Endpoint(other))
                } else {
                    PortSet::none()
                };
                prop_assert_eq!(listed, expected, "{} -> {}", &source, &destination);
            }
            for address in ["192.0.2.9", "203.0.113.200", "8.8.8.8"] {
                let address: IpAddr = address.parse().unwrap();
                if one.addresses.first().is_some_and(IpAddr::is_ipv6) {
                    continue;
                }
                let (pod, outer) = (Peer::Endpoint(one), Peer::Address(address));
                prop_assert_eq!(with_address(&listing, &source, address, true), decided(outer, pod));
                prop_assert_eq!(with_address(&listing, &source, address, false), decided(pod, outer));
            }
        }
    }

    #[test]
    fn a_diff_is_nothing_to_itself_and_reverses(
        cluster in cluster(), old in vec(policy(), 0..4), new in vec(policy(), 0..4)
    ) {
        let list = |policies: Vec<_>| {
            Listing::new(&RuleSet::new(policies), &cluster, &Scope::default()).unwrap()
        };
        let (old, new) = (list(old), list(new));
        prop_assert!(PolicyDiff::new(&old, &old).is_empty());
        let (forth, back) = (PolicyDiff::new(&old, &new), PolicyDiff::new(&new, &old));
        prop_assert_eq!(forth.changes.len(), back.changes.len());
        for (one, other) in forth.changes.iter().zip(&back.changes) {
            prop_assert_eq!((&one.source, &one.destination), (&other.source, &other.destination));
            prop_assert_eq!((&one.before, &one.after), (&other.after, &other.before));
            prop_assert!(one.before != one.after);
        }
    }
}

#[test]
fn workloads_and_pods_that_share_a_name_are_all_listed() {
    let workload = |kind: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: web, namespace: a}}, spec: \
             {{selector: {{matchLabels: {{of: {kind}}}}}, template: {{metadata: {{labels: \
             {{of: {kind}}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}}}\n---\n"
        )
    };
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a}, \
         spec: {containers: [{name: c, image: i}]}}";
    let text = workload("Deployment") + &workload("DaemonSet") + pod;
    let objects = parse("same.yaml", &text).unwrap();
    let names = |listing: &Listing| {
        listing.listed().iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    let expected = ["a/web[DaemonSet]", "a/web[Deployment]", "a/web[Pod]"];
    let own = list(&objects, &Scope { with_itself: true, ..Scope::default() });
    assert_eq!(names(&own), expected);
    let itself = own.rows().filter(|(from, to, _)| from == to).count();
    assert_eq!(itself, 2, "a lone pod has nobody like it");
    let theirs = npguard::list(&objects, Dialect::NpGuard, &Scope::default()).unwrap();
    assert_eq!(names(&theirs), expected);
}

const OPENINGS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
  spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
  spec: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8], selector: {app: db},
  ports: [{port: 5432, nodePort: 30432}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: front, namespace: shop},
  spec: {rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix,
  backend: {service: {name: web, port: {name: http}}}}]}}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: far, namespace: edge},
  spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, namespace: shop, port: 80}]}]}}
";
const GRANT: &str = "
{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant,
  metadata: {name: edge, namespace: shop}, spec: {from: [{group: gateway.networking.k8s.io,
  kind: HTTPRoute, namespace: edge}], to: [{group: '', kind: Service}]}}
";

/// Rows `object (entries) -> workload: allowed, denied`.
fn exposed(specs: &[&str], more: &[&str]) -> Vec<String> {
    let mut objects = shop(specs);
    for text in more {
        objects.extend(parse("more.yaml", text).unwrap());
    }
    let listing = list(&objects, &Scope::default());
    let rows = listing.exposed().iter().map(|one| {
        format!(
            "{} {} ({}) -> {}: {}, {}",
            one.kind,
            one.name,
            one.entries.join(", "),
            one.destination,
            one.allowed,
            one.denied
        )
    });
    rows.collect()
}

#[test]
fn services_that_are_exposed_are_listed_with_what_policies_say() {
    let ingress = "Ingress shop/front (shop.example) -> shop/web[StatefulSet]";
    let balancer = "Service shop/db (load balancer, node port 30432) -> shop/db[Deployment]";
    let open = exposed(&[], &[OPENINGS]);
    assert_eq!(open, [format!("{ingress}: TCP 8080, none"), format!("{balancer}: TCP 5432, none")]);
    let closed = "{podSelector: {}, policyTypes: [Ingress]}";
    let shut = exposed(&[closed], &[OPENINGS]);
    assert_eq!(shut, [format!("{ingress}: none, TCP 8080"), format!("{balancer}: none, TCP 5432")]);
    // Pods of any namespace may come in, addresses from outside may not.
    let pods = "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}";
    let half = exposed(&[pods], &[OPENINGS]);
    assert_eq!(half, [format!("{ingress}: TCP 8080, none"), format!("{balancer}: none, TCP 5432")]);
}

#[test]
fn a_load_balancer_lets_in_its_source_ranges_only() {
    let from = |cidr: &str| {
        let spec =
            format!("{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {cidr}}}}}]}}]}}");
        let rows = exposed(&[&spec], &[OPENINGS]);
        rows.into_iter().find(|row| row.starts_with("Service")).unwrap()
    };
    assert!(from("10.1.0.0/16").ends_with("TCP 5432, none"));
    assert!(from("192.0.2.0/24").ends_with("none, TCP 5432"), "never let in by the Service");
}

#[test]
fn a_route_reaches_another_namespace_only_with_its_grant() {
    let is_far = |row: &String| row.starts_with("HTTPRoute edge/far (*) -> shop/web");
    assert!(!exposed(&[], &[OPENINGS]).iter().any(is_far));
    assert!(exposed(&[], &[OPENINGS, GRANT]).iter().any(is_far));
}
