//! Owns the daemon's one state: what is configured, what is in force, and the way from one to
//! the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use splitter_common::layout::{COUNTERS, Counter, ServiceRow};
use tokio::sync::{Mutex, Notify, watch};

use super::{
    answers::Answers,
    clients,
    cohorts::Cohorts,
    fate::Fate,
    flows::recent::Seen,
    flows::{estimate::Estimates, shares::Spreads},
    losses::Losses,
    refusal,
    reload::Drift,
    segments,
    traces::Traces,
    wall::now_text,
};
use crate::{
    api::{
        Refusal,
        types::{self, SeenMoves},
    },
    config::{Stamps, Texts, nearest},
    dataplane::{DataPlane, PreparedCommit},
    events::EventLog,
    health::Book,
    model::{Config, Service, Shared},
    net::{Net, hops::HopState},
    observe::metrics::Export,
    plan::{Image, Numbers, numbers::VersionNumber},
    secret::Secret,
    state::{Since, State, StateDir},
};

/// The daemon, as the API sees it.
pub struct Daemon {
    pub(super) core: Mutex<Core>,
    /// What changed on this host.
    pub(super) events: Arc<EventLog>,
    /// Told when there are backends whose next hops nobody has looked up.
    pub(super) new_backends: Notify,
    /// Held by whoever walks the flow tables.
    pub(super) walks: Mutex<()>,
    pub(super) net: Net,
    /// The directory of history.
    pub(super) history_dir: PathBuf,
    /// The last sample, for whoever asks for metrics.
    pub(super) export: watch::Sender<Export>,
    /// Who is told of packets.
    pub(super) traces: Traces,
}

/// Everything behind the lock.
pub(super) struct Core {
    /// The configuration file.
    pub(super) config_path: PathBuf,
    /// What the file says.
    pub(super) file: Config,
    /// Its texts as they were when it was read, and the files of the lists that they name.
    pub(super) texts: Arc<Texts>,
    pub(super) stamps: Stamps,
    /// Why the last reload was refused, until one is not.
    pub(super) refused_reload: Option<String>,
    /// Why lists that have changed are not in force, while that is so.
    pub(super) refused_lists: Option<String>,
    /// What was last said of a file that has changed.
    pub(super) drift: Drift,
    /// What is in force: the file with the overlays.
    pub(super) config: Config,
    /// What survives.
    pub(super) state: State,
    /// Where it survives.
    pub(super) state_dir: StateDir,
    /// The cluster secret.
    pub(super) secret: Secret,
    /// The kernel.
    pub(super) plane: DataPlane,
    /// Interfaces, as attached.
    pub(super) interfaces: Vec<types::InterfaceStatus>,
    /// What is known of backends.
    pub(super) book: Book,
    /// Counts changes of what is configured, for whoever goes by it.
    pub(super) changes: u64,
    /// Next hops, as last seen.
    pub(super) hops: HashMap<IpAddr, HopState>,
    /// This host's own addresses, as last seen.
    pub(super) own_addresses: BTreeSet<IpAddr>,
    /// What kept the last commit from the kernel, while it is not there.
    pub(super) unfinished: Option<String>,
    /// Whom nothing comes back from.
    pub(super) answers: Answers,
    /// Members of cohorts.
    pub(super) cohorts: Arc<Cohorts>,
    /// Open flows and how full the tables are, as last looked at.
    pub(super) estimates: Estimates,
    /// How flows and bytes lie on clients, as last looked at.
    pub(super) spreads: Spreads,
    /// Frames lost after the verdict.
    pub(super) losses: Losses,
    /// What changed on this host.
    pub(super) events: Arc<EventLog>,
    /// What the start or the last reload had to tell.
    pub(super) warnings: Vec<String>,
    /// Why nobody is listened to who asks for metrics, while that is so.
    pub(super) no_metrics: Option<String>,
    /// Why history is not written, while that is so.
    pub(super) no_history: Option<String>,
    /// When the daemon began.
    pub(super) began: Instant,
}

/// A change that can be carried out.
pub(super) struct Planned {
    config: Config,
    pub(super) state: State,
    image: Image,
    prepared: PreparedCommit,
}

impl Core {
    /// A service in force by name.
    pub(super) fn service(&self, name: &str) -> Result<&Service, Refusal> {
        self.config.service(name).ok_or_else(|| {
            let services = self.config.services();
            let names = services.map(|service| service.name.as_str());
            let hint = match nearest(name, names.clone()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are: {}", names.collect::<Vec<_>>().join(", ")),
            };
            Refusal::not_found(format!("no service \"{name}\"")).with_hint(hint)
        })
    }

    /// Puts `config` in force: numbers, room in the kernel, disk, switch, in this order. On an error
    /// before the disk nothing has changed; after it the commit is tried again.
    pub(super) fn apply(
        &mut self,
        config: Config,
        state: State,
        fate: Fate<'_>,
    ) -> anyhow::Result<()> {
        let planned = self.plan(config, state, fate)?;
        self.put(planned)
    }

    /// The same for somebody who asked, and is told what became of it.
    pub(super) fn apply_asked(
        &mut self,
        config: Config,
        state: State,
        fate: Fate<'_>,
    ) -> Result<(), Refusal> {
        let done = self.apply(config, state, fate);
        self.asked(done)
    }

    /// Begins the evidence of a service anew, for somebody who asked.
    pub(super) fn begin_evidence(&mut self, name: &str) -> Result<(), Refusal> {
        let done = self.plan_begin(name).and_then(|planned| self.put(planned));
        self.asked(done)
    }

    fn asked(&self, done: anyhow::Result<()>) -> Result<(), Refusal> {
        done.map_err(|error| {
            let refusal = Refusal::internal(format!("{error:#}"));
            refusal.with_hint(if self.unfinished.is_some() {
                "the change is on disk and is tried again; see `splitter status`"
            } else {
                "nothing has changed"
            })
        })
    }

    /// All of a change that can be refused.
    pub(super) fn plan(
        &mut self,
        config: Config,
        state: State,
        fate: Fate<'_>,
    ) -> anyhow::Result<Planned> {
        let served = self.plan_serving(&config, &state);
        let mut next = state.numbers.next(&served, &self.secret, &self.plane)?;
        let ends = fate.ends_after_s(&config, &state.numbers, &next);
        next.end_flows(&state.numbers, &ends);
        self.plan_numbers(config, state, &served, next)
    }

    fn plan_begin(&mut self, name: &str) -> anyhow::Result<Planned> {
        let (config, state) = (self.config.clone(), self.state.clone());
        let served = self.plan_serving(&config, &state);
        let mut next = state.numbers.next(&served, &self.secret, &self.plane)?;
        next.begin_evidence(&state.numbers, name);
        self.plan_numbers(config, state, &served, next)
    }

    fn plan_numbers(
        &mut self,
        config: Config,
        mut state: State,
        served: &Config,
        next: Numbers,
    ) -> anyhow::Result<Planned> {
        let changed: Vec<String> = config
            .services
            .iter()
            .filter(|service| {
                let (before, after) = (&state.numbers.services, &next.services);
                let (before, after) = (before.get(&service.name), after.get(&service.name));
                !before.zip(after).is_some_and(|(before, after)| {
                    Shared::is_same(before, after) || before.divides_like(after)
                })
            })
            .map(|service| service.name.clone())
            .collect();
        let in_force = self.plane.generation();
        let image = Image::changes(served, &next, &self.secret, in_force)?;
        state.numbers = next;
        state.health = self.book.records();
        for name in changed {
            let since = self.since_now(&state.numbers, &name);
            state.since.insert(name, since.into());
        }
        let prepared = self.prepare(&image)?;
        Ok(Planned {
            config,
            state,
            image,
            prepared,
        })
    }

    /// Carries a planned change out.
    pub(super) fn put(&mut self, planned: Planned) -> anyhow::Result<()> {
        let Planned {
            config,
            state,
            image,
            prepared,
        } = planned;
        if let Err(error) = self.state_dir.save(&state, Some(&self.state)) {
            self.plane.discard(prepared);
            return Err(error.into());
        }
        self.state = state;
        self.config = config;
        self.changes += 1;
        self.book.keep_only(&self.config);
        self.switch(&image, prepared)
    }

    /// What of those who were seen lately a planned change would move, and between which versions.
    pub(super) fn would_move(
        &self,
        planned: &Planned,
        service: &str,
        seen: &Seen,
    ) -> Option<SeenMoves> {
        clients::would_move(self, service, planned, seen)
    }

    /// The row that a planned change would give a service.
    pub(super) fn planned_row(&self, planned: &Planned, service: &str) -> Option<ServiceRow> {
        let after = planned.state.numbers.services.get(service)?;
        let number = u32::from(after.number);
        let in_force = || self.plane.maps().service_in_force(number);
        let row = planned.prepared.row(number);
        Some(row.copied().unwrap_or_else(in_force))
    }

    /// Gives a planned change up.
    pub(super) fn discard(&mut self, planned: Planned) {
        self.plane.discard(planned.prepared);
    }

    /// Tries a commit again that the kernel did not take.
    pub(super) fn finish(&mut self) {
        if self.unfinished.is_none() {
            return;
        }
        let in_force = self.plane.generation();
        let served = self.served();
        let image = Image::changes(&served, &self.state.numbers, &self.secret, in_force);
        let done = image.map_err(anyhow::Error::from).and_then(|image| {
            let prepared = self.prepare(&image)?;
            self.switch(&image, prepared)
        });
        match done {
            Ok(()) => log::info!(
                "generation {} is in the kernel now",
                self.plane.generation()
            ),
            Err(error) => log::debug!("still not in the kernel: {error:#}"),
        }
    }

    fn prepare(&mut self, image: &Image) -> anyhow::Result<PreparedCommit> {
        let seed = self.secret.derive("directory", &[]);
        let prepared = tokio::task::block_in_place(|| self.plane.prepare(image, seed));
        Ok(prepared.map_err(refusal)?)
    }

    fn switch(&mut self, image: &Image, prepared: PreparedCommit) -> anyhow::Result<()> {
        let before = self.plane.generation();
        let done = tokio::task::block_in_place(|| self.plane.switch(image, prepared));
        self.unfinished = done.as_ref().err().map(|error| {
            format!(
                "generation {} is on disk but not in the kernel, which goes on with what it has: \
                 {error}; tried again every second",
                image.generation
            )
        });
        done.map_err(refusal)?;
        self.write_hops(before);
        Ok(())
    }

    /// What a service has counted by now, for shares that are counted from now on.
    fn since_now(&self, numbers: &Numbers, service: &str) -> Since {
        let new_flows = self.new_flows(numbers, service);
        let given = numbers.services.get(service);
        let by_hash = given.map(|given| {
            let mut flows = segments::flows(self, given, 0);
            // An index that is given away now begins at 0, whatever its last owner counted.
            for (name, version) in &given.versions {
                let is_new = given.born.max(version.born) == numbers.generation;
                if let Some(count) = flows.get_mut(name).filter(|_| is_new) {
                    *count = 0;
                }
            }
            flows
        });
        Since {
            at: now_text(),
            new_flows,
            by_hash,
            bytes: Some(self.bytes(numbers, service)),
        }
    }

    /// New flows by version, all backends that are or were.
    pub(super) fn new_flows(&self, numbers: &Numbers, service: &str) -> BTreeMap<String, u64> {
        self.totals(numbers, service, |cells| cells[Counter::NewFlows as usize])
    }

    /// Bytes both ways by version, all backends that are or were.
    pub(super) fn bytes(&self, numbers: &Numbers, service: &str) -> BTreeMap<String, u64> {
        self.totals(numbers, service, bytes)
    }

    pub(super) fn totals(
        &self,
        numbers: &Numbers,
        service: &str,
        of: impl Fn(&[u64; COUNTERS]) -> u64,
    ) -> BTreeMap<String, u64> {
        let Some(given) = numbers.services.get(service) else {
            return BTreeMap::new();
        };
        let of_version = |(name, version): (&String, &VersionNumber)| {
            let backends = given.backends.get(name).into_iter();
            let live: u64 = backends
                .flat_map(BTreeMap::values)
                .map(|backend| {
                    let cells = self.plane.counters(backend.number).cells;
                    of(&cells).saturating_sub(of(&backend.base))
                })
                .sum();
            (name.clone(), live + of(&version.retired))
        };
        given.versions.iter().map(of_version).collect()
    }
}

/// Bytes both ways.
pub(super) const fn bytes(cells: &[u64; COUNTERS]) -> u64 {
    cells[Counter::BytesIn as usize] + cells[Counter::BytesOut as usize]
}
