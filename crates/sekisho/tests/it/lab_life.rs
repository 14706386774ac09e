//! Whatever ends a lab, the machine is as before: no namespaces, links, cgroups, nft tables or
//! processes of ours.

use std::collections::BTreeSet;
use std::time::Duration;

use sekisho_system::{cgroup, wait};

use crate::run::{LabProcess, run};

/// How long the janitor may take after a kill -9.
const CLEAN_WAIT: Duration = Duration::from_secs(20);

/// What a lab could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    namespaces: BTreeSet<String>,
    links: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    tables: String,
    programs: BTreeSet<u32>,
}

impl Machine {
    fn look() -> Self {
        let mount = cgroup::mount_point().unwrap();
        let ours = |name: &String| name.contains("sekisho");
        let nft = sekisho_system::command::run(&["nft", "list", "tables"], "", CLEAN_WAIT);
        Self {
            namespaces: names("/run/netns").into_iter().filter(ours).collect(),
            links: names("/sys/class/net"),
            cgroups: names(mount.to_str().unwrap()).into_iter().filter(ours).collect(),
            tables: nft.unwrap().stdout,
            programs: programs(),
        }
    }
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Processes that run the binary under test.
fn programs() -> BTreeSet<u32> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sekisho"));
    let pids = names("/proc").into_iter().filter_map(|name| name.parse::<u32>().ok());
    pids.filter(|pid| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
    })
    .collect()
}

#[track_caller]
fn is_clean_again(before: &Machine) {
    let clean = wait::until(CLEAN_WAIT, || (Machine::look() == *before).then_some(()));
    assert!(clean.is_some(), "before: {before:#?}\nnow: {:#?}", Machine::look());
}

#[test]
fn an_orderly_end_leaves_the_machine_clean() {
    let before = Machine::look();
    let folder = tempfile::tempdir().unwrap();
    let lab = LabProcess::up(folder.path());
    assert_ne!(Machine::look(), before, "the lab is not seen at all");
    lab.down();
    is_clean_again(&before);
}

#[test]
fn a_killed_lab_leaves_the_machine_clean_and_a_second_start_works() {
    let before = Machine::look();
    let folder = tempfile::tempdir().unwrap();
    LabProcess::up(folder.path()).kill();
    is_clean_again(&before);
    let again = LabProcess::up(folder.path());
    again.lab(&["status"]).with_code(0);
    again.down();
    is_clean_again(&before);
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
    let before = Machine::look();
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
    is_clean_again(&before);
}
