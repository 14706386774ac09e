//! Nodes and edges: grouping, filters, labels, and the algebra of sums.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use sekisho_flow::FlowFilter;
use sekisho_labels::{Assigned, Labelling, Layer, Rules, Said};
use sekisho_map::{
    Grouping, Map, MapOptions, NoiseRule, Places, Within, build, dot, json, mermaid, svg, table,
};
use sekisho_model::{ClusterName, EdgeDay, TimeRange, Verdict, WorkloadRef};

use crate::samples::{complete, minute, row, rows, shop, with_verdict};

fn by(grouping: Grouping) -> MapOptions {
    MapOptions { grouping, ..MapOptions::default() }
}

fn map(rows: &[EdgeDay], options: &MapOptions) -> Map {
    build(rows, options, complete())
}

fn ids(map: &Map) -> Vec<&str> {
    map.nodes.iter().map(|node| node.id.as_str()).collect()
}

fn grouping() -> impl Strategy<Value = Grouping> {
    use Grouping::{Application, Cluster, Label, Namespace, Node, Pod, Process, Workload};
    let label = Label("app".parse().unwrap());
    prop::sample::select(vec![Cluster, Namespace, Application, label, Node, Workload, Pod, Process])
}

/// The same traffic in two rows: the counts divided, the span of time cut.
fn split(row: &EdgeDay) -> [EdgeDay; 2] {
    let (mut first, mut second) = (row.clone(), row.clone());
    let parts = [
        (&mut first.stats.connections, &mut second.stats.connections),
        (&mut first.stats.bytes_sent, &mut second.stats.bytes_sent),
        (&mut first.stats.bytes_received, &mut second.stats.bytes_received),
        (&mut first.stats.packets_sent, &mut second.stats.packets_sent),
        (&mut first.stats.packets_received, &mut second.stats.packets_received),
    ];
    for (a, b) in parts {
        *a /= 3;
        *b -= *a;
    }
    first.stats.last_seen = first.stats.first_seen;
    second.stats.loss = false;
    [first, second]
}

proptest! {
    #[test]
    fn a_map_does_not_depend_on_the_order_of_rows_or_on_how_they_are_split(
        (rows, shuffled) in rows().prop_flat_map(|rows| {
            let split: Vec<EdgeDay> = rows.iter().flat_map(split).collect();
            (Just(rows), Just(split).prop_shuffle())
        }),
        grouping in grouping(),
        hide_probes: bool,
    ) {
        let options = MapOptions { hide_probes, ..by(grouping) };
        let (one, other) = (map(&rows, &options), map(&shuffled, &options));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(svg(&one), svg(&other));
        prop_assert_eq!(table(&one, 100, false), table(&other, 100, false));
    }

    #[test]
    fn no_connection_or_byte_is_lost_or_invented(rows in rows(), grouping in grouping()) {
        let options = MapOptions { hide_probes: true, hide_dns: true, ..by(grouping.clone()) };
        let map = map(&rows, &options);
        let shown: u64 = map.edges.iter().map(|edge| edge.connections).sum();
        let all: u64 = rows.iter().map(|row| row.stats.connections).sum();
        prop_assert_eq!(shown + map.hidden.connections, all);
        let everything = build(&rows, &by(grouping), complete());
        let bytes: u64 = everything.edges.iter().map(|edge| edge.bytes_received).sum();
        prop_assert_eq!(bytes, rows.iter().map(|row| row.stats.bytes_received).sum::<u64>());
    }

    #[test]
    fn every_edge_has_its_nodes_and_every_node_an_edge(rows in rows(), grouping in grouping()) {
        let map = map(&rows, &by(grouping));
        let ends: BTreeSet<&str> = map
            .edges
            .iter()
            .flat_map(|edge| [edge.source.as_str(), edge.destination.as_str()])
            .collect();
        prop_assert_eq!(ends.into_iter().collect::<Vec<_>>(), ids(&map));
    }

    #[test]
    fn every_edge_is_in_every_output(rows in rows()) {
        let map = map(&rows, &by(Grouping::Workload));
        let picture = svg(&map);
        for edge in &map.edges {
            let pair = format!("{} -&gt; {}", edge.source, edge.destination);
            prop_assert!(picture.contains(&pair), "{}", pair);
        }
        prop_assert_eq!(dot(&map).matches("\" -> \"").count(), map.edges.len());
        prop_assert_eq!(mermaid(&map).matches("|\"").count(), map.edges.len());
        let value: serde_json::Value = serde_json::from_str(&json(&map).unwrap()).unwrap();
        prop_assert_eq!(value["edges"].as_array().unwrap().len(), map.edges.len());
        prop_assert_eq!(value["completeness"].as_f64(), Some(map.completeness.ratio));
    }
}

#[test]
fn pods_of_a_workload_are_one_node_with_the_labels_they_share() {
    let map = map(&shop(), &by(Grouping::Workload));
    let frontend = map.nodes.iter().find(|node| node.id == "shop/frontend[Deployment]").unwrap();
    assert_eq!((frontend.pods, frontend.kind.as_str()), (2, "Deployment"));
    let labels: Vec<&str> = frontend.labels.keys().map(String::as_str).collect();
    // The hash differs between ReplicaSets, and would be useless if it did not.
    assert_eq!(labels, ["app"]);
}

#[test]
fn a_label_that_one_pod_lacks_is_not_a_label_of_the_workload() {
    let with_track = |pod: &str, track: &str| {
        let mut row = row(pod, "data/db", 5432, 1);
        Arc::make_mut(&mut row.key_mut().source)
            .labels
            .insert("track".to_owned(), track.to_owned());
        row
    };
    let labels = |rows: &[EdgeDay]| {
        let map = map(rows, &by(Grouping::Workload));
        map.nodes.iter().find(|node| node.name == "web").unwrap().labels.clone()
    };
    let same = [with_track("a/web#1", "canary"), with_track("a/web#2", "canary")];
    assert!(labels(&same).contains_key("track"));
    let other = [with_track("a/web#1", "canary"), with_track("a/web#2", "stable")];
    assert!(!labels(&other).contains_key("track"));
    let none = [with_track("a/web#1", "canary"), row("a/web#2", "data/db", 5432, 1)];
    assert!(!labels(&none).contains_key("track"));
}

#[test]
fn each_grouping_names_its_nodes() {
    let rows = [row("!192.0.2.1", "a/web#1", 80, 1), row("a/web#1", "%vm", 22, 1)];
    let nodes = |grouping| ids(&map(&rows, &by(grouping))).join(" | ");
    assert_eq!(nodes(Grouping::Namespace), "a[Namespace] | external[External] | hosts[Namespace]");
    assert_eq!(
        nodes(Grouping::Workload),
        "192.0.2.1[External] | a/web[Deployment] | hosts/vm[Host]"
    );
    assert_eq!(nodes(Grouping::Pod), "192.0.2.1[External] | a/web-1[Pod] | hosts/vm[Host]");
    let processes =
        "192.0.2.1[External] ? | a/web[Deployment] /usr/bin/web | hosts/vm[Host] /usr/bin/vm";
    assert_eq!(nodes(Grouping::Process), processes);
    assert_eq!(
        nodes(Grouping::Cluster),
        "default[Cluster] | external[External] | hosts[Namespace]"
    );
    let application = "192.0.2.1[External] | a/web[Application] | hosts/vm[Host]";
    assert_eq!(nodes(Grouping::Application), application);
    let label = |key: &str| nodes(Grouping::Label(key.parse().unwrap()));
    assert_eq!(label("app"), "!app[Label] | app=web[Label] | external[External]");
    assert_eq!(label("tier"), "!tier[Label] | external[External]");
    assert_eq!(nodes(Grouping::Node), "192.0.2.1[External] | ?[Node] | hosts/vm[Host]");
}

#[test]
fn labels_of_a_namespace_are_those_of_its_pods_but_for_their_own() {
    let mut places = Places::default();
    let cluster = ClusterName::default();
    let labels = [("stage".to_owned(), "prod".to_owned()), ("app".to_owned(), "no".to_owned())];
    places.add_namespace(&cluster, "a", &labels.into());
    places.add_pod(&cluster, "a", "web-1", "node-7");
    let labels = Arc::new(Labelling::new(Rules::usual("stage"), Assigned::new()));
    let options = |grouping| MapOptions {
        labels: Arc::clone(&labels),
        places: Arc::new(places.clone()),
        ..by(grouping)
    };
    let rows = [row("a/web#1", "b/db#1", 5432, 1), row("@node-7", "a/web#1", 80, 1)];
    let nodes = |grouping| ids(&build(&rows, &options(grouping), complete())).join(" | ");
    let environment = "!environment[Dimension] | environment=prod[Dimension] | nodes[Node]";
    assert_eq!(nodes("environment".parse().unwrap()), environment);
    let app = Grouping::Label("app".parse().unwrap());
    assert_eq!(nodes(app), "app=db[Label] | app=web[Label] | nodes[Node]");
    assert_eq!(nodes(Grouping::Node), "?[Node] | node-7[Node]");
}

#[test]
fn groupings_by_a_dimension_go_by_what_was_assigned_and_one_goes_into_them() {
    let cluster = ClusterName::default();
    let workload = |namespace: &str, name: &str, kind: &str| WorkloadRef {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    };
    let mut assigned = Assigned::new();
    let mut say = |workload: WorkloadRef, dimension: &str, value: &str| {
        let (value, source) = (value.to_owned(), "by hand".to_owned());
        let said = Said { layer: Layer::Manual, value, source };
        let of_workload = assigned.entry(cluster.clone()).or_default().entry(workload).or_default();
        of_workload.insert(dimension.parse().unwrap(), vec![said]);
    };
    say(workload("a", "web", "Deployment"), "application", "store");
    say(workload("a", "db", "Deployment"), "role", "database");
    say(workload("", "192.0.2.1", "External"), "role", "partner");
    let labels = Arc::new(Labelling::new(Rules::usual("environment"), assigned));
    let rows = [row("!192.0.2.1", "a/web#1", 80, 1), row("a/web#1", "a/db#1", 5432, 1)];
    let nodes = |grouping: &str, within: &[&str]| {
        let options = MapOptions {
            labels: Arc::clone(&labels),
            within: within.iter().map(|id| id.parse().unwrap()).collect(),
            ..by(grouping.parse().unwrap())
        };
        ids(&map(&rows, &options)).join(" | ")
    };
    let applications = "192.0.2.1[External] | a/db[Application] | a/store[Application]";
    assert_eq!(nodes("application", &[]), applications);
    let roles = "!role[Dimension] | role=database[Dimension] | role=partner[Dimension]";
    assert_eq!(nodes("dimension:role", &[]), roles);
    let database = "a/db[Deployment] | a/web[Deployment]";
    assert_eq!(nodes("workload", &["role=database[Dimension]"]), database);
    assert_eq!(nodes("dimension:colour", &[]), "!colour[Dimension] | external[External]");
    // The labels themselves are as they were.
    assert_eq!(nodes("label:app", &[]), "app=db[Label] | app=web[Label] | external[External]");
}

#[test]
fn one_goes_from_a_namespace_to_a_process_and_peers_stay_workloads() {
    let rows = [
        row("a/web#1", "a/db#1", 5432, 1),
        row("a/web#2", "a/db#2", 5432, 1),
        row("a/db#1", "!198.51.100.7", 443, 1),
        row("b/job#1", "b/store#1", 80, 1),
    ];
    let nodes = |grouping, within: &[&str]| {
        let within = within.iter().map(|id| id.parse().unwrap()).collect();
        ids(&map(&rows, &MapOptions { within, ..by(grouping) })).join(" | ")
    };
    let db = "198.51.100.7[External] | a/db[Deployment] | a/web[Deployment]";
    assert_eq!(nodes(Grouping::Workload, &["a[Namespace]"]), db);
    assert_eq!(nodes(Grouping::Workload, &["app=db[Label]"]), db);
    assert_eq!(nodes(Grouping::Workload, &["a/db[Application]"]), db);
    assert_eq!(
        nodes(Grouping::Pod, &["a/db[Deployment]"]),
        "198.51.100.7[External] | a/db-1[Pod] | a/db-2[Pod] | a/web[Deployment]"
    );
    assert_eq!(
        nodes(Grouping::Process, &["a/db[Deployment]", "a/db-1[Pod]"]),
        "198.51.100.7[External] | a/db[Deployment] /usr/bin/db | a/web[Deployment]"
    );
    assert_eq!(nodes(Grouping::Pod, &["c/none[Deployment]"]), "");
    for wrong in ["", "shop", "[", "tier[Label]", "a b=c[Label]", "=x[Label]"] {
        assert!(wrong.parse::<Within>().is_err(), "{wrong:?}");
    }
}

#[test]
fn scrapes_are_left_out_on_request_and_denied_ones_stay() {
    let scrape = row("ops/prometheus", "a/web", 9090, 3);
    let denied = with_verdict(row("ops/prometheus", "a/db", 9187, 1), Verdict::Denied);
    let rows = [scrape, denied, row("a/web", "a/db", 5432, 1)];
    let options = MapOptions { hide_scrapes: true, ..MapOptions::default() };
    let map = map(&rows, &options);
    assert_eq!((map.edges.len(), map.hidden.edges, map.hidden.connections), (2, 1, 3));
    assert_eq!(build(&rows, &MapOptions::default(), complete()).edges.len(), 3);
}

#[test]
fn an_edge_is_split_by_verdict_and_keeps_who_decided() {
    let allowed = row("a/web#1", "a/db", 5432, 5);
    let denied = with_verdict(row("a/web#1", "a/db", 5432, 2), Verdict::Denied);
    let map = map(&[denied, allowed], &by(Grouping::Workload));
    let edges: Vec<(Verdict, u64, Vec<String>)> = map
        .edges
        .into_iter()
        .map(|edge| (edge.verdict, edge.connections, edge.decided_by))
        .collect();
    let by = vec!["a/db ingress (no rule allows)".to_owned()];
    assert_eq!(edges, [(Verdict::Allowed, 5, vec![]), (Verdict::Denied, 2, by)]);
}

#[test]
fn hiding_dns_hides_the_clusters_own_and_never_a_tunnel() {
    let options = MapOptions { hide_dns: true, ..MapOptions::default() };
    let rows = [
        row("a/web#1", "kube-system/coredns", 53, 7),
        with_verdict(row("a/web#1", "kube-system/coredns", 53, 2), Verdict::Unknown),
        row("a/web#1", "!203.0.113.53", 53, 1),
        with_verdict(row("a/x", "kube-system/coredns", 53, 1), Verdict::Denied),
    ];
    let map = map(&rows, &options);
    assert_eq!((map.edges.len(), map.hidden.edges, map.hidden.connections), (2, 2, 9));
}

#[test]
fn hiding_probes_hides_what_nodes_ask_of_pods_and_nothing_else() {
    let options = MapOptions { hide_probes: true, ..MapOptions::default() };
    let rows = [
        row("@node-1", "a/web#1", 8080, 7),
        row("a/web#1", "@node-1", 10250, 1),
        row("@node-1", "!192.0.2.1", 443, 1),
    ];
    let map = map(&rows, &options);
    assert_eq!((map.edges.len(), map.hidden.edges, map.hidden.connections), (2, 1, 7));
}

#[test]
fn a_namespace_filter_keeps_edges_with_one_end_inside() {
    let namespaces = ["data".to_owned()].into();
    let map = map(&shop(), &MapOptions { namespaces, ..MapOptions::default() });
    assert!(!map.edges.is_empty());
    assert!(
        map.edges.iter().all(|edge| {
            edge.source.starts_with("data/") || edge.destination.starts_with("data/")
        })
    );
}

#[test]
fn a_range_keeps_the_minutes_that_overlap_it_and_is_the_window() {
    let at = |number: u64| {
        let mut row = row("a/web#1", "a/db", 5432, 1);
        (row.stats.first_seen, row.stats.last_seen) = (minute(number), minute(number));
        row
    };
    let rows: Vec<EdgeDay> = (0..10).map(at).collect();
    let range = TimeRange { from: minute(2).plus_seconds(30), to: minute(5) };
    let map = map(&rows, &MapOptions { range, ..MapOptions::default() });
    assert_eq!((map.edges[0].connections, map.window), (3, range));
    let all = build(&rows, &MapOptions::default(), complete());
    assert_eq!(all.window, TimeRange { from: minute(0), to: minute(9) });
}

#[test]
fn the_same_workload_of_two_clusters_is_two_nodes_that_say_of_which() {
    let of = |cluster: &str, connections| {
        let mut row = row("shop/web", "shop/db", 5432, connections);
        row.key_mut().cluster = cluster.parse().unwrap();
        row
    };
    let rows = [of("east", 3), of("west", 5), of("east", 1)];
    let several = MapOptions { clusters: true, ..MapOptions::default() };
    let map = map(&rows, &several);
    let edges = map.edges.iter().map(|edge| (edge.source.as_str(), edge.connections));
    let sources = edges.collect::<Vec<_>>();
    assert!(sources[0].0.starts_with("east/shop/web[") && sources[0].1 == 4, "{sources:?}");
    assert!(sources[1].0.starts_with("west/shop/web[") && sources[1].1 == 5, "{sources:?}");
    let inside = |edge: &sekisho_map::MapEdge| edge.source[..5] == edge.destination[..5];
    assert!(map.edges.len() == 2 && map.edges.iter().all(inside));
    let clusters = map.nodes.iter().filter_map(|node| node.cluster.as_deref());
    assert_eq!(clusters.collect::<Vec<_>>(), ["east", "east", "west", "west"]);
    for picture in [dot(&map), mermaid(&map), svg(&map)] {
        let has_both = |places: [&str; 2]| places.iter().all(|name| picture.contains(name));
        // Mermaid writes the stroke as an entity.
        let is_said = has_both(["east/shop", "west/shop"]) || has_both(["east#47;", "west#47;"]);
        assert!(is_said, "{picture}");
    }
}

#[test]
fn a_rule_hides_what_passed_and_each_cause_is_counted_once() {
    let filter = |port| FlowFilter { to_port: Some(port), ..FlowFilter::default() };
    let rule = |name: &str, port| NoiseRule { name: name.to_owned(), filter: filter(port) };
    let rows = [
        row("a/web", "a/db", 9100, 3),
        with_verdict(row("a/web", "a/db", 9100, 1), Verdict::Denied),
        row("a/web", "a/dns", 53, 5),
        row("a/web", "a/db", 5432, 7),
    ];
    let options = MapOptions {
        hide_dns: true,
        rules: vec![rule("exporter", 9100), rule("dns too", 53)],
        ..MapOptions::default()
    };
    let map = map(&rows, &options);
    let told = map.hidden.noise.iter().map(|one| (one.name.as_str(), one.own, one.connections));
    assert_eq!(told.collect::<Vec<_>>(), [("dns", false, 5), ("exporter", true, 3)]);
    assert_eq!(map.hidden.connections, 8);
    assert_eq!(map.edges.len(), 2, "what was denied stays");
}
