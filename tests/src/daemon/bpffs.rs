//! Owns the places where test daemons pin: a mounted bpffs and one directory per daemon in it.
//!
//! Invariant: names carry the process id of the test, so that what a killed test left behind can be
//! told from what is in use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use aya::programs::Xdp;
use aya_obj::programs::XdpAttachType;
use rustix::fs::{FlockOperation, flock, statfs};
use rustix::mount::{MountFlags, mount as mount_filesystem};

const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPFFS_MAGIC: u32 = 0xcafe_4a11;
const PREFIX: &str = "splitter-test-";

/// Mounts bpffs unless it is mounted.
pub(super) fn mount() -> Result<()> {
    // Tests run in parallel; a second mount would hide what the first already holds.
    let parent = File::open("/sys/fs").context("cannot open /sys/fs")?;
    flock(&parent, FlockOperation::LockExclusive)?;
    let kind = statfs(BPFFS).with_context(|| format!("cannot look at {BPFFS}"))?;
    // f_type is signed on this architecture; the number is 32 bits wide.
    if kind.f_type as u32 == BPFFS_MAGIC {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_filesystem("bpf", BPFFS, "bpf", flags, c"mode=0700")
        .with_context(|| format!("cannot mount bpffs on {BPFFS} (root is needed)"))
}

/// What names of this process begin with.
pub(super) fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// A directory that no other daemon uses. It is not made.
pub(super) fn new_pin_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Path::new(BPFFS).join(format!("{}{number}", own_prefix()))
}

/// A second handle on a loaded program, to run it from another thread.
///
/// # Errors
///
/// When bpffs cannot be mounted, or the program cannot be pinned.
pub fn second_handle(program: &mut Xdp) -> Result<Xdp> {
    mount()?;
    let pin = new_pin_dir();
    program.pin(&pin).context("cannot pin the program")?;
    let second = Xdp::from_pin(&pin, XdpAttachType::Interface);
    std::fs::remove_file(&pin)?;
    second.context("cannot open the pinned program")
}

/// Removes a directory of pins, and with the links the programs from their interfaces.
pub(super) fn remove(pin_dir: &Path) {
    // It need not be there, and there is nobody to tell.
    let _ = std::fs::remove_dir_all(pin_dir);
}

/// Removes what tests of dead processes have left behind.
pub(super) fn sweep() {
    for place in [PathBuf::from(BPFFS), std::env::temp_dir()] {
        let Ok(entries) = std::fs::read_dir(place) else {
            continue;
        };
        for entry in entries.flatten() {
            if owner(&entry.file_name().to_string_lossy()).is_some_and(|pid| !is_alive(pid)) {
                remove(&entry.path());
            }
        }
    }
}

/// The process id in a name of ours.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process() {
        let name = new_pin_dir();
        let name = name.file_name().unwrap().to_string_lossy();
        assert_eq!(owner(&name), Some(std::process::id()));
        assert_eq!(owner("splitter-test-12"), None);
        assert_eq!(owner("splitter-v1"), None);
    }
}
