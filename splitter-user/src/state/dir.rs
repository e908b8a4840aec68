//! Owns where the state is kept: the directory and its lock, and the JSON file that was there before the
//! database.
//!
//! Invariant: the state is on disk before the kernel is touched, so a crash in between is finished
//! by the next start.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use thiserror::Error;

use super::{
    State,
    database::{self, Last, Stamp},
};

/// The database in the state directory.
const FILE: &str = "state.db";
/// What came before it.
const JSON: &str = "state.json";
const LOCK: &str = "lock";
/// The format of that file.
const JSON_FORMAT: u32 = 2;

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
    /// SQLite does not.
    #[error("{path}: {error}", path = .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        error: rusqlite::Error,
    },
    /// Another daemon has it.
    #[error(
        "another splitter daemon uses {path}: stop it first, or give this one another \
         --state-dir (and other --pin-dir and --socket)", path = .0.display()
    )]
    Locked(PathBuf),
    /// Not what this version writes.
    #[error(
        "{path} cannot be read: {why}; move it away to start without it: weights and numbers are \
         then read back from a data plane that runs, and the rest of what was set at run time is \
         lost", path = .path.display()
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
    /// Of the database, as this process last wrote it.
    stamp: Option<Stamp>,
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
                stamp: None,
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(dir.to_owned())),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }

    /// Reads the state; `None` where there is none. A `state.json` is taken over and kept as
    /// `state.json.old`: where there is a database too, as after a release that had none, what has
    /// the later generation holds.
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let kept = database::load(&self.file())?;
        let path = self.dir.join(JSON);
        let Some(before) = of_json(&path)? else {
            return Ok(kept);
        };
        let generation = |state: &State| state.numbers.generation;
        let state = match kept {
            Some(kept) if generation(&kept) >= generation(&before) => kept,
            Some(_) | None => {
                database::save(&self.file(), &before, None)?;
                before
            }
        };
        let old = path.with_extension("json.old");
        let failed = |error| StateError::Io {
            verb: "rename",
            path: path.clone(),
            error,
        };
        fs::rename(&path, &old).map_err(failed)?;
        log::info!(
            "the state of {} is in {} now; the file is kept as {}",
            path.display(),
            self.file().display(),
            old.display()
        );
        Ok(Some(state))
    }

    /// Puts back what [`Self::load`] found, after a start that failed.
    pub fn restore(&mut self, before: Option<&State>) -> Result<(), StateError> {
        match before {
            Some(before) => self.save(before, None),
            None => database::remove(&self.file()),
        }
    }

    /// Puts the state on disk: when this returns it survives a power cut. `last`: what was put there last,
    /// by this process or another.
    pub fn save(&mut self, state: &State, last: Option<&State>) -> Result<(), StateError> {
        let last = last.zip(self.stamp.take());
        let last = last.map(|(state, stamp)| Last { state, stamp });
        // Until it is saved, what stands there is not known.
        self.stamp = database::save(&self.file(), state, last)?;
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }
}

/// What a `state.json` says; `None` where there is none.
fn of_json(path: &Path) -> Result<Option<State>, StateError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(StateError::Io {
                verb: "read",
                path: path.to_owned(),
                error,
            });
        }
    };
    let malformed = |why: String| StateError::Malformed {
        path: path.to_owned(),
        why,
    };
    let read = |error: serde_json::Error| malformed(error.to_string());
    let Format { format } = serde_json::from_slice(&text).map_err(read)?;
    if format != JSON_FORMAT {
        return Err(malformed(format!(
            "it has format {format}, not {JSON_FORMAT}"
        )));
    }
    serde_json::from_slice(&text).map(Some).map_err(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_generation(generation: u32) -> State {
        let mut state = State::default();
        state.numbers.generation = generation;
        state
    }

    #[test]
    fn state_survives_and_two_daemons_do_not_share_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = StateDir::lock(dir.path()).expect("free");
        assert!(matches!(
            StateDir::lock(dir.path()),
            Err(StateError::Locked(_))
        ));
        assert_eq!(first.load().expect("nothing is there"), None);
        let state = of_generation(7);
        first.save(&state, None).expect("saved");
        let read = first.load().expect("read").expect("saved before");
        assert_eq!(read, state);
        first.restore(None).expect("as it was");
        assert_eq!(first.load().expect("nothing is there"), None);
        first.restore(Some(&read)).expect("as it was");
        let again = first.load().expect("read").expect("restored");
        assert_eq!(again, read);
    }

    #[test]
    fn a_file_of_before_is_taken_over_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut state = StateDir::lock(dir.path()).expect("free");
        let (json, old) = (dir.path().join(JSON), dir.path().join("state.json.old"));
        let write = |generation: u32| {
            let mut value = serde_json::to_value(of_generation(generation)).expect("JSON");
            value["format"] = JSON_FORMAT.into();
            fs::write(&json, value.to_string()).expect("written");
        };
        let generation = |state: &StateDir| {
            let read = state.load().expect("read").expect("a state");
            read.numbers.generation
        };
        write(7);
        assert_eq!(generation(&state), 7);
        assert!(!json.exists() && old.exists());
        assert_eq!(generation(&state), 7, "from the database");
        state.save(&of_generation(9), None).expect("saved");
        write(8);
        assert_eq!(generation(&state), 9, "a file from a backup");
        write(12);
        assert_eq!(generation(&state), 12, "of an older release that ran since");
        for (text, says) in [("{", "EOF"), ("{\"format\": 1}", "format 1, not")] {
            fs::write(&json, text).expect("written");
            let error = state.load().expect_err("not ours").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
