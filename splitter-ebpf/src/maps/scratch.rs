//! Owns what stays for one packet, from one program to the next: cells of this CPU.

use core::{hint::black_box, mem::MaybeUninit};

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use splitter_common::{
    device::{SIGNATURE_WORDS, Signature},
    engine::Parsed,
    flow::{KeptKey, pending},
    layout::{FlowKey, Left},
    packet::Inner,
};

#[btf_map]
static PARSED: PerCpuArray<MaybeUninit<Parsed>, 1> = PerCpuArray::new();
/// What is left aside. Pinned as [`PARSED`] is: a new process replaces the programs aside before the
/// one that calls them.
#[btf_map]
static LEFT: PerCpuArray<Left, 1> = PerCpuArray::new();
#[btf_map]
static INNER: PerCpuArray<MaybeUninit<Inner>, 1> = PerCpuArray::new();

/// What a SYN shows; within one program.
#[btf_map]
static SIGNATURE: PerCpuArray<Signature, 1> = PerCpuArray::new();

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
/// Notes the key of a packet's flow, word by word: smaller stores would keep the kernel's hash waiting, which
/// reads more at once, and a copy of the address as a whole is a loop over bytes.
#[inline(always)]
pub(crate) fn keep_key(kept: &KeptKey, key: FlowKey) {
    let words = kept.key.as_ptr().cast::<u64>();
    let [a, b] = key.client.0;
    // SAFETY: as in `tell`; a key is three words, and aligned for them.
    unsafe {
        words.write_volatile(a);
        words.add(1).write_volatile(b);
        words.add(2).write_volatile(key.last_word());
        kept.tag.as_ptr().write_volatile(key.tag());
        kept.place.as_ptr().write_volatile(pending::UNKNOWN);
    }
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
/// Leaves how the packet has ended and what XDP shall do with it, beside what was left aside.
#[inline(always)]
pub(crate) fn leave_end(action: u32, ended: u32) {
    if let Some(cell) = LEFT.get_ptr_mut(0) {
        // SAFETY: as in `keep`.
        unsafe {
            (&raw mut (*cell).action).write_volatile(action);
            (&raw mut (*cell).ended).write_volatile(ended);
        }
    }
}
/// What was left aside.
#[inline(always)]
pub(crate) fn left() -> Option<&'static Left> {
    LEFT.get(0)
}
/// Keeps a word of what a SYN shows; `word` is a constant below [`SIGNATURE_WORDS`] at every call.
#[inline(always)]
pub(crate) fn sign(word: usize, value: u64) {
    if let Some(cell) = SIGNATURE.get_ptr_mut(0) {
        // SAFETY: as in `keep`; the index is in range.
        unsafe { (&raw mut (*cell).words[word]).write_volatile(value) };
    }
}
/// Those words.
#[inline(always)]
pub(crate) fn signature() -> Option<[u64; SIGNATURE_WORDS]> {
    SIGNATURE.get_ptr(0).map(|cell| {
        // SAFETY: as in `keep`; indices are in range.
        let word = |at: usize| unsafe { (&raw const (*cell).words[at]).read_volatile() };
        core::array::from_fn(word)
    })
}
