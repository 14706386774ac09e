//! Progress of one source, for people who wait.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often progress is shown, and from when on.
const PROGRESS: Duration = Duration::from_secs(1);

/// Progress of one source, on a terminal only.
pub(super) struct Progress {
    name: String,
    megabytes: u64,
    shown: Instant,
    on: bool,
}

impl Progress {
    pub(super) fn new(name: &str, bytes: u64) -> Self {
        let on = io::stderr().is_terminal();
        Self { name: name.to_owned(), megabytes: bytes / 1_000_000, shown: Instant::now(), on }
    }

    pub(super) fn show(&mut self, lines: u64) {
        if self.on && self.shown.elapsed() >= PROGRESS {
            self.shown = Instant::now();
            eprint_over(&format!("{}: {lines} lines of {} MB", self.name, self.megabytes));
        }
    }

    pub(super) fn clear(&self) {
        if self.on {
            eprint_over("");
        }
    }
}

/// Writes over the line that the cursor is on.
fn eprint_over(text: &str) {
    let mut out = io::stderr().lock();
    // Nobody to tell if standard error is closed.
    write!(out, "\r\x1b[K{text}").and_then(|()| out.flush()).ok();
}
