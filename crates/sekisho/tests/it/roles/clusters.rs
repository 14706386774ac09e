//! One server and agents of several clusters that have the same names and the same addresses.

use sekisho_api::{AgentReport, CallError, Client, Order};
use sekisho_model::{Batch, ClusterName};
use serde_json::Value;

use super::halves::{Pair, journal};
use super::served::{Served, block_on, connections};

/// A server of the clusters `east` and `west` besides the one without a name. Where east has a
/// database `db`, west has a `vault`: at the same address, on a node of the same name.
struct Several {
    served: Served,
    _journals: tempfile::TempDir,
}

impl Several {
    fn start() -> Self {
        let journals = tempfile::tempdir().unwrap();
        let mut keys = String::new();
        for (name, text) in
            [("east", journal()), ("west", journal().replace("\"db\"", "\"vault\""))]
        {
            let path = journals.path().join(name);
            std::fs::write(&path, text).unwrap();
            keys.push_str(&format!("[server.clusters.{name}]\njournal = {path:?}\n"));
        }
        Self { served: Served::start(&keys), _journals: journals }
    }

    fn client(&self, cluster: &str) -> Client {
        self.served.client().in_cluster(name(cluster))
    }

    fn send(&self, cluster: &str, batch: &Batch) -> Result<u64, CallError> {
        block_on(self.client(cluster).send_batch(batch)).map(|ack| ack.sequence)
    }

    /// Sends both ends of `count` connections.
    fn talk(&self, cluster: &str, pair: &mut Pair, count: u64) {
        for batch in pair.batches(count) {
            self.send(cluster, &batch).unwrap();
        }
    }

    /// Says for both nodes that every order is in force there.
    fn obey(&self, cluster: &str) {
        let report = AgentReport { generation: u64::MAX, ..AgentReport::default() };
        for node in ["node-a", "node-b"] {
            block_on(self.client(cluster).report(node, &report)).unwrap();
        }
    }

    fn order(&self, cluster: &str) -> Order {
        block_on(self.client(cluster).order("node-b", 0)).unwrap().expect("an order")
    }

    fn map(&self, more: &[&str]) -> Value {
        let words = [&["map", "-o", "json", "--until", "0s"], more].concat();
        let answer = self.served.ask(&words);
        let code = if answer.code == 3 { 3 } else { 0 };
        answer.with_code(code).json()
    }
}

fn name(cluster: &str) -> ClusterName {
    cluster.parse().unwrap()
}

/// Connections of the edges whose source is of `cluster`; every edge stays in its cluster.
fn within(map: &Value, cluster: &str) -> u64 {
    let place = format!("{cluster}/");
    let mut sum = 0;
    for edge in map["edges"].as_array().unwrap() {
        let is_here = |end: &str| edge[end].as_str().unwrap().starts_with(&place);
        assert_eq!(is_here("source"), is_here("destination"), "{edge:#}");
        if is_here("source") {
            sum += edge["connections"].as_u64().unwrap();
        }
    }
    sum
}

fn ids(map: &Value) -> Vec<&str> {
    map["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect()
}

#[test]
fn the_same_names_and_addresses_in_two_clusters_never_mix() {
    let mut several = Several::start();
    let (mut east, mut west) = (Pair::new(), Pair::new());
    several.talk("east", &mut east, 3);
    several.talk("west", &mut west, 5);
    // One end in each, of the same addresses and ports at the same time: no connection of two ends.
    let [here, _] = east.batches(1);
    let [_, there] = west.batches(1);
    several.send("east", &here).unwrap();
    several.send("west", &there).unwrap();
    let joined = |status: &sekisho_api::Status| {
        let named = |name: &str| {
            let value = status.joiner.iter().find(|(known, _)| known == name);
            value.map_or(0, |(_, value)| *value)
        };
        (status.cluster_name.to_string(), named("joined"), named("one_sided"))
    };
    let status =
        several.served.await_status(|status| status.all().map(|of| of.flows).sum::<u64>() >= 10);
    let expected = [("default", 0, 0), ("east", 3, 1), ("west", 5, 1)];
    let expected = expected.map(|(name, both, one)| (name.to_owned(), both, one));
    assert_eq!(status.all().map(joined).collect::<Vec<_>>(), expected);

    let map = several.map(&[]);
    assert_eq!((within(&map, "east"), within(&map, "west")), (4, 6), "{map:#}");
    assert!(ids(&map).contains(&"east/shop/db[Pod]"), "{map:#}");
    assert!(ids(&map).contains(&"west/shop/vault[Pod]"), "{map:#}");
    assert!(!ids(&map).contains(&"east/shop/vault[Pod]"), "{map:#}");
    let gaps = map["completeness_detail"]["gaps"].to_string();
    assert!(gaps.contains("default: no agent reported"), "{gaps}");
    assert!(map["completeness"].as_f64().unwrap() < 0.67, "{map:#}");
    // Of one cluster it looks as if there were no other.
    let one = several.map(&["--cluster", "east"]);
    assert_eq!(connections(&one), 4);
    assert!(ids(&one).contains(&"shop/db[Pod]") && one["nodes"][0].get("cluster").is_none());
    let text = several.served.ask(&["map"]).out;
    assert!(text.contains("west/shop/client-0[Pod]"), "{text}");

    // The same after a crash, and from the folder alone.
    several.served.kill();
    several.served.up();
    assert_eq!(several.map(&[])["edges"], map["edges"]);
    assert!(several.served.stop().success());
    let folder = several.served.data.to_str().unwrap();
    let offline = crate::run::run(&["map", "-o", "json", "--until", "0s", "--store", folder]);
    assert_eq!(offline.json()["edges"], map["edges"]);
    let asked = crate::run::run(&["recommend", "--store", folder]).with_code(2);
    assert!(
        asked.err.contains("`east`, `west`") && asked.err.contains("--cluster"),
        "{}",
        asked.err
    );
}

#[test]
fn each_cluster_shows_in_status_metrics_and_flows_and_one_must_be_named_to_change_it() {
    let several = Several::start();
    several.talk("east", &mut Pair::new(), 2);
    several.talk("west", &mut Pair::new(), 1);
    let text = several.served.ask(&["status"]).out;
    let (east, west) = text.split_once("\ncluster west\n").expect("a part of each cluster");
    for part in [east.split_once("\ncluster east\n").unwrap().1, west] {
        assert!(part.contains("node-a") && part.contains("policy: none"), "{text}");
    }
    let metrics = block_on(several.served.client().metrics()).unwrap();
    for series in [
        "sekisho_clusters 3\n",
        "sekisho_agent_up{cluster=\"east\",node=\"node-a\"} 1\n",
        "sekisho_agent_up{cluster=\"west\",node=\"node-a\"} 1\n",
        "sekisho_batches_total{cluster=\"default\",state=\"taken\"} 0\n",
    ] {
        assert!(metrics.contains(series), "{series}{metrics}");
    }
    let lines = several.served.ask(&["observe"]).with_code(0).out;
    let of = |place: &str| lines.lines().filter(|line| line.starts_with(place)).count();
    assert_eq!((of("east: "), of("west: "), lines.lines().count()), (2, 1, 3), "{lines}");
    let line = several.served.ask(&["observe", "--cluster", "west", "-o", "json"]).with_code(0);
    assert_eq!(line.json()["key"]["cluster"], "west");
    for words in [&["recommend"][..], &["rollback"], &["rollback", "--list"], &["stage", "-f", "-"]]
    {
        let asked = several.served.ask(words).with_code(2);
        let names = "`default`, `east`, `west`: name one with --cluster";
        assert!(asked.err.contains(names), "{words:?}: {}", asked.err);
    }
    let wrong = several.served.ask(&["recommend", "--cluster", "north"]).with_code(2);
    assert!(wrong.err.contains("no cluster `north`"), "{}", wrong.err);
    let right = several.served.ask(&["recommend", "--cluster", "east"]);
    assert!(right.out.contains("app: db") && !right.out.contains("vault"), "{}", right.out);
}

#[test]
fn an_agent_of_a_cluster_that_the_server_does_not_know_is_told_what_to_do_and_keeps_its_batches() {
    let several = Several::start();
    let [batch, _] = Pair::new().batches(1);
    let refused = several.send("north", &batch).unwrap_err();
    assert!(refused.is_temporary(), "{refused}");
    let words = refused.to_string();
    for part in ["--cluster north", "--kubernetes=north=KUBECONFIG", "`east`"] {
        assert!(words.contains(part), "{words}");
    }
    let told = several.served.status().problems;
    assert!(told.iter().any(|problem| problem.contains("node-a is of the cluster `north`")));
    assert_eq!(several.send("east", &batch).unwrap(), 1);
    assert!(!several.served.data.join("clusters/north").exists());
}

fn policy(database: &str, from: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: guard, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{app: {database}}}}}, ingress: [{from}]}}\n"
    )
}

#[test]
fn a_policy_of_the_same_name_allows_in_one_cluster_and_denies_in_the_other() {
    let several = Several::start();
    for cluster in ["east", "west"] {
        several.talk(cluster, &mut Pair::new(), 8);
        several.obey(cluster);
    }
    let file = several.served.folder.path().join("p.yaml");
    let apply = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let words = [&["apply", "-f", file.to_str().unwrap()], more].concat();
        several.served.ask(&words)
    };
    let (allow, deny) =
        (policy("db", "{}"), policy("vault", "{from: [{podSelector: {matchLabels: {app: x}}}]}"));
    apply(&allow, &[]).with_code(2);
    assert!(several.order("east").enforce.is_none() && several.order("west").enforce.is_none());

    let done = apply(&allow, &["--cluster", "east"]);
    assert!(done.out.contains("Revision 1 enforced on node-a, node-b"), "{}{}", done.out, done.err);
    // In the other cluster the same name denies what was seen there, so it is refused.
    let refused = apply(&deny, &["--cluster", "west"]).with_code(1);
    assert!(refused.out.contains("nothing was changed"), "{}", refused.out);
    assert!(several.order("west").enforce.is_none());
    let done = apply(&deny, &["--cluster", "west", "--max-would-block", "99"]);
    assert!(done.out.contains("Revision 1 enforced on node-a, node-b"), "{}{}", done.out, done.err);

    let policies = |cluster: &str| {
        let order = several.order(cluster);
        let record = order.enforce.expect("policies");
        assert_eq!((order.revision, record.policies.len()), (1, 1));
        format!("{:?}", record.policies)
    };
    assert!(policies("east").contains("\"db\"") && !policies("east").contains("vault"));
    assert!(policies("west").contains("\"vault\"") && !policies("west").contains("\"db\""));
    let status = several.served.status();
    let revisions = status.all().map(|of| (of.cluster_name.as_str(), of.revision));
    assert_eq!(revisions.collect::<Vec<_>>(), [("default", 0), ("east", 1), ("west", 1)]);

    // Going back in one leaves the other as it is.
    several.served.ask(&["rollback", "--cluster", "west"]).with_code(0);
    assert!(several.order("west").enforce.is_none());
    assert!(policies("east").contains("\"db\""));
    let list = several.served.ask(&["rollback", "--list", "--cluster", "east"]).with_code(0).out;
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn a_history_that_is_not_served_any_more_is_told_and_kept() {
    let mut served = Served::start("[server.clusters.east]\n");
    let client = served.client().in_cluster(name("east"));
    for batch in Pair::new().batches(2) {
        block_on(client.send_batch(&batch)).unwrap();
    }
    assert!(served.stop().success());
    let config = std::fs::read_to_string(served.config()).unwrap();
    std::fs::write(served.config(), config.replace("[server.clusters.east]\n", "")).unwrap();
    served.up();
    let status = served.status();
    assert!(status.others.is_empty());
    let told = status.problems.iter().any(|problem| problem.contains("--cluster east"));
    assert!(told, "{:?}", status.problems);
    let folder = served.data.to_str().unwrap();
    let words = ["map", "-o", "json", "--store", folder, "--until", "0s", "--cluster", "east"];
    assert_eq!(connections(&crate::run::run(&words).json()), 2);
}
