//! Walks of a flow table in the kernel: every flow once, whichever way it is walked. Needs root.

use std::{collections::BTreeMap, net::IpAddr};

use splitter_common::{
    flow::Table,
    layout::{FlowEntry, FlowKey},
};
use splitter_tests::netns::Netns;
use splitter_user::{
    dataplane::{DataPlane, FlowTable, Options, Walk},
    model::Limits,
};

const FLOWS: u32 = 3_000;

fn key(number: u32) -> FlowKey {
    FlowKey {
        client: IpAddr::from(number.to_be_bytes()).into(),
        client_port: 1_024,
        ..FlowKey::default()
    }
}

/// How often each flow was met, by the first word of its entry.
fn met(mut walk: Walk) -> BTreeMap<u64, u32> {
    let mut met = BTreeMap::new();
    let mut one = |key: &FlowKey, entry: &FlowEntry| {
        assert_eq!(
            *key,
            self::key(entry.words[0] as u32),
            "key and entry are one's"
        );
        *met.entry(entry.words[0]).or_default() += 1;
    };
    while walk.next(&mut one).expect("walked") {}
    met
}

/// A data plane with room for so many flows.
fn plane(netns: &Netns, flows: u32, pending: u32) -> DataPlane {
    netns.enter();
    let limits = Limits {
        flows,
        pending,
        ..Limits::default()
    };
    DataPlane::open(&Options {
        pin_dir: None,
        limits,
    })
    .expect("a data plane")
}

fn fill(plane: &mut DataPlane, table: Table) -> BTreeMap<u64, u32> {
    for number in 0..FLOWS {
        let mut entry = FlowEntry::default();
        entry.words[0] = u64::from(number);
        let put = plane.maps_mut().put_flow(table, &key(number), &entry);
        put.expect("room");
    }
    (0..u64::from(FLOWS)).map(|number| (number, 1)).collect()
}

/// From a bucket on, those before it are left out, and both parts are the whole.
fn halves(table: &FlowTable, all: &BTreeMap<u64, u32>) {
    let (mut first, mut walk) = (BTreeMap::new(), table.walk(0, 256));
    while walk.bucket().is_some_and(|bucket| bucket < 4_000) {
        let more = walk.next(|_, entry| {
            first.insert(entry.words[0], 1);
        });
        assert!(more.expect("walked"));
    }
    let rest = met(table.walk(walk.bucket().expect("half way"), 256));
    assert!(!first.is_empty() && !rest.is_empty());
    assert!(first.keys().all(|number| !rest.contains_key(number)));
    first.extend(rest);
    assert_eq!(first, *all);
}

#[test]
fn a_walk_meets_every_flow_once() {
    let netns = Netns::new("walks").expect("a namespace");
    let mut plane = plane(&netns, 5_000, 1_024);
    let all = fill(&mut plane, Table::Established);
    let table = plane.maps().flow_table(Table::Established);
    assert_eq!((table.capacity(), table.buckets()), (5_000, 8_192));
    // With room for one flow, most buckets of two need more of it.
    for part in [1, 7, 256, 100_000] {
        assert_eq!(met(table.walk(0, part)), all, "{part} at a time");
        assert_eq!(met(table.walk_by_keys(part)), all, "{part} keys at a time");
    }
    halves(table, &all);
    let pending = plane.maps().flow_table(Table::Pending);
    assert_eq!(met(pending.walk(0, 10)), BTreeMap::new());
}

#[test]
fn a_walk_meets_every_pending_flow_once() {
    let netns = Netns::new("walksp").expect("a namespace");
    // So many sets that none is full.
    let mut plane = plane(&netns, 1_024, 65_541);
    let mut all = fill(&mut plane, Table::Pending);
    let table = plane.maps().flow_table(Table::Pending).clone();
    assert_eq!((table.capacity(), table.buckets()), (65_541, 8_192));
    for part in [1, 7, 256, 100_000] {
        assert_eq!(met(table.walk(0, part)), all, "{part} at a time");
        assert_eq!(met(table.walk_by_keys(part)), all, "{part} at a time");
    }
    halves(&table, &all);
    for number in (0..FLOWS).step_by(2) {
        assert!(plane.maps().flow(Table::Pending, &key(number)).is_some());
        let removed = plane.maps_mut().remove_flow(Table::Pending, &key(number));
        removed.expect("there");
        assert_eq!(plane.maps().flow(Table::Pending, &key(number)), None);
        all.remove(&u64::from(number));
    }
    assert_eq!(met(table.walk(0, 100)), all);
    assert_eq!(plane.maps().flow_keys(Table::Pending).len(), all.len());
    let again = plane.maps_mut().remove_flow(Table::Pending, &key(0));
    assert!(again.expect_err("gone").to_string().contains("not there"));
}
