//! The first word of `sekisho workload` decides what runs.

use std::io::Write;
use std::process::ExitCode;

use super::{dns, once, serve, tools};

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
pub(super) fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
