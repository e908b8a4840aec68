//! Owns the watch over backends: probers' news and the kernel's counters go into the book, and what
//! they change is committed, a moment later and all together.
//!
//! Invariant: a commit for health changes backend weights alone, of the services whose backends
//! fare otherwise; nobody set anything, so no overlay is touched.

use std::{collections::HashMap, sync::Arc, time::Duration};

use splitter_common::layout::Counter;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{
    core::{Core, Daemon},
    fate::Fate,
    turns::of_turn,
    wall::now_text,
};
use crate::{
    events::{
        What,
        noticed::{self, Fare},
    },
    health::{
        Health, Key,
        passive::{Cells, Change},
        prober::{self, Probers, Report},
    },
    model::Service,
};

/// What is told of a prober's news.
fn fare(report: &Report) -> What {
    What::Health(noticed::Health {
        service: report.key.service.clone(),
        backend: report.key.backend.clone(),
        health: match report.health {
            Health::Unhealthy => Fare::Unhealthy,
            Health::Healthy | Health::Unknown => Fare::Healthy,
        },
        error: report.error.clone(),
    })
}

/// What is told of what the kernel's counters say.
fn turn_of(service: &str, backend: &str, change: &Change) -> What {
    let (health, error) = match change {
        Change::Ejected(why) => (Fare::Ejected, Some(why.clone())),
        Change::Returned => (Fare::Returned, None),
    };
    What::Health(noticed::Health {
        service: service.to_owned(),
        backend: backend.to_owned(),
        health,
        error,
    })
}

/// Changes within this go into one commit.
const SETTLE: Duration = Duration::from_millis(200);
/// How often counters and slow starts are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// News waiting to be taken in.
const NEWS: usize = 1_024;

/// Watches until it is aborted.
pub(super) async fn keep_watch(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let (tell, mut news) = mpsc::channel(NEWS);
    let mut probers = Probers::new(tell);
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut asked_of, mut turn) = (None, 0);
    let mut settled: Option<Instant> = None;
    let mut reports: Vec<Report> = Vec::new();
    loop {
        let settles = settled.unwrap_or_else(|| Instant::now() + LOOK);
        tokio::select! {
            _ = every.tick() => {
                let mut core = daemon.core.lock().await;
                if asked_of != Some(core.changes) {
                    asked_of = Some(core.changes);
                    core.ask_all(&mut probers);
                }
                core.look(turn);
                turn = turn.wrapping_add(1);
                if settled.is_none() {
                    core.serve_as_known();
                }
            }
            // The channel stays open: the probers hold the other end.
            _ = news.recv_many(&mut reports, NEWS) => {
                let mut core = daemon.core.lock().await;
                if core.take_in(reports.drain(..)) {
                    settled.get_or_insert_with(|| Instant::now() + SETTLE);
                }
            }
            () = tokio::time::sleep_until(settles), if settled.is_some() => {
                settled = None;
                daemon.core.lock().await.serve_as_known();
            }
        }
    }
}

impl Core {
    /// Has everybody asked who is to be.
    fn ask_all(&self, probers: &mut Probers) {
        let wanted: HashMap<_, _> = self
            .config
            .services
            .iter()
            .flat_map(|service| {
                prober::tasks(service, |backend| self.state.admin(service, backend))
            })
            .collect();
        probers.ask_all(wanted, |key| {
            let entry = self.book.entry(key);
            entry.map_or(Health::Unknown, |entry| entry.health)
        });
    }

    /// Takes news in; whether somebody's health changed.
    fn take_in(&mut self, reports: impl Iterator<Item = Report>) -> bool {
        let mut changed = false;
        for report in reports {
            if !self.is_configured(&report.key) {
                // It was on its way when the backend went.
                continue;
            }
            if self.book.report(&report, &now_text()) {
                changed = true;
                let Key { service, backend } = &report.key;
                self.events.tell(fare(&report));
                match (report.health, &report.error) {
                    (Health::Unhealthy, Some(error)) => {
                        log::warn!("service {service}: {backend} is unhealthy: {error}");
                    }
                    (Health::Unhealthy | Health::Healthy | Health::Unknown, _) => {
                        log::info!("service {service}: {backend} is healthy");
                    }
                }
            }
        }
        changed
    }

    fn is_configured(&self, key: &Key) -> bool {
        let mut services = self.config.services.iter();
        let service = services.find(|service| service.name == key.service);
        service.is_some_and(|service| {
            let mut backends = service
                .versions
                .iter()
                .flat_map(|version| &version.backends);
            backends.any(|backend| backend.to_string() == key.backend)
        })
    }

    /// Looks at the kernel's counters of services that want it: of all, or where these are many, of
    /// some at each turn.
    fn look(&mut self, turn: usize) {
        let (now, at) = (self.now(), now_text());
        let watched = |service: &&Service| {
            let health = service.health.as_ref();
            health.is_some_and(|health| health.passive.is_some())
        };
        for service in of_turn(self.config.services().filter(watched), turn) {
            let Some(given) = self.state.numbers.services.get(&service.name) else {
                continue;
            };
            for (backend, number) in given.backends.values().flatten() {
                let cells = self.plane.counters(number.number).cells;
                let cells = Cells {
                    number: number.number,
                    begun: cells[Counter::SynsBegun as usize],
                    answered: cells[Counter::SynsAnswered as usize],
                    resets: cells[Counter::ResetsByServer as usize],
                };
                let change = self.book.look(service, backend, cells, now, &at);
                if let Some(change) = &change {
                    self.events.tell(turn_of(&service.name, backend, change));
                }
                match change {
                    Some(Change::Ejected(why)) => {
                        log::warn!("service {}: {backend} is ejected: {why}", service.name);
                    }
                    Some(Change::Returned) => {
                        log::info!("service {}: {backend} is tried again", service.name);
                    }
                    None => {}
                }
            }
        }
    }

    /// Commits what is known, where it differs from what is served.
    fn serve_as_known(&mut self) {
        let otherwise = self.served_otherwise();
        if otherwise.is_empty() {
            let now = self.now();
            return self.book.settle(&self.config, now);
        }
        let (config, state) = (self.config.clone(), self.state.clone());
        match self.apply(config, state, Fate::Keep) {
            Ok(()) => log::info!(
                "generation {}: backends of {} by their health",
                self.state.numbers.generation,
                otherwise.join(", ")
            ),
            Err(error) => log::error!(
                "the tables of {} cannot follow the health of their backends, tried again every \
                 second: {error:#}",
                otherwise.join(", ")
            ),
        }
    }
}
