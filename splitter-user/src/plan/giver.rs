//! Owns the giving of numbers: each owner keeps its own, a new one gets one that neither another
//! owner has nor the kernel's tables name.

use std::collections::{BTreeMap, BTreeSet};

use splitter_common::{capacity::MAX_VERSIONS, layout::COUNTERS, segment::PLACES};

use super::{
    PlanError,
    evidence::{Judged, can_be_judged},
    guard,
    numbers::{BackendNumber, FrontendNumber, Numbers, ServiceNumbers, VersionNumber},
    service::salt_id,
};
use crate::{
    model::{Limits, Service, Shared},
    secret::Secret,
};

/// Numbers that the kernel's tables name now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Services.
    pub services: BTreeSet<u16>,
    /// Frontends.
    pub frontends: BTreeSet<u16>,
    /// Backends.
    pub backends: BTreeSet<u32>,
}

/// What the kernel holds, as far as numbers depend on it.
pub trait Running {
    /// What the cells of a backend number have counted, by `layout::Counter`.
    fn cells(&self, backend: u32) -> [u64; COUNTERS];
    /// The numbers that its tables name.
    fn in_use(&self) -> InUse;
}

/// Gives numbers away within one commit.
pub(super) struct Giver<'a, R> {
    pub(super) generation: u32,
    pub(super) cursor: u32,
    /// Numbers that have or had an owner; looked at when the first one is to be given.
    used: Option<InUse>,
    /// Ledgers that no service has or had until now.
    free_ledgers: BTreeSet<u16>,
    limits: Limits,
    old: &'a Numbers,
    running: &'a R,
}

impl<'a, R: Running> Giver<'a, R> {
    /// After `old`. What the kernel holds may differ from it: the state may be lost, or a commit
    /// may have been cut short.
    pub(super) fn new(old: &'a Numbers, running: &'a R, limits: Limits) -> Self {
        let services = old.services.values();
        let ledgers: BTreeSet<u16> = services
            .filter_map(|service| Some(service.judged.as_ref()?.ledger))
            .collect();
        let all_ledgers = 0..limits.judged_services as u16;
        Self {
            generation: old.generation + 1,
            cursor: old.cursor,
            used: None,
            free_ledgers: all_ledgers
                .filter(|ledger| !ledgers.contains(ledger))
                .collect(),
            limits,
            old,
            running,
        }
    }

    fn used(&mut self) -> &mut InUse {
        self.used
            .get_or_insert_with(|| in_use(self.old, self.running))
    }

    /// The numbers of one service: the very same where nothing of it changes.
    pub(super) fn service(
        &mut self,
        service: &Shared<Service>,
        old: Option<&Shared<ServiceNumbers>>,
        secret: &Secret,
    ) -> Result<Shared<ServiceNumbers>, PlanError> {
        let salt_id = salt_id(service, secret);
        if let Some(old) = old {
            if self.stands(service, old, &salt_id) {
                return Ok(old.clone());
            }
            guard::check(service, &old.applied, old.salt_id != salt_id)?;
        }
        let old = old.map(|old| &**old);
        self.changed(service, old, salt_id).map(Shared::from)
    }

    /// Whether a service keeps all its numbers and its generation: it is the very one that they were given
    /// for, they fit the limits, and no ledger waits for it.
    fn stands(&self, service: &Shared<Service>, old: &ServiceNumbers, salt_id: &str) -> bool {
        let Limits {
            services,
            vips,
            backends,
            judged_services,
            ..
        } = self.limits;
        let judged = match &old.judged {
            Some(judged) => u32::from(judged.ledger) < judged_services,
            None => self.free_ledgers.is_empty() || can_be_judged(service).is_err(),
        };
        let mut frontends = old.frontends.values();
        let mut numbered = old.backends.values().flat_map(BTreeMap::values);
        Shared::is_same(service, &old.applied)
            && old.salt_id == salt_id
            && judged
            && u32::from(old.number) < services
            && frontends.all(|frontend| u32::from(frontend.number) < vips)
            && numbered.all(|backend| backend.number <= backends)
    }

    /// The numbers of a service that is new or may have changed.
    fn changed(
        &mut self,
        service: &Shared<Service>,
        old: Option<&ServiceNumbers>,
        salt_id: String,
    ) -> Result<ServiceNumbers, PlanError> {
        let limits = self.limits;
        let fits = |old: &&ServiceNumbers| u32::from(old.number) < limits.services;
        let (number, born) = match old.filter(fits) {
            Some(old) => (old.number, old.born),
            None => (
                lowest_free(&mut self.used().services, limits.services, "service")?,
                self.generation,
            ),
        };
        let mut frontends = BTreeMap::new();
        for vip in &service.vips {
            let name = vip.to_string();
            let kept = old.and_then(|old| old.frontends.get(&name)).copied();
            let given = match kept.filter(|kept| u32::from(kept.number) < limits.vips) {
                Some(kept) => kept,
                None => FrontendNumber {
                    number: lowest_free(&mut self.used().frontends, limits.vips, "frontend")?,
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
        let same_release = |old: &ServiceNumbers| old.salt_id == salt_id;
        let judged = self.judged(service, old.filter(|old| same_release(old)), &versions);
        let mut given = ServiceNumbers {
            number,
            born,
            generation: old.map_or(self.generation, |old| old.generation),
            applied: service.clone(),
            ending: old.and_then(|old| old.ending),
            judged,
            salt_id,
            segments: places(service, old),
            frontends,
            versions,
            backends,
        };
        if old != Some(&given) {
            given.generation = self.generation;
        }
        Ok(given)
    }

    /// What is judged of a service. `old`: its numbers, where they are those of the same release.
    fn judged(
        &mut self,
        service: &Service,
        old: Option<&ServiceNumbers>,
        versions: &BTreeMap<String, VersionNumber>,
    ) -> Option<Judged> {
        can_be_judged(service).ok()?;
        let ledgers = self.limits.judged_services as u16;
        let kept = old.and_then(|old| old.judged.clone());
        let judged = match kept.filter(|kept| kept.ledger < ledgers) {
            Some(kept) => kept,
            None => {
                let ledger = self.free_ledgers.pop_first()?;
                Judged::begin(ledger, self.generation)
            }
        };
        Some(judged.with_weights(service, versions, self.generation))
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
                    index: lowest_free(&mut used, MAX_VERSIONS as u32, "version")? as u8,
                    born: self.generation,
                    retired: [0; COUNTERS],
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
                let kept = old.and_then(|old| old.get(&name));
                let number = match kept.filter(|kept| kept.number <= self.limits.backends) {
                    Some(kept) => kept.clone(),
                    None => self.backend()?,
                };
                given.insert(name, number);
            }
            all.insert(version.name.clone(), given);
        }
        Ok(all)
    }

    fn backend(&mut self) -> Result<BackendNumber, PlanError> {
        let most = self.limits.backends;
        let cursor = self.cursor;
        let used = &mut self.used().backends;
        let after = cursor.saturating_add(1)..=most;
        let number = after
            .chain(1..=cursor.min(most))
            .find(|number| !used.contains(number))
            .ok_or(PlanError::NumbersTaken("backend"))?;
        used.insert(number);
        self.cursor = number;
        let base = self.running.cells(number);
        Ok(BackendNumber {
            number,
            born: self.generation,
            base: base.into(),
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
                let cells = self.running.cells(number.number);
                for ((total, cell), base) in version.retired.iter_mut().zip(cells).zip(*number.base)
                {
                    *total += cell.saturating_sub(base);
                }
            }
        }
    }
}

/// All numbers that have an owner, by the numbers so far or by what the kernel holds.
fn in_use(old: &Numbers, running: &impl Running) -> InUse {
    let mut used = running.in_use();
    let services = || old.services.values();
    used.backends
        .extend(old.backend_numbers().map(|backend| backend.number));
    used.frontends.extend(
        services()
            .flat_map(|service| service.frontends.values())
            .map(|frontend| frontend.number),
    );
    used.services
        .extend(services().map(|service| service.number));
    used
}

/// The places of a service's segments: each keeps its own, a new one gets one that is free.
fn places(service: &Service, old: Option<&ServiceNumbers>) -> BTreeMap<String, u8> {
    let names = || service.segments.iter().map(|segment| &segment.name);
    let kept = |name: &String| Some((name.clone(), *old?.segments.get(name)?));
    let mut places: BTreeMap<String, u8> = names().filter_map(kept).collect();
    for name in names() {
        if !places.contains_key(name) {
            // As many as there can be have one: the configuration was checked.
            let free = (1..PLACES as u8).find(|place| !places.values().any(|taken| taken == place));
            places.extend(free.map(|place| (name.clone(), place)));
        }
    }
    places
}

fn lowest_free(used: &mut BTreeSet<u16>, limit: u32, what: &'static str) -> Result<u16, PlanError> {
    let last = u16::try_from(limit).unwrap_or(u16::MAX);
    let free = (0..last).find(|number| !used.contains(number));
    let number = free.ok_or(PlanError::NumbersTaken(what))?;
    used.insert(number);
    Ok(number)
}
