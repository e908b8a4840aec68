//! Owns where the state is kept: one JSON file, replaced whole: written beside, synced, renamed.
//!
//! Invariant: the file is on disk before the kernel is touched, so a crash in between is finished
//! by the next start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use thiserror::Error;

use super::State;

const FILE: &str = "state.json";
const LOCK: &str = "lock";
/// Raised when the meaning of a field changes.
const FORMAT: u32 = 2;

/// Why the state cannot be had or kept.
#[derive(Debug, Error)]
pub enum StateError {
    /// The system does not let us.
    #[error("{path}: cannot {verb}: {error}", path = .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another daemon has it.
    #[error(
        "another splitter daemon uses {path}: stop it first, or give this one another \
         --state-dir (and other --pin-dir and --socket)", path = .0.display()
    )]
    Locked(PathBuf),
    /// Not what this version writes.
    #[error(
        "{path} cannot be read: {why}; move it away to start from the file alone (weights set at \
         run time are then lost)", path = .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What every format begins with.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The state directory, locked by this process.
pub struct StateDir {
    dir: PathBuf,
    /// Holds the lock until it closes.
    _lock: File,
}

impl StateDir {
    /// Makes and locks the directory.
    pub fn lock(dir: &Path) -> Result<Self, StateError> {
        let failed = |verb, path: &Path| {
            let path = path.to_owned();
            move |error| StateError::Io { verb, path, error }
        };
        fs::create_dir_all(dir).map_err(failed("make", dir))?;
        let path = dir.join(LOCK);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let lock = opened.map_err(failed("open", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(dir.to_owned())),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }

    /// Reads the state; `None` where there is no file.
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let path = self.dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(StateError::Io {
                    verb: "read",
                    path,
                    error,
                });
            }
        };
        let malformed = |why: String| StateError::Malformed {
            path: path.clone(),
            why,
        };
        let read = |error: serde_json::Error| malformed(error.to_string());
        let Format { format } = serde_json::from_slice(&text).map_err(read)?;
        if format != FORMAT {
            return Err(malformed(format!("it has format {format}, not {FORMAT}")));
        }
        serde_json::from_slice(&text).map(Some).map_err(read)
    }

    /// Puts back what [`Self::load`] found, after a start that failed.
    pub fn restore(&self, before: Option<&State>) -> Result<(), StateError> {
        let Some(before) = before else {
            let path = self.dir.join(FILE);
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::Io {
                    verb: "remove",
                    path,
                    error,
                }),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        self.save(before)
    }

    /// Puts the state on disk: when this returns it survives a power cut.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        let path = self.dir.join(FILE);
        let beside = self.dir.join(format!("{FILE}.new"));
        let failed = |verb| {
            let path = path.clone();
            move |error| StateError::Io { verb, path, error }
        };
        let state = State {
            format: FORMAT,
            ..state.clone()
        };
        let text =
            serde_json::to_vec(&state).map_err(|error| failed("write")(io::Error::other(error)))?;
        // Who set which weight is not for every user of the host.
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&beside).map_err(failed("write"))?;
        file.write_all(&text).map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        fs::rename(&beside, &path).map_err(failed("replace"))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("sync"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_survives_and_two_daemons_do_not_share_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = StateDir::lock(dir.path()).expect("free");
        assert!(matches!(
            StateDir::lock(dir.path()),
            Err(StateError::Locked(_))
        ));
        assert_eq!(first.load().expect("nothing is there"), None);
        let mut state = State::default();
        state.numbers.generation = 7;
        first.save(&state).expect("saved");
        let read = first.load().expect("read").expect("saved before");
        assert_eq!(read.numbers, state.numbers);
        first.restore(None).expect("as it was");
        assert_eq!(first.load().expect("nothing is there"), None);
        first.restore(Some(&read)).expect("as it was");
        let again = first.load().expect("read").expect("restored");
        assert_eq!(again, read);
        for (text, says) in [("{", "EOF"), ("{\"format\": 1}", "format 1, not")] {
            fs::write(dir.path().join(FILE), text).expect("written");
            let error = first.load().expect_err("not ours").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
