//! Owns the maps and raw access to their elements.
//!
//! Rows that the daemon never rewrites while they are in force are lent as references. What other
//! CPUs write at any time (flow elements, control words, next hops) is read and written as whole
//! 64-bit words with volatile access.

use core::{hint::black_box, mem::MaybeUninit};

use aya_ebpf::{
    btf_maps::{Array, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, lpm_trie},
    macros::btf_map,
};
use splitter_common::{
    address::Address,
    capacity::{
        CONTROL_WORDS, DIRECTORY_BUCKETS, ESTABLISHED_FLOWS, FILTER_WORDS, FRAGMENTED_DATAGRAMS,
        LIMITED_CLIENTS, LOSS_ROWS, MAX_BACKENDS, MAX_FRONTENDS, MAX_PREFIXES, MAX_SERVICES,
        MAX_VERSIONS, PAGE_CELLS, PENDING_FLOWS, REASON_CELLS, TABLE_EVENT_CELLS, TABLE_PAGES,
    },
    engine::Parsed,
    flow::{Cell, Table, recheck::RecheckRow},
    layout::{
        BackendCounters, BackendRow, Bucket, ClientKey, Control, DirectoryRow, FlowEntry, FlowKey,
        FragmentKey, FragmentRow, FrontendRow, Left, Loss, LossKey, LossPlaces, NextHop, PROGRAMS,
        Page, PrefixKey, ServiceRow,
    },
    packet::Inner,
    segment::PLACES,
};

/// `BPF_F_MMAPABLE`: user space maps the array and stores whole words.
pub(crate) const MMAPABLE: usize = 1 << 10;
/// `BPF_NOEXIST`: only where the key is not there.
const NO_EXIST: u64 = 1;

#[btf_map]
static CONTROL: Array<u64, { CONTROL_WORDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static DIRECTORY: Array<DirectoryRow, 2, MMAPABLE> = Array::new();
#[btf_map]
static FILTER: Array<u64, { 2 * FILTER_WORDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static BUCKETS: Array<Bucket, { 2 * DIRECTORY_BUCKETS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static FRONTENDS: Array<FrontendRow, { MAX_FRONTENDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static BACKENDS: Array<BackendRow, { MAX_BACKENDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICE_WORDS: Array<u64, { MAX_SERVICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICES: Array<ServiceRow, { 2 * MAX_SERVICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static PAGES: Array<Page, { TABLE_PAGES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static NEXT_HOPS: Array<NextHop, { MAX_BACKENDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static PREFIXES: LpmTrie<PrefixKey, u32, { MAX_PREFIXES as usize }> = LpmTrie::new();
#[btf_map]
static PENDING: LruHashMap<FlowKey, FlowEntry, { PENDING_FLOWS as usize }> = LruHashMap::new();
#[btf_map]
static ESTABLISHED: LruHashMap<FlowKey, FlowEntry, { ESTABLISHED_FLOWS as usize }> =
    LruHashMap::new();
#[btf_map]
static COUNTERS: PerCpuArray<BackendCounters, { MAX_BACKENDS as usize }> = PerCpuArray::new();
#[btf_map]
static PARSED: PerCpuArray<MaybeUninit<Parsed>, 1> = PerCpuArray::new();
/// The programs that do what `splitter` leaves aside, as `splitter_common::layout` numbers them.
#[btf_map]
pub(crate) static ASIDE: ProgramArray<PROGRAMS> = ProgramArray::new();
/// The same for frames in several buffers: programs of the two kinds do not call each other.
#[btf_map]
pub(crate) static ASIDE_FRAGS: ProgramArray<PROGRAMS> = ProgramArray::new();
/// A flow on its way into its table.
#[btf_map]
static ENTRY: PerCpuArray<MaybeUninit<FlowEntry>, 1> = PerCpuArray::new();
/// What is left aside. Pinned as [`PARSED`] is: a new process replaces the programs aside before the
/// one that calls them.
#[btf_map]
static LEFT: PerCpuArray<Left, 1> = PerCpuArray::new();
#[btf_map]
static RECHECKS: Array<RecheckRow, { MAX_SERVICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICE_LIMITS: Array<u64, { MAX_SERVICES as usize }> = Array::new();
#[btf_map]
static CLIENT_LIMITS: LruHashMap<ClientKey, u64, { LIMITED_CLIENTS as usize }> = LruHashMap::new();
#[btf_map]
static TABLE_EVENTS: PerCpuArray<u64, { TABLE_EVENT_CELLS as usize }> = PerCpuArray::new();
#[btf_map]
static EMPTIED: PerCpuArray<u64, { MAX_SERVICES as usize * MAX_VERSIONS }> = PerCpuArray::new();
#[btf_map]
static ASSIGNED: PerCpuArray<u64, { MAX_SERVICES as usize * PLACES * MAX_VERSIONS }> =
    PerCpuArray::new();
#[btf_map]
static INNER: PerCpuArray<MaybeUninit<Inner>, 1> = PerCpuArray::new();
#[btf_map]
static FRAGMENTS: LruHashMap<FragmentKey, FragmentRow, { FRAGMENTED_DATAGRAMS as usize }> =
    LruHashMap::new();
#[btf_map]
static REASONS: PerCpuArray<u64, { REASON_CELLS as usize }> = PerCpuArray::new();

#[btf_map]
static LOSSES: PerCpuHashMap<LossKey, u64, { LOSS_ROWS as usize }> = PerCpuHashMap::new();
#[btf_map]
static LOSS_PLACES: Array<LossPlaces, 1> = Array::new();

/// Keeps what was read of this CPU's packet, and reads it back from memory.
#[inline(always)]
pub(crate) fn keep(parsed: Parsed) -> Option<&'static Parsed> {
    PARSED.get_ptr_mut(0).map(|cell| read_back(cell, parsed))
}

/// The same for what an ICMP error quotes.
#[inline(always)]
pub(crate) fn keep_inner(inner: Inner) -> Option<&'static Inner> {
    INNER.get_ptr_mut(0).map(|cell| read_back(cell, inner))
}

/// Writes a value into a cell and lends it in such a way that it is read from there.
#[inline(always)]
fn read_back<T>(cell: *mut MaybeUninit<T>, value: T) -> &'static T {
    let cell = cell.cast::<T>();
    // SAFETY: the cell is this CPU's, which runs one packet at a time, and was written just now. A
    // pointer that the compiler knows nothing of keeps it from using what it wrote.
    unsafe {
        cell.write(value);
        &*black_box(cell)
    }
}

/// What the program before this one kept of the packet.
#[inline(always)]
pub(crate) fn kept() -> Option<&'static Parsed> {
    // SAFETY: as in `keep`. A program is called only behind one that has kept what it read.
    PARSED
        .get_ptr(0)
        .map(|cell| unsafe { &*cell.cast::<Parsed>() })
}

/// Notes what a packet tells.
#[inline(always)]
pub(crate) fn tell(parsed: &Parsed, told: u64) {
    // SAFETY: what was kept is this CPU's alone, and the cell may be written through a reference. As in
    // `keep`, the compiler must not use what it wrote.
    unsafe { parsed.told.as_ptr().write_volatile(told) };
}

/// Reads that back.
#[inline(always)]
pub(crate) fn told(parsed: &Parsed) -> u64 {
    // SAFETY: as in `tell`.
    unsafe { parsed.told.as_ptr().read_volatile() }
}

/// Leaves what the program aside must know.
#[inline(always)]
pub(crate) fn leave(left: Left) {
    if let Some(cell) = LEFT.get_ptr_mut(0) {
        // SAFETY: as in `keep`.
        unsafe { cell.write_volatile(left) };
    }
}

/// Leaves what XDP shall do with the packet, beside what was left aside.
#[inline(always)]
pub(crate) fn leave_action(action: u32) {
    if let Some(cell) = LEFT.get_ptr_mut(0) {
        // SAFETY: as in `keep`.
        unsafe { (&raw mut (*cell).action).write_volatile(action) };
    }
}

/// What was left aside.
#[inline(always)]
pub(crate) fn left() -> Option<&'static Left> {
    LEFT.get(0)
}

/// The newest generation that a service's flows must be looked at for.
#[inline(always)]
pub(crate) fn recheck_newest(service: u32) -> u32 {
    // SAFETY: a pointer from an array look-up is valid and aligned for its fields, of which the
    // daemon writes each whole.
    RECHECKS.get_ptr(service).map_or(0, |row| unsafe {
        (&raw const (*row).newest).read_volatile()
    })
}

/// All of that row, field by field: as a whole it would go over the stack.
#[inline(always)]
pub(crate) fn recheck(service: u32) -> RecheckRow {
    let Some(row) = RECHECKS.get_ptr(service) else {
        return RecheckRow::default();
    };
    // SAFETY: as in `recheck_newest`.
    let newest = unsafe { (&raw const (*row).newest).read_volatile() };
    // SAFETY: as above; the indices are in range.
    let from = |slot: usize| unsafe { (&raw const (*row).from[slot]).read_volatile() };
    // SAFETY: as above.
    let at = |slot: usize| unsafe { (&raw const (*row).at[slot]).read_volatile() };
    RecheckRow {
        newest,
        from: [from(0), from(1), from(2)],
        at: [at(0), at(1), at(2)],
    }
}

/// When a service's next flow is due.
#[inline(always)]
pub(crate) fn service_due(service: u32) -> u64 {
    volatile(SERVICE_LIMITS.get_ptr(service))
}

/// Writes that.
#[inline(always)]
pub(crate) fn set_service_due(service: u32, due_ns: u64) {
    if let Some(cell) = SERVICE_LIMITS.get_ptr_mut(service) {
        // SAFETY: a pointer from an array look-up is valid and aligned for its u64.
        unsafe { cell.write_volatile(due_ns) }
    }
}

/// When a client's next flow is due; 0 when it is not known.
#[inline(always)]
pub(crate) fn client_due(key: &ClientKey) -> u64 {
    volatile(CLIENT_LIMITS.get_ptr(key))
}

/// Writes that.
#[inline(always)]
pub(crate) fn set_client_due(key: &ClientKey, due_ns: u64) {
    match CLIENT_LIMITS.get_ptr_mut(key) {
        // SAFETY: the element stays mapped for the program run; one that was recycled meanwhile is
        // another client's, who waits for one flow at most.
        Some(cell) => unsafe { cell.write_volatile(due_ns) },
        // Without room this client is not limited.
        None => {
            let _refused = CLIENT_LIMITS.insert(key, &due_ns, 0);
        }
    }
}

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
pub(crate) struct FlowCell(*mut FlowEntry);

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
}

#[inline(always)]
fn volatile(word: Option<*const u64>) -> u64 {
    // SAFETY: a pointer from an array look-up is valid and aligned for its u64.
    word.map_or(0, |word| unsafe { word.read_volatile() })
}

#[inline(always)]
fn bump(cell: Option<*mut u64>, amount: u64) {
    if let Some(cell) = cell {
        // SAFETY: a per-CPU cell has one writer at a time, the program on this CPU.
        unsafe { cell.write_volatile(cell.read_volatile() + amount) }
    }
}

/// A control word; 0 when never written.
#[inline(always)]
pub(crate) fn control(word: Control) -> u64 {
    volatile(CONTROL.get_ptr(word as u32))
}

/// Writes a control word.
#[inline(always)]
pub(crate) fn set_control(word: Control, value: u64) {
    if let Some(cell) = CONTROL.get_ptr_mut(word as u32) {
        // SAFETY: a pointer from an array look-up is valid and aligned for its u64.
        unsafe { cell.write_volatile(value) }
    }
}

/// The directory's row of a side.
#[inline(always)]
pub(crate) fn directory_row(side: u32) -> Option<DirectoryRow> {
    DIRECTORY.get(side).copied()
}

/// A filter word.
#[inline(always)]
pub(crate) fn filter_word(index: u32) -> u64 {
    volatile(FILTER.get_ptr(index))
}

/// A directory bucket.
#[inline(always)]
pub(crate) fn bucket(index: u32) -> Option<&'static Bucket> {
    BUCKETS.get(index)
}

/// A frontend row.
#[inline(always)]
pub(crate) fn frontend(number: u32) -> Option<&'static FrontendRow> {
    FRONTENDS.get(number)
}

/// A backend row.
#[inline(always)]
pub(crate) fn backend(number: u32) -> Option<&'static BackendRow> {
    BACKENDS.get(number)
}

/// A service's word.
#[inline(always)]
pub(crate) fn service_word(number: u32) -> u64 {
    volatile(SERVICE_WORDS.get_ptr(number))
}

/// A service row.
#[inline(always)]
pub(crate) fn service(index: u32) -> Option<&'static ServiceRow> {
    SERVICES.get(index)
}

/// A table cell; 0 for none.
#[inline(always)]
pub(crate) fn table_cell(page: u32, index: u32) -> u16 {
    match PAGES.get(page) {
        Some(page) => page.cells[index as usize & (PAGE_CELLS - 1)],
        None => 0,
    }
}

/// The words of a next hop; zeros when unknown.
#[inline(always)]
pub(crate) fn next_hop(backend: u32) -> [u64; 3] {
    let Some(hop) = NEXT_HOPS.get_ptr(backend) else {
        return [0; 3];
    };
    // SAFETY: a pointer from an array look-up is valid and aligned for its words; the daemon
    // writes them whole.
    unsafe {
        [
            (&raw const (*hop).words[0]).read_volatile(),
            (&raw const (*hop).words[1]).read_volatile(),
            (&raw const (*hop).words[2]).read_volatile(),
        ]
    }
}

/// What a prefix list says of an address, `otherwise` when it has it not; a function of its own, for
/// its key's room on the stack.
#[inline(never)]
pub(crate) fn listed(list: u32, a: u64, b: u64, otherwise: u32) -> u32 {
    let key = PrefixKey::new(list, Address([a, b]));
    PREFIXES
        .get(&lpm_trie::Key::new(PrefixKey::BITS, key))
        .copied()
        .unwrap_or(otherwise)
}

/// A live flow.
#[inline(always)]
pub(crate) fn flow(table: Table, key: &FlowKey) -> Option<FlowCell> {
    match table {
        Table::Pending => PENDING.get_ptr_mut(key),
        Table::Established => ESTABLISHED.get_ptr_mut(key),
    }
    .map(FlowCell)
}

/// Enters a flow.
#[inline(always)]
pub(crate) fn insert_flow(table: Table, key: &FlowKey, entry: &FlowEntry) -> bool {
    let Some(cell) = ENTRY.get_ptr_mut(0) else {
        return false;
    };
    let cell = cell.cast::<FlowEntry>();
    // SAFETY: as in `keep`. On the stack it would take more than other kernels leave.
    let entry = unsafe {
        cell.write(*entry);
        &*cell
    };
    match table {
        Table::Pending => PENDING.insert(key, entry, 0),
        Table::Established => ESTABLISHED.insert(key, entry, 0),
    }
    .is_ok()
}

/// Removes a flow; one that is not there is no error.
#[inline(always)]
pub(crate) fn remove_flow(table: Table, key: &FlowKey) {
    let _absent = match table {
        Table::Pending => PENDING.remove(key),
        Table::Established => ESTABLISHED.remove(key),
    };
}

/// Adds to two neighbouring counters of a backend, with one look-up.
#[inline(always)]
pub(crate) fn count_pair(backend: u32, first: usize, amounts: (u64, u64)) {
    if let Some(row) = COUNTERS.get_ptr_mut(backend) {
        // SAFETY: `first` is a constant of `Counter` with a neighbour; the row is valid.
        let (a, b) = unsafe {
            (
                &raw mut (*row).cells[first],
                &raw mut (*row).cells[first + 1],
            )
        };
        bump(Some(a), amounts.0);
        bump(Some(b), amounts.1);
    }
}

/// Adds 1 to a counter of a backend.
#[inline(always)]
pub(crate) fn count(backend: u32, counter: usize) {
    // SAFETY: `counter` is a constant of `Counter`; the row is valid.
    bump(
        COUNTERS
            .get_ptr_mut(backend)
            .map(|row| unsafe { &raw mut (*row).cells[counter] }),
        1,
    );
}

/// Adds 1 to the counter of a reason and verdict.
#[inline(always)]
pub(crate) fn count_reason(cell: u32) {
    bump(REASONS.get_ptr_mut(cell), 1);
}
