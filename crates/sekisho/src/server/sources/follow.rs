//! Starts a source, and lets it work on a thread that may wait.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use sekisho_api::{SenderTls, SourceStatus};
use tokio::net::{TcpListener, UdpSocket};

use super::intake::{Intake, Shown};
use super::place::{FormatName, Place, SourceConfig};
use super::syslog::Door;
use super::{netflow, relay, syslog, tail};
use crate::server::service::ClusterServer;
use crate::signals::Stop;

/// Between two tries to write what the disk refused.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// The sources of a cluster, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Followed(Mutex<Vec<Shown>>);

impl Followed {
    fn add(&self, shown: Shown) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
    }

    /// How each is, by name.
    pub(crate) fn status(&self) -> Vec<SourceStatus> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<SourceStatus> = all.iter().map(Shown::status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// What is wrong with sources.
pub(crate) fn problems(sources: &[SourceStatus]) -> Vec<String> {
    let wrong = sources.iter().filter(|source| !source.problem.is_empty());
    wrong.map(|source| format!("source `{}`: {}", source.name, source.problem)).collect()
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Prepares the source of `config`; its task ends with `stop`.
///
/// # Errors
/// If an address can't be listened on, or files of TLS can't be used.
pub(crate) async fn follow(
    config: &SourceConfig,
    server: &Arc<ClusterServer>,
    stop: Stop,
) -> anyhow::Result<Task> {
    let shown = Shown::new(config);
    let intake = Intake::new(Arc::clone(server), config, shown.clone());
    server.sources().add(shown);
    let worker = Worker { intake: Some(intake) };
    let what = || format!("source `{}`: listen on {}", config.name, config.from);
    let format = config.format.map(|FormatName(format)| format);
    let senders = config.senders.clone();
    Ok(match &config.from {
        Place::Relay { .. } => {
            let relay = config.relay()?.context("a relay is one")?;
            Box::pin(relay::run(relay, worker, stop))
        }
        Place::File(path) => Box::pin(tail::run(path.clone(), format, worker, stop)),
        Place::Netflow(address) => {
            let socket = UdpSocket::bind(address).await.with_context(what)?;
            Box::pin(netflow::run(socket, senders, worker, stop))
        }
        Place::SyslogUdp(address) => {
            let socket = UdpSocket::bind(address).await.with_context(what)?;
            Box::pin(syslog::run_udp(socket, (senders, format), worker, stop))
        }
        Place::SyslogTcp(address) | Place::SyslogTls(address) => {
            let files = config.sender_files()?;
            let tls = files.map(SenderTls::open).transpose();
            let tls = tls.with_context(|| format!("source `{}`: TLS", config.name))?;
            let listener = TcpListener::bind(address).await.with_context(what)?;
            let door = Door::new(listener, tls, senders);
            Box::pin(syslog::run_stream(door, format, worker, stop))
        }
    })
}

/// An intake that works on threads that may wait: for the history's lock, and for the disk.
pub(super) struct Worker {
    /// None: its work panicked, which is logged; the source is over.
    intake: Option<Intake>,
}

impl Worker {
    /// Does `work`; None = it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Intake) -> T + Send + 'static,
    ) -> Option<T> {
        let mut intake = self.intake.take()?;
        let shown = intake.shown.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut intake);
            (intake, done)
        });
        match done.await {
            Ok((intake, done)) => {
                self.intake = Some(intake);
                Some(done)
            }
            Err(_panicked) => {
                shown.say("waiting", "it ended by a mistake of ours: restart the server");
                None
            }
        }
    }

    /// Makes durable what was read; while the disk refuses, nothing more is read. None = it is over.
    pub(super) async fn record(&mut self, there: bool, stop: &Stop) -> Option<()> {
        loop {
            match self.run(move |intake| intake.record(there)).await? {
                Ok(()) => return Some(()),
                Err(_said) => tokio::select! {
                    () = stop.wait() => return None,
                    () = tokio::time::sleep(DISK_PAUSE) => {}
                },
            }
        }
    }
}
