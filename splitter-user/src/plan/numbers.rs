//! Owns the numbers: which service, frontend, version and backend has which, since when. They are
//! kept on disk, so that flows in the kernel keep their meaning across restarts.
//!
//! Invariants: a number keeps its owner as long as the owner is configured; a freed backend
//! number goes to the end of the line (`cursor`), so that it is not given away at once; backend
//! number 0 is never given, it marks an empty table cell. A number that the limits have no room for
//! is given anew: limits change with all tables alone, when no flow names it any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitter_common::{address::Address, layout::COUNTERS};

use super::{
    PlanError,
    base::{Base, counts},
    devices::{self, DeviceNumbers},
    evidence::Judged,
    giver::{Giver, Running},
};
use crate::{
    model::{Backend, Config, Service, Shared, Vip, needs},
    secret::Secret,
};

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
    #[serde(
        default,
        deserialize_with = "counts",
        skip_serializing_if = "is_nothing"
    )]
    pub retired: [u64; COUNTERS],
}

/// A backend's number and the commit that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendNumber {
    /// The number.
    pub number: u32,
    /// The commit.
    pub born: u32,
    /// What the kernel's cells held when the number was given, by `layout::Counter`.
    #[serde(default, skip_serializing_if = "Base::is_nothing")]
    pub base: Base,
}

/// Whether nothing was counted, which is not worth its room in a file.
fn is_nothing(cells: &[u64; COUNTERS]) -> bool {
    *cells == [0; COUNTERS]
}

/// Flows older than a commit that end after it, unless their service would decide them the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The commit.
    pub generation: u32,
    /// After how many seconds; 0: at once.
    pub after_s: u32,
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
    pub applied: Shared<Service>,
    /// What that commit, or an earlier one of the service, said of flows that were open then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What is judged of its clients, where it is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Which salt: see [`super::service::salt_id`].
    pub salt_id: String,
    /// Places of segments by name; never 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, u8>,
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
    /// By service name. On disk each stands for itself, beside the rest.
    #[serde(default, skip_serializing)]
    pub services: BTreeMap<String, Shared<ServiceNumbers>>,
    /// Those of device classes.
    #[serde(default)]
    pub devices: DeviceNumbers,
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

    /// The place of a segment.
    pub fn place(&self, segment: &str) -> Result<u8, PlanError> {
        let found = self.segments.get(segment).copied();
        found.ok_or_else(|| PlanError::Missing(format!("segment {segment}")))
    }

    /// The number of a backend.
    pub fn backend(&self, version: &str, backend: &Backend) -> Result<&BackendNumber, PlanError> {
        let found = self
            .backends
            .get(version)
            .and_then(|all| all.get(&backend.to_string()));
        found.ok_or_else(|| PlanError::Missing(format!("backend {backend} of {version}")))
    }

    /// Whether clients are divided as under `other`: by the same weights and segments of the same hash.
    pub fn divides_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.applied, &other.applied);
        one.weights() == two.weights()
            && one.segments == two.segments
            && one.key == two.key
            && self.salt_id == other.salt_id
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
        let found = self.services.get(name).map(|given| &**given);
        found.ok_or_else(|| PlanError::Missing(format!("service {name}")))
    }

    /// Says that flows which were open before the commit of these numbers end, by service and after how
    /// many seconds. `before`: the numbers until then. A service that does not change otherwise
    /// changes for it.
    pub fn end_flows(&mut self, before: &Self, after_s: &BTreeMap<String, u32>) {
        for (name, after_s) in after_s {
            let Some(given) = self.services.get_mut(name) else {
                continue;
            };
            let Some(old) = before.services.get(name) else {
                continue;
            };
            if given.generation == old.generation {
                self.generation = before.generation + 1;
                given.generation = self.generation;
            }
            given.ending = Some(Ending {
                generation: given.generation,
                after_s: *after_s,
            });
        }
    }

    /// Begins the evidence of a service anew. `before`: the numbers until then. A service that does not
    /// change otherwise changes for it. `false`: the service is not judged.
    pub fn begin_evidence(&mut self, before: &Self, name: &str) -> bool {
        let generation = before.generation + 1;
        let Some(given) = self.services.get_mut(name) else {
            return false;
        };
        let Some(judged) = &given.judged else {
            return false;
        };
        let begun = Judged::begin(judged.ledger, generation);
        let begun = begun.with_weights(&given.applied, &given.versions, generation);
        self.generation = generation;
        given.generation = generation;
        given.judged = Some(begun);
        true
    }

    /// All backend numbers in use.
    pub fn backend_numbers(&self) -> impl Iterator<Item = &BackendNumber> {
        self.services
            .values()
            .flat_map(|service| service.backends.values())
            .flat_map(BTreeMap::values)
    }

    /// The numbers for `config`, as the commit after this one, given what the kernel holds.
    /// Services that do not change keep their generation; when nothing changes at all the numbers
    /// come back as they are.
    pub fn next(
        &self,
        config: &Config,
        secret: &Secret,
        running: &impl Running,
    ) -> Result<Self, PlanError> {
        check_capacity(config)?;
        let mut giver = Giver::new(self, running, config.limits);
        let mut services = BTreeMap::new();
        for service in &config.services {
            let old = self.services.get(&service.name);
            services.insert(service.name.clone(), giver.service(service, old, secret)?);
        }
        let next = Self {
            generation: giver.generation,
            cursor: giver.cursor,
            services,
            devices: devices::numbers(&config.devices, &self.devices),
        };
        // What is kept of the services is what was configured now: what was read back from the disk
        // has of long lists no more than their digests.
        Ok(if next.services == self.services {
            Self {
                generation: self.generation,
                cursor: self.cursor,
                ..next
            }
        } else {
            next
        })
    }
}

/// Whether there are numbers for all. What tables and directory have room for shows when they are
/// built.
fn check_capacity(config: &Config) -> Result<(), PlanError> {
    let mut needs = needs(config.services(), &config.limits).into_iter();
    let numbered = [Some("services"), Some("vips"), Some("backends")];
    match needs.find(|need| !need.fits() && numbered.contains(&need.key)) {
        Some(need) => Err(PlanError::Capacity(need)),
        None => Ok(()),
    }
}
