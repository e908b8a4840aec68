//! Segments: good ones, and what bad ones must be answered with.

use super::bad::{STABLE, VIPS, errors, expect, one};
use super::{load, parse_str};
use crate::model::{Condition, Segment};

const CANARY: &str = "version.canary = { weight = \"5%\", backends = [\"10.0.2.11:8443\"] }\n";

/// A file whose segments begin on line 7.
fn with(segments: &str) -> String {
    one(&format!("{VIPS}{STABLE}{CANARY}{segments}"))
}

fn good(segments: &str) -> Vec<Segment> {
    let config = parse_str("splitter.toml", &with(segments)).expect(segments);
    config.services[0].segments.clone()
}

#[test]
fn segments_are_read_in_their_order_and_the_baseline_takes_the_rest() {
    let segments = good(
        "[[service.shop.segment]]\nname = \"staff\"\n\
         match = { prefix = [\"198.51.100.0/24\", \"2001:db8::/32\"] }\nweight = { canary = \"100%\" }\n\
         [[service.shop.segment]]\nname = \"rest\"\n\
         match = { not = { any = [{ prefix = [\"10.0.0.0/8\"] }, { prefix = [\"::/0\"] }] } }\n\
         weight = { stable = \"75%\", canary = \"25%\" }\n",
    );
    let names: Vec<&str> = segments.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["staff", "rest"]);
    // The baseline's is no weight of its own: another canary's leaves it another rest.
    let own: Vec<&String> = segments[1].weights.keys().collect();
    assert_eq!(own, ["canary"]);
    assert_eq!(
        segments[0].condition.to_string(),
        "prefix 198.51.100.0/24 2001:db8::/32"
    );
    let told = segments[1].condition.to_string();
    assert_eq!(told, "not any of (prefix 10.0.0.0/8, prefix ::/0)");
    let segments = good(
        "segment = [{ name = \"testers\", match = { cohort = \"beta\", not = { cohort = \"banned\" } }, \
         weight = { canary = \"100%\" } }]\n",
    );
    let told = segments[0].condition.to_string();
    assert_eq!(told, "all of (cohort beta, not cohort banned)");
    let names: Vec<&str> = segments[0].condition.cohorts().into_iter().collect();
    assert_eq!(names, ["banned", "beta"]);
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    let row = |segment: &str, wanted: &[&str]| {
        expect(&with(&format!("segment = [{{ {segment} }}]\n")), wanted);
    };
    let staff = "name = \"staff\", match = { prefix = [\"10.0.0.0/8\"] }";
    row(
        &format!("{staff}, weight = {{ canry = \"1%\" }}"),
        &["7:76 segment \"staff\": | has no version \"canry\"; did you mean \"canary\"?"],
    );
    row(
        &format!("{staff}, weight = {{ stable = \"50%\" }}"),
        &["7:76 \"stable\" is the baseline and takes the rest, 100% here"],
    );
    row(
        staff,
        &["7:12 no weight: write `weight = { canary = \"100%\" }`"],
    );
    row(
        "name = \"staff\", weight = { canary = \"1%\" }",
        &["7:12 `match` is missing | write `match = { prefix ="],
    );
    row(
        "match = { prefix = [\"::1\"] }, weight = { canary = \"1%\" }",
        &["7:12 segment: no name: write `name = \"staff\"`"],
    );
    row(
        "name = \"staff\", match = {}, weight = { canary = \"1%\" }",
        &[
            "7:38 `match` says nothing | or `prefix_file`, `country`, `subdivision`, `city`, `asn`, `cohort`, `device`, `activity`, `all`",
        ],
    );
    row(
        "name = \"staff\", match = { cohort = \"Beta 1\" }, weight = { canary = \"1%\" }",
        &["7:49 \"Beta 1\" cannot be a cohort's name: write 1 to 63 of a-z"],
    );
    row(
        "name = \"staff\", match = { prefix = [\"10.0.0.5/8\"] }, weight = { canary = \"1%\" }",
        &["7:50 segment \"staff\", match: `prefix`: \"10.0.0.5/8\" has bits set behind its prefix"],
    );
    row(
        "name = \"staff\", match = { prefixes = [] }, weight = { canary = \"1%\" }",
        &[
            "7:38 `match` says nothing",
            "7:40 unknown key `prefixes`; did you mean `prefix`?",
        ],
    );
    row(
        "name = \"staff\", match = { prefix_file = \"no/such.txt\" }, weight = { canary = \"1%\" }",
        &["7:54 cannot read `prefix_file` no/such.txt: "],
    );
    row(
        &format!(
            "{staff}, weight = {{ canary = \"1%\" }} }}, {{ {staff}, weight = {{ canary = \"2%\" }}"
        ),
        &["7:106 segment: \"staff\" is the name of another segment already"],
    );
    let many: Vec<String> = (0..16)
        .map(|nth| {
            format!(
                "{{ name = \"s{nth}\", match = {{ prefix = [] }}, weight = {{ canary = \"1%\" }} }}"
            )
        })
        .collect();
    let told = errors(&with(&format!("segment = [{}]\n", many.join(", ")))).to_string();
    assert!(
        told.contains("7:11: service \"shop\": 16 segments; at most 15 fit"),
        "{told}"
    );
}

#[test]
fn a_file_of_prefixes_stands_beside_the_configuration_and_its_lines_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, list) = (
        dir.path().join("splitter.toml"),
        dir.path().join("staff.txt"),
    );
    let text = with(
        "segment = [{ name = \"staff\", weight = { canary = \"100%\" }, \
         match = { prefix = [\"10.9.0.0/16\"], prefix_file = \"staff.txt\" } }]\n",
    );
    std::fs::write(&path, text).expect("written");
    std::fs::write(
        &list,
        "# staff\n\n192.0.2.0/24 # the office\n  10.9.0.0/16\n",
    )
    .expect("written");
    let config = load(&path).expect("good");
    let Condition::Prefix(set) = &config.services[0].segments[0].condition else {
        panic!("{config:?}")
    };
    let prefixes: Vec<String> = set.prefixes().iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.9.0.0/16", "192.0.2.0/24"]);
    let stamps = super::Texts::read(&path).stamps();
    assert_eq!(stamps, stamps.now());
    std::fs::write(&list, "192.0.2.0/24\n\n nowhere\n").expect("written");
    let now = stamps.now();
    let changed: Vec<_> = now.others(&stamps).collect();
    assert_eq!(changed, [list.as_path()], "a change of the file shows");
    let told = load(&path).expect_err("bad").to_string();
    let place = format!("{}:3:2: \"nowhere\" is no prefix", list.display());
    assert!(told.contains(&place), "{told}");
}
