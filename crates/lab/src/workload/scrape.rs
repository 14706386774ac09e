//! A metrics scraper: visits every pod that asks for it, as Prometheus does.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sekisho_system::wait;
use serde::Deserialize;

use super::call::{connect, http_get};
use super::metrics::Metrics;
use super::url::{Scheme, Url};
use crate::{SHARED_INSIDE, TARGETS_FILE};

#[derive(Deserialize)]
struct Target {
    pod: String,
    address: SocketAddr,
}

/// Scrapes all targets again and again; the list is read anew each time.
pub(super) fn forever(every: Duration, metrics: &Metrics) {
    let path = Path::new(SHARED_INSIDE).join(TARGETS_FILE);
    let mut due = Instant::now();
    loop {
        wait::pause_for(due.saturating_duration_since(Instant::now()));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let targets: Vec<Target> = serde_json::from_str(&text).unwrap_or_default();
        for target in targets {
            metrics.call("scrape", scrape(&target));
        }
        due = (due + every).max(Instant::now());
    }
}

fn scrape(target: &Target) -> Result<(), String> {
    let url = Url {
        scheme: Scheme::Http,
        host: target.address.ip().to_string(),
        port: target.address.port(),
        path: "/metrics".to_owned(),
        keep: false,
        every: Duration::from_secs(1),
    };
    let named = |error: String| format!("{}: {error}", target.pod);
    let mut stream = connect(&url).map_err(named)?;
    let (status, _) = http_get(&mut stream, &url).map_err(|error| named(error.to_string()))?;
    if status == 200 { Ok(()) } else { Err(named(format!("status {status}"))) }
}
