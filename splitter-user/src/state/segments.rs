//! Owns the weights that were set at run time for segments: which of them still hold.

use std::collections::BTreeMap;

use splitter_common::weight::Weight;

use super::{OverlayRecord, State, own_ppm, weights};
use crate::{
    config::apply_weights,
    model::{Config, Segment, Service},
};

/// Weights set at run time, by segment.
pub type SegmentOverlays = BTreeMap<String, OverlayRecord>;

/// A segment's own weights beside the baseline's, in parts per million.
pub fn segment_ppm(segment: &Segment) -> BTreeMap<String, u32> {
    let weights = segment.weights.iter();
    weights
        .map(|(name, weight)| (name.clone(), weight.ppm()))
        .collect()
}

impl State {
    /// Lays those that still hold over a configuration, and tells of the others.
    pub(super) fn lay_over_segments(&mut self, config: &mut Config, told: &mut Vec<String>) {
        let mut of_file = BTreeMap::new();
        for service in &mut config.services {
            let ppm = service.segments.iter();
            let ppm: BTreeMap<_, _> = ppm
                .map(|each| (each.name.clone(), segment_ppm(each)))
                .collect();
            let last = self
                .file_segments_ppm
                .remove(&service.name)
                .unwrap_or_default();
            if !ppm.is_empty() {
                of_file.insert(service.name.clone(), ppm);
            }
            let Some(overlays) = self.segment_overlays.get_mut(&service.name) else {
                continue;
            };
            let plain = service.clone();
            let about = format!("service {}: ", service.name);
            overlays.retain(|name, overlay| {
                let found = service.segments.iter_mut().find(|each| each.name == *name);
                let Some(segment) = found else {
                    told.push(format!(
                        "{about}segment {name} is configured no more; its weights set at run time \
                         are dropped"
                    ));
                    return false;
                };
                let about = format!("{about}segment {name}: ");
                let under = plain.under(segment);
                let with = lay_over(&under, overlay, last.get(name), &about, told);
                segment.weights = others(with);
                !overlay.weights_ppm.is_empty()
            });
        }
        self.file_segments_ppm = of_file;
        let names: Vec<&String> = config.services.iter().map(|each| &each.name).collect();
        self.segment_overlays
            .retain(|name, overlays| !overlays.is_empty() && names.contains(&name));
    }
}

/// A service with what still holds of an overlay laid over its weights; the rest is dropped from it
/// and told. `last`: what the file said when it was last applied. `about`: whose weights they are.
pub(super) fn lay_over(
    service: &Service,
    overlay: &mut OverlayRecord,
    last: Option<&BTreeMap<String, u32>>,
    about: &str,
    told: &mut Vec<String>,
) -> Service {
    let now = own_ppm(service);
    overlay.weights_ppm.retain(|version, ppm| {
        let now = now.get(version).copied();
        let then = last.and_then(|last| last.get(version)).copied();
        let keeps = now.is_some() && then == now;
        if !keeps {
            let weight = Weight::from_ppm(*ppm).unwrap_or_default();
            told.push(format!(
                "{about}the file changed {version}; the weight {weight} set at run time is dropped"
            ));
        }
        keeps
    });
    match apply_weights(service, &weights(&overlay.weights_ppm)) {
        Ok(with) => with,
        Err(error) => {
            told.push(format!(
                "{about}the weights set at run time are dropped, since they no longer fit the \
                 file: {error}"
            ));
            overlay.weights_ppm.clear();
            service.clone()
        }
    }
}

/// The weights of all but the baseline.
fn others(service: Service) -> BTreeMap<String, Weight> {
    let others = service.versions.into_iter().filter(|each| !each.baseline);
    others.map(|each| (each.name, each.weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    fn config(weight: &str, name: &str) -> Config {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
             segment = [{{ name = \"{name}\", match = {{ prefix = [\"192.0.2.0/24\"] }}, \
             weight = {{ canary = \"{weight}\" }} }}]\n\
             [service.shop.version.stable]\nbaseline = true\nbackends = [\"10.0.0.1:80\"]\n\
             [service.shop.version.canary]\nweight = \"5%\"\nbackends = [\"10.0.0.2:80\"]\n"
        );
        parse_str("test.toml", &text).expect("a valid configuration")
    }

    #[test]
    fn an_overlay_of_a_segment_stays_until_the_file_changes_that_weight() {
        let mut state = State::default();
        let file = config("100%", "staff");
        state.effective(&file);
        let record = OverlayRecord {
            weights_ppm: [("canary".to_owned(), 100_000)].into(),
            by: "uid 0".into(),
            at: String::new(),
            reason: None,
        };
        let overlays = [("staff".to_owned(), record)].into();
        state.segment_overlays.insert("shop".into(), overlays);
        let ppm = |config: &Config| config.services[0].segments[0].weights["canary"].ppm();
        let (effective, told) = state.effective(&file);
        assert_eq!((ppm(&effective), told.len()), (100_000, 0));
        let mut other = state.clone();
        let (effective, told) = other.effective(&config("40%", "staff"));
        assert_eq!((ppm(&effective), told.len()), (400_000, 1), "{told:?}");
        assert!(other.segment_overlays.is_empty());
        let (effective, told) = state.effective(&config("100%", "workers"));
        assert_eq!((ppm(&effective), told.len()), (1_000_000, 1), "{told:?}");
        assert!(
            told[0].starts_with("service shop: segment staff is"),
            "{told:?}"
        );
    }
}
