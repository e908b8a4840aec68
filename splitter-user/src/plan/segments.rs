//! Owns what segments become: terms, cut points by place, and the list of conditions.

use splitter_common::{
    cohort,
    hash::{HashKey, siphash13},
    layout::options,
    segment::{PLACES, Segments},
    split::Cuts,
    traits::TraitsRow,
};

use super::{
    PlanError,
    devices::{self, DeviceNumbers},
    numbers::ServiceNumbers,
    prefixes::{self, PrefixList},
    service::cuts,
};
use crate::model::{Service, TraitSet, TraitSettings, compile, trait_condition};

/// What stands in a service's row of its segments.
pub(super) struct SegmentsImage {
    /// Without the number of its list.
    pub(super) segments: Segments,
    /// By place.
    pub(super) cuts: [Cuts; PLACES],
    /// The conditions that hold of addresses.
    pub(super) conditions: PrefixList,
    /// Bits of `layout::options` for what they ask.
    pub(super) options: u32,
}

/// The segments of a service.
pub(super) fn segments_image(
    service: &Service,
    given: &ServiceNumbers,
    devices: &DeviceNumbers,
) -> Result<SegmentsImage, PlanError> {
    let own = cuts(service, given)?;
    let mut image = SegmentsImage {
        segments: Segments::NONE,
        cuts: [own; PLACES],
        conditions: PrefixList::default(),
        options: 0,
    };
    let compiled = compile(&service.segments).map_err(|error| {
        PlanError::Missing(format!("room in service {}: {error}", service.name))
    })?;
    let Segments {
        owners,
        terms,
        places,
        used,
        ..
    } = &mut image.segments;
    for segment in &service.segments {
        let place = usize::from(given.place(&segment.name)?);
        owners[place] = owner(&segment.name);
        image.cuts[place] = cuts(&service.under(segment), given)?;
    }
    for (at, (position, term)) in compiled.terms.iter().enumerate() {
        terms[at] = *term;
        places[at] = given.place(&service.segments[*position].name)?;
        *used += 1;
    }
    for (at, name) in compiled.cohorts.iter().enumerate() {
        image.segments.cohorts[at] = cohort::number(name);
    }
    if !compiled.traits.is_empty() {
        image.options = options::TRAITS;
        image.segments.traits = traits_row(&compiled.traits, &service.traits, devices)?;
        let of_device = |set: &TraitSet<'_>| matches!(set, TraitSet::Device(_));
        if compiled.traits.iter().any(of_device) {
            image.options |= options::DEVICES;
        }
    }
    image.conditions = prefixes::conditions(compiled.asked.iter().copied());
    Ok(image)
}

/// What a service asks of traits, and how they are found.
fn traits_row(
    sets: &[TraitSet<'_>],
    settings: &TraitSettings,
    devices: &DeviceNumbers,
) -> Result<TraitsRow, PlanError> {
    let mut row = TraitsRow {
        latch_s: settings.latch.as_secs() as u32,
        half_window_s: (settings.window.as_secs() / 2) as u32,
        normal_from: settings.normal_from,
        heavy_from: settings.heavy_from,
        ..TraitsRow::NONE
    };
    for (at, set) in sets.iter().enumerate() {
        let bit = trait_condition(at);
        match set {
            TraitSet::Device(classes) => {
                for class in *classes {
                    row.devices[usize::from(devices::number(devices, class)?)] |= bit;
                }
            }
            TraitSet::Activity(activities) => {
                for activity in &activities.0 {
                    row.activities[*activity as usize] |= bit;
                }
            }
        }
    }
    Ok(row)
}

/// What a segment's name is in a row; never 0.
pub(super) fn owner(name: &str) -> u64 {
    siphash13(HashKey::default(), name.as_bytes()).max(1)
}
