//! Reads what Rust's test harness prints, so that the counts we report are its own.

/// What a test program said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests left out by `#[ignore]`.
    pub(crate) ignored: u64,
    /// Result lines seen; 0 means that the harness did not get to its end.
    pub(crate) results: u64,
    /// Names of failed tests, in order of their end.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Takes one line of output into account.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("test result: ") {
            self.results += 1;
            self.passed += count(summary, "passed");
            self.failed += count(summary, "failed");
            self.ignored += count(summary, "ignored");
        } else if let Some(name) = failed_name(line) {
            self.failures.push(name.to_owned());
        }
    }

    /// Adds another tally to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.results += other.results;
        self.failures.extend(other.failures);
    }
}

/// `test some::name ... FAILED`
fn failed_name(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// The number before `word` in `ok. 5 passed; 0 failed; ...`; 0 if it isn't there.
fn count(summary: &str, word: &str) -> u64 {
    let words = summary.split([' ', ';']).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let found = words.windows(2).find_map(|pair| match pair {
        [number, name] if *name == word => number.parse().ok(),
        _ => None,
    });
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn counts_are_the_harnesss_own() {
        let text = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        let tally = tally(text);
        assert_eq!((tally.passed, tally.failed, tally.ignored, tally.results), (8, 2, 1, 2));
    }

    #[test]
    fn failed_tests_are_named_and_passed_ones_are_not() {
        let tally = tally(
            "test a::b ... ok\ntest c::d ... FAILED\ntest src/lib.rs - x (line 3) ... FAILED",
        );
        assert_eq!(tally.failures, ["c::d", "src/lib.rs - x (line 3)"]);
    }

    #[test]
    fn a_program_that_died_gave_no_result() {
        assert_eq!(tally("running 3 tests\ntest a ... ok\n").results, 0);
    }

    #[test]
    fn only_the_start_of_a_line_counts() {
        assert_eq!(tally("said: test result: ok. 5 passed").passed, 0);
    }
}
