//! One pod from its kubelet's side: start it, follow its reports, probe it, remove it.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::net::IpAddr;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sekisho_base::error_chain;
use sekisho_manifest::{Container, Probe, ProbeAction};
use sekisho_system::{cgroup, netns};

use super::kubelet::{Gate, report};
use super::{launch, probe};
use crate::protocol::{
    FromInit, FromKubelet, Network, NodeConfig, PodReport, PodRun, ToInit, receive, send,
};

const REMOVE_DEADLINE: Duration = Duration::from_secs(5);
/// Until its first success a readiness probe is tried this often, to start faster than the
/// period would let it; kubelets probe at once after a start too.
const EAGER_PERIOD: Duration = Duration::from_millis(150);
const EAGER_TRIES: u32 = 100;

pub(super) struct PodWatch {
    run: PodRun,
    node: Arc<NodeConfig>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    orders: Option<ChildStdin>,
    pid: Option<i32>,
    containers: BTreeMap<String, ContainerState>,
    stop: Option<u32>,
    ended: Option<bool>,
    gone: bool,
    message: Option<String>,
    last: Option<PodReport>,
    probe_answers: BTreeMap<u64, SyncSender<i32>>,
    probe_next: u64,
}

#[derive(Clone, Copy, Default)]
struct ContainerState {
    /// Since when it runs; None if it does not.
    started: Option<Instant>,
    probed: bool,
    restarts: u32,
}

impl PodWatch {
    pub(super) fn new(run: PodRun, node: Arc<NodeConfig>) -> Self {
        Self { run, node, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn uid(&self) -> &str {
        &self.run.uid
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state().gone
    }

    /// Ends the pod, now or as soon as it has started.
    pub(super) fn stop(&self, grace_s: u32) {
        self.state().stop = Some(grace_s);
        self.changed.notify_all();
        self.order(&ToInit::Stop { grace_s });
    }

    /// Ends a container, or all; the restart policy decides what comes then.
    pub(super) fn restart(&self, container: Option<String>) {
        self.order(&ToInit::Restart { container });
    }

    /// The whole life of the pod, in a thread of its own.
    pub(super) fn live(self: &Arc<Self>, gate: &Gate) {
        match gate.pass(|| self.start()) {
            Ok(mut child) => {
                let probes = self.start_probes();
                self.follow(&mut child);
                // Its first process has closed its output: it ends now, and with it the pod.
                child.wait().ok();
                self.finish();
                for probe in probes {
                    probe.join().ok();
                }
            }
            Err(message) => {
                let mut state = self.state();
                state.message = Some(message);
                state.ended = Some(false);
                drop(state);
                self.finish();
            }
        }
    }

    fn start(&self) -> Result<Child, String> {
        if self.state().stop.is_some() {
            return Err("stopped before its start".to_owned());
        }
        let mut child =
            launch::launch(&self.run, &self.node).map_err(|error| error_chain(&error))?;
        let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
        if let Some(mut orders) = child.stdin.take() {
            send(&mut orders, &self.run).map_err(|error| format!("describe the pod: {error}"))?;
            let mut state = self.state();
            state.orders = Some(orders);
            state.pid = Some(pid);
            let stop = state.stop;
            drop(state);
            // The stop may have come while there was nobody to tell.
            if let Some(grace_s) = stop {
                self.order(&ToInit::Stop { grace_s });
            }
        }
        self.tell();
        Ok(child)
    }

    fn follow(&self, child: &mut Child) {
        let Some(output) = child.stdout.take() else { return };
        let mut output = BufReader::new(output);
        while let Ok(Some(message)) = receive(&mut output) {
            self.note(message);
            self.tell();
        }
    }

    fn note(&self, message: FromInit) {
        let mut state = self.state();
        match message {
            FromInit::Started { container } => {
                let entry = state.containers.entry(container).or_default();
                entry.started = Some(Instant::now());
            }
            FromInit::Ended { container, code, restarts, message } => {
                state.message = Some(
                    message.unwrap_or_else(|| format!("container `{container}`: exit {code}")),
                );
                state
                    .containers
                    .insert(container, ContainerState { started: None, probed: false, restarts });
            }
            FromInit::Done { success } => state.ended = Some(success),
            FromInit::ExecDone { id, code } => {
                if let Some(answer) = state.probe_answers.remove(&id) {
                    // Nobody waits any more after the probe's timeout.
                    answer.try_send(code).ok();
                }
            }
            FromInit::Trouble { message } => state.message = Some(message),
            FromInit::Failed { message } => {
                state.message = Some(message);
                state.ended = Some(false);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Removes what the pod leaves: processes, cgroups, namespace, files.
    fn finish(&self) {
        let mut troubles = Vec::new();
        if let Err(error) = cgroup::kill_and_remove(&self.run.cgroup, REMOVE_DEADLINE) {
            troubles.push(error_chain(&error));
        }
        if let Network::Own { netns, .. } = &self.run.network
            && let Err(error) = netns::delete(netns)
        {
            troubles.push(error_chain(&error));
        }
        match fs::remove_dir_all(&self.run.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                troubles.push(format!("remove `{}`: {error}", self.run.folder.display()));
            }
            _ => {}
        }
        let mut state = self.state();
        state.orders = None;
        state.pid = None;
        state.containers.values_mut().for_each(|container| container.started = None);
        if !troubles.is_empty() {
            state.message = Some(troubles.join("; "));
        }
        state.gone = true;
        drop(state);
        self.changed.notify_all();
        self.tell();
    }

    /// Reports the pod's state if it differs from what was reported last.
    fn tell(&self) {
        let mut state = self.state();
        let lasting = || self.lasting().map(|spec| (spec, state.containers.get(&spec.name)));
        let is_ready = |(spec, now): (&Container, Option<&ContainerState>)| {
            now.is_some_and(|now| now.started.is_some() && (now.probed || spec.readiness.is_none()))
        };
        let now = PodReport {
            uid: self.run.uid.clone(),
            pid: state.pid,
            running: state.containers.values().any(|it| it.started.is_some()),
            ready: state.stop.is_none() && !state.gone && lasting().all(is_ready),
            restarts: state.containers.values().map(|container| container.restarts).sum(),
            ended: state.ended,
            gone: state.gone,
            message: state.message.clone(),
        };
        if state.last.as_ref() == Some(&now) {
            return;
        }
        state.last = Some(now.clone());
        // Under the lock, so that reports leave in the order of the states.
        report(&FromKubelet::Pod(now));
    }

    fn start_probes(self: &Arc<Self>) -> Vec<thread::JoinHandle<()>> {
        let mut handles = Vec::new();
        for spec in self.lasting() {
            for (probe, is_liveness) in [(&spec.readiness, false), (&spec.liveness, true)] {
                let Some(probe) = probe.clone() else { continue };
                let (pod, spec) = (Arc::clone(self), spec.clone());
                handles.push(thread::spawn(move || pod.probe_loop(&spec, &probe, is_liveness)));
            }
        }
        handles
    }

    /// The containers that run as long as the pod does: sidecars and its own.
    fn lasting(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.run.init_containers.iter().filter(|container| container.sidecar);
        sidecars.chain(&self.run.containers)
    }

    fn probe_loop(&self, spec: &Container, probe: &Probe, is_liveness: bool) {
        let period = Duration::from_secs(u64::from(probe.period_s.max(1)));
        let delay = Duration::from_secs(probe.initial_delay_s.into());
        let mut failures = 0_u32;
        let mut tries = 0_u32;
        let mut pause = Duration::ZERO;
        let mut last_start = None;
        while self.wait_for(pause) {
            let start = self.container(&spec.name).started;
            if start != last_start {
                (failures, tries) = (0, 0);
                last_start = start;
            }
            // The delay counts from each start, or a slow one would never survive its restart.
            let early = start.map_or(EAGER_PERIOD, |start| delay.saturating_sub(start.elapsed()));
            if !early.is_zero() {
                pause = early;
                continue;
            }
            let well = self.ask(spec, probe);
            failures = if well { 0 } else { failures.saturating_add(1) };
            let failed = failures >= probe.failure_threshold.max(1);
            if is_liveness {
                if failed {
                    failures = 0;
                    self.restart(Some(spec.name.clone()));
                }
            } else if well || failed {
                self.set_probed(&spec.name, well);
            }
            tries = tries.saturating_add(1);
            let eager = !is_liveness && tries < EAGER_TRIES && !self.container(&spec.name).probed;
            pause = if eager { period.min(EAGER_PERIOD) } else { period };
        }
    }

    fn ask(&self, spec: &Container, probe: &Probe) -> bool {
        let timeout = Duration::from_secs(u64::from(probe.timeout_s.max(1)));
        match &probe.action {
            ProbeAction::Http { path, port } => probe::address(self.ip(), port, spec)
                .is_some_and(|address| probe::http(address, path, timeout)),
            ProbeAction::Tcp { port } => probe::address(self.ip(), port, spec)
                .is_some_and(|address| probe::tcp(address, timeout)),
            ProbeAction::Exec { command } => self.ask_by_command(&spec.name, command, timeout),
            // Read but not issued: counts as success, or such pods would never be ready.
            ProbeAction::Grpc { .. } => true,
        }
    }

    fn ask_by_command(&self, container: &str, argv: &[String], timeout: Duration) -> bool {
        let (sender, answer) = sync_channel(1);
        let mut state = self.state();
        state.probe_next += 1;
        let id = state.probe_next;
        state.probe_answers.insert(id, sender);
        drop(state);
        let timeout_s = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        let (container, argv) = (container.to_owned(), argv.to_vec());
        self.order(&ToInit::Exec { id, container, argv, timeout_s });
        let code = answer.recv_timeout(timeout);
        self.state().probe_answers.remove(&id);
        code == Ok(0)
    }

    fn ip(&self) -> IpAddr {
        match &self.run.network {
            Network::Own { v4, .. } => IpAddr::V4(*v4),
            Network::Node => IpAddr::V4(self.node.v4),
        }
    }

    fn container(&self, name: &str) -> ContainerState {
        self.state().containers.get(name).copied().unwrap_or_default()
    }

    fn set_probed(&self, name: &str, probed: bool) {
        if let Some(container) = self.state().containers.get_mut(name) {
            container.probed = probed && container.started.is_some();
        }
        self.tell();
    }

    /// Waits; false once the pod is gone or told to stop.
    fn wait_for(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = self.state();
        loop {
            if state.gone || state.stop.is_some() {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn order(&self, order: &ToInit) {
        if let Some(orders) = &mut self.state().orders {
            // A first process that is gone is noticed by the end of its output.
            send(orders, order).ok();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
