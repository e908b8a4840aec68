//! Owns what one service becomes: its row with salt and cut points, and its tables.

use std::collections::BTreeMap;

use splitter_common::{
    address::{Address, Family},
    capacity::MAX_VERSIONS,
    evidence::SLOTS,
    flow::limit::Limit,
    hash::HashKey,
    layout::{self, Empty, ServiceRow, TableRef, VersionRow, options},
    maglev::{self, Member},
    split::{Cuts, SplitError},
};

use super::{
    PlanError,
    devices::DeviceNumbers,
    evidence::Judged,
    numbers::{ServiceNumbers, backend_identity},
    prefixes::{PrefixList, list},
    segments::segments_image,
};
use crate::{
    model::{Affinity, Backend, OnEmpty, Protocol, Service, SplitKey, Version},
    secret::Secret,
};

/// One service's row and tables.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceImage {
    /// The service's name.
    pub name: String,
    /// The row; its `tables` have the right cells but page 0, and its lists are none, until they
    /// have a place.
    pub row: ServiceRow,
    /// Who speaks to backends directly.
    pub direct: PrefixList,
    /// Who is not served.
    pub deny: PrefixList,
    /// Who alone is served; empty: all.
    pub allow: PrefixList,
    /// The conditions of its segments that hold of addresses.
    pub conditions: PrefixList,
    /// After how many seconds flows end that were open before this commit.
    pub ends_after_s: Option<u32>,
    /// Since when evidence is kept of it, where it is.
    pub ledger: Option<LedgerImage>,
    /// Table cells by version index and family (0: IPv4, 1: IPv6); cells are backend numbers.
    pub tables: BTreeMap<(usize, usize), Vec<u16>>,
}

/// A ledger as the kernel is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerImage {
    /// The ledger, from 0.
    pub number: u32,
    /// The commit that began the release.
    pub born: u32,
    /// The number of the service and the index of its baseline.
    pub baseline: (u32, u8),
    /// See `layout::LedgerRow::slots_born`.
    pub slots_born: [u32; SLOTS],
    /// See `layout::LedgerRow::slow_us`: what the service promises; 0 for nothing.
    pub late_us: u32,
}

/// The row and tables of a service.
pub(super) fn service_image(
    service: &Service,
    given: &ServiceNumbers,
    devices: &DeviceNumbers,
    secret: &Secret,
) -> Result<ServiceImage, PlanError> {
    let tables = tables(service, given, secret)?;
    let mut versions = [VersionRow::default(); MAX_VERSIONS];
    for version in &service.versions {
        let numbered = given.version(&version.name)?;
        let index = usize::from(numbered.index);
        versions[index].born = numbered.born;
        for family in 0..2 {
            let cells = tables.get(&(index, family)).map_or(0, Vec::len) as u32;
            versions[index].tables[family] = TableRef { page: 0, cells };
        }
        versions[index].empty = [0, 1].map(|family| empty(version, family) as u16);
    }
    let segments = segments_image(service, given, devices)?;
    let affinity = |protocol| match service.affinity_for(protocol) {
        Affinity::Flow => layout::Affinity::Flow as u8,
        Affinity::Client => layout::Affinity::Client as u8,
    };
    let row = ServiceRow {
        salt: salt(service, secret),
        backend_key: secret.derive("backend", &[&service.name]),
        cuts: segments.cuts,
        segments: segments.segments,
        versions,
        generation: given.generation,
        born: given.born,
        key: key_of(service.key) as u8,
        affinity_tcp: affinity(Protocol::Tcp),
        affinity_udp: affinity(Protocol::Udp),
        baseline: given.version(baseline_name(service)?)?.index,
        direct: 0,
        fail_safe: u32::from(service.falls_back()),
        deny: 0,
        allow: 0,
        options: segments.options | if service.http1 { options::HTTP1 } else { 0 },
        limits: [service.limits.all, service.limits.each].map(|limit| {
            limit.map_or_else(Limit::default, |limit| {
                Limit::new(limit.flows_per_s, limit.burst)
            })
        }),
        ledger: given.judged.as_ref().map_or(0, |judged| judged.ledger + 1),
        slot: given
            .judged
            .as_ref()
            .map_or(0, |judged| u16::from(judged.slot())),
        judged_until: given.judged.as_ref().map_or(0, Judged::until),
    };
    Ok(ServiceImage {
        name: service.name.clone(),
        row,
        direct: list([service.direct.as_slice()]),
        deny: list([service.deny.as_slice()]),
        allow: list([service.allow.as_slice()]),
        conditions: segments.conditions,
        ends_after_s: given
            .ending
            .filter(|ending| ending.generation == given.generation)
            .map(|ending| ending.after_s),
        ledger: given.judged.as_ref().map(|judged| LedgerImage {
            number: u32::from(judged.ledger),
            born: judged.born,
            baseline: (u32::from(given.number), row.baseline),
            slots_born: judged.slots_born(),
            late_us: service.turn_slo.map_or(0, |slo| slo.as_micros() as u32),
        }),
        tables,
    })
}

/// The salt of the split law: secret, service or salt group, release.
pub fn salt(service: &Service, secret: &Secret) -> HashKey {
    let (purpose, parts) = salt_parts(service);
    secret.derive(purpose, &parts)
}

/// Sixteen hex digits by which salts can be compared; they say nothing about the salt.
pub fn salt_id(service: &Service, secret: &Secret) -> String {
    let (purpose, parts) = salt_parts(service);
    let id = secret
        .derive("id of a salt", &[purpose, parts[0], parts[1]])
        .k0;
    format!("{id:016x}")
}

fn salt_parts(service: &Service) -> (&'static str, [&str; 2]) {
    match &service.salt_group {
        Some(group) => ("salt of a group", [group, &service.release]),
        None => ("salt of a service", [&service.name, &service.release]),
    }
}

/// The key as a row has it.
pub(super) const fn key_of(key: SplitKey) -> layout::SplitKey {
    match key {
        SplitKey::Client => layout::SplitKey::Client,
        SplitKey::Client24 => layout::SplitKey::Client24,
        SplitKey::Flow => layout::SplitKey::Flow,
    }
}

fn baseline_name(service: &Service) -> Result<&str, PlanError> {
    let baseline = service.baseline();
    baseline
        .map(|version| version.name.as_str())
        .ok_or_else(|| PlanError::Missing(format!("baseline of service {}", service.name)))
}

/// The cut points of a service's weights, whose versions are positions in its list.
pub fn cuts_by_position(service: &Service) -> Result<Cuts, SplitError> {
    let weights: Vec<u32> = service
        .versions
        .iter()
        .map(|version| version.weight.ppm())
        .collect();
    let baseline = service.versions.iter().position(|version| version.baseline);
    Cuts::new(&weights, baseline.unwrap_or(usize::MAX))
}

/// The cut points: positions follow the order of the file, so that every host cuts alike,
/// whatever its numbers.
pub(super) fn cuts(service: &Service, given: &ServiceNumbers) -> Result<Cuts, PlanError> {
    let mut cuts = cuts_by_position(service).map_err(|error| {
        PlanError::Missing(format!(
            "valid weights of service {}: {error:?}",
            service.name
        ))
    })?;
    for position in &mut cuts.version {
        let version = &service.versions[usize::from(*position)];
        *position = given.version(&version.name)?.index;
    }
    Ok(cuts)
}

/// The Maglev tables by version index and family.
fn tables(
    service: &Service,
    given: &ServiceNumbers,
    secret: &Secret,
) -> Result<BTreeMap<(usize, usize), Vec<u16>>, PlanError> {
    let mut tables = BTreeMap::new();
    for version in &service.versions {
        let index = usize::from(given.version(&version.name)?.index);
        for family in 0..2 {
            let count = of_family(version, family).count();
            if count == 0 {
                continue;
            }
            let (server, size) = match stand_in(service, version, family) {
                None => (version, maglev::size_for(count)),
                Some(server) => (
                    server,
                    size_within(count, of_family(server, family).count()),
                ),
            };
            let key = secret.derive("table", &[&service.name, &version.name]);
            let cells = table(server, family, given, key, size)?;
            if cells[0] != 0 {
                tables.insert((index, family), cells);
            }
        }
    }
    Ok(tables)
}

/// The version that serves the clients of `version` while it has no backend: what its `on_empty`
/// comes to in the tables.
fn stand_in<'a>(service: &'a Service, version: &Version, family: usize) -> Option<&'a Version> {
    match empty(version, family) {
        Empty::Baseline => service.baseline(),
        Empty::No | Empty::Reset => None,
    }
}

/// What the kernel does with new flows of a version while it has no backend of a family.
/// (`keep` has been seen to by whoever gave the backends their weights.)
fn empty(version: &Version, family: usize) -> Empty {
    let mut backends = of_family(version, family).peekable();
    if backends.peek().is_none() || backends.any(|each| each.weight > 0) {
        return Empty::No;
    }
    match version.on_empty() {
        OnEmpty::Baseline => Empty::Baseline,
        OnEmpty::Reset => Empty::Reset,
        // Without a table.
        OnEmpty::Keep | OnEmpty::Drop => Empty::No,
    }
}

/// The size of a table of `guests` backends that takes no more pages than one of `own` backends,
/// so that there is always room for it.
fn size_within(own: usize, guests: usize) -> u32 {
    let room = maglev::pages_for(maglev::size_for(own));
    let wanted = maglev::size_for(guests);
    let fits = |size: &u32| *size <= wanted && maglev::pages_for(*size) <= room;
    let largest = maglev::SIZES.into_iter().rfind(fits);
    largest.unwrap_or(maglev::SIZES[0])
}

/// Backends of one family: 0: IPv4, 1: IPv6.
fn of_family(version: &Version, family: usize) -> impl Iterator<Item = &Backend> {
    version.backends.iter().filter(move |backend| {
        let this = match Address::from(backend.address).family() {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        this == family
    })
}

/// The cells of a table of `size`; all 0 when no backend has a weight.
fn table(
    version: &Version,
    family: usize,
    given: &ServiceNumbers,
    key: HashKey,
    size: u32,
) -> Result<Vec<u16>, PlanError> {
    let mut members = Vec::new();
    for backend in of_family(version, family) {
        let number = given.backend(&version.name, backend)?.number as u16;
        let identity = backend_identity(backend);
        members.push(Member::new(key, number, &identity, backend.weight, size));
    }
    let mut cells = vec![0; size as usize];
    maglev::fill(&mut cells, &mut members);
    Ok(cells)
}
