//! Owns the law of weights: the others take theirs, the baseline takes the rest.
//!
//! Invariant: a change that passes [`check_weights`] leaves the sum at 100 %. The file and
//! `weight set` are held to the same law by the same function. Unit: parts per million.

use std::collections::BTreeMap;

use splitter_common::weight::{WHOLE_PPM, Weight};
use thiserror::Error;

use super::nearest;
use crate::model::Service;

/// Why a set of weights cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// A version that the service does not have.
    #[error("service \"{service}\" has no version \"{version}\"{hint}")]
    NoSuchVersion {
        /// The service.
        service: String,
        /// The version asked for.
        version: String,
        /// What may have been meant.
        hint: String,
    },
    /// A segment that the service does not have.
    #[error("service \"{service}\" has no segment \"{segment}\"{hint}")]
    NoSuchSegment {
        /// The service.
        service: String,
        /// The segment asked for.
        segment: String,
        /// What may have been meant.
        hint: String,
    },
    /// The baseline was given something else than the rest.
    #[error(
        "service \"{service}\": \"{version}\" is the baseline and takes the rest, {rest} here, \
         not {asked}; set the other versions' weights instead"
    )]
    BaselineIsRest {
        /// The service.
        service: String,
        /// The baseline.
        version: String,
        /// What was asked for it.
        asked: Weight,
        /// What the others leave.
        rest: Weight,
    },
    /// More than there is.
    #[error(
        "service \"{service}\": the weights add up to {sum}, over 100% ({parts}); lower one of \
         them"
    )]
    Over {
        /// The service.
        service: String,
        /// The sum.
        sum: String,
        /// `canary 60% + beta 50%`.
        parts: String,
    },
}

/// Whether `service` could run with `weights` put over its own; versions that are not named keep
/// theirs. An empty map checks the service as it is.
pub fn check_weights(
    service: &Service,
    weights: &BTreeMap<String, Weight>,
) -> Result<(), WeightsError> {
    apply_weights(service, weights).map(|_| ())
}

/// `service` with `weights` put over its own, if that can be.
pub fn apply_weights(
    service: &Service,
    weights: &BTreeMap<String, Weight>,
) -> Result<Service, WeightsError> {
    let mut changed = service.clone();
    for (name, weight) in weights {
        let names: Vec<&str> = service.versions.iter().map(|v| v.name.as_str()).collect();
        let version = changed
            .versions
            .iter_mut()
            .find(|version| version.name == *name);
        let Some(version) = version else {
            return Err(WeightsError::NoSuchVersion {
                service: service.name.clone(),
                version: name.clone(),
                hint: nearest::hint(name, &names),
            });
        };
        if !version.baseline {
            version.weight = *weight;
        }
    }
    check_sum(&changed)?;
    let rest = changed.rest();
    let baseline = changed
        .baseline()
        .map(|version| version.name.as_str())
        .unwrap_or_default();
    match weights.get(baseline) {
        Some(asked) if *asked != rest => Err(WeightsError::BaselineIsRest {
            service: service.name.clone(),
            version: baseline.to_owned(),
            asked: *asked,
            rest,
        }),
        Some(_) | None => Ok(changed),
    }
}

/// `service` with `weights` put over those of a segment, if that can be.
pub fn apply_segment_weights(
    service: &Service,
    segment: &str,
    weights: &BTreeMap<String, Weight>,
) -> Result<Service, WeightsError> {
    let mut changed = service.clone();
    let found = changed.segments.iter_mut();
    let Some(segment) = found.into_iter().find(|each| each.name == segment) else {
        let names: Vec<&str> = service.segments.iter().map(|s| s.name.as_str()).collect();
        return Err(WeightsError::NoSuchSegment {
            service: service.name.clone(),
            segment: segment.to_owned(),
            hint: nearest::hint(segment, &names),
        });
    };
    let under = apply_weights(&service.under(segment), weights)?;
    let others = under.versions.into_iter().filter(|each| !each.baseline);
    segment.weights = others.map(|each| (each.name, each.weight)).collect();
    Ok(changed)
}

fn check_sum(service: &Service) -> Result<(), WeightsError> {
    let others = || service.versions.iter().filter(|version| !version.baseline);
    let sum: u64 = others()
        .map(|version| u64::from(version.weight.ppm()))
        .sum();
    if sum <= u64::from(WHOLE_PPM) {
        return Ok(());
    }
    let parts: Vec<String> = others()
        .map(|version| format!("{} {}", version.name, version.weight))
        .collect();
    Err(WeightsError::Over {
        service: service.name.clone(),
        sum: percent(sum),
        parts: parts.join(" + "),
    })
}

/// A sum of weights, which may be over 100 %, as [`Weight`] would print it.
fn percent(ppm: u64) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
