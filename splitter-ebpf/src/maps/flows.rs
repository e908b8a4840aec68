//! Owns the tables of flows and of fragmented datagrams.

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{
    btf_maps::{LruHashMap, PerCpuArray},
    macros::btf_map,
};
use splitter_common::{
    capacity::{ESTABLISHED_FLOWS, FRAGMENTED_DATAGRAMS},
    flow::{Cell, KeptKey, Table},
    layout::{FlowEntry, FlowKey, FragmentKey, FragmentRow},
};

use super::pending;

#[btf_map]
static ESTABLISHED: LruHashMap<FlowKey, FlowEntry, { ESTABLISHED_FLOWS as usize }> =
    LruHashMap::new();
/// A flow on its way into its table.
#[btf_map]
static ENTRY: PerCpuArray<MaybeUninit<FlowEntry>, 1> = PerCpuArray::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, FragmentRow, { FRAGMENTED_DATAGRAMS as usize }> =
    LruHashMap::new();

/// Where the first fragment of a datagram went; a copy, since rows are recycled under readers.
#[inline(always)]
pub(crate) fn fragment(key: &FragmentKey) -> Option<FragmentRow> {
    // SAFETY: a row is plain data, copied at once; one that was recycled meanwhile is another
    // datagram's, whose backend is checked before it is used.
    unsafe { FRAGMENTS.get(key) }.copied()
}
/// Remembers where the first fragment of a datagram goes.
#[inline(always)]
pub(crate) fn keep_fragment(key: &FragmentKey, row: &FragmentRow) {
    // Without room the fragments that follow are dropped and counted.
    let _refused = FRAGMENTS.insert(key, row, 0);
}
/// A live flow element.
pub(crate) struct FlowCell(pub(super) *mut FlowEntry);
impl Cell for FlowCell {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: the element is non-null and stays mapped for the program run; `index` is a
        // constant below 8 at every call.
        unsafe { (&raw const (*self.0).words[index]).read_volatile() }
    }

    #[inline(always)]
    fn set_word(&self, index: usize, word: u64) {
        // SAFETY: as in `word`; a recycled element is another flow's, whose words of state and
        // time may be wrong by one mark, never its identity (see `flow::entry`).
        unsafe { (&raw mut (*self.0).words[index]).write_volatile(word) }
    }

    #[inline(always)]
    fn clear(&self, head: u64) {
        // SAFETY: as in `word`; the instruction touches nothing but the word and its registers (kernel commit
        // 5ffa25502b5a: since 5.12).
        unsafe {
            asm!(
                "r0 = cmpxchg_64({0} + 0, r0, r1)",
                in(reg) &raw mut (*self.0).words[0],
                inout("r0") head => _,
                in("r1") 0u64,
            );
        }
    }
}
/// The key, where it is kept: look-ups read it there.
#[inline(always)]
fn read(kept: &KeptKey) -> &FlowKey {
    // SAFETY: what was kept is this CPU's alone, and nobody writes it while it is lent: to the kernel, for
    // one call.
    unsafe { &*kept.key.as_ptr() }
}
/// A live flow.
#[inline(always)]
pub(crate) fn flow(table: Table, key: &KeptKey) -> Option<FlowCell> {
    match table {
        Table::Pending => pending::flow(key),
        Table::Established => ESTABLISHED.get_ptr_mut(read(key)).map(FlowCell),
    }
}
/// Enters a flow.
#[inline(always)]
pub(crate) fn insert_flow(table: Table, key: &KeptKey, entry: &FlowEntry) -> bool {
    if matches!(table, Table::Pending) {
        return pending::insert(key, entry);
    }
    let Some(cell) = ENTRY.get_ptr_mut(0) else {
        return false;
    };
    let cell = cell.cast::<FlowEntry>();
    // SAFETY: as in `keep`. On the stack it would take more than other kernels leave.
    let entry = unsafe {
        cell.write(*entry);
        &*cell
    };
    ESTABLISHED.insert(read(key), entry, 0).is_ok()
}
/// Takes out a flow that was found; one that has gone since is no error.
#[inline(always)]
pub(crate) fn remove_flow(table: Table, key: &KeptKey) {
    match table {
        Table::Pending => pending::remove(key),
        Table::Established => {
            let _absent = ESTABLISHED.remove(read(key));
        }
    }
}
