//! Owns the members of cohorts while the daemon runs: the store, the kernel's table, and the way from one
//! to the other.
//!
//! Invariant: disk first, then the kernel, both under one lock that is taken only on threads that may
//! wait. A table that could not be written is written anew, by the store.

mod foresee;
mod verbs;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use splitter_common::{address::Address, clock::Jiffies, cohort};

pub(super) use self::verbs::{add, create, delete, import, list, remove, test};
use super::{
    core::{Core, Daemon},
    wall,
};
use crate::{
    api::{Refusal, types::Membership},
    cohorts::{Changes, Cohort, Now, Store},
    dataplane::MemberTable,
    model::{Config, Service},
};

/// Members that a second's sweep takes away at most; their time is up whether they are swept or not.
const SWEEP: usize = 8_192;
/// How long to wait before another try of what failed.
const RETRY: Duration = Duration::from_secs(10);
/// How full is told, in percent.
const FULL_PERCENT: u64 = 80;
/// Names the boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// All of it.
pub(super) struct Cohorts {
    dir: PathBuf,
    table: MemberTable,
    hz: u32,
    kept: Mutex<Kept>,
    known: Mutex<Known>,
}

/// Behind the lock.
#[derive(Default)]
struct Kept {
    /// `None` while it cannot be opened.
    store: Option<Store>,
    /// The kernel's table is not what the store says.
    behind: bool,
    tried: Option<Instant>,
}

/// What others may look at without waiting.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By name.
    pub(super) cohorts: BTreeMap<String, Cohort>,
    /// Addresses in all of them.
    pub(super) addresses: u64,
    /// What is wrong, while it is.
    problem: Option<String>,
    /// What the start had to tell.
    told: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cohorts {
    /// Those of a directory, before anything is read.
    pub(super) fn new(dir: &Path, table: MemberTable, hz: u32) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            table,
            hz,
            kept: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// Reads the store and fills the kernel's table by it. What fails is told, and tried again.
    pub(super) fn begin(&self, now: Jiffies) {
        self.bring_up(&mut lock(&self.kept), now);
    }

    /// What others may look at.
    pub(super) fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    fn bring_up(&self, kept: &mut Kept, now: Jiffies) {
        kept.tried = Some(Instant::now());
        let done = self.try_to_bring_up(kept, now);
        let problem = done.err().map(|error| {
            format!(
                "members of cohorts: {error:#}; tried again every {} s, the kernel goes on with \
                 those it has",
                RETRY.as_secs()
            )
        });
        let mut known = lock(&self.known);
        if let Some(problem) = problem.as_ref().filter(|_| known.problem != problem) {
            log::error!("{problem}");
        } else if known.problem.is_some() && problem.is_none() {
            log::info!("members of cohorts are as they should be again");
        }
        known.problem = problem;
    }

    fn try_to_bring_up(&self, kept: &mut Kept, now: Jiffies) -> anyhow::Result<()> {
        let store = match &mut kept.store {
            Some(store) => store,
            None => {
                let boot = std::fs::read_to_string(BOOT_ID).context(BOOT_ID)?;
                let now = Now {
                    boot: boot.trim().to_owned(),
                    jiffies: now,
                    hz: self.hz,
                    wall_ms: wall::unix_ms(),
                };
                let (store, told) = Store::open(&self.dir, &now)?;
                if let Some(told) = &told {
                    log::error!("{told}");
                }
                lock(&self.known).told = told;
                kept.store.insert(store)
            }
        };
        self.publish(store, None);
        kept.behind = true;
        self.fill(store, now)?;
        kept.behind = false;
        Ok(())
    }

    /// Makes the kernel's table what the store says.
    fn fill(&self, store: &Store, now: Jiffies) -> anyhow::Result<()> {
        let put_all = || {
            store.rows(now, |rows| {
                self.table.put(rows).context("the kernel's table")
            })
        };
        if put_all().is_ok() && self.table.count()? <= store.addresses() {
            return Ok(());
        }
        // Of members that the store has no more: an older copy of it was put in its place, say.
        let mut strangers = Vec::new();
        self.table.each(|rows| {
            for (address, _) in rows {
                if !store.stands(*address)? {
                    strangers.push(*address);
                }
            }
            anyhow::Ok(())
        })?;
        self.table.remove(&strangers)?;
        put_all()
    }

    /// Tells the kernel what changed on disk.
    fn tell(&self, kept: &mut Kept, changes: &Changes) -> Result<(), Refusal> {
        let put = self.table.put(&changes.put);
        let done = self.table.remove(&changes.gone).and(put);
        done.map_err(|error| {
            kept.behind = true;
            kept.tried = Some(Instant::now());
            let problem = format!(
                "members of cohorts are on disk and not all in the kernel: {error}; tried again \
                 every {} s",
                RETRY.as_secs()
            );
            log::error!("{problem}");
            lock(&self.known).problem = Some(problem.clone());
            Refusal::internal(problem)
        })
    }

    /// Shows the others what is known. `only`: the cohort that changed.
    fn publish(&self, store: &Store, only: Option<&str>) {
        let mut known = lock(&self.known);
        known.addresses = store.addresses();
        match only.and_then(|name| Some((name, store.cohorts().get(name)?))) {
            Some((name, cohort)) => {
                known.cohorts.insert(name.to_owned(), cohort.clone());
            }
            None => known.cohorts.clone_from(store.cohorts()),
        }
    }

    /// Tries again what failed, and sweeps.
    fn tick(&self, now: Jiffies) {
        let mut kept = lock(&self.kept);
        let kept = &mut *kept;
        let due = kept.tried.is_none_or(|at| at.elapsed() >= RETRY);
        if (kept.store.is_none() || kept.behind) && due {
            self.bring_up(kept, now);
        }
        let Some(store) = &mut kept.store else {
            return;
        };
        match store.sweep(SWEEP, now) {
            Ok((0, _)) => {}
            Ok((_, changes)) => {
                self.publish(store, None);
                // What fails is told and tried again.
                let _told = self.tell(kept, &changes);
            }
            Err(error) => {
                let problem = format!("members of cohorts cannot be swept: {error}");
                let mut known = lock(&self.known);
                if known.problem.as_ref() != Some(&problem) {
                    log::error!("{problem}");
                    known.problem = Some(problem);
                }
                kept.behind = true;
            }
        }
    }
}

/// Sweeps once a second.
pub(super) async fn keep(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (cohorts, now) = at_hand(&daemon).await?;
        let swept = tokio::task::spawn_blocking(move || cohorts.tick(now));
        swept.await.context("members were not swept")?;
    }
}

/// The cohorts, and the time.
async fn at_hand(daemon: &Daemon) -> anyhow::Result<(Arc<Cohorts>, Jiffies)> {
    let mut core = daemon.core.lock().await;
    let now = core.plane.jiffies()?;
    Ok((Arc::clone(&core.cohorts), Jiffies(now)))
}

/// The cohorts that segments ask for, and which those are: `shop/testers`.
pub(super) fn asked(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut asked = BTreeMap::<String, Vec<String>>::new();
    for service in &config.services {
        for segment in &service.segments {
            for name in segment.condition.cohorts() {
                let by = asked.entry(name.to_owned()).or_default();
                by.push(format!("{}/{}", service.name, segment.name));
            }
        }
    }
    asked
}

/// The cohorts that segments ask for and that exist, with their members.
pub(super) fn counted(core: &Core) -> Vec<(String, u64)> {
    let names = asked(&core.config);
    if names.is_empty() {
        return Vec::new();
    }
    let known = core.cohorts.known();
    let names = names.into_keys();
    names
        .filter_map(|name| {
            let members = known.cohorts.get(&name)?.members;
            Some((name, members))
        })
        .collect()
}

/// Two cohorts, there or asked for, that draw the same number.
pub(super) fn same_number(core: &Core, config: &Config) -> Option<String> {
    let (known, asked) = (core.cohorts.known(), asked(config));
    let mut numbers = BTreeMap::<u32, &String>::new();
    known.cohorts.keys().chain(asked.keys()).find_map(|name| {
        let other = numbers.insert(cohort::number(name), name)?;
        (other != name).then(|| {
            format!(
                "cohorts \"{other}\" and \"{name}\" draw the same number, so that their members \
                 cannot be told apart: give one another name"
            )
        })
    })
}

/// What an operator should know.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let known = core.cohorts.known();
    let mut told: Vec<String> = known.problem.iter().chain(&known.told).cloned().collect();
    told.extend(same_number(core, &core.config));
    for (name, by) in asked(&core.config) {
        if !known.cohorts.contains_key(&name) && known.problem.is_none() {
            told.push(format!(
                "segment {} asks for cohort {name}, which does not exist: nobody is in it; \
                 `splitter cohort create {name}`",
                by.join(", ")
            ));
        }
    }
    let room = u64::from(core.cohorts.table.capacity());
    if known.addresses * 100 >= room * FULL_PERCENT {
        told.push(format!(
            "{} of the {room} addresses that [limits] cohort_members has room for are in cohorts",
            known.addresses
        ));
    }
    told
}

/// The cohorts that a service's segments ask for and that the kernel has a client in.
pub(super) fn of_client(
    core: &mut Core,
    service: &Service,
    client: Address,
) -> Result<Vec<Membership>, Refusal> {
    let row = core.plane.members().row(client);
    let Some(row) = row.map_err(Refusal::internal)? else {
        return Ok(Vec::new());
    };
    let now = Jiffies(core.plane.jiffies().map_err(Refusal::internal)?);
    let hz = u64::from(core.plane.hz().max(1));
    let names = service.segments.iter();
    let names = names.flat_map(|segment| segment.condition.cohorts());
    let names: std::collections::BTreeSet<&str> = names.collect();
    let in_force = names.iter().filter_map(|name| {
        let mut all = row.memberships(client);
        let found = all.find(|of| of.cohort == cohort::number(name) && of.holds(now))?;
        let left_ms = (found.until != 0).then(|| (found.until - now.0).saturating_mul(1_000) / hz);
        Some(membership((*name).to_owned(), left_ms, None))
    });
    Ok(in_force.collect())
}

/// A membership as it is told.
fn membership(cohort: String, left_ms: Option<u64>, reference: Option<String>) -> Membership {
    let left = left_ms.map(Duration::from_millis);
    Membership {
        cohort,
        left_s: left.map(|left| left.as_secs_f64()),
        until: left.map(wall::text_in),
        reference,
    }
}
