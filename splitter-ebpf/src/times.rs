//! Owns the histograms of times, which all CPUs share: an element per backend and one per version.

use core::arch::asm;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use splitter_common::{
    capacity::{MAX_BACKENDS, MAX_SERVICES, MAX_VERSIONS},
    flow::{Entry, turns::Kind},
    histogram,
    layout::{BACKEND_KINDS, BackendTimes, VersionTimes},
};

use crate::maps::MMAPABLE;

#[btf_map]
static BACKEND_TIMES: Array<BackendTimes, { MAX_BACKENDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static VERSION_TIMES: Array<VersionTimes, { MAX_SERVICES as usize * MAX_VERSIONS }, MMAPABLE> =
    Array::new();

/// Adds a time to those of a flow's backend, where its kind is kept, and version.
#[inline(always)]
pub(crate) fn count_time(entry: &Entry, kind: Kind, us: u32) {
    let cell = bounded::<{ histogram::CELLS }>(histogram::cell(us as u64));
    let kind = kind as usize;
    if kind < BACKEND_KINDS
        && let Some(row) = BACKEND_TIMES.get_ptr_mut(entry.backend)
    {
        // SAFETY: the row is valid, and both indices are in range.
        unsafe {
            let cells = (&raw mut (*row).cells[kind]).cast::<u32>();
            add_time(&raw mut (*row).sums_us[kind], cells.add(cell), us);
        }
    }
    let version = entry.service as u32 * MAX_VERSIONS as u32 + entry.version as u32;
    if let Some(row) = VERSION_TIMES.get_ptr_mut(version) {
        // SAFETY: as above.
        unsafe {
            let cells = (&raw mut (*row).cells[kind]).cast::<u32>();
            add_time(&raw mut (*row).sums_us[kind], cells.add(cell), us);
        }
    }
}

/// An index below `N`, the last one where it is not.
#[inline(always)]
pub(crate) fn bounded<const N: usize>(mut index: usize) -> usize {
    // The verifier knows nothing of a shift's outcome, and the compiler too much: it would leave such a
    // comparison out, or make it with another register than the one that is used.
    // SAFETY: the instructions touch nothing but their register.
    unsafe {
        asm!(
            "if {0} < {1} goto +1",
            "{0} = {2}",
            inout(reg) index,
            const N,
            const N - 1,
        );
    }
    index
}

/// Adds a time to a sum and a count that all CPUs share.
#[inline(always)]
fn add_time(sum: *mut u64, count: *mut u32, us: u32) {
    add_wide(sum, us as u64);
    add(count, 1);
}

/// Adds to a sum that all CPUs share.
#[inline(always)]
pub(crate) fn add_wide(sum: *mut u64, amount: u64) {
    // SAFETY: callers hand over an aligned cell within a map's element; the instruction touches nothing
    // else.
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) sum, in(reg) amount) };
}

/// Adds to a count that all CPUs share. Additions are written out because `core` has no atomic ones for
/// this target.
#[inline(always)]
pub(crate) fn add(count: *mut u32, amount: u64) {
    // SAFETY: callers hand over an aligned cell within a map's element; the instruction touches nothing
    // else.
    unsafe { asm!("lock *(u32 *)({0} + 0) += {1}", in(reg) count, in(reg) amount) };
}
