//! What something costs.

use std::time::Instant;

/// Time spent on something: on the clock, and by this thread on a processor. On a busy machine only
/// the second says what the work costs.
#[derive(Default)]
pub(crate) struct Spent {
    all_s: f64,
    cpu_s: f64,
}

impl Spent {
    /// Does `work` and counts it.
    pub(crate) fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (start, cpu) = (Instant::now(), cpu_s());
        let result = work();
        self.all_s += start.elapsed().as_secs_f64();
        self.cpu_s += cpu_s() - cpu;
        result
    }

    /// What it was, how long, and how many of `unit` in a second.
    pub(crate) fn line(&self, what: &str, count: usize, unit: &str) -> String {
        let Self { all_s, cpu_s } = self;
        let rate = |seconds: f64| (count as f64 / seconds.max(1e-9)).round();
        let (all, cpu) = (rate(*all_s), rate(*cpu_s));
        format!(
            "{what:<14}{all_s:6.3} s  cpu {cpu_s:6.3} s  {all:>9} {unit}/s  cpu {cpu:>9} {unit}/s"
        )
    }
}

/// Seconds this thread has run (linux v6.18 Documentation/scheduler/sched-stats.rst); 0 if unknown.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    nanos / 1e9
}
