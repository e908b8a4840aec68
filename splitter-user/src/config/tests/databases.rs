//! Conditions on regions: expanded from databases, and what is wrong with them is told where it stands.

use std::{fs, path::Path};

use serde_json::json;

use super::bad::{STABLE, VIPS, one};
use super::load;
use super::mmdb::from_texts;
use crate::model::{Condition, Config, PrefixSet, RegionKind, compile};

/// Writes two databases, of countries and of autonomous systems, and a configuration of one segment whose
/// `match` begins in column 39 of line 8.
fn with(directory: &Path, databases: &str, segment: &str) -> Result<Config, String> {
    let country = |code: &str| json!({"country": {"iso_code": code, "names": {"en": "Somewhere"}}});
    let put = |name: &str, content: Vec<u8>| {
        fs::write(directory.join(name), content).expect("written");
    };
    let countries = [
        ("192.0.2.0/25", country("DE")),
        ("192.0.2.128/25", country("FR")),
        ("198.51.100.0/24", country("US")),
        ("2001:db8::/32", country("DE")),
    ];
    put("country.mmdb", from_texts(&countries));
    put(
        "asn.mmdb",
        from_texts(&[("203.0.113.0/24", json!({"autonomous_system_number": 64500}))]),
    );
    let canary = "version.canary = { weight = \"5%\", backends = [\"10.0.2.11:8443\"] }\n";
    let segment = format!(
        "segment = [{{ name = \"some\", match = {{ {segment} }}, weight = {{ canary = \"100%\" }} }}]\n"
    );
    let text = format!(
        "databases = {{ {databases} }}\n{}",
        one(&format!("{VIPS}{STABLE}{canary}{segment}"))
    );
    let path = directory.join("splitter.toml");
    fs::write(&path, text).expect("written");
    load(&path).map_err(|errors| errors.to_string())
}

const BOTH: &str = "country = [\"country.mmdb\"], asn = \"asn.mmdb\"";

fn sets(config: &Config) -> Vec<PrefixSet> {
    let compiled = compile(&config.services[0].segments).expect("fits");
    compiled.asked.into_iter().cloned().collect()
}

#[test]
fn regions_are_lists_of_prefixes_merged_and_called_by_their_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = |segment: &str| with(dir.path(), BOTH, segment).expect("good");
    let config = good("country = [\"DE\", \"FR\"], not = { asn = [64500] }");
    let paths: Vec<_> = config.databases[&RegionKind::Country].iter().collect();
    assert_eq!(paths, [&dir.path().join("country.mmdb")]);
    let [countries, asn] = &sets(&config)[..] else {
        panic!("{config:?}")
    };
    let prefixes: Vec<String> = countries
        .prefixes()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        prefixes,
        ["192.0.2.0/24", "2001:db8::/32"],
        "halves are one"
    );
    let told = countries.to_string();
    assert!(
        told.starts_with("country DE FR in 2 prefixes, digest "),
        "{told}"
    );
    assert!(
        asn.to_string()
            .starts_with("asn 64500 in 1 prefix, digest ")
    );
    let Condition::All(parts) = &config.services[0].segments[0].condition else {
        panic!("both must hold")
    };
    assert_eq!(parts.len(), 2);
    // The same prefixes are the same condition, whatever they are called.
    let same = "any = [{ country = [\"US\"] }, { not = { prefix = [\"198.51.100.0/24\"] } }]";
    assert_eq!(sets(&good(same)).len(), 1);
    // Two databases of a kind make one: here the same twice.
    let twice = "country = [\"country.mmdb\", \"country.mmdb\"]";
    let twice = with(dir.path(), twice, "country = [\"DE\"]").expect("good");
    assert_eq!(sets(&twice)[0].count(), 2);
}

#[test]
fn what_is_wrong_with_regions_is_told_where_it_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let bad = |databases: &str, segment: &str, wanted: &[&str]| {
        let told = with(dir.path(), databases, segment).expect_err(segment);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), wanted.len(), "{told}");
        for (line, wanted) in lines.iter().zip(wanted) {
            let (place, says) = wanted.split_once(' ').expect("a place");
            let place = format!("splitter.toml:{place}: ");
            assert!(
                line.contains(&place) && line.contains(says),
                "{wanted} in {line}"
            );
        }
    };
    bad(
        BOTH,
        "country = [\"DE\", \"DX\"]",
        &["8:56 country.mmdb has no country DX; did you mean \"DE\"?"],
    );
    bad(
        BOTH,
        "country = [49]",
        &["8:50 `country`: write a list of ISO codes such as [\"DE\", \"FR\"]"],
    );
    bad(
        BOTH,
        "country = \"DE\"",
        &["8:49 `country` must be a list of ISO codes"],
    );
    bad(BOTH, "country = []", &["8:49 `country` is empty"]);
    bad(
        BOTH,
        "asn = [\"AS64500\"]",
        &["8:46 `asn`: write a list of numbers such as [64500]"],
    );
    bad(
        BOTH,
        "asn = [64501]",
        &["8:46 asn.mmdb has no autonomous system 64501; write a list"],
    );
    bad(
        BOTH,
        "city = [\"Berlin\"]",
        &[
            "8:46 `city` takes a database: write `city = \"/var/lib/splitter/city.mmdb\"` in [databases]",
        ],
    );
    // What is wrong with a database is told once, where it is named.
    bad(
        "country = \"asn.mmdb\"",
        "country = [\"DE\"]",
        &[
            "1:25 the database says nothing of that; it should have country.iso_code or country_code",
        ],
    );
    bad(
        "country = \"none.mmdb\"",
        "country = [\"DE\"]",
        &["1:25 none.mmdb: the database cannot be read: No such file"],
    );
    fs::write(dir.path().join("broken.mmdb"), "<html>").expect("written");
    bad(
        "country = [\"country.mmdb\", \"broken.mmdb\"]",
        "country = [\"DE\"]",
        &["1:25 broken.mmdb: the database cannot be read: it is no whole .mmdb file"],
    );
    bad(
        "country = 1, asm = \"a\"",
        "prefix = [\"::/0\"]",
        &[
            "1:25 must be the path of an .mmdb file",
            "1:28 unknown key `asm`; did you mean `asn`?",
        ],
    );
}

#[test]
fn more_prefixes_than_there_is_room_for_are_refused_with_the_key_to_raise() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "country = \"country.mmdb\" }\nlimits = { prefixes = 1";
    let told = with(dir.path(), text, "country = [\"DE\"]").expect_err("too many");
    assert!(
        told.contains("[limits] prefixes = 1 is the most: raise it to 2 or more"),
        "{told}"
    );
}
