//! Owns the estimate of live flows and of how full the flow tables are: a look at some buckets
//! every second, within [`ESTABLISHED_BUDGET`] and [`PENDING_BUDGET`] of CPU time.
//!
//! Invariant: less than 1 % of one core, whatever the size of the tables; no lock is held while a
//! table is looked at.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use splitter_common::{
    clock::Jiffies,
    flow::{Table, law},
    layout::Control,
};

use super::{
    own,
    pick::{Filter, Found, Owners},
    sample::{Budget, Round},
};
use crate::{
    api::types::{FlowEstimate, TableFill},
    daemon::core::{Core, Daemon},
    dataplane::FlowTable,
    events::nearly_full_percent,
    model::Version,
    plan::numbers::ServiceNumbers,
};

/// How often a look is taken.
const EVERY: Duration = Duration::from_secs(1);
/// CPU time of a look at the established flows.
const ESTABLISHED_BUDGET: Duration = Duration::from_millis(3);
/// CPU time of a look at the pending flows.
const PENDING_BUDGET: Duration = Duration::from_millis(1);
/// Flows that one system call takes.
const PART: usize = 256;
/// How long a pending flow is in use without a packet: Linux repeats a SYN after 63 s for the last
/// time and gives up 64 s later (tcp_syn_retries 6).
const PENDING_IDLE_S: u32 = 127;

/// What the last rounds have said.
#[derive(Default)]
pub(in crate::daemon) struct Estimates {
    established: Option<Told>,
    pending: Option<Told>,
}

/// What one round has said of one table.
struct Told {
    round: Round,
    buckets: u32,
    capacity: u32,
    /// When the round began.
    began: Instant,
}

impl Told {
    fn age_s(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn fill(&self, table: &str, [inserts, removals]: [u64; 2]) -> TableFill {
        let entries = self.round.scaled(self.round.entries, self.buckets);
        TableFill {
            table: table.to_owned(),
            capacity: self.capacity,
            entries,
            fill_percent: entries as f64 * 100.0 / f64::from(self.capacity.max(1)),
            age_s: self.age_s(),
            sampled_percent: self.round.sampled_percent(self.buckets),
            inserts,
            removals,
        }
    }
}

impl Estimates {
    /// How full the tables are. `events`: the inserts and removals that a table has counted.
    pub(in crate::daemon) fn tables(&self, events: impl Fn(Table) -> [u64; 2]) -> Vec<TableFill> {
        let told = [
            ("established", Table::Established, &self.established),
            ("pending", Table::Pending, &self.pending),
        ];
        let tables = told.into_iter();
        tables
            .filter_map(|(name, table, told)| Some(told.as_ref()?.fill(name, events(table))))
            .collect()
    }

    /// The open flows of a version.
    pub(in crate::daemon) fn of_version(
        &self,
        version: &Version,
        given: &ServiceNumbers,
    ) -> Option<FlowEstimate> {
        let told = self.established.as_ref()?;
        let backends = version.backends.iter();
        let counted = backends
            .filter_map(|backend| given.backend(&version.name, backend).ok())
            .filter_map(|number| told.round.by_backend.get(&number.number))
            .sum();
        Some(FlowEstimate {
            flows: told.round.scaled(counted, told.buckets),
            age_s: told.age_s(),
            sampled_percent: told.round.sampled_percent(told.buckets),
        })
    }

    /// What an operator should know.
    pub(in crate::daemon) fn warnings(&self) -> Vec<String> {
        self.tables(|_| [0; 2])
            .iter()
            .filter_map(nearly_full)
            .collect()
    }
}

fn nearly_full(fill: &TableFill) -> Option<String> {
    let TableFill {
        table,
        capacity,
        fill_percent,
        ..
    } = fill;
    let (key, consequence) = if table == "pending" {
        (
            "pending",
            "a flood, or more handshakes at once than it holds: some are pushed out, the oldest of their \
             eight",
        )
    } else {
        (
            "flows",
            "the flows that were silent longest are pushed out and go by decision alone",
        )
    };
    (*fill_percent >= nearly_full_percent(table)).then(|| {
        format!(
            "the table of {table} flows is nearly full (about {fill_percent:.0} % of {capacity}): \
             {consequence}; raise [limits] {key}, which takes `splitter detach` and a start"
        )
    })
}

/// Where the rounds over one table stand.
struct Sampler {
    table: Table,
    budget: Budget,
    round: Round,
    began: Instant,
    /// The bucket that the next look begins at.
    at: u32,
}

impl Sampler {
    fn new(table: Table, a_turn: Duration) -> Self {
        Self {
            table,
            budget: Budget::new(a_turn),
            round: Round::default(),
            began: Instant::now(),
            at: 0,
        }
    }

    /// Takes one look; what a round that is over with it has said.
    fn turn(&mut self, flows: &FlowTable, filter: &Filter, now: law::Now) -> Option<Told> {
        let given = self.budget.begin()?;
        if self.round == Round::default() {
            self.began = Instant::now();
        }
        let begin = cpu_time();
        let done = self.look(flows, filter, now, || {
            cpu_time().saturating_sub(begin) >= given
        });
        self.budget.spent(given, cpu_time().saturating_sub(begin));
        match done {
            Ok(true) => {}
            // Without batches there is no fair sample: nothing is estimated.
            Ok(false) => return None,
            Err(error) => {
                log::warn!("the flow tables cannot be looked at: {error}");
                return None;
            }
        }
        let buckets = flows.buckets();
        if !self.round.end_turn(buckets) {
            return None;
        }
        if self.round.is_whole(buckets) {
            // So that the next one can be exact as well.
            self.at = 0;
        }
        Some(Told {
            round: std::mem::take(&mut self.round),
            buckets,
            capacity: flows.capacity(),
            began: self.began,
        })
    }

    /// Looks until it is enough; `false` where the kernel does not tell which part was looked at.
    fn look(
        &mut self,
        flows: &FlowTable,
        filter: &Filter,
        now: law::Now,
        enough: impl Fn() -> bool,
    ) -> std::io::Result<bool> {
        let (table, round, buckets) = (self.table, &mut self.round, flows.buckets());
        let mut walk = flows.walk(self.at, PART);
        loop {
            walk.next(|key, element| {
                let found = filter.pick(table, key, element, now);
                if let Some(found) = found.filter(|found| in_use(found, now)) {
                    round.add(found.entry.backend);
                }
            })?;
            if !walk.tells_buckets() {
                *round = Round::default();
                return Ok(false);
            }
            let next = walk.bucket();
            round.saw(self.at, next.unwrap_or(buckets));
            self.at = next.unwrap_or(0);
            if round.is_whole(buckets) || enough() {
                return Ok(true);
            }
            if next.is_none() {
                walk = flows.walk(0, PART);
            }
        }
    }
}

/// Whether an entry still needs its room.
fn in_use(found: &Found, now: law::Now) -> bool {
    match found.table {
        Table::Established => true,
        Table::Pending => {
            let idle = now.jiffies.since(found.entry.seen);
            idle <= PENDING_IDLE_S.saturating_mul(now.hz)
        }
    }
}

/// What this thread has computed so far.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The owners of all numbers, for as long as no commit changes them.
#[derive(Default)]
pub(super) struct Known {
    of: Option<(u32, u64)>,
    filter: Arc<Filter>,
}

impl Known {
    pub(super) fn now(&mut self, core: &Core) -> Arc<Filter> {
        let of = Some((core.plane.generation(), core.changes));
        if self.of != of {
            let mut owners = Owners::default();
            for given in core.state.numbers.services.values() {
                own(&mut owners, given, &core.plane);
            }
            self.filter = Arc::new(Filter {
                owners,
                client: None,
            });
            self.of = of;
        }
        Arc::clone(&self.filter)
    }
}

/// Looks at the tables until it is aborted.
pub(in crate::daemon) async fn keep(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = Known::default();
    let mut samplers = [
        Sampler::new(Table::Established, ESTABLISHED_BUDGET),
        Sampler::new(Table::Pending, PENDING_BUDGET),
    ];
    loop {
        every.tick().await;
        let core = daemon.core.lock().await;
        let maps = core.plane.maps();
        let tables =
            [Table::Established, Table::Pending].map(|table| maps.flow_table(table).clone());
        // As of the last renewal of the lease, which is a second ago at most.
        let jiffies = Jiffies(maps.control.load_word(Control::Jiffies as u32)).low();
        let now = law::Now {
            jiffies,
            hz: core.plane.hz(),
        };
        let filter = known.now(&core);
        drop(core);
        let looked = tokio::task::spawn_blocking(move || {
            let mut samplers = samplers;
            let told: Vec<Option<Told>> = samplers
                .iter_mut()
                .zip(&tables)
                .map(|(sampler, flows)| sampler.turn(flows, &filter, now))
                .collect();
            (samplers, told)
        });
        let (back, told) = looked.await?;
        samplers = back;
        let mut core = daemon.core.lock().await;
        let estimates = &mut core.estimates;
        let slots = [&mut estimates.established, &mut estimates.pending];
        for (slot, told) in slots.into_iter().zip(told) {
            if told.is_some() {
                *slot = told;
            }
        }
    }
}
