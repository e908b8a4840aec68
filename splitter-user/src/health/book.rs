//! Owns all that is known of backends at run time: what their checks and counters say, since when,
//! and who is on its way back.
//!
//! Invariant: nothing here is in force; [`super::serve`] makes tables of it, and a commit puts them
//! in force. Times are durations since the daemon began, times of day RFC 3339.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Health, Standing,
    passive::{Cells, Change, Watch},
    prober::Report,
    serving::PARTS,
};
use crate::model::{AdminState, Backend, Config, Service, Version};

/// Names a backend: within a service its address and port are its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The service.
    pub service: String,
    /// The backend, as text.
    pub backend: String,
}

impl Key {
    /// Of a service's backend.
    pub fn new(service: &Service, backend: &Backend) -> Self {
        Self {
            service: service.name.clone(),
            backend: backend.to_string(),
        }
    }
}

/// What is known of one backend.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What its checks say.
    pub health: Health,
    /// Since when its health, checks and counters together, is what it is.
    pub since: Option<String>,
    /// What was wrong with the last answer, or why it is ejected.
    pub error: Option<String>,
    /// How often it went out or came back.
    pub changes: u64,
    pub(super) watch: Watch,
    /// When it came back into its table; until the end of its slow start.
    pub(super) back_since: Option<Duration>,
}

impl Entry {
    /// Whether the kernel's counters speak against it.
    pub fn is_ejected(&self) -> bool {
        self.watch.is_ejected()
    }
}

/// What is known of all.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub(super) entries: BTreeMap<String, BTreeMap<String, Entry>>,
    /// Services of which something changed since [`Book::settle`].
    unsettled: BTreeSet<String>,
}

impl Book {
    /// The services that may have to be served otherwise than they are.
    pub fn unsettled(&self) -> &BTreeSet<String> {
        &self.unsettled
    }

    /// All of them are served as they are to be at `now`; slow starts go on.
    pub fn settle(&mut self, config: &Config, now: Duration) {
        let entries = &self.entries;
        self.unsettled.retain(|name| {
            let service = config.services.iter().find(|service| service.name == *name);
            let slow_start = service
                .and_then(|service| service.health.as_ref())
                .map_or(Duration::ZERO, |health| health.slow_start);
            let slow = |entry: &Entry| {
                let back = entry.back_since;
                back.is_some_and(|back| now.saturating_sub(back) < slow_start)
            };
            entries
                .get(name)
                .is_some_and(|entries| entries.values().any(slow))
        });
    }

    /// Forgets backends that are configured no more.
    pub fn keep_only(&mut self, config: &Config) {
        self.entries.retain(|name, entries| {
            let service = config.services.iter().find(|service| service.name == *name);
            let Some(service) = service else {
                return false;
            };
            let backends = service
                .versions
                .iter()
                .flat_map(|version| &version.backends);
            let known: Vec<String> = backends.map(ToString::to_string).collect();
            entries.retain(|backend, _| known.contains(backend));
            !entries.is_empty()
        });
    }

    /// What is known of a backend.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(&key.service)?.get(&key.backend)
    }

    fn entry_mut(&mut self, key: &Key) -> &mut Entry {
        let entries = self.entries.entry(key.service.clone()).or_default();
        entries.entry(key.backend.clone()).or_default()
    }

    /// Takes a prober's news in, and says whether the backend's health is another one now. `at`:
    /// the time of day.
    pub fn report(&mut self, report: &Report, at: &str) -> bool {
        let entry = self.entry_mut(&report.key);
        if !entry.is_ejected() {
            entry.error.clone_from(&report.error);
        }
        if entry.health == report.health {
            return false;
        }
        let first = entry.health == Health::Unknown && report.health == Health::Healthy;
        entry.health = report.health;
        entry.since = Some(at.to_owned());
        entry.changes += u64::from(!first);
        self.unsettled.insert(report.key.service.clone());
        true
    }

    /// Looks at what the kernel has counted of a backend, where the service has that done.
    pub fn look(
        &mut self,
        service: &Service,
        backend: &str,
        cells: Cells,
        now: Duration,
        at: &str,
    ) -> Option<Change> {
        let passive = service.health.as_ref()?.passive.as_ref()?;
        let entries = self.entries.entry(service.name.clone()).or_default();
        if !entries.contains_key(backend) {
            entries.insert(backend.to_owned(), Entry::default());
        }
        let entry = entries.get_mut(backend)?;
        let change = entry.watch.look(now, cells, passive)?;
        entry.error = match &change {
            Change::Ejected(why) => Some(why.clone()),
            Change::Returned => None,
        };
        entry.since = Some(at.to_owned());
        entry.changes += 1;
        self.unsettled.insert(service.name.clone());
        Some(change)
    }

    /// Whether neither checks nor counters speak against a backend.
    pub fn is_healthy(&self, service: &Service, backend: &Backend) -> bool {
        let Some(health) = &service.health else {
            return true;
        };
        self.entry(&Key::new(service, backend)).is_none_or(|entry| {
            let unhealthy = health.check.is_some() && entry.health == Health::Unhealthy;
            let ejected = health.passive.is_some() && entry.is_ejected();
            !unhealthy && !ejected
        })
    }

    /// How a backend stands.
    pub fn standing(
        &self,
        service: &Service,
        backend: &Backend,
        admin: AdminState,
        now: Duration,
    ) -> Standing {
        Standing {
            admin,
            healthy: self.is_healthy(service, backend),
            parts: self.parts(service, backend, now),
        }
    }

    /// How much of its weight a backend has reached.
    fn parts(&self, service: &Service, backend: &Backend, now: Duration) -> u16 {
        let slow_start = service.health.as_ref().map(|health| health.slow_start);
        let back = self
            .entry(&Key::new(service, backend))
            .and_then(|entry| entry.back_since);
        match (slow_start, back) {
            (Some(slow_start), Some(back)) if !slow_start.is_zero() => {
                let step = (slow_start / u32::from(PARTS)).max(Duration::from_nanos(1));
                let steps = now.saturating_sub(back).as_nanos() / step.as_nanos();
                u16::try_from(steps).map_or(PARTS, |steps| (steps + 1).min(PARTS))
            }
            (_, _) => PARTS,
        }
    }

    /// Begins the slow start of those who come into their tables, and ends it for who is out.
    /// `before`: what is served so far; `admin`: what the operator wants of each.
    pub fn begin_slow_starts(
        &mut self,
        service: &Service,
        before: &Service,
        admin: impl Fn(&Backend) -> AdminState,
        now: Duration,
    ) {
        let slow = |service: &Service| {
            service
                .health
                .as_ref()
                .is_some_and(|health| !health.slow_start.is_zero())
        };
        if !slow(service) {
            return;
        }
        for version in &service.versions {
            let last = before.version(&version.name);
            for backend in &version.backends {
                let key = Key::new(service, backend);
                let serves = admin(backend) == AdminState::Active
                    && backend.weight > 0
                    && self.is_healthy(service, backend);
                if !serves {
                    if let Some(entries) = self.entries.get_mut(&key.service)
                        && let Some(entry) = entries.get_mut(&key.backend)
                    {
                        entry.back_since = None;
                    }
                } else if !served_before(last, backend) {
                    self.entry_mut(&key).back_since.get_or_insert(now);
                    self.unsettled.insert(key.service);
                }
            }
        }
    }
}

fn served_before(last: Option<&Version>, backend: &Backend) -> bool {
    let same = |last: &&Backend| (last.address, last.port) == (backend.address, backend.port);
    last.and_then(|last| last.backends.iter().find(same))
        .is_some_and(|last| last.weight > 0)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
