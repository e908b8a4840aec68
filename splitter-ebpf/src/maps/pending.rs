//! Owns raw access to pending flows: the heads of their sets, and the places where they stand. How a place is
//! found, and who may write it, says `splitter_common::flow::pending`.

use core::{arch::asm, hint::black_box};

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_jiffies64, macros::btf_map};
use splitter_common::{
    capacity::{PENDING_FLOWS, PENDING_WAYS, pending_sets},
    flow::{
        KeptKey,
        pending::{self, TAKEN, UNKNOWN},
    },
    layout::{Control, FlowEntry, PendingFlow, PendingSet},
};

use super::{FlowCell, MMAPABLE, control_words};

#[btf_map]
static PENDING_SETS: Array<PendingSet, { pending_sets(PENDING_FLOWS) as usize }, MMAPABLE> =
    Array::new();
#[btf_map]
static PENDING_PLACES: Array<PendingFlow, { PENDING_FLOWS as usize }, MMAPABLE> = Array::new();

/// A live flow.
#[inline(always)]
pub(super) fn flow(kept: &KeptKey) -> Option<FlowCell> {
    let flow = PENDING_PLACES.get_ptr_mut(place(kept))?;
    // SAFETY: a pointer from an array look-up stays valid for the program run.
    Some(FlowCell(unsafe { &raw mut (*flow).entry }))
}

/// Enters a flow that was looked for, word by word, the tag of the entry before all others.
#[inline(always)]
pub(super) fn insert(kept: &KeptKey, entry: &FlowEntry) -> bool {
    let (before, tag) = (known(kept), tag(kept));
    let mut place = pending_claim(before, tag >> 1);
    if !pending::stands(place) {
        // Another CPU took it at the same time.
        place = pending_claim(before, !tag >> 1);
    }
    // Not sooner: the place that gets free is not to be taken, see `pending::enters`.
    pending_leaves(before, tag);
    keep(kept, place);
    let Some(flow) = PENDING_PLACES.get_ptr_mut(place) else {
        return false;
    };
    let key = words(kept);
    // SAFETY: as in `flow`; indices are in range, and the place is this program's until its head names the flow.
    unsafe {
        for (at, word) in entry.words.into_iter().enumerate() {
            (&raw mut (*flow).entry.words[at]).write_volatile(word);
        }
        let to = (&raw mut (*flow).key).cast::<u64>();
        for (at, word) in key.into_iter().enumerate() {
            to.add(at).write_volatile(word);
        }
    }
    pending_stands(place, tag);
    true
}

/// Takes a flow out that was found.
#[inline(always)]
pub(super) fn remove(kept: &KeptKey) {
    pending_leaves(known(kept), tag(kept));
    keep(kept, UNKNOWN);
}

/// Where the flow stands, looked for once; beyond all places when it stands nowhere.
#[inline(always)]
fn place(kept: &KeptKey) -> u32 {
    let [a, b, last] = words(kept);
    let place = pending_place(a, b, last, tag(kept), known(kept));
    keep(kept, place);
    place
}

/// The same as far as somebody has looked.
#[inline(always)]
fn known(kept: &KeptKey) -> u32 {
    // SAFETY: what was kept is this CPU's alone.
    unsafe { kept.place.as_ptr().read_volatile() }
}

#[inline(always)]
fn keep(kept: &KeptKey, place: u32) {
    // SAFETY: as in `place`, and the cell may be written through a reference.
    unsafe { kept.place.as_ptr().write_volatile(place) };
}

#[inline(always)]
fn tag(kept: &KeptKey) -> u32 {
    // SAFETY: as in `place`.
    unsafe { kept.tag.as_ptr().read_volatile() }
}

#[inline(always)]
fn words(kept: &KeptKey) -> [u64; 3] {
    let words = kept.key.as_ptr().cast::<u64>();
    // SAFETY: as in `place`; a key is three words, and aligned for them.
    let word = |at: usize| unsafe { words.add(at).read_volatile() };
    [word(0), word(1), word(2)]
}

/// Low half of jiffies.
#[inline(always)]
fn now() -> u32 {
    // SAFETY: the helper takes nothing and only reads a clock.
    unsafe { bpf_jiffies64() as u32 }
}

/// The head of a way of a set.
#[inline(always)]
fn head(set: *mut PendingSet, way: u32) -> *mut u64 {
    let way = (way & (PENDING_WAYS - 1)) as usize;
    // SAFETY: within the set, which is a pointer from an array look-up.
    unsafe { (&raw mut (*set).heads).cast::<u64>().add(way) }
}

/// Where a flow stands, see [`pending::locate`]; that it was looked for is noted there. A global function, for the
/// reason of [`super::listed`], as those below are.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pending_place(a: u64, b: u64, last: u64, tag: u32, known: u32) -> u32 {
    if known != UNKNOWN {
        return known;
    }
    let Some(control) = control_words() else {
        return UNKNOWN;
    };
    let set = pending::set_of(
        [a, b, last],
        control.load(Control::PendingKey),
        control.load(Control::PendingSets) as u32,
    );
    let Some(heads) = PENDING_SETS.get_ptr_mut(set) else {
        return UNKNOWN;
    };
    // SAFETY: the heads are valid and aligned, and other CPUs write each half whole.
    let half = |way, half| unsafe { head(heads, way).cast::<u32>().add(half) };
    let place = pending::locate(
        set,
        tag,
        // SAFETY: as above.
        |way| unsafe { half(way, 0).read_volatile() },
        |place| is_of(place, a, b, last),
    );
    if pending::stands(place) {
        let (seen, now) = (half(pending::way(place), 1), now());
        // SAFETY: as above.
        unsafe {
            if seen.read_volatile() != now {
                seen.write_volatile(now);
            }
        }
    }
    place
}

/// Whether a flow stands at a place.
#[inline(always)]
fn is_of(place: u32, a: u64, b: u64, last: u64) -> bool {
    let Some(flow) = PENDING_PLACES.get_ptr(place) else {
        return false;
    };
    // SAFETY: as in `flow`; a key is three words.
    let word = |at: usize| unsafe {
        (&raw const (*flow).key)
            .cast::<u64>()
            .add(at)
            .read_volatile()
    };
    word(0) == a && word(1) == b && word(2) == last
}

/// Takes a place for a flow, by what [`pending_place`] has said of it and the number that it draws by. Beyond all
/// places where another CPU was quicker.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pending_claim(place: u32, draw: u32) -> u32 {
    let set = pending::set(place);
    let Some(heads) = PENDING_SETS.get_ptr_mut(set) else {
        return UNKNOWN;
    };
    let now = now();
    // SAFETY: as in `pending_place`.
    let half = |way, half| unsafe { head(heads, way).cast::<u32>().add(half).read_volatile() };
    let way = pending::enters(place, draw, now, |way| half(way, 0), |way| half(way, 1));
    if exchange(head(heads, way), pending::head(TAKEN, now)) as u32 == TAKEN {
        return UNKNOWN;
    }
    pending::place(set, way)
}

/// Names the flow that was written at a place.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pending_stands(place: u32, tag: u32) -> u32 {
    if let Some(heads) = PENDING_SETS.get_ptr_mut(pending::set(place)) {
        exchange(head(heads, pending::way(place)), pending::head(tag, now()));
    }
    0
}

/// Frees the place of a flow with such a tag, and any other where its set has that tag: two CPUs may have entered the
/// flow at the same time.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pending_leaves(place: u32, tag: u32) -> u32 {
    if pending::stands(place)
        && let Some(heads) = PENDING_SETS.get_ptr_mut(pending::set(place))
    {
        let mut way = 0u64;
        while way < PENDING_WAYS as u64 {
            let word = head(heads, way as u32).cast::<u32>();
            // SAFETY: as in `pending_place`; the instruction touches nothing but the word and its registers. `core`
            // has no such operation for this target (kernel commit 5ffa25502b5a: since 5.12).
            unsafe {
                if word.read_volatile() == tag {
                    asm!(
                        "w0 = cmpxchg32_32({0} + 0, w0, w1)",
                        in(reg) word,
                        inout("r0") tag as u64 => _,
                        in("r1") 0u64,
                    );
                }
            }
            // As in `pending::locate`.
            way = black_box(way + 1);
        }
    }
    0
}

/// Writes a word that all CPUs write, and says what it was.
#[inline(always)]
fn exchange(word: *mut u64, mut with: u64) -> u64 {
    // SAFETY: the instruction touches nothing but the word and its register (see above).
    unsafe {
        asm!("{0} = xchg_64({1} + 0, {0})", inout(reg) with, in(reg) word);
    }
    with
}
