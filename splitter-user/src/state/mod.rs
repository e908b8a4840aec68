//! Owns what must survive the daemon: numbers, weights set at run time, and what the file said
//! when it was last applied. Where it is kept: [`dir`], in [`database`].

mod backends;
mod database;
mod dir;
mod segments;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitter_common::weight::Weight;

pub use backends::{BackendOverlay, BackendOverlays, Presence, of_file, with_overlays};
pub use dir::{StateDir, StateError};
pub use segments::{SegmentOverlays, segment_ppm};

use crate::{
    health::Records,
    model::{AdminState, Backend, Config, Service, Shared},
    plan::Numbers,
};

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

/// A release that is supervised: who began it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisionRecord {
    /// Who.
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
    /// The same of those that the hash decided; `None`: not known.
    #[serde(default)]
    pub by_hash: Option<BTreeMap<String, u64>>,
    /// Bytes both ways by version at that moment; `None`: not known.
    #[serde(default)]
    pub bytes: Option<BTreeMap<String, u64>>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Numbers in force, or about to be.
    pub numbers: Numbers,
    /// By service.
    pub overlays: BTreeMap<String, OverlayRecord>,
    /// By service.
    #[serde(default)]
    pub supervised: BTreeMap<String, SupervisionRecord>,
    /// What the file last said, in parts per million, by service and version.
    pub file_weights_ppm: Shared<BTreeMap<String, BTreeMap<String, u32>>>,
    /// By service.
    #[serde(default)]
    pub segment_overlays: BTreeMap<String, SegmentOverlays>,
    /// What the file last said of segments, in parts per million, by service, segment and version.
    #[serde(default)]
    pub file_segments_ppm: BTreeMap<String, BTreeMap<String, BTreeMap<String, u32>>>,
    /// By service.
    pub since: BTreeMap<String, Shared<Since>>,
    /// What was set at run time for single backends.
    #[serde(default)]
    pub backends: BackendOverlays,
    /// The backends that were out for their health.
    #[serde(default)]
    pub health: Records,
}

impl State {
    /// What the operator wants of a backend.
    pub fn admin(&self, service: &Service, backend: &Backend) -> AdminState {
        self.backends
            .get(&service.name)
            .and_then(|overlays| overlays.get(&backend.to_string()))
            .map_or(AdminState::Active, |overlay| overlay.state)
    }

    /// The configuration in force: the file's, with the overlays that still hold. An overlay of
    /// a version whose weight changed in the file is dropped, and so is one that no longer fits;
    /// what was dropped is told.
    pub fn effective(&mut self, file: &Config) -> (Config, Vec<String>) {
        let mut told = Vec::new();
        let mut config = file.clone();
        for service in &mut config.services {
            let supervised = self.supervised.contains_key(&service.name);
            if service.supervised != supervised {
                service.supervised = supervised;
            }
            let last = self.file_weights_ppm.get(&service.name);
            let Some(overlay) = self.overlays.get_mut(&service.name) else {
                continue;
            };
            let about = format!("service {}: ", service.name);
            *service = segments::lay_over(service, overlay, last, &about, &mut told).into();
        }
        self.lay_over_segments(&mut config, &mut told);
        let names: Vec<&String> = config
            .services
            .iter()
            .map(|service| &service.name)
            .collect();
        self.overlays.retain(|name, overlay| {
            if !names.contains(&name) {
                told.push(format!(
                    "service {name} is configured no more; its weights set at run time are dropped"
                ));
            }
            !overlay.weights_ppm.is_empty() && names.contains(&name)
        });
        self.supervised.retain(|name, _| names.contains(&name));
        self.since.retain(|name, _| names.contains(&name));
        told.extend(backends::lay_over(&mut config, &mut self.backends));
        let of_file = file.services().map(|s| (s.name.clone(), own_ppm(s)));
        let of_file: BTreeMap<_, _> = of_file.collect();
        self.file_weights_ppm = of_file.into();
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
    fn an_overlay_that_no_longer_fits_is_dropped_and_names_its_service() {
        let file = config("5%");
        let mut state = with_overlay(&file);
        let mut crowded = file.clone();
        let mut beta = crowded.services[0].versions[1].clone();
        beta.name = "beta".to_owned();
        beta.weight = Weight::from_ppm(950_000).expect("a weight");
        crowded.services[0].versions.push(beta);
        let (effective, told) = state.effective(&crowded);
        assert_eq!(canary_ppm(&effective), 50_000);
        // `weight set` takes what was told of its service back by that beginning.
        assert!(told[0].starts_with("service shop: "), "{told:?}");
        assert!(state.overlays.is_empty());
    }
}
