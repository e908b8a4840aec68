//! Owns the build of the eBPF objects: `target/ebpf/splitter.o`, which splitter-user embeds, and
//! `target/ebpf/bench.o` and `bare.o`, which the bench loads.
//!
//! Invariant: the build sees no setting of the cargo that runs xtask, because flags and toolchain
//! of the host's build break it; and the object is written only when it changed, whole, so that the
//! user's build stays fresh.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::toolchain::Road;
use crate::{child, paths};

const TARGET: &str = "bpfel-unknown-none";
/// Debug information becomes the BTF that maps carry their field names in. Warnings are errors in
/// our own crates; cargo caps those of dependencies.
const RUSTFLAGS: &str = "-D warnings -C debuginfo=2 -C link-arg=--btf";

/// An object that can be built.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    /// The product's.
    Splitter,
    /// The bench's driver and floors.
    Bench,
    /// The product's without telemetry, which the bench compares it with.
    Bare,
}

impl Object {
    fn package(self) -> &'static str {
        match self {
            Self::Splitter | Self::Bare => "splitter-ebpf",
            Self::Bench => "splitter-bench-ebpf",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Splitter => "splitter.o",
            Self::Bench => "bench.o",
            Self::Bare => "bare.o",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Splitter | Self::Bench => &[],
            Self::Bare => &["--features", "bare"],
        }
    }
}

/// Builds an object and tells where it lies.
pub(crate) fn build(road: Road, object: Object) -> Result<PathBuf> {
    let target_dir = paths::target().join("ebpf");
    child::run(&mut build_command(
        road,
        object,
        &paths::workspace(),
        &target_dir,
    ))?;
    let built = target_dir
        .join(TARGET)
        .join("release")
        .join(object.package());
    let object = target_dir.join(object.file());
    copy_if_changed(&built, &object)?;
    Ok(object)
}

fn build_command(road: Road, object: Object, workspace: &Path, target_dir: &Path) -> Command {
    let mut command = match road {
        Road::Nightly => {
            let mut command = child::program("rustup");
            child::remove_variables(&mut command, is_build_setting);
            command.args(["run", "nightly", "cargo"]);
            command
        }
        Road::System => {
            let mut command = child::program("/usr/bin/cargo");
            child::remove_variables(&mut command, is_build_setting);
            // build-std is an unstable option, and this compiler is a stable one.
            command
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1");
            command
        }
    };
    command
        .current_dir(workspace)
        .env("RUSTFLAGS", RUSTFLAGS)
        // A profile cannot set this for one package, and the host's binaries unwind.
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .args(["build", "--locked", "--release", "-p", object.package()])
        .args(object.features())
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(target_dir);
    command
}

/// Variables that steer what cargo or rustc builds and with which toolchain. Those that say where
/// things lie or how to reach a registry (`CARGO_HOME`, `CARGO_NET_…`, `CARGO_HTTP_…`,
/// `RUSTUP_HOME`) stay.
pub(crate) fn is_build_setting(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "RUSTUP_TOOLCHAIN",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_BOOTSTRAP",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        // cargo puts its own toolchain's libraries here.
        "LD_LIBRARY_PATH",
    ];
    const PREFIXES: [&str; 4] = [
        "CARGO_BUILD_",
        "CARGO_TARGET_",
        "CARGO_PROFILE_",
        "CARGO_UNSTABLE_",
    ];
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || child::is_set_by_cargo_run(name)
}

/// Puts a copy of `from` at `to` in one step, unless it is there already.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("no eBPF object at {}", from.display()))?;
    match fs::read(to) {
        Ok(old) if old == new => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    }
    let beside = to.with_extension("o.new");
    fs::write(&beside, new).with_context(|| beside.display().to_string())?;
    fs::rename(&beside, to).with_context(|| to.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable<'a>(command: &'a Command, name: &str) -> Option<&'a str> {
        command
            .get_envs()
            .find(|(key, _)| *key == name)?
            .1?
            .to_str()
    }

    #[test]
    fn debian_builds_with_its_own_compiler() {
        let command = build_command(
            Road::System,
            Object::Splitter,
            Path::new("/w"),
            Path::new("/t/ebpf"),
        );
        assert_eq!(
            child::describe(&command),
            "/usr/bin/cargo build --locked --release -p splitter-ebpf -Z build-std=core \
             --target bpfel-unknown-none --target-dir /t/ebpf"
        );
        assert_eq!(variable(&command, "RUSTC"), Some("/usr/bin/rustc"));
        assert_eq!(variable(&command, "RUSTC_BOOTSTRAP"), Some("1"));
        assert_eq!(variable(&command, "RUSTFLAGS"), Some(RUSTFLAGS));
        assert_eq!(command.get_current_dir(), Some(Path::new("/w")));
    }

    #[test]
    fn nightly_builds_through_rustup() {
        let command = build_command(
            Road::Nightly,
            Object::Bench,
            Path::new("/w"),
            Path::new("/t/ebpf"),
        );
        let line = child::describe(&command);
        assert!(
            line.starts_with("rustup run nightly cargo build --locked"),
            "{line}"
        );
        assert_eq!(variable(&command, "RUSTC"), None);
        assert_eq!(variable(&command, "RUSTFLAGS"), Some(RUSTFLAGS));
    }

    #[test]
    fn settings_go_and_places_stay() {
        for name in [
            "RUSTUP_TOOLCHAIN",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PKG_NAME",
        ] {
            assert!(is_build_setting(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "RUSTUP_HOME",
            "PATH",
        ] {
            assert!(!is_build_setting(name), "{name}");
        }
    }

    #[test]
    fn an_unchanged_object_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("built"), dir.path().join("splitter.o"));
        assert!(
            copy_if_changed(&from, &to)
                .unwrap_err()
                .to_string()
                .contains("no eBPF object")
        );
        fs::write(&from, "one").unwrap();
        copy_if_changed(&from, &to).unwrap();
        let written = fs::metadata(&to).unwrap().modified().unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), written);
        fs::write(&from, "two").unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
    }
}
