//! Time of a whole process, with what it started.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::run::{self, Ended};

/// How a timed run ended.
pub(super) enum Outcome {
    /// CPU time, user and system, and standard output.
    Done { time: Duration, output: String },
    /// Why it gave no answer.
    Failed(String),
    /// It was ended at the limit; the CPU time that it had used by then.
    TooSlow { time: Duration },
}

/// Runs `command` for at most `limit` of wall-clock time; its standard error is not shown.
///
/// # Errors
/// If it can't be started.
pub(super) fn measure(command: &mut Command, limit: Duration) -> Result<Outcome> {
    let before = children()?;
    let mut output = String::new();
    let ended = run::watch(command.stderr(Stdio::null()), limit, |line| {
        output.push_str(line);
        output.push('\n');
    })?;
    let time = children()?.saturating_sub(before);
    Ok(match ended {
        Ended::Exited(status) if status.success() => Outcome::Done { time, output },
        Ended::Exited(status) => {
            let last = output.lines().last().unwrap_or_default();
            Outcome::Failed(format!("it ended with {status}, {last}"))
        }
        Ended::LeftChildren => Outcome::Failed("it left processes behind".to_owned()),
        Ended::TimedOut => Outcome::TooSlow { time },
    })
}

/// CPU time of all processes that we started and that ended (getrusage(2)).
fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn duration(time: TimeVal) -> Duration {
    let part = |number: i64, unit: fn(u64) -> Duration| unit(u64::try_from(number).unwrap_or(0));
    part(time.tv_sec(), Duration::from_secs) + part(time.tv_usec(), Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_process_and_what_it_started() {
        let script = "sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; echo done";
        let mut shell = run::command("sh");
        let outcome = measure(shell.args(["-c", script]), Duration::from_secs(60)).unwrap();
        let Outcome::Done { time, output } = outcome else { panic!("it ends by itself") };
        assert_eq!(output, "done\n");
        assert!(time > Duration::from_millis(1), "{time:?}");
    }

    #[test]
    fn a_run_beyond_the_limit_is_too_slow_and_a_bad_end_is_a_failure() {
        let run =
            |script: &str, limit| measure(run::command("sh").args(["-c", script]), limit).unwrap();
        let short = Duration::from_millis(200);
        assert!(matches!(run("exec sleep 1000", short), Outcome::TooSlow { .. }));
        let outcome = run("echo because; exit 3", Duration::from_secs(60));
        assert!(matches!(outcome, Outcome::Failed(why) if why.ends_with("because")));
    }
}
