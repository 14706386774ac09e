//! Claims of the inventory.

use std::net::SocketAddr;

use proptest::prelude::*;
use sekisho_flow::Directory;
use sekisho_manifest::parse;
use sekisho_model::Protocol;

use super::*;

fn s(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn object(json: &str) -> Object {
    parse("test", json).unwrap().remove(0)
}

fn pod(name: &str, ip: &str, labels: &str, phase: &str) -> Object {
    object(&format!(
        r#"{{"apiVersion":"v1","kind":"Pod",
            "metadata":{{"name":"{name}","namespace":"shop","uid":"uid-{name}-1",
                "labels":{{{labels}}}}},
            "spec":{{"nodeName":"node-1","containers":[{{"name":"app","image":"i",
                "ports":[{{"name":"web","containerPort":8080}}]}}]}},
            "status":{{"phase":"{phase}","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}]}}}}"#
    ))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn inventory(lines: &[(u64, Change, Object)]) -> Inventory {
    let mut inventory = Inventory::new(InventoryLimits::default());
    for (at, change, object) in lines {
        inventory.apply(s(*at), *change, object);
    }
    inventory
}

fn who(inventory: &Inventory, address: &str, at: u64) -> String {
    let party = inventory.party_of_address(ip(address), None, s(at));
    if party.pod.is_empty() { party.to_string() } else { party.pod.clone() }
}

use Change::{Added, Deleted, Modified};

#[test]
fn a_reused_address_belongs_to_the_pod_of_the_time() {
    let inventory = inventory(&[
        (10, Added, pod("a", "10.244.1.5", "", "Running")),
        (20, Deleted, pod("a", "10.244.1.5", "", "Running")),
        (30, Added, pod("b", "10.244.1.5", "", "Running")),
    ]);
    let at = |seconds| who(&inventory, "10.244.1.5", seconds);
    assert_eq!((at(10).as_str(), at(19).as_str(), at(30).as_str()), ("a", "a", "b"));
    assert_eq!(at(25), "10.244.1.5[External]");
}

#[test]
fn slack_reaches_two_seconds_before_the_first_known_time_unless_somebody_had_it() {
    let free = inventory(&[(10, Added, pod("a", "10.244.1.5", "", "Running"))]);
    assert_eq!(who(&free, "10.244.1.5", 8), "a");
    assert_ne!(who(&free, "10.244.1.5", 7), "a");
    let held = inventory(&[
        (5, Added, pod("old", "10.244.1.5", "", "Running")),
        (10, Added, pod("a", "10.244.1.5", "", "Running")),
    ]);
    assert_eq!(who(&held, "10.244.1.5", 9), "old");
}

#[test]
fn a_pod_that_ended_gives_its_address_up_and_does_not_get_it_back() {
    let inventory = inventory(&[
        (10, Added, pod("a", "10.244.1.5", "", "Running")),
        (20, Modified, pod("a", "10.244.1.5", "", "Succeeded")),
        (21, Added, pod("b", "10.244.1.5", "", "Running")),
        (22, Modified, pod("a", "10.244.1.5", r#""x":"y""#, "Succeeded")),
    ]);
    assert_eq!(who(&inventory, "10.244.1.5", 15), "a");
    assert_eq!(who(&inventory, "10.244.1.5", 30), "b");
    let alive: Vec<_> =
        inventory.objects_at(s(30)).iter().map(|it| it.meta().name.clone()).collect();
    assert_eq!(alive, ["b"]);
}

#[test]
fn what_was_heard_last_holds_now_also_if_its_time_is_ahead_of_ours() {
    let inventory = inventory(&[
        (10, Added, pod("a", "10.244.1.5", "", "Pending")),
        (40, Modified, pod("a", "10.244.1.5", "", "Running")),
        (10, Added, pod("b", "10.244.1.6", "", "Running")),
        (40, Modified, pod("b", "10.244.1.6", "", "Succeeded")),
    ]);
    let phases = |objects: Vec<Arc<Object>>| -> Vec<String> {
        let pods = objects.iter().filter_map(|object| match object.as_ref() {
            Object::Pod(pod) => Some(format!("{} {:?}", pod.meta.name, pod.status.phase)),
            _other => None,
        });
        pods.collect()
    };
    assert_eq!(phases(inventory.shared_at(s(30))), ["a Pending", "b Running"]);
    assert_eq!(phases(inventory.shared_now()), ["a Running"]);
}

#[test]
fn a_stale_pod_that_changes_does_not_take_an_address_from_its_new_holder() {
    let inventory = inventory(&[
        (10, Added, pod("a", "10.244.1.5", "", "Running")),
        (20, Added, pod("b", "10.244.1.5", "", "Running")),
        (25, Modified, pod("a", "10.244.1.5", r#""x":"y""#, "Running")),
    ]);
    assert_eq!(who(&inventory, "10.244.1.5", 15), "a");
    assert_eq!(who(&inventory, "10.244.1.5", 30), "b");
}

#[test]
fn old_flows_keep_old_labels() {
    let inventory = inventory(&[
        (10, Added, pod("a", "10.244.1.5", r#""tier":"web""#, "Running")),
        (20, Modified, pod("a", "10.244.1.5", r#""tier":"db""#, "Running")),
    ]);
    let tier = |at| {
        let party = inventory.party_of_address(ip("10.244.1.5"), None, s(at));
        party.labels["tier"].clone()
    };
    assert_eq!((tier(15).as_str(), tier(20).as_str()), ("web", "db"));
    let by_cgroup = inventory.party_of_cgroup("node-1", "/x/pods/poduid-a-1/app", s(15)).unwrap();
    assert_eq!(by_cgroup.labels["tier"], "web");
}

#[test]
fn a_cgroup_still_names_a_cron_pod_that_is_long_gone() {
    let inventory = inventory(&[
        (10, Added, pod("backup", "10.244.1.9", "", "Running")),
        (12, Modified, pod("backup", "10.244.1.9", "", "Succeeded")),
        (13, Deleted, pod("backup", "10.244.1.9", "", "Succeeded")),
    ]);
    let party = inventory.party_of_cgroup("node-1", "/x/pods/poduid-backup-1/app", s(60)).unwrap();
    assert_eq!(party.pod, "backup");
    assert_eq!(party.address, Some(ip("10.244.1.9")));
}

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},
    "spec":{"podCIDRs":["10.244.1.0/24","fd00:10:244:1::/64"]},
    "status":{"addresses":[{"type":"InternalIP","address":"172.18.0.11"}]}}"#;

#[test]
fn nodes_hosts_and_strangers_are_told_apart() {
    let host = r#"{"apiVersion":"sekisho.dev/v1alpha1","kind":"Host",
        "metadata":{"name":"legacy-db","namespace":"hosts","labels":{"app":"legacy"}},
        "spec":{"addresses":["172.18.0.101"]}}"#;
    let inventory = inventory(&[(1, Added, object(NODE)), (1, Added, object(host))]);
    for (address, expected) in [
        ("172.18.0.11", "node-1[Node]"),
        ("::ffff:172.18.0.11", "node-1[Node]"),
        ("10.244.1.1", "node-1[Node]"),
        ("10.244.1.77", "10.244.1.77[Unknown]"),
        ("fd00:10:244:1::77", "fd00:10:244:1::77[Unknown]"),
        ("172.18.0.101", "hosts/legacy-db[Host]"),
        ("203.0.113.9", "203.0.113.9[External]"),
    ] {
        assert_eq!(who(&inventory, address, 5), expected);
    }
    let cgroup = |node, cgroup| inventory.party_of_cgroup(node, cgroup, s(5)).map(|it| it.id());
    assert_eq!(cgroup("node-1", "/lab/node-1/kubelet").as_deref(), Some("node-1[Node]"));
    assert_eq!(cgroup("legacy-db", "/lab/x").as_deref(), Some("hosts/legacy-db[Host]"));
    assert_eq!(cgroup("node-1", "/lab/node-1/pods/pod0f6e7a31-5b8c/app"), None, "a new pod");
    assert_eq!(cgroup("node-1", ""), None);
    assert_eq!(cgroup("node-9", "/lab/x"), None);
}

#[test]
fn a_host_network_pod_is_its_node() {
    let text = r#"{"apiVersion":"v1","kind":"Pod",
        "metadata":{"name":"proxy","namespace":"kube-system","uid":"uid-proxy-1"},
        "spec":{"nodeName":"node-1","hostNetwork":true,"containers":[{"name":"a","image":"i"}]},
        "status":{"phase":"Running","hostIP":"172.18.0.11","podIPs":[{"ip":"172.18.0.11"}]}}"#;
    let inventory = inventory(&[(1, Added, object(NODE)), (2, Added, object(text))]);
    assert_eq!(who(&inventory, "172.18.0.11", 5), "node-1[Node]");
    let party = inventory.party_of_cgroup("node-1", "/x/pods/poduid-proxy-1/a", s(5)).unwrap();
    assert_eq!((party.kind, party.id().as_str()), (PartyKind::Node, "node-1[Node]"));
}

const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service",
    "metadata":{"name":"cart","namespace":"shop"},
    "spec":{"type":"NodePort","clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7"],
        "selector":{"app":"cart"},
        "ports":[{"port":80,"targetPort":"web","nodePort":30080}]}}"#;

fn backends(inventory: &Inventory, address: &str, at: u64) -> Option<Vec<SocketAddr>> {
    let target = inventory.service_at(address.parse().unwrap(), Protocol::Tcp, s(at))?;
    assert_eq!(target.service.to_string(), "shop/cart:80");
    Some(target.backends)
}

#[test]
fn a_service_has_the_backends_of_the_time_by_named_port() {
    let cart = r#""app":"cart""#;
    let one: Vec<SocketAddr> = vec!["10.244.1.5:8080".parse().unwrap()];
    let inventory = inventory(&[
        (1, Added, object(NODE)),
        (1, Added, object(SERVICE)),
        (10, Added, pod("a", "10.244.1.5", cart, "Running")),
        (10, Added, pod("other", "10.244.1.6", r#""app":"ad""#, "Running")),
        (50, Modified, pod("a", "10.244.1.5", "", "Running")),
    ]);
    assert_eq!(backends(&inventory, "10.96.0.7:80", 3), Some(vec![]));
    assert_eq!(backends(&inventory, "10.96.0.7:80", 20), Some(one.clone()));
    assert_eq!(backends(&inventory, "172.18.0.11:30080", 20), Some(one.clone()));
    assert_eq!(backends(&inventory, "10.96.0.7:80", 54), Some(one), "still draining");
    assert_eq!(backends(&inventory, "10.96.0.7:80", 56), Some(vec![]));
    assert_eq!(backends(&inventory, "10.96.0.7:81", 20), None);
    assert_eq!(who(&inventory, "10.96.0.7", 20), "shop/cart[Service]");
}

#[test]
fn a_service_that_comes_after_its_pods_has_them() {
    let inventory = inventory(&[
        (1, Added, pod("a", "10.244.1.5", r#""app":"cart""#, "Running")),
        (5, Added, object(SERVICE)),
    ]);
    assert_eq!(backends(&inventory, "10.96.0.7:80", 10).map(|it| it.len()), Some(1));
}

fn owned(name: &str, kind: &str, owner: &str, labels: &str) -> Object {
    object(&format!(
        r#"{{"apiVersion":"v1","kind":"Pod",
            "metadata":{{"name":"{name}","namespace":"shop","uid":"u1","labels":{{{labels}}},
                "ownerReferences":[{{"apiVersion":"apps/v1","kind":"{kind}","name":"{owner}",
                    "uid":"x","controller":true}}]}},
            "spec":{{"containers":[{{"name":"app","image":"i"}}]}},
            "status":{{"phase":"Running","podIPs":[{{"ip":"10.244.1.5"}}]}}}}"#
    ))
}

fn cron_job() -> Object {
    object(
        r#"{"apiVersion":"batch/v1","kind":"CronJob",
        "metadata":{"name":"backup","namespace":"shop"},
        "spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":
            {"restartPolicy":"Never","containers":[{"name":"a","image":"i"}]}}}}}}"#,
    )
}

#[test]
fn the_topmost_owner_names_the_workload_also_if_a_link_is_missing() {
    let hash = r#""pod-template-hash":"7d4b9c""#;
    let by_hash = owned("cart-7d4b9c-x", "ReplicaSet", "cart-7d4b9c", hash);
    assert_eq!(inventory(&[(1, Added, by_hash)]).workload(), "shop/cart[Deployment]");
    let no_hash = owned("cart-7d4b9c-x", "ReplicaSet", "cart-7d4b9c", "");
    assert_eq!(inventory(&[(1, Added, no_hash)]).workload(), "shop/cart-7d4b9c[ReplicaSet]");
    let job = || owned("backup-29123456-x", "Job", "backup-29123456", "");
    let alone = inventory(&[(1, Added, job())]);
    assert_eq!(alone.workload(), "shop/backup-29123456[Job]");
    let before = inventory(&[(1, Added, cron_job()), (2, Added, job())]);
    assert_eq!(before.workload(), "shop/backup[CronJob]");
    let after = inventory(&[(1, Added, job()), (2, Added, cron_job())]);
    assert_eq!(after.workload(), "shop/backup[CronJob]");
}

#[test]
fn an_owner_without_a_kind_names_the_same_workload_here_and_for_policies() {
    let pod = owned("cart-x", "", "cart", "");
    let cluster = sekisho_policy::Cluster::from_objects(std::slice::from_ref(&pod));
    assert_eq!(inventory(&[(1, Added, pod)]).workload(), "shop/cart[Pod]");
    assert_eq!(cluster.endpoints[0].workload.name, "cart");
}

impl Inventory {
    fn workload(&self) -> String {
        let by_address = self.party_of_address(ip("10.244.1.5"), None, s(1)).to_string();
        let by_uid = self.party_of_cgroup("n", "/pods/podu1/app", s(1)).unwrap().to_string();
        assert_eq!(by_address, by_uid);
        by_address
    }
}

#[test]
fn repeating_a_change_does_nothing_and_changes_bump_the_generation() {
    let mut inventory = inventory(&[(10, Added, pod("a", "10.244.1.5", "", "Running"))]);
    let generation = inventory.generation();
    inventory.apply(s(20), Added, &pod("a", "10.244.1.5", "", "Running"));
    assert_eq!(inventory.generation(), generation);
    inventory.apply(s(30), Modified, &pod("a", "10.244.1.5", r#""x":"y""#, "Running"));
    assert!(inventory.generation() > generation);
}

#[test]
fn history_is_bounded_and_evictions_are_counted() {
    let mut inventory = Inventory::new(InventoryLimits { intervals_max: 50 });
    for n in 0..500 {
        let labels = format!(r#""app":"cart","n":"{n}""#);
        inventory.apply(s(n), Modified, &pod("a", "10.244.1.5", &labels, "Running"));
        inventory.apply(s(n), Modified, &object(SERVICE));
    }
    let stats = inventory.stats();
    assert_eq!((stats.objects, stats.intervals), (2, 50));
    assert!(stats.evicted > 900);
    assert_eq!(who(&inventory, "10.244.1.5", 500), "a");
    inventory.forget_before(s(1_000));
    assert_eq!(inventory.stats().intervals, 0);
    assert_eq!(who(&inventory, "10.244.1.5", 500), "a");
}

fn step() -> impl Strategy<Value = (u64, usize, usize, u8)> {
    (0_u64..4, 0_usize..4, 0_usize..3, 0_u8..6)
}

proptest! {
    /// Whatever the watch says: intervals of one address never overlap, whoever answers did claim
    /// the address, and forgetting keeps the live ones.
    #[test]
    fn an_address_never_has_two_owners(steps in prop::collection::vec(step(), 1..60)) {
        let mut inventory = Inventory::new(InventoryLimits { intervals_max: 40 });
        let names = ["a", "b", "c", "d"];
        let addresses = ["10.244.1.1", "10.244.1.2", "10.244.1.3"];
        let mut now = 0;
        for (wait, name, address, action) in steps {
            now += wait;
            let label = format!(r#""n":"{action}""#);
            let (change, phase) = match action {
                0 => (Deleted, "Running"),
                1 => (Modified, "Succeeded"),
                _ => (Modified, "Running"),
            };
            // Sometimes a line is told late.
            let at = s(now.saturating_sub(u64::from(action == 5) * 3));
            inventory.apply(at, change, &pod(names[name], addresses[address], &label, phase));
            for spans in inventory.history.addresses.values() {
                let spans: Vec<_> = spans.iter().collect();
                prop_assert!(spans.iter().all(|span| span.from < span.to));
                prop_assert!(spans.windows(2).all(|pair| pair[0].to <= pair[1].from));
            }
            prop_assert!(inventory.stats().intervals <= 40);
            let ended: usize = inventory.history.addresses.values().map(|spans| {
                spans.iter().filter(|span| span.to != Timestamp::MAX).count()
            }).sum();
            prop_assert!(ended <= inventory.stats().intervals);
        }
        inventory.forget_before(Timestamp::MAX);
        prop_assert_eq!(inventory.stats().intervals, 0);
        for spans in inventory.history.addresses.values() {
            prop_assert_eq!(spans.iter().count(), 1);
        }
    }
}

proptest! {
    /// A journal that is read again from its start changes no answer, now or then.
    #[test]
    fn reading_a_journal_twice_changes_nothing(steps in prop::collection::vec(step(), 1..40)) {
        let names = ["a", "b", "c", "d"];
        let addresses = ["10.244.1.1", "10.244.1.2", "10.244.1.3"];
        let mut now = 0;
        let mut lines = Vec::new();
        for (wait, name, address, action) in steps {
            now += wait + 1;
            let label = format!(r#""n":"{action}""#);
            let (change, phase) = match action {
                0 => (Deleted, "Running"),
                1 => (Modified, "Succeeded"),
                _ => (Modified, "Running"),
            };
            lines.push((now, change, pod(names[name], addresses[address], &label, phase)));
        }
        let once = inventory(&lines);
        let again: Vec<_> = lines.iter().chain(&lines).cloned().collect();
        let twice = inventory(&again);
        for at in 0..now + 5 {
            for address in addresses {
                prop_assert_eq!(who(&once, address, at), who(&twice, address, at), "{} {}", address, at);
            }
            prop_assert_eq!(once.objects_at(s(at)), twice.objects_at(s(at)));
        }
    }
}

#[test]
fn a_pod_seen_first_with_the_address_of_another_has_it_since_its_start() {
    let late = |started: &str| {
        object(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"b","namespace":"shop"}},
                "spec":{{"containers":[{{"name":"app","image":"i"}}]}},
                "status":{{"phase":"Running","startTime":"{started}",
                    "podIPs":[{{"ip":"10.244.1.5"}}]}}}}"#
        ))
    };
    // Nobody was told anything from 10 to 200: the API server was away.
    let missed = late(&s(100).to_string());
    let inventory =
        inventory(&[(10, Added, pod("a", "10.244.1.5", "", "Running")), (200, Added, missed)]);
    assert_eq!(who(&inventory, "10.244.1.5", 99), "a");
    assert_eq!(who(&inventory, "10.244.1.5", 100), "b");
}

#[test]
fn a_start_that_another_clock_tells_is_put_right_and_a_small_difference_is_let_be() {
    let pod = |name: &str| {
        object(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"shop"}},
                "spec":{{"containers":[{{"name":"app","image":"i"}}]}},
                "status":{{"phase":"Running","startTime":"{}",
                    "podIPs":[{{"ip":"10.244.1.5"}}]}}}}"#,
            s(100)
        ))
    };
    for (ahead_ms, began) in [(0, 100), (1_500, 100), (30_000, 70), (-30_000, 130)] {
        let mut inventory = Inventory::new(InventoryLimits::default());
        inventory.set_ahead_ms(ahead_ms);
        inventory.apply(s(200), Added, &pod("a"));
        assert_eq!(who(&inventory, "10.244.1.5", began), "a", "{ahead_ms}");
        assert_ne!(who(&inventory, "10.244.1.5", began - 3), "a", "{ahead_ms}");
    }
}

const KUBERNETES: &str = r#"{"apiVersion":"v1","kind":"Service",
    "metadata":{"name":"kubernetes","namespace":"default"},
    "spec":{"clusterIP":"10.96.0.1","ports":[{"name":"https","port":443,"targetPort":6443}]}}"#;
const SLICE: &str = r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
    "metadata":{"name":"kubernetes","namespace":"default",
        "labels":{"kubernetes.io/service-name":"kubernetes"}},
    "addressType":"IPv4","endpoints":[{"addresses":["192.0.2.7"],"conditions":{"ready":true}}],
    "ports":[{"name":"https","port":6443,"protocol":"TCP"}]}"#;

#[test]
fn a_service_without_a_selector_has_the_backends_of_its_slices() {
    for order in [[KUBERNETES, SLICE], [SLICE, KUBERNETES]] {
        let mut inventory = Inventory::default();
        for text in order {
            inventory.apply(s(10), Added, &object(text));
        }
        let behind = |inventory: &Inventory, seconds: u64| {
            let asked = "10.96.0.1:443".parse().unwrap();
            let target = inventory.service_at(asked, Protocol::Tcp, s(seconds)).unwrap();
            target.backends
        };
        assert_eq!(behind(&inventory, 20), ["192.0.2.7:6443".parse().unwrap()]);
        inventory.apply(s(30), Deleted, &object(SLICE));
        assert_eq!(behind(&inventory, 20), ["192.0.2.7:6443".parse().unwrap()]);
        assert!(behind(&inventory, 60).is_empty());
    }
}
