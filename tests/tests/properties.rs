//! Properties of the split law, the plan and Maglev, over many inputs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use proptest::prelude::*;
use splitter_common::{
    address::Address,
    decide::{Question, decide},
    layout::Counter,
    split::Cuts,
    weight::{WHOLE_PPM, Weight},
};
use splitter_tests::spec::run::fixed_secret;
use splitter_user::{
    config::parse_str,
    model::{Backend, Config},
    plan::{Image, Numbers, PlanError},
    secret::Secret,
};

fn config(canary: &str, stable: &[u8], canary_backends: &[u8]) -> Config {
    let list = |last: &[u8]| {
        let all: Vec<String> = last
            .iter()
            .map(|last| format!("\"10.2.0.{last}:80\""))
            .collect();
        all.join(", ")
    };
    let text = format!(
        "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
         [service.shop.version.stable]\nbaseline = true\nbackends = [{}]\n\
         [service.shop.version.canary]\nweight = \"{canary}\"\nbackends = [{}]\n",
        list(stable),
        list(canary_backends)
    );
    parse_str("test.toml", &text).expect("a valid configuration")
}

fn plan(config: &Config, before: &Numbers, secret: &Secret) -> (Numbers, Image) {
    let numbers = before.next(config, secret, |_| [0; 16]).expect("numbers");
    let image = Image::build(config, &numbers, secret).expect("an image");
    (numbers, image)
}

fn question(client: u32) -> Question {
    let client = Address::from(IpAddr::V4(Ipv4Addr::from(client)));
    Question {
        client,
        client_port: (client.0[1] >> 33) as u16,
        port: 80,
        protocol: 6,
    }
}

/// Version name and backend address of a client.
fn decision(image: &Image, numbers: &Numbers, client: u32) -> (String, String) {
    let service = &image.services[&0];
    let decided = decide(&service.row, &question(client));
    let given = &numbers.services["shop"];
    let number = service.tables[&(decided.version, 0)][decided.cell as usize];
    let (version, backend) = given
        .backend_name(u32::from(number))
        .expect("a known backend");
    assert_eq!(given.version_name(decided.version as u8), Some(version));
    (version.to_owned(), backend.to_owned())
}

/// Pearson's statistic; `freedom` + 4 * sqrt(2 * `freedom`) is far beyond any honest chance.
fn chi_square(counts: &[(f64, f64)]) -> f64 {
    counts
        .iter()
        .map(|(seen, wanted)| (seen - wanted).powi(2) / wanted)
        .sum()
}

fn weights(versions: usize) -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0..=WHOLE_PPM, versions).prop_map(|raw| {
        // Scaled so that the non-baseline ones fit 100 %.
        let sum: u64 = raw[1..]
            .iter()
            .map(|ppm| u64::from(*ppm))
            .sum::<u64>()
            .max(1);
        let scale = |ppm: u32| {
            (u64::from(ppm) * u64::from(WHOLE_PPM) / sum.max(u64::from(WHOLE_PPM))) as u32
        };
        std::iter::once(0)
            .chain(raw[1..].iter().map(|ppm| scale(*ppm)))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Raising a weight only adds to that version, out of the baseline; with two or three
    /// versions nobody else moves.
    #[test]
    fn growing_only_adds(
        (weights, grown) in (2usize..=3).prop_flat_map(|n| (weights(n), 1..n)),
        more in 0..=WHOLE_PPM,
        clients in proptest::collection::vec(any::<u32>(), 200),
    ) {
        let before = Cuts::new(&weights, 0).expect("valid");
        let taken: u32 = weights[1..].iter().sum();
        let mut raised = weights.clone();
        raised[grown] += more % (WHOLE_PPM - taken + 1);
        let after = Cuts::new(&raised, 0).expect("valid");
        for u in clients {
            let (from, to) = (before.version_of(u), after.version_of(u));
            prop_assert!(from == to || (from == 0 && to == grown), "{u}: {from} -> {to}");
        }
    }

    /// Each version owns its weight of the line, to the nearest of 2^32 steps, up to 8 versions.
    #[test]
    fn every_version_owns_its_weight(weights in (1usize..=8).prop_flat_map(weights)) {
        let cuts = Cuts::new(&weights, 0).expect("valid");
        let mut owned = vec![0u64; weights.len()];
        for (version, first, last) in cuts.intervals() {
            owned[version] += u64::from(last - first) + 1;
            prop_assert_eq!(cuts.version_of(first), version);
            prop_assert_eq!(cuts.version_of(last), version);
        }
        prop_assert_eq!(owned.iter().sum::<u64>(), 1 << 32);
        for (version, ppm) in weights.iter().enumerate().skip(1) {
            let exact = u64::from(*ppm) as f64 * (1u64 << 32) as f64 / f64::from(WHOLE_PPM);
            prop_assert!((owned[version] as f64 - exact).abs() <= 1.0);
        }
    }

    /// A weight prints as what it reads.
    #[test]
    fn weights_survive_their_text(ppm in 0..=WHOLE_PPM) {
        let weight = Weight::from_ppm(ppm).expect("within");
        prop_assert_eq!(Weight::parse(&weight.to_string()), Ok(weight));
    }
}

#[test]
fn shares_follow_the_weights() {
    let secret = fixed_secret().expect("a secret");
    for (text, share) in [("1%", 0.01), ("10%", 0.1), ("50%", 0.5)] {
        let (numbers, image) = plan(&config(text, &[11], &[13]), &Numbers::default(), &secret);
        let clients = 100_000u32;
        let canary = (0..clients)
            .filter(|client| decision(&image, &numbers, 0x0a64_0000 + client).0 == "canary")
            .count() as f64;
        let wanted = f64::from(clients) * share;
        let rest = f64::from(clients) - wanted;
        let statistic = chi_square(&[(canary, wanted), (f64::from(clients) - canary, rest)]);
        // One degree of freedom: 15.1 is a chance of 1 in 10,000.
        assert!(
            statistic < 15.1,
            "{text}: {canary} canary clients, chi-square {statistic}"
        );
    }
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
fn churn_of_backends_moves_nobody_between_versions() {
    let secret = fixed_secret().expect("a secret");
    let base = config("10%", &[11, 12], &[21, 22]);
    let (numbers, image) = plan(&base, &Numbers::default(), &secret);
    let changes = [
        config("10%", &[11, 12], &[21]),
        config("10%", &[11, 12], &[21, 22, 23]),
        config("10%", &[11, 12], &[31, 32]),
        config("10%", &[11], &[21, 22]),
        config("10%", &[41, 42, 43], &[21, 22]),
    ];
    for changed in &changes {
        let (later, after) = plan(changed, &numbers, &secret);
        for client in 0..20_000 {
            let client = 0x0a64_0000 + client;
            let (before, _) = decision(&image, &numbers, client);
            assert_eq!(before, decision(&after, &later, client).0);
        }
    }
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

#[test]
fn hosts_of_different_history_decide_alike() {
    let secret = fixed_secret().expect("a secret");
    let wanted = config("30%", &[11, 12, 13], &[21, 22]);
    let (fresh, image) = plan(&wanted, &Numbers::default(), &secret);
    let mut old = Numbers::default();
    for past in [
        config("0%", &[1, 2, 3, 13], &[4]),
        config("0%", &[22], &[11, 5, 6]),
    ] {
        old = plan(&past, &old, &secret).0;
    }
    let (old, other) = plan(&wanted, &old, &secret);
    assert_ne!(
        fresh.services["shop"].backends, old.services["shop"].backends,
        "other numbers"
    );
    for client in 0..20_000 {
        assert_eq!(
            decision(&image, &fresh, client),
            decision(&other, &old, client)
        );
    }
}

#[test]
fn the_salt_changes_only_while_the_baseline_has_everybody() {
    let secret = fixed_secret().expect("a secret");
    let (numbers, _) = plan(&config("5%", &[11], &[21]), &Numbers::default(), &secret);
    let renamed = |weight: &str| {
        let mut config = config(weight, &[11], &[21]);
        config.services[0].release = "2".to_owned();
        config
    };
    let refused = numbers.next(&renamed("5%"), &secret, |_| [0; 16]);
    assert!(
        matches!(
            refused,
            Err(PlanError::SaltInUse {
                what: "the release",
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(numbers.next(&renamed("0%"), &secret, |_| [0; 16]).is_ok());
}

#[test]
fn totals_of_a_version_outlive_its_backends() {
    let secret = fixed_secret().expect("a secret");
    let (first, _) = plan(&config("5%", &[11], &[21]), &Numbers::default(), &secret);
    let gone = first.services["shop"].backends["canary"]["10.2.0.21:80"].number;
    // The kernel's cells are never cleared; a number's next owner begins where they stand.
    let cells = |number: u32| if number == gone { [7; 16] } else { [0; 16] };
    let second = first
        .next(&config("5%", &[11], &[22]), &secret, cells)
        .expect("numbers");
    let canary = second.services["shop"].versions["canary"];
    assert_eq!(canary.retired[Counter::NewFlows as usize], 7);
    let unchanged = second
        .next(&config("5%", &[11], &[22]), &secret, cells)
        .expect("numbers");
    assert_eq!(unchanged, second, "the same configuration is no commit");
}

#[test]
fn a_backend_keeps_its_number_and_a_new_one_gets_another() {
    let secret = fixed_secret().expect("a secret");
    let (first, _) = plan(
        &config("5%", &[11, 12], &[21]),
        &Numbers::default(),
        &secret,
    );
    let (second, _) = plan(&config("5%", &[12, 13], &[21]), &first, &secret);
    let stable = |numbers: &Numbers| numbers.services["shop"].backends["stable"].clone();
    assert_eq!(
        stable(&first)["10.2.0.12:80"],
        stable(&second)["10.2.0.12:80"]
    );
    let (old, new) = (
        stable(&first)["10.2.0.11:80"],
        stable(&second)["10.2.0.13:80"],
    );
    assert!(new.number != old.number && new.born == second.generation);
    let portless = Backend {
        address: IpAddr::from([10, 0, 0, 1]),
        port: None,
        weight: 1,
    };
    assert!(
        second.services["shop"]
            .backend("stable", &portless)
            .is_err()
    );
}
