//! Owns the image: all rows and tables of one commit, before they have a place in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use splitter_common::{
    address::Address,
    device::DeviceRules,
    layout::{BackendRow, Endpoint, EndpointKind, FrontendRow},
};

use super::{
    PlanError, devices,
    numbers::{BackendNumber, Numbers, ServiceNumbers, VersionNumber},
    service::{ServiceImage, service_image},
};
use crate::{
    model::{Backend, Config, Service},
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
    /// The rules by which devices are known.
    pub devices: Box<DeviceRules>,
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
            devices: Box::new(devices::rules(&config.devices, &numbers.devices)?),
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
                let built = service_image(service, given, &numbers.devices, secret)?;
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
                    leaving: u8::from(backend.leaving),
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
