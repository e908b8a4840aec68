//! `build`: the machine made complete, the eBPF object, then the binary that embeds it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::ebpf::{self, Object};
use crate::toolchain::Scope;
use crate::{child, paths, setup};

/// The command itself.
pub(crate) fn run(debug_user: bool) -> Result<()> {
    object(Scope::Build)?;
    let binary = product(!debug_user)?;
    eprintln!("xtask: {}", binary.display());
    Ok(())
}

/// The product's eBPF object, on a machine made complete for `scope`.
pub(crate) fn object(scope: Scope) -> Result<()> {
    let road = setup::ensure(scope)?;
    ebpf::build(road, Object::Splitter)?;
    Ok(())
}

/// The bench's eBPF objects, and where its own lies. The product's comes last, so that what cargo left
/// of that package is the product's.
pub(crate) fn bench_object(scope: Scope) -> Result<PathBuf> {
    let road = setup::ensure(scope)?;
    ebpf::build(road, Object::Bare)?;
    ebpf::build(road, Object::Splitter)?;
    ebpf::build(road, Object::Bench)
}

/// The binary `splitter`, and where it lies. One command line for every caller, so that tests and
/// demo run the very binary that `build` leaves.
pub(crate) fn product(release: bool) -> Result<PathBuf> {
    cargo_build(release, &["-p", "splitter-user"])?;
    let profile = if release { "release" } else { "debug" };
    let binary = paths::target().join(profile).join("splitter");
    if !binary.is_file() {
        bail!("the build passed, and there is no {}", binary.display());
    }
    Ok(binary)
}

/// The release binaries of the tests crate: splitter-demo and splitter-spec.
pub(crate) fn test_binaries() -> Result<()> {
    cargo_build(true, &["-p", "splitter-tests", "--bins"])
}

fn cargo_build(release: bool, selection: &[&str]) -> Result<()> {
    let mut command: Command = child::cargo();
    command.args(["build", "--locked"]).args(selection);
    if release {
        command.arg("--release");
    }
    child::run(&mut command)
}
