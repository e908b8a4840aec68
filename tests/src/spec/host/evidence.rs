//! Owns the host's ledgers of evidence: who was counted for what, without the collisions of the kernel's
//! bits.

use std::collections::{HashMap, HashSet};

use splitter_common::{
    evidence::{EVENTS, Ledger, Once, Place, RELEASE, SLICE, Sample},
    layout::{EVIDENCE_ROWS, SLICE_ROWS},
};
use splitter_user::plan::service::LedgerImage;

use super::super::run::EvidenceCounts;

/// The ledgers that services have, and what they have counted.
#[derive(Default)]
pub(super) struct Ledgers {
    images: HashMap<u32, LedgerImage>,
    once: HashSet<(u32, u64, u32, u32)>,
    counts: HashMap<u32, [u64; EVENTS]>,
    samples: HashMap<(u32, u32), u64>,
}

impl Ledgers {
    /// What a commit writes.
    pub(super) fn put(&mut self, image: &LedgerImage) {
        let before = self.images.insert(image.number, *image);
        if before.is_none_or(|before| before.born != image.born) {
            self.once.retain(|(ledger, ..)| *ledger != image.number);
            let other = |row: &u32| row / EVIDENCE_ROWS != image.number;
            self.counts.retain(|row, _| other(row));
            self.samples.retain(|(row, _), _| other(row));
        }
    }

    pub(super) fn ledger(&self, ledger: u32, slot: u32) -> Ledger {
        let image = self.images.get(&ledger);
        image.map_or(
            Ledger {
                slot_born: u32::MAX,
                ..Ledger::default()
            },
            |image| Ledger {
                slot_born: image.slots_born[slot as usize],
                slice: 1,
                slice_began: 0,
                slow_us: [0, image.late_us],
            },
        )
    }

    pub(super) fn count_once(&mut self, place: &Place, once: Once) -> u64 {
        let mut new = 0;
        for (scope, row) in [(RELEASE, place.row), (SLICE, place.row + SLICE_ROWS)] {
            let counts = scope == RELEASE || place.in_slice != 0;
            if counts
                && self
                    .once
                    .insert((place.ledger, scope, once as u32, place.bit))
            {
                self.count(row, once as u32);
                new |= scope;
            }
        }
        new
    }

    pub(super) fn count(&mut self, row: u32, event: u32) {
        self.counts.entry(row).or_default()[event as usize] += 1;
    }

    pub(super) fn sample(&mut self, row: u32, sample: Sample) {
        *self.samples.entry((row, sample as u32)).or_default() += 1;
    }

    /// What was counted in a row: events, then samples.
    pub(super) fn counted(&self, row: u32) -> EvidenceCounts {
        let samples = [Sample::Handshake, Sample::Turn]
            .map(|sample| self.samples.get(&(row, sample as u32)).copied());
        EvidenceCounts {
            events: self.counts.get(&row).copied().unwrap_or_default(),
            samples: samples.map(Option::unwrap_or_default),
        }
    }
}
