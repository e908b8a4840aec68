//! Owns crowds of clients that the driver makes in the kernel, millions in seconds, and what is told of
//! their shares then: from the program's own counts and tables, by the judge.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result};
use splitter_common::{
    address::{Address, Family},
    evidence::Event,
    flow::{Entry, Table},
    layout::Counter,
};
use splitter_user::{
    judge::{
        share::{Share, share},
        spread::{Seen, Spread, interval},
    },
    model::Limits,
};

use super::{
    cases::Case,
    lab::{Drive, Lab, Program},
};

/// The weight of the canary.
pub const WEIGHT: f64 = 0.1;
/// Flows that a look takes, as the daemon does, of answered and of pending ones.
const SAMPLE: [usize; 2] = [32_768, 8_192];
const PART: usize = 1_024;

/// A service whose clients come.
pub struct Crowd {
    lab: Lab,
}

/// What is told of the canary.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// By clients.
    pub clients: Share,
    /// Clients that were counted.
    pub all_clients: u64,
    /// By flows.
    pub flows: Share,
    /// Flows that were counted.
    pub all_flows: u64,
    /// How they lie on clients.
    pub spread: Spread,
}

impl Crowd {
    /// A data plane with room for so many established flows; a crowd of `answered` flows, of which each
    /// client of 4,096 has as many, can come to it.
    ///
    /// # Errors
    ///
    /// Mostly when the caller is not root.
    pub fn new(object: &Path, flows: u32, answered: u32) -> Result<Self> {
        let object =
            std::fs::read(object).with_context(|| format!("no object at {}", object.display()))?;
        let limits = Limits {
            flows,
            ..Limits::default()
        };
        let mut lab = Lab::with_limits(&object, None, limits)?;
        lab.begin_with(Family::V4, answered)?;
        Ok(Self { lab })
    }

    /// Clients whose handshakes are answered, a power of two of flows.
    ///
    /// # Errors
    ///
    /// When packets went another way.
    pub fn answered(&mut self, flows: u32) -> Result<()> {
        self.drive(Case::Establish, flows, flows)
    }

    /// As many clients as SYNs, each from an address of its own; nobody answers.
    ///
    /// # Errors
    ///
    /// When packets went another way.
    pub fn flood(&mut self, clients: u32) -> Result<()> {
        self.lab.vary = u32::MAX;
        let done = self.drive(Case::New, 1, clients);
        self.lab.vary = 0;
        done
    }

    fn drive(&mut self, case: Case, flows: u32, begun: u32) -> Result<()> {
        let packets = begun * case.steps().len() as u32;
        let drive = Drive {
            case,
            flows,
            packets,
        };
        self.lab.run(Program::Splitter, &drive).map(drop)
    }

    /// What is told of the canary's shares.
    ///
    /// # Errors
    ///
    /// When nothing came.
    pub fn told(&self) -> Result<Told> {
        let plane = &self.lab.plane;
        let given = self.lab.numbers.service("shop")?;
        let judged = given.judged.as_ref().context("not judged")?;
        let slot = judged.slots.last().context("no weights")?;
        let of = |version: &str| -> Result<[u64; 2]> {
            let index = given.version(version)?.index;
            let [release, _] = plane.evidence(u32::from(judged.ledger), slot.slot, index);
            let clients = release.counts[Event::Decided as usize];
            let flows = plane.maps().assigned(u32::from(given.number), 0, index);
            Ok([u64::from(clients), flows])
        };
        let [own_clients, own_flows] = of("canary")?;
        let [clients, flows] = of("stable")?;
        let (all_clients, all_flows) = (clients + own_clients, flows + own_flows);
        let seen = self.seen()?;
        let spread = Spread::of_flows(seen.values(), self.part_answered()).context("nobody")?;
        let spread = spread.least(Spread::at_worst(all_flows, all_clients));
        Ok(Told {
            clients: share(own_clients, all_clients).context("nobody")?,
            all_clients,
            flows: interval(own_flows, all_flows, spread).context("nobody")?,
            all_flows,
            spread,
        })
    }

    fn part_answered(&self) -> f64 {
        let sum = |counter: Counter| -> u64 {
            let backends = self.lab.backends.iter();
            backends
                .map(|number| self.lab.plane.counters(*number).cells[counter as usize])
                .sum()
        };
        sum(Counter::Handshakes) as f64 / sum(Counter::NewFlows).max(1) as f64
    }

    /// A look at the tables.
    fn seen(&self) -> Result<HashMap<Address, Seen>> {
        let mut by_client: HashMap<Address, Seen> = HashMap::new();
        for (table, enough) in [Table::Established, Table::Pending].into_iter().zip(SAMPLE) {
            let mut walk = self.lab.plane.maps().flow_table(table).walk(0, PART);
            let mut met = 0;
            let each = |by_client: &mut HashMap<Address, Seen>, client: Address| {
                let seen = by_client.entry(client.prefix(32, 64)).or_default();
                match table {
                    Table::Established => seen.answered += 1,
                    Table::Pending => seen.unanswered += 1,
                }
            };
            while met < enough
                && walk.next(|key, element| {
                    if Entry::unpack(element, key.tag()).is_some() {
                        met += 1;
                        each(&mut by_client, key.client);
                    }
                })?
            {}
        }
        Ok(by_client)
    }
}
