//! Owns the rows that the kernel finds prefixes by: those of a list, and the markers between them, see
//! [`splitter_common::prefix`].
//!
//! Invariants: each key once; a search never needs more looks than halving takes; the row that stands for
//! all of a family is there if and only if the list has a prefix of that family.

use std::net::{IpAddr, Ipv6Addr};

use splitter_common::{
    address::{Address, Family},
    prefix::{PrefixRow, Steps},
};

/// A prefix by its first address and its length, of 128 bits, and what is said of it.
pub type Said = ((u128, u32), u32);
/// A prefix by its length, of 128 bits, and its first address, and what stands there.
pub type Row = ((u32, Address), PrefixRow);

/// All of IPv4: `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
pub(super) const IPV4: (u128, u32) = (0xffff << 32, 96);
/// All of IPv6, and not what is IPv4.
const IPV6: (u128, u32) = (0, 0);

/// The address of a number.
pub(super) fn address(number: u128) -> Address {
    Address::from(IpAddr::from(Ipv6Addr::from_bits(number)))
}

/// Whether a prefix has an address.
pub(super) fn has((first, bits): (u128, u32), address: u128) -> bool {
    leading(address, bits) == first
}

fn leading(address: u128, bits: u32) -> u128 {
    address & !u128::MAX.checked_shr(bits).unwrap_or(0)
}

/// The rows of prefixes in order, each once, where each says what all that have it say together.
pub(super) fn rows(said: &[Said]) -> Vec<Row> {
    let family = |((first, bits), _): &Said| match *bits >= IPV4.1 && has(IPV4, *first) {
        true => Family::V4,
        false => Family::V6,
    };
    let mut rows = Vec::with_capacity(said.len() + 2);
    for (of, all) in [(Family::V4, IPV4), (Family::V6, IPV6)] {
        let scope: Vec<Said> = said
            .iter()
            .filter(|each| family(each) == of)
            .copied()
            .collect();
        if !scope.is_empty() {
            row(all, &scope, 0, gate(of, scope.len()), &mut rows);
        }
    }
    rows
}

/// The most prefixes of a family that have a gate.
const FEW: usize = 256;
/// How many clients of those who are in none of the prefixes pass a gate, if both are anywhere: one in so many.
const PASS: usize = 16;

/// The length to look at first, where there are few prefixes: nearly all clients are in none, and as they
/// share few values of so few bits, that look finds the bucket of its row in the cache, and is the last.
fn gate(family: Family, count: usize) -> Option<u32> {
    let bits = match family {
        Family::V4 => IPV4.1 + (count * PASS).next_power_of_two().ilog2().max(8),
        // What a registry gives to a network.
        Family::V6 => 32,
    };
    (count <= FEW).then_some(bits)
}

/// The row of a prefix or marker, and those behind it: `scope` are the prefixes in it, itself among them if
/// it is one; `around` is what those that it lies in say, `first_look` the length to look at first.
fn row(
    (first, bits): (u128, u32),
    scope: &[Said],
    around: u32,
    first_look: Option<u32>,
    rows: &mut Vec<Row>,
) {
    let itself = scope.first().filter(|(key, _)| *key == (first, bits));
    let said = itself.map_or(around, |(_, said)| *said);
    let longer = &scope[usize::from(itself.is_some())..];
    let at = rows.len();
    let stands = PrefixRow {
        steps: Steps::NONE,
        said,
        listed: u32::from(itself.is_some()),
    };
    rows.push(((bits, address(first)), stands));
    rows[at].1.steps = steps_of(longer, said, first_look, rows);
}

/// The lengths at which a search looks for the longest of these, which lie in a prefix of which `around` is
/// said; their rows are added.
fn steps_of(scope: &[Said], around: u32, first_look: Option<u32>, rows: &mut Vec<Row>) -> Steps {
    let lengths = scope.iter().fold(0u128, |all, ((_, bits), _)| {
        // Nothing here is as short as 0 bits.
        all | 1 << (bits - 1)
    });
    let first_look = first_look.filter(|bits| lengths >> (bits - 1) != 0);
    let Some(middle) = first_look.or(middle(lengths)) else {
        return Steps::NONE;
    };
    let mut shorter: Vec<Said> = Vec::new();
    // Of the shorter ones, those that have the place where this stands.
    let mut outer: Vec<Said> = Vec::new();
    let mut left = scope;
    while let [((first, bits), _), others @ ..] = left {
        while outer.last().is_some_and(|(key, _)| !has(*key, *first)) {
            outer.pop();
        }
        if *bits < middle {
            shorter.push(left[0]);
            outer.push(left[0]);
            left = others;
            continue;
        }
        let key = (leading(*first, middle), middle);
        let count = left
            .iter()
            .take_while(|((first, _), _)| has(key, *first))
            .count();
        let around = outer.last().map_or(around, |(_, said)| *said);
        row(key, &left[..count], around, None, rows);
        left = &left[count..];
    }
    steps_of(&shorter, around, None, rows).behind(middle)
}

/// The length in the middle of these, bit `n` for `n + 1`; the upper one of two, for fewer markers.
fn middle(lengths: u128) -> Option<u32> {
    let each = (1..=128).filter(|bits| lengths >> (bits - 1) & 1 != 0);
    each.clone().nth(each.count() / 2)
}
