//! Owns the file of events: JSON lines that are appended, in two files of at most [`FILE_MAX`] bytes.
//!
//! Invariant: a line that was cut short by a crash costs that one line. Nothing is synced: an event is
//! no change, and a change's own record is on disk before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Event;

/// A file that is longer, in bytes, becomes the older one of the two.
const FILE_MAX: u64 = 1 << 20;
const NEWER: &str = "events.jsonl";
const OLDER: &str = "events.jsonl.1";

/// The files of a directory, opened to append.
pub(super) struct Disk {
    dir: PathBuf,
    file: File,
    bytes: u64,
}

impl Disk {
    /// Opens the files and reads what stands in them, oldest first.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Event>)> {
        let mut events = Vec::new();
        for name in [OLDER, NEWER] {
            match fs::read(dir.join(name)) {
                Ok(text) => events.extend(read(&text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut disk = Self::newer(dir)?;
        if disk.bytes > 0 {
            // What a crash cut short must not run into the next line; an empty line is none.
            disk.write(b"\n")?;
        }
        Ok((disk, events))
    }

    /// Adds one event.
    pub(super) fn append(&mut self, event: &Event) -> io::Result<()> {
        if self.bytes >= FILE_MAX {
            fs::rename(self.dir.join(NEWER), self.dir.join(OLDER))?;
            *self = Self::newer(&self.dir)?;
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.write(&line)
    }

    fn newer(dir: &Path) -> io::Result<Self> {
        // Who set which weight is not for every user of the host.
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.join(NEWER))?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            dir: dir.to_owned(),
            file,
            bytes,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The lines that are events; others were cut short, or are of a splitter that knows more kinds.
fn read(text: &[u8]) -> impl Iterator<Item = Event> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok())
}
