//! Owns what must survive the daemon: numbers, weights set at run time, and what the file said
//! when it was last applied. One JSON file, replaced whole: written beside, synced, renamed.
//!
//! Invariant: the file is on disk before the kernel is touched, so a crash in between is finished
//! by the next start.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use splitter_common::weight::Weight;
use thiserror::Error;

use crate::{
    config::apply_weights,
    model::{Config, Service},
    plan::Numbers,
};

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

/// Weights set at run time, over the file's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayRecord {
    /// Parts per million, by version.
    pub weights_ppm: BTreeMap<String, u32>,
    /// Who set them.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// From when a service's shares are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// RFC 3339.
    pub at: String,
    /// New flows by version at that moment.
    pub new_flows: BTreeMap<String, u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    format: u32,
    /// Numbers in force, or about to be.
    pub numbers: Numbers,
    /// By service.
    pub overlays: BTreeMap<String, OverlayRecord>,
    /// What the file last said, in parts per million, by service and version.
    pub file_weights_ppm: BTreeMap<String, BTreeMap<String, u32>>,
    /// By service.
    pub since: BTreeMap<String, Since>,
}

/// What every format begins with.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl State {
    /// The configuration in force: the file's, with the overlays that still hold. An overlay of
    /// a version whose weight changed in the file is dropped, and so is one that no longer fits;
    /// what was dropped is told.
    pub fn effective(&mut self, file: &Config) -> (Config, Vec<String>) {
        let mut told = Vec::new();
        let mut config = file.clone();
        for service in &mut config.services {
            let last = self.file_weights_ppm.get(&service.name);
            let Some(overlay) = self.overlays.get_mut(&service.name) else {
                continue;
            };
            overlay.weights_ppm.retain(|version, ppm| {
                let now = service.version(version).map(|version| version.weight.ppm());
                let then = last.and_then(|last| last.get(version)).copied();
                let keeps = now.is_some() && then == now;
                if !keeps {
                    let weight = Weight::from_ppm(*ppm).unwrap_or_default();
                    told.push(format!(
                        "service {}: the file changed {version}; the weight {weight} set at run \
                         time is dropped",
                        service.name
                    ));
                }
                keeps
            });
            match apply_weights(service, &weights(&overlay.weights_ppm)) {
                Ok(with) => *service = with,
                Err(error) => {
                    told.push(format!("weights set at run time are dropped: {error}"));
                    overlay.weights_ppm.clear();
                }
            }
        }
        let names: Vec<&String> = config
            .services
            .iter()
            .map(|service| &service.name)
            .collect();
        self.overlays
            .retain(|name, overlay| !overlay.weights_ppm.is_empty() && names.contains(&name));
        self.since.retain(|name, _| names.contains(&name));
        self.file_weights_ppm = file
            .services
            .iter()
            .map(|s| (s.name.clone(), own_ppm(s)))
            .collect();
        (config, told)
    }
}

/// Weights from parts per million.
pub fn weights(ppm: &BTreeMap<String, u32>) -> BTreeMap<String, Weight> {
    let weight = |ppm: &u32| Weight::from_ppm(*ppm).unwrap_or_default();
    ppm.iter()
        .map(|(name, ppm)| (name.clone(), weight(ppm)))
        .collect()
}

/// A service's own non-baseline weights, in parts per million.
pub fn own_ppm(service: &Service) -> BTreeMap<String, u32> {
    let others = service.versions.iter().filter(|version| !version.baseline);
    others
        .map(|version| (version.name.clone(), version.weight.ppm()))
        .collect()
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

    /// Reads the state; the empty one where there is no file.
    pub fn load(&self) -> Result<State, StateError> {
        let path = self.dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
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
        serde_json::from_slice(&text).map_err(read)
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
        let text = serde_json::to_vec_pretty(&state)
            .map_err(|error| failed("write")(io::Error::other(error)))?;
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
    use crate::config::parse_str;

    fn config(canary: &str) -> Config {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
             [service.shop.version.stable]\nbaseline = true\nbackends = [\"10.0.0.1:80\"]\n\
             [service.shop.version.canary]\nweight = \"{canary}\"\nbackends = [\"10.0.0.2:80\"]\n"
        );
        parse_str("test.toml", &text).expect("a valid configuration")
    }

    fn with_overlay(file: &Config) -> State {
        let mut state = State::default();
        state.effective(file);
        let weights_ppm = [("canary".to_owned(), 100_000)].into();
        let record = OverlayRecord {
            weights_ppm,
            by: "uid 0".into(),
            at: String::new(),
            reason: None,
        };
        state.overlays.insert("shop".into(), record);
        state
    }

    fn canary_ppm(config: &Config) -> u32 {
        config.services[0]
            .version("canary")
            .expect("there")
            .weight
            .ppm()
    }

    #[test]
    fn an_overlay_stays_until_the_file_changes_that_weight() {
        let file = config("5%");
        let mut state = with_overlay(&file);
        let (effective, told) = state.effective(&file);
        assert_eq!((canary_ppm(&effective), told.len()), (100_000, 0));
        let (effective, told) = state.effective(&config("20%"));
        assert_eq!((canary_ppm(&effective), told.len()), (200_000, 1));
        assert!(state.overlays.is_empty());
        let (effective, told) = state.effective(&config("20%"));
        assert_eq!((canary_ppm(&effective), told.len()), (200_000, 0));
    }

    #[test]
    fn state_survives_and_two_daemons_do_not_share_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = StateDir::lock(dir.path()).expect("free");
        assert!(matches!(
            StateDir::lock(dir.path()),
            Err(StateError::Locked(_))
        ));
        assert_eq!(first.load().expect("empty").numbers, Numbers::default());
        let state = with_overlay(&config("5%"));
        first.save(&state).expect("saved");
        let read = first.load().expect("read");
        assert_eq!(read.overlays, state.overlays);
        for (text, says) in [("{", "EOF"), ("{\"format\": 1}", "format 1, not")] {
            fs::write(dir.path().join(FILE), text).expect("written");
            let error = first.load().expect_err("not ours").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
