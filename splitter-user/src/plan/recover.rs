//! Owns the way back from the kernel's tables to numbers and weights, for a state that was lost or
//! is older than they are: flows keep their meaning, and clients their version.

use std::collections::{BTreeMap, BTreeSet};

use splitter_common::{
    address::Address,
    layout::{BackendRow, COUNTERS, Endpoint, EndpointKind, ServiceRow},
    split::Cuts,
    weight::{WHOLE_PPM, Weight},
};

use super::{
    PlanError,
    base::Base,
    numbers::{BackendNumber, FrontendNumber, ServiceNumbers, VersionNumber},
    segments::owner,
    service::{cuts_by_position, key_of, salt, salt_id},
};
use crate::{
    model::{Backend, Segment, Service, Shared, SplitKey, Vip},
    secret::Secret,
};

/// What the kernel has in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// The directory.
    pub endpoints: Vec<Endpoint>,
    /// Rows of services by number.
    pub services: BTreeMap<u32, ServiceRow>,
    /// Rows of backends by number, those given back left out.
    pub backends: BTreeMap<u32, BackendRow>,
}

/// A service as the kernel has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// Its numbers; counters are based on 0.
    pub numbers: ServiceNumbers,
    /// The weights in force beside the baseline's, by version.
    pub weights: BTreeMap<String, Weight>,
    /// The same of its segments, by segment.
    pub segments: BTreeMap<String, BTreeMap<String, Weight>>,
}

/// The service as the kernel has it; `None` when it has none of its VIPs.
pub fn recover(
    service: &Service,
    in_force: &InForce,
    secret: &Secret,
) -> Result<Option<Recovered>, PlanError> {
    let endpoints = || {
        let of_vip = |vip| {
            in_force
                .endpoints
                .iter()
                .find(move |each| is_vip(each, vip))
        };
        service
            .vips
            .iter()
            .filter_map(move |vip| of_vip(vip).map(|endpoint| (vip, endpoint)))
    };
    let Some((_, first)) = endpoints().next() else {
        return Ok(None);
    };
    let Some(row) = in_force.services.get(&first.number) else {
        return Ok(None);
    };
    let (versions, backends) = versions_and_backends(service, in_force, first.number, row)?;
    let weights = weights(&row.cuts[0], &versions);
    let segments = segments(service, row, &versions);
    let applied = applied(service, row, &weights, &versions)?;
    let same_salt = salt(service, secret) == row.salt;
    let frontends = endpoints().filter(|(_, endpoint)| endpoint.number == first.number);
    let numbers = ServiceNumbers {
        number: first.number as u16,
        born: row.born,
        generation: row.generation,
        ending: None,
        // Evidence begins anew.
        judged: None,
        applied: Shared::from(Service {
            // The tables do not tell all that the file says: with no VIP this equals no service, so
            // that the next commit writes row and tables anew.
            vips: Vec::new(),
            release: if same_salt {
                service.release.clone()
            } else {
                String::new()
            },
            ..applied
        }),
        segments: segments
            .iter()
            .map(|each| (each.0.clone(), each.1))
            .collect(),
        salt_id: if same_salt {
            salt_id(service, secret)
        } else {
            String::new()
        },
        frontends: frontends
            .map(|(vip, endpoint)| {
                let given = FrontendNumber {
                    number: endpoint.frontend,
                    born: endpoint.born,
                };
                (vip.to_string(), given)
            })
            .collect(),
        versions,
        backends,
    };
    let others = |name: &String| service.version(name).is_some_and(|each| !each.baseline);
    Ok(Some(Recovered {
        numbers,
        weights: weights
            .into_iter()
            .filter(|(name, _)| others(name))
            .collect(),
        segments: segments
            .into_iter()
            .map(|(name, _, mut weights)| {
                weights.retain(|version, _| others(version));
                (name, weights)
            })
            .collect(),
    }))
}

type Versions = BTreeMap<String, VersionNumber>;
type Backends = BTreeMap<String, BTreeMap<String, BackendNumber>>;

/// Whose index is whose, by the backends that the kernel knows. An error when the file groups them
/// otherwise than the kernel does: which version is meant would be a guess.
fn versions_and_backends(
    service: &Service,
    in_force: &InForce,
    number: u32,
    row: &ServiceRow,
) -> Result<(Versions, Backends), PlanError> {
    let unrecoverable = || PlanError::Unrecoverable {
        service: service.name.clone(),
    };
    let of_index = |index: u8| VersionNumber {
        index,
        born: row.versions[usize::from(index)].born,
        retired: [0; COUNTERS],
    };
    let mut versions = Versions::new();
    let mut backends = Backends::new();
    for version in &service.versions {
        let mut given = BTreeMap::new();
        for backend in &version.backends {
            let is_it = |row: &&BackendRow| is_backend(row, backend, number);
            let found = in_force.backends.iter().find(|(_, row)| is_it(row));
            let Some((number, row_of)) = found else {
                continue;
            };
            let index = row_of.version;
            let known = versions
                .entry(version.name.clone())
                .or_insert_with(|| of_index(index));
            if known.index != index {
                return Err(unrecoverable());
            }
            let numbered = BackendNumber {
                number: *number,
                born: row_of.born,
                base: Base::default(),
            };
            given.insert(backend.to_string(), numbered);
        }
        backends.insert(version.name.clone(), given);
    }
    // A baseline whose backends were all replaced is known by the row.
    if let Some(baseline) = service.baseline() {
        versions
            .entry(baseline.name.clone())
            .or_insert_with(|| of_index(row.baseline));
    }
    let indices: BTreeSet<u8> = versions.values().map(|version| version.index).collect();
    if indices.len() < versions.len() {
        return Err(unrecoverable());
    }
    Ok((versions, backends))
}

fn is_vip(endpoint: &Endpoint, vip: &Vip) -> bool {
    endpoint.kind == EndpointKind::Vip as u8
        && endpoint.address == Address::from(vip.address)
        && (endpoint.port, endpoint.protocol) == (vip.port, vip.protocol.number())
}

fn is_backend(row: &BackendRow, backend: &Backend, service: u32) -> bool {
    u32::from(row.service) == service
        && row.address == Address::from(backend.address)
        && row.port == backend.port.unwrap_or(0)
}

/// The segments that the kernel knows: name, place, and weights in force.
fn segments(
    service: &Service,
    row: &ServiceRow,
    versions: &Versions,
) -> Vec<(String, u8, BTreeMap<String, Weight>)> {
    let known = |segment: &Segment| {
        let owner = owner(&segment.name);
        let place = row.segments.owners.iter().position(|each| *each == owner)?;
        let weights = weights(&row.cuts[place], versions);
        Some((segment.name.clone(), place as u8, weights))
    };
    service.segments.iter().filter_map(known).collect()
}

/// The weight in force of each version that the kernel knows.
fn weights(cuts: &Cuts, versions: &BTreeMap<String, VersionNumber>) -> BTreeMap<String, Weight> {
    let weight = |index: u8| {
        let own = cuts
            .intervals()
            .filter(|(version, ..)| *version == usize::from(index));
        let width: u64 = own
            .map(|(_, first, last)| u64::from(last) - u64::from(first) + 1)
            .sum();
        let ppm = (width * u64::from(WHOLE_PPM) + (1 << 31)) >> 32;
        Weight::from_ppm(ppm as u32).unwrap_or_default()
    };
    versions
        .iter()
        .map(|(name, version)| (name.clone(), weight(version.index)))
        .collect()
}

/// The service as it was last committed, as far as the tables tell. An error when the file divides
/// the hash space otherwise than they do, whatever its weights.
fn applied(
    service: &Service,
    row: &ServiceRow,
    weights: &BTreeMap<String, Weight>,
    versions: &BTreeMap<String, VersionNumber>,
) -> Result<Service, PlanError> {
    let mut applied = service.clone();
    for version in &mut applied.versions {
        let weight = weights.get(&version.name).copied().unwrap_or_default();
        version.weight = if version.baseline {
            Weight::ZERO
        } else {
            weight
        };
    }
    applied.key = [SplitKey::Client, SplitKey::Client24, SplitKey::Flow]
        .into_iter()
        .find(|key| key_of(*key) as u8 == row.key)
        .unwrap_or(service.key);
    let index = |position: usize| {
        let name = &applied.versions[position].name;
        versions.get(name).map(|version| usize::from(version.index))
    };
    let same = cuts_by_position(&applied).is_ok_and(|cuts| {
        let ours = cuts
            .intervals()
            .map(|(at, first, last)| (index(at), first, last));
        let theirs = row.cuts[0]
            .intervals()
            .map(|(at, first, last)| (Some(at), first, last));
        ours.eq(theirs)
    });
    if same {
        Ok(applied)
    } else {
        Err(PlanError::Unrecoverable {
            service: service.name.clone(),
        })
    }
}
