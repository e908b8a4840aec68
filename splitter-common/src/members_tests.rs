extern crate std;
use super::*;
use core::net::{IpAddr, Ipv4Addr};
use proptest::prelude::*;
use std::{collections::BTreeSet, vec, vec::Vec};

#[test]
fn homes_of_neighbours_are_all_over_the_array() {
    let homes = 1_500;
    let net = |at: u32| Address::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + at)));
    let mut counts = vec![0_u32; homes as usize];
    let mut tags = BTreeSet::new();
    for at in 0..15_000 {
        let hash = Hash::of(net(at), 7);
        counts[hash.home(homes) as usize] += 1;
        tags.insert(hash.tag());
    }
    // Ten each on average: of a fair draw none has 40, and a few have none.
    assert!(counts.iter().all(|count| *count < 40));
    assert!(counts.iter().filter(|count| **count == 0).count() < 10);
    assert_eq!(tags.len(), 64);
}

#[test]
fn who_shares_a_home_under_one_key_does_not_under_another() {
    let address = |low| Address([0x20, low]);
    let of = |key| (0..20_000).filter(move |low| Hash::of(address(*low), key).home(1_000) == 3);
    let (one, other): (Vec<_>, Vec<_>) = (of(1).collect(), of(2).collect());
    let both = one.iter().filter(|low| other.contains(low)).count();
    assert!(one.len() > 5 && other.len() > 5 && both < one.len() / 2);
}

#[test]
fn those_beside_are_counted_to_255_and_no_further() {
    let mut head = Head::default().with(7, Hash(u64::MAX));
    for count in 0..=255 {
        assert_eq!(head.beside(), count);
        head = head.more();
    }
    assert_eq!(head.beside(), 255);
    assert_eq!(head.less().beside(), 255, "nobody knows how many they are");
    assert!(head.has(7) && !head.has(6));
    assert_eq!(Head::default().more().less(), Head::default());
    assert_eq!(Head::default().less(), Head::default());
}

#[test]
fn a_head_that_changes_under_a_reader_is_read_again() {
    let hash = Hash::of(Address([0, 1]), 0);
    let reads = core::cell::Cell::new(0);
    let head = |_| {
        reads.set(reads.get() + 1);
        let distance = if reads.get() == 1 { 2 } else { 5 };
        Head::default().with(distance, hash)
    };
    let home = hash.home(10);
    // The old line is somebody else's already.
    assert_eq!(locate(hash, 10, head, |line| line == home + 5), home + 5);
    assert_eq!(reads.get(), 2);
    assert_eq!(locate(hash, 10, |_| Head::default(), |_| true), NOWHERE);
    assert_eq!(
        locate(hash, 10, |_| Head::default().more(), |_| true),
        BESIDE
    );
}

proptest! {
    #[test]
    fn whoever_stands_somewhere_is_a_candidate_there(
        hashes in proptest::collection::vec(any::<u64>(), MEMBER_WINDOW as usize),
        used in 0..256_u32,
        beside in 0..=255_u64,
    ) {
        let mut head = Head::default().with_beside(beside);
        let stands = |distance: u32| used >> distance & 1 != 0;
        for (distance, hash) in (0..).zip(&hashes) {
            head = head.with(distance, Hash(!hash)).with(distance, Hash(*hash));
            if !stands(distance) {
                head = head.without(distance);
            }
        }
        prop_assert_eq!(head.beside(), beside);
        for (distance, hash) in (0..).zip(&hashes) {
            prop_assert_eq!(head.has(distance), stands(distance));
            let candidates = head.candidates(Hash(*hash));
            prop_assert!(named(candidates, distance) || !stands(distance));
            for empty in (0..MEMBER_WINDOW).filter(|distance| !stands(*distance)) {
                prop_assert!(!named(candidates, empty));
            }
        }
    }
}
