//! Owns what the properties share: configurations by their backends, plans, decisions, statistics.

use std::net::{IpAddr, Ipv4Addr};

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};
use splitter_common::{
    address::Address,
    decide::{Question, decide},
};
use splitter_tests::cells::nothing_counted;
use splitter_user::{
    config::parse_str,
    model::Config,
    plan::{Image, Numbers},
    secret::Secret,
};

/// So many cases, always the same.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A service of versions by name, weight and the last bytes of their backends' addresses; the
/// first is the baseline, whose weight is the rest.
pub(crate) fn service(versions: &[(&str, &str, &[u8])]) -> Config {
    let mut text = "[[interface]]\nname = \"eth0\"\n[service.shop]\n\
                    vips = [\"203.0.113.10:80/tcp\"]\n"
        .to_owned();
    for (position, (name, weight, last)) in versions.iter().enumerate() {
        let backends: Vec<String> = last
            .iter()
            .map(|last| format!("\"10.2.{position}.{last}:80\""))
            .collect();
        let share = match position {
            0 => "baseline = true".to_owned(),
            _ => format!("weight = \"{weight}\""),
        };
        text += &format!(
            "[service.shop.version.{name}]\n{share}\nbackends = [{}]\n",
            backends.join(", ")
        );
    }
    parse_str("test.toml", &text).expect("a valid configuration")
}

/// A stable version and a canary.
pub(crate) fn config(canary: &str, stable: &[u8], canary_backends: &[u8]) -> Config {
    service(&[("stable", "", stable), ("canary", canary, canary_backends)])
}

/// The next numbers and their image, with counters that stand at 0.
pub(crate) fn plan(config: &Config, before: &Numbers, secret: &Secret) -> (Numbers, Image) {
    let numbers = before
        .next(config, secret, &nothing_counted())
        .expect("numbers");
    let image = Image::build(config, &numbers, secret).expect("an image");
    (numbers, image)
}

fn question(client: u32) -> Question {
    Question {
        client: Address::from(IpAddr::V4(Ipv4Addr::from(client))),
        client_port: client as u16,
        port: 80,
        protocol: 6,
    }
}

/// Version name and backend address of a client.
pub(crate) fn decision(image: &Image, numbers: &Numbers, client: u32) -> (String, String) {
    let given = &numbers.services["shop"];
    let service = &image.services[&u32::from(given.number)];
    let decided = decide(&service.row, &question(client), 0);
    let number = service.tables[&(decided.version, 0)][decided.cell as usize];
    let (version, backend) = given
        .backend_name(u32::from(number))
        .expect("a known backend");
    assert_eq!(given.version_name(decided.version as u8), Some(version));
    (version.to_owned(), backend.to_owned())
}

/// The version that the split law gives a client, whoever serves it.
pub(crate) fn assigned(image: &Image, numbers: &Numbers, client: u32) -> String {
    let given = &numbers.services["shop"];
    let number = u32::from(given.number);
    let decided = decide(&image.services[&number].row, &question(client), 0);
    let version = given.version_name(decided.version as u8);
    version.expect("a known version").to_owned()
}

/// The version of a client alone.
pub(crate) fn version(image: &Image, numbers: &Numbers, client: u32) -> String {
    decision(image, numbers, client).0
}

/// Pearson's statistic of what was seen and what was wanted.
pub(crate) fn chi_square(counts: &[(f64, f64)]) -> f64 {
    counts
        .iter()
        .map(|(seen, wanted)| (seen - wanted).powi(2) / wanted)
        .sum()
}
