//! Owns the maps of evidence, which all CPUs share: ledgers, the bits that say who was counted, and what
//! was counted.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use splitter_common::{
    capacity::{JUDGED_CLIENTS, LEDGERS},
    evidence::{Event, Ledger, Once, Place, RELEASE, SLICE, SLOTS, Sample},
    histogram,
    layout::{
        EVIDENCE_ROWS, EvidenceRow, LedgerRow, SLICE_ROWS, SLICE_WORDS, once_place, once_words,
    },
};

use crate::{
    maps::MMAPABLE,
    times::{add, bounded},
};

#[btf_map]
static LEDGER_ROWS: Array<LedgerRow, { LEDGERS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static EVIDENCE: Array<EvidenceRow, { (LEDGERS * EVIDENCE_ROWS) as usize }, MMAPABLE> =
    Array::new();
/// By ledger, then as [`once_place`] says.
#[btf_map]
static COUNTED_ONCE: Array<u64, { (LEDGERS * once_words(JUDGED_CLIENTS)) as usize }, MMAPABLE> =
    Array::new();

/// What a ledger says of flows in a slot.
#[inline(always)]
pub(crate) fn ledger(ledger: u32, slot: u32) -> Ledger {
    let Some(row) = LEDGER_ROWS.get_ptr(ledger) else {
        return Ledger::of_none();
    };
    let slot = bounded::<SLOTS>(slot as usize);
    // SAFETY: a pointer from an array look-up is valid and aligned for its fields, of which the daemon
    // writes each whole; the slot is in range.
    unsafe {
        let slots = (&raw const (*row).slots_born).cast::<u32>();
        Ledger {
            slot_born: slots.add(slot).read_volatile(),
            slice: (&raw const (*row).slice).read_volatile(),
            slice_began: (&raw const (*row).slice_began).read_volatile(),
            slow_us: [
                (&raw const (*row).slow_us[0]).read_volatile(),
                (&raw const (*row).slow_us[1]).read_volatile(),
            ],
        }
    }
}

/// Counts an event of a client where it is its first.
#[inline(always)]
pub(crate) fn count_once(place: &Place, once: Once) -> u64 {
    let asked = once as u64 | place.in_slice << 32;
    once_in(place.ledger, place.row, place.bit, asked)
}

/// The same; a function of its own, since it is called at several places. `asked`: the [`Once`], and 32
/// bits up 1 when the slice counts too.
#[inline(never)]
fn once_in(ledger: u32, row: u32, bit: u32, asked: u64) -> u64 {
    let Some(of_ledger) = LEDGER_ROWS.get_ptr(ledger) else {
        return 0;
    };
    // SAFETY: as in `ledger`.
    let mask = unsafe { (&raw const (*of_ledger).mask).read_volatile() };
    let first = ledger * once_words(mask.wrapping_add(1));
    let once = asked as u32;
    let (word, flag) = once_place(bit & mask, once & 7);
    let mut new = 0;
    if is_first(first + word, flag) {
        count_event(row, once);
        new = RELEASE;
    }
    if asked >> 32 != 0 && is_first(first + word + SLICE_WORDS, flag) {
        count_event(row + SLICE_ROWS, once);
        new |= SLICE;
    }
    new
}

/// Sets a bit and says whether it was not.
#[inline(always)]
fn is_first(word: u32, flag: u64) -> bool {
    let Some(word) = COUNTED_ONCE.get_ptr_mut(word) else {
        return false;
    };
    // SAFETY: the word is within a map's element and aligned. Whoever was counted before does not take
    // the word from other CPUs.
    if unsafe { word.read_volatile() } & flag != 0 {
        return false;
    }
    let mut old = flag;
    // SAFETY: the instruction touches nothing but the word and its register. `core` has no such
    // operation for this target (kernel commit 981f94c3e921: since 5.12).
    unsafe {
        asm!("{0} = atomic_fetch_or((u64 *)({1} + 0), {0})", inout(reg) old, in(reg) word);
    }
    old & flag == 0
}

/// Counts an event in a row.
#[inline(always)]
pub(crate) fn count_evidence(row: u32, event: Event) {
    count_event(row, event as u32);
}

#[inline(always)]
fn count_event(row: u32, event: u32) {
    if let Some(row) = EVIDENCE.get_ptr_mut(row) {
        let event = bounded::<{ splitter_common::evidence::EVENTS }>(event as usize);
        // SAFETY: the row is valid, and the index is in range.
        unsafe { add((&raw mut (*row).counts).cast::<u32>().add(event), 1) };
    }
}

/// Counts a sample in a row.
#[inline(always)]
pub(crate) fn count_sample(row: u32, sample: Sample, us: u32) {
    let cell = bounded::<{ histogram::CELLS }>(histogram::cell(us as u64));
    if let Some(row) = EVIDENCE.get_ptr_mut(row) {
        // SAFETY: as above.
        unsafe {
            let cells = (&raw mut (*row).cells[sample as usize]).cast::<u32>();
            add(cells.add(cell), 1);
        }
    }
}
