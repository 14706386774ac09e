//! Starts and stops an agent.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use sekisho_api::Client;
use sekisho_base::Clock;
use sekisho_inventory::cri::{ContainerRuntime, Containers};
use sekisho_model::Timestamp;
use sekisho_observe::{Observer, ObserverOptions};
use sekisho_system::SystemClock;

use super::capture::Capture;
use super::datapath::Datapath;
use super::deny::DenyReader;
use super::link::Outbox;
use super::state::AgentState;
use crate::config::AgentConfig;
use crate::{server, signals};

/// How long a stopping agent waits for its last batches to be acknowledged.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// A complete configuration.
#[derive(Clone, Debug)]
pub(crate) struct AgentOptions {
    pub(crate) node: String,
    pub(crate) cgroup: PathBuf,
    pub(crate) netns: PathBuf,
    pub(crate) config: AgentConfig,
}

impl AgentOptions {
    /// Fills in what the machine itself tells: host name, cgroup v2 mount, own network namespace.
    pub(crate) fn complete(config: AgentConfig) -> anyhow::Result<Self> {
        let node = match &config.node {
            Some(node) => node.clone(),
            None => {
                let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
                name.context("read the host name")?.trim().to_owned()
            }
        };
        ensure!(
            server::is_node_name(&node),
            "`{node}` is no name for a node: letters, digits, . - _, at most 253; give one with --node"
        );
        let cgroup = match &config.cgroup {
            Some(folder) => folder.clone(),
            None => sekisho_system::cgroup::mount_point().context("find the cgroup v2 mount")?,
        };
        let own = || PathBuf::from("/proc/self/ns/net");
        let netns = config.netns.clone().unwrap_or_else(own);
        // An agent that can't enforce where it is told to must not look like one that can.
        std::fs::File::open(&netns)
            .with_context(|| format!("open network namespace `{}`", netns.display()))?;
        Ok(Self { node, cgroup, netns, config })
    }
}

/// Runs until a signal; what was observed is sent before it returns.
pub(crate) fn run(options: &AgentOptions) -> anyhow::Result<()> {
    let epoch = Timestamp::from_nanos(SystemClock.now());
    let outbox = Arc::new(Outbox::new(&options.node, epoch, options.config.queue_batches));
    let observer = Observer::start(ObserverOptions {
        cgroup_root: options.cgroup.clone(),
        sample_period: Duration::from_secs(options.config.sample_period_s),
        udp_idle: Duration::from_secs(options.config.udp_idle_s),
        ring_bytes: options.config.ring_bytes,
        netns: Some(options.netns.clone()),
    })
    .context("start to observe")?;
    let containers = containers(options)?;
    let tiers = tiers(&observer, &containers);
    let state = Arc::new(AgentState::new(&options.node, tiers));
    let datapath = Arc::new(Datapath::open(options, Arc::clone(&state)));
    let stop = Arc::new(AtomicBool::new(false));
    let capture = Capture {
        observer,
        containers,
        deny: DenyReader::new(options.netns.clone(), datapath.decisions()),
        outbox: Arc::clone(&outbox),
        state,
        stop: Arc::clone(&stop),
    };
    let thread = std::thread::Builder::new()
        .name("capture".to_owned())
        .spawn(move || capture.run())
        .context("start the capture thread")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let client = client(options)?.keep_alive();
    runtime.block_on(async {
        let signal = signals::Stop::new()?;
        let probes = match options.config.health_listen.as_str() {
            "" => None,
            address => Some(sekisho_api::HealthListener::bind(address).await?),
        };
        tracing::info!(node = options.node, cluster = %options.config.cluster, cgroup = %options.cgroup.display(), "observing");
        let mut tasks = tokio::task::JoinSet::new();
        if let Some(probes) = probes {
            tasks.spawn(probes.serve(Arc::clone(&outbox) as _, signal.wait()));
        }
        let (sender, box_) = (client.clone(), Arc::clone(&outbox));
        tasks.spawn(async move { box_.send_all(&sender).await });
        let (asker, path) = (client.clone(), Arc::clone(&datapath));
        tasks.spawn(async move { path.follow_orders(&asker).await });
        let (teller, path) = (client.clone(), Arc::clone(&datapath));
        tasks.spawn(async move { path.report(&teller).await });
        let (teller, path) = (client.clone(), Arc::clone(&datapath));
        tasks.spawn(async move { path.watch(&teller).await });
        wait_for_end(&signal, &thread).await;
        stop.store(true, Ordering::Relaxed);
        let drained = async {
            while !(thread.is_finished() && outbox.is_empty()) {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(DRAIN_WAIT, drained).await.is_err() {
            tracing::warn!("stopped before the server acknowledged everything");
        }
        anyhow::Ok(())
    })?;
    datapath.leave();
    tracing::info!(shed = outbox.shed(), "agent stopped; rules in force stay in force");
    match thread.join() {
        Ok(captured) => captured,
        Err(_panic) => anyhow::bail!("the capture thread panicked"),
    }
}

fn client(AgentOptions { node, config, .. }: &AgentOptions) -> anyhow::Result<Client> {
    let (server, name) = (config.server.clone(), config.tls.server_name.as_deref());
    let client = Client::at(server, config.tls.files()?, name)?;
    let client = client.in_cluster(config.cluster.clone());
    Ok(match &config.token {
        Some(token) => client.proving_node(node, token),
        None => client,
    })
}

/// Who tells of containers: the runtime that was named, or the first that is found.
fn containers(options: &AgentOptions) -> anyhow::Result<Containers> {
    let socket = match &options.config.cri {
        Some(path) => (!path.as_os_str().is_empty()).then(|| path.clone()),
        None => ContainerRuntime::find_socket(),
    };
    Containers::new(socket).context("prepare to ask for containers")
}

/// What is used for what, for people.
fn tiers(observer: &Observer, containers: &Containers) -> Vec<String> {
    let line = |area: &str, used: &str| format!("{area}: {used}");
    let mut lines: Vec<String> =
        observer.tiers().iter().map(|tier| line(&tier.area, &tier.used)).collect();
    lines.push(line("containers", &containers.source()));
    lines
}

/// A signal, or the end of the capture thread, which is a failure.
async fn wait_for_end(
    signal: &signals::Stop,
    thread: &std::thread::JoinHandle<anyhow::Result<()>>,
) {
    let mut stopped = std::pin::pin!(signal.wait());
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(DRAIN_POLL) => {
                if thread.is_finished() {
                    return;
                }
            }
        }
    }
}
