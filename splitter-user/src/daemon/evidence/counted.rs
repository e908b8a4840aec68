//! Owns what the kernel has counted of a release, by set of weights and version.

use splitter_common::{
    evidence::{EVENTS, Event, Sample},
    histogram::CELLS,
    layout::EvidenceRow,
};

use crate::{
    dataplane::{DataPlane, Scopes},
    model::Service,
    plan::evidence::{Judged, Slot},
};

/// A release, as it is counted.
pub(super) struct Counted<'a> {
    /// The versions that it has had, the baseline first.
    pub(super) names: Vec<String>,
    /// Each set of weights, that in force last, with what was counted of each of those versions.
    pub(super) slots: Vec<(&'a Slot, Vec<Cells>)>,
}

impl<'a> Counted<'a> {
    /// Reads the kernel's counts.
    pub(super) fn read(plane: &DataPlane, service: &Service, judged: &'a Judged) -> Self {
        let names = names(service, judged);
        let ledger = u32::from(judged.ledger);
        let slots = judged.slots.iter().map(|slot| {
            let versions = names.iter().map(|name| match slot.weights.get(name) {
                Some(given) => Cells::of(&plane.evidence(ledger, slot.slot, given.index)),
                None => Cells::default(),
            });
            (slot, versions.collect())
        });
        let slots = slots.collect();
        Self { names, slots }
    }

    /// Each version under all weights together.
    pub(super) fn sums(&self) -> Vec<Cells> {
        let of_version = |at: usize| {
            let mut sum = Cells::default();
            for (_, versions) in &self.slots {
                sum.add(&versions[at]);
            }
            sum
        };
        (0..self.names.len()).map(of_version).collect()
    }
}

/// Names of the versions that a release has had: the baseline, those in force, those of before.
fn names(service: &Service, judged: &Judged) -> Vec<String> {
    let mut names: Vec<String> = service
        .baseline()
        .into_iter()
        .map(|each| each.name.clone())
        .collect();
    let in_force = service.versions.iter().map(|each| &each.name);
    let before = judged.slots.iter().flat_map(|slot| slot.weights.keys());
    for name in in_force.chain(before) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// What was counted of a version, in the release and in its slice.
pub(super) struct Cells(pub(super) [EvidenceSum; 2]);

/// Counts and first times of one scope.
#[derive(Clone)]
pub(super) struct EvidenceSum {
    pub(super) counts: [u64; EVENTS],
    pub(super) cells: [[u64; CELLS]; Sample::COUNT],
}

impl Default for Cells {
    fn default() -> Self {
        let zero = EvidenceSum {
            counts: [0; EVENTS],
            cells: [[0; CELLS]; Sample::COUNT],
        };
        Self([zero.clone(), zero])
    }
}

impl Cells {
    fn of(scopes: &Scopes) -> Self {
        Self(scopes.map(|EvidenceRow { counts, cells }| EvidenceSum {
            counts: counts.map(u64::from),
            cells: cells.map(|cells| cells.map(u64::from)),
        }))
    }

    fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            for (sum, count) in own.counts.iter_mut().zip(other.counts) {
                *sum += count;
            }
            let pairs = own.cells.as_flattened_mut().iter_mut();
            for (sum, count) in pairs.zip(other.cells.as_flattened()) {
                *sum += count;
            }
        }
    }

    /// What the release has of an event.
    pub(super) fn release(&self, event: Event) -> u64 {
        self.0[0].counts[event as usize]
    }
}

impl EvidenceSum {
    /// Clients that were decided.
    pub(super) fn decided(&self) -> u64 {
        self.counts[Event::Decided as usize]
    }
}
