//! Owns who is in which segment, said by the plain words of the configuration.
//!
//! DESIGN, section 5: segments are asked in their order and the first that has the client decides; it
//! has weights of its own, and the same place on the line is cut by those.

use std::net::IpAddr;

use splitter_user::model::{Condition, Segment, Service};

/// The weight of each version for a client, in parts per million; `None` for a baseline, which takes
/// the rest.
pub(super) fn weights(service: &Service, client: IpAddr) -> Vec<Option<u64>> {
    let segment = of(service, client);
    let weight = |version: &splitter_user::model::Version| match segment {
        Some(segment) => segment
            .weights
            .get(&version.name)
            .map_or(0, |each| each.ppm()),
        None => version.weight.ppm(),
    };
    let versions = service.versions.iter();
    versions
        .map(|version| (!version.baseline).then(|| u64::from(weight(version))))
        .collect()
}

/// Whether a segment says where a client goes.
pub(super) fn is_forced(service: &Service, client: IpAddr) -> bool {
    of(service, client).is_some()
}

fn of(service: &Service, client: IpAddr) -> Option<&Segment> {
    let mut segments = service.segments.iter();
    segments.find(|segment| holds(&segment.condition, client))
}

fn holds(condition: &Condition, client: IpAddr) -> bool {
    match condition {
        Condition::Prefix(set) => {
            let mut prefixes = set.prefixes().iter();
            prefixes.any(|prefix| prefix.contains(&client))
        }
        // Nobody is a member where packets are compared.
        Condition::Cohort(_) => false,
        // Nor does any configuration that is compared ask for these.
        Condition::Device(_) | Condition::Activity(_) => false,
        Condition::All(parts) => !parts.iter().any(|part| !holds(part, client)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, client)),
        Condition::Not(part) => !holds(part, client),
    }
}
