//! Runs named steps, remembers how long each took and how it ended, and prints the table.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::libtest::Tally;

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rows: Vec<Row>,
    tally: Tally,
}

#[derive(Debug)]
struct Row {
    name: String,
    took: Duration,
    ended: Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Done(String),
    Failed(String),
    LeftOut(String),
}

impl Steps {
    /// Runs a step that only succeeds or fails. Returns true if it succeeded; a failure is shown
    /// and remembered, and the next step may still run.
    pub(crate) fn check(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> bool {
        self.run(name, || step().map(|()| Tally::default()))
    }

    /// Runs a step that runs tests; its counts go into the sum.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Tally>) -> bool {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step();
        let took = start.elapsed();
        let ended = match outcome {
            Ok(tally) => {
                let ended = judged(&tally);
                self.tally.add(tally);
                ended
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                Ended::Failed(format!("{error:#}"))
            }
        };
        let fine = !matches!(ended, Ended::Failed(_));
        self.rows.push(Row { name: name.to_owned(), took, ended });
        fine
    }

    /// Notes that a step does not run, and why.
    pub(crate) fn leave_out(&mut self, name: &str, why: &str) {
        println!("\n=== {name}: left out, {why}");
        let ended = Ended::LeftOut(why.to_owned());
        self.rows.push(Row { name: name.to_owned(), took: Duration::ZERO, ended });
    }

    /// Prints the table and, last, the harness's counts added up.
    ///
    /// # Errors
    /// If a step failed, a test failed, or no test ran at all.
    pub(crate) fn finish(self) -> Result<()> {
        println!("{}", self.table());
        let Tally { passed, failed, .. } = self.tally;
        let broken = self.broken();
        if broken.is_empty() {
            println!("{passed} passed, {failed} failed");
        } else {
            println!("{passed} passed, {failed} failed; steps that failed: {}", broken.join(", "));
        }
        if !broken.is_empty() || failed > 0 {
            bail!("see the table above");
        }
        Ok(())
    }

    fn broken(&self) -> Vec<&str> {
        let failed = self.rows.iter().filter(|row| matches!(row.ended, Ended::Failed(_)));
        failed.map(|row| row.name.as_str()).collect()
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut text = String::from("\n");
        for Row { name, took, ended } in &self.rows {
            let seconds = took.as_secs_f64();
            let (word, detail) = match ended {
                Ended::Done(detail) => ("ok", detail),
                Ended::Failed(detail) => ("FAILED", detail),
                Ended::LeftOut(detail) => ("left out", detail),
            };
            let line =
                format!("{name:<width$}  {seconds:>7.1} s  {word:<8}  {}", first_line(detail));
            // Writing to a String cannot fail.
            writeln!(text, "{}", line.trim_end()).ok();
        }
        for name in &self.tally.failures {
            writeln!(text, "failed test: {name}").ok();
        }
        text
    }
}

fn judged(tally: &Tally) -> Ended {
    let Tally { passed, failed, ignored, results, .. } = tally;
    let ignored = if *ignored == 0 { String::new() } else { format!(", {ignored} ignored") };
    match (results, failed) {
        (0, 0) => Ended::Done(String::new()),
        (_, 0) => Ended::Done(format!("{passed} passed{ignored}")),
        _ => Ended::Failed(format!("{passed} passed, {failed} failed{ignored}")),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn tests(passed: u64, failed: u64) -> Result<Tally> {
        Ok(Tally { passed, failed, results: 1, ..Tally::default() })
    }

    #[test]
    fn all_steps_fine_is_success_and_the_sum_is_of_all() {
        let mut steps = Steps::default();
        assert!(steps.run("unit", || tests(3, 0)));
        assert!(steps.run("lab", || tests(4, 0)));
        assert_eq!(steps.tally.passed, 7);
        assert!(steps.finish().is_ok());
    }

    #[test]
    fn a_failed_test_is_a_failed_run() {
        let mut steps = Steps::default();
        assert!(!steps.run("unit", || tests(3, 1)));
        assert!(steps.finish().is_err());
    }

    #[test]
    fn a_failed_check_is_a_failed_run_even_if_all_tests_pass() {
        let mut steps = Steps::default();
        assert!(!steps.check("tidy", || Err(anyhow!("3 findings"))));
        assert!(steps.run("unit", || tests(3, 0)));
        assert_eq!(steps.broken(), ["tidy"]);
        assert!(steps.finish().is_err());
    }

    #[test]
    fn the_table_says_what_was_left_out_and_why() {
        let mut steps = Steps::default();
        steps.leave_out("lab", "--quick");
        assert!(steps.table().contains("left out  --quick"), "{}", steps.table());
    }
}
