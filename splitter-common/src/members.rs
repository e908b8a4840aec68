//! Owns where the members of cohorts stand: lines of a flat array, one address each, found with one cache
//! miss where a hash table takes two or more.
//!
//! An address has a *home*, a line drawn by a keyed hash, and stands in it or in one of the seven behind it.
//! Every line begins with the *head* of those whose home it is: which lines of its window they stand in, a
//! few bits of their hashes, and how many found no line and stand in a hash table beside the array. A
//! look-up reads the head, and then the lines that it names: most times the very same line.
//!
//! Invariants: one process writes. An element never changes: one that says something else is written
//! into a free line under a stamp of its own, and one store of the head gives up the old one for it. Whoever
//! finds nothing where a head names lines or has changed, or finds another stamp or address once the words
//! are read, looks again: the line may have become another address' meanwhile.

use bytemuck::{Pod, Zeroable};

use crate::{
    address::Address,
    capacity::{COHORTS_OF_MEMBER, MEMBER_WINDOW},
};

/// A line of the array: 64 bytes, at such a boundary, since the kernel maps the array's elements from the
/// beginning of a page on.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct MemberLine {
    /// Of those whose home this line is; see [`Head`].
    pub head: u64,
    /// Whose the words are.
    pub address: Address,
    /// Sealed, see [`crate::cohort`].
    pub words: [u64; COHORTS_OF_MEMBER],
    /// Low 32 bits: the home of the address, plus one; 0: nobody stands here, or is not wholly written yet. Above
    /// them a stamp that each writing changes.
    pub owner: u64,
}

impl MemberLine {
    /// The home of who stands here, plus one; 0: nobody does.
    #[inline(always)]
    pub const fn owner(&self) -> u32 {
        self.owner as u32
    }

    /// A line as it stands beside the array: the stamp is its first word too, so that whoever reads the last word
    /// first, and the first one last, knows whether it was written meanwhile.
    pub const fn beside(address: Address, words: [u64; COHORTS_OF_MEMBER], stamp: u32) -> Self {
        let owner = (stamp as u64) << 32 | 1;
        Self {
            head: owner,
            address,
            words,
            owner,
        }
    }
}

/// Bits of a head for each line of its window: one that says whether somebody of this home stands there, and,
/// below it, some of its hash.
const BITS: u32 = 7;
/// The lowest bit of each line's.
const ONES: u64 = 0x0002_0408_1020_4081;
/// The highest bit of each line's.
const HIGHS: u64 = ONES << (BITS - 1);
/// All bits of one line.
const TAG: u64 = (1 << BITS) - 1;
/// Above them: how many of this home stand beside the array.
const BESIDE_SHIFT: u32 = BITS * MEMBER_WINDOW;
/// One more of them.
const BESIDE_ONE: u64 = 1 << BESIDE_SHIFT;

/// What a line's first word says of those whose home the line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head(pub u64);

impl Head {
    /// The lines of the window, by their distances from home, that an address of such a hash may stand in, as
    /// bits of which [`named`] says how they lie. Names each that it may stand in, seldom another.
    #[inline(always)]
    pub const fn candidates(self, hash: Hash) -> u64 {
        // The usual search for a zero among several numbers of a word: a borrow may name one that is
        // none, above one that is.
        let differs = self.0 ^ hash.tag().wrapping_mul(ONES);
        differs.wrapping_sub(ONES) & !differs & HIGHS
    }

    /// Whether the line at such a distance is taken by somebody of this home.
    pub const fn has(self, distance: u32) -> bool {
        named(self.0, distance)
    }

    /// How many of this home stand beside the array; 255: so many or more.
    #[inline(always)]
    pub const fn beside(self) -> u64 {
        self.0 >> BESIDE_SHIFT
    }

    /// With somebody of such a hash at a distance.
    #[must_use]
    pub const fn with(self, distance: u32, hash: Hash) -> Self {
        Self(self.without(distance).0 | hash.tag() << (BITS * distance))
    }

    /// With nobody there.
    #[must_use]
    pub const fn without(self, distance: u32) -> Self {
        Self(self.0 & !(TAG << (BITS * distance)))
    }

    /// With so many beside the array; more than 255 are 255.
    #[must_use]
    pub const fn with_beside(self, count: u64) -> Self {
        let count = if count > 255 { 255 } else { count };
        Self(self.0 & (BESIDE_ONE - 1) | count << BESIDE_SHIFT)
    }

    /// With one more beside the array. From 255 on they are not counted any more.
    #[must_use]
    pub const fn more(self) -> Self {
        self.with_beside(self.beside() + 1)
    }

    /// With one less; of 255 nobody knows how many they are.
    #[must_use]
    pub const fn less(self) -> Self {
        match self.beside() {
            0 | 255 => self,
            count => self.with_beside(count - 1),
        }
    }
}

/// Whether candidates name the line at such a distance from home.
#[inline(always)]
pub const fn named(candidates: u64, distance: u32) -> bool {
    candidates >> (BITS * distance + BITS - 1) & 1 != 0
}

/// The hash of an address under the key of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash(u64);

impl Hash {
    /// Keyed, so that it is not easy to choose addresses that share a home.
    #[inline(always)]
    pub const fn of(address: Address, key: u64) -> Self {
        let [a, b] = address.0;
        let mixed = (a ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Of an IPv4 address all that differs is in the upper half of the second word.
        let mixed = mixed ^ mixed >> 32 ^ b.rotate_left(32);
        let mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self(mixed ^ mixed >> 32)
    }

    /// The home among so many lines.
    #[inline(always)]
    pub const fn home(self, homes: u32) -> u32 {
        (((self.0 >> 32) * homes as u64) >> 32) as u32
    }

    #[inline(always)]
    const fn tag(self) -> u64 {
        self.0 & (TAG >> 1) | 1 << (BITS - 1)
    }
}

/// How often an address is looked for while what says where it stands changes: each time it is found unless it
/// was written anew meanwhile.
pub const LOOKS: u32 = 3;
/// Where an address is that stands nowhere.
pub const NOWHERE: u32 = u32::MAX;
/// Where an address may be that stands in no line: in the table beside them.
pub const BESIDE: u32 = u32::MAX - 1;

/// The line in which an address stands, [`BESIDE`] or [`NOWHERE`]. `head`: of a home; `stands`: whether a line is that
/// of the address. Whoever reads the line's words is to ask for its address and its owner once more afterwards:
/// it may be given away at any time, and the address is to be looked for once more then.
#[inline(always)]
pub fn locate(
    hash: Hash,
    homes: u32,
    head: impl Fn(u32) -> Head,
    stands: impl Fn(u32) -> bool,
) -> u32 {
    let home = hash.home(homes);
    let mut before = head(home);
    for _ in 0..LOOKS {
        let candidates = before.candidates(hash);
        if candidates != 0 {
            for distance in 0..MEMBER_WINDOW {
                if named(candidates, distance) && stands(home + distance) {
                    return home + distance;
                }
            }
        }
        let after = head(home);
        // Where it names lines it may have changed, and back again, while they were read.
        if after == before && candidates == 0 {
            break;
        }
        before = after;
    }
    // Last: who is about to leave its line may stand there already, with what is not in force yet.
    if before.beside() != 0 {
        BESIDE
    } else {
        NOWHERE
    }
}

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
