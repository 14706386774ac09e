//! Who ran under a pid at a time.
//!
//! A process that ended is kept for a minute, because the kernel reports the close of its sockets
//! after its exit; a pid whose program changed (exec, or reuse) keeps its previous program.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sekisho_model::{Process, ProcessExec, Timestamp};

/// How long an ended process is remembered, seconds.
const ENDED_KEPT_S: u64 = 60;

/// pid -> program, bounded.
#[derive(Debug)]
pub(super) struct Processes {
    max: usize,
    by_pid: BTreeMap<u32, Entry>,
    /// (serial, pid) in order of start; entries replaced since are stale and skipped.
    started: VecDeque<(u64, u32)>,
    /// (time of exit, serial, pid) in order of arrival.
    ended: VecDeque<(Timestamp, u64, u32)>,
    serial: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    from: Timestamp,
    process: Arc<Process>,
    previous: Option<Arc<Process>>,
}

impl Processes {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            by_pid: BTreeMap::new(),
            started: VecDeque::new(),
            ended: VecDeque::new(),
            serial: 0,
            evicted: 0,
        }
    }

    pub(super) fn start(&mut self, exec: ProcessExec) {
        self.serial += 1;
        let process = Arc::new(exec.process);
        let previous = match self.by_pid.get_mut(&exec.pid) {
            // Records of two CPUs may overtake each other: the later program stays.
            Some(entry) if exec.time < entry.from => {
                entry.previous = Some(process);
                return;
            }
            Some(entry) if *entry.process == *process => entry.previous.take(),
            Some(entry) => Some(Arc::clone(&entry.process)),
            None => None,
        };
        let entry = Entry { serial: self.serial, from: exec.time, process, previous };
        self.by_pid.insert(exec.pid, entry);
        self.started.push_back((self.serial, exec.pid));
        self.bound();
    }

    pub(super) fn end(&mut self, time: Timestamp, pid: u32) {
        if let Some(entry) = self.by_pid.get(&pid)
            && entry.from <= time
        {
            self.ended.push_back((time, entry.serial, pid));
        }
    }

    /// Who `pid` was at `at`: the program before the current one if that started later.
    pub(super) fn at(&self, pid: u32, at: Timestamp) -> Option<&Arc<Process>> {
        let entry = self.by_pid.get(&pid)?;
        if at < entry.from {
            return entry.previous.as_ref().or(Some(&entry.process));
        }
        Some(&entry.process)
    }

    pub(super) fn forget_ended(&mut self, now: Timestamp) {
        let horizon = now.minus_seconds(ENDED_KEPT_S);
        while let Some(&(time, serial, pid)) = self.ended.front() {
            if time > horizon {
                break;
            }
            self.ended.pop_front();
            if self.by_pid.get(&pid).is_some_and(|entry| entry.serial == serial) {
                self.by_pid.remove(&pid);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_pid.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Evicts ended processes first, then those that started first; sheds stale queue entries.
    fn bound(&mut self) {
        while self.by_pid.len() > self.max {
            let oldest = match self.ended.pop_front() {
                Some((_, serial, pid)) => Some((serial, pid)),
                None => self.started.pop_front(),
            };
            let Some((serial, pid)) = oldest else { break };
            if self.by_pid.get(&pid).is_some_and(|entry| entry.serial == serial) {
                self.by_pid.remove(&pid);
                self.evicted += 1;
            }
        }
        if self.started.len() > self.max.saturating_mul(2).max(1_024) {
            let by_pid = &self.by_pid;
            self.started.retain(|(serial, pid)| {
                by_pid.get(pid).is_some_and(|entry| entry.serial == *serial)
            });
        }
    }
}
