//! The supervisor: one thread that owns all state and takes one event after the other.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sekisho_base::error_chain;
use sekisho_manifest::{Host, Object};
use sekisho_system::cgroup;

use super::cluster::{Cluster, Machine, NodeState, meta_key};
use super::journal::{Change, Journal, now};
use super::kubelets::Kubelets;
use super::published::{Published, write_nodes};
use super::requests::{self, status};
use super::{LabNode, LabStatus, Request, Response, is_internet, pods, reconcile, server};
use crate::plan::StateDir;
use crate::protocol::{FromKubelet, NodeConfig, PodReport, ToKubelet};

/// Events waiting; who sends more waits.
const EVENTS_MAX: usize = 4096;
/// Events taken before the next pass, so that a burst causes one pass.
const EVENTS_PER_PASS_MAX: usize = 256;
const TICK: Duration = Duration::from_secs(1);
const REMOVE_DEADLINE: Duration = Duration::from_secs(5);
/// Kubelets that can't stay up are given up after so many.
const KUBELETS_REPLACED_MAX: u32 = 20;
const SECONDS_PER_MINUTE: u64 = 60;

/// What happens to the supervisor.
#[derive(Debug)]
pub(super) enum Event {
    Kubelet {
        node: String,
        message: FromKubelet,
    },
    KubeletGone {
        node: String,
    },
    Request {
        request: Request,
        reply: SyncSender<Response>,
    },
    /// Run what was held.
    Release,
    Quit,
}

/// What a supervisor is started with.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) state: StateDir,
    pub(crate) cgroup_root: std::path::PathBuf,
    pub(crate) program: std::path::PathBuf,
    /// Nodes and hosts, with what their kubelets must know.
    pub(crate) members: Vec<(LabNode, NodeConfig)>,
    pub(crate) objects: Vec<Object>,
    /// Run nothing until [`Supervisor::release`].
    pub(crate) hold: bool,
}

/// State that other threads wait for.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    status: Mutex<SharedStatus>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SharedStatus {
    lab: LabStatus,
    down: bool,
}

impl Shared {
    /// Waits until `wanted` holds for the lab's state; false after `deadline`.
    pub(crate) fn wait(
        &self,
        deadline: Duration,
        wanted: impl Fn(&LabStatus, bool) -> bool,
    ) -> bool {
        let guard = self.lock();
        let pending = |state: &mut SharedStatus| !wanted(&state.lab, state.down);
        let (guard, timeout) = self
            .changed
            .wait_timeout_while(guard, deadline, pending)
            .unwrap_or_else(PoisonError::into_inner);
        drop(guard);
        !timeout.timed_out()
    }

    /// A copy of the lab's state.
    pub(crate) fn status(&self) -> LabStatus {
        self.lock().lab.clone()
    }

    fn set(&self, lab: LabStatus) {
        self.lock().lab = lab;
        self.changed.notify_all();
    }

    fn set_down(&self) {
        self.lock().down = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, SharedStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running supervisor thread.
#[derive(Debug)]
pub(crate) struct Supervisor {
    events: SyncSender<Event>,
    thread: Option<JoinHandle<()>>,
    pub(crate) shared: Arc<Shared>,
}

impl Supervisor {
    /// Starts kubelets, hosts and workloads, and the thread that keeps them.
    ///
    /// # Errors
    /// If a file, the socket or a process can't be made.
    pub(crate) fn start(start: Start) -> io::Result<Self> {
        let (events, inbox) = sync_channel(EVENTS_MAX);
        let journal = Journal::create(&start.state.journal())?;
        let cluster = Cluster::new(start.state.clone(), start.cgroup_root, start.program, journal);
        let shared = Arc::new(Shared::default());
        let mut work = Work {
            cluster,
            kubelets: Kubelets::default(),
            configs: start.members.iter().map(|(_, config)| config.clone()).collect(),
            published: Published::default(),
            events: events.clone(),
            shared: Arc::clone(&shared),
            minute: now().nanos() / 1_000_000_000 / SECONDS_PER_MINUTE,
            replaced: 0,
            held: start.hold.then(Vec::new),
        };
        work.begin(start.members, start.objects)?;
        server::serve(&start.state.socket(), events.clone())?;
        let thread = thread::Builder::new()
            .name("lab-supervisor".to_owned())
            .spawn(move || work.run(&inbox))?;
        Ok(Self { events, thread: Some(thread), shared })
    }

    /// Lets the first pods and hosts start, if they were held.
    pub(crate) fn release(&self) {
        // A supervisor that ended has nothing to release.
        self.events.send(Event::Release).ok();
    }

    /// Ends the thread and the kubelets; pods are left to the cleaner.
    pub(crate) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.events.send(Event::Quit).ok();
            thread.join().ok();
        }
    }
}

struct Work {
    cluster: Cluster,
    kubelets: Kubelets,
    configs: Vec<NodeConfig>,
    published: Published,
    events: SyncSender<Event>,
    shared: Arc<Shared>,
    /// The minute for which CronJobs were started last.
    minute: u64,
    replaced: u32,
    /// Hosts whose processes wait for the release; None = nothing is held.
    held: Option<Vec<Host>>,
}

impl Work {
    fn begin(
        &mut self,
        members: Vec<(LabNode, NodeConfig)>,
        objects: Vec<Object>,
    ) -> io::Result<()> {
        for config in &self.configs {
            self.kubelets.start(&self.cluster.program, config, self.events.clone())?;
        }
        let mut numbers = 1..;
        for (public, _) in &members {
            if public.kind == super::LabNodeKind::Node {
                self.add_node(public.clone(), numbers.next().unwrap_or(u8::MAX));
            }
        }
        let seen: Vec<LabNode> = members.into_iter().map(|(public, _)| public).collect();
        let seen: Vec<LabNode> = seen.into_iter().filter(|it| it.name != "internet").collect();
        write_nodes(&self.cluster.state.nodes(), &seen)?;
        let (hosts, mut rest): (Vec<Object>, Vec<Object>) =
            objects.into_iter().partition(|object| matches!(object, Object::Host(_)));
        // Namespaces before what is in them: readers of the journal expect it so.
        rest.sort_by_key(|object| !matches!(object, Object::Namespace(_)));
        let given: Vec<String> = rest
            .iter()
            .filter(|it| it.kind() == "Namespace")
            .map(|it| it.meta().name.clone())
            .collect();
        for name in ["default", "kube-system"] {
            if !given.iter().any(|it| it == name) {
                let text =
                    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
                for object in sekisho_manifest::parse("", &text).unwrap_or_default() {
                    requests::add(&mut self.cluster, &self.kubelets, object);
                }
            }
        }
        for object in rest {
            requests::add(&mut self.cluster, &self.kubelets, object);
        }
        for host in hosts {
            if let Object::Host(host) = host {
                match &mut self.held {
                    Some(waiting) => waiting.push(host),
                    None => self.add_host(host),
                }
            }
        }
        self.pass();
        Ok(())
    }

    fn add_node(&mut self, public: LabNode, number: u8) {
        let hostname = ("kubernetes.io/hostname".to_owned(), public.name.clone());
        let labels = [hostname, ("kubernetes.io/os".to_owned(), "linux".to_owned())];
        let object = sekisho_manifest::Node {
            meta: sekisho_manifest::Meta {
                name: public.name.clone(),
                uid: pods::new_uid(),
                labels: labels.into_iter().collect(),
                created: Some(now()),
                ..sekisho_manifest::Meta::default()
            },
            addresses: public.addresses.clone(),
            pod_cidrs: public.pod_cidrs.clone(),
        };
        let labels = object.meta.labels.clone();
        self.cluster.nodes.push(NodeState { number, public, labels, last_index: 0 });
        self.cluster.put(Object::Node(object));
    }

    fn add_host(&mut self, mut host: Host) {
        let outside = is_internet(&host);
        let kubelet = if outside { "internet".to_owned() } else { host.meta.name.clone() };
        host.meta.uid = pods::new_uid();
        host.meta.created = Some(now());
        if !outside {
            self.cluster.record(Change::Added, &Object::Host(host.clone()));
        }
        let uid = host.meta.uid.clone();
        let key = meta_key(&host.meta);
        let report = PodReport::default();
        let machine = Machine { uid, kubelet: kubelet.clone(), host, report };
        if !machine.host.containers.is_empty() {
            let run = pods::machine_run(&self.cluster, &machine);
            self.kubelets.send(&kubelet, ToKubelet::Run(Box::new(run)));
        }
        self.cluster.machines.insert(key, machine);
    }

    fn run(&mut self, inbox: &Receiver<Event>) {
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(event) => {
                    if !self.take(event) {
                        break;
                    }
                    let more: Vec<Event> = inbox.try_iter().take(EVENTS_PER_PASS_MAX).collect();
                    if !more.into_iter().all(|event| self.take(event)) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.pass();
        }
        self.kubelets.end();
    }

    /// Takes an event; false to end.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Kubelet { message: FromKubelet::Pod(report), .. } => {
                pods::take_report(&mut self.cluster, report);
            }
            Event::Kubelet { message: FromKubelet::Up, .. } => {}
            Event::Kubelet { node, message: FromKubelet::ServicesFailed { message } } => {
                self.cluster.trouble(format!("Services of node `{node}`: {message}"));
            }
            Event::Kubelet { node, message: FromKubelet::Failed { message } } => {
                self.cluster.trouble(format!("kubelet of `{node}`: {message}"));
            }
            Event::KubeletGone { node } => self.replace_kubelet(&node),
            Event::Request { request, reply } => {
                if matches!(request, Request::Down) {
                    self.shared.set_down();
                }
                let response = requests::answer(&mut self.cluster, &self.kubelets, request);
                // Nobody waits any more: the work is done all the same.
                reply.try_send(response).ok();
            }
            Event::Release => {
                for host in self.held.take().unwrap_or_default() {
                    self.add_host(host);
                }
            }
            Event::Quit => return false,
        }
        true
    }

    fn pass(&mut self) {
        if self.held.is_some() {
            self.shared.set(status(&self.cluster));
            return;
        }
        let minute = now().nanos() / 1_000_000_000 / SECONDS_PER_MINUTE;
        if minute != self.minute {
            self.minute = minute;
            reconcile::minute(&mut self.cluster, minute);
        }
        reconcile::pass(&mut self.cluster, &self.kubelets);
        self.published.update(&mut self.cluster, &self.kubelets);
        self.shared.set(status(&self.cluster));
    }

    /// A kubelet that ended takes its pods with it: their standard input ended. Start another.
    fn replace_kubelet(&mut self, node: &str) {
        self.cluster.trouble(format!("the kubelet of `{node}` ended; its pods are replaced"));
        let root = self.cluster.cgroup_root.join(node);
        // The node's own folder stays: agents have attached to it.
        let killed = cgroup::kill(&root)
            .and_then(|()| cgroup::kill_and_remove(&root.join("pods"), REMOVE_DEADLINE));
        if let Err(error) = killed {
            self.cluster.trouble(error_chain(&error));
        }
        let lost: Vec<(String, String)> = self
            .cluster
            .pods
            .values()
            .filter(|live| live.pod.spec.node_name.as_deref() == Some(node) && !live.report.gone)
            .map(|live| {
                (live.pod.meta.uid.clone(), live.report.message.clone().unwrap_or_default())
            })
            .collect();
        for (uid, message) in lost {
            sekisho_system::netns::delete(&self.cluster.names.pod_netns(&uid)).ok();
            std::fs::remove_dir_all(self.cluster.state.pod(&uid)).ok();
            let message = Some(format!("lost with its kubelet {message}"));
            let report =
                PodReport { uid, ended: Some(false), gone: true, message, ..PodReport::default() };
            pods::take_report(&mut self.cluster, report);
        }
        self.replaced += 1;
        let config = self.configs.iter().find(|config| config.name == node).cloned();
        let Some(config) = config.filter(|_| self.replaced <= KUBELETS_REPLACED_MAX) else {
            return;
        };
        if let Err(error) = self.kubelets.start(&self.cluster.program, &config, self.events.clone())
        {
            self.cluster.trouble(format!("start the kubelet of `{node}`: {error}"));
            return;
        }
        self.published.forget(node);
        let machines: Vec<&Machine> =
            self.cluster.machines.values().filter(|it| it.kubelet == node).collect();
        for machine in machines {
            let run = pods::machine_run(&self.cluster, machine);
            self.kubelets.send(node, ToKubelet::Run(Box::new(run)));
        }
    }
}
