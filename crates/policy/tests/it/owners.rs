//! Which workload a pod belongs to, and what stands in for workloads without pods.

use sekisho_model::PartyKind;

use crate::world::World;

const REPLICA_SET: &str = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-5d4f, namespace: a, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: m}]}}}
";
const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}}}
";

fn pod(name: &str, owner: &str, labels: &str, status: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: a, labels: {labels}, ownerReferences: [{owner}]}}
spec: {{containers: [{{name: m}}]}}
status: {status}
"
    )
}

fn owner(kind: &str, name: &str) -> String {
    format!("{{apiVersion: x/v1, kind: {kind}, name: {name}, uid: u, controller: true}}")
}

/// `workload pod` of each endpoint.
fn endpoints(documents: &[&str]) -> Vec<String> {
    let world = World::of(&documents.join("---"));
    let of =
        |endpoint: &sekisho_policy::Endpoint| format!("{} {}", endpoint.workload, endpoint.name);
    world.cluster.endpoints.iter().map(of).collect()
}

#[test]
fn a_pod_belongs_to_the_topmost_owner_that_is_listed() {
    let pod = pod("web-5d4f-x", &owner("ReplicaSet", "web-5d4f"), "{app: web}", "{phase: Running}");
    assert_eq!(endpoints(&[REPLICA_SET, DEPLOYMENT, &pod]), ["a/web[Deployment] web-5d4f-x"]);
    // The chain leads on to an owner that is only named.
    assert_eq!(endpoints(&[REPLICA_SET, &pod]), ["a/web[Deployment] web-5d4f-x"]);
}

#[test]
fn without_owner_objects_the_template_hash_tells_the_deployment() {
    let with = pod("p", &owner("ReplicaSet", "web-5d4f"), "{pod-template-hash: 5d4f}", "{}");
    assert_eq!(endpoints(&[&with]), ["a/web[Deployment] p"]);
    let without = pod("p", &owner("ReplicaSet", "web-5d4f"), "{app: web}", "{}");
    assert_eq!(endpoints(&[&without]), ["a/web-5d4f[ReplicaSet] p"]);
    let other = pod("p", &owner("ReplicaSet", "web-5d4f"), "{pod-template-hash: '77'}", "{}");
    assert_eq!(endpoints(&[&other]), ["a/web-5d4f[ReplicaSet] p"]);
}

#[test]
fn pods_of_cron_jobs_belong_to_the_cron_job() {
    let cron = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: a}
spec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: m}]}}}}}
";
    let pod = pod("report-29000000-x", &owner("Job", "report-29000000"), "{}", "{phase: Running}");
    assert_eq!(endpoints(&[cron, &pod]), ["a/report[CronJob] report-29000000-x"]);
    // Without the CronJob the name alone proves nothing.
    assert_eq!(endpoints(&[&pod]), ["a/report-29000000[Job] report-29000000-x"]);
    // Between runs the template stands in.
    let ended = pod.replace("Running", "Succeeded");
    assert_eq!(endpoints(&[cron, &ended]), ["a/report[CronJob] report"]);
}

#[test]
fn lone_and_static_pods_own_themselves() {
    let lone = pod("lone", "", "{}", "{}");
    assert_eq!(endpoints(&[&lone]), ["a/lone[Pod] lone"]);
    let fixed = pod("kube-proxy-n1", &owner("Node", "n1"), "{}", "{}");
    assert_eq!(endpoints(&[&fixed]), ["a/kube-proxy-n1[Pod] kube-proxy-n1"]);
}

#[test]
fn owners_that_own_each_other_end_the_search() {
    let one = REPLICA_SET.replace("kind: Deployment, name: web", "kind: ReplicaSet, name: two");
    let two = one
        .replace("web-5d4f", "two")
        .replace("ReplicaSet, name: two", "ReplicaSet, name: web-5d4f");
    let pod = pod("p", &owner("ReplicaSet", "two"), "{}", "{phase: Running}");
    assert!(endpoints(&[&one, &two, &pod]).iter().any(|endpoint| endpoint.ends_with(" p")));
}

#[test]
fn a_workload_without_pods_is_one_endpoint_made_from_its_template() {
    let world = World::of(DEPLOYMENT);
    let [endpoint] = world.cluster.endpoints.as_slice() else { panic!("{:?}", world.cluster) };
    assert!(endpoint.addresses.is_empty() && endpoint.stands_for_many());
    assert_eq!(endpoint.kind, PartyKind::Pod);
    assert_eq!(endpoint.labels["app"], "web");
    assert_eq!(endpoint.ports[0].name, "http");
    assert_eq!(endpoints(&[REPLICA_SET, DEPLOYMENT]), ["a/web[Deployment] web"]);
}

#[test]
fn a_retired_replica_set_stands_for_nothing() {
    let retired = REPLICA_SET.replace("replicas: 1", "replicas: 0");
    assert_eq!(endpoints(&[&retired]), Vec::<String>::new());
    assert_eq!(endpoints(&[REPLICA_SET]), ["a/web[Deployment] web"]);
}

#[test]
fn pods_of_a_workload_that_is_not_listed_reach_each_other_through_policy_only() {
    let policy = crate::world::policy("{podSelector: {}}");
    World::of(&format!("{DEPLOYMENT}---\n{policy}")).denies(&["a/web a/web 80"]);
    let open = crate::world::policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}");
    World::of(&format!("{DEPLOYMENT}---\n{open}")).allows(&["a/web a/web 80"]);
}

#[test]
fn the_address_of_a_node_is_that_of_its_object_else_of_its_pods() {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {nodeName: n9, containers: [{name: m}]}
status: {hostIP: 192.0.2.9}
";
    let world = World::of(pod);
    assert_eq!(world.cluster.node_at("192.0.2.9".parse().unwrap()), Some("n9"));
    let node = "{apiVersion: v1, kind: Node, metadata: {name: n9}, status: {addresses: [{type: InternalIP, address: 192.0.2.99}]}}";
    let world = World::of(&format!("{pod}---\n{node}"));
    assert_eq!(world.cluster.node_at("192.0.2.99".parse().unwrap()), Some("n9"));
    assert_eq!(world.cluster.node_at("192.0.2.9".parse().unwrap()), None);
}

#[test]
fn the_last_of_a_name_counts() {
    let first = pod("p", "", "{app: old}", "{phase: Running}");
    let ended = pod("p", "", "{app: old}", "{phase: Succeeded}");
    let again = pod("p", "", "{app: new}", "{phase: Running}");
    let other = pod("o", "", "{app: o}", "{phase: Running}");
    assert_eq!(endpoints(&[&first, &other, &ended]), ["a/o[Pod] o"]);
    let world = World::of(&[first.as_str(), &other, &ended, &again].join("---"));
    let labels: Vec<&str> =
        world.cluster.endpoints.iter().map(|endpoint| endpoint.labels["app"].as_str()).collect();
    assert_eq!(labels, ["o", "new"]);
}
