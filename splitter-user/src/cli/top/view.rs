//! Owns what `top` shows, before anything is drawn: rates from statuses that follow each other.
//!
//! Invariant: pure. What cannot be known yet is `None` and never 0; counters that went back (another
//! data plane) begin a new series.

use std::collections::{BTreeMap, VecDeque};

use super::recent::Recent;
use crate::api::types::{
    BackendStatus, Counters, Quantiles, ServiceStatus, Status, TimesOf, VersionStatus,
};

/// Looks that are remembered, which a sparkline may show one less of.
const KEPT: usize = 61;
/// Errors are counted over so many looks: a few flows a second say little in one.
const ERROR_LOOKS: usize = 10;

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
    looks: BTreeMap<Key, VecDeque<(f64, Counters)>>,
    times: BTreeMap<Key, Times>,
    window_s: f64,
    status: Option<Status>,
}

/// What a version's backends took lately, or one of them.
#[derive(Debug, Default)]
struct Times {
    handshake: Recent,
    turn: Recent,
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

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Latency {
    /// Lately; `None` where nothing was measured.
    pub(super) recent: Option<Quantiles>,
    /// Of all that was measured since the version has its place.
    pub(super) all: Option<Quantiles>,
}

impl Latency {
    /// Of all, or lately.
    pub(super) const fn of(self, all: bool) -> Option<Quantiles> {
        if all { self.all } else { self.recent }
    }
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

/// What goes on, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// New flows.
    pub(super) flows: f64,
    /// Packets, both ways.
    pub(super) packets: f64,
    /// Bits, both ways.
    pub(super) bits: f64,
    /// Resets by the server.
    pub(super) resets: f64,
    /// SYNs that the server left unanswered.
    pub(super) unanswered: f64,
    /// Flows ended here.
    pub(super) cut: f64,
    /// Flows of clients of another version.
    pub(super) diverted: f64,
    /// The part of new flows that the server reset or left unanswered, over the last looks, 0 ..= 1;
    /// `None` without new flows.
    pub(super) error_ratio: Option<f64>,
}

impl Series {
    /// Nothing yet; recent times will be those of so many seconds.
    pub(super) fn new(window_s: f64) -> Self {
        Self {
            looks: BTreeMap::new(),
            times: BTreeMap::new(),
            window_s,
            status: None,
        }
    }

    /// Takes a status in that came at `at_s`, in seconds from any moment on.
    pub(super) fn take(&mut self, at_s: f64, status: Status) {
        let (mut looks, mut times) = (BTreeMap::new(), BTreeMap::new());
        for service in &status.services {
            for version in &service.versions {
                let mut key = key(service, version, None);
                self.go_on(&mut looks, key.clone(), at_s, version.counters);
                let mut known = self.times.remove(&key).unwrap_or_default();
                let (of, window_s) = (&version.times, self.window_s);
                known.handshake.take(at_s, &of.handshake.cells, window_s);
                known.turn.take(at_s, &of.turn.cells, window_s);
                times.insert(key.clone(), known);
                for backend in &version.backends {
                    key.backend = Some(backend.address.clone());
                    self.go_on(&mut looks, key.clone(), at_s, backend.counters);
                    let mut known = self.times.remove(&key).unwrap_or_default();
                    // The handshakes of one backend are shown nowhere.
                    known.turn.take(at_s, &backend.times.turn.cells, window_s);
                    times.insert(key.clone(), known);
                }
            }
        }
        // Who is no longer there is forgotten.
        (self.looks, self.times) = (looks, times);
        self.status = Some(status);
    }

    fn go_on(
        &mut self,
        looks: &mut BTreeMap<Key, VecDeque<(f64, Counters)>>,
        key: Key,
        at_s: f64,
        counters: Counters,
    ) {
        let mut known = self.looks.remove(&key).unwrap_or_default();
        let back = known.back();
        let went_back = |last: &Counters| {
            counters.new_flows < last.new_flows || counters.packets_in < last.packets_in
        };
        if back.is_some_and(|(_, last)| went_back(last)) {
            known.clear();
        }
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back((at_s, counters));
        looks.insert(key, known);
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
        let own = key(service, version, None);
        let (looks, times) = (self.looks.get(&own), self.times.get(&own));
        let (fares, note) = match (version.panic, version.empty) {
            (true, _) => (Fares::Badly, Some("PANIC".to_owned())),
            (false, true) => (Fares::Badly, Some("EMPTY".to_owned())),
            (false, false) => (Fares::Well, None),
        };
        let backend = |backend: &BackendStatus| {
            let key = key(service, version, Some(backend.address.clone()));
            let (fares, note) = backend_fares(backend);
            Row {
                name: backend.address.clone(),
                fares,
                note,
                rates: self.looks.get(&key).and_then(rates),
                turn: turn(self.times.get(&key), &backend.times.turn),
            }
        };
        VersionView {
            row: Row {
                name: version.name.clone(),
                fares,
                note,
                rates: looks.and_then(rates),
                turn: turn(times, &version.times.turn),
            },
            baseline: version.baseline,
            weight_percent: version.weight_percent,
            share: version.share_flows,
            open_flows: version.open_flows.map(|open| open.flows),
            flows: looks.map_or_else(Vec::new, |looks| steps(looks, |rates| rates.flows)),
            errors: looks.map_or_else(Vec::new, |looks| {
                steps(looks, |rates| rates.error_ratio.unwrap_or(0.0))
            }),
            handshake: Latency {
                recent: times.and_then(|times| times.handshake.quantiles()),
                all: quantiles(&version.times.handshake),
            },
            recent_s: times.and_then(|times| times.turn.length_s()),
            backends: version.backends.iter().map(backend).collect(),
        }
    }
}

fn turn(lately: Option<&Times>, of_all: &TimesOf) -> Latency {
    Latency {
        recent: lately.and_then(|times| times.turn.quantiles()),
        all: quantiles(of_all),
    }
}

/// Of all that was measured since the version has its place.
fn quantiles(times: &TimesOf) -> Option<Quantiles> {
    let s = |us: Option<u64>| us.map(|us| us as f64 / 1e6);
    Some(Quantiles {
        count: times.count,
        p50_s: s(times.p50_us)?,
        p90_s: s(times.p90_us)?,
        p99_s: s(times.p99_us)?,
    })
}

fn key(service: &ServiceStatus, version: &VersionStatus, backend: Option<String>) -> Key {
    Key {
        service: service.name.clone(),
        version: version.name.clone(),
        backend,
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

/// What goes on by the last two looks, and errors by the last few.
fn rates(looks: &VecDeque<(f64, Counters)>) -> Option<Rates> {
    let newest = looks.len().checked_sub(1)?;
    let before = newest.checked_sub(1)?;
    let long = newest.saturating_sub(ERROR_LOOKS);
    let mut rates = between(looks[before], looks[newest]);
    rates.error_ratio = between(looks[long], looks[newest]).error_ratio;
    Some(rates)
}

/// A figure of each step from one look to the next.
fn steps(looks: &VecDeque<(f64, Counters)>, figure: impl Fn(Rates) -> f64) -> Vec<f64> {
    let pairs = looks.iter().zip(looks.iter().skip(1));
    pairs
        .map(|(from, to)| figure(between(*from, *to)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn between((from_s, from): (f64, Counters), (to_s, to): (f64, Counters)) -> Rates {
    let elapsed_s = (to_s - from_s).max(0.001);
    let more = |of: fn(&Counters) -> u64| of(&to).saturating_sub(of(&from)) as f64;
    let flows = more(|each| each.new_flows);
    let resets = more(|each| each.resets_by_server);
    // Both move on their own, so that one look may see the SYN and the next one its answer.
    let unanswered = (more(|each| each.syns_begun) - more(|each| each.syns_answered)).max(0.0);
    let per_s = |count: f64| count / elapsed_s;
    Rates {
        flows: per_s(flows),
        packets: per_s(more(|each| each.packets_in) + more(|each| each.packets_out)),
        bits: per_s(8.0 * (more(|each| each.bytes_in) + more(|each| each.bytes_out))),
        resets: per_s(resets),
        unanswered: per_s(unanswered),
        cut: per_s(more(|each| each.cut)),
        diverted: per_s(more(|each| each.diverted)),
        error_ratio: (flows > 0.0).then(|| ((resets + unanswered) / flows).min(1.0)),
    }
}
