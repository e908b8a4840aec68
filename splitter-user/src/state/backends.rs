//! Owns what was set at run time for single backends, over the file: their admin states, and those
//! that were added or removed.
//!
//! Invariant: an overlay holds as long as the file says of that backend what it said when the
//! overlay was set, and as long as file and overlay together would pass as a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    config::{backend, check_again},
    model::{AdminState, Backend, Config, Service},
};

/// Whether a backend is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// As the file says.
    #[default]
    File,
    /// Added at run time.
    Added {
        /// With this backend weight.
        weight: u16,
    },
    /// Removed at run time.
    Removed,
}

/// What the file says of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBackend {
    /// Its version.
    pub version: String,
    /// Its backend weight.
    pub weight: u16,
}

/// What was set at run time for one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendOverlay {
    /// The version that it is in, or was before it was removed.
    pub version: String,
    /// Whether it is there.
    pub presence: Presence,
    /// What the operator wants of it.
    pub state: AdminState,
    /// What the file said of it then; `None`: nothing.
    pub file: Option<FileBackend>,
    /// Who set it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

impl BackendOverlay {
    /// Whether it says nothing that the file does not.
    pub fn is_idle(&self) -> bool {
        self.presence == Presence::File && self.state == AdminState::Active
    }

    /// What it does, for people.
    fn words(&self) -> String {
        let state = match self.state {
            AdminState::Active => String::new(),
            AdminState::Draining | AdminState::Disabled => format!(" and {}", self.state),
        };
        match self.presence {
            Presence::File => self.state.to_string(),
            Presence::Added { .. } => format!("added to {}{state}", self.version),
            Presence::Removed => format!("removed from {}", self.version),
        }
    }
}

/// By service and backend.
pub type BackendOverlays = BTreeMap<String, BTreeMap<String, BackendOverlay>>;

/// What the file says of a backend.
pub fn of_file(service: &Service, name: &str) -> Option<FileBackend> {
    let mut all = service
        .versions
        .iter()
        .flat_map(|version| version.backends.iter().map(move |each| (version, each)));
    let (version, found) = all.find(|(_, backend)| backend.to_string() == name)?;
    Some(FileBackend {
        version: version.name.clone(),
        weight: found.weight,
    })
}

/// A service of the file with the backends that were added and without those that were removed.
pub fn with_overlays(file: &Service, overlays: &BTreeMap<String, BackendOverlay>) -> Service {
    let mut service = file.clone();
    for (name, overlay) in overlays {
        if overlay.presence == Presence::File {
            continue;
        }
        for version in &mut service.versions {
            version
                .backends
                .retain(|backend| backend.to_string() != *name);
        }
        let added: Option<Backend> = match overlay.presence {
            Presence::Added { weight } => backend(name, weight).ok(),
            Presence::File | Presence::Removed => None,
        };
        let version = service
            .versions
            .iter_mut()
            .find(|version| version.name == overlay.version);
        if let Some(version) = version {
            version.backends.extend(added);
        }
    }
    service
}

/// Lays the overlays that still hold over `config`, which is the file's but for weights; the others
/// are dropped and told.
pub(super) fn lay_over(config: &mut Config, overlays: &mut BackendOverlays) -> Vec<String> {
    let mut told = Vec::new();
    overlays.retain(|name, overlays| {
        let Some(at) = config
            .services
            .iter()
            .position(|service| service.name == *name)
        else {
            told.push(format!(
                "service {name} is configured no more; what was set at run time for its backends \
                 is dropped"
            ));
            return false;
        };
        let file = config.services[at].clone();
        overlays.retain(|backend, overlay| {
            let holds =
                of_file(&file, backend) == overlay.file && file.version(&overlay.version).is_some();
            if !holds {
                told.push(format!(
                    "service {name}: the file changed backend {backend}; \"{}\", set at run time \
                     by {}, is dropped",
                    overlay.words(),
                    overlay.by
                ));
            }
            holds
        });
        config.services[at] = with_overlays(&file, overlays).into();
        if config.services[at] == file {
            return !overlays.is_empty();
        }
        if let Err(errors) = check_again(config) {
            let why = errors.0.first().map(|error| error.message.clone());
            told.push(format!(
                "service {name}: backends added and removed at run time do not fit the file any \
                 more and are dropped: {}",
                why.unwrap_or_default()
            ));
            config.services[at] = file;
            overlays.retain(|_, overlay| overlay.presence == Presence::File);
        }
        !overlays.is_empty()
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    fn config(stable: &str) -> Config {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
             [service.shop.version.stable]\nbaseline = true\nbackends = [{stable}]\n"
        );
        parse_str("test.toml", &text).expect("a valid configuration")
    }

    fn overlay(presence: Presence, state: AdminState, file: Option<u16>) -> BackendOverlay {
        BackendOverlay {
            version: "stable".into(),
            presence,
            state,
            file: file.map(|weight| FileBackend {
                version: "stable".into(),
                weight,
            }),
            by: "uid 0".into(),
            at: String::new(),
            reason: None,
        }
    }

    const ADDED: Presence = Presence::Added { weight: 7 };

    /// The backends of the file and the overlays on 10.0.0.1 and 10.0.0.3; what is in force then,
    /// how many overlays are left, and what is told.
    fn lay(
        stable: &str,
        first: BackendOverlay,
        third: BackendOverlay,
    ) -> (Vec<(String, u16)>, usize, Vec<String>) {
        let mut config = config(stable);
        let of_shop = [("10.0.0.1:80", first), ("10.0.0.3:80", third)]
            .map(|(name, overlay)| (name.to_owned(), overlay));
        let mut overlays = BackendOverlays::from([("shop".to_owned(), of_shop.into())]);
        let told = lay_over(&mut config, &mut overlays);
        let backends = config.services[0].versions[0].backends.iter();
        let left = overlays.get("shop").map_or(0, BTreeMap::len);
        let backends = backends.map(|backend| (backend.to_string(), backend.weight));
        (backends.collect(), left, told)
    }

    #[test]
    fn overlays_hold_until_the_file_changes_that_backend() {
        let draining = || overlay(Presence::File, AdminState::Draining, Some(1));
        let added = || overlay(ADDED, AdminState::Active, None);
        let (first, second) = (("10.0.0.1:80".to_owned(), 1), ("10.0.0.2:80".to_owned(), 1));
        let third = ("10.0.0.3:80".to_owned(), 7);
        let all = "\"10.0.0.1:80\", \"10.0.0.2:80\"";
        let (backends, left, told) = lay(all, draining(), added());
        assert_eq!(backends, [first, second.clone(), third.clone()]);
        assert_eq!((left, told.len()), (2, 0));
        let (backends, left, told) = lay(
            "{ address = \"10.0.0.1:80\", weight = 2 }, \"10.0.0.2:80\"",
            draining(),
            added(),
        );
        assert_eq!((backends.len(), left, told.len()), (3, 1, 1), "{told:?}");
        assert!(told[0].contains("the file changed backend 10.0.0.1:80; \"draining\""));
        let with_third = format!("{all}, \"10.0.0.3:80\"");
        let (backends, left, told) = lay(&with_third, draining(), added());
        assert_eq!((backends[2].1, left), (1, 1), "the file wins");
        assert!(told[0].contains("\"added to stable\""), "{told:?}");
        let removed = overlay(Presence::Removed, AdminState::Active, Some(1));
        let (backends, left, _) = lay(all, removed, added());
        assert_eq!((backends, left), (vec![second, third], 2));
    }

    #[test]
    fn what_does_not_fit_the_file_any_more_is_dropped() {
        let removed = overlay(Presence::Removed, AdminState::Active, Some(1));
        let draining = overlay(Presence::File, AdminState::Draining, None);
        // The second backend, which was left, is gone from the file.
        let (backends, left, told) = lay("\"10.0.0.1:80\"", removed, draining);
        assert_eq!((backends.len(), left), (1, 1), "{told:?}");
        assert!(told[0].contains("do not fit the file any more"), "{told:?}");
        let mut gone = BackendOverlays::from([("till".to_owned(), BTreeMap::new())]);
        let told = lay_over(&mut config("\"10.0.0.1:80\""), &mut gone);
        assert!(gone.is_empty() && told[0].contains("till"), "{told:?}");
    }
}
