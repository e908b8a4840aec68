//! Owns how evidence is counted: see [`crate::evidence`] for what it says.

use super::{Env, Parsed, decision::question, flows::service_row};
use crate::{
    evidence::{Event, Ledger, Once, Place, RELEASE, SLICE, Sample, is_unanswered},
    flow::{Cell, Entry, entry::state},
    layout::{FlowKey, SLICE_ROWS, ServiceRow, evidence_row},
};

/// A flow that is judged, and what its ledger says.
pub(super) struct Judged {
    place: Place,
    ledger: Ledger,
}

/// The client of a flow that is judged was decided; `bit` is that of the client.
#[inline(always)]
pub(super) fn decided<E: Env>(env: &E, parsed: &Parsed, row: &ServiceRow, version: u32, bit: u32) {
    let ledger = row.ledger as u32 - 1;
    let of_slot = env.ledger(ledger, row.slot as u32);
    if !of_slot.counts(row.generation) {
        return;
    }
    let place = Place {
        ledger,
        row: evidence_row(ledger, row.slot as u32, version),
        bit,
        in_slice: of_slot.in_slice(parsed.now.jiffies),
    };
    env.count_once(&place, Once::Decided);
}

/// A flow whose events count, if they do. `once`: the bit of its client, 0 where it is not at hand.
#[inline(always)]
pub(super) fn judged<E: Env>(
    env: &E,
    key: &FlowKey,
    protocol: u8,
    entry: &Entry,
    once: u32,
) -> Option<Judged> {
    if entry.mark.is_judged() == 0 {
        return None;
    }
    let row = service_row(env, entry.service as u32).filter(|row| row.ledger != 0)?;
    let number = row.ledger as u32 - 1;
    let slot = entry.mark.slot();
    let ledger = env.ledger(number, slot);
    if !ledger.counts(entry.generation) {
        return None;
    }
    Some(Judged {
        place: Place {
            ledger: number,
            row: evidence_row(number, slot, entry.version as u32),
            // Another row may know clients by another key.
            bit: if once == 0 || row.generation != entry.generation {
                question(key, protocol).once_bit(row)
            } else {
                once
            },
            in_slice: ledger.in_slice(entry.began),
        },
        ledger,
    })
}

impl Judged {
    /// The flow is established: it is marked where it is the first of its client.
    #[inline(always)]
    pub(super) fn established<E: Env>(&self, env: &E, cell: &E::Cell) {
        let new = env.count_once(&self.place, Once::Flow);
        if new != 0 {
            mark(cell, new);
        }
    }

    /// The flow went bad. `cell`: its element, where it is established.
    #[inline(always)]
    pub(super) fn bad<E: Env>(&self, env: &E, cell: Option<&E::Cell>) {
        env.count_once(&self.place, Once::Bad);
        let first = match cell {
            // Counted once, however often it goes bad.
            Some(cell) => unmark(cell),
            None => env.count_once(&self.place, Once::Flow),
        };
        if first & RELEASE != 0 {
            env.count_evidence(self.place.row, Event::FlowBad);
        }
        if first & SLICE != 0 && self.place.in_slice != 0 {
            env.count_evidence(self.place.row + SLICE_ROWS, Event::FlowBad);
        }
    }

    /// A handshake that is not answered is bad once it has waited for long enough.
    #[inline(always)]
    pub(super) fn unanswered<E: Env>(&self, env: &E, parsed: &Parsed, entry: &Entry) {
        let waited = parsed.now.jiffies.since(entry.began);
        if entry.state & state::ANSWERED == 0 && is_unanswered(waited, parsed.now.hz) {
            self.bad(env, None);
        }
    }

    /// The flow's handshake, or the first of its turns, took so long.
    #[inline(always)]
    pub(super) fn first<E: Env>(&self, env: &E, sample: Sample, us: u32) {
        let kind = match sample {
            Sample::Handshake => Once::Handshake,
            Sample::Turn => Once::Turn,
        };
        let new = env.count_once(&self.place, kind);
        if new & RELEASE != 0 {
            env.count_sample(self.place.row, sample, us);
        }
        if new & SLICE != 0 {
            env.count_sample(self.place.row + SLICE_ROWS, sample, us);
        }
    }

    /// A turn of the flow took so long.
    #[inline(always)]
    pub(super) fn turn<E: Env>(&self, env: &E, us: u32) {
        let [slow_us, late_us] = self.ledger.slow_us;
        if slow_us != 0 && us >= slow_us {
            env.count_once(&self.place, Once::Slow);
        }
        if late_us != 0 && us >= late_us {
            env.count_once(&self.place, Once::Late);
        }
    }
}

#[inline(always)]
fn mark<C: Cell>(cell: &C, new: u64) {
    cell.set_word(3, cell.word(3) | (new * state::FIRST as u64));
}

/// Takes the marks off and says which there were.
#[inline(always)]
fn unmark<C: Cell>(cell: &C) -> u64 {
    let word = cell.word(3);
    let marks = word & (state::FIRST | state::FIRST_OF_SLICE) as u64;
    if marks != 0 {
        cell.set_word(3, word & !marks);
    }
    marks / state::FIRST as u64
}
