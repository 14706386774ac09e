//! Whatever ends a lab, the machine is as before: no namespaces, links, cgroups, nft tables or
//! processes of ours.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sekisho_system::{cgroup, command, terminate, wait};

use crate::run::{LabProcess, run, sekisho};

/// How long the janitor may take after a kill -9.
const CLEAN_WAIT: Duration = Duration::from_secs(20);

/// What a lab has outside its state folder. Other labs on the machine are no concern of ours.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    namespaces: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    programs: BTreeSet<u32>,
    links: BTreeSet<String>,
    tables: String,
}

impl Traces {
    /// Looks for what the lab with `id` has. Links and nft tables of the machine's own namespace
    /// that were there `before` are not counted.
    fn look(id: &str, before: &Self) -> Self {
        let mount = cgroup::mount_point().unwrap();
        let of_lab = |names: BTreeSet<String>, prefix: String| {
            names.into_iter().filter(|name| name.starts_with(&prefix)).collect()
        };
        let nft = command::run(&["nft", "list", "tables"], "", CLEAN_WAIT).unwrap().stdout;
        Self {
            namespaces: of_lab(names("/run/netns"), format!("sk{id}-")),
            cgroups: of_lab(names(mount.to_str().unwrap()), format!("sekisho-lab-{id}")),
            programs: programs(),
            links: names("/sys/class/net").difference(&before.links).cloned().collect(),
            tables: if nft == before.tables { String::new() } else { nft },
        }
    }

    fn before() -> Self {
        let nft = command::run(&["nft", "list", "tables"], "", CLEAN_WAIT).unwrap().stdout;
        Self { links: names("/sys/class/net"), tables: nft, ..Self::default() }
    }
}

/// The id in the names of everything that the lab in `state` makes.
fn id_of(state: &Path) -> String {
    let nodes = std::fs::read_to_string(state.join("nodes.json")).unwrap();
    let nodes: serde_json::Value = serde_json::from_str(&nodes).unwrap();
    let cgroup = nodes[0]["cgroup"].as_str().unwrap();
    let id = cgroup.strip_prefix("/sekisho-lab-").unwrap().split('/').next().unwrap();
    id.to_owned()
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Processes that run the binary under test.
fn programs() -> BTreeSet<u32> {
    let program = Path::new(env!("CARGO_BIN_EXE_sekisho"));
    let pids = names("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    pids.filter(|pid| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
    })
    .collect()
}

#[track_caller]
fn is_clean_again(id: &str, before: &Traces) {
    let look = || Traces::look(id, before);
    let clean = wait::until(CLEAN_WAIT, || (look() == Traces::default()).then_some(()));
    assert!(clean.is_some(), "left behind: {:#?}", look());
}

#[test]
fn an_orderly_end_leaves_the_machine_clean() {
    let before = Traces::before();
    let folder = tempfile::tempdir().unwrap();
    let lab = LabProcess::up(folder.path());
    let id = id_of(&lab.state);
    let seen = Traces::look(&id, &before);
    assert!(!seen.namespaces.is_empty() && !seen.cgroups.is_empty(), "{seen:#?}");
    // Nothing of a lab is in the machine's own network, not even while it runs.
    assert!(seen.links.is_empty() && seen.tables.is_empty(), "{seen:#?}");
    lab.down();
    is_clean_again(&id, &before);
}

#[test]
fn a_killed_lab_leaves_the_machine_clean_and_a_second_start_works() {
    let before = Traces::before();
    let folder = tempfile::tempdir().unwrap();
    let lab = LabProcess::up(folder.path());
    let id = id_of(&lab.state);
    lab.kill();
    is_clean_again(&id, &before);
    let again = LabProcess::up(folder.path());
    again.lab(&["status"]).with_code(0);
    again.down();
    is_clean_again(&id, &before);
}

#[test]
fn pods_restart_scale_and_take_labels_at_run_time() {
    let folder = tempfile::tempdir().unwrap();
    let lab = LabProcess::up(folder.path());
    lab.lab(&["scale", "shop/cart", "3"]).with_code(0);
    let pods = |count: usize| {
        wait::until(Duration::from_secs(60), || {
            let status = lab.lab(&["status", "-o", "json"]).json();
            let pods = status["pods"].as_array().unwrap().clone();
            let carts = pods.iter().filter(|pod| {
                pod["namespace"] == "shop"
                    && pod["name"].as_str().is_some_and(|name| name.starts_with("cart-"))
                    && pod["ready"] == true
            });
            (carts.count() == count).then_some(())
        })
    };
    assert!(pods(3).is_some(), "{}", lab.lab(&["status"]).out);
    lab.lab(&["restart", "shop/cart"]).with_code(0);
    assert!(pods(3).is_some(), "{}", lab.lab(&["status"]).out);
    lab.lab(&["label", "shop/cart", "team=blue"]).with_code(0);
    assert!(pods(3).is_some(), "{}", lab.lab(&["status"]).out);
    lab.lab(&["scale", "shop/no-such-workload", "3"]).with_code(2);
    // The rolling update may take the pod away under the command: then the next one answers.
    let seven = wait::until(Duration::from_secs(60), || {
        let answer = lab.lab(&["exec", "shop/cart", "--", "sh", "-c", "exit 7"]);
        (answer.code == 7).then_some(())
    });
    assert!(seven.is_some());
    lab.down();
}

#[test]
fn a_manifest_with_a_dangling_service_is_refused_before_anything_is_made() {
    let before = Traces::before();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yaml");
    let text = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: nobody}
  ports: [{port: 80}]
";
    std::fs::write(&path, text).unwrap();
    let state = folder.path().join("lab");
    let arguments =
        ["lab", "up", "--bare", "-f", path.to_str().unwrap(), "--state", state.to_str().unwrap()];
    let answer = run(&arguments).with_code(2);
    assert!(answer.err.contains("web.yaml:") && answer.err.contains("selector"), "{}", answer.err);
    // It has no id: nothing was made, not even the state folder.
    assert!(!state.exists());
    is_clean_again("never", &before);
}

#[test]
fn a_lab_that_never_gets_ready_ends_when_told_to() {
    let before = Traces::before();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deaf.yaml");
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: deaf, namespace: default}
spec:
  containers:
  - name: deaf
    image: deaf
    command: [sleep, '100000']
    readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 1}
";
    std::fs::write(&path, text).unwrap();
    let state = folder.path().join("lab");
    let (file, folder) = (path.to_str().unwrap(), state.to_str().unwrap());
    let mut lab = sekisho(&["lab", "up", "--bare", "-f", file, "--state", folder]);
    let mut lab = lab.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Exit code 1: it answers, and is not ready.
    let unready = || (run(&["lab", "status", "--state", folder]).code == 1).then_some(());
    assert!(wait::until(Duration::from_secs(60), unready).is_some());
    let id = id_of(&state);
    let ended = terminate(&mut lab, Duration::from_secs(60)).unwrap();
    assert_eq!(ended.code(), Some(0), "it had to be killed");
    is_clean_again(&id, &before);
}
