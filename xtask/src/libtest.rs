//! Owns the reading of what a Rust test program prints (libtest's plain format, one test at a time)
//! and the adding up of its results.

/// What one or several test programs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were ignored.
    pub(crate) skipped: u64,
    /// Their names.
    pub(crate) failures: Vec<String>,
    /// Names of the ignored with their reasons.
    pub(crate) skips: Vec<String>,
}

impl Report {
    /// Adds another report to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
    }

    /// A failure that is no test of its own: a build, a program that died.
    pub(crate) fn add_failure(&mut self, name: String) {
        self.failed += 1;
        self.failures.push(name);
    }
}

/// Reads the output of one child line by line. A child may run several test programs (doc tests
/// do), each of which ends with a result line.
pub(crate) struct Reader {
    /// Goes before every test's name.
    program: String,
    /// Of programs that came to their result line.
    report: Report,
    /// Of the program that runs now, from its single lines.
    open: Report,
    /// The test whose outcome has not been printed.
    running: Option<String>,
    result_lines: u32,
}

impl Reader {
    /// A reader for the child of that name.
    pub(crate) fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            report: Report::default(),
            open: Report::default(),
            running: None,
            result_lines: 0,
        }
    }

    /// Takes one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some((passed, failed, skipped)) = parse_result(line) {
            let lines = std::mem::take(&mut self.open);
            self.report.add(Report {
                passed,
                failed,
                skipped,
                ..lines
            });
            self.running = None;
            self.result_lines += 1;
        } else if let Some((name, outcome)) = parse_test(line) {
            self.outcome(name, outcome);
        } else if let Some(name) = self.running.take() {
            // The test wrote to stdout itself; its outcome stands at the end of some later line.
            self.outcome(&name, line);
        }
    }

    fn outcome(&mut self, name: &str, outcome: &str) {
        let shown = format!("{} {name}", self.program);
        self.running = None;
        if let Some(reason) = outcome.strip_prefix("ignored") {
            let reason = reason.strip_prefix(", ").unwrap_or("no reason given");
            self.open.skips.push(format!("{shown}: {reason}"));
            self.open.skipped += 1;
        } else if outcome.ends_with("FAILED") || outcome.contains("FAILED <") {
            self.open.add_failure(shown);
        } else if outcome.ends_with("ok") || outcome.contains("ok <") {
            self.open.passed += 1;
        } else {
            self.running = Some(name.to_owned());
        }
    }

    /// The sum, once the child has ended. `death` says how, where that was not with success.
    pub(crate) fn finish(mut self, death: Option<&str>) -> Report {
        if self.result_lines > 0 && self.open == Report::default() && self.running.is_none() {
            // libtest's own exit code is explained by its failures; any other is a failure itself.
            if let (Some(death), 0) = (death, self.report.failed) {
                self.report
                    .add_failure(format!("{} (all tests passed, then {death})", self.program));
            }
            return self.report;
        }
        let death = death.unwrap_or("ended without a result");
        let during = self
            .running
            .map(|name| format!(" {name}"))
            .unwrap_or_default();
        self.open
            .add_failure(format!("{}{during} ({death})", self.program));
        self.report.add(self.open);
        self.report
    }
}

/// `test NAME ... OUTCOME`; the outcome is empty while the test runs.
fn parse_test(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ...")?;
    Some((name, outcome.trim_start()))
}

/// Passed, failed and ignored from `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn parse_result(line: &str) -> Option<(u64, u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        counts
            .split("; ")
            .find_map(|part| part.trim().strip_suffix(what)?.trim_end().parse().ok())
    };
    Some((count("passed")?, count("failed")?, count("ignored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, death: Option<&str>) -> Report {
        let mut reader = Reader::new("unit");
        output.lines().for_each(|line| reader.line(line));
        reader.finish(death)
    }

    #[test]
    fn all_passed() {
        let report = read(
            "\nrunning 2 tests\ntest a::b ... ok\ntest c - should panic ... ok\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.10s\n",
            None,
        );
        assert_eq!(
            report,
            Report {
                passed: 2,
                ..Report::default()
            }
        );
    }

    #[test]
    fn failures_are_named_once() {
        let report = read(
            "running 2 tests\ntest a ... FAILED\ntest b ... ok\n\nfailures:\n\n---- a stdout ----\nboom\n\n\
             failures:\n    a\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
            Some("exit status: 101"),
        );
        assert_eq!((report.passed, report.failed), (1, 1));
        assert_eq!(report.failures, ["unit a"]);
    }

    #[test]
    fn ignored_tests_name_their_reason() {
        let report = read(
            "test a ... ignored, needs two machines\ntest b ... ignored\n\
             test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out\n",
            None,
        );
        assert_eq!(report.skipped, 2);
        assert_eq!(
            report.skips,
            ["unit a: needs two machines", "unit b: no reason given"]
        );
    }

    #[test]
    fn a_program_that_dies_is_one_failure_and_names_the_test() {
        let report = read(
            "running 2 tests\ntest a ... ok\ntest b ... ",
            Some("signal: 11 (SIGSEGV)"),
        );
        assert_eq!((report.passed, report.failed), (1, 1));
        assert_eq!(report.failures, ["unit b (signal: 11 (SIGSEGV))"]);
        let report = read("", Some("signal: 9 (SIGKILL)"));
        assert_eq!((report.passed, report.failed), (0, 1));
        assert_eq!(report.failures, ["unit (signal: 9 (SIGKILL))"]);
    }

    #[test]
    fn a_program_that_prints_no_result_is_one_failure_even_if_it_ends_well() {
        assert_eq!(
            read("hello\n", None).failures,
            ["unit (ended without a result)"]
        );
    }

    #[test]
    fn a_bad_exit_after_good_results_is_a_failure() {
        let report = read(
            "test result: ok. 2 passed; 0 failed; 0 ignored\n",
            Some("exit status: 1"),
        );
        assert_eq!((report.passed, report.failed), (2, 1));
    }

    #[test]
    fn several_programs_in_one_output_add_up() {
        let report = read(
            "test result: ok. 2 passed; 0 failed; 0 ignored\n\
             test x ... FAILED\ntest result: FAILED. 3 passed; 1 failed; 1 ignored\n",
            Some("exit status: 101"),
        );
        assert_eq!((report.passed, report.failed, report.skipped), (5, 1, 1));
    }

    #[test]
    fn an_outcome_behind_the_tests_own_output_is_found() {
        let report = read(
            "test a ... noise of a child\nmore noise\nFAILED\ntest b ... ",
            Some("killed"),
        );
        assert_eq!(report.failures, ["unit a", "unit b (killed)"]);
    }
}
