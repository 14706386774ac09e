//! The loss account of each hook: produced = delivered + dropped, once the rings are drained.

use aya::maps::{MapData, PerCpuArray};
use sekisho_model::HookCounters;

/// Names of the hooks, by their number on the wire.
pub(crate) const HOOKS: [&str; 7] =
    ["tcp_state", "tcp_sample", "udp", "dns", "process", "cgroup", "drop"];

/// Produced and dropped, as in `struct hook_counters`.
type KernelCounters = PerCpuArray<MapData, [u64; 2]>;

/// Kernel counters per CPU, and what user space did with the records.
pub(crate) struct Counters {
    kernel: KernelCounters,
    delivered: [u64; HOOKS.len()],
    undecodable: [u64; HOOKS.len()],
}

impl Counters {
    pub(crate) fn new(kernel: KernelCounters) -> Self {
        Self { kernel, delivered: [0; HOOKS.len()], undecodable: [0; HOOKS.len()] }
    }

    /// Counts one record taken from a ring, by whether it could be decoded. A record whose hook
    /// is unknown is counted nowhere: such a one is of no kernel program of ours.
    pub(crate) fn took(&mut self, hook: Option<u8>, decoded: bool) {
        let column = if decoded { &mut self.delivered } else { &mut self.undecodable };
        if let Some(count) = hook.and_then(|hook| column.get_mut(usize::from(hook))) {
            *count = count.saturating_add(1);
        }
    }

    /// The account now. A hook whose counters can't be read shows what user space knows.
    pub(crate) fn read(&self) -> Vec<HookCounters> {
        let hooks = HOOKS.iter().zip(self.delivered.iter().zip(&self.undecodable));
        (0_u32..)
            .zip(hooks)
            .map(|(index, (hook, (delivered, undecodable)))| {
                let (mut produced, mut dropped) = (0_u64, *undecodable);
                if let Ok(values) = self.kernel.get(&index, 0) {
                    for [cpu_produced, cpu_dropped] in values.iter() {
                        produced = produced.saturating_add(*cpu_produced);
                        dropped = dropped.saturating_add(*cpu_dropped);
                    }
                }
                HookCounters { hook: (*hook).to_owned(), produced, delivered: *delivered, dropped }
            })
            .collect()
    }
}
