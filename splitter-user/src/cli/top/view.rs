//! Owns what `top` shows, before anything is drawn: services, versions and backends, and how they fare.
//!
//! Invariant: pure. What cannot be known yet is `None` and never 0.

use std::collections::BTreeMap;

use super::track::{Latency, Rates, Track};
use crate::api::types::{BackendStatus, Counters, ServiceStatus, Status, Times, VersionStatus};

/// A version, or a backend of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    service: String,
    version: String,
    backend: Option<String>,
}

/// Statuses as they came, as far as rates and times need them.
#[derive(Debug)]
pub(super) struct Series {
    tracks: BTreeMap<Key, Track>,
    window_s: f64,
    status: Option<Status>,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    /// `OK: 2 services, generation 12, splitter 0.1.0`.
    pub(super) head: String,
    /// What the daemon warns of, most urgent first.
    pub(super) warnings: Vec<String>,
    /// The services.
    pub(super) services: Vec<ServiceView>,
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceView {
    /// Its name.
    pub(super) name: String,
    /// What clients dial.
    pub(super) vips: String,
    /// Its versions, the baseline first.
    pub(super) versions: Vec<VersionView>,
}

/// One version.
#[derive(Debug)]
pub(super) struct VersionView {
    /// Itself.
    pub(super) row: Row,
    /// Whether it takes what the others leave.
    pub(super) baseline: bool,
    /// In percent.
    pub(super) weight_percent: f64,
    /// Its part of new flows since the last weight change, 0 ..= 1.
    pub(super) share: Option<f64>,
    /// About so many flows are open.
    pub(super) open_flows: Option<u64>,
    /// Flows a second, look by look, newest last.
    pub(super) flows: Vec<f64>,
    /// The part of flows that failed, look by look, newest last.
    pub(super) errors: Vec<f64>,
    /// From the first SYN of a flow to the SYN-ACK.
    pub(super) handshake: Latency,
    /// How long the time is that recent latencies are of, in seconds; `None` before the second look.
    pub(super) recent_s: Option<f64>,
    /// Its backends.
    pub(super) backends: Vec<Row>,
}

/// What versions and backends have in common.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// How it fares.
    pub(super) fares: Fares,
    /// What that means, where it is not good.
    pub(super) note: Option<String>,
    /// What goes on; `None` until there are two looks.
    pub(super) rates: Option<Rates>,
    /// From a request to its answer.
    pub(super) turn: Latency,
}

/// How something fares, with a symbol and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fares {
    /// As it should.
    Well,
    /// It gets no new flows because somebody wants it so, or is not known yet.
    Aside,
    /// Something is wrong.
    Badly,
}

impl Series {
    /// Nothing yet; recent times will be those of so many seconds.
    pub(super) fn new(window_s: f64) -> Self {
        Self {
            tracks: BTreeMap::new(),
            window_s,
            status: None,
        }
    }

    /// Takes a status in that came at `at_s`, in seconds from any moment on.
    pub(super) fn take(&mut self, at_s: f64, status: Status) {
        // Who is no longer there is forgotten.
        let mut known = std::mem::take(&mut self.tracks);
        let mut take = |key: Key, counters: &Counters, times: &Times| {
            let mut track = known.remove(&key).unwrap_or_default();
            track.take(at_s, *counters, times, self.window_s);
            self.tracks.insert(key, track);
        };
        for service in &status.services {
            for version in &service.versions {
                take(
                    key(service, version, None),
                    &version.counters,
                    &version.times,
                );
                for backend in &version.backends {
                    let key = key(service, version, Some(&backend.address));
                    take(key, &backend.counters, &backend.times);
                }
            }
        }
        self.status = Some(status);
    }

    /// What is shown of it.
    pub(super) fn view(&self) -> View {
        let Some(status) = &self.status else {
            return View::default();
        };
        let services = status.services.iter();
        let state = match status.warnings.len() {
            0 => "OK".to_owned(),
            count => format!("ATTENTION, {}", crate::cli::text::count(count, "warning")),
        };
        View {
            head: format!(
                "{state}: generation {}, splitter {} up {}",
                status.generation,
                status.version,
                crate::cli::text::duration(status.uptime_s)
            ),
            warnings: status.warnings.clone(),
            services: services.map(|service| self.service(service)).collect(),
        }
    }

    fn service(&self, service: &ServiceStatus) -> ServiceView {
        let mut versions: Vec<&VersionStatus> = service.versions.iter().collect();
        versions.sort_by_key(|version| !version.baseline);
        ServiceView {
            name: service.name.clone(),
            vips: service.vips.join(" "),
            versions: versions
                .into_iter()
                .map(|version| self.version(service, version))
                .collect(),
        }
    }

    fn version(&self, service: &ServiceStatus, version: &VersionStatus) -> VersionView {
        let track = self.tracks.get(&key(service, version, None));
        let (fares, note) = match (version.panic, version.empty) {
            (true, _) => (Fares::Badly, Some("PANIC".to_owned())),
            (false, true) => (Fares::Badly, Some("EMPTY".to_owned())),
            (false, false) => (Fares::Well, None),
        };
        let backend = |backend: &BackendStatus| {
            let track = self
                .tracks
                .get(&key(service, version, Some(&backend.address)));
            let (fares, note) = backend_fares(backend);
            Row {
                name: backend.address.clone(),
                fares,
                note,
                rates: track.and_then(Track::rates),
                turn: Latency::new(track.map(|track| &track.turn), &backend.times.turn),
            }
        };
        VersionView {
            row: Row {
                name: version.name.clone(),
                fares,
                note,
                rates: track.and_then(Track::rates),
                turn: Latency::new(track.map(|track| &track.turn), &version.times.turn),
            },
            baseline: version.baseline,
            weight_percent: version.weight_percent,
            share: version.share_flows,
            open_flows: version.open_flows.map(|open| open.flows),
            flows: track.map_or_else(Vec::new, |track| track.steps(|rates| rates.flows)),
            errors: track.map_or_else(Vec::new, |track| {
                track.steps(|rates| rates.error_ratio.unwrap_or(0.0))
            }),
            handshake: Latency::new(
                track.map(|track| &track.handshake),
                &version.times.handshake,
            ),
            recent_s: track.and_then(|track| track.turn.length_s()),
            backends: version.backends.iter().map(backend).collect(),
        }
    }
}

fn key(service: &ServiceStatus, version: &VersionStatus, backend: Option<&String>) -> Key {
    Key {
        service: service.name.clone(),
        version: version.name.clone(),
        backend: backend.cloned(),
    }
}

fn backend_fares(backend: &BackendStatus) -> (Fares, Option<String>) {
    let health = &backend.health;
    if health.state != "active" {
        return (Fares::Aside, Some(health.state.clone()));
    }
    match health.health.as_str() {
        "healthy" | "unchecked" if health.serves => (Fares::Well, None),
        "unknown" => (Fares::Aside, Some(health.health.clone())),
        other => (Fares::Badly, Some(other.to_owned())),
    }
}
