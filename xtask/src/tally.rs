//! How many tests passed and failed, read from what the test runner says at its end.

use std::fmt;
use std::ops::AddAssign;

/// Counts of tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed, timed out or could not be started.
    pub(crate) failed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The counts in nextest's closing line, `Summary [   1.234s] 3 tests run: 2 passed, 1 failed, 0 skipped`.
pub(crate) fn of_nextest(stderr: &[String]) -> Option<Tally> {
    let mut summaries = stderr.iter().map(|line| without_colour(line));
    let last = summaries.rfind(|line| line.trim_start().starts_with("Summary ["))?;
    let (_, counts) = last.split_once(" run: ")?;
    let mut tally = Tally::default();
    for (count, word) in counts.split(',').filter_map(counted) {
        match word {
            "passed" => tally.passed += count,
            "failed" | "timed" | "exec" => tally.failed += count,
            _ => {}
        }
    }
    Some(tally)
}

/// The sum of the closing lines of libtest, `test result: ok. 3 passed; 0 failed; 0 ignored; ...`, one per program.
pub(crate) fn of_libtest(stdout: &[String]) -> Option<Tally> {
    let results = stdout
        .iter()
        .filter_map(|line| line.strip_prefix("test result: "));
    let mut sum = None;
    for line in results {
        let (_, counts) = line.split_once(". ")?;
        let tally = sum.get_or_insert_with(Tally::default);
        for (count, word) in counts.split(';').filter_map(counted) {
            match word {
                "passed" => tally.passed += count,
                "failed" => tally.failed += count,
                _ => {}
            }
        }
    }
    sum
}

fn counted(part: &str) -> Option<(u64, &str)> {
    let mut words = part.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?))
}

fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            chars.by_ref().find(|end| end.is_ascii_alphabetic());
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_summaries_are_read() {
        let output = lines(
            "    Starting 4 tests\n------\n     Summary [   0.1s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 7 skipped",
        );
        assert_eq!(of_nextest(&output), Some(Tally { passed: 2, failed: 2 }));
        let coloured = lines(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m passed, 0 skipped",
        );
        assert_eq!(of_nextest(&coloured), Some(Tally { passed: 1, failed: 0 }));
        assert_eq!(of_nextest(&lines("error: could not compile")), None);
    }

    #[test]
    fn libtest_results_are_summed() {
        let output = lines(
            "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\ntest result: FAILED. 1 passed; 2 failed; 0 ignored",
        );
        assert_eq!(of_libtest(&output), Some(Tally { passed: 4, failed: 2 }));
        assert_eq!(of_libtest(&lines("error: could not compile")), None);
    }
}
