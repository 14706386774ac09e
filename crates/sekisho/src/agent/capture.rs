//! The capture loop: kernel events and policy drops in, batches out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use sekisho_base::Clock;
use sekisho_flow::{Assembler, AssemblerCounters, AssemblerLimits};
use sekisho_inventory::cri::Containers;
use sekisho_model::{Half, HookCounters, Timestamp};
use sekisho_observe::Observer;
use sekisho_system::SystemClock;

use super::deny::DenyReader;
use super::link::Outbox;
use super::state::AgentState;

/// How long one look at the rings may wait for events.
const POLL: Duration = Duration::from_millis(20);
/// A batch is closed at least so often.
const BATCH_PERIOD: Duration = Duration::from_millis(250);
/// A batch without flows still says that the agent lives, so often.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// A batch is closed early at so many halves.
const HALVES_PER_BATCH_MAX: usize = 8_192;

/// One agent's observation.
pub(crate) struct Capture {
    pub(crate) observer: Observer,
    pub(crate) containers: Containers,
    pub(crate) deny: DenyReader,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) state: Arc<AgentState>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Capture {
    /// Runs until `stop`; what is open is reported once more at the end.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let mut assembler = Assembler::new(AssemblerLimits::default());
        let (mut events, mut halves) = (Vec::new(), Vec::new());
        let mut posted = Instant::now();
        loop {
            let stopping = self.stop.load(Ordering::Relaxed);
            self.observer.poll(POLL, &mut events).context("read kernel events")?;
            self.deny.poll(&mut events);
            for event in events.drain(..) {
                assembler.assemble(event, &mut halves);
            }
            let now = Timestamp::from_nanos(SystemClock.now());
            assembler.advance(now, &mut halves);
            if stopping {
                assembler.flush(&mut halves);
            }
            let due = if halves.is_empty() { HEARTBEAT_PERIOD } else { BATCH_PERIOD };
            if stopping || posted.elapsed() >= due || halves.len() >= HALVES_PER_BATCH_MAX {
                posted = Instant::now();
                self.post(&mut halves, assembler.counters(), now);
            }
            if stopping {
                return Ok(());
            }
        }
    }

    fn post(&mut self, halves: &mut Vec<Half>, assembled: AssemblerCounters, now: Timestamp) {
        name_containers(&mut self.containers, halves);
        let mut counters: Vec<HookCounters> = self.observer.counters();
        counters.extend(self.deny.counters());
        counters.push(account(assembled));
        let mut figures = figures(assembled);
        figures.extend(container_figures(&self.containers));
        self.state.note_assembler(figures);
        self.state.note_drops(self.observer.drops());
        let mut rest = std::mem::take(halves);
        while rest.len() > HALVES_PER_BATCH_MAX {
            let tail = rest.split_off(HALVES_PER_BATCH_MAX);
            self.outbox.post(rest, counters.clone(), now);
            rest = tail;
        }
        self.outbox.post(rest, counters, now);
    }
}

/// Tells of each process which container it runs in. The question may wait for the runtime; events
/// wait in their rings meanwhile.
fn name_containers(containers: &mut Containers, halves: &mut [Half]) {
    let now = Instant::now();
    for half in halves {
        let Half::Flow(flow) = half else { continue };
        if let Some(process) = &mut flow.process {
            process.container = containers.of_cgroup(&flow.cgroup, now);
        }
    }
}

fn container_figures(containers: &Containers) -> Vec<(String, u64)> {
    let counts = containers.counts();
    let figures = [
        ("containers", counts.known as u64),
        ("container_questions", counts.asked),
        ("container_questions_failed", counts.failed),
        ("containers_missed", counts.missed),
    ];
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The assembler as a hook, so that what it lets go lowers completeness: each connection that it
/// forgot before its end stands for the reports that can't follow.
fn account(counters: AssemblerCounters) -> HookCounters {
    HookCounters {
        hook: "assembler".to_owned(),
        produced: counters.halves.saturating_add(counters.connections_evicted),
        delivered: counters.halves,
        dropped: counters.connections_evicted,
    }
}

/// All that the assembler tells, by name.
fn figures(counters: AssemblerCounters) -> Vec<(String, u64)> {
    let named = [
        ("events", counters.events),
        ("halves", counters.halves),
        ("duplicates", counters.duplicates),
        ("late", counters.late),
        ("connections_evicted", counters.connections_evicted),
        ("processes_evicted", counters.processes_evicted),
        ("names_evicted", counters.names_evicted),
        ("answers_truncated", counters.answers_truncated),
        ("connections", counters.connections as u64),
        ("processes", counters.processes as u64),
        ("names", counters.names as u64),
    ];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_the_assembler_forgot_are_a_loss_that_adds_up() {
        let counters =
            AssemblerCounters { halves: 7, connections_evicted: 2, ..AssemblerCounters::default() };
        let account = account(counters);
        assert_eq!((account.produced, account.delivered, account.dropped), (9, 7, 2));
    }
}
