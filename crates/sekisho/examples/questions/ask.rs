//! Asks over HTTP, and takes the time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, bail};
use sekisho_model::Timestamp;

const TIMES: u64 = 7;
const DAY_S: u64 = 86_400;

/// Who asks a server about one day.
pub(crate) struct Asker {
    address: String,
    token: String,
    start_s: u64,
}

impl Asker {
    pub(crate) fn new(console: &str, token: String, start_s: u64) -> Self {
        let address = console.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { address, token, start_s }
    }

    /// Asks several times about the last of `days`; each time for a second more, since the same answer is
    /// given for a second.
    pub(crate) fn measure(&self, name: &str, path: &str, days: u64) -> anyhow::Result<String> {
        let join = if path.contains('?') { '&' } else { '?' };
        let mut bytes = 0;
        let mut ask = |more| {
            let path = format!("{path}{join}{}", self.window(days, more));
            bytes = self.ask("GET", &path, "")?.len();
            Ok(())
        };
        times(name, &mut ask).map(|line| format!("{line}, {} KiB", bytes / 1024))
    }

    /// The what-if of what is recommended.
    pub(crate) fn what_if(&self, name: &str, namespaces: &str) -> anyhow::Result<String> {
        let path = format!("/recommendations?format=yaml{namespaces}&{}", self.window(1, 0));
        let began = Instant::now();
        let yaml = self.ask("GET", &path, "")?;
        let recommended = began.elapsed();
        let body = serde_json::json!({
            "files": [{ "name": "a.yaml", "text": yaml }],
            "since": time(self.start_s),
        });
        let body = body.to_string();
        let mut ask = |_| self.ask("POST", "/what-if", &body).map(|_answer| ());
        let line = times(name, &mut ask)?;
        let policies = yaml.matches("\nkind: NetworkPolicy").count();
        Ok(format!("{line}, {policies} policies (recommended in {} ms)", recommended.as_millis()))
    }

    /// So many days up to the end of the last one, and some seconds more.
    fn window(&self, days: u64, more_s: u64) -> String {
        let end_s = self.start_s + DAY_S;
        format!("from={}&to={}", time(end_s - days * DAY_S), time(end_s + more_s))
    }

    /// The body of an answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        let Self { address, token, .. } = self;
        let path = path.replace('[', "%5B").replace(']', "%5D");
        let length = body.len();
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("{method} {path}: {text}");
        }
        Ok(body.to_owned())
    }
}

fn time(second: u64) -> String {
    Timestamp::from_seconds(second).to_string()
}

/// The first time, and the median of those after it.
pub(crate) fn times(
    name: &str,
    ask: &mut dyn FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut spent = Vec::new();
    for more in 0..TIMES {
        let began = Instant::now();
        ask(more).with_context(|| name.to_owned())?;
        spent.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let first = spent.first().copied().unwrap_or_default();
    let mut again = spent.split_off(1);
    again.sort_by(f64::total_cmp);
    let median = again.get(again.len() / 2).copied().unwrap_or_default();
    Ok(format!("{name:<34} {median:7.1} ms, first {first:7.1} ms"))
}
