//! What is measured of real servers that answer by a known schedule.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_common::histogram::{bounds_ns, cell};
use splitter_tests::{
    client::{AskError, Client},
    daemon::Daemon,
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

use crate::scene::{PORT, Scene, config};

/// How long slow answers take, in milliseconds.
const SLOW_MS: u64 = 40;

fn scene_of_http() -> Scene {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let servers = Server::start_all(&topology, PORT).expect("servers");
    let text = config(&topology, "50%");
    let text = text.replace("[service.shop]\n", "[service.shop]\nprotocol = \"http1\"\n");
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    Scene {
        daemon,
        servers,
        topology,
    }
}

/// What a version is to be seen doing.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    handshakes: u64,
    turns: u64,
    http_2xx: u64,
    http_4xx: u64,
    http_5xx: u64,
    resets: u64,
    resets_early: u64,
}

fn seen(version: &Value) -> Seen {
    let number = |value: &Value| value.as_u64().expect("a number");
    let (counters, times, http) = (&version["counters"], &version["times"], &version["http"]);
    assert_eq!(number(&http["http_other"]), 0, "{http}");
    Seen {
        handshakes: number(&times["handshake"]["count"]),
        turns: number(&times["turn"]["count"]),
        http_2xx: number(&http["http_2xx"]),
        http_4xx: number(&http["http_4xx"]),
        http_5xx: number(&http["http_5xx"]),
        resets: number(&counters["resets_by_server"]),
        resets_early: number(&counters["resets_by_server_early"]),
    }
}

pub(crate) fn versions(scene: &Scene) -> BTreeMap<String, Value> {
    let status = scene.daemon.status_json().expect("a status");
    let versions = status["services"][0]["versions"].as_array();
    let named = |version: &Value| {
        (
            version["name"].as_str().expect("a name").to_owned(),
            version.clone(),
        )
    };
    versions.expect("versions").iter().map(named).collect()
}

#[test]
fn what_servers_do_by_schedule_is_what_status_says() {
    let scene = scene_of_http();
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut wanted: BTreeMap<String, Seen> = BTreeMap::new();
    let mut slowest: BTreeMap<String, Duration> = BTreeMap::new();
    for source in scene.clients() {
        let version = scene.explained(source);
        let target = vip_for(source, PORT);
        let seen = wanted.entry(version.clone()).or_default();
        let ask = |path: &str| client.get_path(source, target, path);
        ask("/").expect("answered");
        let begin = Instant::now();
        ask(&format!("/slow?ms={SLOW_MS}")).expect("answered");
        let slowest = slowest.entry(version.clone()).or_default();
        *slowest = begin.elapsed().max(*slowest);
        assert!(ask("/status?n=404").is_err());
        (seen.handshakes, seen.turns) = (seen.handshakes + 3, seen.turns + 3);
        (seen.http_2xx, seen.http_4xx) = (seen.http_2xx + 2, seen.http_4xx + 1);
        if version == "canary" {
            assert!(ask("/status?n=500").is_err());
            assert_eq!(ask("/reset"), Err(AskError::Reset));
            (seen.handshakes, seen.turns) = (seen.handshakes + 2, seen.turns + 1);
            (seen.http_5xx, seen.resets) = (seen.http_5xx + 1, seen.resets + 1);
            seen.resets_early += 1;
        }
    }
    let versions = versions(&scene);
    for (name, wanted) in wanted {
        let version = &versions[&name];
        assert_eq!(seen(version), wanted, "{name}\n{}", scene.told());
        // The load balancer sees less of an answer's time than its client, and a quantile lies in the
        // cell of a time that was seen.
        let p99_us = version["times"]["turn"]["p99_us"]
            .as_u64()
            .expect("measured");
        let longest_us = slowest[&name].as_micros() as u64;
        let (from, _) = bounds_ns(cell(SLOW_MS * 1_000));
        let (_, to) = bounds_ns(cell(longest_us));
        assert!(
            (from / 1_000..=to / 1_000).contains(&p99_us),
            "{name}: {p99_us} us, its client {longest_us} us"
        );
    }
    let told = scene.told();
    assert!(told.contains("TURN99") && told.contains("5XX"), "{told}");
}

#[test]
fn a_connection_kept_open_and_a_restart_of_the_daemon_lose_no_time() {
    let mut scene = scene_of_http();
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.clients()[0];
    let name = scene.explained(source);
    let mut open = client.connect(source, vip_for(source, PORT)).expect("open");
    for _ in 0..3 {
        open.ask().expect("answered");
    }
    scene.daemon.kill9().expect("killed");
    open.ask().expect("answered without a daemon");
    scene.daemon.serve().expect("again");
    open.ask().expect("answered");
    let version = &versions(&scene)[&name];
    assert_eq!(version["times"]["turn"]["count"], 5, "{version}");
    assert_eq!(version["http"]["http_2xx"], 5, "{version}");
    assert_eq!(version["times"]["handshake"]["count"], 1, "{version}");
}
