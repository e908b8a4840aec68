//! Owns what the daemon tells as events of itself and of what it notices by looking.
//!
//! Invariant: looking holds the lock for no longer than a status of the same things would.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use splitter_common::{flow::Table, reason::Verdict};
use tokio::time::{Instant, MissedTickBehavior};

use super::core::{Core, Daemon};
use crate::{
    dataplane::DataPlaneError,
    events::{
        EventLog, InterfaceSeen, Seen, VersionSeen, Watch, What,
        acts::{Started, Stopped},
        noticed::LeaseRanOut,
    },
    model::ServeOptions,
};

/// How often is looked; rates are those between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// The daemon runs. `adopted`: it took over a data plane that ran.
pub(super) fn started(core: &Core, adopted: bool) {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let of_daemon = |what: &What| matches!(what, What::Started(_) | What::Stopped(_));
    let unclean = core
        .events
        .last(of_daemon)
        .is_some_and(|last| matches!(last.what, What::Started(_)));
    let before = core.events.last(|what| matches!(what, What::Started(_)));
    let before = before.and_then(|last| {
        let What::Started(started) = &last.what else {
            return None;
        };
        Some(started.version.clone())
    });
    let interfaces = core.interfaces.iter();
    core.events.tell(What::Started(Started {
        upgraded_from: before.filter(|before| *before != version),
        version,
        adopted,
        unclean,
        generation: u64::from(core.plane.generation()),
        interfaces: interfaces
            .map(|each| format!("{} {}", each.name, each.mode))
            .collect(),
    }));
}

/// The daemon ends: the last event, after which no reader waits for more.
pub(super) fn stopped(events: &EventLog, options: &ServeOptions, failure: Option<&str>) {
    events.tell(What::Stopped(Stopped {
        detaches: failure.is_none() && options.detach_on_exit,
        failure: failure.map(str::to_owned),
    }));
    events.close();
}

/// Renews the lease, and tells if it had run out.
pub(super) fn renew_lease(core: &mut Core, seconds: u32) -> Result<(), DataPlaneError> {
    let for_s = core.plane.lease_overdue_s()?;
    core.plane.renew_lease(seconds)?;
    if for_s > 0 {
        let services = core.config.services.iter();
        let fell_back = services.filter(|service| service.falls_back());
        core.events.tell(What::LeaseRanOut(LeaseRanOut {
            for_s,
            services: fell_back.map(|service| service.name.clone()).collect(),
        }));
    }
    Ok(())
}

/// Looks at the host until it is aborted.
pub(super) async fn watch(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    let mut last = Instant::now();
    loop {
        every.tick().await;
        let seen = seen(&*daemon.core.lock().await);
        let now = Instant::now();
        for what in watch.look(seen, (now - last).as_secs_f64()) {
            daemon.events.tell(what);
        }
        last = now;
    }
}

fn seen(core: &Core) -> Seen {
    let interfaces = core.interfaces.iter().map(|each| InterfaceSeen {
        name: each.name.clone(),
        mode: each.mode.clone(),
        up: each.up,
        note: each.note.clone(),
    });
    let tables = core.estimates.tables(|_: Table| [0, 0]).into_iter();
    let mut drops = BTreeMap::<String, u64>::new();
    for (reason, verdict, packets) in core.plane.maps().reasons() {
        if verdict == Verdict::Drop {
            *drops.entry(reason.name().to_owned()).or_default() += packets;
        }
    }
    Seen {
        interfaces: interfaces.collect(),
        versions: short_of_backends(core),
        tables: tables.map(|each| (each.table, each.fill_percent)).collect(),
        drops,
        unfinished: core.unfinished.clone(),
    }
}

/// Versions in PANIC, and those without a backend.
fn short_of_backends(core: &Core) -> BTreeMap<(String, String), VersionSeen> {
    let mut short = BTreeMap::new();
    for service in &core.config.services {
        let plain = service.health.is_none() && !core.state.backends.contains_key(&service.name);
        if plain {
            // Nothing can have taken a backend out.
            continue;
        }
        let served = core.serve_now(service, &core.state).versions;
        for (version, served) in service.versions.iter().zip(served) {
            let seen = VersionSeen {
                panic: served.panic.contains(&true),
                empty: served.empty.contains(&true),
            };
            if seen != VersionSeen::default() {
                short.insert((service.name.clone(), version.name.clone()), seen);
            }
        }
    }
    short
}
