//! Owns what a start takes up: the state on disk where it fits what runs, else what the kernel's
//! own tables say.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use splitter_common::{
    layout::{COUNTERS, Counter},
    weight::Weight,
};

use super::{core::bytes, wall::now_text};
use crate::{
    dataplane::DataPlane,
    model::{Config, Service},
    plan::{
        Numbers, PlanError, Running as _,
        base::Base,
        numbers::VersionNumber,
        recover::{Recovered, recover},
    },
    secret::Secret,
    state::{OverlayRecord, SegmentOverlays, Since, State, own_ppm, segment_ppm},
};

/// The state to go on with, and what an operator should know of it.
pub(super) fn take_up(
    plane: &DataPlane,
    loaded: Option<State>,
    file: &Config,
    secret: &Secret,
) -> Result<(State, Vec<String>), PlanError> {
    if !plane.adopted() {
        let mut state = loaded.unwrap_or_default();
        count_anew(&mut state);
        return Ok((state, Vec::new()));
    }
    log::info!(
        "taking over the data plane, generation {}",
        plane.generation()
    );
    match loaded {
        // A commit is on disk before it is in the kernel, so only an older copy can be behind.
        Some(state) if state.numbers.generation >= plane.generation() => Ok((state, Vec::new())),
        Some(state) => {
            let why = "is older than the data plane, as one from a backup is";
            read_back(plane, state, file, secret, why)
        }
        None => {
            let why = "was lost while the data plane ran";
            let (state, mut told) = read_back(plane, State::default(), file, secret, why)?;
            told.push(
                "backends that were drained, disabled, added or removed at run time are as the \
                 file has them again"
                    .to_owned(),
            );
            Ok((state, told))
        }
    }
}

/// Numbers and weights as the tables in force have them. `why`: what is the matter with the file.
fn read_back(
    plane: &DataPlane,
    mut state: State,
    file: &Config,
    secret: &Secret,
    why: &str,
) -> Result<(State, Vec<String>), PlanError> {
    let in_force = plane.in_force();
    state.numbers = Numbers {
        generation: plane.generation(),
        cursor: in_force.backends.keys().next_back().copied().unwrap_or(0),
        services: BTreeMap::new(),
        devices: mem::take(&mut state.numbers.devices),
    };
    let mut told = vec![format!(
        "the state file {why}: numbers and weights were read back from the kernel, and totals \
         count from now"
    )];
    let mut numbers = BTreeSet::new();
    for service in &file.services {
        if let Some(recovered) = recover(service, &in_force, secret)? {
            if !numbers.insert(recovered.numbers.number) {
                // Two services of the file were one.
                return Err(PlanError::Unrecoverable {
                    service: service.name.clone(),
                });
            }
            told.extend(keep(plane, &mut state, service, recovered));
        }
    }
    for line in &told {
        log::warn!("{line}");
    }
    Ok((state, told))
}

/// Puts a service that was read back into the state; its weights lie over the file's.
fn keep(
    plane: &DataPlane,
    state: &mut State,
    service: &Service,
    recovered: Recovered,
) -> Option<String> {
    let Recovered {
        mut numbers,
        weights,
        segments,
    } = recovered;
    for number in numbers.backends.values_mut().flat_map(BTreeMap::values_mut) {
        number.base = plane.cells(number.number).into();
    }
    let name = &service.name;
    let number = u32::from(numbers.number);
    let by_hash = numbers.versions.iter().map(|(name, version)| {
        let flows = plane.maps().assigned(number, 0, version.index);
        (name.clone(), flows)
    });
    let since = Since {
        at: now_text(),
        new_flows: BTreeMap::new(),
        by_hash: Some(by_hash.collect()),
        bytes: Some(BTreeMap::new()),
    };
    state.numbers.services.insert(name.clone(), numbers.into());
    state.since.insert(name.clone(), since.into());
    let of_file = own_ppm(service);
    let over: BTreeMap<String, u32> = weights
        .iter()
        .map(|(version, weight)| (version.clone(), weight.ppm()))
        .filter(|(version, ppm)| of_file.get(version) != Some(ppm))
        .collect();
    state.file_weights_ppm.insert(name.clone(), of_file);
    keep_segments(state, service, &segments);
    if over.is_empty() {
        state.overlays.remove(name);
        return None;
    }
    let texts: Vec<String> = over
        .keys()
        .map(|version| format!("{version}={}", weights[version]))
        .collect();
    let record = OverlayRecord {
        weights_ppm: over,
        by: "the tables in force".to_owned(),
        at: now_text(),
        reason: None,
    };
    state.overlays.insert(name.clone(), record);
    Some(format!(
        "service {name}: {} was in force and is kept over the file's weights",
        texts.join(" ")
    ))
}

/// The same for the weights of segments.
fn keep_segments(
    state: &mut State,
    service: &Service,
    segments: &BTreeMap<String, BTreeMap<String, Weight>>,
) {
    let mut overlays = SegmentOverlays::new();
    let mut of_file = BTreeMap::new();
    for segment in &service.segments {
        let ppm = segment_ppm(segment);
        let found = segments.get(&segment.name).into_iter().flatten();
        let over: BTreeMap<String, u32> = found
            .map(|(version, weight)| (version.clone(), weight.ppm()))
            .filter(|(version, weight)| ppm.get(version) != Some(weight))
            .collect();
        of_file.insert(segment.name.clone(), ppm);
        if !over.is_empty() {
            let record = OverlayRecord {
                weights_ppm: over,
                by: "the tables in force".to_owned(),
                at: now_text(),
                reason: None,
            };
            overlays.insert(segment.name.clone(), record);
        }
    }
    state
        .file_segments_ppm
        .insert(service.name.clone(), of_file);
    state
        .segment_overlays
        .insert(service.name.clone(), overlays);
}

/// Fresh maps count from nothing: what numbers and shares were counted from goes with the old ones.
fn count_anew(state: &mut State) {
    for (name, given) in &mut state.numbers.services {
        for number in given.backends.values_mut().flat_map(BTreeMap::values_mut) {
            number.base = Base::default();
        }
        if let Some(since) = state.since.get_mut(name) {
            since.at = now_text();
            let retired = |of: fn(&[u64; COUNTERS]) -> u64| {
                let versions = given.versions.iter();
                let of = |(name, version): (&String, &VersionNumber)| {
                    (name.clone(), of(&version.retired))
                };
                versions.map(of).collect()
            };
            since.new_flows = retired(|cells| cells[Counter::NewFlows as usize]);
            since.by_hash = Some(BTreeMap::new());
            since.bytes = Some(retired(bytes));
        }
    }
}
