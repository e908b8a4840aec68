//! Tests of who is in the tables.

use std::collections::BTreeMap;

use super::*;
use crate::config::parse_str;

/// A baseline of four and a canary of two, with `more` under the service and `canary` under it.
fn service(more: &str, canary: &str) -> Service {
    let text = format!(
        "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n{more}\n\
         [service.shop.version.stable]\nbaseline = true\n\
         backends = [\"10.0.0.1:80\", \"10.0.0.2:80\", \"10.0.0.3:80\", \"10.0.0.4:80\"]\n\
         [service.shop.version.canary]\nweight = \"5%\"\n{canary}\n\
         backends = [\"10.0.1.1:80\", {{ address = \"10.0.1.2:80\", weight = 3 }}]\n"
    );
    let config = parse_str("test.toml", &text).expect("a valid configuration");
    config.services().next().expect("one").clone()
}

const BAD: Standing = Standing {
    healthy: false,
    ..Standing::GOOD
};
const DRAINING: Standing = Standing {
    admin: AdminState::Draining,
    ..Standing::GOOD
};

fn served(service: &Service, before: Option<&Service>, stands: &[(&str, Standing)]) -> Served {
    let stands: BTreeMap<String, Standing> = stands
        .iter()
        .map(|(address, stands)| (format!("10.0.{address}:80"), *stands))
        .collect();
    serve(service, before, |_, backend| {
        let stands = stands.get(&backend.to_string());
        stands.copied().unwrap_or(Standing::GOOD)
    })
}

fn weights(served: &Served) -> [Vec<u16>; 2] {
    let of = |at: usize| {
        let backends = served.service.versions[at].backends.iter();
        backends.map(|backend| backend.weight).collect()
    };
    [of(0), of(1)]
}

#[test]
fn unhealthy_and_draining_backends_leave_their_tables_alone() {
    let shop = service("", "");
    let all = served(&shop, None, &[]);
    assert_eq!(all.service, shop, "nothing is known against anybody");
    let some = served(&shop, None, &[("0.2", BAD), ("1.1", DRAINING)]);
    assert_eq!(weights(&some), [vec![1, 0, 1, 1], vec![0, 3]]);
    let counts: Vec<usize> = some.versions.iter().map(|each| each.healthy).collect();
    assert_eq!(counts, [3, 1]);
    assert_eq!(
        some.service.weights(),
        shop.weights(),
        "nobody changes version"
    );
}

#[test]
fn health_takes_at_most_its_part_of_the_baseline() {
    let shop = service("", "");
    let bad = |count: usize| {
        let all = ["0.1", "0.2", "0.3", "0.4"].map(|address| (address, BAD));
        served(&shop, None, &all[..count])
    };
    assert_eq!(weights(&bad(2))[0], [0, 0, 1, 1]);
    for count in [3, 4] {
        let panic = bad(count);
        assert_eq!(weights(&panic)[0], [1, 1, 1, 1], "{count}");
        assert_eq!(panic.versions[0].panic, [true, false]);
        assert_eq!(panic.versions[0].empty, [false, false]);
    }
    // Of those that an operator left in, that is.
    let panic = served(
        &shop,
        None,
        &[("0.1", DRAINING), ("0.2", BAD), ("0.3", BAD)],
    );
    assert_eq!(weights(&panic)[0], [0, 1, 1, 1]);
    let tenth = service("health = { max_unhealthy = \"10%\" }", "");
    let panic = served(&tenth, None, &[("0.1", BAD)]);
    assert!(panic.versions[0].panic[0]);
    let whole = service("health = { max_unhealthy = \"100%\" }", "");
    let all = ["0.1", "0.2", "0.3", "0.4"].map(|address| (address, BAD));
    let three = served(&whole, None, &all[..3]);
    assert_eq!(weights(&three)[0], [0, 0, 0, 1]);
    let kept = served(&whole, Some(&three.service), &all);
    assert_eq!(weights(&kept)[0], [0, 0, 0, 1], "the last table stays");
    assert_eq!(kept.versions[0].empty, [true, false]);
}

#[test]
fn another_version_may_become_empty() {
    let gone = [("1.1", BAD), ("1.2", BAD)];
    for (on_empty, wanted) in [("baseline", [0, 0]), ("drop", [0, 0]), ("keep", [1, 3])] {
        let shop = service("", &format!("on_empty = \"{on_empty}\""));
        let empty = served(&shop, None, &gone);
        assert_eq!(weights(&empty)[1], wanted, "{on_empty}");
        assert_eq!(empty.versions[1].empty, [true, false]);
        assert!(!empty.versions[1].panic[0]);
    }
    let shop = service("", "on_empty = \"keep\"");
    let one = served(&shop, None, &gone[..1]);
    let none = served(&shop, Some(&one.service), &gone);
    assert_eq!(weights(&none)[1], [0, 3], "who answered last is left");
    // What the operator wants goes first.
    let drained = served(
        &shop,
        Some(&one.service),
        &[("1.1", BAD), ("1.2", DRAINING)],
    );
    assert_eq!(weights(&drained)[1], [1, 0]);
    let all = served(
        &shop,
        Some(&drained.service),
        &[("1.1", DRAINING), ("1.2", DRAINING)],
    );
    assert_eq!(weights(&all)[1], [1, 3]);
}

#[test]
fn a_slow_start_takes_a_part_of_the_weight() {
    let shop = service("", "");
    let tenth = Standing {
        parts: 1,
        ..Standing::GOOD
    };
    let slow = served(&shop, None, &[("1.1", tenth)]);
    assert_eq!(weights(&slow), [vec![1, 1, 1, 1], vec![1, 30]]);
}
