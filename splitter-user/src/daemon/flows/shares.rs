//! Owns how flows and bytes lie on clients, without which nobody can say how far a share of them may be
//! off: looks at a part of the flow tables, two at each, [`EVERY`] apart, and then at the next part.
//!
//! Invariant: less than a third of a percent of one core, whatever the size of the tables; no lock is held
//! meanwhile. Flows that are over say who was here as well as those that are open.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
    time::Duration,
};

use splitter_common::{
    address::Address,
    flow::{
        Entry, Table,
        entry::state,
        turns::{Answered, Asked},
    },
    layout::{Counter, FlowEntry, FlowKey},
};

use super::{
    estimate::{Known, cpu_time},
    pick::Filter,
    recent::client,
    sample::Budget,
};
use crate::{
    daemon::core::{Core, Daemon},
    dataplane::FlowTable,
    judge::spread::{Mean, Seen, Spread},
    model::{Protocol, Service, SplitKey},
    observe::metrics::Export,
};

/// Time between two looks at the same part.
const EVERY: Duration = Duration::from_secs(5);
/// CPU time of a look; what it takes more is saved by leaving the next ones out.
const BUDGET: Duration = Duration::from_millis(15);
/// Flows that a look takes of each table, about.
const SAMPLE: [usize; 2] = [32_768, 8_192];
/// Flows that one system call takes.
const PART: usize = 1_024;
const TABLES: [Table; 2] = [Table::Established, Table::Pending];

/// What the looks have said, by service.
#[derive(Default)]
pub(in crate::daemon) struct Spreads(BTreeMap<String, Told>);

/// What they have said of one.
#[derive(Default)]
struct Told {
    /// From when shares are counted.
    since: String,
    flows: Option<Spread>,
    bytes: Mean,
}

impl Spreads {
    /// How a service's flows that the hash decided lie on clients.
    pub(in crate::daemon) fn of_flows(&self, service: &str) -> Option<Spread> {
        self.0.get(service)?.flows
    }

    /// How its bytes do, of those that came since `since`.
    pub(in crate::daemon) fn of_bytes(&self, service: &str, since: &str) -> Option<Spread> {
        let told = self.0.get(service)?;
        (told.since == since).then(|| told.bytes.spread()).flatten()
    }

    fn of(&mut self, service: &Looked) -> &mut Told {
        let told = self.0.entry(service.name.clone()).or_default();
        if told.since != service.since {
            told.since.clone_from(&service.since);
            told.bytes = Mean::default();
        }
        told
    }
}

/// A service that is looked at.
#[derive(Clone)]
struct Looked {
    name: String,
    number: u16,
    key: SplitKey,
    /// Only flows that are judged are known to be decided by the hash.
    judged_only: bool,
    since: String,
    /// Bytes both ways that were counted.
    bytes: u64,
    /// The part of the new flows that was answered.
    answered: f64,
}

/// Services in which somebody can tell whose flows the hash decided.
fn looked(core: &Core, export: &Export) -> Vec<Looked> {
    let sample = &export.sample;
    let services = sample.roster.services.iter().zip(&sample.services);
    let look = |service: &Service| {
        let given = core.state.numbers.services.get(&service.name)?;
        let judged_only = !service.segments.is_empty();
        if service.versions.len() < 2 || (judged_only && given.judged.is_none()) {
            return None;
        }
        let (_, versions) = services
            .clone()
            .find(|(entry, _)| entry.number == given.number)?;
        let count = |counter: Counter| -> u64 {
            let versions = versions.iter();
            versions.map(|each| each.figures.counter(counter)).sum()
        };
        let (new, answered) = (count(Counter::NewFlows), count(Counter::Handshakes));
        Some(Looked {
            name: service.name.clone(),
            number: given.number,
            key: service.key,
            judged_only,
            since: core
                .state
                .since
                .get(&service.name)
                .map(|since| since.at.clone())
                .unwrap_or_default(),
            bytes: count(Counter::BytesIn) + count(Counter::BytesOut),
            answered: answered as f64 / new.max(1) as f64,
        })
    };
    core.config.services().filter_map(look).collect()
}

/// How far both ends of an open flow have spoken, and when it began.
#[derive(Clone, Copy)]
struct Spoken {
    began: u32,
    highs: [u32; 2],
}

impl Spoken {
    /// `None` where sequence numbers do not tell.
    fn of(entry: &Entry, element: &FlowEntry, protocol: Protocol) -> Option<Self> {
        if protocol != Protocol::Tcp || entry.state & state::ADOPTED != 0 {
            return None;
        }
        let cell = Cell::new(element.words);
        Some(Self {
            began: entry.began.0,
            highs: [Asked::load(&cell).high, Answered::load(&cell).high],
        })
    }

    /// Bytes since an earlier look, unless it is another flow; of more than 2 GiB each way nothing.
    fn since(&self, before: &Self) -> u64 {
        if self.began != before.began {
            return 0;
        }
        let ends = self.highs.iter().zip(before.highs);
        let came = ends.map(|(now, before)| now.wrapping_sub(before));
        came.filter(|bytes| *bytes < 1 << 31).map(u64::from).sum()
    }
}

/// The first of two looks.
struct First {
    /// Of the table of established flows: the buckets.
    from: u32,
    to: u32,
    spoken: HashMap<FlowKey, Spoken>,
    /// Bytes by service.
    bytes: HashMap<u16, u64>,
}

/// Where looking stands.
#[derive(Default)]
struct Looker {
    at: [u32; 2],
    first: Option<First>,
}

type ByClient = HashMap<(u16, (Address, u64)), Seen>;

/// What a look has found.
struct Found {
    seen: HashMap<u16, Vec<Seen>>,
    /// Of a second look: the part of the table, and the bytes at the first.
    second: Option<(f64, HashMap<u16, u64>)>,
}

impl Looker {
    /// Takes a look; `None` where the kernel does not tell which part was looked at.
    fn look(
        &mut self,
        filter: &Filter,
        tables: &[FlowTable; 2],
        services: &[Looked],
    ) -> io::Result<Option<Found>> {
        let by_number: HashMap<u16, &Looked> =
            services.iter().map(|each| (each.number, each)).collect();
        let first = self.first.take();
        let mut spoken = HashMap::new();
        let mut by_client = ByClient::new();
        let from = first.as_ref().map_or(self.at[0], |first| first.from);
        let until = first.as_ref().map(|first| first.to);
        let mut each = |table: Table, key: &FlowKey, element: &FlowEntry| {
            let met = filter.met(key, element);
            let Some((entry, protocol)) = met else { return };
            let Some(service) = by_number.get(&entry.service) else {
                return;
            };
            if service.judged_only && entry.mark.is_judged() == 0 {
                return;
            }
            let seen = by_client
                .entry((entry.service, client(service.key, key)))
                .or_default();
            match table {
                Table::Established => seen.answered += 1,
                Table::Pending => seen.unanswered += 1,
            }
            let now = (table == Table::Established)
                .then(|| Spoken::of(&entry, element, protocol))
                .flatten();
            match (&first, now) {
                (_, None) => {}
                (None, Some(now)) => {
                    spoken.insert(*key, now);
                }
                (Some(first), Some(now)) => {
                    let before = first.spoken.get(key);
                    seen.bytes += before.map_or(0, |before| now.since(before));
                }
            }
        };
        let established = &tables[0];
        let Some(to) = walk(established, from, until, SAMPLE[0], |key, element| {
            each(Table::Established, key, element);
        })?
        else {
            return Ok(None);
        };
        let Some(pending) = walk(&tables[1], self.at[1], None, SAMPLE[1], |key, element| {
            each(Table::Pending, key, element);
        })?
        else {
            return Ok(None);
        };
        let [next, next_pending] = [(to, established), (pending, &tables[1])]
            .map(|(to, table)| if to >= table.buckets() { 0 } else { to });
        self.at[1] = next_pending;
        let mut seen: HashMap<u16, Vec<Seen>> = HashMap::new();
        for ((service, _), each) in by_client {
            seen.entry(service).or_default().push(each);
        }
        let bytes = services.iter().map(|each| (each.number, each.bytes));
        let second = match first {
            None => {
                self.first = Some(First {
                    from,
                    to,
                    spoken,
                    bytes: bytes.collect(),
                });
                None
            }
            Some(first) => {
                self.at[0] = next;
                let part = f64::from(first.to - first.from) / f64::from(established.buckets());
                Some((part, first.bytes))
            }
        };
        Ok(Some(Found { seen, second }))
    }
}

/// Walks buckets from one on, until one or until there are enough flows; where it ended.
fn walk(
    table: &FlowTable,
    from: u32,
    until: Option<u32>,
    enough: usize,
    mut each: impl FnMut(&FlowKey, &FlowEntry),
) -> io::Result<Option<u32>> {
    let mut walk = table.walk(from, PART);
    let mut met = 0;
    loop {
        walk.next(|key, element| {
            met += 1;
            each(key, element);
        })?;
        if !walk.tells_buckets() {
            return Ok(None);
        }
        let Some(at) = walk.bucket() else {
            return Ok(Some(table.buckets()));
        };
        let is_enough = match until {
            Some(until) => at >= until,
            None => met >= enough,
        };
        if is_enough {
            return Ok(Some(at));
        }
    }
}

/// Looks at the tables until it is aborted.
pub(in crate::daemon) async fn keep(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = Known::default();
    let mut looker = Looker::default();
    let mut budget = Budget::new(BUDGET);
    loop {
        every.tick().await;
        let Some(given) = budget.begin() else {
            continue;
        };
        let export = daemon.export.borrow().clone();
        let core = daemon.core.lock().await;
        let services = looked(&core, &export);
        let filter = known.now(&core);
        let tables = TABLES.map(|table| core.plane.maps().flow_table(table).clone());
        drop(core);
        let done = tokio::task::spawn_blocking(move || {
            let begin = cpu_time();
            let found = looker.look(&filter, &tables, &services);
            let spent = cpu_time().saturating_sub(begin);
            (looker, services, found, spent)
        });
        let (back, services, found, spent) = done.await?;
        looker = back;
        budget.spent(given, spent);
        match found {
            Ok(Some(found)) => tell(&mut *daemon.core.lock().await, &services, &found),
            // Without batches there is no fair sample: nothing is said.
            Ok(None) => {}
            Err(error) => log::warn!("the flow tables cannot be looked at: {error}"),
        }
    }
}

fn tell(core: &mut Core, services: &[Looked], found: &Found) {
    let spreads = &mut core.spreads;
    let here = |name: &String| services.iter().any(|service| service.name == *name);
    spreads.0.retain(|name, _| here(name));
    for service in services {
        let seen = found
            .seen
            .get(&service.number)
            .map_or(&[][..], Vec::as_slice);
        let told = spreads.of(service);
        let flows = Spread::of_flows(seen.iter(), service.answered);
        // When all who were here are forgotten, what was known of them is still the best guess.
        told.flows = flows.or(told.flows);
        let Some((part, before)) = &found.second else {
            continue;
        };
        let came = before.get(&service.number);
        let came = came.map_or(0, |before| service.bytes.saturating_sub(*before));
        let bytes = Spread::of_bytes(seen.iter(), service.answered, *part, came);
        if let Some(bytes) = bytes {
            told.bytes.add(bytes, came);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_flow_are_those_of_both_ends_and_of_that_flow() {
        let spoken = |began, asked, answered| Spoken {
            began,
            highs: [asked, answered],
        };
        let before = spoken(7, u32::MAX - 9, 100);
        assert_eq!(spoken(7, 20, 1_100).since(&before), 30 + 1_000);
        assert_eq!(spoken(8, 20, 1_100).since(&before), 0, "another flow");
        let back = spoken(7, u32::MAX - 10, 100);
        assert_eq!(back.since(&before), 0, "nothing goes back");
    }
}
