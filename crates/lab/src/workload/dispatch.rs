//! The first word of `sekisho workload` decides what runs.

use std::io::Write;
use std::process::ExitCode;

use super::{dns, once, serve, tools};

const HELP: &str = "\
A small server and client from which scenarios are made.

sekisho workload [LISTENERS] [--call URL]... [--scrape SECONDS]       serve and call until ended
sekisho workload once --call URL...                                   each call once
sekisho workload dns [--bind ADDRESS] [--wildcard DOMAIN=ADDRESS]...  DNS server
sekisho workload get URL                                              one page to standard output
sekisho workload scan RANGES PORTS [MIN]                              what listens; fails below MIN
sekisho workload exfil HOST:PORT BYTES                                send so many bytes
sekisho workload dnstunnel RESOLVER DOMAIN TEXT                       carry TEXT out in questions

Listeners: --http PORT, --tcp PORT, --udp PORT, --redis PORT, --postgres PORT, --metrics PORT;
--bind ADDRESS limits them to one address. URL: http://, tcp://, udp://, redis:// or postgres://
HOST:PORT; keep+ before it keeps one connection; @5/s or @10/m after it is the rate, once a second
if absent. Exit codes: 0 well; 1 a call failed, or an attack was stopped; 2 wrong usage.";

/// Runs `sekisho workload` with the arguments after that word; returns its exit code: 0 well, 1 a
/// call failed or an attack was stopped, 2 wrong usage.
#[must_use]
pub fn workload_main(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["help" | "--help" | "-h", ..] => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
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
pub(super) fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
