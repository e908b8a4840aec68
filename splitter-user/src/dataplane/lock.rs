//! Owns the lock of a pin directory: one process at a time changes what is pinned below it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{DataPlaneError, pins::fault};

/// The one process that may change what is pinned below a directory; free again when dropped.
pub(super) struct Lock {
    _dir: File,
}

/// Takes the lock of `root`, which exists.
pub(super) fn lock(root: &Path) -> Result<Lock, DataPlaneError> {
    let failed = |error: io::Error| fault(root, "cannot be locked", &error);
    loop {
        let dir = File::open(root).map_err(failed)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(DataPlaneError::Busy(root.to_owned())),
            Err(error) => return Err(failed(error.into())),
        }
        // Its last owner may have removed the directory, and another may have made it again.
        let held = dir.metadata().map_err(failed)?.ino();
        if fs::metadata(root).map_err(failed)?.ino() == held {
            return Ok(Lock { _dir: dir });
        }
    }
}
