//! Owns the loop that takes a sample of all totals once a second.
//!
//! Invariant: the daemon's lock is held for as long as it takes to copy who there is; the kernel's
//! maps are read without it, on a thread that nothing else waits for.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use splitter_common::layout::BackendCounters;

use super::{
    cohorts,
    core::{Core, Daemon},
    fares,
    interfaces::{NATIVE, NO_MODE},
    status::config_digest,
};
use crate::{
    model::{Service, Version},
    observe::{
        Roster, Sampler,
        history::Keeper,
        metrics::Export,
        roster::{BackendEntry, Host, InterfaceEntry, ServiceEntry, TableEntry, VersionEntry},
    },
    plan::numbers::ServiceNumbers,
};

/// How old may be what is no count: weights, health and estimates.
const ROSTER_AGE: Duration = Duration::from_secs(5);
/// How long after a full second a sample is taken: timers are late and never early.
const PHASE: Duration = Duration::from_millis(20);

/// Who there is, and when that was asked.
struct Seen {
    roster: Arc<Roster>,
    changes: u64,
    at: Instant,
}

/// Takes a sample after every full second.
pub(super) async fn keep(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut sampler = Sampler::new(daemon.core.lock().await.plane.maps().totals());
    let mut keeper = Keeper::new(&daemon.history_dir);
    let mut seen: Option<Seen> = None;
    let mut no_history: Option<String> = None;
    loop {
        tokio::time::sleep(until_next_second(SystemTime::now())).await;
        let (now, host) = {
            let core = daemon.core.lock().await;
            let fresh =
                |seen: &Seen| seen.changes == core.changes && seen.at.elapsed() < ROSTER_AGE;
            let old = seen.take();
            // Of all that is configured; it changes with that alone.
            let digest = old.as_ref().filter(|seen| seen.changes == core.changes);
            let digest = digest.map(|seen| seen.roster.config_digest.clone());
            let now = old.filter(fresh).unwrap_or_else(|| Seen {
                roster: Arc::new(roster(
                    &core,
                    digest.unwrap_or_else(|| config_digest(&core)),
                )),
                changes: core.changes,
                at: Instant::now(),
            });
            (now, host(&core))
        };
        let roster = Arc::clone(&now.roster);
        seen = Some(now);
        let read = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            let sample = sampler.sample(roster);
            if let Ok(sample) = &sample {
                let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                keeper.book(now_s, sample);
            }
            (sampler, keeper, sample)
        });
        let sample;
        (sampler, keeper, sample) = read.await.context("a sample was not taken")?;
        if no_history.as_deref() != keeper.problem() {
            no_history = keeper.problem().map(str::to_owned);
            daemon.core.lock().await.no_history.clone_from(&no_history);
        }
        match sample {
            Ok(sample) => {
                let export = Export {
                    sample: Arc::new(sample),
                    host: Arc::new(host),
                };
                daemon.export.send_replace(export);
            }
            Err(error) => log::error!("the kernel's totals cannot be read: {error}"),
        }
    }
}

/// How long until a sample is due.
fn until_next_second(now: SystemTime) -> Duration {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let into_second = Duration::from_nanos(u64::from(since.subsec_nanos()));
    Duration::from_secs(1).saturating_sub(into_second) + PHASE
}

/// Everybody that is configured and has numbers.
fn roster(core: &Core, config_digest: String) -> Roster {
    let services = core.config.services();
    let entry = |service: &Service| {
        let given = core.state.numbers.services.get(&service.name)?;
        let weights = service.weights();
        let served = core.serve_now(service, &core.state).versions;
        let versions = service.versions.iter().zip(served);
        let versions = versions.filter_map(|(version, served)| {
            let number = given.version(&version.name).ok()?;
            Some(VersionEntry {
                name: version.name.clone(),
                index: number.index,
                born: (given.born, number.born),
                retired: BackendCounters {
                    cells: number.retired,
                },
                weight: weights.get(&version.name).copied().unwrap_or_default(),
                healthy: served.healthy,
                empty: served.empty.contains(&true),
                open_flows: core
                    .estimates
                    .of_version(version, given)
                    .map(|estimate| estimate.flows),
                backends: backends(core, service, version, given),
            })
        });
        Some(ServiceEntry {
            name: service.name.clone(),
            number: given.number,
            forward: service.forward,
            http1: service.http1,
            versions: versions.collect(),
        })
    };
    Roster {
        config_digest,
        services: services.filter_map(entry).collect(),
    }
}

fn backends(
    core: &Core,
    service: &Service,
    version: &Version,
    given: &ServiceNumbers,
) -> Vec<BackendEntry> {
    let backends = version.backends.iter();
    let entry = |backend| {
        let number = given.backend(&version.name, backend).ok()?;
        Some(BackendEntry {
            name: backend.to_string(),
            number: number.number,
            base: number.base.clone(),
            serves: fares::serves(core, service, version, backend),
        })
    };
    backends.filter_map(entry).collect()
}

fn host(core: &Core) -> Host {
    let began = SystemTime::now().checked_sub(core.began.elapsed());
    let began = began.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let interfaces = core.interfaces.iter().map(|each| InterfaceEntry {
        name: each.name.clone(),
        attached: each.mode != NO_MODE,
        native: each.mode == NATIVE,
        up: each.up,
    });
    let tables = core.estimates.tables(|_| [0; 2]).into_iter();
    let tables = tables.map(|fill| TableEntry {
        established: fill.table == "established",
        capacity: fill.capacity,
        entries: fill.entries,
    });
    Host {
        // Whole seconds: the same figure at every look.
        began_s: began.unwrap_or_default().as_secs_f64().round(),
        generation: core.plane.generation(),
        lists_stale: core.refused_lists.is_some(),
        interfaces: interfaces.collect(),
        tables: tables.collect(),
        cohorts: cohorts::counted(core),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_due_just_after_every_full_second() {
        let at = |ms: u64| until_next_second(UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(5_000), Duration::from_millis(1_020));
        assert_eq!(at(5_999), Duration::from_millis(21));
        assert_eq!(at(6_020), Duration::from_millis(1_000));
    }
}
