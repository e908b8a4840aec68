//! `test`: everything that must pass, and one last line that adds it up.
//!
//! Unit and property tests run as the user. The programs of the tests crate lay networks and load
//! eBPF programs: they run as root, one test at a time. A failing program does not stop the others.
//! The virtual machines come last, and not when a filter asks for single tests.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::libtest::Report;
use crate::toolchain::Scope;
use crate::{build, child, data, programs, vm};

/// Every crate with tests that cargo can build for the host.
const PACKAGES: &[&str] = &[
    "-p=splitter-common",
    "-p=splitter-user",
    "-p=xtask",
    "-p=splitter-tests",
];
/// The libraries that may have examples in their documentation.
const DOCUMENTED: &[&str] = &["-p=splitter-common", "-p=splitter-user"];

/// The command itself.
pub(crate) fn run(filter: Option<&str>) -> ExitCode {
    let mut report = Report::default();
    if let Err(error) = run_all(filter, &mut report) {
        report.add_failure(format!("{error:#}"));
    }
    conclude(report)
}

fn run_all(filter: Option<&str>, report: &mut Report) -> Result<()> {
    build::bench_object(Scope::Tests)?;
    // cargo builds the binaries of the tests crate along with its tests. The product comes last:
    // cargo may have left one at the same place that shares features with test dependencies.
    let programs = programs::build(PACKAGES)?;
    build::product(true)?;
    data::ensure()?;
    let (as_root, as_user): (Vec<_>, Vec<_>) = programs.into_iter().partition(|p| p.needs_root);
    for program in &as_user {
        report.add(program.run(filter)?);
    }
    report.add(run_doc_tests(filter)?);
    for program in &as_root {
        report.add(program.run(filter)?);
    }
    if filter.is_none() {
        report.add(vm::usual(&as_root)?);
    }
    if *report == Report::default() {
        bail!(
            "no test ran: no name contains `{}`",
            filter.unwrap_or_default()
        );
    }
    Ok(())
}

/// Prints what failed, what was skipped and why, and the last line; tells the exit code.
pub(crate) fn conclude(report: Report) -> ExitCode {
    let is_ci = env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    println!();
    for skip in &report.skips {
        println!("skipped: {skip}");
    }
    for failure in &report.failures {
        println!("failed: {failure}");
    }
    let Report {
        passed,
        failed,
        skipped,
        ..
    } = report;
    println!("splitter: {passed} passed, {failed} failed, {skipped} skipped");
    if is_good(&report, is_ci) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// In CI a skipped test is no success: nobody would notice that it never runs.
fn is_good(report: &Report, is_ci: bool) -> bool {
    report.failed == 0 && (report.skipped == 0 || !is_ci)
}

fn run_doc_tests(filter: Option<&str>) -> Result<Report> {
    let mut command = child::cargo();
    command
        .args(["test", "--locked", "--release", "--doc", "--no-fail-fast"])
        .args(DOCUMENTED);
    if let Some(filter) = filter {
        command.arg("--").arg(filter);
    }
    println!("\n== examples in the documentation");
    programs::watch("documentation", &mut command, std::io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_fails_ci_alone() {
        let report = Report {
            passed: 3,
            skipped: 1,
            ..Report::default()
        };
        assert!(is_good(&report, false));
        assert!(!is_good(&report, true));
        assert!(!is_good(
            &Report {
                failed: 1,
                ..Report::default()
            },
            false
        ));
        assert!(is_good(
            &Report {
                passed: 3,
                ..Report::default()
            },
            true
        ));
    }
}
