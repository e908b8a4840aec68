//! `bench`: builds, then becomes splitter-bench.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::toolchain::Scope;
use crate::{build, child, paths};

/// The command itself.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let object = build::bench_object(Scope::Bench)?;
    let product = build::product(true)?;
    build::test_binaries()?;
    let bench = paths::release_binary("splitter-bench");
    let variables = [
        ("SPLITTER_BIN", product.into_os_string()),
        ("SPLITTER_BENCH_OBJECT", object.into_os_string()),
    ];
    let mut command = child::as_root(bench.as_os_str(), &variables)?;
    command.args(args);
    // As with the demo: signals and the exit code belong to the bench.
    Err(command.exec()).with_context(|| format!("`{}` does not start", child::describe(&command)))
}
