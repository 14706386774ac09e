//! A real agent in a network namespace and a cgroup of the test's own.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sekisho_system::{cgroup, command, netns, terminate, wait};
use serde_json::Value;

use super::halves::Pair;
use super::served::{Served, block_on, connections};
use crate::run::{Answer, run, sekisho};

const WAIT: Duration = Duration::from_secs(30);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace with one interface behind which nobody is, a cgroup, and an agent of both.
pub(super) struct Place {
    name: String,
    cgroup: PathBuf,
    agent: Option<Child>,
}

impl Place {
    pub(super) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sekisho-roles-{}-{number}", std::process::id());
        netns::create(&name).expect("this test needs root");
        let cgroup = cgroup::mount_point().unwrap().join(&name);
        cgroup::create(&cgroup).unwrap();
        let place = Self { name, cgroup, agent: None };
        place.run(
            "ip link add nobody type veth peer name nowhere; ip addr add 10.0.2.1/16 dev nobody; \
             ip link set nobody up; ip link set nowhere up",
        );
        place
    }

    /// Runs a script in the namespace and the cgroup.
    fn run(&self, script: &str) -> String {
        let script = format!("set -e; echo $$ > {}/cgroup.procs; {script}", self.cgroup.display());
        // Not `ip netns exec`: it mounts another /sys over the cgroups.
        let enter = format!("--net={}", netns::path(&self.name).display());
        let argv = ["nsenter", &enter, "bash", "-c", &script];
        command::run(&argv, "", WAIT).unwrap().stdout
    }

    /// Sends `count` datagrams, each from a socket of its own, to where nobody answers.
    pub(super) fn traffic(&self, count: u32) {
        self.run(&format!("for n in $(seq {count}); do echo x > /dev/udp/10.0.9.9/999; done"));
    }

    fn start(&mut self, served: &Served, node: &str) {
        self.start_with(served, node, served.socket.to_str().unwrap(), &[]);
    }

    /// As [`Self::start`], with another way to the server.
    pub(super) fn start_with(&mut self, served: &Served, node: &str, url: &str, flags: &[String]) {
        let log = File::options().create(true).append(true).open(self.log_path(served)).unwrap();
        let (cgroup, netns) = (self.cgroup.to_str().unwrap(), netns::path(&self.name));
        let arguments = [
            "agent",
            "--node",
            node,
            "--cgroup",
            cgroup,
            "--netns",
            netns.to_str().unwrap(),
            "--server",
            url,
        ];
        let mut command = sekisho(&arguments);
        command.args(flags);
        self.agent = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    fn log_path(&self, served: &Served) -> PathBuf {
        served.folder.path().join("agent.log")
    }

    /// Waits until its log says `words`.
    #[track_caller]
    pub(super) fn await_log(&self, served: &Served, words: &str) {
        let log = || std::fs::read_to_string(self.log_path(served)).unwrap();
        let said = wait::until(WAIT, || log().contains(words).then_some(()));
        assert!(said.is_some(), "not said: {words}\n{}", log());
    }

    /// Ends it as a service manager would, and says how.
    pub(super) fn stop(&mut self) -> bool {
        let mut agent = self.agent.take().unwrap();
        terminate(&mut agent, Duration::from_secs(20)).expect("it should end").success()
    }

    fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// The table of the policies in force.
    fn table(&self) -> String {
        self.run("nft -s list table inet sekisho 2>&1 || true")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            terminate(agent, Duration::from_secs(10));
        }
        // Both are gone with their content; a failed test must leave the machine clean, too.
        cgroup::kill_and_remove(&self.cgroup, WAIT).unwrap();
        netns::delete(&self.name).unwrap();
    }
}

#[track_caller]
fn counted(served: &Served, expected: u64) {
    let count = || connections(&served.map("0s"));
    let counted = wait::until(WAIT, || (count() == expected).then_some(()));
    assert!(counted.is_some(), "{} of {expected}: {:#}", count(), served.map("0s"));
}

#[test]
fn an_agent_keeps_what_it_saw_until_there_is_a_server_and_drains_when_it_ends() {
    let mut served = Served::prepared("");
    let mut place = Place::new();
    place.start(&served, "node-b");
    place.await_log(&served, "observing");
    place.traffic(5);
    place.await_log(&served, "kept and sent again");
    served.up();
    counted(&served, 5);
    // What was seen a moment before the end is delivered before it.
    place.traffic(7);
    assert!(place.stop(), "an orderly end is no failure");
    counted(&served, 12);
    let epoch = served.status().agents[0].epoch;
    place.start(&served, "node-b");
    served.await_status(|status| status.agents[0].epoch > epoch);
    place.traffic(3);
    counted(&served, 15);
    let status = served.status();
    assert!(status.agents[0].hooks.iter().any(|hook| hook.hook == "assembler"), "{status:#?}");
    assert_eq!((status.agents[0].shed, status.agents.len()), (0, 1));
    // A server that is killed and comes back loses nothing of what this agent sees meanwhile.
    served.kill();
    place.traffic(4);
    served.up();
    counted(&served, 19);
    assert!(place.stop());
}

#[test]
fn rules_stay_in_force_without_an_agent_are_adopted_and_are_put_back() {
    let served = Served::start("");
    for batch in Pair::new().batches(10) {
        served.send(&batch).unwrap();
    }
    counted(&served, 10);
    let mut place = Place::new();
    place.start(&served, "node-b");
    served.await_status(|status| status.agents.iter().any(|agent| agent.node == "node-b"));
    let policy = served.folder.path().join("p.yaml");
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {name: db, namespace: shop}\n\
                spec: {podSelector: {matchLabels: {app: db}}, ingress: [{}]}\n";
    std::fs::write(&policy, text).unwrap();
    served.obey("node-a");
    let applied = served.ask(&["apply", "-f", policy.to_str().unwrap()]);
    let in_force = |place: &Place| place.table().contains("revision=1");
    let enforced = wait::until(WAIT, || in_force(&place).then_some(()));
    assert!(enforced.is_some(), "{}\n{}{}", place.table(), applied.out, applied.err);
    let intact = place.table();
    place.kill();
    assert_eq!(place.table(), intact, "an agent that dies leaves its rules");
    let mut before = served.status().agents.into_iter();
    let before = before.find(|agent| agent.node == "node-b").unwrap().epoch;
    place.start(&served, "node-b");
    place.await_log(&served, "rules of an earlier agent are in force and stay");
    assert!(in_force(&place));
    served.await_status(|status| {
        let mut agents = status.agents.iter();
        agents.any(|agent| agent.epoch > before && agent.report.generation == status.generation)
    });
    for mischief in ["nft delete table inet sekisho", "nft add rule inet sekisho forward accept"] {
        place.run(mischief);
        assert_ne!(place.table(), intact, "{mischief}");
        let restored = wait::until(WAIT, || (place.table() == intact).then_some(()));
        assert!(restored.is_some(), "{mischief}: {}\nnot\n{intact}", place.table());
    }
    served.await_status(|status| {
        let mut told = status.problems.iter();
        told.any(|told| told.contains("somebody changed our rules") && told.contains("2 times"))
    });
    assert!(place.stop());
    assert_eq!(place.table(), intact, "nor does an orderly end take them away");
    served.ask(&["rollback", "--to", "0"]);
}

#[test]
fn an_agent_that_cannot_work_says_why_in_one_line() {
    let cgroup = cgroup::mount_point().unwrap();
    let cgroup = cgroup.to_str().unwrap();
    let agent = |arguments: &[&str]| run(&[&["agent"], arguments].concat());
    let cases = [
        (agent(&["--node", "n", "--cgroup", "/nonexistent"]), "/nonexistent"),
        (agent(&["--node", "n", "--cgroup", "/tmp"]), "cgroup v2"),
        (agent(&["--node", "n", "--cgroup", cgroup, "--netns", "/nonexistent"]), "/nonexistent"),
        (agent(&["--node", "a b", "--cgroup", cgroup]), "a b"),
        (unprivileged(&["agent", "--node", "n", "--cgroup", cgroup]), "CAP_BPF"),
    ];
    for (answer, words) in cases {
        let answer = answer.with_code(2);
        assert!(answer.err.contains(words), "{words}: {}", answer.err);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    }
}

/// Runs the binary without any capability.
fn unprivileged(arguments: &[&str]) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    // The build's folder may be closed to others.
    let program = folder.path().join("sekisho");
    std::fs::copy(env!("CARGO_BIN_EXE_sekisho"), &program).unwrap();
    for path in [folder.path(), &program] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", program.to_str().unwrap()];
    let mut command = sekisho_system::process::prepare("setpriv");
    Answer::of(command.args(nobody).args(arguments).output().unwrap())
}

#[test]
fn what_the_kernel_drops_shows_with_its_cause_and_what_arrives_does_not() {
    let served = Served::start("");
    let mut place = Place::new();
    place.start(&served, "node-b");
    place.await_log(&served, "observing");
    let quiet = served.ask(&["observe", "--verdict", "dropped", "-o", "json"]);
    assert_eq!((quiet.code, quiet.out.as_str()), (0, ""));
    place.run(
        "ip link set lo up; nft 'table inet other { chain c { type filter hook input priority 0;
         udp dport 997 drop; }; }'
         for n in 1 2 3; do echo x > /dev/udp/127.0.0.1/998; done; echo x > /dev/udp/127.0.0.1/997",
    );
    let expected = [("NETFILTER_DROP".to_owned(), 1), ("NO_SOCKET".to_owned(), 3)];
    served.await_status(|status| status.agents.iter().any(|agent| agent.report.drops == expected));
    let text = served.ask(&["status"]).out;
    assert!(
        text.contains("packets dropped by the kernel of node-b: 3 NO_SOCKET, 1 NETFILTER_DROP\n"),
        "{text}"
    );
    let metrics = block_on(served.client().metrics()).unwrap();
    let series = "sekisho_kernel_dropped_packets_total{node=\"node-b\",reason=\"NO_SOCKET\"} 3\n";
    assert!(metrics.contains(series), "{metrics}");
    let lines = served.ask(&["observe", "--verdict", "dropped", "-o", "json", "--to-port", "998"]);
    let lines: Vec<Value> =
        lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in &lines {
        assert_eq!((&line["drop_reason"], &line["node"]), (&"NO_SOCKET".into(), &"node-b".into()));
        assert_eq!(line["key"]["verdict"], "dropped");
        assert_eq!(
            (&line["key"]["protocol"], &line["stats"]["packets_sent"]),
            (&"UDP".into(), &1.into())
        );
        assert_eq!(line["destination"], "127.0.0.1:998");
    }
    let line = served.ask(&["observe", "--verdict", "dropped", "--to-port", "997"]).out;
    assert!(line.contains("997/UDP dropped NETFILTER_DROP by the kernel of node-b"), "{line}");
    // No policy of ours denied anything.
    assert_eq!(served.ask(&["observe", "--verdict", "denied"]).out, "");
    assert!(place.stop());
}
