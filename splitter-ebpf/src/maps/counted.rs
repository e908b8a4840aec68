//! Owns what is counted, by CPU; times, which all CPUs share, are in [`crate::times`].

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, PerCpuHashMap},
    macros::btf_map,
};
use splitter_common::{
    capacity::{
        LOSS_ROWS, MAX_BACKENDS, MAX_SERVICES, MAX_VERSIONS, REASON_CELLS, TABLE_EVENT_CELLS,
    },
    layout::{BackendCounters, COUNTERS as COUNTERS_OF_BACKEND, Loss, LossKey, LossPlaces},
    segment::PLACES,
};

use super::bump;
use crate::times::bounded;

/// `BPF_NOEXIST`: only where the key is not there.
const NO_EXIST: u64 = 1;

#[btf_map]
static COUNTERS: PerCpuArray<BackendCounters, { MAX_BACKENDS as usize }> = PerCpuArray::new();
#[btf_map]
static TABLE_EVENTS: PerCpuArray<u64, { TABLE_EVENT_CELLS as usize }> = PerCpuArray::new();
#[btf_map]
static EMPTIED: PerCpuArray<u64, { MAX_SERVICES as usize * MAX_VERSIONS }> = PerCpuArray::new();
#[btf_map]
static ASSIGNED: PerCpuArray<u64, { MAX_SERVICES as usize * PLACES * MAX_VERSIONS }> =
    PerCpuArray::new();
#[btf_map]
static REASONS: PerCpuArray<u64, { REASON_CELLS as usize }> = PerCpuArray::new();
#[btf_map]
static LOSSES: PerCpuHashMap<LossKey, u64, { LOSS_ROWS as usize }> = PerCpuHashMap::new();
#[btf_map]
static LOSS_PLACES: Array<LossPlaces, 1> = Array::new();

/// Where things stand in the kernel's structures, once the daemon has said so.
#[inline(always)]
pub(crate) fn loss_places() -> Option<&'static LossPlaces> {
    LOSS_PLACES.get(0)
}
/// Counts frames that were lost at an interface; at number 0 when there are too many interfaces.
#[inline(always)]
pub(crate) fn count_loss(ifindex: u32, loss: Loss, frames: u64) {
    for ifindex in [ifindex, 0] {
        let key = LossKey::new(ifindex, loss);
        if let Some(cell) = LOSSES.get_ptr_mut(key) {
            return bump(Some(cell), frames);
        }
        if LOSSES.insert(key, frames, NO_EXIST).is_ok() {
            return;
        }
        // Another CPU may have been first.
        if let Some(cell) = LOSSES.get_ptr_mut(key) {
            return bump(Some(cell), frames);
        }
    }
}
/// Counts what happens to a flow table.
#[inline(always)]
pub(crate) fn count_table(event: u32) {
    bump(TABLE_EVENTS.get_ptr_mut(event), 1);
}
/// Counts a new flow of a version without backend.
#[inline(always)]
pub(crate) fn count_empty(service: u32, version: u32) {
    bump(
        EMPTIED.get_ptr_mut(service * MAX_VERSIONS as u32 + version),
        1,
    );
}
/// Counts a new flow by segment and version.
#[inline(always)]
pub(crate) fn count_assigned(service: u32, place: u32, version: u32) {
    let row = service * PLACES as u32 + place;
    bump(ASSIGNED.get_ptr_mut(row * MAX_VERSIONS as u32 + version), 1);
}
/// Adds to two counters of a backend, with one look-up.
#[inline(always)]
pub(crate) fn count_two(backend: u32, counters: [usize; 2], amounts: [u64; 2]) {
    if let Some(row) = COUNTERS.get_ptr_mut(backend) {
        // SAFETY: `counters` are those of `Counter`, of which a row has as many cells; the row is valid.
        let [a, b] = counters.map(|counter| unsafe { &raw mut (*row).cells[counter] });
        bump(Some(a), amounts[0]);
        bump(Some(b), amounts[1]);
    }
}
/// Adds 1 to a counter of a backend.
#[inline(always)]
pub(crate) fn count_here(backend: u32, counter: usize) {
    // Not by an index: where the counter is no constant the compiler may doubt that it is in range.
    // SAFETY: `counter` is one of `Counter`, of which a row has as many cells; the row is valid.
    bump(
        COUNTERS
            .get_ptr_mut(backend)
            .map(|row| unsafe { (&raw mut (*row).cells).cast::<u64>().add(counter) }),
        1,
    );
}
/// The same, for counters that are asked for at many places and seldom. A global function, for the reason of
/// [`super::listed`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn count(backend: u32, counter: u32) -> u32 {
    count_here(backend, bounded::<COUNTERS_OF_BACKEND>(counter as usize));
    0
}
/// Adds 1 to the counter of a reason and verdict.
#[inline(always)]
pub(crate) fn count_reason(cell: u32) {
    bump(REASONS.get_ptr_mut(cell), 1);
}
