//! What is expanded is what is looked up, in both forms of records, and damage is an error.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::tests::mmdb::{from_texts, mmdb};

fn name(name: &str) -> Region {
    Region::Name(name.to_owned())
}

fn found(content: Vec<u8>, kind: RegionKind, region: Region) -> Vec<String> {
    let database = Database::new(content).expect("a database");
    let wanted = Wanted::from([(kind, region.clone())]);
    let found = database.find(&wanted, &BTreeSet::from([kind]));
    let found = found.expect("whole");
    let prefixes = found.prefixes.get(&(kind, region));
    let prefixes = prefixes.into_iter().flatten();
    prefixes.map(ToString::to_string).collect()
}

/// A record in the form of MaxMind's databases of cities.
fn nested() -> Value {
    json!({
        "continent": {"code": "NA", "names": {"en": "North America"}},
        "country": {"iso_code": "US", "geoname_id": 6252001, "names": {"de": "USA", "en": "United States"}},
        "registered_country": {"iso_code": "DE"},
        "subdivisions": [{"iso_code": "CA", "names": {"en": "California"}}, {"iso_code": "SFO"}],
        "city": {"geoname_id": 5391959, "names": {"de": "San Franzisko", "en": "San Francisco"}},
        "location": {"latitude": 37.77, "accuracy_radius": 5},
    })
}

#[test]
fn both_forms_of_records_are_read() {
    let flat = json!({
        "country_code": "US", "state1": "California", "state2": "", "city": "San Francisco",
        "latitude": "37.77",
    });
    let asn = json!({
        "autonomous_system_number": 64500, "autonomous_system_organization": "Example",
    });
    let content = from_texts(&[
        ("192.0.2.0/25", nested()),
        ("2001:db8:1::/48", nested()),
        ("192.0.2.128/25", flat),
        ("198.51.100.0/24", asn),
        (
            "203.0.113.0/24",
            json!({"country": "FR", "state1": "", "city": ""}),
        ),
    ]);
    use RegionKind::{Asn, City, Country, Subdivision};
    let nested = ["192.0.2.0/25", "2001:db8:1::/48"];
    let both = [nested[0], "192.0.2.128/25", nested[1]];
    for (kind, region, prefixes) in [
        (Country, name("US"), both.as_slice()),
        (Country, name("DE"), &[]),
        (Country, name("FR"), &["203.0.113.0/24"]),
        (Subdivision, name("US-CA"), &nested),
        (Subdivision, name("US-SFO"), &nested),
        (Subdivision, name("US-California"), &["192.0.2.128/25"]),
        (City, Region::Number(5391959), &nested),
        (City, name("San Francisco"), &both),
        (City, name("San Francisco, US"), &both),
        (City, name("San Francisco, MX"), &[]),
        (Asn, Region::Number(64500), &["198.51.100.0/24"]),
    ] {
        assert_eq!(found(content.clone(), kind, region), prefixes);
    }
    let database = Database::new(content).expect("a database");
    assert_eq!((database.name(), database.built()), ("Test", 1_800_000_000));
    let told = |address: &str| {
        let told = database.look_up(address.parse().expect("an address"));
        told.expect("whole")
    };
    let (network, record) = told("192.0.2.5").expect("known");
    assert_eq!(network.to_string(), "192.0.2.0/25");
    let expected = Record {
        country: Some("US".to_owned()),
        country_name: Some("United States".to_owned()),
        subdivisions: vec!["US-CA".to_owned(), "US-SFO".to_owned()],
        city_number: Some(5391959),
        city: Some("San Francisco".to_owned()),
        asn: None,
        organization: None,
    };
    assert_eq!(record, expected);
    let (_, record) = told("198.51.100.9").expect("known");
    assert_eq!(record.organization.as_deref(), Some("Example"));
    assert_eq!(told("10.0.0.1"), None);
    assert_eq!(told("2001:db8:2::"), None);
}

#[test]
fn what_was_meant_is_guessed() {
    let country = |code: &str, name: &str| json!({"country": {"iso_code": code, "names": {"en": name}}, "subdivisions": [{"iso_code": "CA"}]});
    let content = from_texts(&[
        ("192.0.2.0/25", country("GB", "United Kingdom")),
        ("192.0.2.128/25", country("DE", "Germany")),
        ("198.51.100.0/24", country("US", "United States")),
        ("203.0.113.0/24", country("UA", "Ukraine")),
    ]);
    let database = Database::new(content).expect("a database");
    let meant = |kind, written: &str| {
        let wanted = (kind, name(written));
        let found = database.find(&Wanted::from([wanted.clone()]), &BTreeSet::new());
        found.expect("whole").meant.remove(&wanted)
    };
    for (written, expected) in [
        ("UK", Some("GB")),
        ("de", Some("DE")),
        ("germany", Some("DE")),
        ("DX", Some("DE")),
        ("Atlantis", None),
    ] {
        let guess = meant(RegionKind::Country, written);
        assert_eq!(guess.as_deref(), expected, "{written}");
    }
    assert_eq!(
        meant(RegionKind::Subdivision, "US-CAL").as_deref(),
        Some("US-CA")
    );
    assert!(meant(RegionKind::Subdivision, "CA").is_some_and(|guess| guess.ends_with("-CA")));
}

#[test]
fn what_is_said_of_all_is_said_of_ipv4_too() {
    let content = from_texts(&[("::/1", json!({"country_code": "XX"}))]);
    let all = found(content, RegionKind::Country, name("XX"));
    assert_eq!(all, ["::/1", "0.0.0.0/0"]);
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let text = |content: &[u8]| {
        let opened = Database::new(content.to_vec());
        opened.err().expect("no database")
    };
    assert!(text(b"country,DE").contains("no whole .mmdb file"));
    let content = from_texts(&[
        ("192.0.2.0/24", nested()),
        ("2001:db8::/32", json!({"country_code": "DE"})),
    ]);
    assert!(text(&content[..content.len() - 200]).contains("no whole .mmdb file"));
    let wanted = Wanted::from([(RegionKind::Country, name("DE"))]);
    let mut refused = 0;
    for at in 0..content.len() {
        for value in [0, 0xff, content[at] ^ 0x55] {
            let mut damaged = content.clone();
            damaged[at] = value;
            let read = Database::new(damaged);
            let read = read.and_then(|read| read.find(&wanted, &BTreeSet::new()));
            refused += usize::from(read.is_err());
        }
    }
    assert!(refused > content.len() / 4, "{refused}");
}

proptest! {
    /// What is expanded to a country has an address when a look-up says that country.
    #[test]
    fn prefixes_have_who_is_looked_up(
        networks in proptest::collection::vec((any::<u32>(), 1..=32u8, any::<bool>(), 0..3usize), 1..20),
        clients in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 20),
    ) {
        let codes = ["DE", "FR", "US"];
        let mut networks: Vec<(IpNet, Value)> = networks
            .iter()
            .map(|(address, bits, v6, country)| {
                let network = if *v6 {
                    let address = Ipv6Addr::from_bits(0x2001 << 112 | u128::from(*address) << 80);
                    IpNet::from(Ipv6Net::new_assert(address, 16 + bits))
                } else {
                    IpNet::from(Ipv4Net::new_assert(Ipv4Addr::from(*address), *bits))
                };
                (network.trunc(), json!({"country_code": codes[*country]}))
            })
            .collect();
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        networks.dedup_by_key(|(network, _)| *network);
        let database = Database::new(mmdb(&networks)).expect("a database");
        let wanted: Wanted = codes.map(|code| (RegionKind::Country, name(code))).into();
        let found = database.find(&wanted, &BTreeSet::new()).expect("whole");
        for (of, random) in clients {
            let client = match networks[of.index(networks.len())].0 {
                IpNet::V4(v4) => {
                    let low = random as u32 & v4.hostmask().to_bits();
                    IpAddr::from(Ipv4Addr::from_bits(v4.network().to_bits() | low))
                }
                IpNet::V6(v6) => {
                    let low = u128::from(random) << 48 & v6.hostmask().to_bits();
                    IpAddr::from(Ipv6Addr::from_bits(v6.network().to_bits() | low))
                }
            };
            let told = database.look_up(client).expect("whole");
            let told = told.and_then(|(_, record)| record.country);
            let in_prefixes = found.prefixes.iter().filter(|(_, prefixes)| {
                IpNet::aggregate(prefixes).iter().any(|prefix| prefix.contains(&client))
            });
            let in_prefixes: Vec<&Region> = in_prefixes.map(|((_, region), _)| region).collect();
            let told: Vec<Region> = told.iter().map(|code| name(code)).collect();
            prop_assert_eq!(in_prefixes, told.iter().collect::<Vec<_>>(), "{}", client);
        }
    }
}
