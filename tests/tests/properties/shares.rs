//! Properties of shares: who gets how many clients, and whom a change of backends moves.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::subsequence};
use splitter_tests::spec::run::fixed_secret;
use splitter_user::plan::Numbers;

use crate::lab::{cases, chi_square, config, decision, plan, service, version};

const CLIENTS: u32 = 100_000;

#[test]
fn shares_follow_the_weights() {
    let secret = fixed_secret().expect("a secret");
    for (text, share) in [("1%", 0.01), ("10%", 0.1), ("50%", 0.5)] {
        let (numbers, image) = plan(&config(text, &[11], &[13]), &Numbers::default(), &secret);
        let canary = (0..CLIENTS)
            .filter(|client| version(&image, &numbers, 0x0a64_0000 + client) == "canary")
            .count() as f64;
        let wanted = f64::from(CLIENTS) * share;
        let rest = f64::from(CLIENTS) - wanted;
        let statistic = chi_square(&[(canary, wanted), (f64::from(CLIENTS) - canary, rest)]);
        // One degree of freedom: 15.1 is a chance of 1 in 10,000.
        assert!(
            statistic < 15.1,
            "{text}: {canary} canary clients, chi-square {statistic}"
        );
    }
}

#[test]
fn three_versions_share_by_their_weights() {
    let secret = fixed_secret().expect("a secret");
    let three = service(&[
        ("stable", "", &[11]),
        ("canary", "5%", &[12]),
        ("beta", "20%", &[13]),
    ]);
    let (numbers, image) = plan(&three, &Numbers::default(), &secret);
    let mut seen = BTreeMap::<String, f64>::new();
    for client in 0..CLIENTS {
        *seen
            .entry(version(&image, &numbers, 0x0a64_0000 + client))
            .or_default() += 1.0;
    }
    let wanted = [("stable", 0.75), ("canary", 0.05), ("beta", 0.2)];
    let pairs = wanted.map(|(name, share)| (seen[name], f64::from(CLIENTS) * share));
    // Two degrees of freedom: 18.4 is a chance of 1 in 10,000.
    assert!(chi_square(&pairs) < 18.4, "{seen:?}");
}

#[test]
fn the_backends_of_a_small_version_share_its_clients_evenly() {
    let secret = fixed_secret().expect("a secret");
    let backends = [13, 14, 15, 16, 17];
    let (numbers, image) = plan(
        &config("1%", &[11], &backends),
        &Numbers::default(),
        &secret,
    );
    let mut counts = BTreeMap::<String, f64>::new();
    for client in 0..1_000_000 {
        let (version, backend) = decision(&image, &numbers, 0x0a00_0000 + client);
        if version == "canary" {
            *counts.entry(backend).or_default() += 1.0;
        }
    }
    assert_eq!(counts.len(), backends.len());
    let wanted = counts.values().sum::<f64>() / backends.len() as f64;
    let pairs: Vec<(f64, f64)> = counts.values().map(|seen| (*seen, wanted)).collect();
    let statistic = chi_square(&pairs);
    // Four degrees of freedom: 23.5 is a chance of 1 in 10,000.
    assert!(statistic < 23.5, "{counts:?}, chi-square {statistic}");
}

#[test]
fn losing_a_backend_disturbs_its_own_clients_and_few_others() {
    let secret = fixed_secret().expect("a secret");
    let all: Vec<u8> = (11..21).collect();
    let (numbers, image) = plan(&config("0%", &all, &[99]), &Numbers::default(), &secret);
    let (later, after) = plan(&config("0%", &all[..9], &[99]), &numbers, &secret);
    let lost = "10.2.0.20:80";
    let (mut own, mut others) = (0, 0);
    for client in 0..20_000 {
        let before = decision(&image, &numbers, client).1;
        if before == lost {
            own += 1;
        } else if before != decision(&after, &later, client).1 {
            others += 1;
        }
    }
    assert!((1_600..2_400).contains(&own), "{own}");
    assert!(
        others < 20_000 / 12,
        "{others} clients of other backends moved"
    );
}

/// Some backends of one version.
fn backends() -> impl Strategy<Value = Vec<u8>> {
    subsequence((1..=12).collect::<Vec<u8>>(), 1..=12)
}

proptest! {
    #![proptest_config(cases(48))]

    /// Whatever backends come, go or are replaced, in however many versions at once: nobody
    /// changes version.
    #[test]
    fn churn_of_backends_moves_nobody_between_versions(
        before in (backends(), backends(), backends()),
        after in (backends(), backends(), backends()),
        (canary, beta) in (0..=60u32, 0..=40u32),
        first in any::<u32>(),
    ) {
        let secret = fixed_secret().expect("a secret");
        let (canary, beta) = (format!("{canary}%"), format!("{beta}%"));
        let of = |(a, b, c): &(Vec<u8>, Vec<u8>, Vec<u8>)| {
            service(&[("stable", "", a), ("canary", &canary, b), ("beta", &beta, c)])
        };
        let (numbers, image) = plan(&of(&before), &Numbers::default(), &secret);
        let (later, changed) = plan(&of(&after), &numbers, &secret);
        for client in (0..500).map(|n| first.wrapping_add(n)) {
            prop_assert_eq!(
                version(&image, &numbers, client),
                version(&changed, &later, client)
            );
        }
    }

    /// When another version's backends change, every client of this one keeps its backend: each
    /// version has a table of its own.
    #[test]
    fn another_versions_backends_move_nobody_inside_this_one(
        stable in backends(),
        before in backends(),
        after in backends(),
        first in any::<u32>(),
    ) {
        let secret = fixed_secret().expect("a secret");
        let (numbers, image) = plan(&config("30%", &stable, &before), &Numbers::default(), &secret);
        let (later, changed) = plan(&config("30%", &stable, &after), &numbers, &secret);
        for client in (0..500).map(|n| first.wrapping_add(n)) {
            let (version, backend) = decision(&image, &numbers, client);
            if version == "stable" {
                prop_assert_eq!(backend, decision(&changed, &later, client).1);
            }
        }
    }
}
