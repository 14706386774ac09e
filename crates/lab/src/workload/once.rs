//! `once`: does each call once and ends; for Jobs and CronJobs.

use std::process::ExitCode;

use super::args::Args;
use super::call::Caller;
use super::say;

/// Exit code 0 if all calls went well, 1 if one did not.
pub(super) fn run(words: &[&str]) -> Result<ExitCode, String> {
    let args = Args::parse(words)?;
    if args.calls.is_empty() {
        return Err("`once` needs `--call URL`".to_owned());
    }
    let mut failed = false;
    for url in args.calls {
        let name = url.to_string();
        match Caller::new(url).call() {
            Ok(()) => say(&format!("{name}: ok")),
            Err(why) => {
                failed = true;
                say(&format!("{name}: {why}"));
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
