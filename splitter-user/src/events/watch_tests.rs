//! Tests of what two looks at the host become.

use super::*;

fn eth0(mode: &str, up: bool) -> Vec<InterfaceSeen> {
    vec![InterfaceSeen {
        name: "eth0".into(),
        mode: mode.into(),
        up,
        note: None,
    }]
}

fn texts(told: &[What]) -> Vec<String> {
    told.iter().map(ToString::to_string).collect()
}

#[test]
fn an_interface_is_told_when_it_changes_and_not_when_it_is_found() {
    let mut watch = Watch::default();
    let mut look = |interfaces| {
        let seen = Seen {
            interfaces,
            ..Seen::default()
        };
        texts(&watch.look(seen, 1.0))
    };
    assert!(look(eth0("native", true)).is_empty());
    assert!(look(eth0("native", true)).is_empty());
    assert_eq!(
        look(eth0("none", false)),
        ["eth0: XDP mode native -> none, down"]
    );
    assert_eq!(
        look(eth0("generic", true)),
        ["eth0: XDP mode none -> generic"]
    );
    assert_eq!(look(Vec::new()), ["eth0: configured no more"]);
    assert_eq!(
        look(eth0("native", true)),
        ["eth0: configured, XDP mode native"]
    );
}

#[test]
fn drops_begin_at_a_rate_and_end_well_below_it() {
    let mut watch = Watch::default();
    let mut look = |denied: u64, elapsed_s| {
        let seen = Seen {
            drops: [("denied".to_owned(), denied)].into(),
            ..Seen::default()
        };
        texts(&watch.look(seen, elapsed_s))
    };
    assert!(look(1_000_000, 1.0).is_empty(), "from before the daemon");
    assert!(look(1_000_198, 2.0).is_empty(), "99 a second");
    let begun = look(1_000_398, 2.0);
    assert_eq!(begun, ["100 packets a second are dropped as denied"]);
    assert!(look(1_000_410, 1.0).is_empty(), "told once, while over 10");
    let over = look(1_000_419, 1.0);
    assert_eq!(over, ["drops as denied are over: 9 packets a second"]);
    assert!(look(1_000_419, 1.0).is_empty());
}

#[test]
fn a_table_is_nearly_full_until_it_is_well_below() {
    for (table, begin) in [("established", 80.0), ("pending", 50.0)] {
        let mut watch = Watch::default();
        let mut look = |fill| {
            let seen = Seen {
                tables: vec![(table.to_owned(), fill)],
                ..Seen::default()
            };
            texts(&watch.look(seen, 1.0))
        };
        assert!(look(begin - 0.1).is_empty());
        assert_eq!(
            look(begin),
            [format!(
                "the table of {table} flows is nearly full: {begin:.1}%"
            )]
        );
        assert!(look(begin - 10.0).is_empty() && look(99.0).is_empty());
        let over = look(begin - 10.1);
        let told = format!(
            "the table of {table} flows is no longer nearly full: {:.1}%",
            begin - 10.1
        );
        assert_eq!(over, [told]);
    }
}

#[test]
fn a_version_and_a_commit_are_told_at_both_ends() {
    let mut watch = Watch::default();
    let mut look = |panic, empty, unfinished: Option<&str>| {
        let name = ("shop".to_owned(), "canary".to_owned());
        let wrong = (panic || empty).then_some((name, VersionSeen { panic, empty }));
        let seen = Seen {
            versions: wrong.into_iter().collect(),
            unfinished: unfinished.map(str::to_owned),
            ..Seen::default()
        };
        texts(&watch.look(seen, 1.0))
    };
    let first = look(false, true, None);
    assert_eq!(first, ["shop: canary has no backend left"], "wrong at once");
    assert!(look(true, false, None)[0].starts_with("shop: canary is in PANIC"));
    assert_eq!(
        look(false, false, None),
        ["shop: canary has enough backends again"]
    );
    assert_eq!(look(false, false, Some("no room")), ["no room"]);
    assert!(look(false, false, Some("no room still")).is_empty());
    assert_eq!(
        look(false, false, None),
        ["what was committed is in the kernel at last"]
    );
}
