//! Properties of numbers: what hosts share, what a version keeps, and when the salt may change.

use std::net::IpAddr;

use splitter_common::{
    layout::{COUNTERS, Counter, Endpoint},
    weight::Weight,
};
use splitter_tests::{
    cells::{Cells, nothing_counted},
    spec::run::fixed_secret,
};
use splitter_user::{
    config::parse_str,
    model::{Backend, Condition, Config, PrefixSet, Segment, SplitKey},
    plan::{
        Image, InUse, Numbers, PlanError, Running,
        numbers::ServiceNumbers,
        recover::{InForce, recover},
    },
};

use crate::lab::{config, decision, plan, service};

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
    let refused = numbers.next(&renamed("5%"), &secret, &nothing_counted());
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
    assert!(
        numbers
            .next(&renamed("0%"), &secret, &nothing_counted())
            .is_ok()
    );
}

#[test]
fn clients_of_a_segment_are_not_drawn_anew_unless_all_are_in_one_version() {
    let secret = fixed_secret().expect("a secret");
    let with = |weight: &str, release: &str| {
        let mut config = config("0%", &[11], &[21]);
        let service = &mut config.services[0];
        service.release = release.to_owned();
        let weight = Weight::parse(weight).expect("a weight");
        service.segments = vec![Segment {
            name: "staff".to_owned(),
            condition: Condition::Prefix(PrefixSet::new(Vec::new())),
            weights: [("canary".to_owned(), weight)].into(),
        }];
        config
    };
    let next = |before: &str, after: &str| {
        let (numbers, _) = plan(&with(before, "1"), &Numbers::default(), &secret);
        numbers.next(&with(after, "2"), &secret, &nothing_counted())
    };
    let refused = next("30%", "30%").expect_err("refused").to_string();
    assert!(
        refused.contains("splitter weight set shop canary=0% --segment staff"),
        "{refused}"
    );
    for pinned in ["0%", "100%"] {
        next(pinned, pinned).expect("the hash decides nothing");
    }
}

#[test]
fn a_segment_keeps_its_place_whatever_comes_before_it() {
    let secret = fixed_secret().expect("a secret");
    let with = |names: &[&str]| {
        let mut config = config("0%", &[11], &[21]);
        let segment = |name: &&str| Segment {
            name: (*name).to_owned(),
            condition: Condition::Prefix(PrefixSet::new(Vec::new())),
            weights: Default::default(),
        };
        config.services[0].segments = names.iter().map(segment).collect();
        config
    };
    let (before, _) = plan(&with(&["a", "b"]), &Numbers::default(), &secret);
    let (after, image) = plan(&with(&["c", "b", "d"]), &before, &secret);
    let places = |numbers: &Numbers, names: &[&str]| -> Vec<u8> {
        let places = &numbers.services["shop"].segments;
        names.iter().map(|name| places[*name]).collect()
    };
    assert_eq!(places(&before, &["a", "b"]), [1, 2]);
    assert_eq!(places(&after, &["c", "b", "d"]), [1, 2, 3]);
    // They are asked in the order of the file.
    let segments = image
        .services
        .values()
        .next()
        .expect("a service")
        .row
        .segments;
    assert_eq!(segments.places[..3], [1, 2, 3]);
    let (_, image) = plan(&with(&["d", "b"]), &after, &secret);
    let segments = image
        .services
        .values()
        .next()
        .expect("a service")
        .row
        .segments;
    assert_eq!((segments.used, &segments.places[..2]), (2, &[3, 2][..]));
}

#[test]
fn a_version_with_clients_keeps_its_place() {
    let secret = fixed_secret().expect("a secret");
    let stable = ("stable", "", &[11][..]);
    let canary = |weight| ("canary", weight, &[21][..]);
    let third = |weight| ("third", weight, &[31][..]);
    let before = service(&[stable, canary("5%"), third("20%")]);
    let (numbers, _) = plan(&before, &Numbers::default(), &secret);
    let next = |config: &Config| numbers.next(config, &secret, &nothing_counted());
    let swapped = service(&[stable, third("20%"), canary("5%")]);
    let removed = service(&[stable, third("20%")]);
    let crowned = service(&[canary(""), stable_as("75%"), third("20%")]);
    for refused in [&swapped, &removed, &crowned] {
        let error = next(refused);
        assert!(
            matches!(error, Err(PlanError::PlaceInUse { .. })),
            "{error:?}"
        );
    }
    let mut hashed = before.clone();
    hashed.services[0].key = SplitKey::Flow;
    assert!(matches!(
        next(&hashed),
        Err(PlanError::SaltInUse {
            what: "the key",
            ..
        })
    ));
    for fine in [
        &service(&[stable, canary("0%"), third("30%")]),
        &service(&[stable, canary("5%"), third("20%"), ("fourth", "1%", &[41])]),
        &service(&[stable, canary("5%")]),
        // Nobody is left to be moved.
        &service(&[stable, third("0%")]),
        &service(&[canary(""), stable_as("0%")]),
    ] {
        next(fine).expect("nobody is moved");
    }
}

fn stable_as(weight: &'static str) -> (&'static str, &'static str, &'static [u8]) {
    ("stable", weight, &[11])
}

#[test]
fn totals_of_a_version_outlive_its_backends() {
    let secret = fixed_secret().expect("a secret");
    let (first, _) = plan(&config("5%", &[11], &[21]), &Numbers::default(), &secret);
    let gone = first.services["shop"].backends["canary"]["10.2.1.21:80"].number;
    // The kernel's cells are never cleared; a number's next owner begins where they stand.
    let cells = Cells(|number| {
        if number == gone {
            [7; COUNTERS]
        } else {
            [0; COUNTERS]
        }
    });
    let second = first
        .next(&config("5%", &[11], &[22]), &secret, &cells)
        .expect("numbers");
    let canary = second.services["shop"].versions["canary"];
    assert_eq!(canary.retired[Counter::NewFlows as usize], 7);
    let unchanged = second
        .next(&config("5%", &[11], &[22]), &secret, &cells)
        .expect("numbers");
    assert_eq!(unchanged, second, "the same configuration is no commit");
}

/// The state is lost, or older than the kernel's tables: what these name is not given away.
#[test]
fn a_number_that_the_kernel_names_is_not_given() {
    let secret = fixed_secret().expect("a secret");
    let wanted = config("5%", &[11], &[21]);
    let given = Numbers::default()
        .next(&wanted, &secret, &Kernel)
        .expect("numbers");
    let shop = &given.services["shop"];
    let frontends: Vec<u16> = shop.frontends.values().map(|each| each.number).collect();
    let mut backends: Vec<u32> = given.backend_numbers().map(|each| each.number).collect();
    backends.sort_unstable();
    assert_eq!((shop.number, frontends), (2, vec![1]));
    assert_eq!(backends, [2, 4]);
}

/// Limits change with all tables alone: what they have no room for is given anew, the rest stays.
#[test]
fn a_number_beyond_smaller_limits_is_given_anew() {
    let secret = fixed_secret().expect("a secret");
    let wide = config("5%", &[11, 12, 13], &[21]);
    let (mut numbers, _) = plan(&wide, &Numbers::default(), &secret);
    // As if many had come and gone.
    let shop = numbers.services.get_mut("shop").expect("the service");
    shop.number = 900;
    for frontend in shop.frontends.values_mut() {
        frontend.number = 4_000;
    }
    let far = shop.backends.get_mut("canary").expect("the version");
    far.values_mut().for_each(|backend| backend.number = 30_000);
    numbers.cursor = 30_000;
    let mut narrow = wide.clone();
    (narrow.limits.services, narrow.limits.vips) = (1, 1);
    narrow.limits.backends = 4;
    let (next, image) = plan(&narrow, &numbers, &secret);
    let (old, new) = (&numbers.services["shop"], &next.services["shop"]);
    assert_eq!(old.backends["stable"], new.backends["stable"], "these fit");
    assert_eq!((new.number, new.born), (0, next.generation));
    let mut given: Vec<u32> = image.backends.keys().copied().collect();
    given.sort_unstable();
    assert_eq!(given, [1, 2, 3, 4]);
    assert_eq!(image.frontends.keys().copied().collect::<Vec<_>>(), [0]);
    narrow.limits.backends = 3;
    let refused = numbers.next(&narrow, &secret, &nothing_counted());
    let told = refused.expect_err("refused").to_string();
    assert!(told.contains("[limits] backends = 3"), "{told}");
}

struct Kernel;

impl Running for Kernel {
    fn cells(&self, _: u32) -> [u64; COUNTERS] {
        [0; COUNTERS]
    }

    fn in_use(&self) -> InUse {
        InUse {
            services: [0, 1].into(),
            frontends: [0].into(),
            backends: [1, 3].into(),
        }
    }
}

/// The kernel's tables alone give numbers, births and weights back, and refuse to guess.
#[test]
fn numbers_and_weights_are_read_back_from_what_is_in_force() {
    let secret = fixed_secret().expect("a secret");
    let stable: &[u8] = &[11, 12];
    let versions = [
        ("stable", "", stable),
        ("first", "33.3333%", &[21]),
        ("top", "0.0001%", &[31]),
    ];
    let running = service(&versions);
    let (numbers, image) = plan(&running, &Numbers::default(), &secret);
    let in_force = InForce {
        endpoints: image.endpoints.clone(),
        services: image
            .services
            .iter()
            .map(|(number, each)| (*number, each.row))
            .collect(),
        backends: image.backends.clone(),
    };
    let read = |config: &Config| recover(&config.services[0], &in_force, &secret);
    // The file's weights say nothing.
    let file = service(&[
        ("stable", "", stable),
        ("first", "1%", &[21]),
        ("top", "2%", &[31]),
    ]);
    let recovered = read(&file).expect("recovered").expect("it runs");
    let mut expected = ServiceNumbers::clone(&numbers.services["shop"]);
    expected.applied.vips.clear();
    // What its slots meant is not in the tables: evidence begins anew.
    expected.judged = None;
    assert_eq!(recovered.numbers, expected);
    // What the tables do not tell may have changed: the next commit writes the service anew.
    let mut before = numbers.clone();
    let shop = recovered.numbers.clone().into();
    before.services.insert("shop".to_owned(), shop);
    let (next, _) = plan(&running, &before, &secret);
    assert_eq!(next.services["shop"].generation, numbers.generation + 1);
    let weights: Vec<String> = recovered
        .weights
        .values()
        .map(ToString::to_string)
        .collect();
    assert_eq!(weights, ["33.3333%", "0.0001%"]);
    // All backends of the baseline are others: the row knows it.
    let replaced = service(&[
        ("stable", "", &[13]),
        ("first", "1%", &[21]),
        ("top", "2%", &[31]),
    ]);
    let recovered = read(&replaced).expect("recovered").expect("it runs");
    let index = |numbers: &ServiceNumbers| numbers.versions["stable"].index;
    assert_eq!(index(&recovered.numbers), index(&numbers.services["shop"]));
    for guess in [
        service(&[
            ("first", "", &[21]),
            ("stable", "1%", stable),
            ("top", "2%", &[31]),
        ]),
        service(&[
            ("stable", "", stable),
            ("top", "2%", &[31]),
            ("first", "1%", &[21]),
        ]),
        service(&[("stable", "", stable), ("first", "1%", &[21])]),
    ] {
        // Another order gives other addresses too; see `service`.
        let error = read(&guess);
        assert!(
            matches!(error, Err(PlanError::Unrecoverable { .. })),
            "{error:?}"
        );
    }
}

/// Its replies must be known as its new service's before that service chooses it.
#[test]
fn a_service_that_takes_over_a_backend_is_an_heir() {
    let secret = fixed_secret().expect("a secret");
    let services = |a: &str, b: &str| {
        let mut text = "[[interface]]\nname = \"eth0\"\n".to_owned();
        for (name, vip, backend) in [("a", 1, a), ("b", 2, b)] {
            text += &format!(
                "[service.{name}]\nvips = [\"203.0.113.{vip}:80/tcp\"]\n\
                 [service.{name}.version.stable]\nbaseline = true\nbackends = [\"{backend}\"]\n"
            );
        }
        parse_str("test.toml", &text).expect("a valid configuration")
    };
    let (numbers, before) = plan(
        &services("10.2.0.11:80", "10.2.0.12:80"),
        &Numbers::default(),
        &secret,
    );
    let moved = services("10.2.0.13:80", "10.2.0.11:80");
    let (numbers, after) = plan(&moved, &numbers, &secret);
    let b = u32::from(numbers.services["b"].number);
    assert_eq!(after.heirs(&before.endpoints), [b].into());
    assert!(after.heirs(&after.endpoints).is_empty());
    // Before the rows: what stands, and the one backend whose address and port are new.
    let early = after.with_new_backends(&before.endpoints);
    assert_eq!(early[..before.endpoints.len()], before.endpoints);
    let a = &numbers.services["a"].backends["stable"]["10.2.0.13:80"];
    let new: Vec<u32> = early[before.endpoints.len()..]
        .iter()
        .map(|endpoint| endpoint.number)
        .collect();
    assert_eq!(new, [a.number]);
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
        stable(&first)["10.2.0.11:80"].clone(),
        stable(&second)["10.2.0.13:80"].clone(),
    );
    assert!(new.number != old.number && new.born == second.generation);
    let portless = Backend {
        address: IpAddr::from([10, 0, 0, 1]),
        port: None,
        weight: 1,
        leaving: false,
    };
    assert!(
        second.services["shop"]
            .backend("stable", &portless)
            .is_err()
    );
}

/// What a commit says of those that it does not change is their number alone; the directory knows all.
#[test]
fn the_directory_has_those_that_stand_and_those_that_change() {
    let secret = fixed_secret().expect("a secret");
    let services = |of: &[(&str, &str, &str)]| {
        let mut text = "[[interface]]\nname = \"eth0\"\n".to_owned();
        for (name, vip, backends) in of {
            text += &format!(
                "[service.{name}]\nvips = [\"203.0.113.{vip}/tcp\"]\n\
                 [service.{name}.version.stable]\nbaseline = true\nbackends = [{backends}]\n"
            );
        }
        parse_str("test.toml", &text).expect("a valid configuration")
    };
    let [a, b] = [
        ("a", "1:80", "\"10.2.0.1:80\", \"10.2.0.2:80\""),
        ("b", "1:81", "\"10.2.0.3:80\""),
    ];
    let mut in_force = Vec::new();
    let mut numbers = Numbers::default();
    for (of, changing) in [
        (vec![a, b], 2),
        (vec![a, b], 0),
        // Another service at the address of a VIP, another backend, one that goes, another VIP.
        (vec![a, b, ("c", "1:82", "\"10.2.0.4:80\"")], 1),
        (
            vec![
                a,
                ("b", "1:81", "\"10.2.0.5:80\""),
                ("c", "1:82", "\"10.2.0.4:80\""),
            ],
            1,
        ),
        (
            vec![
                ("b", "1:81", "\"10.2.0.5:80\""),
                ("c", "2:82", "\"10.2.0.4:80\""),
            ],
            1,
        ),
        (vec![("d", "2:82", "\"10.2.0.5:80\"")], 1),
    ] {
        let before = numbers.generation;
        let config = services(&of);
        let whole;
        (numbers, whole) = plan(&config, &numbers, &secret);
        let image = Image::changes(&config, &numbers, &secret, before).expect("an image");
        assert_eq!(image.services.len(), changing, "{of:?}");
        let sorted = |endpoints: &[Endpoint]| {
            let mut texts: Vec<String> = endpoints.iter().map(|each| format!("{each:?}")).collect();
            texts.sort_unstable();
            texts
        };
        let directory = image.directory(&in_force);
        assert_eq!(sorted(&directory), sorted(&whole.endpoints), "{of:?}");
        let same = sorted(&in_force) == sorted(&directory);
        assert_eq!(image.is_known(&in_force), same, "{of:?}");
        assert!(image.is_known(&directory) && whole.is_known(&directory));
        in_force = directory;
    }
}
