//! Owns where pending flows stand: sets of eight places, one of which a keyed hash draws for a flow.
//!
//! A flood of SYNs writes here and nowhere else, so that this is as cheap as it can be: a flow enters by one line of
//! *heads*, a word for each place of its set, and the place itself. It takes a free one, or that of the flow which
//! was silent longest.
//!
//! Invariants: a place changes hands under a head that says [`TAKEN`], by an atomic exchange, so that two CPUs never
//! write one. Whoever has a place writes the tag of the entry first, and the head last: a reader that finds another
//! tag once it has read the entry has read another flow's (see [`super::entry`]). A flow that begins anew takes
//! another place than it has.

use core::hint::black_box;

use crate::{
    capacity::PENDING_WAYS,
    layout::{FlowKey, PendingSet},
};

/// The tag in the head of a place that is being written: none of a key, which are odd.
pub const TAKEN: u32 = 2;
/// Where nobody has looked for a flow yet.
pub const UNKNOWN: u32 = u32::MAX;
/// Of a place: the flow stands nowhere, and the place is the first one of its set.
const MISSING: u32 = 1 << 31;

/// Jiffies by which a head may be ahead of a time that was read before it.
const SLACK: u32 = 16;

/// A head: the tag of the flow that stands at the place, 0 for none, and when it was last looked for, the low half
/// of jiffies.
#[inline(always)]
pub const fn head(tag: u32, seen: u32) -> u64 {
    tag as u64 | (seen as u64) << 32
}

/// The set of a flow among `sets`, by the words of its key. Keyed, so that nobody chooses flows that share a set.
#[inline(always)]
pub const fn set_of([a, b, last]: [u64; 3], key: u64, sets: u32) -> u32 {
    let mixed = (a ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32 ^ b).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 32 ^ last ^ key).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((mixed >> 32) * sets as u64) >> 32) as u32
}

/// The words of a key.
pub fn words(key: &FlowKey) -> [u64; 3] {
    [key.client.0[0], key.client.0[1], key.last_word()]
}

/// The place of a flow with such a tag in a set, or where it is missing. `tag_of`: the tag of a way; `is_of`: whether
/// the flow stands at a place.
#[inline(always)]
pub fn locate(set: u32, tag: u32, tag_of: impl Fn(u32) -> u32, is_of: impl Fn(u32) -> bool) -> u32 {
    // One bit for each way of that tag, without a branch: most times there is none, or one.
    let mut ways = 0;
    for way in 0..PENDING_WAYS {
        let differs = (tag_of(way) ^ tag) as u64;
        ways |= (differs.wrapping_sub(1) >> 63) << way;
    }
    let mut way = 0u64;
    while ways != 0 && way < PENDING_WAYS as u64 {
        let at = place(set, way as u32);
        if ways & 1 != 0 && is_of(at) {
            return at;
        }
        ways >>= 1;
        // The compiler knows nothing of it, and leaves the loop a loop. A whole word: the verifier knows it.
        way = black_box(way + 1);
    }
    missing(set)
}

/// What [`locate`] says of a flow that does not stand in a set.
#[inline(always)]
pub const fn missing(set: u32) -> u32 {
    place(set, 0) | MISSING
}

/// A place of a set.
#[inline(always)]
pub const fn place(set: u32, way: u32) -> u32 {
    set * PENDING_WAYS + way
}

/// Whether a flow stands at a place, by what [`locate`] has said.
#[inline(always)]
pub const fn stands(place: u32) -> bool {
    place & MISSING == 0
}

/// The set of a place.
#[inline(always)]
pub const fn set(place: u32) -> u32 {
    (place & !MISSING) / PENDING_WAYS
}

/// Which of its set a place is.
#[inline(always)]
pub const fn way(place: u32) -> u32 {
    place & (PENDING_WAYS - 1)
}

/// The way of a set that a flow enters by: a free one, or that of who was silent longest, of several the one that is
/// drawn by a number of the flow's. One that is being written was silent for no moment: who draws it is to try once
/// more, by another number. Not that of `place`, where the same flow stands until it has another. `tag_of` and `seen_of`: the halves of a
/// way's head.
#[inline(always)]
pub fn enters(
    place: u32,
    draw: u32,
    now: u32,
    tag_of: impl Fn(u32) -> u32,
    seen_of: impl Fn(u32) -> u32,
) -> u32 {
    let mut free = 0;
    while free < PENDING_WAYS && tag_of(free) != 0 {
        free += 1;
    }
    let best = if free < PENDING_WAYS {
        free
    } else {
        silent(draw & (PENDING_WAYS - 1), now, seen_of)
    };
    // Half a word: the verifier knows nothing of it, and walks what follows once, not once for each way.
    let best = black_box(best);
    let own = (stands(place) && way(place) == way(best)) as u32;
    way(best + own)
}

/// The way of who was silent longest.
#[inline(always)]
fn silent(draw: u32, now: u32, seen_of: impl Fn(u32) -> u32) -> u32 {
    let mut best = 0;
    for way in 0..PENDING_WAYS {
        let silence = now.wrapping_add(SLACK).wrapping_sub(seen_of(way));
        // One number of silence and way: the verifier has nothing to tell apart.
        let candidate = (silence as u64) << 3 | (way ^ draw) as u64;
        if candidate > best {
            best = candidate;
        }
    }
    way(best as u32) ^ draw
}

const _: () = assert!(PENDING_WAYS == 8 && size_of::<PendingSet>() == 64);

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
