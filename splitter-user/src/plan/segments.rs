//! Owns what segments become: terms, cut points by place, and the list of conditions.

use splitter_common::{
    cohort,
    hash::{HashKey, siphash13},
    segment::{PLACES, Segments},
    split::Cuts,
};

use super::{
    PlanError,
    numbers::ServiceNumbers,
    prefixes::{self, PrefixList},
    service::cuts,
};
use crate::model::{Service, compile};

/// What stands in a service's row of its segments.
pub(super) struct SegmentsImage {
    /// Without the number of its list.
    pub(super) segments: Segments,
    /// By place.
    pub(super) cuts: [Cuts; PLACES],
    /// The conditions that hold of addresses.
    pub(super) conditions: PrefixList,
}

/// The segments of a service.
pub(super) fn segments_image(
    service: &Service,
    given: &ServiceNumbers,
) -> Result<SegmentsImage, PlanError> {
    let own = cuts(service, given)?;
    let mut image = SegmentsImage {
        segments: Segments::NONE,
        cuts: [own; PLACES],
        conditions: PrefixList::default(),
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
    image.conditions = prefixes::conditions(compiled.asked.iter().copied());
    Ok(image)
}

/// What a segment's name is in a row; never 0.
pub(super) fn owner(name: &str) -> u64 {
    siphash13(HashKey::default(), name.as_bytes()).max(1)
}
