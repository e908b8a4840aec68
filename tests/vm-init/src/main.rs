//! PID 1 of the virtual machines that `cargo xtask vm` boots: mounts what a host has mounted, loads
//! the modules in `/modules`, runs the lines of `/commands` one after the other, and ends the
//! machine with a verdict.
//!
//! A line is a program with its arguments, between single spaces, whose output goes to the console.
//! The verdict is one line, [`PASSED`] or [`FAILED`], and for QEMU the byte that its
//! `isa-debug-exit` device turns into exit code 33 when all lines succeeded, 35 when not.
//!
//! Built static, so that it runs before anything else is there.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

/// The verdict when every line succeeded.
const PASSED: &str = "vm-init: passed";
/// The verdict otherwise.
const FAILED: &str = "vm-init: failed";
/// QEMU's `isa-debug-exit`, see `xtask/src/vm/qemu.rs`. It exits with 2 x byte + 1.
const EXIT_PORT: u64 = 0xf4;
/// `MODULE_INIT_COMPRESSED_FILE` of finit_module(2).
const COMPRESSED: i32 = 4;

fn main() {
    let outcome = prepare().and_then(|()| run_lines());
    let passed = match outcome {
        Ok(passed) => passed,
        Err(error) => {
            println!("vm-init: {error:#}");
            false
        }
    };
    println!("{}", if passed { PASSED } else { FAILED });
    if let Err(error) = leave(if passed { 0x10 } else { 0x11 }) {
        println!("vm-init: cannot end the machine: {error:#}");
    }
    // The machine ends a moment after the write. Should it not, the time limit ends it.
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn prepare() -> Result<()> {
    // Nothing over /tmp: the initramfs is in memory as it is, and files of a workspace may lie there.
    for place in ["/tmp", "/run"] {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
    }
    for (kind, place) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("bpf", "/sys/fs/bpf"),
    ] {
        if !place.starts_with("/sys/") {
            fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        }
        mount(kind, place, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    let mut modules = Vec::new();
    for entry in fs::read_dir("/modules").context("/modules")? {
        modules.push(entry?.path());
    }
    modules.sort();
    for path in modules {
        let file = File::open(&path)?;
        let is_plain = path.extension().is_some_and(|extension| extension == "ko");
        rustix::system::finit_module(&file, c"", if is_plain { 0 } else { COMPRESSED })
            .with_context(|| format!("cannot load {}", path.display()))?;
    }
    Ok(())
}

/// Whether all succeeded.
fn run_lines() -> Result<bool> {
    let lines = fs::read_to_string("/commands").context("/commands")?;
    let mut passed = true;
    for line in lines.lines() {
        println!("vm-init: {line}");
        let status = run(line).with_context(|| format!("`{line}` does not start"))?;
        if !status.success() {
            println!("vm-init: `{line}`: {status}");
            passed = false;
        }
    }
    Ok(passed)
}

fn run(line: &str) -> Result<ExitStatus> {
    let mut words = line.split(' ');
    let program = words.next().context("an empty line")?;
    let mut command = Command::new(program);
    command
        .args(words)
        .env("PATH", "/bin")
        .env("SPLITTER_BIN", "/bin/splitter")
        // One CPU that is emulated: the same traffic, thinner.
        .env("SPLITTER_LOAD_DIVISOR", "4")
        .env("RUST_BACKTRACE", "1");
    Ok(command.status()?)
}

fn leave(byte: u8) -> Result<()> {
    let port = File::options().write(true).open("/dev/port")?;
    port.write_all_at(&[byte], EXIT_PORT)?;
    Ok(())
}
