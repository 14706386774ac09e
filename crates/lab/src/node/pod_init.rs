//! The first process of a pod (PID 1): makes the surroundings, starts containers each in its own
//! cgroup, starts them again with back-off, reaps, and ends the pod when told or when its kubelet
//! is gone.
//!
//! Orders come on standard input and reports go to standard output (see [`crate::protocol`]), so
//! that no signal handler is needed: the kernel drops signals that PID 1 does not handle.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use sekisho_base::error_chain;
use sekisho_manifest::{Container, RestartPolicy};
use sekisho_system::{cgroup, process};

use super::surroundings::{self, PATH, program_name};
use crate::protocol::{FromInit, PodRun, ToInit, receive, send};

/// Orders and ends waiting; more than a pod's processes can cause at once.
const EVENTS_MAX: usize = 256;
/// Exit code of a command that could not be started (as shells have it).
const CODE_NOT_STARTED: i32 = 127;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A container that ran this long starts its back-off anew.
const BACKOFF_RESET: Duration = Duration::from_secs(60);
/// From SIGTERM to SIGKILL when a container is restarted, as when a pod is deleted.
const RESTART_GRACE: Duration = Duration::from_secs(3);
const LOG_BYTES_MAX: u64 = 1024 * 1024;
const LOG_CHECK: Duration = Duration::from_secs(10);

/// Runs as a pod's first process until the pod ends.
pub(crate) fn pod_main() -> ExitCode {
    let mut orders = BufReader::new(io::stdin());
    let run: PodRun = match receive(&mut orders) {
        Ok(Some(run)) => run,
        Ok(None) | Err(_) => return ExitCode::FAILURE,
    };
    let pause = run.cgroup.join("pause");
    // The state folder may be hidden by the pod's own /tmp once the surroundings are made.
    let logs = open_logs(&run);
    let made = cgroup::create(&pause)
        .and_then(|()| cgroup::join(&pause))
        .map_err(|error| error_chain(&error))
        .and_then(|()| surroundings::make(&run).map_err(|error| error_chain(&error)));
    if let Err(message) = made {
        report(&FromInit::Failed { message });
        return ExitCode::FAILURE;
    }
    let (sender, events) = sync_channel(EVENTS_MAX);
    let from_stdin = sender.clone();
    thread::spawn(move || read_orders(orders, &from_stdin));
    let spawning = Arc::new(Mutex::new(()));
    let lock = Arc::clone(&spawning);
    let reaper = thread::spawn(move || reap(&lock, &sender)).thread().clone();
    let mut pod = PodProcess::new(&run, logs, Spawner { spawning, reaper, pause });
    pod.run(&events);
    // The kernel kills what is left in the PID namespace when its first process ends.
    ExitCode::SUCCESS
}

/// One file per container for what it prints, in the order of the containers, init containers
/// first. None if it can't be made: the output is lost then, the container runs.
fn open_logs(run: &PodRun) -> Vec<Option<File>> {
    let containers = run.init_containers.iter().chain(&run.containers);
    let open = |container: &Container| {
        let mut path = run.log_prefix.as_os_str().to_owned();
        path.push(format!("_{}.log", container.name));
        OpenOptions::new().create(true).append(true).open(path).ok()
    };
    containers.map(open).collect()
}

enum PodEvent {
    Order(ToInit),
    /// The kubelet is gone.
    Orphaned,
    Reaped {
        pid: i32,
        code: i32,
    },
}

fn read_orders(mut from: impl io::BufRead, to: &SyncSender<PodEvent>) {
    while let Ok(Some(order)) = receive(&mut from) {
        if to.send(PodEvent::Order(order)).is_err() {
            return;
        }
    }
    to.send(PodEvent::Orphaned).ok();
}

/// Reaps every child, own or inherited. `spawning` keeps it from taking a child that failed to
/// start before the one who started it has seen that.
fn reap(spawning: &Mutex<()>, to: &SyncSender<PodEvent>) {
    loop {
        let ended = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        match ended {
            Ok(status) => {
                let Some(pid) = status.pid() else { continue };
                let guard = spawning.lock().unwrap_or_else(PoisonError::into_inner);
                let reaped = waitpid(pid, None).ok().and_then(code_of);
                drop(guard);
                if let Some((pid, code)) = reaped
                    && to.send(PodEvent::Reaped { pid, code }).is_err()
                {
                    return;
                }
            }
            // No child now: the next start wakes us.
            Err(Errno::ECHILD) => thread::park(),
            Err(_) => {}
        }
    }
}

fn code_of(status: WaitStatus) -> Option<(i32, i32)> {
    match status {
        WaitStatus::Exited(pid, code) => Some((pid.as_raw(), code)),
        WaitStatus::Signaled(pid, signal, _) => Some((pid.as_raw(), 128 + signal as i32)),
        _ => None,
    }
}

fn report(message: &FromInit) {
    // A kubelet that is gone is noticed by the end of standard input.
    send(&mut io::stdout().lock(), message).ok();
}

/// Starts processes so that they are born in the right cgroup.
struct Spawner {
    spawning: Arc<Mutex<()>>,
    reaper: Thread,
    pause: PathBuf,
}

impl Spawner {
    /// Starts `argv` in the cgroup and returns its pid.
    fn start(
        &self,
        cgroup: &Path,
        argv: &[String],
        env: &[(String, String)],
        output: Option<&File>,
    ) -> Result<i32, String> {
        let (name, arguments) = argv.split_first().ok_or("the command is empty")?;
        let path = env.iter().rev().find(|(key, _)| key == "PATH").map_or(PATH, |(_, value)| value);
        let program = process::find_program(name, path)
            .ok_or_else(|| format!("program `{name}` is not in {path}"))?;
        let sink = || -> Stdio {
            match output.map(File::try_clone) {
                Some(Ok(file)) => file.into(),
                _ => Stdio::null(),
            }
        };
        let mut command = process::prepare(program);
        command.args(arguments).env_clear().env("PATH", PATH).env("HOME", "/root");
        command.envs(env.iter().map(|(key, value)| (key, value)));
        // A process group of its own, by which a probe is killed with its children.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(sink()).stderr(sink());
        let _guard = self.spawning.lock().unwrap_or_else(PoisonError::into_inner);
        // A child is born where its parent is: no code has to run between fork and exec.
        cgroup::create(cgroup)
            .and_then(|()| cgroup::join(cgroup))
            .map_err(|error| error_chain(&error))?;
        let started = command.spawn().map_err(|error| format!("start `{name}`: {error}"));
        let back = cgroup::join(&self.pause).map_err(|error| error_chain(&error));
        let child = started?;
        self.reaper.unpark();
        back?;
        i32::try_from(child.id()).map_err(|error| error.to_string())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SlotKind {
    /// Runs to its end before the next starts.
    Init,
    /// Starts before the next and runs on.
    Sidecar,
    Main,
}

struct Slot {
    kind: SlotKind,
    spec: Container,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    cgroup: PathBuf,
    log: Option<File>,
    pid: Option<i32>,
    started: Instant,
    restarts: u32,
    backoff: Duration,
    /// When it is to be started.
    due: Option<Instant>,
    /// When SIGKILL follows the SIGTERM of a restart.
    kill_at: Option<Instant>,
    /// Exit code of its last run, once it will not be started again.
    finished: Option<i32>,
}

struct PodProcess {
    slots: Vec<Slot>,
    spawner: Spawner,
    policy: RestartPolicy,
    /// pid -> number of the probe command, and when it is killed.
    probes: BTreeMap<i32, (u64, Instant)>,
    /// When SIGKILL follows, once the pod is told to stop.
    stopping: Option<Instant>,
    log_check: Instant,
}

impl PodProcess {
    fn new(run: &PodRun, logs: Vec<Option<File>>, spawner: Spawner) -> Self {
        let sidecar = |container: &Container| {
            if container.sidecar { SlotKind::Sidecar } else { SlotKind::Init }
        };
        let init = run.init_containers.iter().map(|spec| (sidecar(spec), spec));
        let main = run.containers.iter().map(|spec| (SlotKind::Main, spec));
        let slots = init
            .chain(main)
            .zip(logs)
            .map(|((kind, spec), log)| Slot::new(run, kind, spec, log))
            .collect();
        Self {
            slots,
            spawner,
            policy: run.restart_policy,
            probes: BTreeMap::new(),
            stopping: None,
            log_check: Instant::now(),
        }
    }

    fn run(&mut self, events: &Receiver<PodEvent>) {
        loop {
            self.start_due();
            if let Some(success) = self.outcome() {
                self.signal_all(Signal::SIGKILL);
                report(&FromInit::Done { success });
                return;
            }
            match events.recv_timeout(self.next_due()) {
                Ok(PodEvent::Order(order)) => self.obey(order),
                Ok(PodEvent::Reaped { pid, code }) => self.ended(pid, code),
                Ok(PodEvent::Orphaned) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let over = self.stopping.is_some_and(|end| end <= Instant::now());
            let empty = self.slots.iter().all(|slot| slot.pid.is_none());
            if over || (self.stopping.is_some() && empty) {
                return;
            }
        }
    }

    /// Which slots may run now: all up to the first init container that has not ended well.
    fn open_slots(&self) -> usize {
        let blocked = self
            .slots
            .iter()
            .position(|slot| slot.kind == SlotKind::Init && slot.finished != Some(0));
        blocked.map_or(self.slots.len(), |index| index + 1)
    }

    fn start_due(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        let open = self.open_slots();
        let now = Instant::now();
        let policy = self.policy;
        for slot in self.slots.iter_mut().take(open) {
            if slot.due.is_some_and(|due| due <= now) {
                slot.start(&self.spawner, policy);
            }
            if slot.kill_at.is_some_and(|end| end <= now) {
                slot.kill_at = None;
                slot.kill_rest();
            }
        }
        for (pid, (_, end)) in &mut self.probes {
            if *end <= now {
                // With its children. Until it is reaped there is nothing more to do.
                *end = now + LOG_CHECK;
                killpg(Pid::from_raw(*pid), Signal::SIGKILL).ok();
            }
        }
        if now.duration_since(self.log_check) >= LOG_CHECK {
            self.log_check = now;
            self.slots.iter().for_each(Slot::shorten_log);
        }
    }

    fn next_due(&self) -> Duration {
        let open = self.slots.iter().take(self.open_slots());
        let due = open.flat_map(|slot| [slot.due, slot.kill_at]).flatten();
        let probes = self.probes.values().map(|(_, end)| *end);
        let due = due.chain(probes).chain(self.stopping).min();
        let until = due.map_or(LOG_CHECK, |due| due.saturating_duration_since(Instant::now()));
        until.min(LOG_CHECK)
    }

    /// Whether the pod's work is over, and if so whether all of it ended well.
    fn outcome(&self) -> Option<bool> {
        let failed_init = self
            .slots
            .iter()
            .any(|slot| slot.kind == SlotKind::Init && slot.finished.is_some_and(|code| code != 0));
        if failed_init {
            return Some(false);
        }
        let main = self.slots.iter().filter(|slot| slot.kind == SlotKind::Main);
        main.map(|slot| slot.finished).try_fold(true, |well, code| Some(well && code? == 0))
    }

    fn ended(&mut self, pid: i32, code: i32) {
        if let Some((id, _)) = self.probes.remove(&pid) {
            report(&FromInit::ExecDone { id, code });
            return;
        }
        let policy = self.policy;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.pid == Some(pid)) {
            // A container ends with its first process. What that left behind would keep its ports
            // from the next run.
            slot.kill_rest();
            slot.ended(code, policy, None);
        }
    }

    fn obey(&mut self, order: ToInit) {
        match order {
            ToInit::Stop { grace_s } => {
                self.stopping = Some(Instant::now() + Duration::from_secs(grace_s.into()));
                self.signal_all(Signal::SIGTERM);
            }
            ToInit::Restart { container } => {
                let hit =
                    |slot: &&mut Slot| container.as_ref().is_none_or(|it| *it == slot.spec.name);
                self.slots.iter_mut().filter(hit).for_each(Slot::terminate);
            }
            ToInit::Exec { id, container, argv, timeout_s } => {
                let end = Instant::now() + Duration::from_secs(timeout_s.into());
                self.exec_probe((id, end), &container, &argv);
            }
        }
    }

    fn exec_probe(&mut self, (id, end): (u64, Instant), container: &str, argv: &[String]) {
        let slot = self.slots.iter().find(|slot| slot.spec.name == container);
        let started = slot
            .ok_or_else(String::new)
            .and_then(|slot| self.spawner.start(&slot.cgroup, argv, &slot.env, None));
        match started {
            Ok(pid) => drop(self.probes.insert(pid, (id, end))),
            Err(_) => report(&FromInit::ExecDone { id, code: CODE_NOT_STARTED }),
        }
    }

    fn signal_all(&self, signal: Signal) {
        self.slots.iter().for_each(|slot| slot.signal(signal));
    }
}

impl Slot {
    fn new(run: &PodRun, kind: SlotKind, spec: &Container, log: Option<File>) -> Self {
        let mut argv: Vec<String> = spec.command.iter().chain(&spec.args).cloned().collect();
        if let Some(first) = argv.first_mut().filter(|first| *first == "sekisho") {
            *first = format!("{}/{}", surroundings::APP_FOLDER, program_name(spec));
        }
        let mut env = run.env.clone();
        env.extend(spec.env.iter().cloned());
        Self {
            kind,
            argv,
            env,
            cgroup: run.cgroup.join(&spec.name),
            log,
            spec: spec.clone(),
            pid: None,
            started: Instant::now(),
            restarts: 0,
            backoff: BACKOFF_FIRST,
            due: Some(Instant::now()),
            kill_at: None,
            finished: None,
        }
    }

    fn start(&mut self, spawner: &Spawner, policy: RestartPolicy) {
        self.due = None;
        self.started = Instant::now();
        match spawner.start(&self.cgroup, &self.argv, &self.env, self.log.as_ref()) {
            Ok(pid) => {
                self.pid = Some(pid);
                report(&FromInit::Started { container: self.spec.name.clone() });
            }
            Err(message) => self.ended(CODE_NOT_STARTED, policy, Some(message)),
        }
    }

    fn ended(&mut self, code: i32, policy: RestartPolicy, message: Option<String>) {
        (self.pid, self.kill_at) = (None, None);
        let again = match (self.kind, policy) {
            (SlotKind::Sidecar, _) | (SlotKind::Main, RestartPolicy::Always) => true,
            (SlotKind::Init, RestartPolicy::Always) => code != 0,
            (_, RestartPolicy::OnFailure) => code != 0,
            (_, RestartPolicy::Never) => false,
        };
        if again {
            if self.started.elapsed() >= BACKOFF_RESET {
                self.backoff = BACKOFF_FIRST;
            }
            self.due = Some(Instant::now() + self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
            self.restarts = self.restarts.saturating_add(1);
        } else {
            self.finished = Some(code);
        }
        let container = self.spec.name.clone();
        report(&FromInit::Ended { container, code, restarts: self.restarts, message });
    }

    /// Asks it to end; one that ignores this is killed after the grace.
    fn terminate(&mut self) {
        if self.pid.is_some() {
            self.signal(Signal::SIGTERM);
            self.kill_at.get_or_insert_with(|| Instant::now() + RESTART_GRACE);
        }
    }

    /// Kills every process of the container.
    fn kill_rest(&self) {
        if let Err(error) = cgroup::kill(&self.cgroup) {
            report(&FromInit::Trouble { message: error_chain(&error) });
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // ESRCH: it ended in this moment and is about to be reaped.
            kill(Pid::from_raw(pid), signal).ok();
        }
    }

    /// The output is appended, so a shortened file starts again at 0.
    fn shorten_log(&self) {
        if let Some(file) = &self.log
            && file.metadata().is_ok_and(|meta| meta.len() > LOG_BYTES_MAX)
        {
            file.set_len(0).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(kind: SlotKind) -> Slot {
        Slot {
            kind,
            spec: Container { name: "c".to_owned(), ..Container::default() },
            argv: Vec::new(),
            env: Vec::new(),
            cgroup: PathBuf::new(),
            log: None,
            pid: Some(9),
            started: Instant::now(),
            restarts: 0,
            backoff: BACKOFF_FIRST,
            due: None,
            kill_at: None,
            finished: None,
        }
    }

    fn restarted(kind: SlotKind, policy: RestartPolicy, code: i32) -> bool {
        let mut slot = slot(kind);
        slot.ended(code, policy, None);
        assert_eq!(slot.due.is_none(), slot.finished.is_some());
        slot.due.is_some()
    }

    #[test]
    fn the_restart_policy_decides_and_sidecars_always_come_back() {
        use RestartPolicy::{Always, Never, OnFailure};
        assert!(restarted(SlotKind::Main, Always, 0));
        assert!(!restarted(SlotKind::Main, OnFailure, 0));
        assert!(restarted(SlotKind::Main, OnFailure, 1));
        assert!(!restarted(SlotKind::Main, Never, 1));
        assert!(restarted(SlotKind::Sidecar, Never, 0));
        assert!(!restarted(SlotKind::Init, Always, 0));
        assert!(restarted(SlotKind::Init, Always, 1));
        assert!(!restarted(SlotKind::Init, Never, 1));
    }

    #[test]
    fn the_back_off_doubles_up_to_its_bound() {
        let mut slot = slot(SlotKind::Main);
        for _ in 0..20 {
            slot.ended(1, RestartPolicy::Always, None);
        }
        assert_eq!((slot.backoff, slot.restarts), (BACKOFF_MAX, 20));
    }
}
