//! Owns the law of segments: which of a service's segments takes a client.
//!
//! What can hold of a client (it lies in these prefixes, it is a member of that cohort) is a
//! *condition*, a bit of a word. A segment is a formula over conditions in disjunctive normal form:
//! *terms*, each of which says of some conditions whether they must hold. The terms of all segments
//! stand in the order of the segments, and the first that holds decides.
//!
//! Invariant: place 0 is no segment's; it stands for the clients that none takes.

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::is_zero,
    capacity::{COHORTS_ASKED, MAX_SEGMENTS, MAX_TERMS},
    traits::TraitsRow,
};

/// Places of a service's clients: none of its segments, or one of them.
pub const PLACES: usize = MAX_SEGMENTS + 1;

const _: () = assert!(PLACES.is_power_of_two());

/// Conditions of which each must hold or must not.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Pod, Zeroable)]
pub struct Term {
    /// The conditions that count.
    pub mask: u32,
    /// Those of them that must hold.
    pub want: u32,
}

impl Term {
    /// Holds of nobody: it wants what it does not look at.
    pub const NEVER: Self = Self { mask: 0, want: 1 };
    /// Holds of everybody.
    pub const ALWAYS: Self = Self { mask: 0, want: 0 };

    /// Whether it holds, 1 or 0, where `conditions` do; without a branch.
    #[inline(always)]
    pub const fn holds(self, conditions: u32) -> u64 {
        is_zero(((conditions & self.mask) ^ self.want) as u64)
    }
}

/// The segments of one service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Segments {
    /// Whose a place is, a hash of the name; 0: nobody's.
    pub owners: [u64; PLACES],
    /// In the order of the segments; the rest are [`Term::NEVER`].
    pub terms: [Term; MAX_TERMS],
    /// The place of each term's segment; 0 behind those that are used.
    pub places: [u8; MAX_TERMS],
    /// How many terms there are.
    pub used: u32,
    /// The [`crate::prefix::PrefixKey::list`] whose values are the conditions that hold of an
    /// address; 0: none.
    pub list: u32,
    /// The cohorts whose members' [`crate::cohort::condition`]s hold, by [`crate::cohort::number`]; 0
    /// behind the last.
    pub cohorts: [u32; COHORTS_ASKED],
    /// What is asked of device class and activity.
    pub traits: TraitsRow,
}

impl Segments {
    /// No segments.
    pub const NONE: Self = Self {
        owners: [0; PLACES],
        terms: [Term::NEVER; MAX_TERMS],
        places: [0; MAX_TERMS],
        used: 0,
        list: 0,
        cohorts: [0; COHORTS_ASKED],
        traits: TraitsRow::NONE,
    };

    /// The place of a client of whom `conditions` hold; below [`PLACES`].
    #[inline(always)]
    pub fn place_of(&self, conditions: u32) -> usize {
        let mut place = 0;
        for (at, (term, of)) in self.terms.iter().zip(&self.places).enumerate() {
            if at as u32 >= self.used {
                break;
            }
            if term.holds(conditions) != 0 {
                place = *of as u64;
                break;
            }
        }
        // The mask is for verifiers before 6.10, and for whatever way led here.
        black_box(place) as usize & (PLACES - 1)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    fn segments(terms: &[(Term, u8)]) -> Segments {
        let mut segments = Segments::NONE;
        for (at, (term, place)) in terms.iter().enumerate() {
            segments.terms[at] = *term;
            segments.places[at] = *place;
            segments.used += 1;
        }
        segments
    }

    #[test]
    fn the_first_segment_that_holds_takes_a_client() {
        let of = |bit: u32| Term {
            mask: bit,
            want: bit,
        };
        // Both partners and staff, but no partner; staff; everybody.
        let both = Term {
            mask: 0b111,
            want: 0b011,
        };
        let all = segments(&[(both, 7), (of(0b010), 3), (of(0b100), 3), (Term::ALWAYS, 1)]);
        for (conditions, place) in [(0b011, 7), (0b111, 3), (0b100, 3), (0b001, 1), (0, 1)] {
            assert_eq!(all.place_of(conditions), place, "{conditions:b}");
        }
        assert_eq!(segments(&[(of(1), 15)]).place_of(0), 0);
    }

    #[test]
    fn without_segments_no_condition_matters() {
        for conditions in [0, 1, u32::MAX] {
            assert_eq!(Segments::NONE.place_of(conditions), 0);
            assert_eq!(Term::NEVER.holds(conditions), 0);
            assert_eq!(Term::ALWAYS.holds(conditions), 1);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_first_by_the_plain_rule(
            terms in proptest::collection::vec((any::<u32>(), any::<u32>(), 1..16u8), 0..=MAX_TERMS),
            conditions: u32,
        ) {
            // Few bits, so that some hold.
            let few = |word: u32| word & 0x8000_0103;
            let terms: std::vec::Vec<_> = terms
                .into_iter()
                .map(|(mask, want, place)| {
                    let mask = few(mask);
                    (Term { mask, want: few(want) & mask }, place)
                })
                .collect();
            let conditions = few(conditions);
            let holds = |term: &Term| (0..32).all(|bit| {
                term.mask >> bit & 1 == 0 || term.want >> bit & 1 == conditions >> bit & 1
            });
            let first = terms.iter().find(|(term, _)| holds(term));
            let expected = first.map_or(0, |(_, place)| usize::from(*place));
            prop_assert_eq!(segments(&terms).place_of(conditions), expected);
        }
    }
}
