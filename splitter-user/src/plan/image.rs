//! Owns the image: all rows and tables of one commit, before they have a place in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use splitter_common::{
    address::{Address, Family},
    capacity::MAX_VERSIONS,
    layout::{
        self, BackendRow, Endpoint, EndpointKind, FrontendRow, ServiceRow, TableRef, VersionRow,
    },
    maglev::{self, Member},
    split::{Cuts, SplitError},
};

use super::{
    PlanError,
    numbers::{BackendNumber, Numbers, ServiceNumbers, VersionNumber, backend_identity},
};
use crate::{
    model::{Affinity, Backend, Config, Protocol, Service, SplitKey},
    secret::Secret,
};

/// What one commit puts into the kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The commit's number; never 0.
    pub generation: u32,
    /// VIPs, nat backends and VIP addresses.
    pub endpoints: Vec<Endpoint>,
    /// Rows by frontend number.
    pub frontends: BTreeMap<u32, FrontendRow>,
    /// Rows by backend number.
    pub backends: BTreeMap<u32, BackendRow>,
    /// Services that change, by number.
    pub services: BTreeMap<u32, ServiceImage>,
    /// The numbers of those that stay as they are in force.
    pub standing: BTreeSet<u32>,
}

/// One service's row and tables.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceImage {
    /// The service's name.
    pub name: String,
    /// The row; its `tables` have the right cells but page 0 until they have a place.
    pub row: ServiceRow,
    /// Table cells by version index and family (0: IPv4, 1: IPv6); cells are backend numbers.
    pub tables: BTreeMap<(usize, usize), Vec<u16>>,
}

impl Image {
    /// The image of `config` (with the weights in force in it) under `numbers`.
    pub fn build(config: &Config, numbers: &Numbers, secret: &Secret) -> Result<Self, PlanError> {
        Self::changes(config, numbers, secret, 0)
    }

    /// The same, with rows and tables only of services that a commit after generation `in_force`
    /// has changed: the others stand.
    pub fn changes(
        config: &Config,
        numbers: &Numbers,
        secret: &Secret,
        in_force: u32,
    ) -> Result<Self, PlanError> {
        let mut image = Self {
            generation: numbers.generation,
            endpoints: Vec::new(),
            frontends: BTreeMap::new(),
            backends: BTreeMap::new(),
            services: BTreeMap::new(),
            standing: BTreeSet::new(),
        };
        let mut addresses = HashSet::new();
        for service in &config.services {
            let given = numbers.service(&service.name)?;
            let backends = numbered_backends(service, given)?;
            image.add_endpoints(service, given, &backends, &mut addresses)?;
            image.add_backends(given, &backends);
            if given.generation <= in_force {
                image.standing.insert(u32::from(given.number));
            } else {
                let built = service_image(service, given, secret)?;
                image.services.insert(u32::from(given.number), built);
            }
        }
        Ok(image)
    }

    /// A directory `in_force` with the backends of this image whose address and port nobody has
    /// there yet.
    pub fn with_new_backends(&self, in_force: &[Endpoint]) -> Vec<Endpoint> {
        let taken: BTreeSet<_> = in_force.iter().map(socket).collect();
        let new = self
            .endpoints
            .iter()
            .filter(|endpoint| is_backend(endpoint) && !taken.contains(&socket(endpoint)));
        in_force.iter().chain(new).copied().collect()
    }

    /// The services that get an address and port which another backend number has in the
    /// directory `in_force`. Until a directory of this image stands, that backend's replies would
    /// be taken for those of the other service.
    pub fn heirs(&self, in_force: &[Endpoint]) -> BTreeSet<u32> {
        let present: BTreeMap<_, u32> = in_force
            .iter()
            .filter(|endpoint| is_backend(endpoint))
            .map(|endpoint| (socket(endpoint), endpoint.number))
            .collect();
        let moved = self.endpoints.iter().filter(|endpoint| {
            let before = present.get(&socket(endpoint));
            is_backend(endpoint) && before.is_some_and(|number| *number != endpoint.number)
        });
        moved
            .filter_map(|endpoint| self.backends.get(&endpoint.number))
            .map(|row| u32::from(row.service))
            .collect()
    }

    fn add_endpoints(
        &mut self,
        service: &Service,
        given: &ServiceNumbers,
        backends: &[Numbered<'_>],
        addresses: &mut HashSet<IpAddr>,
    ) -> Result<(), PlanError> {
        for vip in &service.vips {
            let frontend = given.frontend(vip)?;
            let address = Address::from(vip.address);
            let protocol = vip.protocol.number();
            let vip_endpoint = Endpoint {
                address,
                port: vip.port,
                protocol,
                kind: EndpointKind::Vip as u8,
                frontend: frontend.number,
                zero: 0,
                number: u32::from(given.number),
                born: frontend.born,
            };
            self.endpoints.push(vip_endpoint);
            let kind = EndpointKind::VipAddress as u8;
            let of_address = Endpoint {
                address,
                kind,
                ..Endpoint::default()
            };
            if addresses.insert(vip.address) {
                self.endpoints.push(of_address);
            }
            for Numbered {
                backend, number, ..
            } in backends
            {
                let backend_address = Address::from(backend.address);
                if backend_address.family() != address.family() {
                    continue;
                }
                self.endpoints.push(Endpoint {
                    address: backend_address,
                    port: backend.port.unwrap_or(vip.port),
                    kind: EndpointKind::Backend as u8,
                    number: number.number,
                    ..vip_endpoint
                });
            }
            self.frontends.insert(
                u32::from(frontend.number),
                FrontendRow {
                    address,
                    port: vip.port,
                    service: given.number,
                    protocol,
                    born: frontend.born,
                    ..FrontendRow::default()
                },
            );
        }
        Ok(())
    }

    fn add_backends(&mut self, given: &ServiceNumbers, backends: &[Numbered<'_>]) {
        for Numbered {
            backend,
            version,
            number,
        } in backends
        {
            self.backends.insert(
                number.number,
                BackendRow {
                    address: Address::from(backend.address),
                    port: backend.port.unwrap_or(0),
                    service: given.number,
                    version: version.index,
                    born: number.born,
                    ..BackendRow::default()
                },
            );
        }
    }
}

/// A backend with its number and its version's.
struct Numbered<'a> {
    backend: &'a Backend,
    version: &'a VersionNumber,
    number: &'a BackendNumber,
}

/// Every backend of a service with its numbers.
fn numbered_backends<'a>(
    service: &'a Service,
    given: &'a ServiceNumbers,
) -> Result<Vec<Numbered<'a>>, PlanError> {
    let all = service
        .versions
        .iter()
        .flat_map(|version| version.backends.iter().map(move |each| (version, each)));
    all.map(|(version, backend)| {
        Ok(Numbered {
            backend,
            version: given.version(&version.name)?,
            number: given.backend(&version.name, backend)?,
        })
    })
    .collect()
}

fn is_backend(endpoint: &Endpoint) -> bool {
    endpoint.kind == EndpointKind::Backend as u8
}

/// What an endpoint is found by: address, port, protocol.
fn socket(endpoint: &Endpoint) -> ([u64; 2], u16, u8) {
    (endpoint.address.0, endpoint.port, endpoint.protocol)
}

fn service_image(
    service: &Service,
    given: &ServiceNumbers,
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
    }
    let affinity = |protocol| match service.affinity_for(protocol) {
        Affinity::Flow => layout::Affinity::Flow as u8,
        Affinity::Client => layout::Affinity::Client as u8,
    };
    let row = ServiceRow {
        salt: salt(service, secret),
        backend_key: secret.derive("backend", &[&service.name]),
        cuts: cuts(service, given)?,
        versions,
        generation: given.generation,
        born: given.born,
        key: key_of(service.key) as u8,
        affinity_tcp: affinity(Protocol::Tcp),
        affinity_udp: affinity(Protocol::Udp),
        baseline: given.version(baseline_name(service)?)?.index,
        zero: 0,
    };
    Ok(ServiceImage {
        name: service.name.clone(),
        row,
        tables,
    })
}

/// The salt of the split law: secret, service or salt group, release.
pub fn salt(service: &Service, secret: &Secret) -> splitter_common::hash::HashKey {
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
fn cuts(service: &Service, given: &ServiceNumbers) -> Result<Cuts, PlanError> {
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
        let key = secret.derive("table", &[&service.name, &version.name]);
        let mut by_family: HashMap<usize, Vec<_>> = HashMap::new();
        for backend in &version.backends {
            let family = match Address::from(backend.address).family() {
                Family::V4 => 0,
                Family::V6 => 1,
            };
            by_family.entry(family).or_default().push(backend);
        }
        for (family, backends) in by_family {
            let size = maglev::size_for(backends.len());
            let mut members = Vec::with_capacity(backends.len());
            for backend in backends {
                let number = given.backend(&version.name, backend)?.number as u16;
                let identity = backend_identity(backend);
                members.push(Member::new(key, number, &identity, backend.weight, size));
            }
            let mut cells = vec![0; size as usize];
            maglev::fill(&mut cells, &mut members);
            if cells[0] != 0 {
                tables.insert((index, family), cells);
            }
        }
    }
    Ok(tables)
}
