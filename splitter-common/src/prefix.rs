//! Owns how a list of prefixes is searched for the longest one that has an address: by binary search on
//! lengths, in a hash table that holds the prefixes of all lists.
//!
//! A look takes the leading bits of the address and finds a row or none. A row says what holds of the
//! addresses it has, as far as it and shorter prefixes know, and which lengths are worth a look next; where
//! none is found, the search goes on with the lengths that were left. Rows are prefixes of the list, or
//! *markers*: the leading bits of longer ones, without which the search would not know that they are there
//! (Waldvogel, Varghese, Turner, Plattner: Scalable High Speed IP Routing Lookups, SIGCOMM 1997; the words
//! of lengths are their ropes).
//!
//! Invariant: each step halves the lengths that are left, so that [`LOOKS`] suffice for every list.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Family};

/// Looks of the longest search: one for what holds of all addresses of a family, and one for each halving
/// of the 128 lengths.
pub const LOOKS: usize = 9;

/// What a row stands under.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct PrefixKey {
    /// The leading bits; the rest are 0.
    pub address: Address,
    /// Number of the list.
    pub list: u32,
    /// How many bits lead, of 128.
    pub bits: u32,
}

/// What stands there; never changed while a list is in force.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct PrefixRow {
    /// The lengths to look at next.
    pub steps: Steps,
    /// What the list says of the longest of its prefixes up to this length.
    pub said: u32,
    /// 1: a prefix of the list; 0: a marker.
    pub listed: u32,
}

/// Lengths to look at, one after the other until a row is found: a byte each, the first one lowest, one more
/// than the bits; 0 behind the last.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct Steps(u64);

impl Steps {
    /// None: the search is over.
    pub const NONE: Self = Self(0);

    /// The first look at an address: at the row that stands for all of its family, in every list that has a
    /// prefix of it.
    #[inline(always)]
    pub const fn first(family: Family) -> Self {
        match family {
            Family::V4 => Self::NONE.behind(96),
            Family::V6 => Self::NONE.behind(0),
        }
    }

    /// A look at this length, then these, of which there are at most seven.
    #[inline(always)]
    pub const fn behind(self, bits: u32) -> Self {
        Self(self.0 << 8 | (bits + 1) as u64)
    }

    /// The next length and those after it.
    #[inline(always)]
    pub const fn next(self) -> Option<(u32, Self)> {
        match self.0 & 0xff {
            0 => None,
            more => Some((more as u32 - 1, Self(self.0 >> 8))),
        }
    }
}

/// What a list says of the longest of its prefixes that has an address; `otherwise` when it has none of the
/// address's family.
#[inline(always)]
pub fn find(
    list: u32,
    address: Address,
    otherwise: u32,
    mut look_up: impl FnMut(&PrefixKey) -> Option<PrefixRow>,
) -> u32 {
    let mut steps = Steps::first(address.family());
    let mut said = otherwise;
    for _ in 0..LOOKS {
        let Some((bits, others)) = steps.next() else {
            break;
        };
        let key = PrefixKey {
            address: address.leading(bits),
            list,
            bits,
        };
        steps = others;
        if let Some(row) = look_up(&key) {
            steps = row.steps;
            said = row.said;
        }
    }
    said
}
