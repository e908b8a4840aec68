//! The fate of open flows, and who is served: over real connections, and with the daemon dead.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use splitter_tests::{
    client::{AskError, Client, Persistent},
    topology::vip_for,
};

use crate::scene::{PORT, Scene, config, scene};

/// Downloads that are tried to be cut.
const DOWNLOADS: usize = 20;
/// How long what has to come is waited for.
const LIMIT: Duration = Duration::from_secs(30);

impl Scene {
    /// A connection of every client, asked once, with the version that serves it.
    fn connections<'c>(&self, client: &'c Client) -> Vec<(Persistent<'c>, String)> {
        let clients = self.clients().into_iter();
        clients
            .map(|source| {
                let opened = client.connect(source, vip_for(source, PORT));
                let mut open = opened.expect("connected");
                let version = open.ask().expect("answered").version;
                assert_eq!(version, self.explained(source), "{source}");
                (open, version)
            })
            .collect()
    }

    /// Connections to the service's port that are established in a backend's namespace, by IPv4.
    fn established_at(&self, backend: Ipv4Addr) -> usize {
        let backends = &self.topology.backends;
        let found = backends.iter().find(|each| each.v4 == backend);
        let read = || fs::read_to_string("/proc/thread-self/net/tcp");
        let text = found.expect("the backend").netns.run(read).expect("read");
        // Local address and port in hex, remote ones, state: 01 is established.
        let port = format!(":{PORT:04X}");
        let lines = text.lines().map(str::split_whitespace);
        lines
            .filter(|line| {
                let words: Vec<&str> = line.clone().collect();
                words[1].ends_with(&port) && words[3] == "01"
            })
            .count()
    }

    fn flows_text(&self) -> String {
        self.daemon.cli_ok(&["status", "shop"]).expect("a status")
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reset_cuts_only_clients_between_the_two_weights() {
    // With 32 clients that nobody is kept, or nobody cut, comes once in 90,000 secrets.
    let scene = scene(false, "60%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let open = scene.connections(&client);
    let set = ["weight", "set", "shop", "canary=30%", "--flows", "reset"];
    let told = scene.daemon.cli_ok(&set).expect("set");
    assert!(told.contains("are reset at their next packet"), "{told}");
    let (mut cut, mut kept_canary) = (0, 0);
    for (mut open, before) in open {
        let source = open.source();
        let after = scene.explained(source);
        let asked = open.ask();
        if before == after {
            let version = asked.expect("its flow goes on").version;
            assert_eq!(version, before, "{source}");
            kept_canary += u64::from(version == "canary");
            continue;
        }
        assert_eq!(asked.expect_err("cut"), AskError::Reset, "{source}");
        cut += 1;
        let again = client.get(source, vip_for(source, PORT)).expect("anew");
        assert_eq!(again.version, after, "{source}");
    }
    assert!(cut > 0 && kept_canary > 0, "{cut} cut, {kept_canary} kept");
    assert_eq!(scene.counter("canary", "cut"), cut);
    assert_eq!(scene.counter("stable", "cut"), 0);
    // What was left out of the change has no fate of its own.
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=0%"])
        .expect("set");
    assert_eq!(scene.counter("canary", "cut"), cut);
}

#[test]
fn both_ends_of_a_flow_that_is_cut_are_closed() {
    let scene = scene(false, "100%");
    let source = scene.clients().into_iter().find(IpAddr::is_ipv4);
    let source = source.expect("an IPv4 client");
    let backends: Vec<Ipv4Addr> = scene
        .topology
        .backends_of("canary")
        .map(|backend| backend.v4)
        .collect();
    let open = || -> usize {
        let each = backends.iter();
        each.map(|backend| scene.established_at(*backend)).sum()
    };
    let set = |weight: &str| {
        let weight = format!("canary={weight}");
        let set = ["weight", "set", "shop", &weight, "--flows", "reset"];
        scene.daemon.cli_ok(&set).expect("set");
    };
    // A download may be over before its weight is taken away: another one then.
    let cut = (0..DOWNLOADS).any(|_| {
        set("100%");
        let ended = thread::scope(|scope| {
            let netns = &scene.topology.client;
            let download = scope.spawn(move || {
                let client = Client::new(netns).expect("a client");
                client.get_path(source, vip_for(source, PORT), "/bytes?n=67108864")
            });
            until("it has begun", || open() == 1 || download.is_finished());
            set("0%");
            download.join().expect("it ran")
        });
        ended == Err(AskError::Reset)
    });
    assert!(cut, "{}", scene.told());
    until("the backend's end is closed", || open() == 0);
}

#[test]
fn a_drain_is_kept_with_the_daemon_dead() {
    let mut scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = scene.connections(&client);
    let set = ["weight", "set", "shop", "canary=0%", "--flows", "drain=4s"];
    let told = scene.daemon.cli_ok(&set).expect("set");
    assert!(told.contains("end after 4s"), "{told}");
    assert!(
        scene.flows_text().contains("decided otherwise end in"),
        "{}",
        scene.flows_text()
    );
    for (open, version) in &mut open {
        assert_eq!(&open.ask().expect("not yet").version, version);
    }
    scene.daemon.kill9().expect("killed");
    for (mut open, version) in open {
        let source = open.source();
        if version == "canary" {
            until("its time is up", || match open.ask() {
                Ok(_) => false,
                Err(error) => {
                    assert_eq!(error, AskError::Reset, "{source}");
                    true
                }
            });
        } else {
            assert_eq!(open.ask().expect("it stays").version, version, "{source}");
        }
    }
    scene.daemon.serve().expect("restarted");
    assert!(scene.counter("canary", "cut") > 0);
    assert_eq!(scene.counter("stable", "cut"), 0);
}

#[test]
fn a_drained_backend_lets_go_of_its_flows_in_time() {
    let scene = scene(false, "0%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open: Vec<(Persistent<'_>, String)> = scene
        .clients()
        .into_iter()
        .map(|source| {
            let opened = client.connect(source, vip_for(source, PORT));
            let mut open = opened.expect("connected");
            let backend = open.ask().expect("answered").backend;
            (open, backend)
        })
        .collect();
    for backend in [format!("10.2.0.11:{PORT}"), format!("[fd02::11]:{PORT}")] {
        let drain = ["backend", "drain", "shop", &backend, "--flows", "drain=2s"];
        let told = scene.daemon.cli_ok(&drain).expect("drained");
        assert!(told.contains("end after 2s"), "{told}");
    }
    let mut cut = 0;
    for (open, backend) in &mut open {
        if backend != "b1" {
            continue;
        }
        until("its time is up", || match open.ask() {
            Ok(_) => false,
            Err(error) => error == AskError::Reset,
        });
        cut += 1;
    }
    assert!(cut > 0);
    for (open, backend) in &mut open {
        if backend != "b1" {
            assert_eq!(&open.ask().expect("it stays").backend, backend);
        }
    }
}

#[test]
fn a_denied_client_is_cut_at_once_and_served_again_when_it_is_no_longer() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = scene.connections(&client);
    let denied = open[0].0.source();
    let usual = config(&scene.topology, "50%");
    let with = usual.replace(
        "[service.shop]\n",
        &format!("[service.shop]\ndeny = [\"{denied}\"]\n"),
    );
    scene.daemon.write_config(&with).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    for (open, version) in &mut open {
        let source = open.source();
        let asked = open.ask();
        if source == denied {
            assert_eq!(asked.expect_err("cut"), AskError::Reset);
        } else {
            assert_eq!(&asked.expect("it stays").version, version, "{source}");
        }
    }
    let target = vip_for(denied, PORT);
    assert_eq!(client.get(denied, target), Err(AskError::Timeout));
    let explained = scene
        .daemon
        .cli_ok(&["explain", "shop", &denied.to_string()])
        .expect("explained");
    assert!(explained.contains("denied, whatever"), "{explained}");
    assert!(
        scene.flows_text().contains(&format!("denied: {denied}")),
        "{}",
        scene.flows_text()
    );
    scene.daemon.write_config(&usual).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    client.get(denied, target).expect("served again");
}

#[test]
fn a_client_beyond_its_limit_leaves_the_others_alone() {
    let scene = scene(false, "50%");
    let limited = config(&scene.topology, "50%").replace(
        "[service.shop]\n",
        "[service.shop]\nlimit = { client_flows_per_s = 1, client_burst = 5 }\n",
    );
    scene.daemon.write_config(&limited).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    let client = Client::new(&scene.topology.client).expect("a client");
    let clients = scene.clients();
    let greedy = clients[0];
    let answers = client.get_many(&[greedy; 40], PORT, 40);
    drop(answers);
    let status = scene.daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    assert!(
        reasons.iter().any(|each| each["reason"] == "limited"),
        "{status}"
    );
    for source in clients.into_iter().filter(|source| *source != greedy) {
        client
            .get(source, vip_for(source, PORT))
            .expect("others are served");
    }
}

#[test]
fn a_version_without_backend_says_so_when_told_to_and_is_blamed_in_any_case() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let of_canary = |source: &IpAddr| scene.explained(*source) == "canary" && source.is_ipv4();
    let source = scene.clients().into_iter().find(of_canary);
    let source = source.expect("a client of the canary");
    for backend in scene.topology.backends_of("canary") {
        let backend = format!("{}:{PORT}", backend.v4);
        let disable = ["backend", "disable", "shop", &backend];
        scene.daemon.cli_ok(&disable).expect("disabled");
    }
    let target = vip_for(source, PORT);
    let served = client.get(source, target).expect("by the baseline");
    assert_eq!(served.version, "stable");
    let blamed = || {
        let status = scene.daemon.status_json().expect("a status");
        let canary = &status["services"][0]["versions"][1];
        canary["met_empty"].as_u64().expect("a number")
    };
    assert_eq!(blamed(), 1);
    let resets = config(&scene.topology, "50%").replace(
        "weight = \"50%\"\n",
        "weight = \"50%\"\non_empty = \"reset\"\n",
    );
    scene.daemon.write_config(&resets).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    assert_eq!(client.get(source, target), Err(AskError::Refused));
    assert_eq!(blamed(), 2);
}

#[test]
fn flows_are_ended_by_client_and_by_version_and_come_back_to_where_they_belong() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let mut open = scene.connections(&client);
    let chosen = open[0].0.source();
    let by_client = chosen.to_string();
    let reset = |arguments: &[&str]| {
        let all = [&["flows", "reset", "shop"], arguments].concat();
        scene.daemon.cli_ok(&all).expect("reset")
    };
    let told = reset(&["--client", &by_client, "--dry-run"]);
    assert!(told.contains("1 flow would be reset"), "{told}");
    let told = reset(&["--client", &by_client, "--reason", "a test"]);
    assert!(told.contains("1 flow reset"), "{told}");
    for (open, version) in &mut open {
        let (source, asked) = (open.source(), open.ask());
        if source == chosen {
            assert_eq!(asked.expect_err("ended"), AskError::Reset);
        } else {
            assert_eq!(&asked.expect("it stays").version, version, "{source}");
        }
    }
    reset(&["--version", "canary"]);
    for (mut open, version) in open.into_iter().skip(1) {
        let (source, asked) = (open.source(), open.ask());
        if version == "canary" {
            assert_eq!(asked.expect_err("ended"), AskError::Reset, "{source}");
            let again = client.get(source, vip_for(source, PORT)).expect("anew");
            assert_eq!(again.version, version, "{source}");
        } else {
            assert_eq!(asked.expect("it stays").version, version, "{source}");
        }
    }
    let refused = scene
        .daemon
        .cli(&["flows", "reset", "shop", "--version", "canry"])
        .expect("ran");
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
}
