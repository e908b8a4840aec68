//! Tests of slots: what they mean, when they are taken again, and whose clients are judged.

use splitter_common::{layout::COUNTERS, weight::Weight};

use super::*;
use crate::model::tests::{service_of, version_of};

/// A service whose versions, the baseline first, have these weights beside it.
fn service(others: &[(&str, &str)]) -> Service {
    let others = others.iter().map(|(name, weight)| {
        let weight = Weight::parse(weight).expect("a weight");
        version_of(name, false, weight.ppm())
    });
    let mut versions = vec![version_of("stable", true, 0)];
    versions.extend(others);
    service_of(versions)
}

/// Numbers of versions by their place, with `born` for the canary.
fn numbers(service: &Service, born: u32) -> BTreeMap<String, VersionNumber> {
    let number = |(index, version): (usize, &crate::model::Version)| {
        let number = VersionNumber {
            index: index as u8,
            born: if version.name == "canary" { born } else { 1 },
            retired: [0; COUNTERS],
        };
        (version.name.clone(), number)
    };
    service.versions.iter().enumerate().map(number).collect()
}

fn weighed(judged: Judged, weight: &str, commit: u32) -> Judged {
    let service = service(&[("canary", weight)]);
    let versions = numbers(&service, 1);
    judged.with_weights(&service, &versions, commit)
}

#[test]
fn every_set_of_weights_has_a_slot_and_goes_on_in_it_when_it_comes_back() {
    let judged = weighed(Judged::begin(3, 5), "1%", 5);
    assert_eq!((judged.slot(), judged.slots_born()[0]), (0, 5));
    let judged = weighed(judged, "5%", 8);
    assert_eq!((judged.slot(), judged.slots_born()[1]), (1, 8));
    let back = weighed(judged, "1%", 9);
    assert_eq!((back.slot(), back.slots_born()[0]), (0, 5));
    assert_eq!(back.slots_born()[2], u32::MAX, "means nothing yet");
    // A commit that changes no weight changes no slot.
    assert_eq!(weighed(back.clone(), "1%", 10), back);
}

#[test]
fn a_version_that_was_replaced_gets_another_slot_at_the_same_weight() {
    let service = service(&[("canary", "1%")]);
    let judged = weighed(Judged::begin(0, 5), "1%", 5);
    let replaced = judged.with_weights(&service, &numbers(&service, 6), 6);
    assert_eq!((replaced.slot(), replaced.slots.len()), (1, 2));
}

#[test]
fn when_all_slots_mean_something_the_one_out_of_force_for_longest_is_taken() {
    let mut judged = Judged::begin(0, 1);
    for commit in 1..=SLOTS as u32 {
        judged = weighed(judged, &format!("{commit}%"), commit);
    }
    // The first weights come back, so those that came second have been out of force for longest.
    judged = weighed(judged, "1%", 40);
    judged = weighed(judged, "99%", 41);
    assert_eq!((judged.slot(), judged.slots.len()), (1, SLOTS));
    assert_eq!(judged.slots_born()[1], 41, "nothing decided before counts");
    assert_eq!(judged.slots_born()[0], 1);
}

#[test]
fn clients_in_the_reach_of_a_third_version_are_not_judged_in_that_release() {
    let judged = weighed(Judged::begin(0, 1), "50%", 1);
    assert_eq!(judged.until(), u32::MAX);
    let third = |judged: Judged, weight: &str, commit| {
        let service = service(&[("canary", "0%"), ("probe", weight)]);
        let versions = numbers(&service, 1);
        judged.with_weights(&service, &versions, commit)
    };
    let judged = third(judged, "25%", 2);
    let at = f64::from(judged.until()) / f64::from(u32::MAX);
    assert!((at - 0.75).abs() < 1e-6, "{at}");
    // It had that weight once: who was its client then stays out.
    let less = third(judged.clone(), "5%", 3);
    assert_eq!(less.until(), judged.until());
    // Weights that come back while others are judged are not what they were.
    let again = third(less.clone(), "25%", 4);
    assert_eq!(again.slot(), judged.slot());
    let fewer = third(third(again.clone(), "40%", 5), "25%", 6);
    assert_ne!(fewer.slot(), judged.slot());
    let all = third(judged, "100%", 4);
    assert_eq!(all.until(), 0);
    let told = |slot: usize| (all.slots[slot].rho("canary"), all.slots[slot].third_ppm);
    assert_eq!(told(0), (0.5, 0));
    assert_eq!(told(1), (0.0, 250_000));
    // The canary has all who are judged: 75 % of the line.
    let over = service(&[("canary", "90%"), ("probe", "5%")]);
    let over = less.with_weights(&over, &numbers(&over, 1), 7);
    assert_eq!(over.slots.last().map(|slot| slot.rho("canary")), Some(1.0));
}

#[test]
fn what_cannot_be_compared_is_not_judged() {
    let with = |count: usize| {
        let others: Vec<(String, &str)> = (1..count).map(|at| (format!("v{at}"), "1%")).collect();
        let others: Vec<_> = others
            .iter()
            .map(|(name, weight)| (name.as_str(), *weight))
            .collect();
        can_be_judged(&service(&others))
    };
    assert_eq!(with(1), Err(NotJudged::OneVersion));
    assert_eq!(with(2), Ok(()));
    assert_eq!(with(3), Ok(()));
    assert_eq!(with(4), Err(NotJudged::ManyVersions));
}
