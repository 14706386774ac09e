//! Runs programs: streamed, captured, line by line with a time limit, or in our own place.
//!
//! Children stay in our process group, so that Ctrl-C reaches them as it reaches us.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a program's output may stay open after its end: what holds it is a leaked child.
const LINGER: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// How a watched program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It outlived the limit and was killed.
    TimedOut,
    /// By itself, but a child that it left behind still holds its output.
    LeftChildren,
}

/// A command line, ready to run.
#[expect(clippy::disallowed_methods, reason = "the one place of xtask that starts programs")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// Runs `command` with our own input and output.
///
/// # Errors
/// If it can't start or its exit code is not 0.
pub(crate) fn stream(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns its standard output; standard error is ours.
///
/// # Errors
/// If it can't start or its exit code is not 0.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` and says nothing, unless it fails.
///
/// # Errors
/// With what it wrote to standard error, if it can't start or its exit code is not 0.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start `{}`", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", shown(command), output.status, said.trim_end());
    }
    Ok(())
}

/// True if `command` can be started and ends well; says nothing.
pub(crate) fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Becomes `command`: signals, exit code and terminal are the child's own. Returns only the error.
pub(crate) fn replace(command: &mut Command) -> anyhow::Error {
    let cause = command.exec();
    anyhow::Error::new(cause).context(format!("start `{}`", shown(command)))
}

/// Runs `command`, hands each line of its standard output to `on_line`, and kills it after
/// `limit`.
///
/// # Errors
/// If it can't start or be waited for.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{}`", shown(command)))?;
    // Bounded: a child that prints faster than we do waits, as on any pipe.
    let (sender, receiver) = mpsc::sync_channel::<String>(1024);
    if let Some(pipe) = child.stdout.take() {
        thread::spawn(move || forward(pipe, &sender));
    }
    let deadline = Instant::now() + limit;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Exited(child.wait()?)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((_, at)) if at.elapsed() > LINGER => return Ok(Ended::LeftChildren),
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                return Ok(Ended::TimedOut);
            }
            Some(_) | None => {}
        }
    }
}

fn forward(pipe: impl std::io::Read, sender: &mpsc::SyncSender<String>) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    // A test may print anything: invalid UTF-8 is shown as such, never an end of reading.
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
        bytes.clear();
        if sender.send(line).is_err() {
            return;
        }
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{} ...", text.split_at(at).0),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(script: &str, limit: Duration) -> (Ended, Vec<String>) {
        let mut lines = Vec::new();
        let mut shell = command("sh");
        let ended = watch(shell.args(["-c", script]), limit, |line| lines.push(line.to_owned()));
        (ended.unwrap(), lines)
    }

    #[test]
    fn every_line_arrives_and_the_exit_code_too() {
        let (ended, lines) = watched("echo one; echo two; exit 3", Duration::from_secs(20));
        assert_eq!(lines, ["one", "two"]);
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_the_limit() {
        let (ended, lines) = watched("echo one; exec sleep 1000", Duration::from_millis(300));
        assert_eq!((ended, lines.len()), (Ended::TimedOut, 1));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_reading() {
        let (_, lines) = watched("printf '\\377\\n'; echo two", Duration::from_secs(20));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = stream(command("sh").args(["-c", "exit 4"])).unwrap_err();
        assert!(error.to_string().contains("sh -c exit 4"), "{error}");
    }
}
