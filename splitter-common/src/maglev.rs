//! Owns the choice of a backend inside a version: weighted Maglev hashing (Eisenbud et al.,
//! "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4), with
//! weights as accumulated turns.
//!
//! Invariants: cells are given in proportion to backend weight within one turn; a table depends
//! on the members' identities and weights and the key alone, not on their order or numbers, so
//! that every host builds the same one. No allocation: the caller brings the cells.

use crate::{capacity::PAGE_CELLS, hash::HashKey};

/// The table sizes, all prime.
pub const SIZES: [u32; 5] = [251, 1_021, 4_093, 16_381, 65_521];

/// The smallest size that gives each of `backends` a hundred cells, else the largest.
pub fn size_for(backends: usize) -> u32 {
    let wanted = backends.saturating_mul(100);
    SIZES
        .into_iter()
        .find(|size| *size as usize >= wanted)
        .unwrap_or(SIZES[4])
}

/// Pages that a table of `cells` cells takes.
pub const fn pages_for(cells: u32) -> u32 {
    cells.div_ceil(PAGE_CELLS as u32)
}

/// A backend that takes part, with the walk through the table that its identity gives it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// What the cells will hold.
    pub number: u16,
    weight: u64,
    identity: u64,
    next: u32,
    skip: u32,
    turns: u64,
}

impl Member {
    /// `identity` is the backend's address (16 bytes) and port, big-endian; `weight` above 0.
    pub fn new(key: HashKey, number: u16, identity: &[u8], weight: u16, cells: u32) -> Self {
        let hash = crate::hash::siphash13(key, identity);
        let skip_hash = crate::hash::siphash13(
            HashKey {
                k0: !key.k0,
                k1: !key.k1,
            },
            identity,
        );
        Self {
            number,
            weight: u64::from(weight),
            identity: hash,
            next: (hash % u64::from(cells)) as u32,
            skip: (skip_hash % u64::from(cells - 1)) as u32 + 1,
            turns: 0,
        }
    }
}

/// Fills all of `cells` (a prime number of them). Sorts `members` by identity. Members of weight
/// 0 take no cell; without any other the cells become 0.
pub fn fill(cells: &mut [u16], members: &mut [Member]) {
    cells.fill(0);
    let heaviest = members
        .iter()
        .map(|member| member.weight)
        .max()
        .unwrap_or(0);
    if heaviest == 0 {
        return;
    }
    members.sort_unstable_by_key(|member| member.identity);
    let size = cells.len() as u32;
    let mut free = cells.len();
    let mut round = 0u64;
    while free > 0 {
        round += 1;
        for member in members.iter_mut() {
            // The heaviest takes a cell every round, the others as often as their weight allows.
            if round * member.weight < (member.turns + 1) * heaviest {
                continue;
            }
            while cells[member.next as usize] != 0 {
                member.next = advance(member.next, member.skip, size);
            }
            cells[member.next as usize] = member.number;
            member.turns += 1;
            free -= 1;
            if free == 0 {
                return;
            }
        }
    }
}

const fn advance(at: u32, skip: u32, size: u32) -> u32 {
    let next = at + skip;
    if next >= size { next - size } else { next }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{collections::BTreeMap, vec, vec::Vec};

    const KEY: HashKey = HashKey { k0: 11, k1: 22 };

    fn table(backends: &[(u16, u16)]) -> Vec<u16> {
        let size = size_for(backends.len());
        let mut members: Vec<_> = backends
            .iter()
            .map(|(number, weight)| {
                Member::new(
                    KEY,
                    *number,
                    &[10, 0, (*number >> 8) as u8, *number as u8],
                    *weight,
                    size,
                )
            })
            .collect();
        let mut cells = vec![0; size as usize];
        fill(&mut cells, &mut members);
        cells
    }

    fn shares(cells: &[u16]) -> BTreeMap<u16, usize> {
        let mut shares = BTreeMap::new();
        for cell in cells {
            *shares.entry(*cell).or_insert(0) += 1;
        }
        shares
    }

    #[test]
    fn sizes_give_a_hundred_cells_each() {
        assert_eq!(
            [0, 2, 3, 10, 11, 163, 164, 655, 9_999].map(size_for),
            [
                251, 251, 1_021, 1_021, 4_093, 16_381, 65_521, 65_521, 65_521
            ]
        );
        assert_eq!([251, 4_093, 65_521].map(pages_for), [1, 2, 32]);
    }

    #[test]
    fn equal_backends_differ_by_one_cell_at_most() {
        for count in [1u16, 2, 3, 7, 10, 40, 100] {
            let backends: Vec<_> = (1..=count).map(|number| (number, 1)).collect();
            let shares = shares(&table(&backends));
            let (least, most) = (shares.values().min(), shares.values().max());
            assert_eq!(shares.len(), usize::from(count));
            assert!(
                most.expect("some") - least.expect("some") <= 1,
                "{count}: {shares:?}"
            );
        }
    }

    #[test]
    fn weights_are_kept_in_proportion() {
        let shares = shares(&table(&[(1, 1), (2, 2), (3, 1_000), (4, 500), (5, 0)]));
        let total: usize = shares.values().sum();
        for (number, weight) in [(1u16, 1.0), (2, 2.0), (3, 1_000.0), (4, 500.0)] {
            let wanted = total as f64 * weight / 1_503.0;
            let got = *shares.get(&number).unwrap_or(&0) as f64;
            assert!(
                (got - wanted).abs() <= 2.0,
                "{number}: {got} instead of {wanted}"
            );
        }
        assert!(!shares.contains_key(&5) && !shares.contains_key(&0));
    }

    #[test]
    fn order_and_numbers_of_the_members_do_not_matter() {
        assert_eq!(
            table(&[(1, 3), (2, 1), (3, 2)]),
            table(&[(3, 2), (1, 3), (2, 1)])
        );
    }

    #[test]
    fn losing_one_of_ten_moves_few_of_the_others() {
        let all: Vec<_> = (1..=10).map(|number| (number, 1)).collect();
        let before = table(&all);
        let after = table(
            &all.iter()
                .copied()
                .filter(|(n, _)| *n != 4)
                .collect::<Vec<_>>(),
        );
        assert_eq!(before.len(), after.len());
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| **b != 4 && b != a)
            .count();
        // Maglev does not promise zero; the paper's figure 12 shows a few per cent.
        assert!(
            moved * 100 < before.len() * 8,
            "{moved} of {}",
            before.len()
        );
    }

    #[test]
    fn nobody_to_serve_leaves_the_cells_empty() {
        assert!(table(&[(1, 0)]).iter().all(|cell| *cell == 0));
        assert!(table(&[]).iter().all(|cell| *cell == 0));
    }
}
