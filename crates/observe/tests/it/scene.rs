//! A cgroup, and processes in it that do what a test says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sekisho_model::{Event, HookCounters, SocketEvent};
use sekisho_observe::{Observer, ObserverOptions};
use sekisho_system::{command, wait};

const DEADLINE: Duration = Duration::from_secs(30);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cgroup folder of the test's own, removed at its end, and a folder for files.
pub(crate) struct Scene {
    pub(crate) cgroup: PathBuf,
    pub(crate) files: tempfile::TempDir,
}

/// A shell script running in a scene's cgroup and in a network namespace of its own.
pub(crate) struct Running(JoinHandle<command::Output>);

impl Scene {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sekisho-observe-test-{}-{number}", std::process::id());
        let cgroup = cgroup2_mount().join(name);
        fs::create_dir(&cgroup).expect("these tests need root and a cgroup2 mount");
        Self { cgroup, files: tempfile::tempdir().unwrap() }
    }

    /// The scene's path as events show it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.cgroup.file_name().unwrap().to_string_lossy())
    }

    pub(crate) fn options(&self) -> ObserverOptions {
        ObserverOptions::new(self.cgroup.clone())
    }

    /// Runs `script` in the scene's cgroup. `act VERB ARGUMENTS` is one of [`crate::actor`]'s
    /// verbs in a process of its own; `ready FILE` waits for a file in the scene's folder.
    pub(crate) fn run(&self, script: &str) -> Running {
        self.run_in(&self.cgroup, script)
    }

    pub(crate) fn run_in(&self, cgroup: &Path, script: &str) -> Running {
        let exe = std::env::current_exe().unwrap();
        let script = format!(
            "set -e\nip link set lo up\ncd {files}\necho $$ > {cgroup}/cgroup.procs\n\
             EXE={exe}\nact() {{ SEKISHO_ACT=\"$*\" $EXE --exact actor::act --nocapture -q; }}\n\
             ready() {{ until [ -e $1 ]; do sleep 0.02; done; }}\n{script}\n",
            files = self.files.path().display(),
            cgroup = cgroup.display(),
            exe = exe.display(),
        );
        Running(std::thread::spawn(move || {
            command::run(&["unshare", "-n", "sh", "-c", &script], "", 4 * DEADLINE).unwrap()
        }))
    }

    pub(crate) fn touch(&self, file: &str) {
        fs::write(self.files.path().join(file), "").unwrap();
    }

    pub(crate) fn await_file(&self, file: &str) {
        let path = self.files.path().join(file);
        wait::until(DEADLINE, || path.exists().then_some(())).expect("the script should get here");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A zombie or a process just killed may still be in it.
        let gone = wait::until(Duration::from_secs(5), || remove_tree(&self.cgroup).ok());
        if gone.is_none() && !std::thread::panicking() {
            panic!("cgroup {} could not be removed", self.cgroup.display());
        }
    }
}

fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn cgroup2_mount() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    PathBuf::from(line.expect("a cgroup2 mount").split(' ').nth(1).unwrap())
}

impl Running {
    /// What the script printed.
    pub(crate) fn end(self) -> String {
        self.0.join().unwrap().stdout
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

/// The pid that the actor of `verb` printed.
pub(crate) fn pid_of(stdout: &str, verb: &str) -> u32 {
    let mark = format!("pid {verb} ");
    let line = stdout.lines().find_map(|line| line.split_once(&mark)).expect("the actor ran");
    line.1.trim().parse().unwrap()
}

/// Polls until `done`; panics with what came if it does not happen in time.
pub(crate) fn watch(observer: &mut Observer, mut done: impl FnMut(&[Event]) -> bool) -> Vec<Event> {
    let end = Instant::now() + DEADLINE;
    let mut events = Vec::new();
    while !done(&events) {
        assert!(Instant::now() < end, "not seen in time; events: {events:#?}");
        observer.poll(Duration::from_millis(100), &mut events).unwrap();
    }
    events
}

/// Polls until the script is over and nothing more comes.
pub(crate) fn watch_out(observer: &mut Observer, running: Running) -> (Vec<Event>, String) {
    let mut events = watch(observer, |_| running.is_over());
    loop {
        let before = events.len();
        observer.poll(Duration::from_millis(150), &mut events).unwrap();
        if events.len() == before {
            return (events, running.end());
        }
    }
}

pub(crate) fn sockets(events: &[Event]) -> Vec<&SocketEvent> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Socket(socket) => Some(socket),
            _ => None,
        })
        .collect()
}

/// Asserts that nothing is unaccounted for; gives the hook's account.
pub(crate) fn account(observer: &Observer, hook: &str) -> HookCounters {
    for counters in observer.counters() {
        let sum = counters.delivered + counters.dropped;
        assert_eq!(counters.produced, sum, "{counters:?}");
    }
    observer.counters().into_iter().find(|counters| counters.hook == hook).unwrap()
}
