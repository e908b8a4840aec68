//! Owns what is told of segments: by the row and the list that are in force in the kernel.

use std::net::IpAddr;

use splitter_common::{address::Address, device, layout::ServiceRow, traits::Traits};

use super::{core::Core, explain, shown, status::overlay};
use crate::{
    api::{
        Refusal,
        types::{ByHash, SegmentStatus, SegmentTried, SegmentVersion, SegmentWeights},
    },
    model::{Segment, Service},
    plan::numbers::ServiceNumbers,
    state::OverlayRecord,
};

impl Core {
    /// The conditions of a service's segments that hold of a client, as the kernel finds them; `device` is the
    /// class that its SYN would have.
    pub(super) fn conditions(
        &self,
        number: u16,
        row: &ServiceRow,
        client: Address,
        device: u8,
    ) -> u32 {
        let traits = self.traits(number, row, client, device);
        let found = self.plane.conditions_lately(row, client, traits);
        found.unwrap_or_else(|error| {
            log::error!("the cohorts of a client cannot be read: {error}");
            self.plane.conditions_with(row, client, None, traits)
        })
    }

    /// The traits of a client by which a flow of it would be decided whose SYN shows this device class.
    pub(super) fn traits(
        &self,
        number: u16,
        row: &ServiceRow,
        client: Address,
        device: u8,
    ) -> Traits {
        let number = u32::from(number);
        self.plane.traits_lately(number, row, client, device)
    }
}

/// The segments that a client comes to, in their order; the one at `place` takes it.
pub(super) fn tried(service: &Service, given: &ServiceNumbers, place: usize) -> Vec<SegmentTried> {
    let takes = |segment: &Segment| {
        let own = given.segments.get(&segment.name);
        place != 0 && own.is_some_and(|own| usize::from(*own) == place)
    };
    let taken_by = service.segments.iter().position(takes);
    let line = |(at, segment): (usize, &Segment)| SegmentTried {
        name: segment.name.clone(),
        matches: segment.condition.to_string(),
        holds: match taken_by {
            Some(taken_by) if at > taken_by => None,
            Some(taken_by) => Some(at == taken_by),
            None => Some(false),
        },
    };
    service.segments.iter().enumerate().map(line).collect()
}

/// The segments whose condition holds of a client, by the terms in force.
pub(super) fn holding(
    core: &Core,
    service: &Service,
    client: IpAddr,
) -> Result<Vec<String>, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    let conditions = core.conditions(given.number, &row, Address::from(client), device::UNKNOWN);
    let terms = || row.segments.terms.iter().zip(&row.segments.places);
    let holds = |segment: &&Segment| {
        let place = given.segments.get(&segment.name);
        terms().any(|(term, of)| Some(of) == place && term.holds(conditions) == 1)
    };
    let segments = service.segments.iter().filter(holds);
    Ok(segments.map(|segment| segment.name.clone()).collect())
}

/// The segment at a place.
pub(super) fn at<'s>(
    service: &'s Service,
    given: &ServiceNumbers,
    place: usize,
) -> Option<&'s Segment> {
    let mut owners = given.segments.iter();
    let (name, _) = owners.find(|(_, own)| usize::from(**own) == place)?;
    service.segment(name)
}

/// Every segment of a service and what went where.
pub(super) fn statuses(
    core: &Core,
    service: &Service,
    given: &ServiceNumbers,
) -> Vec<SegmentStatus> {
    let segments = service.segments.iter();
    segments
        .map(|segment| {
            let place = given.segments.get(&segment.name).copied().unwrap_or(0);
            let flows = flows(core, given, place);
            let weights = service.under(segment).weights();
            let of_file = of_file(core, service, segment).map(|file| file.weights());
            let versions = service.versions.iter().map(|version| SegmentVersion {
                version: version.name.clone(),
                weight: weights
                    .get(&version.name)
                    .copied()
                    .unwrap_or_default()
                    .to_string(),
                file_weight: of_file
                    .as_ref()
                    .and_then(|weights| weights.get(&version.name).copied())
                    .unwrap_or_default()
                    .to_string(),
                new_flows: flows.get(&version.name).copied().unwrap_or(0),
            });
            SegmentStatus {
                name: segment.name.clone(),
                matches: segment.condition.to_string(),
                versions: versions.collect(),
                overlay: record(core, service, segment).map(overlay),
            }
        })
        .collect()
}

/// New flows by version of clients at a place; 0: in no segment.
pub(super) fn flows(core: &Core, given: &ServiceNumbers, place: u8) -> ByHash {
    let number = u32::from(given.number);
    let versions = given.versions.iter();
    versions
        .map(|(name, version)| {
            let flows = core.plane.maps().assigned(number, place, version.index);
            (name.clone(), flows)
        })
        .collect()
}

/// The weights in force of every segment of a service.
pub(super) fn weights(core: &Core, service: &Service) -> Result<Vec<SegmentWeights>, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    let segments = service.segments.iter();
    segments
        .map(|segment| {
            let place = given.place(&segment.name).map_err(Refusal::internal)?;
            let under = service.under(segment);
            let file = of_file(core, service, segment);
            let record = record(core, service, segment);
            let version = |version| shown::in_force(&under, file.as_ref(), record, version);
            Ok(SegmentWeights {
                segment: segment.name.clone(),
                matches: segment.condition.to_string(),
                versions: under.versions.iter().map(version).collect(),
                cuts: explain::cuts(&row.cuts[usize::from(place)], given),
            })
        })
        .collect()
}

/// A segment as the file has it, seen by its clients.
fn of_file(core: &Core, service: &Service, segment: &Segment) -> Option<Service> {
    let file = core.file.service(&service.name)?;
    Some(file.under(file.segment(&segment.name)?))
}

fn record<'c>(core: &'c Core, service: &Service, segment: &Segment) -> Option<&'c OverlayRecord> {
    let overlays = core.state.segment_overlays.get(&service.name)?;
    overlays.get(&segment.name)
}
