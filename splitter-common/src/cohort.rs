//! Owns who is in which cohort: what an element of the table of members says, and until when.
//!
//! An element belongs to one address and has a word for each cohort that the address is in: the
//! cohort's number above the jiffies at which the membership ends, 0 for one that never does. The kernel
//! compares those with its own clock, so that a member leaves on time whoever runs.
//!
//! Invariant: words are sealed with their address. Where they stand may become another address' at once, under
//! whoever still reads them; such a reader finds nothing it asks for, and looks again ([`crate::members`]).

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::{Address, is_zero, select},
    capacity::{COHORTS_ASKED, COHORTS_OF_MEMBER, MAX_CONDITIONS},
    clock::Jiffies,
    hash::{HashKey, siphash13},
};

/// Bits of a word that say when: at 1,000 jiffies a second 34 years.
const UNTIL_BITS: u32 = 40;
/// The largest time that a word can say.
pub const UNTIL_MAX: u64 = (1 << UNTIL_BITS) - 1;

/// The cohorts of one address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct MemberRow {
    /// Sealed, see the module.
    pub words: [u64; COHORTS_OF_MEMBER],
}

/// That an address is in a cohort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Membership {
    /// The cohort's [`number`].
    pub cohort: u32,
    /// Jiffies from which on it is not; 0: it is for ever.
    pub until: u64,
}

impl Membership {
    /// Whether it holds.
    pub const fn holds(self, now: Jiffies) -> bool {
        self.until == 0 || now.0 < self.until
    }
}

impl MemberRow {
    /// The element of an address; of more cohorts than it has room for the first ones.
    pub fn new(address: Address, memberships: &[Membership]) -> Self {
        let seal = seal(address);
        let mut words = [seal; COHORTS_OF_MEMBER];
        for (word, of) in words.iter_mut().zip(memberships) {
            *word = seal ^ ((of.cohort as u64) << UNTIL_BITS | of.until & UNTIL_MAX);
        }
        Self { words }
    }

    /// What the element of an address says.
    pub fn memberships(&self, address: Address) -> impl Iterator<Item = Membership> {
        let words = self.words.map(|word| word ^ seal(address));
        let used = words.into_iter().filter(|word| *word != 0);
        used.map(|word| Membership {
            cohort: (word >> UNTIL_BITS) as u32,
            until: word & UNTIL_MAX,
        })
    }
}

/// The number of a cohort: drawn from its name, so that every host gives it the same; never 0, and of
/// 24 bits. Names that draw the same are refused where cohorts are made.
pub fn number(name: &str) -> u32 {
    let hash = siphash13(HashKey::default(), name.as_bytes());
    (hash as u32 >> (UNTIL_BITS - 32)).max(1)
}

/// The condition that says of a client that it is in the cohort a service asks for at `index`: those of
/// cohorts are given from the last on, those of prefixes from the first.
pub const fn condition(index: usize) -> u32 {
    1 << (MAX_CONDITIONS - 1 - index)
}

/// The conditions that hold of the client whose element has `words`. `asked`: cohort numbers, 0 behind
/// the last. Without a branch.
#[inline(always)]
pub fn conditions(
    asked: &[u32; COHORTS_ASKED],
    words: [u64; COHORTS_OF_MEMBER],
    client: Address,
    now: Jiffies,
) -> u32 {
    let mut found = 0;
    for word in words {
        found |= conditions_of_word(asked, unseal(word, client), now);
    }
    found
}

/// The same of one word that was unsealed, for a program with little room for all of them.
#[inline(always)]
pub fn conditions_of_word(asked: &[u32; COHORTS_ASKED], word: u64, now: Jiffies) -> u32 {
    let mut found = 0;
    let until = word & UNTIL_MAX;
    // Both are far below 2^63: the difference is negative where the end is yet to come.
    let holds = is_zero(until) | now.0.wrapping_sub(until) >> 63;
    let cohort = word >> UNTIL_BITS;
    // Nobody asks for such a number; for 0 the places behind the last one do.
    let cohort = select(holds & (is_zero(cohort) ^ 1), cohort, 1 << UNTIL_BITS);
    for (index, asked) in asked.iter().enumerate() {
        // Far below 2^63 too: 0 alone less 1 is negative.
        let same = (cohort ^ *asked as u64).wrapping_sub(1) >> 63;
        found |= same << (MAX_CONDITIONS - 1 - index);
    }
    black_box(found) as u32
}

/// A word of the element of an address as it was before it was sealed.
#[inline(always)]
pub const fn unseal(word: u64, client: Address) -> u64 {
    word ^ seal(client)
}

/// What the words of an address are combined with.
#[inline(always)]
const fn seal(address: Address) -> u64 {
    let [a, b] = address.0;
    let mixed = (a ^ b.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{net::IpAddr, vec::Vec};

    const ASKED: [u32; COHORTS_ASKED] = [7, 9, 0, 0, 0, 0, 0, 0];

    fn address(text: &str) -> Address {
        Address::from(text.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn a_member_is_one_until_the_very_jiffy() {
        let client = address("192.0.2.1");
        let of = |cohort, until| Membership { cohort, until };
        let row = MemberRow::new(client, &[of(9, 1_000), of(7, 0)]);
        let at = |now| conditions(&ASKED, row.words, client, Jiffies(now));
        assert_eq!(at(999), condition(0) | condition(1));
        assert_eq!(at(1_000), condition(0), "the one that never ends");
        assert_eq!(at(u64::MAX >> 24), condition(0));
    }

    #[test]
    fn an_element_that_went_to_another_address_says_nothing() {
        let (one, other) = (address("192.0.2.1"), address("2001:db8::1"));
        let never = Membership {
            cohort: 7,
            until: 0,
        };
        let row = MemberRow::new(one, &[never]);
        assert_eq!(conditions(&ASKED, row.words, other, Jiffies(5)), 0);
        let nobody = MemberRow::default();
        assert_eq!(conditions(&ASKED, nobody.words, one, Jiffies(5)), 0);
    }

    #[test]
    fn numbers_are_of_24_bits_and_of_names() {
        assert_ne!(number("beta"), number("alpha"));
        for name in ["beta", "alpha", ""] {
            assert!((1..1 << 24).contains(&number(name)));
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_and_is_found_by_the_plain_rule(
            a: u64, b: u64, now in 0..1u64 << 39,
            members in proptest::collection::btree_map(1..12u32, 0..1u64 << 40, 0..=COHORTS_OF_MEMBER),
            asked in proptest::collection::btree_set(1..12u32, 0..=COHORTS_ASKED),
        ) {
            let client = Address([a, b]);
            let members: Vec<Membership> = members
                .into_iter()
                .map(|(cohort, until)| Membership { cohort, until })
                .collect();
            let row = MemberRow::new(client, &members);
            prop_assert_eq!(row.memberships(client).collect::<Vec<_>>(), members.clone());
            let mut words = [0; COHORTS_ASKED];
            let mut expected = 0;
            for (index, cohort) in asked.into_iter().enumerate() {
                words[index] = cohort;
                let holds = |of: &Membership| of.cohort == cohort && of.holds(Jiffies(now));
                if members.iter().any(holds) {
                    expected |= condition(index);
                }
            }
            prop_assert_eq!(conditions(&words, row.words, client, Jiffies(now)), expected);
        }
    }
}
