//! Measured shares: of clients, flows and bytes, and how far they may be off.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{client::Client, topology::vip_for};

use crate::scene::{PORT, Scene, scene};

/// How long flows may take to be looked at twice.
const LOOKED_AT: Duration = Duration::from_secs(60);

fn shares(scene: &Scene) -> Value {
    let status = scene.daemon.status_json().expect("a status");
    status["services"][0]["versions"][1]["shares"].clone()
}

#[test]
fn shares_are_told_with_intervals_and_begin_anew_with_the_weights() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let clients = scene.clients();
    let mut asked = 0;
    let ask = |asked: &mut u64| {
        for source in &clients {
            client
                .get(*source, vip_for(*source, PORT))
                .expect("answered");
            *asked += 1;
        }
    };
    ask(&mut asked);
    let began = Instant::now();
    let told = loop {
        ask(&mut asked);
        let told = shares(&scene);
        if ["flows", "bytes"].map(|what| told[what]["interval"].is_array()) == [true; 2] {
            break told;
        }
        assert!(began.elapsed() < LOOKED_AT, "{}", scene.told());
        thread::sleep(Duration::from_millis(500));
    };
    let canary = clients
        .iter()
        .filter(|source| scene.explained(**source) == "canary");
    let share = canary.count() as f64 / clients.len() as f64;
    for (what, of) in [("clients", clients.len() as u64), ("flows", asked)] {
        assert_eq!(told[what]["of"], of, "{what}: {told}");
        let counted = told[what]["share"].as_f64().expect("a share");
        assert!((counted - share).abs() < 1e-9, "{what}: {told}");
    }
    for what in ["clients", "flows", "bytes"] {
        let bound = |nth: usize| told[what]["interval"][nth].as_f64().expect("a bound");
        assert!(bound(0) <= 0.5 && 0.5 <= bound(1), "{what}: {told}");
    }
    // All asked the same, so that flows say as much as clients do, within what a look may miss.
    let like = told["flows"]["as_clients"].as_f64().expect("a number");
    let all = clients.len() as f64;
    assert!((all * 0.5..all * 1.01).contains(&like), "{told}");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=60%"])
        .expect("set");
    let anew = shares(&scene);
    assert!(
        anew["clients"].is_null() && anew["flows"].is_null(),
        "{anew}"
    );
}

/// Of a dry run: clients that would move, and from where to where.
fn would_move(seen: &Value) -> Vec<(String, String, u64)> {
    let moves = seen["moves"].as_array().expect("moves").iter();
    let text = |each: &Value, what: &str| each[what].as_str().expect("a name").to_owned();
    moves
        .map(|each| {
            let clients = each["clients"].as_u64().expect("a count");
            (text(each, "from"), text(each, "to"), clients)
        })
        .collect()
}

#[test]
fn a_dry_run_says_who_of_those_seen_lately_would_move() {
    let scene = scene(false, "10%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let clients = scene.clients();
    for source in &clients {
        client
            .get(*source, vip_for(*source, PORT))
            .expect("answered");
    }
    let json = |args: &[&str]| -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let text = scene.daemon.cli_ok(&args).expect("answered");
        serde_json::from_str(&text).expect("JSON")
    };
    let before: Vec<String> = clients.iter().map(|each| scene.explained(*each)).collect();
    let of_version = |name: &str| before.iter().filter(|version| *version == name).count();

    let listed = json(&["clients", "shop"]);
    let lines = listed["clients"].as_array().expect("clients");
    assert_eq!(lines.len(), clients.len(), "{listed}");
    assert!(lines.iter().all(|line| line["flows"] == 1), "{listed}");
    let canary = json(&["clients", "shop", "--version", "canary", "--limit", "1"]);
    let more = canary["more"].as_u64().expect("a count") as usize;
    let named = canary["clients"].as_array().expect("clients").len();
    assert_eq!(more + named, of_version("canary"), "{canary}");

    let to_60 = ["weight", "set", "shop", "canary=60%"];
    let dry = json(&[&to_60[..], &["--dry-run"]].concat());
    let file = crate::scene::config(&scene.topology, "60%");
    scene.daemon.write_config(&file).expect("written");
    let reload = json(&["reload", "--dry-run"]);
    // A segment that takes one of them, by a prefix list that is not in force.
    let mut stable = clients.iter().zip(&before);
    let one = stable.find(|(source, version)| source.is_ipv4() && *version == "stable");
    let (one, _) = one.expect("a client of stable");
    let file = crate::scene::config(&scene.topology, "10%")
        + &format!(
            "[[service.shop.segment]]\nname = \"staff\"\nmatch = {{ prefix = [\"{one}/32\"] }}\n\
             weight = {{ canary = \"100%\" }}\n"
        );
    scene.daemon.write_config(&file).expect("written");
    let staff = json(&["reload", "--dry-run"]);
    let moved = vec![("stable".to_owned(), "canary".to_owned(), 1)];
    let told = would_move(&staff["services"][0]["seen"]);
    assert_eq!(told, moved, "{staff}");
    let backend = scene.topology.backends_of("stable").next();
    let backend = format!("{}:{PORT}", backend.expect("a backend").v4);
    let drained = json(&["backend", "drain", "shop", &backend, "--dry-run"]);
    let after_nothing: Vec<String> = clients.iter().map(|each| scene.explained(*each)).collect();
    assert_eq!(before, after_nothing, "a dry run changes nothing");

    scene.daemon.cli_ok(&to_60).expect("set");
    let moved = clients.iter().zip(&before);
    let moved = moved.filter(|(source, before)| scene.explained(**source) != **before);
    let wanted = vec![(
        "stable".to_owned(),
        "canary".to_owned(),
        moved.count() as u64,
    )];
    assert!(wanted[0].2 > 0, "somebody moves");
    assert_eq!(would_move(&dry["seen"]), wanted, "{dry}");
    assert_eq!(dry["seen"]["clients"], clients.len(), "{dry}");
    let seen = &reload["services"][0]["seen"];
    assert_eq!(would_move(seen), wanted, "{reload}");
    let on_it = drained["on_it"]["clients"].as_u64().expect("a count") as usize;
    assert!(on_it <= of_version("stable"), "{drained}");
    assert_eq!(drained["on_it"]["sampled_percent"], 100.0, "{drained}");
}
