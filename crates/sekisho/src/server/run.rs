//! Starts, ticks and stops the server.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sekisho_api::{HubbleListener, TlsListener, UnixSocket};
use sekisho_base::Clock;
use sekisho_inventory::attest::Attestor;
use sekisho_inventory::watch::Watch;
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;

use super::console::Console;
use super::fleet::Fleet;
use super::service::ClusterServer;
use super::{archive, images, sinks, sources, uploads};
use crate::config::{ClusterConfig, ServerConfig};
use crate::signals;

const TICK: Duration = Duration::from_millis(200);
/// Ticks between two looks at retention: a minute.
const RETENTION_TICKS: u64 = 300;
const SECONDS_PER_DAY: u64 = 86_400;
/// Between two looks whether segments can be merged, seconds: long enough that who began to read
/// the old ones has read them.
const MERGE_S: u64 = 60;
/// How long work under way may take after the last answer was given.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// Runs the server until a signal ends it; seals history before it returns.
pub(crate) fn run(config: &ServerConfig) -> anyhow::Result<()> {
    let fleet = Arc::new(Fleet::open(config)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let served = runtime.block_on(serve(config, &fleet));
    // Whoever still waits for nodes to answer is not waited for.
    runtime.shutdown_timeout(STOP_WAIT);
    fleet.close();
    served?;
    tracing::info!("server stopped, history sealed");
    Ok(())
}

async fn serve(config: &ServerConfig, fleet: &Arc<Fleet>) -> anyhow::Result<()> {
    follow_clusters(config, fleet).await?;
    let socket = UnixSocket::bind(&config.socket)?;
    let metrics = match config.metrics_listen.as_str() {
        "" => None,
        address => Some(sekisho_api::MetricsListener::bind(address).await?),
    };
    let listener = network_listener(config).await?;
    let web = match config.web_listen.as_str() {
        "" => None,
        address => Some(sekisho_api::WebListener::bind(address, config.web_tls()?).await?),
    };
    let hubble = match config.hubble_listen.as_str() {
        "" => None,
        address => Some(HubbleListener::bind(address, config.tls.files()?.as_ref()).await?),
    };
    let probes = match config.health_listen.as_str() {
        "" => None,
        address => Some(sekisho_api::HealthListener::bind(address).await?),
    };
    tracing::info!(socket = %config.socket.display(), data = %config.data_dir.display(), "serving");
    let stop = signals::Stop::new()?;
    let mut tasks = tokio::task::JoinSet::new();
    for member in fleet.members() {
        begin_work(&mut tasks, member, config, &stop);
    }
    for source in &config.sources {
        let member = fleet.members().find(|member| *member.name() == source.cluster);
        let member = member.context("the cluster of a source is checked")?;
        tasks.spawn(sources::follow(source, member, stop.clone()).await?);
    }
    for sink in sinks::Sink::all(&config.sinks, &config.data_dir, fleet.sinks())? {
        tasks.spawn(sinks::run(sink, Arc::clone(fleet), stop.clone()));
    }
    if let Some(listener) = metrics {
        let shared: Arc<dyn sekisho_api::Service> = Arc::clone(fleet) as _;
        let stop = stop.clone();
        tasks.spawn(async move { listener.serve(shared, stop.wait()).await });
    }
    if let Some(hubble) = hubble {
        let address = hubble.address().map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(address, "serving Hubble's Observer API");
        tasks.spawn(hubble.serve(Arc::clone(fleet) as _, stop.wait()));
    }
    if let Some(web) = web {
        fleet.shows(web.url());
        tracing::info!(
            url = web.url(),
            "serving the console; `sekisho token create` lets people in"
        );
        let router =
            sekisho_api::web_router(Arc::clone(fleet) as _, Arc::new(Console), &config.oidc);
        tasks.spawn(web.serve(router, stop.wait()));
    }
    let router = sekisho_api::router(Arc::clone(fleet) as _)
        .merge(sekisho_api::operators_router(Arc::clone(fleet) as _))
        .merge(sekisho_api::operators_labels_router(Arc::clone(fleet) as _));
    if let Some(listener) = listener {
        fleet.listens(listener.figures());
        tracing::info!(address = %listener.address(), "serving on the network");
        tasks.spawn(listener.serve(router.clone(), stop.wait()));
    }
    if let Some(probes) = probes {
        tasks.spawn(probes.serve(Arc::clone(fleet) as _, stop.wait()));
    }
    sekisho_api::serve(socket, router, stop.wait()).await;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Starts what the server does for a cluster beside answering, each on its own: what one waits for,
/// others need not.
fn begin_work(
    tasks: &mut tokio::task::JoinSet<()>,
    member: &Arc<ClusterServer>,
    config: &ServerConfig,
    stop: &signals::Stop,
) {
    tasks.spawn(tick(Arc::clone(member), config.clone(), stop.clone()));
    tasks.spawn(uploads::run(Arc::clone(member), stop.clone()));
    if member.native().is_some() {
        let work = ("a look at the cluster", look as fn(&ClusterServer));
        tasks.spawn(repeat(Arc::clone(member), config.drift_check_s, stop.clone(), work));
    }
    let work = ("merging history", merge as fn(&ClusterServer));
    tasks.spawn(repeat(Arc::clone(member), MERGE_S, stop.clone(), work));
    if member.shipping().is_some() {
        let work = ("shipping history", ship as fn(&ClusterServer));
        tasks.spawn(repeat(Arc::clone(member), archive::LOOK_S, stop.clone(), work));
    }
    let work = ("a look at images", review as fn(&ClusterServer));
    tasks.spawn(repeat(Arc::clone(member), images::LOOK_S, stop.clone(), work));
}

/// Starts to watch the API server of each cluster that has one.
async fn follow_clusters(config: &ServerConfig, fleet: &Fleet) -> anyhow::Result<()> {
    let clusters = config.clusters()?;
    let age_s = config.named_days().saturating_mul(SECONDS_PER_DAY);
    for member in fleet.members() {
        let source = clusters.get(member.name());
        let Some(place) = source.and_then(ClusterConfig::watched) else { continue };
        let started = Watch::start(&place).await;
        let watch = started.with_context(|| format!("watch the cluster `{}`", member.name()))?;
        let now = Timestamp::from_nanos(SystemClock.now());
        member.core().attach(watch, now, age_s);
        let account = source.and_then(|source| source.agent_account.clone());
        if let (Some(witness), Some(account)) = (member.witness(), account) {
            let made = Attestor::connect(&place, account).await;
            let what = || format!("ask the cluster `{}` about agents", member.name());
            witness.begin(made.with_context(what)?);
        }
    }
    Ok(())
}

/// The listener on the network, if one is wanted; without TLS there is none.
async fn network_listener(config: &ServerConfig) -> anyhow::Result<Option<TlsListener>> {
    let files = config.tls.files()?;
    match (config.listen.as_str(), files) {
        ("", _) => Ok(None),
        (address, Some(files)) => {
            let listener = TlsListener::bind(address, &files).await?;
            Ok(Some(listener.with_node_life(config.agent_certificate_s)))
        }
        (address, None) => bail!(
            "`listen` is `{address}`, and nothing is served on the network without TLS: give \
             --tls-ca, --tls-cert and --tls-key (`sekisho certificates` makes them)"
        ),
    }
}

async fn tick(service: Arc<ClusterServer>, config: ServerConfig, stop: signals::Stop) {
    let runtime = tokio::runtime::Handle::current();
    // One thread for all ticks: a large cluster is made anew in them, and the allocator keeps what a
    // thread gave back for that thread (glibc malloc/arena.c). Threads that take turns end with one each.
    let ticking = tokio::task::spawn_blocking(move || {
        let mut count: u64 = 0;
        while !stop.is_set() {
            let begun = Instant::now();
            count += 1;
            let done = AssertUnwindSafe(|| tick_once(&service, &config, count));
            match std::panic::catch_unwind(done) {
                Ok(()) => service.ticked(),
                Err(_panicked) => tracing::error!("a tick panicked; the next one goes on"),
            }
            runtime.block_on(async {
                tokio::select! {
                    () = stop.wait() => {}
                    () = tokio::time::sleep(TICK.saturating_sub(begun.elapsed())) => {}
                }
            });
        }
    });
    if ticking.await.is_err() {
        tracing::error!("the ticks ended: restart the server");
    }
}

fn tick_once(service: &ClusterServer, config: &ServerConfig, count: u64) {
    let now = Timestamp::from_nanos(SystemClock.now());
    let mut core = service.core();
    core.tick(now, config.rotate_s);
    if count.is_multiple_of(RETENTION_TICKS) {
        let age_s = config.retention_days.saturating_mul(SECONDS_PER_DAY);
        let named_s = config.named_days().saturating_mul(SECONDS_PER_DAY);
        core.retain(now, (age_s, named_s), config.retention_bytes);
    }
    drop(core);
    if let Some(native) = service.native() {
        service.judge_flows(native, now);
    }
}

/// Does something again and again beside the ticks.
async fn repeat(
    service: Arc<ClusterServer>,
    period_s: u64,
    stop: signals::Stop,
    (name, work): (&'static str, fn(&ClusterServer)),
) {
    let mut turns = tokio::time::interval(Duration::from_secs(period_s));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopped = std::pin::pin!(stop.wait());
    loop {
        tokio::select! {
            () = &mut stopped => return,
            _ = turns.tick() => {}
        }
        let service = Arc::clone(&service);
        let turn = tokio::task::spawn_blocking(move || work(&service));
        // An API server that does not answer must not hold up the end.
        tokio::select! {
            () = &mut stopped => return,
            done = turn => if done.is_err() {
                tracing::error!("{name} panicked; the next one goes on");
            }
        }
    }
}

/// Compares the cluster with the revision in force.
fn look(service: &ClusterServer) {
    if let Some(native) = service.native() {
        service.look(native);
    }
}

/// Merges the segments of what is over.
fn merge(service: &ClusterServer) {
    service.merge_segments(Timestamp::from_nanos(SystemClock.now()));
}

/// Ships to ClickHouse what is sealed.
fn ship(service: &ClusterServer) {
    service.ship();
}

fn review(service: &ClusterServer) {
    service.review_images(Timestamp::from_nanos(SystemClock.now()));
}
