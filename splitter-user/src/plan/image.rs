//! Owns the image: all rows and tables of one commit, before they have a place in the kernel.
//!
//! Invariant: a service that no commit has changed since the one in force stands in the kernel whole, with
//! its sockets in the directory. An image has nothing of it but its number, so that what a commit costs
//! goes by what it changes.

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
    /// VIPs, nat backends and VIP addresses of the services that change.
    pub endpoints: Vec<Endpoint>,
    /// Their rows by frontend number.
    pub frontends: BTreeMap<u32, FrontendRow>,
    /// Their rows by backend number.
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

    /// The same, with sockets, rows and tables only of services that a commit after generation `in_force`
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
            if given.generation <= in_force {
                image.standing.insert(u32::from(given.number));
                continue;
            }
            let backends = numbered_backends(service, given)?;
            image.add_endpoints(service, given, &backends, &mut addresses)?;
            image.add_backends(given, &backends);
            let built = service_image(service, given, &numbers.devices, secret)?;
            image.services.insert(u32::from(given.number), built);
        }
        Ok(image)
    }

    /// All that the directory knows with this image in force: what those that stand have of `in_force`, and
    /// what this image has.
    pub fn directory(&self, in_force: &[Endpoint]) -> Vec<Endpoint> {
        let stays = self.stays(in_force);
        let kept = in_force.iter().filter(|endpoint| stays(endpoint));
        let mut all: Vec<Endpoint> = kept.copied().collect();
        let vips = all.iter().filter(|endpoint| is_vip(endpoint));
        let mut addresses: HashSet<Address> = vips.map(|endpoint| endpoint.address).collect();
        // The address of a VIP stands once, whoever has VIPs of it.
        all.extend(addresses.iter().copied().map(vip_address));
        let new = self.endpoints.iter();
        all.extend(new.filter(|each| !is_vip_address(each) || addresses.insert(each.address)));
        all
    }

    /// Whether a directory `in_force` knows all that and nothing else. The addresses of VIPs go by the VIPs.
    pub fn is_known(&self, in_force: &[Endpoint]) -> bool {
        let stays = self.stays(in_force);
        let changing = in_force.iter().filter(|endpoint| !stays(endpoint));
        keys(changing) == keys(self.endpoints.iter())
    }

    /// Which endpoints of a directory `in_force` are VIPs and backends of services that stand.
    fn stays(&self, in_force: &[Endpoint]) -> impl Fn(&Endpoint) -> bool + use<> {
        let vips = in_force.iter().filter(|endpoint| is_vip(endpoint));
        let stand = vips.filter(|vip| self.standing.contains(&vip.number));
        let frontends: HashSet<u16> = stand.map(|vip| vip.frontend).collect();
        move |endpoint| !is_vip_address(endpoint) && frontends.contains(&endpoint.frontend)
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
            if addresses.insert(vip.address) {
                self.endpoints.push(vip_address(address));
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

fn is_vip(endpoint: &Endpoint) -> bool {
    endpoint.kind == EndpointKind::Vip as u8
}

fn is_vip_address(endpoint: &Endpoint) -> bool {
    endpoint.kind == EndpointKind::VipAddress as u8
}

/// What stands for the address of VIPs, whatever the port.
fn vip_address(address: Address) -> Endpoint {
    Endpoint {
        address,
        kind: EndpointKind::VipAddress as u8,
        ..Endpoint::default()
    }
}

/// Everything of an endpoint, in an order.
type Key = ([u64; 2], u16, u8, u8, u16, u32, u32);

/// VIPs and backends, in an order.
fn keys<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> Vec<Key> {
    let endpoints = endpoints.filter(|endpoint| !is_vip_address(endpoint));
    let key = |endpoint: &Endpoint| {
        let Endpoint {
            address,
            port,
            protocol,
            kind,
            frontend,
            zero: _,
            number,
            born,
        } = *endpoint;
        (address.0, port, protocol, kind, frontend, number, born)
    };
    let mut keys: Vec<Key> = endpoints.map(key).collect();
    keys.sort_unstable();
    keys
}

fn is_backend(endpoint: &Endpoint) -> bool {
    endpoint.kind == EndpointKind::Backend as u8
}

/// What an endpoint is found by: address, port, protocol.
fn socket(endpoint: &Endpoint) -> ([u64; 2], u16, u8) {
    (endpoint.address.0, endpoint.port, endpoint.protocol)
}
