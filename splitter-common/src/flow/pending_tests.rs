extern crate std;
use std::{net::Ipv4Addr, vec, vec::Vec};

use super::*;
use crate::address::Address;

/// The way that a flow enters by, by whole heads.
fn of(place: u32, draw: u32, now: u32, head_of: impl Fn(u32) -> u64) -> u32 {
    let tag_of = |way| head_of(way) as u32;
    enters(place, draw, now, tag_of, |way| (head_of(way) >> 32) as u32)
}

/// A table as the program keeps it.
struct Table {
    sets: Vec<PendingSet>,
    keys: Vec<FlowKey>,
}

impl Table {
    fn new(sets: u32) -> Self {
        Self {
            sets: vec![PendingSet::default(); sets as usize],
            keys: vec![FlowKey::default(); (sets * PENDING_WAYS) as usize],
        }
    }

    fn locate(&self, key: &FlowKey) -> u32 {
        let set = set_of(words(key), 7, self.sets.len() as u32);
        locate(
            set,
            key.tag(),
            |way| self.sets[set as usize].heads[way as usize] as u32,
            |place| self.keys[place as usize] == *key,
        )
    }

    fn enter(&mut self, key: &FlowKey, now: u32) -> u32 {
        let found = self.locate(key);
        let set = set(found) as usize;
        let way = of(found, key.tag(), now, |way| {
            self.sets[set].heads[way as usize]
        });
        self.sets[set].heads[way as usize] = head(key.tag(), now);
        let at = place(set as u32, way);
        self.keys[at as usize] = *key;
        at
    }
}

fn key(number: u32) -> FlowKey {
    FlowKey {
        client: Address::from(std::net::IpAddr::V4(Ipv4Addr::from(0x0a64_0000 + number))),
        client_port: 40_000,
        frontend: 3,
        port: 443,
        zero: 0,
    }
}

#[test]
fn a_flow_is_found_where_it_entered_until_as_many_others_as_there_are_ways_were_seen_after_it() {
    let mut table = Table::new(16);
    let mut entered: Vec<Vec<FlowKey>> = vec![Vec::new(); 16];
    for number in 0..2_000 {
        let key = key(number);
        let at = table.enter(&key, number);
        entered[set(at) as usize].push(key);
        assert_eq!(table.locate(&key), at);
    }
    for (number, flows) in entered.iter().enumerate() {
        let last = flows.len() - PENDING_WAYS as usize;
        for (order, key) in flows.iter().enumerate() {
            let found = table.locate(key);
            assert_eq!(stands(found), order >= last, "{order} of {}", flows.len());
            assert_eq!(set(found), number as u32);
        }
    }
}

#[test]
fn a_free_place_comes_first_then_who_was_silent_longest() {
    let mut heads: [u64; 8] = core::array::from_fn(|way| head(9, 100 + way as u32));
    let enter = |heads: &[u64; 8], now| of(missing(5), 9, now, |way| heads[way as usize]);
    assert_eq!(enter(&heads, 200), 0);
    heads[0] = head(9, 150);
    assert_eq!(enter(&heads, 200), 1);
    heads[6] = head(0, 199);
    assert_eq!(enter(&heads, 200), 6);
    // Seen after the time was read, and over the end of the clock.
    let heads: [u64; 8] = core::array::from_fn(|way| head(9, 4u32.wrapping_sub(way as u32)));
    assert_eq!(enter(&heads, 3), 7);
    // A place that is being written comes last, but for its like.
    let mut heads = [head(TAKEN, 77); 8];
    heads[3] = head(9, 76);
    assert_eq!(enter(&heads, 77), 3);
    // Of those that are alike each has its turn.
    let mut met = [0; 8];
    for draw in 0..8 {
        met[of(missing(5), draw, 77, |_| head(9, 77)) as usize] += 1;
    }
    assert_eq!(met, [1; 8]);
}

#[test]
fn a_flow_that_begins_anew_takes_another_place() {
    for own in 0..PENDING_WAYS {
        for now in [50, 60] {
            let way_of = of(place(5, own), 9, now, |_| head(9, 50));
            assert_ne!(way_of, own);
            assert!(way_of < PENDING_WAYS);
        }
        let oldest = of(place(5, own), 9, 60, |way| {
            head(9, 50 + (way != own) as u32)
        });
        assert_ne!(oldest, own);
    }
}

#[test]
fn flows_of_one_tag_are_told_apart() {
    let heads = [head(9, 1); 8];
    for sought in 0..PENDING_WAYS {
        let found = locate(
            4,
            9,
            |way| heads[way as usize] as u32,
            |at| way(at) == sought,
        );
        assert_eq!(found, place(4, sought));
    }
    let none = locate(4, 9, |way| heads[way as usize] as u32, |_| false);
    assert_eq!((stands(none), set(none)), (false, 4));
}

#[test]
fn neighbours_are_spread_over_all_sets() {
    const SETS: u32 = 1_000;
    let mut drawn = vec![0u32; SETS as usize];
    for number in 0..64 * SETS {
        drawn[set_of(words(&key(number)), 7, SETS) as usize] += 1;
    }
    // Of 64 on average, with a deviation of 8.
    let (least, most) = (drawn.iter().min(), drawn.iter().max());
    assert!(least > Some(&30) && most < Some(&104), "{least:?} {most:?}");
    let other = (0..1_000).filter(|number| {
        let of = |secret| set_of(words(&key(*number)), secret, SETS);
        of(7) == of(8)
    });
    assert!(other.count() < 20, "another key draws other sets");
}
