//! Owns the kernel's ledgers of evidence: since when each slot counts, the slices of a release, and what
//! was counted. See `splitter_common::evidence`.
//!
//! Invariants: what a slot counted before it got its present meaning is gone before a row of its
//! service names it; bits and evidence of a scope go together, while nothing is counted in it.

use std::{
    sync::atomic::{Ordering, fence},
    thread,
};

use bytemuck::Zeroable as _;
use splitter_common::{
    capacity::MAX_VERSIONS,
    evidence::{SCOPES, SLOTS, Sample, slow_us},
    flow::turns::Kind,
    histogram::CELLS,
    layout::{
        Control, EVIDENCE_ROWS, EvidenceRow, LedgerRow, SLICE_ROWS, evidence_row, once_clients,
    },
};

use super::{DataPlane, DataPlaneError, commit::REST};
use crate::plan::service::LedgerImage;

/// What one version was counted for in one slot, in the release and in its current slice.
pub type Scopes = [EvidenceRow; SCOPES];

/// The state of a ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LedgerState {
    /// The slice, from 1; 0: it is about to begin.
    pub slice: u32,
    /// Seconds since it began.
    pub slice_age_s: f64,
    /// See `layout::LedgerRow::slow_us`.
    pub slow_us: [u32; 2],
    /// Clients that are told apart.
    pub clients: u32,
}

impl DataPlane {
    /// Writes a ledger for a row that is about to be switched to.
    pub(super) fn put_ledger(&mut self, image: &LedgerImage) -> Result<(), DataPlaneError> {
        let number = image.number;
        let there = self.maps.ledgers.read(number);
        if there.born != image.born {
            return self.begin_release(image);
        }
        let mut row = there;
        row.slots_born = image.slots_born;
        row.slow_us[1] = image.late_us;
        if row == there {
            return Ok(());
        }
        // Flows of what the slots meant before count no more; then what they were counted for goes.
        self.write_ledger(number, &row);
        let given = |slot: &usize| row.slots_born[*slot] != there.slots_born[*slot];
        let given: Vec<usize> = (0..SLOTS).filter(given).collect();
        if given.iter().any(|slot| there.slots_born[*slot] != u32::MAX) {
            // Packets under way still count by the row that they have read.
            thread::sleep(REST);
        }
        for slot in given {
            for scope in 0..SCOPES {
                self.clear_slot(number, slot as u32, scope);
            }
        }
        Ok(())
    }

    /// Forgets all that a ledger has counted, and begins its first slice.
    fn begin_release(&mut self, image: &LedgerImage) -> Result<(), DataPlaneError> {
        let number = image.number;
        self.write_ledger(number, &LedgerRow::NEW);
        thread::sleep(REST);
        for scope in 0..SCOPES {
            self.clear_bits(number, scope);
            for slot in 0..SLOTS as u32 {
                self.clear_slot(number, slot, scope);
            }
        }
        let row = LedgerRow {
            slots_born: image.slots_born,
            born: image.born,
            slice: 1,
            slice_began: self.read_clock()? as u32,
            mask: once_clients(self.words_each()) - 1,
            slow_us: [self.slow_before(image), image.late_us],
            zero: [0; 2],
        };
        self.write_ledger(number, &row);
        Ok(())
    }

    /// From how long on a turn is slow, by those of the baseline until now.
    fn slow_before(&self, image: &LedgerImage) -> u32 {
        let (service, version) = image.baseline;
        let place = service * MAX_VERSIONS as u32 + u32::from(version);
        let times = self.maps.version_times.read(place);
        slow_us(&times.cells[Kind::Turn as usize].map(u64::from))
    }

    /// The same by the first turns of the clients of a slice, whatever their version.
    fn slow_in_slice(&self, ledger: u32) -> u32 {
        let mut cells = [0; CELLS];
        for slot in 0..SLOTS as u32 {
            for version in 0..MAX_VERSIONS as u32 {
                let row = evidence_row(ledger, slot, version) + SLICE_ROWS;
                let counted = self.maps.evidence.read(row).cells[Sample::Turn as usize];
                for (sum, count) in cells.iter_mut().zip(counted) {
                    *sum += u64::from(count);
                }
            }
        }
        slow_us(&cells)
    }

    /// Begins the next slice of ledgers whose time has come; of each it is said how long its slices are,
    /// in seconds.
    pub fn advance_slices(&mut self, ledgers: &[(u32, u64)]) -> Result<(), DataPlaneError> {
        if ledgers.is_empty() {
            return Ok(());
        }
        let now = self.read_clock()?;
        let due: Vec<u32> = ledgers
            .iter()
            .filter(|(ledger, length_s)| {
                is_due(
                    &self.maps.ledgers.read(*ledger),
                    *length_s,
                    now as u32,
                    self.hz,
                )
            })
            .map(|(ledger, _)| *ledger)
            .collect();
        for ledger in due {
            self.next_slice(ledger, now as u32);
        }
        Ok(())
    }

    fn next_slice(&mut self, ledger: u32, now: u32) {
        let row = self.maps.ledgers.read(ledger);
        let paused = LedgerRow {
            slice: row.slice | PAUSED,
            // No flow began later than this: none counts.
            slice_began: now.wrapping_add(i32::MAX as u32),
            ..row
        };
        self.write_ledger(ledger, &paused);
        thread::sleep(REST);
        let slow_us = match self.slow_in_slice(ledger) {
            // Too few came to say anything new.
            0 => row.slow_us[0],
            us => us,
        };
        self.clear_bits(ledger, 1);
        for slot in 0..SLOTS as u32 {
            self.clear_slot(ledger, slot, 1);
        }
        let next = LedgerRow {
            slice: (row.slice & !PAUSED).saturating_add(1),
            slice_began: now,
            slow_us: [slow_us, row.slow_us[1]],
            ..row
        };
        self.write_ledger(ledger, &next);
    }

    /// Makes the slices of all ledgers begin earlier by so many jiffies; for tests, which cannot wait.
    pub fn age_slices(&mut self, jiffies: u32) {
        for ledger in 0..self.maps.ledgers.len() {
            let row = self.maps.ledgers.read(ledger);
            if row.slice != 0 && row.slice & PAUSED == 0 {
                let slice_began = row.slice_began.wrapping_sub(jiffies);
                self.write_ledger(ledger, &LedgerRow { slice_began, ..row });
            }
        }
    }

    /// The state of a ledger.
    pub fn ledger(&self, ledger: u32) -> LedgerState {
        let row = self.maps.ledgers.read(ledger);
        // The lease reads the clock every second.
        let now = self.maps.control.load_word(Control::Jiffies as u32) as u32;
        let age = now.wrapping_sub(row.slice_began) as i32;
        LedgerState {
            slice: if row.slice & PAUSED == 0 {
                row.slice
            } else {
                0
            },
            slice_age_s: f64::from(age.max(0)) / f64::from(self.hz.max(1)),
            slow_us: row.slow_us,
            clients: row.mask.saturating_add(1),
        }
    }

    /// What a version was counted for in a slot.
    pub fn evidence(&self, ledger: u32, slot: u8, version: u8) -> Scopes {
        let row = evidence_row(ledger, u32::from(slot), u32::from(version));
        [row, row + SLICE_ROWS].map(|row| self.maps.evidence.read(row))
    }

    /// Words of bits of each ledger.
    fn words_each(&self) -> u32 {
        self.maps.counted_once.len() / self.maps.ledgers.len()
    }

    fn clear_bits(&self, ledger: u32, scope: usize) {
        let words = self.words_each();
        // The words of the other scope, which stand between, go on being counted in.
        for word in (scope as u32..words).step_by(SCOPES) {
            self.maps.counted_once.store_word(ledger * words + word, 0);
        }
    }

    fn clear_slot(&self, ledger: u32, slot: u32, scope: usize) {
        for version in 0..MAX_VERSIONS as u32 {
            let row = evidence_row(ledger, slot, version) + scope as u32 * SLICE_ROWS;
            self.maps.evidence.write(row, &EvidenceRow::zeroed());
        }
    }

    fn write_ledger(&self, ledger: u32, row: &LedgerRow) {
        self.maps.ledgers.write(ledger, row);
        fence(Ordering::SeqCst);
    }
}

/// Of a slice's number: its bits are being cleared.
const PAUSED: u32 = 1 << 31;

/// Whether a slice has ended, or its successor was not begun by a daemon that died.
fn is_due(row: &LedgerRow, length_s: u64, now: u32, hz: u32) -> bool {
    let age = now.wrapping_sub(row.slice_began) as i32;
    let is_over = i64::from(age) >= (length_s * u64::from(hz)).cast_signed();
    row.slice != 0 && (is_over || row.slice & PAUSED != 0)
}

const _: () = assert!(EVIDENCE_ROWS == SCOPES as u32 * SLICE_ROWS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_takes_its_time_and_one_that_was_cut_short_is_due() {
        let (hz, length_s) = (250, 3_600);
        let hour = length_s as u32 * hz;
        let row = LedgerRow {
            slice: 3,
            slice_began: u32::MAX - 5,
            ..LedgerRow::NEW
        };
        assert!(!is_due(&row, length_s, hour - 7, hz));
        assert!(is_due(&row, length_s, hour, hz));
        let paused = LedgerRow {
            slice: 3 | PAUSED,
            slice_began: 7_u32.wrapping_add(i32::MAX as u32),
            ..row
        };
        assert!(is_due(&paused, length_s, 8, hz));
        assert!(!is_due(&LedgerRow::NEW, length_s, hour, hz));
    }
}
