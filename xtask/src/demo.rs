//! `demo`: builds, then becomes splitter-demo.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::toolchain::Scope;
use crate::{build, child, paths};

/// The command itself.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    build::object(Scope::Build)?;
    let product = build::product(true)?;
    build::test_binaries()?;
    let demo = paths::release_binary("splitter-demo");
    let variables = [("SPLITTER_BIN", product.into_os_string())];
    let mut command = child::as_root(demo.as_os_str(), &variables)?;
    command.args(args);
    // xtask is replaced and not kept as a parent: signals, however they are sent, and the exit code
    // then belong to the demo, which cleans up after itself. `exec` returns only when it failed.
    Err(command.exec()).with_context(|| format!("`{}` does not start", child::describe(&command)))
}
