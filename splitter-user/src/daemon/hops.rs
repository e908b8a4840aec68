//! Owns freshness: interfaces, own addresses and the next hops of all backends, looked up at start, after every change that the
//! kernel tells of, while any is unresolved, and now and then in any case.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use splitter_common::flow::Hop;
use tokio::sync::mpsc;

use super::{
    core::{Core, Daemon},
    interfaces,
};
use crate::{
    model::Config,
    net::{
        Net,
        hops::HopState,
        watch::{self, Change},
    },
};

/// While a next hop is unknown.
const EAGER: Duration = Duration::from_secs(1);
/// Otherwise.
const CALM: Duration = Duration::from_secs(30);
/// Changes come in swarms; one look serves a swarm.
const SETTLE: Duration = Duration::from_millis(50);

/// Keeps the next hops fresh until it is aborted.
pub(super) async fn keep_fresh(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut changes = subscribe();
    loop {
        let pause = {
            let core = daemon.core.lock().await;
            let calm = core.all_resolved() && !interfaces::some_lack_it(&core);
            if calm { CALM } else { EAGER }
        };
        let changed = tokio::select! {
            change = tokio::time::timeout(pause, changes.recv()) => change.ok(),
            () = daemon.new_backends.notified() => None,
        };
        let told = match changed {
            Some(Some(_)) => {
                tokio::time::sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
                true
            }
            Some(None) => {
                log::error!("changes of routes and neighbours were no longer told: asked for anew");
                tokio::time::sleep(EAGER).await;
                changes = subscribe();
                // Whatever has changed meanwhile.
                true
            }
            None => false,
        };
        let mut core = daemon.core.lock().await;
        if told {
            core.plane.raise_route_epoch();
        }
        if let Err(error) = interfaces::keep_attached(&mut core, &daemon.net).await {
            log::error!("cannot read the interfaces: {error:#}");
        }
        if let Err(error) = refresh(&mut core, &daemon.net).await {
            log::error!("cannot read routes and neighbours: {error:#}");
        }
    }
}

/// Asks the kernel to tell changes.
fn subscribe() -> mpsc::Receiver<Change> {
    let (tell, changes) = mpsc::channel(1_024);
    tokio::spawn(async move {
        if let Err(error) = watch::changes(tell).await {
            log::error!("changes of routes and neighbours cannot be heard: {error}");
        }
    });
    changes
}

/// Looks all next hops up and writes what changed.
pub(super) async fn refresh(core: &mut Core, net: &Net) -> anyhow::Result<()> {
    core.hops = look_up(core, net, &core.config).await?;
    core.own_addresses = net.own_addresses().await?;
    core.write_hops(0);
    Ok(())
}

/// The next hops of all backends of a configuration; those that are new or unknown are asked for.
pub(super) async fn look_up(
    core: &Core,
    net: &Net,
    config: &Config,
) -> anyhow::Result<HashMap<IpAddr, HopState>> {
    let addresses: Vec<IpAddr> = addresses(config).into_iter().collect();
    let hops = net.next_hops(&addresses).await?;
    // A backend that is reached by another neighbour than before is as good as new.
    let fresh = hops.iter().filter(|(address, hop)| {
        let before = core.hops.get(*address).and_then(HopState::neighbour);
        before != hop.neighbour()
    });
    let unresolved = hops
        .iter()
        .filter(|(_, hop)| matches!(hop, HopState::Unresolved { .. }));
    let asked: BTreeSet<IpAddr> = fresh
        .chain(unresolved)
        .map(|(address, _)| *address)
        .collect();
    net.keep_resolved(&hops, &asked).await;
    Ok(hops)
}

fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    let versions = config.services.iter().flat_map(|service| &service.versions);
    versions
        .flat_map(|version| &version.backends)
        .map(|backend| backend.address)
        .collect()
}

impl Core {
    fn all_resolved(&self) -> bool {
        let resolved = |address| matches!(self.hops.get(address), Some(HopState::Resolved { .. }));
        addresses(&self.config).iter().all(resolved)
    }

    /// Writes the next hops known to the rows of their backends, where they differ, of services
    /// that a commit after generation `since` has changed.
    pub(super) fn write_hops(&mut self, since: u32) {
        let wire_lengths = interfaces::wire_lengths(self);
        self.plane.set_wire_lengths(wire_lengths);
        for service in &self.config.services {
            let Ok(given) = self.state.numbers.service(&service.name) else {
                continue;
            };
            if given.generation <= since {
                continue;
            }
            for version in &service.versions {
                for backend in &version.backends {
                    let Ok(number) = given.backend(&version.name, backend) else {
                        continue;
                    };
                    let hop = self.hops.get(&backend.address);
                    let hop = hop.and_then(|state| hop_of(state, wire_lengths));
                    if self.plane.next_hop(number.number) != hop {
                        self.plane.set_next_hop(number.number, hop);
                    }
                }
            }
        }
    }
}

fn hop_of(state: &HopState, wire_lengths: bool) -> Option<Hop> {
    match state {
        HopState::Resolved {
            mac,
            source_mac,
            ifindex,
            mtu,
            ..
        } => Some(Hop {
            destination: Hop::mac_word(*mac),
            source: Hop::mac_word(*source_mac),
            ifindex: *ifindex,
            // A longer one than any IP packet is no limit.
            mtu: if wire_lengths {
                u16::try_from(*mtu).unwrap_or(0)
            } else {
                0
            },
        }),
        HopState::Unresolved { .. } | HopState::Local | HopState::NoRoute => None,
    }
}
