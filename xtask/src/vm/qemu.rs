//! Owns the machine: where QEMU comes from, how it is started, and what its console says.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::packages::{Apt, Archive};
use crate::child;

/// The console's only verdicts, see `tests/vm-init`.
const PASSED: &str = "vm-init: passed";
const FAILED: &str = "vm-init: failed";
/// QEMU's exit code when the guest wrote 0x10 to the exit device.
const EXIT_PASSED: i32 = 33;
/// Likewise 0x11.
const EXIT_FAILED: i32 = 35;
/// exit code of timeout(1) when the time was up.
const EXIT_TIMEOUT: i32 = 124;
/// A machine gets so many seconds.
const LIMIT_S: u32 = 600;
const MEMORY_MIB: u32 = 1_024;

/// QEMU 7.2 of Debian 12 panics now and then in its translator; its backport does not.
const BACKPORTED: &str = "bookworm";

/// An unpacked QEMU.
pub(super) struct Qemu {
    root: PathBuf,
}

/// How a machine ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every line of `/commands` succeeded.
    Passed,
    /// One did not.
    Failed,
    /// Something else, such as a panic: no verdict on what was tested.
    Died(String),
}

impl Qemu {
    /// Fetches QEMU into `dir`, unless it is there.
    pub(super) fn fetch(dir: &Path, archive: &Archive) -> Result<Self> {
        let root = dir.join("root");
        let stamp = dir.join("complete");
        if !stamp.exists() {
            eprintln!("xtask: fetching QEMU");
            let backports = format!("{}-backports", archive.codename);
            let is_backported = archive.codename == BACKPORTED;
            let mut suites = vec![archive.codename.as_str()];
            if is_backported {
                suites.push(&backports);
            }
            let apt = Apt::new(dir.join("apt"), archive, &suites, true)?;
            let release = is_backported.then_some(backports.as_str());
            apt.unpack_closure(&["qemu-system-x86", "seabios"], release, &root)?;
            std::fs::write(stamp, "")?;
        }
        Ok(Self { root })
    }

    fn command(&self, kernel: &Path, initramfs: &Path) -> Command {
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
            .map(|dir| self.root.join(dir).display().to_string())
            .join(":");
        let mut command = child::program("timeout");
        command
            .arg("--kill-after=5")
            .arg(LIMIT_S.to_string())
            .arg(self.root.join("usr/bin/qemu-system-x86_64"))
            .env("LD_LIBRARY_PATH", libraries);
        for firmware in ["usr/share/seabios", "usr/share/qemu"] {
            command.arg("-L").arg(self.root.join(firmware));
        }
        // Emulated on purpose: distribution kernels hang under some nested KVMs, and every host
        // has this. The CPU is one whose emulation needs no 16-byte compare-and-swap.
        command
            .args(["-machine", "q35", "-accel", "tcg", "-cpu", "Nehalem,-cx16"])
            .args(["-smp", "1", "-m", &MEMORY_MIB.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args([
                "-append",
                "console=ttyS0 panic=-1 quiet mitigations=off nokaslr tsc=reliable no_timer_check",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Boots a machine and gives `sink` each line of its console.
    pub(super) fn boot(
        &self,
        kernel: &Path,
        initramfs: &Path,
        mut sink: impl FnMut(&str),
    ) -> Result<End> {
        let mut command = self.command(kernel, initramfs);
        let mut running = command
            .spawn()
            .context("`timeout` (coreutils) does not start")?;
        let output = running.stdout.take().context("a child without stdout")?;
        let mut console = Console::default();
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            console.line(text);
            sink(text);
            line.clear();
        }
        let status = running.wait()?;
        Ok(console.end(status.code()))
    }
}

/// What the console has said so far.
#[derive(Default)]
struct Console {
    verdicts: Vec<bool>,
    trouble: Option<String>,
}

impl Console {
    fn line(&mut self, line: &str) {
        const TROUBLE: [&str; 5] = [
            "Kernel panic",
            "soft lockup",
            "rcu_sched self-detected stall",
            "rcu: INFO",
            "BUG: ",
        ];
        match line {
            PASSED => self.verdicts.push(true),
            FAILED => self.verdicts.push(false),
            _ if TROUBLE.iter().any(|trouble| line.contains(trouble)) => {
                self.trouble.get_or_insert_with(|| line.to_owned());
            }
            _ => {}
        }
    }

    /// A pass needs all at once: one verdict, the exit code that goes with it, and no trouble.
    fn end(self, code: Option<i32>) -> End {
        match (self.trouble, &self.verdicts[..], code) {
            (Some(trouble), _, _) => End::Died(trouble),
            (None, [true], Some(EXIT_PASSED)) => End::Passed,
            (None, [false], Some(EXIT_FAILED)) => End::Failed,
            (None, _, Some(EXIT_TIMEOUT)) => {
                End::Died(format!("it did not end within {LIMIT_S} s"))
            }
            (None, verdicts, code) => End::Died(format!(
                "it ended with {} verdicts and QEMU's exit code {code:?}",
                verdicts.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(lines: &[&str], code: i32) -> End {
        let mut console = Console::default();
        lines.iter().for_each(|line| console.line(line));
        console.end(Some(code))
    }

    #[test]
    fn a_pass_needs_verdict_and_exit_code() {
        assert_eq!(end(&["x", PASSED], 33), End::Passed);
        assert_eq!(end(&[FAILED], 35), End::Failed);
        for (lines, code) in [
            (&[PASSED][..], 0),
            (&[], 33),
            (&[FAILED], 33),
            (&[PASSED, PASSED], 33),
            (&["[1.0] Kernel panic - not syncing", PASSED], 33),
            (&["watchdog: BUG: soft lockup - CPU#0", PASSED], 33),
            (&[], 124),
        ] {
            assert!(matches!(end(lines, code), End::Died(_)), "{lines:?} {code}");
        }
    }
}
