//! The binary's hidden entry points: `__lab ROLE`, started only by the lab itself.

use std::path::Path;
use std::process::ExitCode;

use crate::{cleanup, exec, node};

/// Runs a hidden role if `args` (the process's arguments, the program's name first) ask for one;
/// otherwise None. A binary that uses the lab calls this before anything else, above all before
/// it starts a thread.
#[must_use]
pub fn internal_main(args: &[String]) -> Option<ExitCode> {
    let mut words = args.iter().skip(1).map(String::as_str);
    if words.next() != Some("__lab") {
        return None;
    }
    // A signal mask is inherited: containers must not be deaf because the binary's threads are.
    nix::sys::signal::SigSet::empty().thread_set_mask().ok();
    let rest: Vec<&str> = words.collect();
    Some(match rest.as_slice() {
        ["kubelet"] => node::kubelet_main(),
        ["pod"] => node::pod_main(),
        ["janitor", state_dir] => cleanup::janitor_main(Path::new(state_dir)),
        ["enter", pid, cgroup, "--", argv @ ..] => exec::enter_main(pid, Path::new(cgroup), argv),
        _ => ExitCode::from(2),
    })
}
