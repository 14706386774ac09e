//! Which program each process runs.
//!
//! A program start tells it; a forked worker that never starts a program of its own inherits its
//! parent's. Ended processes are remembered for a while, because a child's record may come after
//! its parent's end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sekisho_model::Process;

use crate::wire;

/// How long an ended process is remembered.
const KEEP_ENDED_NS: u64 = 60_000_000_000;
/// Processes remembered; beyond it the ended ones are forgotten at once.
const PROCESSES_MAX: usize = 65_536;

#[derive(Debug)]
struct Known {
    exe: String,
    ended_ns: Option<u64>,
}

/// pid -> executable.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    known: BTreeMap<u32, Known>,
    purged_ns: u64,
}

/// A process found in /proc.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) process: Process,
}

impl Processes {
    pub(crate) fn started(&mut self, pid: u32, exe: &str) {
        self.known.insert(pid, Known { exe: exe.to_owned(), ended_ns: None });
    }

    /// The program of a process that was forked, best source first.
    pub(crate) fn forked(&mut self, task: &wire::Task) -> String {
        let pid = task.header.pid;
        let exe = self
            .alive(task.parent)
            .or_else(|| read_exe(pid))
            .or_else(|| self.known.get(&task.parent).map(|known| known.exe.clone()))
            .unwrap_or_default();
        self.started(pid, &exe);
        exe
    }

    pub(crate) fn ended(&mut self, pid: u32, now_ns: u64) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.ended_ns = Some(now_ns);
        }
        let late = now_ns.saturating_sub(self.purged_ns) > KEEP_ENDED_NS;
        if late || self.known.len() > PROCESSES_MAX {
            let keep = if self.known.len() > PROCESSES_MAX { 0 } else { KEEP_ENDED_NS };
            self.known.retain(|_, known| {
                known.ended_ns.is_none_or(|ended| now_ns.saturating_sub(ended) < keep)
            });
            self.purged_ns = now_ns;
        }
    }

    fn alive(&self, pid: u32) -> Option<String> {
        let known = self.known.get(&pid)?;
        (known.ended_ns.is_none() && !known.exe.is_empty()).then(|| known.exe.clone())
    }
}

/// The processes in a cgroup folder, without those of the folders below it.
pub(crate) fn in_folder(folder: &Path) -> Vec<Found> {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process outside our pid namespace.
    list.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != 0)
        .filter_map(find)
        .collect()
}

/// None if the process has just ended, or is a kernel thread.
fn find(pid: u32) -> Option<Found> {
    let exe = read_exe(pid)?;
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let number = |name| field(name)?.split_whitespace().next()?.parse::<u32>().ok();
    let comm = field("Name:").unwrap_or_default().trim().to_owned();
    let uid = number("Uid:")?;
    Some(Found {
        pid,
        parent: number("PPid:")?,
        process: Process { exe, comm, uid, container: None },
    })
}

fn read_exe(pid: u32) -> Option<String> {
    let target = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = target.to_string_lossy();
    Some(text.strip_suffix(" (deleted)").unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: u32, parent: u32) -> wire::Task {
        let header = wire::Header {
            version: wire::VERSION,
            kind: wire::KIND_TASK,
            hook: 0,
            flags: 0,
            pid,
            time_ns: 0,
            cgroup_id: 0,
        };
        wire::Task { header, parent, uid: 0, comm: [0; 16] }
    }

    // Beyond the kernel's PID_MAX_LIMIT, so that /proc never has it.
    const NOBODY: u32 = 5_000_000;

    #[test]
    fn a_forked_worker_runs_its_parents_program() {
        let mut processes = Processes::default();
        processes.started(NOBODY, "/usr/sbin/server");
        assert_eq!(processes.forked(&task(NOBODY + 1, NOBODY)), "/usr/sbin/server");
        assert_eq!(processes.forked(&task(NOBODY + 9, NOBODY + 8)), "");
    }

    #[test]
    fn an_ended_parent_is_remembered_for_a_minute_only() {
        let mut processes = Processes::default();
        processes.started(NOBODY, "/bin/a");
        processes.ended(NOBODY, 70_000_000_000);
        assert_eq!(processes.forked(&task(NOBODY + 1, NOBODY)), "/bin/a");
        processes.ended(NOBODY + 1, 140_000_000_000);
        assert_eq!(processes.forked(&task(NOBODY + 2, NOBODY)), "");
    }

    #[test]
    fn this_very_process_is_found_in_proc() {
        let found = find(std::process::id()).unwrap();
        assert_eq!(found.process.exe, std::env::current_exe().unwrap().to_string_lossy());
    }
}
