//! Owns the lab's side of evidence: what the kernel has counted of clients, as the model tells it, and
//! what releases and slices do.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::Result;
use splitter_common::{
    capacity::MAX_VERSIONS,
    evidence::Sample,
    flow::turns::Kind,
    histogram::{CELLS, cell},
    layout::EvidenceRow,
};
use splitter_user::{model::Service, plan::Image};

use super::{Lab, SEED};
use crate::model::{Counted, LONG_S, SLOW_S, Tally};

/// Turns that a baseline is said to have had: so many that what packets of a case take does not show.
const TURNS: u32 = 1_000_000;
/// In which no flow begins before a slice does: longer than a jiffy.
const BETWEEN: Duration = Duration::from_millis(25);

impl Lab {
    /// What was counted of every service that is judged, by sets of weights, the one in force last.
    pub(in crate::compare) fn evidence(&self) -> BTreeMap<&str, Vec<Counted>> {
        let services = self.numbers.services.iter();
        let judged =
            services.filter_map(|(name, given)| Some((name.as_str(), given.judged.as_ref()?)));
        judged
            .map(|(name, judged)| {
                let slots = judged.slots.iter().map(|slot| {
                    let versions = slot.weights.iter().map(|(version, given)| {
                        let ledger = u32::from(judged.ledger);
                        let scopes = self.plane.evidence(ledger, slot.slot, given.index);
                        (version.clone(), scopes.map(|row| tally(&row)))
                    });
                    versions.collect()
                });
                (name, slots.collect())
            })
            .collect()
    }

    /// A service that is in force.
    pub(in crate::compare) fn service(&self, name: &str) -> Option<&Service> {
        self.config.service(name)
    }

    /// The evidence of a service begins anew.
    pub(in crate::compare) fn anew(&mut self, service: &str) -> Result<()> {
        let before = self.numbers.clone();
        let mut numbers = before.next(&self.config, &self.secret, &self.plane)?;
        if numbers.begin_evidence(&before, service) {
            let image = Image::build(&self.config, &numbers, &self.secret)?;
            self.plane.commit(&image, SEED)?;
            self.numbers = numbers;
        }
        Ok(())
    }

    /// The next slice begins, as though the one before had taken its hour.
    pub(in crate::compare) fn next_slice(&mut self) -> Result<()> {
        thread::sleep(BETWEEN);
        let services = self.numbers.services.values();
        let judged = services.filter_map(|given| Some((given.judged.as_ref()?, &given.applied)));
        let ledgers: Vec<(u32, u64)> = judged
            .map(|(judged, service)| (u32::from(judged.ledger), service.slice_s()))
            .collect();
        let longest_s = ledgers.iter().map(|(_, length_s)| *length_s).max();
        self.plane
            .age_slices(longest_s.unwrap_or_default() as u32 * self.plane.hz());
        Ok(self.plane.advance_slices(&ledgers)?)
    }

    /// The baseline of a service has had very many turns.
    pub(in crate::compare) fn turned(&mut self, service: &str) -> Result<()> {
        let Some(baseline) = self.service(service).and_then(Service::baseline) else {
            return Ok(());
        };
        let given = self.numbers.service(service)?;
        let index = u32::from(given.versions[&baseline.name].index);
        let place = u32::from(given.number) * MAX_VERSIONS as u32 + index;
        let times = &self.plane.maps().version_times;
        let mut row = times.read(place);
        row.cells[Kind::Turn as usize][cell(SLOW_S * 1_000_000)] += TURNS;
        times.write(place, &row);
        Ok(())
    }
}

/// The kernel's counts as the model has them.
fn tally(row: &EvidenceRow) -> Tally {
    let long = cell(LONG_S * 1_000_000);
    let times = |sample: Sample| {
        let cells = &row.cells[sample as usize];
        [&cells[..long], &cells[long..CELLS]]
            .map(|part| part.iter().map(|&count| u64::from(count)).sum())
    };
    Tally {
        events: row.counts.map(u64::from),
        handshakes: times(Sample::Handshake),
        turns: times(Sample::Turn),
    }
}
