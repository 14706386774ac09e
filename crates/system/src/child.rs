//! Ending a program that we started: politely first.

use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// Sends SIGTERM, waits at most `grace`, then SIGKILL; returns how it ended, None if the kernel
/// would not say.
pub fn terminate(child: &mut Child, grace: Duration) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended by itself in between; the wait below tells.
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    }
    if let Some(status) = wait::until(grace, || child.try_wait().transpose()) {
        return status.ok();
    }
    child.kill().ok();
    child.wait().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::prepare;

    #[test]
    fn a_polite_program_ends_by_the_first_signal() {
        let mut child = prepare("sleep").arg("1000").spawn().unwrap();
        let status = terminate(&mut child, Duration::from_secs(20)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[test]
    fn a_deaf_program_is_killed() {
        let mut child =
            prepare("sh").args(["-c", "trap '' TERM; while :; do sleep 1; done"]).spawn().unwrap();
        // The trap must be set before the signal comes.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        assert!(status.is_ok());
        let deaf = wait::until(Duration::from_secs(20), || {
            let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
            let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:\t"))?.to_owned();
            (u64::from_str_radix(&mask, 16).ok()? & (1 << 14) != 0).then_some(())
        });
        assert!(deaf.is_some());
        let status = terminate(&mut child, Duration::from_millis(200)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
