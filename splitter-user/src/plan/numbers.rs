//! Owns the numbers: which service, frontend, version and backend has which, since when. They are
//! kept on disk, so that flows in the kernel keep their meaning across restarts.
//!
//! Invariants: a number keeps its owner as long as the owner is configured; a freed backend
//! number goes to the end of the line (`cursor`), so that it is not given away at once; backend
//! number 0 is never given, it marks an empty table cell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use splitter_common::{
    address::Address,
    capacity::{MAX_BACKENDS, MAX_FRONTENDS, MAX_SERVICES, MAX_VERSIONS},
};
use thiserror::Error;

use super::guard;
use crate::{
    model::{Backend, Config, Service, Vip},
    secret::Secret,
};

/// Why a configuration cannot become tables.
#[derive(Debug, Error)]
pub enum PlanError {
    /// More of something than the capacity.
    #[error("{wanted} {what} are configured, at most {limit} fit; see splitter_common::capacity")]
    Capacity {
        /// What.
        what: &'static str,
        /// How many.
        wanted: usize,
        /// How many fit.
        limit: usize,
    },
    /// No multiplier spreads the endpoints.
    #[error("{endpoints} addresses and ports of VIPs and backends do not fit the directory")]
    DirectoryFull {
        /// How many.
        endpoints: usize,
    },
    /// The salt would change while clients are in the canary.
    #[error(
        "service \"{service}\": {what} has changed, which would draw new clients for every \
         version, but \"{version}\" has weight {weight}; set every weight but the baseline's to \
         0% first (splitter weight set {service} {version}=0%), then change it"
    )]
    SaltInUse {
        /// The service.
        service: String,
        /// What changed: the release, the salt group, the cluster secret or the key.
        what: &'static str,
        /// A version with weight.
        version: String,
        /// Its weight.
        weight: String,
    },
    /// A version would get another part of the hash space while clients are in it.
    #[error(
        "service \"{service}\": {what}, which would move clients between versions, but \
         \"{version}\" has weight {weight}; leave the versions in their order (one that is no \
         longer wanted stays, at weight 0%), or set every weight but the baseline's to 0% first \
         (splitter weight set {service} {version}=0%)"
    )]
    PlaceInUse {
        /// The service.
        service: String,
        /// What changed.
        what: String,
        /// A version with weight.
        version: String,
        /// Its weight.
        weight: String,
    },
    /// A fault of the program: something was asked for that was never numbered.
    #[error("internal: no {0}")]
    Missing(String),
}

/// A number and the commit that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendNumber {
    /// The number.
    pub number: u16,
    /// The commit.
    pub born: u32,
}

/// A version's index and the commit that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionNumber {
    /// The index, below eight.
    pub index: u8,
    /// The commit.
    pub born: u32,
    /// What backends that are gone have counted, by `layout::Counter`.
    #[serde(default)]
    pub retired: [u64; 16],
}

/// A backend's number and the commit that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendNumber {
    /// The number.
    pub number: u32,
    /// The commit.
    pub born: u32,
    /// What the kernel's cells held when the number was given, by `layout::Counter`.
    #[serde(default)]
    pub base: [u64; 16],
}

/// All numbers of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceNumbers {
    /// The service's number.
    pub number: u16,
    /// The commit that gave it.
    pub born: u32,
    /// The commit that last changed the service.
    pub generation: u32,
    /// The service as of that commit, weights in force included.
    pub applied: Service,
    /// A digest of the salt.
    pub salt_digest: u64,
    /// By VIP.
    pub frontends: BTreeMap<String, FrontendNumber>,
    /// By version name.
    pub versions: BTreeMap<String, VersionNumber>,
    /// By version name and backend.
    pub backends: BTreeMap<String, BTreeMap<String, BackendNumber>>,
}

/// All numbers of this host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// The newest commit; 0 before the first.
    pub generation: u32,
    /// The last backend number given.
    pub cursor: u32,
    /// By service name.
    pub services: BTreeMap<String, ServiceNumbers>,
}

/// What identifies a backend on every host: its address, then its port, big-endian.
pub fn backend_identity(backend: &Backend) -> [u8; 18] {
    let mut identity = [0; 18];
    identity[..16].copy_from_slice(&Address::from(backend.address).bytes());
    identity[16..].copy_from_slice(&backend.port.unwrap_or(0).to_be_bytes());
    identity
}

impl ServiceNumbers {
    /// The number of a VIP.
    pub fn frontend(&self, vip: &Vip) -> Result<&FrontendNumber, PlanError> {
        let found = self.frontends.get(&vip.to_string());
        found.ok_or_else(|| PlanError::Missing(format!("frontend {vip}")))
    }

    /// The index of a version.
    pub fn version(&self, name: &str) -> Result<&VersionNumber, PlanError> {
        self.versions
            .get(name)
            .ok_or_else(|| PlanError::Missing(format!("version {name}")))
    }

    /// The number of a backend.
    pub fn backend(&self, version: &str, backend: &Backend) -> Result<&BackendNumber, PlanError> {
        let found = self
            .backends
            .get(version)
            .and_then(|all| all.get(&backend.to_string()));
        found.ok_or_else(|| PlanError::Missing(format!("backend {backend} of {version}")))
    }

    /// The name of the version with that index.
    pub fn version_name(&self, index: u8) -> Option<&str> {
        let found = self
            .versions
            .iter()
            .find(|(_, version)| version.index == index);
        found.map(|(name, _)| name.as_str())
    }

    /// The backend with that number: version and address.
    pub fn backend_name(&self, number: u32) -> Option<(&str, &str)> {
        self.backends.iter().find_map(|(version, backends)| {
            let found = backends
                .iter()
                .find(|(_, backend)| backend.number == number)?;
            Some((version.as_str(), found.0.as_str()))
        })
    }
}

impl Numbers {
    /// The numbers of a service.
    pub fn service(&self, name: &str) -> Result<&ServiceNumbers, PlanError> {
        self.services
            .get(name)
            .ok_or_else(|| PlanError::Missing(format!("service {name}")))
    }

    /// All backend numbers in use.
    pub fn backend_numbers(&self) -> impl Iterator<Item = &BackendNumber> {
        self.services
            .values()
            .flat_map(|service| service.backends.values())
            .flat_map(BTreeMap::values)
    }

    /// The numbers for `config`, as the commit after this one. `counters(number)` reads what the
    /// kernel's cells of a backend number hold. Services that do not change keep their
    /// generation; when nothing changes at all the numbers come back as they are.
    pub fn next(
        &self,
        config: &Config,
        secret: &Secret,
        counters: impl Fn(u32) -> [u64; 16],
    ) -> Result<Self, PlanError> {
        check_capacity(config)?;
        let mut giver = Giver::new(self, &counters);
        let mut services = BTreeMap::new();
        for service in &config.services {
            let old = self.services.get(&service.name);
            services.insert(service.name.clone(), giver.service(service, old, secret)?);
        }
        let next = Self {
            generation: giver.generation,
            cursor: giver.cursor,
            services,
        };
        Ok(if next.services == self.services {
            self.clone()
        } else {
            next
        })
    }
}

fn check_capacity(config: &Config) -> Result<(), PlanError> {
    let vips = config
        .services
        .iter()
        .map(|service| service.vips.len())
        .sum();
    let versions = || config.services.iter().flat_map(|service| &service.versions);
    let backends = versions().map(|version| version.backends.len()).sum();
    // One backend number is the empty cell.
    for (what, wanted, limit) in [
        ("services", config.services.len(), MAX_SERVICES as usize),
        ("VIPs", vips, MAX_FRONTENDS as usize),
        ("backends", backends, MAX_BACKENDS as usize - 1),
    ] {
        if wanted > limit {
            return Err(PlanError::Capacity {
                what,
                wanted,
                limit,
            });
        }
    }
    Ok(())
}

/// Gives numbers away within one commit.
struct Giver<'a, C> {
    generation: u32,
    cursor: u32,
    used_backends: BTreeSet<u32>,
    used_frontends: BTreeSet<u16>,
    used_services: BTreeSet<u16>,
    counters: &'a C,
}

impl<'a, C: Fn(u32) -> [u64; 16]> Giver<'a, C> {
    fn new(old: &Numbers, counters: &'a C) -> Self {
        let services = || old.services.values();
        Self {
            generation: old.generation + 1,
            cursor: old.cursor,
            used_backends: old
                .backend_numbers()
                .map(|backend| backend.number)
                .collect(),
            used_frontends: services()
                .flat_map(|service| service.frontends.values())
                .map(|frontend| frontend.number)
                .collect(),
            used_services: services().map(|service| service.number).collect(),
            counters,
        }
    }

    fn service(
        &mut self,
        service: &Service,
        old: Option<&ServiceNumbers>,
        secret: &Secret,
    ) -> Result<ServiceNumbers, PlanError> {
        let salt_digest = super::image::salt(service, secret).k0;
        if let Some(old) = old {
            guard::check(service, &old.applied, old.salt_digest != salt_digest)?;
        }
        let (number, born) = match old {
            Some(old) => (old.number, old.born),
            None => {
                let limit = MAX_SERVICES as u16;
                (
                    lowest_free(&mut self.used_services, limit, "service")?,
                    self.generation,
                )
            }
        };
        let mut frontends = BTreeMap::new();
        for vip in &service.vips {
            let name = vip.to_string();
            let kept = old.and_then(|old| old.frontends.get(&name)).copied();
            let given = match kept {
                Some(kept) => kept,
                None => FrontendNumber {
                    number: lowest_free(
                        &mut self.used_frontends,
                        MAX_FRONTENDS as u16,
                        "frontend",
                    )?,
                    born: self.generation,
                },
            };
            frontends.insert(name, given);
        }
        let backends = self.backends(service, old)?;
        let mut versions = self.versions(service, old)?;
        if let Some(old) = old {
            self.retire(old, &backends, &mut versions);
        }
        let mut given = ServiceNumbers {
            number,
            born,
            generation: old.map_or(self.generation, |old| old.generation),
            applied: service.clone(),
            salt_digest,
            frontends,
            versions,
            backends,
        };
        if old != Some(&given) {
            given.generation = self.generation;
        }
        Ok(given)
    }

    fn versions(
        &self,
        service: &Service,
        old: Option<&ServiceNumbers>,
    ) -> Result<BTreeMap<String, VersionNumber>, PlanError> {
        // An index freed by this very commit is not given away in it.
        let mut used: BTreeSet<u16> = old
            .map(|old| {
                old.versions
                    .values()
                    .map(|version| u16::from(version.index))
                    .collect()
            })
            .unwrap_or_default();
        let mut versions = BTreeMap::new();
        for version in &service.versions {
            let given = match old.and_then(|old| old.versions.get(&version.name)) {
                Some(kept) => *kept,
                None => VersionNumber {
                    index: lowest_free(&mut used, MAX_VERSIONS as u16, "version")? as u8,
                    born: self.generation,
                    retired: [0; 16],
                },
            };
            versions.insert(version.name.clone(), given);
        }
        Ok(versions)
    }

    fn backends(
        &mut self,
        service: &Service,
        old: Option<&ServiceNumbers>,
    ) -> Result<BTreeMap<String, BTreeMap<String, BackendNumber>>, PlanError> {
        let mut all = BTreeMap::new();
        for version in &service.versions {
            let old = old.and_then(|old| old.backends.get(&version.name));
            let mut given = BTreeMap::new();
            for backend in &version.backends {
                let name = backend.to_string();
                let number = match old.and_then(|old| old.get(&name)) {
                    Some(kept) => *kept,
                    None => self.backend()?,
                };
                given.insert(name, number);
            }
            all.insert(version.name.clone(), given);
        }
        Ok(all)
    }

    fn backend(&mut self) -> Result<BackendNumber, PlanError> {
        let after = self.cursor + 1..MAX_BACKENDS;
        let number = after
            .chain(1..self.cursor + 1)
            .find(|number| !self.used_backends.contains(number))
            .ok_or_else(|| PlanError::Missing("free backend number".to_owned()))?;
        self.used_backends.insert(number);
        self.cursor = number;
        let base = (self.counters)(number);
        Ok(BackendNumber {
            number,
            born: self.generation,
            base,
        })
    }

    /// Adds what vanishing backends have counted to their versions' totals.
    fn retire(
        &self,
        old: &ServiceNumbers,
        backends: &BTreeMap<String, BTreeMap<String, BackendNumber>>,
        versions: &mut BTreeMap<String, VersionNumber>,
    ) {
        for (name, old_backends) in &old.backends {
            let Some(version) = versions.get_mut(name) else {
                continue;
            };
            for (backend, number) in old_backends {
                if backends
                    .get(name)
                    .is_some_and(|kept| kept.contains_key(backend))
                {
                    continue;
                }
                let cells = (self.counters)(number.number);
                for ((total, cell), base) in version.retired.iter_mut().zip(cells).zip(number.base)
                {
                    *total += cell.saturating_sub(base);
                }
            }
        }
    }
}

fn lowest_free(used: &mut BTreeSet<u16>, limit: u16, what: &'static str) -> Result<u16, PlanError> {
    let free = (0..limit).find(|number| !used.contains(number));
    let number = free.ok_or_else(|| PlanError::Missing(format!("free {what} number")))?;
    used.insert(number);
    Ok(number)
}
