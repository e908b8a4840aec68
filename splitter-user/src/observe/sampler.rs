//! Owns the reading of all totals at one moment.
//!
//! Invariant: a version's totals never fall as long as it is the same version: its backends' cells
//! only grow, what a removed backend has counted stays with the version, and a reading in the middle
//! of a change is held at what was read before.

use std::{collections::HashMap, io, sync::Arc};

use splitter_common::{
    capacity::MAX_VERSIONS,
    flow::turns::Kind,
    layout::BackendCounters,
    reason::{Reason, Verdict},
};

use super::{Figures, Roster, figures::Times, roster::VersionEntry};
use crate::dataplane::Totals;

/// All totals at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Whose they are.
    pub roster: Arc<Roster>,
    /// By service and version, in the order of the roster.
    pub services: Vec<Vec<VersionSample>>,
    /// Packets by reason and verdict.
    pub reasons: Vec<(Reason, Verdict, u64)>,
    /// By `layout::TableEvent`.
    pub table_events: [u64; 4],
}

/// The totals of one version.
#[derive(Clone, Debug)]
pub struct VersionSample {
    /// Those of all its backends that are or were.
    pub figures: Figures,
    /// Those of each backend, in the order of the roster.
    pub backends: Vec<Figures>,
}

/// Who reads, and what was read last.
pub struct Sampler {
    totals: Arc<Totals>,
    last: HashMap<(u32, u32, u16, u8), Figures>,
}

impl Sampler {
    /// A reader of these.
    pub fn new(totals: Arc<Totals>) -> Self {
        Self {
            totals,
            last: HashMap::new(),
        }
    }

    /// Reads everything that is on the roster.
    pub fn sample(&mut self, roster: Arc<Roster>) -> io::Result<Sample> {
        let cells = self.totals.backends(&roster.backend_numbers())?;
        let emptied = self.totals.emptied(roster.service_numbers())?;
        let (reasons, table_events) = (self.totals.reasons()?, self.totals.table_events()?);
        let mut services = measured(&roster, &cells, &emptied, &mut self.last);
        self.time(&roster, &mut services);
        Ok(Sample {
            roster,
            services,
            reasons,
            table_events,
        })
    }

    /// Adds how long the backends of versions took, where anything was measured.
    fn time(&self, roster: &Roster, services: &mut [Vec<VersionSample>]) {
        for (service, samples) in roster.services.iter().zip(services) {
            for (version, sample) in service.versions.iter().zip(samples) {
                let times = self
                    .totals
                    .version_times(u32::from(service.number), version.index);
                for (kind, as_figure) in [
                    (Kind::Handshake, Times::Handshake),
                    (Kind::Turn, Times::Turn),
                ] {
                    let cells = times.cells[kind as usize].map(u64::from);
                    if cells.iter().any(|count| *count > 0) {
                        let figures = std::mem::take(&mut sample.figures);
                        sample.figures = figures.with_times(as_figure, &cells);
                    }
                }
            }
        }
    }
}

/// The totals of everybody from what the kernel's cells hold, by number in order; what `last` has of them is raised.
fn measured(
    roster: &Roster,
    cells: &[(u32, BackendCounters)],
    emptied: &[[u64; MAX_VERSIONS]],
    last: &mut HashMap<(u32, u32, u16, u8), Figures>,
) -> Vec<Vec<VersionSample>> {
    let mut next = HashMap::new();
    let mut services = Vec::with_capacity(roster.services.len());
    for service in &roster.services {
        let met = emptied.get(usize::from(service.number));
        let mut versions = Vec::with_capacity(service.versions.len());
        for version in &service.versions {
            let met = met.and_then(|met| met.get(usize::from(version.index)));
            let mut sample = of_version(version, cells, met.copied().unwrap_or(0));
            let key = (
                version.born.0,
                version.born.1,
                service.number,
                version.index,
            );
            if let Some(last) = last.remove(&key) {
                sample.figures = sample.figures.at_least(&last);
            }
            next.insert(key, sample.figures.clone());
            versions.push(sample);
        }
        services.push(versions);
    }
    *last = next;
    services
}

fn of_version(
    version: &VersionEntry,
    cells: &[(u32, BackendCounters)],
    met_empty: u64,
) -> VersionSample {
    let mut sum = version.retired;
    let mut backends = Vec::with_capacity(version.backends.len());
    for backend in &version.backends {
        let at = cells.binary_search_by_key(&backend.number, |(number, _)| *number);
        let mut own = at.map(|at| cells[at].1).unwrap_or_default();
        let each = own.cells.iter_mut().zip(*backend.base);
        for ((cell, base), sum) in each.zip(&mut sum.cells) {
            *cell = cell.saturating_sub(base);
            *sum += *cell;
        }
        backends.push(Figures::of_counters(&own.cells));
    }
    VersionSample {
        figures: Figures::of_counters(&sum.cells).with_met_empty(met_empty),
        backends,
    }
}

#[cfg(test)]
mod tests {
    use splitter_common::layout::Counter;

    use super::*;
    use crate::observe::roster::tests::roster;

    fn cells(of: &[(u32, u64)]) -> Vec<(u32, BackendCounters)> {
        let counted = |flows: u64| {
            let mut counters = BackendCounters::default();
            counters.cells[Counter::NewFlows as usize] = flows;
            counters
        };
        of.iter()
            .map(|(number, flows)| (*number, counted(*flows)))
            .collect()
    }

    fn flows(services: &[Vec<VersionSample>]) -> (u64, Vec<u64>) {
        let of = |figures: &Figures| figures.counter(Counter::NewFlows);
        let version = &services[0][0];
        (
            of(&version.figures),
            version.backends.iter().map(of).collect(),
        )
    }

    #[test]
    fn a_version_counts_for_its_backends_and_for_those_that_are_gone() {
        let mut roster = roster(&[(1, 100), (2, 0)]);
        let mut last = HashMap::new();
        let read = |roster: &Roster, cells_of: &[(u32, u64)], last: &mut _| {
            flows(&measured(roster, &cells(cells_of), &[], last))
        };
        let told = read(&roster, &[(1, 130), (2, 5), (9, 77)], &mut last);
        assert_eq!(told, (35, vec![30, 5]), "from the base on, and no others'");
        // The first backend goes: what it had counted a moment before stays with the version.
        let version = &mut roster.services[0].versions[0];
        version.backends.remove(0);
        version.retired.cells[Counter::NewFlows as usize] = 28;
        let told = read(&roster, &[(1, 131), (2, 6)], &mut last);
        assert_eq!(told, (35, vec![6]), "never less than before");
        assert_eq!(read(&roster, &[(2, 9)], &mut last), (37, vec![9]));
        // Another version of the same name begins at 0.
        roster.services[0].versions[0].born = (1, 5);
        roster.services[0].versions[0].retired = BackendCounters::default();
        assert_eq!(read(&roster, &[(2, 9)], &mut last), (9, vec![9]));
    }

    #[test]
    fn flows_that_met_no_backend_are_told_by_the_number_of_the_service() {
        let roster = roster(&[(1, 0)]);
        let mut emptied = vec![[0; MAX_VERSIONS]; 4];
        emptied[3][1] = 12;
        let told = measured(&roster, &cells(&[]), &emptied, &mut HashMap::new());
        assert_eq!(told[0][0].figures.met_empty(), 12);
    }
}
