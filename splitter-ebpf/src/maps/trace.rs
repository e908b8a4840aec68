//! Owns what traces ask for, and the ring in which packets are told. Neither is pinned: a trace ends
//! with the daemon that it was asked of.

use core::ptr;

use aya_ebpf::{
    btf_maps::{Array, RingBuf},
    macros::btf_map,
};
use splitter_common::{
    capacity::{TRACE_RING_BYTES, TRACES},
    layout::Control,
    trace::{TraceRow, Traced},
};

use super::{MMAPABLE, control_words};

/// `BPF_RB_NO_WAKEUP`: the daemon looks by itself.
const NO_WAKEUP: u64 = 1;

#[btf_map]
static TRACE_ROWS: Array<TraceRow, { TRACES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static TRACED: RingBuf<Traced, { TRACE_RING_BYTES as usize }> = RingBuf::new();

/// Whose packets a trace asks for. The daemon writes its end last, and takes it away first.
#[inline(always)]
pub(crate) fn trace_row(index: u32) -> Option<TraceRow> {
    TRACE_ROWS
        .get_ptr(index)
        // SAFETY: a pointer from an array look-up is valid and aligned for its row.
        .map(|row| unsafe { ptr::read_volatile(row) })
}
/// Tells of a packet; `false` when the ring is full.
#[inline(always)]
pub(crate) fn trace(traced: &Traced) -> bool {
    TRACED.output(traced, NO_WAKEUP).is_ok()
}
/// Counts a packet that is not told.
#[inline(always)]
pub(crate) fn count_untold() {
    if let Some(words) = control_words() {
        words.add(Control::Untold, 1);
    }
}
