//! `fuzz`: builds, then becomes splitter-fuzz.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::toolchain::Scope;
use crate::{build, child, paths};

/// The command itself.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    build::object(Scope::Build)?;
    build::test_binaries()?;
    let mut command = child::as_root(paths::release_binary("splitter-fuzz").as_os_str(), &[])?;
    command.args(args);
    // As with the demo: signals and the exit code belong to it.
    Err(command.exec()).with_context(|| format!("`{}` does not start", child::describe(&command)))
}
