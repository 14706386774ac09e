//! The cluster is what the other tests take it for.

use std::fs;
use std::time::Duration;

use sekisho_system::{cgroup, wait};
use serde_json::Value;

use crate::cluster::Cluster;

/// Longest until a new Service is known by its name and address: watches of the API server begin anew
/// up to a minute after it was killed.
const KNOWN_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn both_nodes_are_ready_and_are_of_the_version_of_the_api_server() {
    let cluster = Cluster::find();
    let nodes = cluster.get(&["nodes"]);
    let server: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "--raw", "/version"])).unwrap();
    let version = &server["gitVersion"];
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        assert_eq!(ready["status"], "True", "{node}");
        assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], *version);
    }
}

#[test]
fn pods_on_both_nodes_reach_each_other_by_address_and_service_and_name() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-reach");
    namespace.web("web", 4);
    let pods = namespace.pods("web");
    let nodes: Vec<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
    assert_eq!(nodes, ["node1", "node1", "node2", "node2"]);
    for from in [&pods[0], &pods[3]] {
        for to in &pods {
            let url = format!("http://{}:8080/", to.ip);
            assert_eq!(namespace.fetch(from, &url).as_ref(), Ok(&to.name), "{from:?} to {to:?}");
        }
        let service = cluster.get(&["service", "web", "--namespace", &namespace.name]);
        let address = service["spec"]["clusterIP"].as_str().unwrap();
        for name in [address, "web", "web.fixture-reach.svc.cluster.local"] {
            // DNS and proxy watch the API server, and take their time after a bad day of it.
            let mut last = Ok(String::new());
            let answer = wait::until(KNOWN_LIMIT, || {
                last = namespace.fetch(from, &format!("http://{name}/"));
                last.clone().ok()
            });
            let answer = answer.unwrap_or_else(|| panic!("{name}: {last:?}"));
            assert!(pods.iter().any(|pod| pod.name == answer), "{name}: `{answer}`");
        }
    }
}

#[test]
fn a_policy_that_denies_everything_is_not_enforced_by_the_cni() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-policy");
    namespace.web("web", 2);
    let pods = namespace.pods("web");
    let url = format!("http://{}:8080/", pods[1].ip);
    assert_eq!(namespace.fetch(&pods[0], &url).as_ref(), Ok(&pods[1].name));
    cluster.apply(
        "apiVersion: networking.k8s.io/v1\n\
         kind: NetworkPolicy\n\
         metadata: { name: deny-all, namespace: fixture-policy }\n\
         spec: { podSelector: {}, policyTypes: [Ingress, Egress] }\n",
    );
    // A CNI that enforces would need a moment. Ten requests take longer than any of them.
    for _ in 0..10 {
        assert_eq!(namespace.fetch(&pods[0], &url).as_ref(), Ok(&pods[1].name));
    }
}

#[test]
fn processes_of_a_pod_are_known_by_its_uid_in_the_cgroup_hierarchy_of_version_2() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-cgroup");
    namespace.web("web", 2);
    for pod in namespace.pods("web") {
        // The path as the pod's first process sees it, without a cgroup namespace.
        let own = namespace.exec(&pod, &["cat", "/proc/1/cgroup"]).unwrap();
        let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        let place = format!("/{}/kubepods/besteffort/pod{}/", pod.node, pod.uid);
        assert!(path.contains(&place), "{path}");
        let group = cgroup::mount_point().unwrap().join(path.trim_start_matches('/'));
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert!(processes.lines().count() > 0, "{}", group.display());
    }
}

#[test]
fn pods_reach_the_api_server_and_what_is_outside_of_the_cluster() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-outside");
    namespace.web("web", 2);
    let service = cluster.get(&["service", "kubernetes", "--namespace", "default"]);
    let api = service["spec"]["clusterIP"].as_str().unwrap();
    let connect = format!("timeout 5 nc {api} 443 < /dev/null");
    let outside = fs::read_to_string(cluster.file("outside")).unwrap();
    assert_eq!(outside.lines().count(), 2, "one of each family: {outside}");
    for pod in namespace.pods("web") {
        namespace.exec(&pod, &["sh", "-c", &connect]).unwrap();
        for address in outside.lines() {
            namespace.exec(&pod, &["ping", "-c", "1", "-w", "5", address]).unwrap();
        }
    }
}

#[test]
fn pods_have_an_address_of_each_family_and_reach_each_other_by_both() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-families");
    namespace.web("web", 2);
    let pods = namespace.pods("web");
    for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
        let pod = cluster.get(&["pod", &to.name, "--namespace", &namespace.name]);
        let addresses = pod["status"]["podIPs"].as_array().unwrap();
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        let second = addresses[1]["ip"].as_str().unwrap();
        for host in [to.ip.clone(), format!("[{second}]")] {
            let answer = namespace.fetch(from, &format!("http://{host}:8080/"));
            assert_eq!(answer.as_ref(), Ok(&to.name), "{host}");
        }
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_refused() {
    let cluster = Cluster::find();
    let namespace = cluster.namespace("fixture-refused");
    namespace.web("web", 2);
    let pods = namespace.pods("web");
    let error = namespace.fetch(&pods[0], &format!("http://{}:8081/", pods[1].ip)).unwrap_err();
    assert!(error.contains("Connection refused"), "{error}");
}
