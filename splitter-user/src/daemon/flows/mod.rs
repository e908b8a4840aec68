//! Owns what can be asked of flows: which there are, and how many.
//!
//! Invariant: a walk of the tables holds no lock of the daemon and runs on a thread of its own, so
//! that it delays neither the lease nor any other request. It keeps what is asked for and nothing
//! else, and ends early when nobody waits for it any more. One walk runs at a time.

pub(super) mod estimate;
mod pick;
pub(super) mod recent;
pub(super) mod reset;
mod sample;
pub(super) mod shares;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
};

use splitter_common::{
    clock::Jiffies,
    flow::{Table, law},
};
use tokio::sync::oneshot;

pub(super) use pick::FlowState;
use pick::{Filter, Found, Owners};

use super::core::{Core, Daemon};
use crate::{
    api::{
        Refusal,
        types::{FlowCount, FlowLine, FlowList, FlowQuery, FlowStates, VersionFlows},
    },
    config,
    dataplane::{DataPlane, FlowTable},
    model::Vip,
    plan::numbers::{BackendNumber, ServiceNumbers},
};

/// Flows that are looked at between two looks at whether somebody still waits.
const PART: usize = 4_096;
/// Flows that one answer may list.
const LIST_MAX: u32 = 10_000;

/// A walk over the flows that are meant: who wants another thing done with each of them writes
/// another `each`.
struct Search {
    filter: Filter,
    tables: Vec<(Table, FlowTable)>,
    now: law::Now,
}

impl Search {
    /// Meets every flow that is meant, with the table that it stands in, until `stop` says so.
    fn each(
        &self,
        stop: impl Fn() -> bool,
        mut each: impl FnMut(&FlowTable, &Found) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut met = Vec::new();
        for (table, flows) in &self.tables {
            let mut walk = flows.walk(0, PART);
            while !stop()
                && walk.next(|key, entry| {
                    met.extend(self.filter.pick(*table, key, entry, self.now));
                })?
            {
                for found in met.drain(..) {
                    each(flows, &found)?;
                }
            }
        }
        Ok(())
    }
}

/// The names of a service's numbers.
struct Names {
    /// By frontend number.
    vips: HashMap<u16, Vip>,
    /// Version and backend, by backend number.
    backends: HashMap<u32, (String, String)>,
}

impl Names {
    fn of(given: &ServiceNumbers) -> Self {
        let vips = given.applied.vips.iter();
        let backends = given.backends.iter().flat_map(|(version, backends)| {
            let name = move |(backend, number): (&String, &BackendNumber)| {
                (number.number, (version.clone(), backend.clone()))
            };
            backends.iter().map(name)
        });
        Self {
            vips: vips
                .filter_map(|vip| Some((given.frontend(vip).ok()?.number, *vip)))
                .collect(),
            backends: backends.collect(),
        }
    }

    fn version(&self, found: &Found) -> &str {
        self.backends
            .get(&found.entry.backend)
            .map_or("(unknown)", |(version, _)| version)
    }

    fn line(&self, found: &Found, now: law::Now) -> FlowLine {
        let (key, entry) = (&found.key, &found.entry);
        let vip = self.vips.get(&key.frontend).map(|vip| Vip {
            port: key.port,
            ..*vip
        });
        let backend = self.backends.get(&entry.backend);
        let seconds = |since| f64::from(now.jiffies.since(since)) / f64::from(now.hz.max(1));
        FlowLine {
            client: SocketAddr::new(IpAddr::from(key.client), key.client_port).to_string(),
            vip: vip.map_or_else(|| "(unknown)".to_owned(), |vip| vip.to_string()),
            version: self.version(found).to_owned(),
            backend: backend
                .map_or("(unknown)", |(_, backend)| backend)
                .to_owned(),
            state: found.state.name().to_owned(),
            age_s: seconds(entry.began),
            idle_s: seconds(entry.seen),
        }
    }
}

/// The flows of a service, as many as are asked for.
pub(super) async fn list(
    daemon: &Daemon,
    service: String,
    wanted: FlowQuery,
) -> Result<FlowList, Refusal> {
    if !(1..=LIST_MAX).contains(&wanted.limit) {
        let what = format!("the limit is {}: it must be 1 to {LIST_MAX}", wanted.limit);
        return Err(Refusal::invalid(what).with_hint("`splitter flows count` counts all"));
    }
    let _one_at_a_time = daemon.walks.lock().await;
    let (search, names) = prepare(&mut *daemon.core.lock().await, &service, &wanted)?;
    let limit = wanted.limit as usize;
    let (flows, more) = beside(move |stop| {
        let (mut found, mut more) = (Vec::new(), 0u64);
        search.each(stop, |_, each| {
            if found.len() < limit {
                found.push(*each);
            } else {
                more += 1;
            }
            Ok(())
        })?;
        found.sort_by_key(|found| {
            let key = &found.key;
            (
                IpAddr::from(key.client),
                key.client_port,
                key.frontend,
                key.port,
            )
        });
        let line = |found: &Found| names.line(found, search.now);
        Ok((found.iter().map(line).collect(), more))
    })
    .await?;
    Ok(FlowList {
        service,
        flows,
        more,
    })
}

/// How many flows a service has, by version and state.
pub(super) async fn count(
    daemon: &Daemon,
    service: String,
    wanted: FlowQuery,
) -> Result<FlowCount, Refusal> {
    let _one_at_a_time = daemon.walks.lock().await;
    let (search, names) = prepare(&mut *daemon.core.lock().await, &service, &wanted)?;
    // By number while walking, by name afterwards.
    let (counted, names) = beside(move |stop| {
        let mut counted = HashMap::<(u32, FlowState), u64>::new();
        search.each(stop, |_, found| {
            let key = (found.entry.backend, found.state);
            *counted.entry(key).or_default() += 1;
            Ok(())
        })?;
        Ok((counted, names))
    })
    .await?;
    let core = daemon.core.lock().await;
    let versions = &core.service(&service)?.versions;
    let meant = |name: &str| wanted.version.as_deref().is_none_or(|only| only == name);
    let versions: Vec<VersionFlows> = versions
        .iter()
        .filter(|version| meant(&version.name))
        .map(|version| {
            let of = |state: FlowState| {
                let own = counted.iter().filter(|((backend, its), _)| {
                    let owner = names.backends.get(backend);
                    *its == state && owner.is_some_and(|(owner, _)| *owner == version.name)
                });
                own.map(|(_, count)| count).sum()
            };
            VersionFlows {
                name: version.name.clone(),
                flows: FlowState::ALL.into_iter().map(of).sum(),
                states: FlowStates {
                    established: of(FlowState::Established),
                    closing: of(FlowState::Closing),
                    adopted: of(FlowState::Adopted),
                    leaving: of(FlowState::Leaving),
                    pending: wanted.pending.then(|| of(FlowState::Pending)),
                },
            }
        })
        .collect();
    Ok(FlowCount {
        service,
        flows: versions.iter().map(|version| version.flows).sum(),
        versions,
    })
}

/// All that a walk needs, so that it needs the daemon no more.
fn prepare(core: &mut Core, service: &str, wanted: &FlowQuery) -> Result<(Search, Names), Refusal> {
    let configured = core.service(service)?;
    if let Some(name) = &wanted.version
        && configured.version(name).is_none()
    {
        let names: Vec<&str> = configured
            .versions
            .iter()
            .map(|version| version.name.as_str())
            .collect();
        let what = format!("service \"{service}\" has no version \"{name}\"");
        return Err(Refusal::not_found(what).with_hint(format!("it has: {}", names.join(", "))));
    }
    let client = wanted.client.as_deref().map(config::prefix).transpose();
    let client = client.map_err(|why| Refusal::invalid(format!("client {why}")))?;
    let mut given = core
        .state
        .numbers
        .service(service)
        .map_err(Refusal::internal)?
        .clone();
    if let Some(name) = &wanted.version {
        given.backends.retain(|version, _| version == name);
    }
    let mut owners = Owners::default();
    own(&mut owners, &given, &core.plane);
    let names = Names::of(&given);
    let jiffies = Jiffies(core.plane.jiffies().map_err(Refusal::internal)?).low();
    let mut tables = vec![Table::Established];
    if wanted.pending {
        tables.push(Table::Pending);
    }
    let maps = core.plane.maps();
    let search = Search {
        filter: Filter { owners, client },
        tables: tables
            .into_iter()
            .map(|table| (table, maps.flow_table(table).clone()))
            .collect(),
        now: law::Now {
            jiffies,
            hz: core.plane.hz(),
        },
    };
    Ok((search, names))
}

/// Adds a service's numbers with the births that stand in the kernel.
fn own(owners: &mut Owners, given: &ServiceNumbers, plane: &DataPlane) {
    let maps = plane.maps();
    owners.add(
        given,
        |number| maps.frontends.read(number).born,
        |number| maps.backends.read(number).born,
    );
}

/// Runs a walk on a thread of its own. It is told to stop when whoever waits for it has gone.
async fn beside<T: Send + 'static>(
    walk: impl FnOnce(&dyn Fn() -> bool) -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let (sender, receiver) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let done = walk(&|| sender.is_closed());
        // Nobody waits any more.
        let _gone = sender.send(done);
    });
    let done = receiver.await;
    done.map_err(|_| Refusal::internal("the walk of the flow tables died"))?
        .map_err(|error| Refusal::internal(format!("the flow tables cannot be walked: {error}")))
}
