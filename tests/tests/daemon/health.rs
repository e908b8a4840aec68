//! Health: who is in the tables when servers die, come back, or are drained; and that it moves
//! nobody between versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{
    client::{AskError, Client, Reply},
    daemon::Daemon,
    load::{ClientSeen, Load, LoadMode},
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

use crate::scene::{PORT, Scene, config};

/// Quick checks, so that tests need not wait: an answer must name its backend.
const CHECK: &str = "[service.shop.health]\ncheck = \"http\"\npath = \"/healthz\"\n\
                     expect_status = [200]\nexpect_body = \" b\"\ninterval = \"200ms\"\n\
                     rise = 2\nfall = 2\n";

/// How long servers may take to be found out.
const LIMIT: Duration = Duration::from_secs(20);

/// Two stable servers and two of the canary, which has half of the clients.
fn watched(more: &str) -> Scene {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let servers = Server::start_all(&topology, PORT).expect("servers");
    let text = config(&topology, "50%") + more;
    let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
    Scene {
        daemon,
        servers,
        topology,
    }
}

/// The backends of a status with that state of `field`: by the last bytes of their addresses.
fn backends_with(status: &Value, field: &str, wanted: &Value) -> BTreeSet<String> {
    let versions = status["services"][0]["versions"].as_array();
    let versions = versions.expect("versions").iter();
    let backends = versions.flat_map(|version| version["backends"].as_array().expect("backends"));
    backends
        .filter(|backend| backend["health"][field] == *wanted)
        .map(|backend| {
            let address = backend["address"].as_str().expect("an address");
            address
                .trim_start_matches("10.2.0.")
                .trim_start_matches("[fd02::")
                .to_owned()
        })
        .collect()
}

fn v4_and_v6(last: u8) -> [String; 2] {
    [format!("{last}:{PORT}"), format!("{last}]:{PORT}")]
}

/// Waits until each load has put so many questions.
fn until_asked(loads: &[Load], requests: u64) {
    let begin = Instant::now();
    while loads.iter().any(|load| load.report().requests < requests) {
        assert!(begin.elapsed() < LIMIT, "the load stands still");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Scene {
    /// Ends the servers of a backend.
    fn kill(&mut self, backend: &str) {
        self.servers.retain(|server| server.backend() != backend);
    }

    fn revive(&mut self, backend: &str) {
        let mut all = self.topology.backends.iter();
        let found = all.find(|each| each.name == backend).expect("a backend");
        self.servers
            .push(Server::start(found, PORT).expect("a server"));
    }

    /// Waits until exactly these servers, in IPv4 and IPv6, get no new flows.
    fn until_out(&self, out: &[u8]) -> Value {
        let wanted: BTreeSet<String> = out.iter().flat_map(|last| v4_and_v6(*last)).collect();
        let is_so = |status: &Value| backends_with(status, "serves", &Value::Bool(false)) == wanted;
        self.daemon.until(is_so).expect("the tables follow")
    }

    fn versions(&self) -> BTreeMap<IpAddr, String> {
        let clients = self.clients().into_iter();
        clients
            .map(|client| (client, self.explained(client)))
            .collect()
    }

    /// Every client asks a few times over new connections.
    fn ask_all(&self) -> Vec<(IpAddr, Result<Reply, AskError>)> {
        let client = Client::new(&self.topology.client).expect("a client");
        let rounds = 0..4;
        rounds
            .flat_map(|_| client.get_many(&self.clients(), PORT, 8))
            .collect()
    }

    /// Every client is served by its version, and by none of the backends `avoided`.
    fn all_served(&self, versions: &BTreeMap<IpAddr, String>, avoided: &[&str]) {
        for (client, reply) in self.ask_all() {
            let reply = reply.unwrap_or_else(|error| panic!("{client}: {error}\n{}", self.told()));
            assert_eq!(reply.version, versions[&client], "{client}");
            assert!(
                !avoided.contains(&reply.backend.as_str()),
                "{client}: {reply:?}"
            );
        }
    }

    /// Waits until some new flow is answered by that backend.
    fn until_answered_by(&self, backend: &str) {
        let begin = Instant::now();
        loop {
            let replies = self.ask_all();
            let mut good = replies.iter().filter_map(|(_, reply)| reply.as_ref().ok());
            if good.any(|reply| reply.backend == backend) {
                return;
            }
            assert!(
                begin.elapsed() < LIMIT,
                "{backend} gets no flow\n{}",
                self.told()
            );
        }
    }
}

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
fn a_drained_backend_keeps_its_flows_and_gets_no_new_ones() {
    let mut scene = watched("");
    let versions = scene.versions();
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = versions
        .iter()
        .find(|(client, version)| client.is_ipv4() && *version == "stable");
    let (source, _) = source.expect("a client of the baseline");
    let mut open = (0..100)
        .map(|_| {
            client
                .connect(*source, vip_for(*source, PORT))
                .expect("connected")
        })
        .find_map(|mut open| (open.ask().expect("answered").backend == "b1").then_some(open))
        .expect("one of a hundred flows is b1's");
    let backend = format!("10.2.0.11:{PORT}");
    let six = format!("[fd02::11]:{PORT}");
    let drain = ["backend", "drain", "shop", &backend];
    let dry = scene
        .daemon
        .cli_ok(&[&drain[..], &["--dry-run"]].concat())
        .expect("told");
    assert!(
        dry.contains("dry run") && dry.contains("active -> draining"),
        "{dry}"
    );
    scene.until_out(&[]);
    let loads = [LoadMode::NewConnection, LoadMode::KeepAlive].map(|mode| scene.load_at(mode, 150));
    // Long enough that every client has a connection open.
    until_asked(&loads, 100);
    for backend in [&backend, &six] {
        let drain = [
            "backend",
            "drain",
            "shop",
            backend,
            "--reason",
            "a bad disk",
        ];
        scene.daemon.cli_ok(&drain).expect("drained");
    }
    scene.until_out(&[11]);
    scene.all_served(&versions, &["b1"]);
    assert_eq!(open.ask().expect("its flow goes on").backend, "b1");
    until_asked(&loads, 250);
    for load in loads {
        let report = load.stop();
        scene.unharmed(&report);
        let moved = |seen: &ClientSeen| seen.versions.len() > 1;
        assert!(!report.by_client.values().any(moved), "{report:?}");
    }
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    let listed = scene
        .daemon
        .cli_ok(&["backend", "list", "shop"])
        .expect("listed");
    assert!(
        listed.contains("draining by") && listed.contains("a bad disk"),
        "{listed}"
    );
    scene.until_out(&[11]);
    scene.all_served(&versions, &["b1"]);
    assert_eq!(open.ask().expect("its flow goes on").backend, "b1");
    for backend in [&backend, &six] {
        scene
            .daemon
            .cli_ok(&["backend", "activate", "shop", backend])
            .expect("activated");
    }
    scene.until_out(&[]);
    scene.until_answered_by("b1");
    // The file wins, once it changes that backend, and says so.
    scene.daemon.cli_ok(&drain).expect("drained");
    scene.daemon.stop().expect("stopped");
    let heavier = format!("{{ address = \"{backend}\", weight = 2 }}");
    let text = config(&scene.topology, "50%").replace(&format!("\"{backend}\""), &heavier);
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    let status = scene.until_out(&[]);
    let told = format!("the file changed backend {backend}");
    assert!(
        status["warnings"].to_string().contains(&told),
        "{}",
        status["warnings"]
    );
    assert_eq!(open.ask().expect("its flow goes on").backend, "b1");
}

#[test]
fn backends_come_and_go_at_run_time_and_mistakes_are_told() {
    let mut scene = watched("");
    let versions = scene.versions();
    let (first, second) = (format!("10.2.0.11:{PORT}"), format!("10.2.0.12:{PORT}"));
    let daemon = &scene.daemon;
    for backend in [&first, &format!("[fd02::11]:{PORT}")] {
        daemon
            .cli_ok(&["backend", "remove", "shop", "stable", backend])
            .expect("removed");
    }
    scene.all_served(&versions, &["b1"]);
    let off = format!("10.2.0.12:{}", PORT + 1);
    let six = format!("[fd02::13]:{PORT}");
    for (arguments, code, says) in [
        (
            &["backend", "drain", "shop", &second][..],
            5,
            "last active backend of \"stable\"",
        ),
        (&["backend", "drain", "shop", &off], 4, &second),
        (
            &["backend", "drain", "shop", "b1"],
            2,
            "names are not looked up",
        ),
        (
            &["backend", "drain", "shap", &second],
            4,
            "did you mean shop",
        ),
        (
            &["backend", "add", "shop", "canry", &first],
            4,
            "did you mean \"canary\"",
        ),
        (
            &["backend", "add", "shop", "canary", &second],
            5,
            "in version \"stable\"",
        ),
        (
            &["backend", "add", "shop", "canary", "203.0.113.10:80"],
            2,
            "address of VIP",
        ),
        (
            &["backend", "remove", "shop", "stable", &second],
            2,
            "no IPv4 backend",
        ),
        (
            &["backend", "remove", "shop", "stable", &six],
            4,
            "in version \"canary\"",
        ),
    ] {
        let output = scene.daemon.cli(arguments).expect("ran");
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(says), "{arguments:?}: {output:?}");
    }
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    scene.all_served(&versions, &["b1"]);
    let add = [
        "backend", "add", "shop", "stable", &first, "--weight", "3", "-o", "json",
    ];
    let added = scene.daemon.cli_ok(&add).expect("added");
    let added: Value = serde_json::from_str(&added).expect("JSON");
    assert_eq!(
        (&added["before"], &added["after"]),
        (&"absent".into(), &"active".into())
    );
    scene.until_answered_by("b1");
    scene.all_served(&versions, &[]);
    let status = scene.daemon.status_json().expect("a status");
    assert!(
        status["warnings"].as_array().is_some_and(Vec::is_empty),
        "{status}"
    );
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
