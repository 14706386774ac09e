//! `sekisho workload`: a small server and client from which scenarios are made.
//!
//! ```text
//! sekisho workload [LISTENERS] [--call URL@RATE]... [--scrape SECONDS]   serve and call
//! sekisho workload once --call URL...                                   each call once
//! sekisho workload dns [--bind ADDRESS] [--wildcard DOMAIN=ADDRESS]...  DNS server
//! sekisho workload get URL | scan TARGETS PORTS [MIN] | exfil HOST:PORT BYTES
//! sekisho workload dnstunnel RESOLVER DOMAIN TEXT
//! ```
//! Listeners: `--http PORT`, `--tcp PORT`, `--udp PORT`, `--redis PORT`, `--postgres PORT`,
//! `--metrics PORT`, all on `--bind ADDRESS` (default: all addresses of both families).
//! A URL is `http://`, `tcp://`, `udp://`, `redis://` or `postgres://` host:port; `keep+` before it
//! keeps one connection; `@5/s`, `@10/m` after it is the rate (default once a second).

mod args;
mod call;
mod dns;
mod dns_wire;
mod metrics;
mod once;
mod scrape;
mod serve;
mod tools;
mod url;

use std::io::Write;
use std::process::ExitCode;

/// Runs `sekisho workload` with the arguments after that word; returns its exit code: 0 well, 1 a
/// call failed or an attack was stopped, 2 wrong usage.
#[must_use]
pub fn workload_main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["dns", rest @ ..] => dns::run(rest),
        ["once", rest @ ..] => once::run(rest),
        ["get", url] => tools::get(url),
        ["scan", targets, ports] => tools::scan(targets, ports, "1"),
        ["scan", targets, ports, least] => tools::scan(targets, ports, least),
        ["exfil", target, bytes] => tools::exfil(target, bytes),
        ["dnstunnel", resolver, domain, text] => tools::dnstunnel(resolver, domain, text),
        rest => serve::run(rest),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            // Standard error is the container's log, or the terminal of who typed the command.
            writeln!(std::io::stderr(), "error: {message}").ok();
            ExitCode::from(2)
        }
    }
}

/// Prints a line to standard output; a closed pipe is the reader's choice.
fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
