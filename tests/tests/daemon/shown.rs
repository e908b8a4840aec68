//! What an operator is shown of a daemon that runs: wide and watched status, weights, a service.

use serde_json::Value;
use splitter_tests::client::Client;
use splitter_tests::topology::vip_for;

use crate::scene::{PORT, Scene, config, scene};

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let text = scene.daemon.cli_ok(arguments).expect("told");
    serde_json::from_str(&text).expect("JSON")
}

/// The row of a table that begins with these words.
fn row<'t>(text: &'t str, words: &[&str]) -> Vec<&'t str> {
    let mut rows = text.lines().map(|line| line.split_whitespace().collect());
    let found = rows.find(|row: &Vec<&str>| row.starts_with(words));
    found.unwrap_or_else(|| panic!("no row {words:?} in\n{text}"))
}

#[test]
fn weights_are_told_with_who_set_them_and_where_they_cut() {
    let scene = scene(false, "10%");
    let before = scene.daemon.cli_ok(&["weight", "get"]).expect("told");
    assert_eq!(row(&before, &["canary"]), ["canary", "10%", "file", "10%"]);
    let set = ["weight", "set", "shop", "canary=30%", "--reason", "trying"];
    scene.daemon.cli_ok(&set).expect("set");
    let told = scene
        .daemon
        .cli_ok(&["weight", "get", "shop"])
        .expect("told");
    assert_eq!(row(&told, &["canary"]), ["canary", "30%", "overlay", "10%"]);
    let stable = ["stable", "(baseline)", "70%", "rest", "90%"];
    assert_eq!(row(&told, &["stable"]), stable);
    assert!(
        told.contains("canary=30% set by root (uid 0, pid "),
        "{told}"
    );
    assert!(told.contains(": trying\n"), "{told}");

    let told = json(&scene, &["weight", "get", "shop", "-o", "json"]);
    let (canary, cuts) = (&told[0]["versions"][1], &told[0]["cuts"]);
    assert_eq!(canary["set"]["reason"], "trying");
    assert_eq!(canary["file_weight"], "10%");
    // The kernel's own: canary from 0 on, stable behind it.
    assert_eq!(cuts[0]["version"], "canary");
    let end = cuts[0]["to_percent"].as_f64().expect("a number");
    assert!((end - 30.0).abs() < 1e-4, "{cuts}");
    assert_eq!(cuts[1]["from_percent"], cuts[0]["to_percent"]);
    let output = scene.daemon.cli(&["weight", "get", "shpo"]).expect("ran");
    assert_eq!(output.code, Some(4), "{output:?}");
}

#[test]
fn a_service_is_shown_wholly() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let more = "[service.shop]\nkey = \"client/24\"\ndirect = [\"10.9.0.0/16\"]\n\
                failsafe_max_weight = \"40%\"\nhealth = { check = \"tcp\", interval = \"500ms\", \
                slow_start = \"1s\" }\n";
    let text = config(&scene.topology, "0%").replace("[service.shop]\n", more);
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    let shown = json(&scene, &["service", "show", "shop", "-o", "json"]);
    assert_eq!(shown["service"]["key"], "client/24");
    assert_eq!(shown["service"]["versions"][0]["on_empty"], "keep");
    let settings = &shown["settings"];
    assert_eq!(settings["direct"][0], "10.9.0.0/16");
    assert_eq!(settings["failsafe_max_weight"], "40%");
    assert_eq!(settings["health"]["check"]["interval_s"], 0.5);
    assert_eq!(shown["cuts"][0]["to_percent"], 100.0);
    let table = scene
        .daemon
        .cli_ok(&["service", "show", "shop"])
        .expect("told");
    for wanted in [
        "key client/24",
        "direct 10.9.0.0/16",
        "check: tcp every 500ms, timeout 500ms, rise 2, fall 3",
        "max_unhealthy 50%, slow_start 1s",
    ] {
        assert!(table.contains(wanted), "{wanted}\n{table}");
    }
    let backend = format!("10.2.0.11:{PORT}");
    let row = row(&table, &["stable", &backend]);
    assert_eq!((row[2], row[3], row[5]), ("x1", "active", "yes"), "{table}");
    let output = scene.daemon.cli(&["service", "show", "shpo"]).expect("ran");
    assert_eq!(output.code, Some(4), "{output:?}");
}

#[test]
fn the_wide_status_has_what_the_program_counted() {
    let scene = scene(false, "0%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.clients()[0];
    for _ in 0..7 {
        client.get(source, vip_for(source, PORT)).expect("answered");
    }
    let counted = json(&scene, &["status", "shop", "-o", "json"]);
    let counters = &counted["services"][0]["versions"][0]["counters"];
    assert_eq!(counters["handshakes"], 7);
    let wide = scene
        .daemon
        .cli_ok(&["status", "-o", "wide"])
        .expect("told");
    let begin = wide.find("PKTS-IN").expect("a table of counters");
    let row = row(&wide[begin..], &["stable", "(baseline)"]);
    // Packets, bytes; flows, SYNs and their answers; repetitions; handshakes.
    let of = |name: &str| counters[name].as_u64().expect("a number").to_string();
    assert_eq!((row[2], row[4]), (&*of("packets_in"), &*of("packets_out")));
    assert_eq!(row[6..11], ["7", "7", "7", "0", "7"], "{wide}");
    assert!(wide.contains("resolved"), "{wide}");
}

#[test]
fn a_watch_goes_on_over_a_restart_until_it_is_interrupted() {
    let mut scene = scene(false, "10%");
    let arguments = ["status", "shop", "--watch", "1"];
    let mut watch = scene.daemon.cli_running(&arguments).expect("started");
    let pages = |out: &str| out.matches("--- 20").count();
    watch.until(|out, _| pages(out) >= 2).expect("two pages");
    scene.daemon.stop().expect("stopped");
    let gone = |_: &str, err: &str| err.contains("the daemon is not running");
    watch.until(gone).expect("told that nobody answers");
    scene.daemon.serve().expect("restarted");
    let set = ["weight", "set", "shop", "canary=30%", "--reason", "seen"];
    scene.daemon.cli_ok(&set).expect("set");
    watch
        .until(|out, _| out.contains(": seen\n"))
        .expect("the new daemon's");
    let output = watch.interrupt().expect("ended");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.stdout.contains('\u{1b}'), "{}", output.stdout);

    let arguments = ["status", "--watch", "1", "-o", "json"];
    let mut watch = scene.daemon.cli_running(&arguments).expect("started");
    watch.until(|out, _| out.lines().count() >= 2).expect("two");
    let output = watch.interrupt().expect("ended");
    for line in output.stdout.lines() {
        let status: Value = serde_json::from_str(line).expect("a status on each line");
        assert_eq!(status["services"][0]["name"], "shop");
    }
}
