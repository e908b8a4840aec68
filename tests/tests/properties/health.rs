//! Properties of health: whoever is in or out of the tables, nobody changes version, and little is
//! disturbed inside one.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};
use splitter_common::{layout::BackendRow, maglev};
use splitter_tests::spec::run::fixed_secret;
use splitter_user::{
    health::{Standing, serve},
    model::{AdminState, Backend, Config, OnEmpty},
    plan::{Image, Numbers},
};

use crate::lab::{assigned, cases, config, decision, plan, service};

const HOUSE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// `config` as it is served when the backends with these last bytes are unhealthy, draining or in
/// a slow start.
fn served(config: &Config, before: &Numbers, ill: &[u8], draining: &[u8], slow: &[u8]) -> Config {
    let mut served = config.clone();
    for service in &mut served.services {
        let last = before
            .services
            .get(&service.name)
            .map(|given| &*given.applied);
        *service = serve(service, last, |_, backend| {
            standing(backend, ill, draining, slow)
        })
        .service
        .into();
    }
    served
}

fn standing(backend: &Backend, ill: &[u8], draining: &[u8], slow: &[u8]) -> Standing {
    let is_among = |some: &[u8]| {
        let address = backend.address.to_string();
        some.iter()
            .any(|last| address.ends_with(&format!(".{last}")))
    };
    Standing {
        admin: if is_among(draining) {
            AdminState::Draining
        } else {
            AdminState::Active
        },
        healthy: !is_among(ill),
        parts: if is_among(slow) {
            3
        } else {
            Standing::GOOD.parts
        },
    }
}

fn some() -> impl Strategy<Value = Vec<u8>> {
    subsequence(HOUSE.to_vec(), 0..=HOUSE.len())
}

proptest! {
    #![proptest_config(cases(48))]

    /// Of three versions with three ways to be empty, whatever becomes of their backends.
    #[test]
    fn health_moves_nobody_between_versions(
        (ill, draining, slow) in (some(), some(), some()),
        on_empty in prop::sample::select(vec![OnEmpty::Baseline, OnEmpty::Keep, OnEmpty::Drop]),
        (canary, beta) in (0..=60u32, 0..=40u32),
        first in any::<u32>(),
    ) {
        let secret = fixed_secret().expect("a secret");
        let mut wanted = service(&[
            ("stable", "", &HOUSE),
            ("canary", &format!("{canary}%"), &HOUSE[..2]),
            ("beta", &format!("{beta}%"), &HOUSE[4..8]),
        ]);
        wanted.services[0].versions[1].on_empty = Some(on_empty);
        let (numbers, image) = plan(&wanted, &Numbers::default(), &secret);
        let served = served(&wanted, &numbers, &ill, &draining, &slow);
        let (later, changed) = plan(&served, &numbers, &secret);
        for client in (0..500).map(|n| first.wrapping_add(n)) {
            prop_assert_eq!(
                assigned(&image, &numbers, client),
                assigned(&changed, &later, client)
            );
        }
        // Open flows go on: every backend has its number and its row.
        let (one, two) = (&numbers.services["shop"], &later.services["shop"]);
        prop_assert_eq!(&one.backends, &two.backends);
        // But for who leaves, which is an operator's word on open flows.
        let rows = |image: &Image| -> Vec<BackendRow> {
            let rows = image.backends.values();
            rows.map(|row| BackendRow { leaving: 0, ..*row }).collect()
        };
        prop_assert_eq!(rows(&image), rows(&changed));
        prop_assert_eq!(&image.endpoints, &changed.endpoints);
        // A table never takes more room than the file's check has counted.
        let pages = |image: &Image| -> u32 {
            let tables = image.services.values().flat_map(|each| each.tables.values());
            tables.map(|cells| maglev::pages_for(cells.len() as u32)).sum()
        };
        prop_assert!(pages(&changed) <= pages(&image));
    }

    /// Clients of a backend that stays in its table keep it, but for few: one in eight when one of
    /// twelve goes.
    #[test]
    fn an_unhealthy_backend_disturbs_few_others(ill in 1..=12u8, first in any::<u32>()) {
        let secret = fixed_secret().expect("a secret");
        let wanted = config("30%", &HOUSE, &[21]);
        let (numbers, image) = plan(&wanted, &Numbers::default(), &secret);
        let served = served(&wanted, &numbers, &[ill], &[], &[]);
        let (later, changed) = plan(&served, &numbers, &secret);
        let lost = format!("10.2.0.{ill}:80");
        let mut others = 0;
        for client in (0..4_000).map(|n| first.wrapping_add(n)) {
            let (before, after) = (
                decision(&image, &numbers, client).1,
                decision(&changed, &later, client).1,
            );
            prop_assert_ne!(&after, &lost);
            others += u32::from(before != lost && before != after);
        }
        prop_assert!(others < 4_000 / 8, "{} clients of other backends moved", others);
    }
}

/// An empty version's clients are the baseline's guests, spread over all of it, and are their own
/// version's again when a backend is back.
#[test]
fn an_empty_version_is_served_as_its_on_empty_says() {
    let secret = fixed_secret().expect("a secret");
    let mut wanted = config("30%", &[1, 2, 3], &[21, 22]);
    let (numbers, image) = plan(&wanted, &Numbers::default(), &secret);
    let canary = usize::from(numbers.services["shop"].versions["canary"].index);
    let owners = |image: &Image| -> BTreeSet<String> {
        let shop = &image.services[&u32::from(numbers.services["shop"].number)];
        let cells = shop.tables.get(&(canary, 0)).into_iter().flatten();
        let name = |cell: &u16| numbers.services["shop"].backend_name(u32::from(*cell));
        cells
            .map(|cell| name(cell).expect("known").1.to_owned())
            .collect()
    };
    let own = ["10.2.1.21:80", "10.2.1.22:80"].map(str::to_owned);
    assert_eq!(owners(&image), own.clone().into());
    let guests = [1, 2, 3].map(|last| format!("10.2.0.{last}:80"));
    for (on_empty, expected) in [
        (OnEmpty::Baseline, guests.into()),
        (OnEmpty::Keep, own.into()),
        (OnEmpty::Drop, BTreeSet::new()),
    ] {
        wanted.services[0].versions[1].on_empty = Some(on_empty);
        let served = served(&wanted, &numbers, &[21, 22], &[], &[]);
        let (_, empty) = plan(&served, &numbers, &secret);
        assert_eq!(owners(&empty), expected, "{on_empty}");
    }
    // Two hundred servers do not fit a table of one page evenly; one page it stays.
    let many: Vec<u8> = (1..=200).collect();
    let wanted = config("30%", &many, &[201, 202]);
    let (numbers, _) = plan(&wanted, &Numbers::default(), &secret);
    let served = served(&wanted, &numbers, &[201, 202], &[], &[]);
    let (later, image) = plan(&served, &numbers, &secret);
    let shop = &image.services[&u32::from(later.services["shop"].number)];
    assert_eq!(shop.tables[&(canary, 0)].len(), 1_021);
}

/// The commit for health writes its service alone.
#[test]
fn health_of_one_service_leaves_the_others_as_they_stand() {
    let secret = fixed_secret().expect("a secret");
    let mut wanted = config("30%", &[1, 2, 3], &[21, 22]);
    let mut other = config("30%", &[31, 32], &[41]).services.remove(0);
    (other.name, other.vips[0].port) = ("till".to_owned(), 81);
    wanted.services.push(other);
    let (numbers, _) = plan(&wanted, &Numbers::default(), &secret);
    let served = served(&wanted, &numbers, &[21], &[], &[]);
    let next = numbers
        .next(&served, &secret, &splitter_tests::cells::nothing_counted())
        .expect("numbers");
    let image = Image::changes(&served, &next, &secret, numbers.generation).expect("an image");
    let names: Vec<&str> = image
        .services
        .values()
        .map(|each| each.name.as_str())
        .collect();
    assert_eq!((names, image.standing.len()), (vec!["shop"], 1));
    assert!(
        next.services["shop"].divides_like(&numbers.services["shop"]),
        "shares count on"
    );
}
