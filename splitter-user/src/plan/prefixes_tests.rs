//! Tests of lists of prefixes, as the longest one alone says what all of them say.

use super::*;
use proptest::prelude::*;
use splitter_common::{
    address::Address,
    prefix::{LOOKS, PrefixKey, PrefixRow, find},
};
use std::{collections::HashMap, net::IpAddr};

/// The value of the longest prefix that has an address, as the kernel finds it, in so many looks.
fn longest(list: &PrefixList, client: IpAddr) -> (u32, usize) {
    let rows: HashMap<(u32, Address), PrefixRow> = list.rows().iter().copied().collect();
    assert_eq!(rows.len(), list.rows().len(), "each key once");
    let mut looks = 0;
    let look_up = |key: &PrefixKey| {
        looks += 1;
        rows.get(&(key.bits, key.address)).copied()
    };
    let said = find(1, Address::from(client), 0, look_up);
    (said, looks)
}

fn prefix() -> impl Strategy<Value = IpNet> {
    // Close together, so that many lie in each other.
    let v4 = (0u32..=0x0fff, 18u8..=32).prop_map(|(low, bits)| {
        IpNet::new(IpAddr::from((0x0a00_0000 | low).to_be_bytes()), bits).expect("a prefix")
    });
    let v6 = (0u128..=0xf, 0u8..=128).prop_map(|(low, bits)| {
        IpNet::new(IpAddr::from((low << 120 | low).to_be_bytes()), bits).expect("a prefix")
    });
    prop_oneof![v4, v6].prop_map(|prefix| prefix.trunc())
}

proptest! {
    #[test]
    fn the_longest_prefix_says_what_all_say(
        sets in proptest::collection::vec(proptest::collection::vec(prefix(), 0..8), 0..6),
        low in 0u32..=0x0fff,
        v6 in 0u128..=0xf,
    ) {
        let list = list(sets.iter().map(Vec::as_slice));
        let clients: [IpAddr; 3] = [
            (0x0a00_0000 | low).to_be_bytes().into(),
            (v6 << 120 | v6).to_be_bytes().into(),
            u128::from(low).to_be_bytes().into(),
        ];
        for client in clients {
            let said = sets.iter().enumerate().fold(0, |bits, (bit, set)| {
                let holds = set.iter().any(|prefix| prefix.contains(&client));
                bits | u32::from(holds) << bit
            });
            let (found, looks) = longest(&list, client);
            prop_assert_eq!(found, said, "{}", client);
            prop_assert!(looks <= LOOKS, "{} looks for {}", looks, client);
        }
    }
}

#[test]
fn lists_are_equal_by_content_whatever_the_order_they_came_in() {
    let nets = |text: &str| -> Vec<IpNet> {
        let net = |text: &str| text.parse().expect("a prefix");
        text.split(' ').map(net).collect()
    };
    let of = |sets: &[Vec<IpNet>]| list(sets.iter().map(Vec::as_slice));
    let one = of(&[nets("10.0.0.0/8 10.1.0.0/16 fd00::/8")]);
    let again = of(&[nets("fd00::/8 10.1.0.0/16 10.0.0.0/8")]);
    assert_eq!(one, again);
    // As they are read back.
    let mut rows = one.rows().to_vec();
    rows.reverse();
    assert_eq!(PrefixList::of_rows(rows), one);
    for other in [
        &[nets("10.0.0.0/8 10.1.0.0/16")][..],
        &[nets("10.0.0.0/8 fd00::/8"), nets("10.1.0.0/16")],
        &[nets("10.0.0.0/8 10.1.0.0/17 fd00::/8")],
    ] {
        assert_ne!(one, of(other));
    }
}

/// A prefix of each length, and the longest search for the one of 128 bits.
#[test]
fn a_list_of_all_lengths_is_searched_by_halving() {
    let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>();
    let address = address.expect("an address");
    let all = |bits| IpNet::new(address, bits).expect("a prefix").trunc();
    let sets: Vec<Vec<IpNet>> = vec![(0..=128).map(all).collect()];
    let list = list(sets.iter().map(Vec::as_slice));
    // All of IPv6 is a row anyhow, and no length needs a marker where each has a prefix.
    assert_eq!(list.rows().len(), 129);
    assert!(longest(&list, address).1 <= LOOKS);
    let beside = "7fff::".parse().expect("an address");
    assert_eq!(longest(&list, beside).0, 1);
}

#[test]
fn a_long_list_is_planned_once_while_somebody_has_it() {
    let set = |first: u32| {
        let address = |number: u32| IpNet::from(IpAddr::from((first + number).to_be_bytes()));
        PrefixSet::new((0..LONG as u32).map(address).collect())
    };
    let (set, other) = (set(0x0b00_0000), set(0x0c00_0000));
    let first = conditions([&set].into_iter());
    let again = conditions([&set.clone()].into_iter());
    assert!(Arc::ptr_eq(&first.rows, &again.rows));
    assert_eq!(first, list([set.prefixes()]));
    assert_ne!(first, conditions([&other].into_iter()));
    assert_ne!(first, conditions([&set, &other].into_iter()));
}

#[test]
fn all_of_ipv6_is_nothing_of_ipv4() {
    let all: IpNet = "::/0".parse().expect("a prefix");
    let list = list([[all].as_slice()]);
    assert_eq!(longest(&list, IpAddr::from([192, 0, 2, 1])).0, 0);
    assert_eq!(longest(&list, "2001:db8::1".parse().expect("v6")).0, 1);
}
