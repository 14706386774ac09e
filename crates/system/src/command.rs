//! Runs a program with a deadline and says clearly how it failed.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::wait;

/// What a program printed. The exit status was 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

/// A program could not be run, failed, or did not end in time.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program is not there or may not be executed.
    #[error("start `{program}`")]
    Start {
        /// First word of the command line.
        program: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It ended with an exit code other than 0, or by a signal.
    #[error("`{command}` ended with {status}: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last 2,000 characters of standard error.
        stderr: String,
    },
    /// It was killed at the deadline.
    #[error("`{command}` did not end within {seconds} s and was killed")]
    Timeout {
        /// The command line.
        command: String,
        /// The deadline.
        seconds: u64,
    },
}

/// Runs `argv` with `stdin` as standard input and waits for its end, at most `timeout`.
///
/// # Errors
/// [`CommandError`] if it can't start, fails, or outlives the timeout.
pub fn run(argv: &[&str], stdin: &str, timeout: Duration) -> Result<Output, CommandError> {
    let mut child = start(argv)?;
    let feeder = child.stdin.take().map(|mut pipe| {
        let text = stdin.to_owned();
        // A program may end without reading its input: the broken pipe is its choice.
        thread::spawn(move || pipe.write_all(text.as_bytes()).ok())
    });
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || read_all(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || read_all(pipe)));
    let status = wait::until(timeout, || child.try_wait().transpose());
    let Some(status) = status else {
        child.kill().ok();
        child.wait().ok();
        return Err(CommandError::Timeout { command: argv.join(" "), seconds: timeout.as_secs() });
    };
    let status = status.map_err(|cause| start_error(argv, cause))?;
    if let Some(feeder) = feeder {
        feeder.join().ok();
    }
    let output = Output { stdout: joined(stdout), stderr: joined(stderr) };
    if status.success() {
        return Ok(output);
    }
    let skip = output.stderr.chars().count().saturating_sub(2_000);
    let stderr = output.stderr.trim_end().chars().skip(skip).collect();
    Err(CommandError::Failed { command: argv.join(" "), status, stderr })
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
fn start(argv: &[&str]) -> Result<Child, CommandError> {
    let (program, arguments) = argv.split_first().unwrap_or((&"", &[]));
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| start_error(argv, cause))
}

fn start_error(argv: &[&str], cause: std::io::Error) -> CommandError {
    CommandError::Start { program: argv.first().copied().unwrap_or_default().to_owned(), cause }
}

fn read_all(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is still worth showing.
    pipe.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn joined(reader: Option<thread::JoinHandle<String>>) -> String {
    reader.and_then(|handle| handle.join().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_reaches_the_program_and_output_comes_back() {
        let output = run(&["cat"], "hello", Duration::from_secs(20)).unwrap();
        assert_eq!(output.stdout, "hello");
    }

    #[test]
    fn a_failure_carries_the_programs_own_words() {
        let error = run(&["sh", "-c", "echo why >&2; exit 3"], "", Duration::from_secs(20));
        assert!(error.unwrap_err().to_string().contains("why"));
    }

    #[test]
    fn a_program_that_never_ends_is_killed() {
        let error = run(&["sleep", "1000"], "", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, CommandError::Timeout { .. }));
    }
}
