//! Owns the maps and raw access to their elements: here those of the configuration and what is due
//! when; what stays for one packet, flows and counts have rooms of their own.
//!
//! Rows that the daemon never rewrites while they are in force are lent as references. What other
//! CPUs write at any time (flow elements, control words, next hops) is read and written as whole
//! 64-bit words with volatile access.

mod counted;
mod flows;
mod members;
mod pending;
mod scratch;
mod trace;

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, ProgramArray},
    macros::btf_map,
};
use splitter_common::{
    address::Address,
    capacity::{
        DIRECTORY_BUCKETS, FILTER_WORDS, LIMITED_CLIENTS, MAX_BACKENDS, MAX_FRONTENDS,
        MAX_PREFIXES, MAX_SERVICES, PAGE_CELLS, PREFIX_ROWS, TABLE_PAGES,
    },
    flow::recheck::RecheckRow,
    layout::{
        BackendRow, Bucket, ClientKey, Control, ControlRow, FrontendRow, NextHop, PROGRAMS, Page,
        ServiceRow,
    },
    prefix::{self, PrefixKey, PrefixRow},
};

use crate::times;

pub(crate) use self::{counted::*, flows::*, members::*, scratch::*, trace::*};

/// `BPF_F_MMAPABLE`: user space maps the array and stores whole words.
pub(crate) const MMAPABLE: usize = 1 << 10;
/// `BPF_F_NO_PREALLOC`: elements take memory when they come.
const NO_PREALLOC: usize = 1;

#[btf_map]
static CONTROL: Array<ControlRow, 1, MMAPABLE> = Array::new();
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
static PREFIXES: HashMap<
    PrefixKey,
    PrefixRow,
    { (PREFIX_ROWS * MAX_PREFIXES) as usize },
    NO_PREALLOC,
> = HashMap::new();
/// The programs that do what `splitter` leaves aside, as `splitter_common::layout` numbers them.
#[btf_map]
pub(crate) static ASIDE: ProgramArray<PROGRAMS> = ProgramArray::new();
/// The same for frames in several buffers: programs of the two kinds do not call each other.
#[btf_map]
pub(crate) static ASIDE_FRAGS: ProgramArray<PROGRAMS> = ProgramArray::new();
#[btf_map]
static RECHECKS: Array<RecheckRow, { MAX_SERVICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICE_LIMITS: Array<u64, { MAX_SERVICES as usize }> = Array::new();
#[btf_map]
static CLIENT_LIMITS: LruHashMap<ClientKey, u64, { LIMITED_CLIENTS as usize }> = LruHashMap::new();

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
/// The control words; `None` never.
#[inline(always)]
pub(crate) fn control_words() -> Option<ControlWords> {
    CONTROL.get_ptr_mut(0).map(ControlWords)
}
/// The control words, which other CPUs and the daemon write at any time, each whole.
#[derive(Clone, Copy)]
pub(crate) struct ControlWords(*mut ControlRow);
impl ControlWords {
    /// A word; 0 when never written.
    #[inline(always)]
    pub(crate) fn load(self, word: Control) -> u64 {
        // SAFETY: a pointer from an array look-up is valid and aligned for its words.
        unsafe { (&raw const (*self.0).words[word as usize]).read_volatile() }
    }

    /// Writes a word.
    #[inline(always)]
    pub(crate) fn store(self, word: Control, value: u64) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0).words[word as usize]).write_volatile(value) }
    }

    /// Adds to a word that all CPUs add to.
    #[inline(always)]
    fn add(self, word: Control, amount: u64) {
        // SAFETY: as above.
        times::add_wide(unsafe { &raw mut (*self.0).words[word as usize] }, amount);
    }
}
/// A control word, where the words are not at hand.
#[inline(always)]
pub(crate) fn control(word: Control) -> u64 {
    control_words().map_or(0, |words| words.load(word))
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
/// What a prefix list says of an address, `otherwise` when it has none of its family. A global function, by
/// its name and its plain arguments: the verifier walks it once by itself, and not again at each call
/// (Documentation/bpf/verifier.rst; "bpf: Introduce function-by-function verification", 51c39bb1d5d1, 5.6).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn listed(list: u32, a: u64, b: u64, otherwise: u32) -> u32 {
    // SAFETY: a row is not written while its list is in force, and stays mapped for the program run.
    prefix::find(list, Address([a, b]), otherwise, |key| unsafe {
        PREFIXES.get(key).copied()
    })
}
