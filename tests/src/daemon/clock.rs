//! Owns the daemon's wall clock where a test sets it: by a library that comes between it and the kernel's.
//!
//! Invariant: the clock of this host is never set, and only the wall clock is another one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Daemon;

/// As Debian's package `faketime` has it; the loader puts its own directory in for `$LIB`.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

impl Daemon {
    /// From the next start on the daemon's wall clock is what [`Self::set_clock`] says, at first the right
    /// one.
    ///
    /// # Errors
    ///
    /// When the file that says so cannot be written.
    pub fn give_own_clock(&mut self) -> Result<()> {
        self.has_own_clock = true;
        self.set_clock("+0d")
    }

    /// Sets the daemon's wall clock so far from the right one: `+1d`, `-400d`. It runs on from there.
    ///
    /// # Errors
    ///
    /// When the file that says so cannot be written.
    pub fn set_clock(&self, offset: &str) -> Result<()> {
        let (path, beside) = (self.clock_path(), self.path("clock.new"));
        fs::write(&beside, offset).context("cannot write the daemon's clock")?;
        fs::rename(&beside, &path).context("cannot write the daemon's clock")
    }

    pub(super) fn own_clock(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", LIBRARY.to_owned()),
            (
                "FAKETIME_TIMESTAMP_FILE",
                self.clock_path().to_string_lossy().into_owned(),
            ),
            // The file is read at every look at the clock.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn clock_path(&self) -> PathBuf {
        self.path("clock")
    }
}
