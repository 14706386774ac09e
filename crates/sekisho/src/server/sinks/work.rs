//! The work of a sink: take, queue, give; again and again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use sekisho_api::{Service as _, SinkStatus};
use sekisho_exchange::findings_of;
use sekisho_model::Timestamp;
use sha2::Sha256;

use super::encode::Encoder;
use super::matters::{Matters, standing};
use super::queue::{Queue, Waiting};
use super::settings::{Form, Settings, SinkConfig};
use super::state::SinkStates;
use super::tap::Tap;
use crate::server::fleet::Fleet;
use crate::server::metrics;
use crate::server::service::now;
use crate::signals::Stop;

/// Between two looks for new flows.
const LOOK: Duration = Duration::from_millis(500);
/// Pauses after failures: doubled each time, up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A sink with its queue.
pub(crate) struct Sink {
    settings: Settings,
    folder: PathBuf,
    encoder: Encoder,
    queue: Queue,
    tap: Tap,
    /// What was told of findings.
    matters: Matters,
    /// When findings or figures were last asked for.
    looked: Timestamp,
    states: SinkStates,
    place: usize,
    secret: Option<Vec<u8>>,
    /// Failures since the last success.
    failures: u32,
    /// Nothing is given before.
    not_before: Option<tokio::time::Instant>,
}

impl Sink {
    /// Opens the queue of each sink under `data_dir`.
    pub(crate) fn all(
        configs: &[SinkConfig],
        data_dir: &Path,
        states: &SinkStates,
    ) -> anyhow::Result<Vec<Self>> {
        configs.iter().map(|config| Self::open(config, data_dir, states)).collect()
    }

    fn open(config: &SinkConfig, data_dir: &Path, states: &SinkStates) -> anyhow::Result<Self> {
        let settings = Settings::of(config)?;
        let folder = data_dir.join("sinks").join(&config.name);
        let queue = Queue::open(&folder, config.queue_bytes)
            .with_context(|| format!("queue `{}`", folder.display()))?;
        let secret = match &config.secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("read `{}`", path.display()))?;
                let secret = text.trim().as_bytes().to_vec();
                anyhow::ensure!(!secret.is_empty(), "`{}` is empty: no secret", path.display());
                Some(secret)
            }
        };
        let place = states.add(SinkStatus {
            name: config.name.clone(),
            destination: settings.destination.to_string(),
            ..SinkStatus::default()
        });
        Ok(Self {
            encoder: Encoder::of(&settings),
            tap: Tap::new(&settings),
            matters: Matters::default(),
            looked: Timestamp::EPOCH,
            settings,
            folder,
            queue,
            states: states.clone(),
            place,
            secret,
            failures: 0,
            not_before: None,
        })
    }

    /// When the last that was queued was seen; None = nothing ever was.
    fn mark(&self) -> Option<Timestamp> {
        std::fs::read_to_string(self.folder.join("until")).ok()?.trim().parse().ok()
    }

    /// Takes what came, and queues it when its time is over.
    fn collect(&mut self, fleet: &Fleet, is_last: bool) {
        let time = now();
        if self.settings.form != Form::Metrics {
            for member in fleet.members() {
                self.tap.take(member, time);
            }
        }
        if is_last || self.is_due(time) {
            let queued = self.enqueue(fleet, time);
            if let Err(error) = queued {
                self.told(&format!("queue: {error:#}"));
            }
        }
        self.figures();
    }

    fn is_due(&self, time: Timestamp) -> bool {
        match self.settings.form {
            Form::Lines(_) | Form::Otlp => self.tap.is_due(time),
            // What the server says of itself comes without flows, too.
            Form::Findings | Form::Metrics => {
                time.seconds_since(self.looked) >= self.settings.config.interval_s
                    || self.tap.is_due(time)
            }
        }
    }

    fn enqueue(&mut self, fleet: &Fleet, time: Timestamp) -> anyhow::Result<()> {
        self.looked = time;
        let rows = self.tap.drain();
        match self.settings.form {
            Form::Lines(_) | Form::Otlp if rows.is_empty() => return Ok(()),
            Form::Lines(_) | Form::Otlp => {
                let body = self.encoder.batch(&rows)?;
                self.queue.push(&body, rows.len() as u64).context("write")?;
            }
            Form::Findings => {
                let status = fleet.status();
                let standing = status.all().flat_map(standing).collect();
                let told = self.matters.take(findings_of(&rows), standing, time);
                if told.is_empty() {
                    return Ok(());
                }
                let body = self.encoder.findings(&told);
                self.queue.push(&body, told.len() as u64).context("write")?;
            }
            Form::Metrics => {
                let families = metrics::families(&fleet.status());
                for (body, series) in self.encoder.figures(&families, time) {
                    self.queue.push(body.as_bytes(), series as u64).context("write")?;
                }
            }
        }
        let draft = self.folder.join("until.tmp");
        std::fs::write(&draft, time.to_string()).context("write")?;
        std::fs::rename(&draft, self.folder.join("until")).context("write")
    }

    fn figures(&self) {
        let (waiting, waiting_bytes, gone) = self.queue.figures();
        let lost = gone + self.tap.missed();
        self.states.change(self.place, |status| {
            (status.waiting, status.waiting_bytes, status.lost) = (waiting, waiting_bytes, lost);
        });
    }

    fn told(&self, error: &str) {
        self.states.change(self.place, |status| {
            if status.error != error {
                tracing::warn!(sink = status.name, error, "a sink takes no records");
            }
            error.clone_into(&mut status.error);
        });
    }

    /// Gives the oldest batch, if there is one and it is time to; whether another may follow at once.
    async fn give(&mut self) -> bool {
        if self.not_before.is_some_and(|not_before| tokio::time::Instant::now() < not_before) {
            return false;
        }
        let Some((one, path)) = self.queue.front() else { return false };
        match self.deliver(&one, &path).await {
            Ok(()) => {
                (self.failures, self.not_before) = (0, None);
                self.states.change(self.place, |status| {
                    status.sent += one.records;
                    status.error.clear();
                    status.last = Some(now());
                });
                if let Err(error) = self.queue.remove(&one) {
                    // Given again after the next start.
                    self.told(&format!("queue: {error}"));
                }
                self.figures();
                true
            }
            Err(error) => {
                self.told(&format!("{error:#}"));
                let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(6)).min(PAUSE_MAX);
                self.failures += 1;
                self.not_before = Some(tokio::time::Instant::now() + pause);
                false
            }
        }
    }

    async fn deliver(&self, one: &Waiting, path: &Path) -> anyhow::Result<()> {
        let body = tokio::fs::read(path).await.context("read the queue")?;
        let mut headers = vec![
            ("content-type", self.encoder.content_type().to_owned()),
            ("user-agent", format!("sekisho/{}", env!("CARGO_PKG_VERSION"))),
            ("x-sekisho-sink", self.settings.config.name.clone()),
            ("x-sekisho-batch", one.number.to_string()),
        ];
        if let Some(secret) = &self.secret {
            let time_s = now().nanos() / 1_000_000_000;
            let signature = signature(secret, time_s, &body).context("sign")?;
            headers.push(("x-sekisho-timestamp", time_s.to_string()));
            headers.push(("x-sekisho-signature", signature));
        }
        let authorities = self.settings.config.ca.as_deref();
        let giving = self.settings.destination.deliver(Bytes::from(body), &headers, authorities);
        giving.await.map_err(|error| anyhow::anyhow!(sekisho_base::error_chain(&error)))
    }
}

/// `sha256=` and the HMAC (RFC 2104) of the time, a full stop, and the body, hexadecimal: who knows
/// the secret can tell that it is from us, and not an old one.
fn signature(secret: &[u8], time_s: u64, body: &[u8]) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)?;
    mac.update(format!("{time_s}.").as_bytes());
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256={digits}"))
}

/// Works until the server stops; then queues what was taken.
pub(crate) async fn run(mut sink: Sink, fleet: Arc<Fleet>, stop: Stop) {
    let mut stopped = std::pin::pin!(stop.wait());
    // Figures that nobody pushed are gone; edges are in history.
    let mark = sink.mark().filter(|_| sink.settings.form != Form::Metrics);
    if let Some(until) = mark {
        let from = Arc::clone(&fleet);
        let again = tokio::task::spawn_blocking(move || {
            for member in from.members() {
                sink.tap.take_again(member, until, now());
            }
            sink
        });
        match again.await {
            Ok(back) => sink = back,
            Err(_panicked) => return tracing::error!("a sink panicked at its start"),
        }
    }
    loop {
        let (from, is_last) = (Arc::clone(&fleet), stop.is_set());
        // The queue is on disk, and the clusters have their locks.
        let collected = tokio::task::spawn_blocking(move || {
            sink.collect(&from, is_last);
            sink
        });
        match collected.await {
            Ok(back) => sink = back,
            Err(_panicked) => return tracing::error!("a sink panicked; it works no more"),
        }
        if is_last {
            return;
        }
        let giving = async { while sink.give().await {} };
        tokio::select! {
            () = &mut stopped => continue,
            () = giving => {}
        }
        tokio::select! {
            () = &mut stopped => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENSSL: &str = "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";

    #[test]
    fn a_signature_is_of_the_secret_the_time_and_the_body() {
        // Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
        let one = signature(b"key", 1_700_000_000, b"{}").unwrap();
        assert_eq!(one, OPENSSL);
        assert_ne!(one, signature(b"other", 1_700_000_000, b"{}").unwrap());
        assert_ne!(one, signature(b"key", 1_700_000_001, b"{}").unwrap());
        assert_ne!(one, signature(b"key", 1_700_000_000, b"{ }").unwrap());
    }
}
