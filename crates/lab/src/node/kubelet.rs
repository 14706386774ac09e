//! The kubelet of one node: a process in the node's network namespace and cgroup that starts and
//! ends pods, probes them, and keeps the node's Service tables, as its supervisor orders.
//!
//! Orders come on standard input, reports go to standard output. When the supervisor is gone, so
//! is the kubelet: its pods see their standard input end.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sekisho_base::error_chain;
use sekisho_system::{cgroup, command, netns};

use super::pod_watch::PodWatch;
use crate::protocol::{FromKubelet, NodeConfig, ToKubelet, receive, send};

/// Pods being started at the same time: more only fight for the kernel's network lock.
const LAUNCHES_MAX: usize = 4;
const NFT_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs as a node's kubelet until standard input ends.
pub(crate) fn kubelet_main() -> ExitCode {
    let mut orders = BufReader::new(io::stdin());
    let config: NodeConfig = match receive(&mut orders) {
        Ok(Some(config)) => config,
        Ok(None) | Err(_) => return ExitCode::FAILURE,
    };
    // Before the first thread: the cgroup is the process's, the namespace the main thread's.
    let ready = cgroup::create(&config.cgroup)
        .and_then(|()| cgroup::join(&config.cgroup))
        .map_err(|error| error_chain(&error))
        .and_then(|()| netns::enter(&config.netns).map_err(|error| error_chain(&error)));
    if let Err(message) = ready {
        report(&FromKubelet::Failed { message });
        return ExitCode::FAILURE;
    }
    report(&FromKubelet::Up);
    Kubelet {
        config: Arc::new(config),
        gate: Arc::new(Gate::new(LAUNCHES_MAX)),
        pods: BTreeMap::new(),
    }
    .run(&mut orders);
    ExitCode::SUCCESS
}

/// Sends a report; if the supervisor is gone, standard input says so too.
pub(super) fn report(message: &FromKubelet) {
    send(&mut io::stdout().lock(), message).ok();
}

struct Kubelet {
    config: Arc<NodeConfig>,
    gate: Arc<Gate>,
    pods: BTreeMap<String, Arc<PodWatch>>,
}

impl Kubelet {
    fn run(&mut self, orders: &mut impl io::BufRead) {
        while let Ok(Some(order)) = receive(orders) {
            self.pods.retain(|_, pod| !pod.is_gone());
            match order {
                ToKubelet::Run(run) => {
                    let pod = Arc::new(PodWatch::new(*run, Arc::clone(&self.config)));
                    self.pods.insert(pod.uid().to_owned(), Arc::clone(&pod));
                    let gate = Arc::clone(&self.gate);
                    thread::spawn(move || pod.live(&gate));
                }
                ToKubelet::Stop { uid, grace_s } => {
                    if let Some(pod) = self.pods.get(&uid) {
                        pod.stop(grace_s);
                    }
                }
                ToKubelet::Restart { uid } => {
                    if let Some(pod) = self.pods.get(&uid) {
                        pod.restart(None);
                    }
                }
                ToKubelet::Services { script } => replace_services(&script),
            }
        }
    }
}

fn replace_services(script: &str) {
    if let Err(error) = command::run(&["nft", "-f", "-"], script, NFT_TIMEOUT) {
        report(&FromKubelet::ServicesFailed { message: error_chain(&error) });
    }
}

/// Lets a bounded number of threads through at a time.
pub(super) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Gate {
    fn new(free: usize) -> Self {
        Self { free: Mutex::new(free), freed: Condvar::new() }
    }

    /// Runs `work` once there is room.
    pub(super) fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let result = work();
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        result
    }
}
