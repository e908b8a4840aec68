//! Health: who is in the tables when servers die and come back, and that it moves nobody between
//! versions.

use std::{collections::BTreeSet, time::Instant};

use serde_json::Value;
use splitter_tests::{
    client::{AskError, Client},
    topology::vip_for,
};

use crate::{
    fares::{LIMIT, backends_with, v4_and_v6, watched},
    scene::{PORT, config},
};

/// Quick checks, so that tests need not wait: an answer must name its backend.
const CHECK: &str = "[service.shop.health]\ncheck = \"http\"\npath = \"/healthz\"\n\
                     expect_status = [200]\nexpect_body = \" b\"\ninterval = \"200ms\"\n\
                     rise = 2\nfall = 2\n";

#[test]
fn a_dead_server_is_avoided_and_comes_back_and_nobody_changes_version() {
    let mut scene = watched(&format!("{CHECK}slow_start = \"1s\"\n"));
    let healthy = |status: &Value| backends_with(status, "health", &"healthy".into()).len() == 8;
    scene
        .daemon
        .until(healthy)
        .expect("probes reach all, and answers the prober");
    let versions = scene.versions();
    let shares: BTreeSet<&String> = versions.values().collect();
    assert_eq!(shares.len(), 2, "both versions have clients");
    scene.kill("b1");
    let status = scene.until_out(&[11]);
    let dead = &status["services"][0]["versions"][0]["backends"][0]["health"];
    assert_eq!(
        (&dead["health"], &dead["changes"]),
        (&"unhealthy".into(), &1.into())
    );
    assert!(dead["error"].to_string().contains("refused"), "{dead}");
    assert_eq!(status["services"][0]["versions"][0]["healthy"], 2);
    scene.all_served(&versions, &["b1"]);
    assert_eq!(scene.versions(), versions);
    // A restart does not forget: the dead server is out before anybody asks it.
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    let status = scene.daemon.status_json().expect("a status");
    let out = backends_with(&status, "serves", &Value::Bool(false));
    assert_eq!(out, v4_and_v6(11).into());
    scene.all_served(&versions, &["b1"]);
    scene.revive("b1");
    scene.until_out(&[]);
    let grown =
        |status: &Value| backends_with(status, "weight_reached_percent", &100.into()).len() == 8;
    scene.daemon.until(grown).expect("the slow start ends");
    scene.until_answered_by("b1");
    scene.all_served(&versions, &[]);
    // Nobody set anything.
    let status = scene.daemon.status_json().expect("a status");
    assert_eq!(status["services"][0]["overlay"], Value::Null);
    assert_eq!(backends_with(&status, "overlay", &Value::Null).len(), 8);
}

#[test]
fn a_baseline_that_fails_everywhere_keeps_its_table() {
    let mut scene = watched(CHECK);
    scene.until_out(&[]);
    scene.kill("b1");
    scene.until_out(&[11]);
    scene.kill("b2");
    let panic = |status: &Value| {
        let stable = &status["services"][0]["versions"][0];
        stable["panic"] == true && stable["healthy"] == 0
    };
    let status = scene.daemon.until(panic).expect("told");
    assert!(
        status["warnings"].to_string().contains("PANIC"),
        "{}",
        status["warnings"]
    );
    scene.until_out(&[]);
    // The servers are well, and only the probes say otherwise: whoever is there is used.
    scene.revive("b2");
    scene.until_out(&[11]);
    scene.revive("b1");
    scene.until_out(&[]);
    let status = scene.daemon.status_json().expect("a status");
    assert!(
        !status["warnings"].to_string().contains("PANIC"),
        "{}",
        status["warnings"]
    );
    scene.everyone_gets_what_explain_says();
}

#[test]
fn clients_of_an_empty_version_fare_as_its_on_empty_says() {
    let mut scene = watched(CHECK);
    let versions = scene.versions();
    scene.kill("b3");
    scene.kill("b4");
    let status = scene.until_out(&[13, 14]);
    let canary = &status["services"][0]["versions"][1];
    assert_eq!(
        (&canary["empty"], &canary["panic"]),
        (&true.into(), &false.into())
    );
    let told = "service shop: canary is empty: its clients are served by stable";
    assert!(
        status["warnings"].to_string().contains(told),
        "{}",
        status["warnings"]
    );
    for (client, reply) in scene.ask_all() {
        let reply = reply.unwrap_or_else(|error| panic!("{client}: {error}"));
        assert_eq!(reply.version, "stable");
    }
    assert_eq!(scene.versions(), versions, "their version is still theirs");
    let (guest, _) = versions
        .iter()
        .find(|(client, version)| client.is_ipv4() && *version == "canary")
        .expect("a client of the canary");
    let path = format!("/v1/services/shop/explain?client={guest}&port=4711");
    let why = scene.daemon.api_get(&path).expect("explained");
    let note = "canary is empty, and its clients are served by stable";
    assert_eq!(
        (&why["version"], &why["backend_note"]),
        (&"canary".into(), &note.into())
    );
}

#[test]
fn an_empty_version_drops_or_keeps_its_table_when_told_to() {
    let mut scene = watched(CHECK);
    let versions = scene.versions();
    scene.kill("b3");
    scene.kill("b4");
    scene.until_out(&[13, 14]);
    let text = config(&scene.topology, "50%") + CHECK;
    for (on_empty, error) in [("drop", AskError::Timeout), ("keep", AskError::Refused)] {
        scene.daemon.stop().expect("stopped");
        let key = format!("weight = \"50%\"\non_empty = \"{on_empty}\"");
        let text = text.replace("weight = \"50%\"", &key);
        scene.daemon.write_config(&text).expect("written");
        if on_empty == "keep" {
            // So that there is a last table.
            scene.revive("b3");
            scene.revive("b4");
            scene.daemon.serve().expect("restarted");
            scene.until_out(&[]);
            scene.kill("b3");
            scene.kill("b4");
            let empty = |status: &Value| status["services"][0]["versions"][1]["empty"] == true;
            scene.daemon.until(empty).expect("told");
        } else {
            scene.daemon.serve().expect("restarted");
        }
        let client = Client::new(&scene.topology.client).expect("a client");
        for version in ["stable", "canary"] {
            let mut of_version = versions.iter().filter(|(_, each)| *each == version);
            let (client_address, _) = of_version.next().expect("a client");
            let reply = client.get(*client_address, vip_for(*client_address, PORT));
            match version {
                "stable" => assert_eq!(reply.expect("served").version, "stable"),
                _ => assert_eq!(reply.expect_err("nobody is there"), error, "{on_empty}"),
            }
        }
    }
    let status = scene.daemon.status_json().expect("a status");
    assert!(
        status["reasons"].to_string().contains("version_empty"),
        "{}",
        status["reasons"]
    );
    for backend in ["b3", "b4"] {
        scene.revive(backend);
    }
    let filled = |status: &Value| status["services"][0]["versions"][1]["healthy"] == 4;
    scene.daemon.until(filled).expect("back");
    scene.all_served(&versions, &[]);
}

#[test]
fn the_kernels_counters_eject_a_server_that_answers_nobody() {
    let mut scene = watched(
        "[service.shop.health.passive]\nmin_handshakes = 10\nwindow = \"5s\"\n\
         eject_for = \"4s\"\n",
    );
    let versions = scene.versions();
    scene.kill("b3");
    let begin = Instant::now();
    let status = loop {
        let _refused = scene.ask_all();
        let status = scene.daemon.status_json().expect("a status");
        // Those of one family alone may have had enough handshakes to tell.
        let ejected = backends_with(&status, "health", &"ejected".into());
        if ejected.len() == 2 {
            assert_eq!(ejected, v4_and_v6(13).into());
            break status;
        }
        assert!(begin.elapsed() < LIMIT, "{status:#}");
    };
    let text = status.to_string();
    assert!(text.contains("handshakes were not answered"), "{text}");
    scene.until_out(&[13]);
    scene.revive("b3");
    scene.all_served(&versions, &["b3"]);
    scene.until_answered_by("b3");
}
