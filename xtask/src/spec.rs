//! `spec`: the spec rows of the tests crate, run or listed.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::libtest::Report;
use crate::toolchain::Scope;
use crate::{build, child, paths, programs, test};

/// The command itself.
pub(crate) fn run(list: bool) -> Result<ExitCode> {
    build::object(Scope::Build)?;
    if list {
        build::test_binaries()?;
        let mut command = child::program(paths::release_binary("splitter-spec"));
        command.arg("--list");
        // `exec` returns only when it failed.
        return Err(command.exec()).context("splitter-spec does not start");
    }
    let mut report = Report::default();
    let programs = programs::build(&["-p", "splitter-tests", "--test", "spec"])?;
    build::product(true)?;
    for program in &programs {
        report.add(program.run(None)?);
    }
    Ok(test::conclude(report))
}
