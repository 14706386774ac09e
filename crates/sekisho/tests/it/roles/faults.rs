//! Full disks, damaged files, two of a kind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_api::CallError;
use sekisho_system::{command, wait};

use super::halves::{Pair, now};
use super::served::{Served, connections, map_of};

const WAIT: Duration = Duration::from_secs(20);

/// A small disk, mounted over a folder until it goes out of scope.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let (path, size) = (at.to_str().unwrap(), format!("size={size}"));
        command::run(&["mount", "-t", "tmpfs", "-o", &size, "sekisho-roles", path], "", WAIT)
            .expect("this test needs root");
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        command::run(&["umount", "-l", self.0.to_str().unwrap()], "", WAIT).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_batches_says_so_and_recovers_without_loss() {
    let mut served = Served::prepared("rotate_s = 1");
    let _disk = SmallDisk::mount(&served.data, "4m");
    served.up();
    let mut pair = Pair::new();
    for batch in pair.batches(20) {
        served.send(&batch).unwrap();
    }
    // Somebody else fills the disk.
    let ballast = served.data.join("ballast");
    let filled = std::fs::write(&ballast, vec![1; 8 << 20]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    let [a, b] = pair.batches(200);
    let refused = served.send(&a).unwrap_err();
    assert!(matches!(refused, CallError::Refused { status: 503, .. }), "{refused}");
    assert!(refused.is_temporary() && refused.to_string().contains("os error 28"), "{refused}");
    let status = served.ask(&["status"]).with_code(3);
    assert!(status.out.contains("history can't be written"), "{}", status.out);
    assert!(status.out.contains("No space left"), "{}", status.out);
    // What is in memory can still be asked for, and a seal that failed is told, too.
    served.await_status(|status| status.problems.iter().any(|text| text.contains("be sealed")));
    assert_eq!(connections(&served.map("0s")), 20);
    std::fs::remove_file(&ballast).unwrap();
    for batch in [&a, &b] {
        served.send(batch).unwrap();
    }
    let counted =
        wait::until(WAIT, || (connections(&served.map("0s")) == pair.connections).then_some(()));
    assert!(counted.is_some(), "{:#}", served.map("0s"));
    served.await_status(|status| !status.problems.iter().any(|text| text.contains("written")));
    let until = now().to_string();
    let before = served.map(&until);
    assert!(served.stop().success());
    assert_eq!(served.map_of_folder(&until), before);
}

#[test]
fn a_damaged_log_is_named_with_what_was_lost_and_the_rest_is_kept() {
    let mut served = Served::start("");
    let mut pair = Pair::new();
    for _ in 0..4 {
        for batch in pair.batches(10) {
            served.send(&batch).unwrap();
        }
    }
    served.kill();
    let log = newest(&served.data.join("log"), ".log");
    // Cut in the middle of the last frame: that is how a crash looks, so no damage is told ...
    let whole = std::fs::read(&log).unwrap();
    let flipped = whole.len() / 2;
    let mut damaged = whole.clone();
    // ... and a flipped bit in the middle is.
    damaged[flipped] ^= 0x10;
    damaged.truncate(whole.len() - 7);
    std::fs::write(&log, damaged).unwrap();
    served.up();
    let status = served.status();
    let name = log.file_name().unwrap().to_str().unwrap().to_owned();
    let told = status.problems.iter().find(|text| text.contains(&name));
    let told = told.unwrap_or_else(|| panic!("{:#?}\n{}", status.problems, served.log()));
    assert!(told.contains("lost"), "{told}");
    assert!(served.log().contains("log damaged"));
    served.ask(&["status"]).with_code(3);
    let kept =
        wait::until(WAIT, || Some(connections(&served.map("0s"))).filter(|kept| *kept >= 30));
    assert!(kept.is_some_and(|kept| kept <= 40), "{kept:?}");
    // The batch that is missing lowers completeness: its node's sequence tells.
    for batch in pair.batches(1) {
        served.send(&batch).unwrap();
    }
    let status = served.await_status(|status| status.completeness < 1.0);
    assert!(status.gaps.iter().any(|gap| gap.contains("server lost")), "{:#?}", status.gaps);
}

#[test]
fn a_damaged_segment_is_set_aside_told_and_counted_as_missing() {
    let mut served = Served::start("");
    for batch in Pair::new().batches(10) {
        served.send(&batch).unwrap();
    }
    assert!(served.stop().success());
    let segment = newest(&served.data.join("segments"), ".edges.parquet");
    let mut bytes = std::fs::read(&segment).unwrap();
    let end = bytes.len() - 6;
    bytes[end] ^= 0xff;
    std::fs::write(&segment, bytes).unwrap();
    // Without a server the file stays where it is, and the answer is not called complete.
    let offline = map_of(&served.data, "0s");
    assert!(offline["completeness"].as_f64().unwrap() < 1.0, "{offline:#}");
    for _ in 0..2 {
        served.up();
        let status = served.status();
        assert!(status.problems.iter().any(|text| text.contains(".damaged")), "{status:#?}");
        assert!(status.completeness < 1.0, "{status:#?}");
        let map = served.map("0s");
        assert!(map["completeness"].as_f64().unwrap() < 1.0, "{map:#}");
        served.ask(&["status"]).with_code(3);
        assert!(served.stop().success());
    }
    let aside = newest(&served.data.join("segments"), ".edges.parquet.damaged");
    std::fs::remove_file(aside).unwrap();
    served.up();
    assert!(!served.status().problems.iter().any(|text| text.contains(".damaged")));
    let names = std::fs::read_dir(served.data.join("segments")).unwrap();
    assert_eq!(names.count(), 0, "its minutes and losses went, too");
}

#[test]
fn a_changed_revision_is_refused_with_its_path_and_an_intact_one_is_not() {
    let mut served = Served::start("");
    for batch in Pair::new().batches(10) {
        served.send(&batch).unwrap();
    }
    let policy = served.folder.path().join("p.yaml");
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {name: db, namespace: shop}\n\
                spec: {podSelector: {matchLabels: {app: db}}, ingress: [{}]}\n";
    std::fs::write(&policy, text).unwrap();
    served.obey("node-a");
    served.obey("node-b");
    served.ask(&["apply", "-f", policy.to_str().unwrap()]).with_code(0);
    assert!(served.stop().success());
    served.up();
    assert_eq!(served.status().revision, 1, "{}", served.log());
    assert!(served.stop().success());
    let revision = newest(&served.data.join("revisions"), ".json");
    let honest = std::fs::read_to_string(&revision).unwrap();
    let forged = honest.replacen("\"shop\"", "\"bank\"", 1);
    assert_ne!(honest, forged);
    for wrong in [forged.as_str(), &honest[..honest.len() / 2], ""] {
        std::fs::write(&revision, wrong).unwrap();
        let (code, log) = served.refused();
        assert_eq!(code, 2);
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains(revision.to_str().unwrap()), "{log}");
    }
    std::fs::write(&revision, honest).unwrap();
    served.up();
}

#[test]
fn a_second_server_on_the_same_folder_or_socket_says_so() {
    let first = Served::start("");
    let (data, socket) = (first.data.to_str().unwrap(), first.socket.to_str().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let other = |name: &str| elsewhere.path().join(name).to_str().unwrap().to_owned();
    let server = |socket: &str, data: &str| {
        crate::run::run(&["server", "--socket", socket, "--data-dir", data]).with_code(2).err
    };
    let same_folder = server(&other("x.sock"), data);
    assert!(same_folder.contains("in use") && same_folder.contains(data), "{same_folder}");
    let same_socket = server(socket, &other("data"));
    assert!(same_socket.contains("in use") && same_socket.contains(socket), "{same_socket}");
    // The first one does not notice.
    assert!(first.status().problems.is_empty());
}

/// The last file of `folder` with this ending, by name.
fn newest(folder: &Path, ending: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files.pop().unwrap_or_else(|| panic!("no {ending} in {}", folder.display()))
}
