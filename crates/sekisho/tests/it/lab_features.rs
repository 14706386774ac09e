//! What Kubernetes does with pods beyond "they run", in one lab without agents: probes, restarts,
//! init containers and sidecars, Jobs, DaemonSets, host networks, the kinds of Services, DNS over
//! TCP, IPv6, namespaces of a pod's own, and changes at run time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use sekisho_lab::client::{self, LabelTarget};
use sekisho_manifest::Object;
use sekisho_system::{terminate, wait};
use serde_json::Value;

use crate::run::{Answer, run, sekisho};

/// Everything here takes seconds; a loaded machine may need longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Calls that show where a Service leads: by chance one of two pods is missed once in 2^20.
const CALLS: u64 = 20;

const KUBE_DNS: &str = include_str!("../../../lab/scenarios/shop/kube-system.yaml");
const MANIFEST: &str = include_str!("lab_features/manifest.yaml");
const LATER: &str = include_str!("lab_features/later.yaml");

/// A lab without agents and server.
struct Bare {
    child: Child,
    folder: PathBuf,
}

/// A pod's line of `lab status`.
#[derive(Clone, Debug)]
struct Pod {
    target: String,
    node: String,
    v4: String,
    v6: String,
    phase: String,
    ready: bool,
    restarts: u64,
}

impl Bare {
    fn up(folder: &Path) -> Self {
        let names = ["kube-system.yaml", "features.yaml"].map(|name| folder.join(name));
        for (path, text) in names.iter().zip([KUBE_DNS, MANIFEST]) {
            std::fs::write(path, text).unwrap();
        }
        let state = folder.join("lab");
        let [dns, own] = names.each_ref().map(|path| path.to_str().unwrap());
        let log = std::fs::File::create(folder.join("up.log")).unwrap();
        let errors = log.try_clone().unwrap();
        let mut command = sekisho(&["lab", "up", "--bare", "-f", dns, "-f", own, "--state"]);
        let child = command.arg(&state).stdout(log).stderr(errors).spawn().unwrap();
        let lab = Self { child, folder: folder.to_owned() };
        let answers = wait::until(PATIENCE, || client::status(&lab.state()).ok());
        assert!(answers.is_some(), "{}", std::fs::read_to_string(folder.join("up.log")).unwrap());
        lab
    }

    fn state(&self) -> PathBuf {
        self.folder.join("lab")
    }

    fn lab(&self, arguments: &[&str], command: &[&str]) -> Answer {
        let state = self.state();
        let mut all = vec!["lab"];
        all.extend(arguments);
        all.extend(["--state", state.to_str().unwrap()]);
        all.extend(command);
        run(&all)
    }

    /// Runs a script in a pod.
    fn exec(&self, target: &str, script: &str) -> Answer {
        self.lab(&["exec", target], &["--", "sh", "-c", script])
    }

    /// Runs a script in a pod, which must succeed, and returns its output.
    #[track_caller]
    fn said(&self, target: &str, script: &str) -> String {
        self.exec(target, script).with_code(0).out
    }

    fn pods(&self) -> Vec<Pod> {
        let status = self.lab(&["status", "-o", "json"], &[]).json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pod = |line: &Value| Pod {
            target: format!("{}/{}", text(&line["namespace"]), text(&line["name"])),
            node: text(&line["node"]),
            v4: text(&line["addresses"][0]),
            v6: text(&line["addresses"][1]),
            phase: text(&line["phase"]),
            ready: line["ready"] == true,
            restarts: line["restarts"].as_u64().unwrap(),
        };
        status["pods"].as_array().unwrap().iter().map(pod).collect()
    }

    /// The pods whose `namespace/name` begins like that.
    fn of(&self, prefix: &str) -> Vec<Pod> {
        let mut pods = self.pods();
        pods.retain(|pod| pod.target.starts_with(prefix));
        pods
    }

    /// Waits until these pods are as wanted.
    #[track_caller]
    fn until(&self, prefix: &str, wanted: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
        let found = wait::until(PATIENCE, || {
            let pods = self.of(prefix);
            wanted(&pods).then_some(pods)
        });
        found.unwrap_or_else(|| {
            panic!("`{prefix}` is not as wanted:\n{}", self.lab(&["status"], &[]).out)
        })
    }

    #[track_caller]
    fn until_ready(&self, prefix: &str, count: usize) -> Vec<Pod> {
        self.until(prefix, |pods| pods.len() == count && pods.iter().all(|pod| pod.ready))
    }

    /// What a workload counted at one of its listeners, e.g. `http:8080`.
    #[track_caller]
    fn requests(&self, pod: &Pod, listener: &str) -> u64 {
        let script = format!("sekisho workload get http://{}:9102/metrics", pod.v4);
        let text = self.said("features/client", &script);
        let wanted = format!("listener=\"{listener}\"}} ");
        let value = text.lines().find_map(|line| line.split_once(&wanted).map(|(_, count)| count));
        value.map_or(0, |count| count.parse().unwrap())
    }

    /// Calls a URL once from the client; whether that went well.
    fn calls(&self, url: &str) -> bool {
        self.exec("features/client", &format!("sekisho workload once --call {url}")).code == 0
    }

    /// Calls a URL [`CALLS`] times and returns how many of the calls each pod got.
    #[track_caller]
    fn spread(&self, url: &str, at: &[(&Pod, &str)]) -> Vec<u64> {
        let count = || at.iter().map(|(pod, listener)| self.requests(pod, listener));
        let before: Vec<u64> = count().collect();
        let script = format!(
            "n=0; while [ $n -lt {CALLS} ]; do sekisho workload once --call {url} || exit 1; \
             n=$((n+1)); done"
        );
        self.said("features/client", &script);
        count().zip(before).map(|(now, before)| now - before).collect()
    }

    /// Waits until all calls to a URL go as `wanted` says.
    #[track_caller]
    fn until_spread(&self, url: &str, at: &[(&Pod, &str)], wanted: impl Fn(&[u64]) -> bool) {
        let mut last = Vec::new();
        let found = wait::until(PATIENCE, || {
            last = self.spread(url, at);
            wanted(&last).then_some(())
        });
        assert!(found.is_some(), "calls to {url} last went {last:?}");
    }

    fn apply(&self, text: &str) -> Result<(), client::ClientError> {
        let objects: Vec<Object> = sekisho_manifest::parse("later.yaml", text).unwrap();
        client::apply(&self.state(), objects)
    }

    /// The newest version of an object in the journal, and how it came to be.
    fn journal(&self, kind: &str, name: &str) -> Option<(String, Value)> {
        let text = std::fs::read_to_string(self.state().join("journal.jsonl")).unwrap();
        let lines = text.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut lines = lines.filter(|line| {
            line["object"]["kind"] == kind && line["object"]["metadata"]["name"] == name
        });
        lines.next().map(|line| (line["type"].as_str().unwrap().to_owned(), line["object"].clone()))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        terminate(&mut self.child, Duration::from_secs(30));
    }
}

#[test]
fn a_labs_pods_and_services_do_what_those_of_a_cluster_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Bare::up(folder.path());
    lab.until_ready("features/client", 1);
    lab.until_ready("kube-system/coredns-", 2);

    a_failing_liveness_probe_restarts_the_container_with_all_it_started(&lab);
    a_pod_that_is_not_ready_gets_no_calls_and_its_twin_gets_all(&lab);
    a_probe_that_hangs_is_killed_with_its_children(&lab);
    a_daemon_set_has_one_pod_on_each_node_and_they_talk_over_ipv6(&lab);
    a_job_runs_once_and_gives_its_address_up(&lab);
    init_containers_end_before_the_main_one_starts(&lab);
    a_pod_on_the_host_network_has_its_nodes_address_and_name(&lab);
    a_headless_service_names_its_pods_over_udp_and_tcp(&lab);
    a_named_port_leads_to_each_pods_own_number(&lab);
    a_udp_service_delivers_datagrams(&lab);
    a_pod_sees_itself_and_not_the_machine(&lab);
    objects_come_and_go_at_run_time(&lab);
    labels_of_hosts_and_namespaces_change_in_the_journal(&lab);
    the_delay_of_a_liveness_probe_counts_from_each_start(&lab);
    fifty_pods_come_and_go(&mut lab);
}

/// The container ignores SIGTERM and has a child that holds its port.
fn a_failing_liveness_probe_restarts_the_container_with_all_it_started(lab: &Bare) {
    let sickly = lab.until_ready("features/sickly", 1);
    assert_eq!(sickly[0].restarts, 0);
    lab.said("features/sickly", "touch /tmp/sick");
    let again = lab
        .until("features/sickly", |pods| pods.len() == 1 && pods[0].ready && pods[0].restarts == 1);
    // It was restarted in place: the same pod with the same address.
    assert_eq!(again[0].v4, sickly[0].v4);
    assert!(lab.calls(&format!("http://{}:8080", again[0].v4)));
    let servers = lab.said("features/sickly", "grep -lz 80[8]0 /proc/[0-9]*/cmdline | wc -l");
    assert_eq!(servers.trim(), "2", "the shell and its server, and nothing of the former run");
    // The twin with the same probe, which never failed.
    assert_eq!(lab.until_ready("features/healthy", 1)[0].restarts, 0);
    // A second failure counts on.
    lab.said("features/sickly", "touch /tmp/sick");
    lab.until("features/sickly", |pods| pods[0].ready && pods[0].restarts == 2);
}

fn the_delay_of_a_liveness_probe_counts_from_each_start(lab: &Bare) {
    assert_eq!(lab.until_ready("features/slow", 1)[0].restarts, 0);
    // The probe has begun.
    let asked = || lab.exec("features/slow", "test -e /tmp/asked").code == 0;
    assert!(wait::until(PATIENCE, || asked().then_some(())).is_some());
    lab.lab(&["restart", "features/slow"], &[]).with_code(0);
    let pods = lab.until("features/slow", |pods| pods[0].restarts > 0);
    // The new run answers only after it was left alone for seconds without being alive.
    let url = format!("http://{}:8080", pods[0].v4);
    let answers = wait::until(PATIENCE, || lab.calls(&url).then_some(()));
    assert!(answers.is_some(), "{}", lab.lab(&["status"], &[]).out);
    assert_eq!(lab.until_ready("features/slow", 1)[0].restarts, 1);
}

fn a_pod_that_is_not_ready_gets_no_calls_and_its_twin_gets_all(lab: &Bare) {
    let pods = lab.until_ready("features/flip-", 2);
    let [one, two] = [(&pods[0], "http:8080"), (&pods[1], "http:8080")];
    let url = "http://flip:80";
    lab.until_spread(url, &[one, two], |counts| counts.iter().all(|count| *count > 0));
    lab.said(&one.0.target, "rm /tmp/ready");
    lab.until(&one.0.target, |pods| !pods[0].ready && pods[0].phase == "Running");
    lab.until_spread(url, &[one, two], |counts| counts == [0, CALLS]);
    lab.said(&two.0.target, "rm /tmp/ready");
    let refused = wait::until(PATIENCE, || (!lab.calls(url)).then_some(()));
    assert!(refused.is_some(), "a Service without ready pods still answers");
    lab.said(&one.0.target, "touch /tmp/ready");
    lab.until(&one.0.target, |pods| pods[0].ready && pods[0].restarts == 0);
    let back = wait::until(PATIENCE, || lab.calls(url).then_some(()));
    assert!(back.is_some(), "the pod is ready again but gets no calls");
    lab.until_spread(url, &[one, two], |counts| counts == [CALLS, 0]);
    lab.said(&two.0.target, "touch /tmp/ready");
    lab.until_ready("features/flip-", 2);
}

fn a_probe_that_hangs_is_killed_with_its_children(lab: &Bare) {
    let asked =
        || lab.said("features/hanging", "wc -l < /tmp/asked").trim().parse::<u32>().unwrap();
    assert!(wait::until(PATIENCE, || (asked() >= 6).then_some(())).is_some());
    // The one that hangs now and, at most, the one that is just being killed.
    let left = lab.said("features/hanging", "grep -lz slee[p] /proc/[0-9]*/comm | wc -l");
    assert!(left.trim().parse::<u32>().unwrap() <= 2, "{left}");
    assert!(lab.of("features/hanging").iter().all(|pod| !pod.ready && pod.restarts == 0));
    client::delete(&lab.state(), "Pod", "features/hanging").unwrap();
    lab.until("features/hanging", <[Pod]>::is_empty);
}

fn a_daemon_set_has_one_pod_on_each_node_and_they_talk_over_ipv6(lab: &Bare) {
    let pods = lab.until_ready("features/each-", 2);
    let nodes: BTreeSet<&String> = pods.iter().map(|pod| &pod.node).collect();
    assert_eq!(nodes.len(), 2, "{pods:?}");
    for (from, to) in [(&pods[0], &pods[1]), (&pods[1], &pods[0])] {
        assert!(to.v6.contains(':'), "{to:?}");
        let get = |port: u16| {
            lab.exec(&from.target, &format!("sekisho workload get http://[{}]:{port}/", to.v6)).code
        };
        assert_eq!((get(8080), get(8081)), (0, 1), "{from:?} to {to:?}");
    }
    // One that is deleted comes back on the same node.
    client::delete(&lab.state(), "Pod", &pods[0].target).unwrap();
    let back = lab.until("features/each-", |now| {
        now.len() == 2 && now.iter().all(|pod| pod.ready && pod.target != pods[0].target)
    });
    assert!(back.iter().any(|pod| pod.node == pods[0].node), "{back:?}");
}

fn a_job_runs_once_and_gives_its_address_up(lab: &Bare) {
    for job in ["features/job-plain-", "features/job-sidecar-"] {
        let done = lab.until(job, |pods| pods.len() == 1 && pods[0].phase == "Succeeded");
        assert_eq!(done[0].restarts, 0, "{done:?}");
        let hosts = lab.until_ready("features/host-", 2);
        let node = hosts.iter().find(|host| host.node == done[0].node).unwrap();
        let routes = lab.said(&node.target, "ip route");
        assert!(!routes.contains(&format!("{} dev", done[0].v4)), "{routes}");
        // The twin that runs has its route there.
        let each = lab.until_ready("features/each-", 2);
        let each = each.iter().find(|pod| pod.node == done[0].node).unwrap();
        assert!(routes.contains(&format!("{} dev", each.v4)), "{routes}");
    }
    let failed = lab.until("features/job-fails-", |pods| {
        pods.iter().filter(|pod| pod.phase == "Failed").count() >= 2
    });
    assert!(failed.iter().all(|pod| pod.phase != "Succeeded"), "{failed:?}");
}

fn init_containers_end_before_the_main_one_starts(lab: &Bare) {
    let pods = lab.until_ready("features/staged", 1);
    let text = lab.said(&pods[0].target, "cat /tmp/order");
    let at = |wanted: &str| {
        let found = text.lines().position(|line| line == wanted);
        found.unwrap_or_else(|| panic!("no `{wanted}` in:\n{text}"))
    };
    assert!(at("first begins") < at("first ends"));
    assert!(at("first ends") < at("sidecar") && at("first ends") < at("second begins"));
    assert!(at("second ends") < at("main"), "{text}");
    assert_eq!(text.lines().count(), 6, "something ran twice:\n{text}");
    // The sidecar still runs beside the main container, on the same address.
    let target = &pods[0].target;
    lab.said(target, "sekisho workload get http://127.0.0.1:9000/");
    // Its readiness is the pod's.
    lab.said(target, "touch /tmp/down");
    lab.until(target, |pods| !pods[0].ready && pods[0].phase == "Running");
    lab.said(target, "rm /tmp/down");
    lab.until_ready(target, 1);
}

fn a_pod_on_the_host_network_has_its_nodes_address_and_name(lab: &Bare) {
    let hosts = lab.until_ready("features/host-", 2);
    for host in &hosts {
        let name = lab.said(&host.target, "cat /proc/sys/kernel/hostname");
        assert_eq!(name.trim(), host.node);
        assert!(host.v4.starts_with("172.18.0."), "{host:?}");
        assert!(lab.said(&host.target, "ip -o addr").contains(&format!("{}/", host.v4)));
        assert!(lab.calls(&format!("http://{}:8090", host.v4)));
    }
    assert_ne!(hosts[0].v4, hosts[1].v4);
}

fn a_headless_service_names_its_pods_over_udp_and_tcp(lab: &Bare) {
    let pods = lab.until_ready("features/member-", 3);
    let wanted: BTreeSet<String> = pods.iter().map(|pod| pod.v4.clone()).collect();
    let found = |environment: &str, name: &str| -> BTreeSet<String> {
        let script = format!("{environment} getent ahostsv4 {name}");
        let text = lab.exec("features/client", &script).out;
        text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let all = wait::until(PATIENCE, || (found("", "member") == wanted).then_some(()));
    assert!(all.is_some(), "{:?} instead of {wanted:?}", found("", "member"));
    let one = found("", "member-1.member.features.svc.cluster.local");
    assert_eq!(one, [pods[1].v4.clone()].into());
    let servers = lab.until_ready("kube-system/coredns-", 2);
    let over_tcp = || -> u64 { servers.iter().map(|pod| dns_count(lab, pod, "dns:tcp")).sum() };
    let before = over_tcp();
    // resolv.conf(5), use-vc: the C library asks over TCP.
    assert_eq!(found("RES_OPTIONS=use-vc", "member"), wanted);
    assert!(over_tcp() > before, "no question came over TCP");
    assert!(found("RES_OPTIONS=use-vc", "nobody").is_empty());
}

fn dns_count(lab: &Bare, server: &Pod, listener: &str) -> u64 {
    let script = format!("sekisho workload get http://{}:9153/", server.v4);
    let text = lab.said("features/client", &script);
    let wanted = format!("listener=\"{listener}\"}} ");
    let value = text.lines().find_map(|line| line.split_once(&wanted).map(|(_, count)| count));
    value.map_or(0, |count| count.parse().unwrap())
}

fn a_named_port_leads_to_each_pods_own_number(lab: &Bare) {
    let pods = lab.until_ready("features/named-", 2);
    assert_eq!(pods[0].target, "features/named-a");
    let at = [(&pods[0], "http:8081"), (&pods[1], "http:8082")];
    lab.until_spread("http://named:80", &at, |counts| {
        counts.iter().all(|count| *count > 0) && counts.iter().sum::<u64>() == CALLS
    });
}

fn a_udp_service_delivers_datagrams(lab: &Bare) {
    let pods = lab.until_ready("features/named-", 2);
    let both = [(&pods[0], "udp:8125"), (&pods[1], "udp:8125")];
    lab.until_spread("udp://stats:125", &both, |counts| counts.iter().sum::<u64>() == CALLS);
}

fn a_pod_sees_itself_and_not_the_machine(lab: &Bare) {
    let machine = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let target = "features/client";
    assert_eq!(lab.said(target, "cat /proc/sys/kernel/hostname").trim(), "client");
    let resolver = lab.said(target, "cat /etc/resolv.conf");
    assert!(resolver.contains("search features.svc.cluster.local") && resolver != machine);
    assert!(resolver.contains("nameserver 10.96.0.10"), "{resolver}");
    // Its first process, its server, and this shell with its children.
    let count = lab.said(target, "ls -d /proc/[0-9]* | wc -l");
    assert!((3..=6).contains(&count.trim().parse::<u32>().unwrap()), "{count}");
    let own = lab.said(target, "tr '\\0' ' ' < /proc/1/cmdline");
    assert!(own.contains("__lab pod"), "{own}");
    assert!(lab.exec(target, "ip -o link | grep -v ' lo:' | grep -v ' eth0@'").out.is_empty());
    lab.said(target, "mount -t tmpfs none /mnt && touch /mnt/inside /tmp/inside");
    assert!(!Path::new("/mnt/inside").exists() && !Path::new("/tmp/inside").exists());
    lab.said(target, "umount /mnt");
    assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap(), machine);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), name);
}

fn objects_come_and_go_at_run_time(lab: &Bare) {
    assert!(!lab.calls("http://late.later:80"), "there before it was applied");
    lab.apply(LATER).unwrap();
    lab.until_ready("later/late-", 1);
    let answers = wait::until(PATIENCE, || lab.calls("http://late.later:80").then_some(()));
    assert!(answers.is_some());
    // One wrong object, and none of them is taken.
    let wrong = LATER.replace("name: late,", "name: worse,");
    let wrong = wrong.replace("selector: {app: late}", "selector: {app: nobody}");
    let refused = lab.apply(&wrong).unwrap_err().to_string();
    assert!(refused.contains("nobody"), "{refused}");
    assert!(lab.journal("Deployment", "worse").is_none());
    client::delete(&lab.state(), "Deployment", "later/late").unwrap();
    lab.until("later/", <[Pod]>::is_empty);
    assert!(client::delete(&lab.state(), "Deployment", "later/late").is_err());
    // With its namespace goes all that is inside, and other objects can still be applied.
    lab.apply(LATER).unwrap();
    lab.until_ready("later/late-", 1);
    client::delete(&lab.state(), "Namespace", "/later").unwrap();
    lab.until("later/", <[Pod]>::is_empty);
    assert_eq!(lab.journal("Service", "late").unwrap().0, "DELETED");
    lab.apply(LATER).unwrap();
    lab.until_ready("later/late-", 1);
}

fn labels_of_hosts_and_namespaces_change_in_the_journal(lab: &Bare) {
    let label = |kind: &str, name: &str, key: &str| {
        let (change, object) = lab.journal(kind, name).unwrap();
        (change, object["metadata"]["labels"][key].as_str().map(str::to_owned))
    };
    let changes = [
        (LabelTarget::Host("hosts/vm".to_owned()), "Host", "vm"),
        (LabelTarget::Namespace("features".to_owned()), "Namespace", "features"),
    ];
    for (target, kind, name) in changes {
        assert_eq!(label(kind, name, "zone"), ("ADDED".to_owned(), Some("old".to_owned())));
        let set = [("zone".to_owned(), "new".to_owned())].into_iter().collect();
        client::label(&lab.state(), target.clone(), set, Vec::new()).unwrap();
        assert_eq!(label(kind, name, "zone"), ("MODIFIED".to_owned(), Some("new".to_owned())));
        let gone = vec!["zone".to_owned()];
        client::label(&lab.state(), target, sekisho_model::Labels::new(), gone).unwrap();
        assert_eq!(label(kind, name, "zone"), ("MODIFIED".to_owned(), None));
    }
    let nobody = LabelTarget::Namespace("nobody".to_owned());
    let nothing = sekisho_model::Labels::new();
    assert!(client::label(&lab.state(), nobody, nothing, vec!["zone".to_owned()]).is_err());
}

/// Figures for the record; nothing here depends on how long it took.
fn fifty_pods_come_and_go(lab: &mut Bare) {
    let began = Instant::now();
    client::scale(&lab.state(), "features/many", 50).unwrap();
    lab.until_ready("features/many-", 50);
    let up = began.elapsed().as_secs_f64();
    let began = Instant::now();
    client::scale(&lab.state(), "features/many", 0).unwrap();
    lab.until("features/many-", <[Pod]>::is_empty);
    let scaled = began.elapsed().as_secs_f64();
    client::scale(&lab.state(), "features/many", 50).unwrap();
    lab.until_ready("features/many-", 50);
    let pods = lab.pods().len();
    let began = Instant::now();
    assert!(terminate(&mut lab.child, PATIENCE).is_some(), "the lab did not end");
    let down = began.elapsed().as_secs_f64();
    assert!(!lab.state().exists());
    println!(
        "50 pods ready after {up:.2} s (wanted: 10), gone after {scaled:.2} s (wanted: 3); \
         a lab of {pods} pods down after {down:.2} s"
    );
}
