//! Survival: what a dead, second or powerless daemon and a lost or old state do.

use std::{
    collections::BTreeMap,
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use splitter_tests::{cells::nothing_counted, client::Client, load::LoadMode, topology::vip_for};
use splitter_user::{
    secret,
    state::{OverlayRecord, StateDir},
};

use crate::scene::{PORT, config, scene};

#[test]
fn kill_9_and_restart_under_load_hurt_nobody() {
    let mut scene = scene(false, "10%");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    let (new, kept, datagrams) = (
        scene.load_at(LoadMode::NewConnection, 200),
        scene.load_at(LoadMode::KeepAlive, 150),
        scene.load_at(LoadMode::Udp, 100),
    );
    thread::sleep(Duration::from_millis(700));
    scene.daemon.kill9().expect("killed");
    let before = new.report().requests;
    // However slow the machine is.
    let begin = Instant::now();
    while new.report().requests <= before + 50 {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "traffic goes on without the daemon"
        );
        thread::sleep(Duration::from_millis(50));
    }
    scene.daemon.serve().expect("restarted");
    thread::sleep(Duration::from_millis(700));
    for load in [new, kept, datagrams] {
        scene.unharmed(&load.stop());
    }
    let status = scene.daemon.status_json().expect("a status");
    let canary = &status["services"][0]["versions"][1];
    assert_eq!(
        canary["weight_percent"], 30.0,
        "the weight set at run time is kept"
    );
    assert_eq!(canary["file_weight_percent"], 10.0);
    scene.everyone_gets_what_explain_says();
}

/// All that a daemon does before it touches the kernel, then no more, as when the power goes.
#[test]
fn a_commit_that_was_cut_short_is_finished_by_the_next_start() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let path = scene.daemon.state_path();
    let mut dir = StateDir::lock(path.parent().expect("a directory")).expect("free");
    let mut state = dir.load().expect("read").expect("a state");
    let record = OverlayRecord {
        weights_ppm: BTreeMap::from([("canary".to_owned(), 300_000)]),
        by: "uid 0".to_owned(),
        at: String::new(),
        reason: None,
    };
    state.overlays.insert("shop".to_owned(), record);
    let file = splitter_user::config::load(&scene.daemon.config_path()).expect("a configuration");
    let (config, _) = state.effective(&file);
    let secret = secret::load(&scene.daemon.secret_path()).expect("a secret");
    let next = state.numbers.next(&config, &secret, &nothing_counted());
    state.numbers = next.expect("numbers");
    dir.save(&state, None).expect("saved");
    drop(dir);
    scene.daemon.serve().expect("restarted");
    let status = scene.daemon.status_json().expect("a status");
    assert_eq!(status["generation"], state.numbers.generation);
    assert_eq!(status["services"][0]["versions"][1]["weight_percent"], 30.0);
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_lost_state_file_moves_nobody() {
    let mut scene = scene(false, "10%");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=60%"])
        .expect("set");
    let kept = scene.load(LoadMode::KeepAlive);
    thread::sleep(Duration::from_millis(500));
    scene.daemon.stop().expect("stopped");
    std::fs::write(scene.daemon.state_path(), "no database").expect("written");
    let damaged = scene.daemon.serve().expect_err("damaged").to_string();
    assert!(damaged.contains("move it away"), "{damaged}");
    std::fs::remove_file(scene.daemon.state_path()).expect("removed");
    // The salt is in the tables, so the guard still knows who would be drawn anew.
    let good = config(&scene.topology, "10%");
    let renamed = good.replace("[service.shop]\n", "[service.shop]\nrelease = \"2\"\n");
    scene.daemon.write_config(&renamed).expect("written");
    let refused = scene.daemon.serve().expect_err("a salt in use").to_string();
    assert!(refused.contains("the release, the salt group"), "{refused}");
    scene.daemon.write_config(&good).expect("written");
    scene.daemon.serve().expect("restarted");
    thread::sleep(Duration::from_millis(500));
    scene.unharmed(&kept.stop());
    let status = scene.daemon.status_json().expect("a status");
    assert_eq!(status["services"][0]["versions"][1]["weight_percent"], 60.0);
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("the state file was lost") && warnings.contains("canary=60%"),
        "{warnings}"
    );
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_start_that_is_refused_changes_nothing() {
    let mut scene = scene(false, "0%");
    scene.daemon.stop().expect("stopped");
    let before = scene.daemon.generation().expect("a generation");
    let all = config(&scene.topology, "100%");
    let with_lo = format!("[[interface]]\nname = \"lo\"\nxdp = \"native\"\n{all}");
    scene.daemon.write_config(&with_lo).expect("written");
    scene.daemon.serve().expect_err("lo has no native XDP");
    assert_eq!(scene.daemon.generation().expect("a generation"), before);
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in scene.clients() {
        let reply = client.get(source, vip_for(source, PORT)).expect("answered");
        assert_eq!(reply.version, "stable", "{source}");
    }
}

#[test]
fn a_start_that_the_plan_refuses_leaves_the_mode_of_xdp() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let wanted = config(&scene.topology, "10%")
        .replace("xdp = \"native\"", "xdp = \"generic\"")
        .replace("[service.shop]\n", "[service.shop]\nrelease = \"2\"\n");
    scene.daemon.write_config(&wanted).expect("written");
    let error = scene.daemon.serve().expect_err("a salt in use").to_string();
    assert!(error.contains("the release has changed"), "{error}");
    let links = scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(!links.contains("xdpgeneric"), "{links}");
    // A later interface that cannot be had takes the mode back too.
    let wanted = config(&scene.topology, "10%").replace("xdp = \"native\"", "xdp = \"generic\"")
        + "[[interface]]\nname = \"lo\"\nxdp = \"native\"\n";
    scene.daemon.write_config(&wanted).expect("written");
    scene.daemon.serve().expect_err("lo has no native XDP");
    let links = scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(!links.contains("xdpgeneric"), "{links}");
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in scene.clients() {
        client.get(source, vip_for(source, PORT)).expect("answered");
    }
}

#[test]
fn without_state_a_file_that_groups_backends_otherwise_is_refused() {
    let mut scene = scene(false, "0%");
    scene.daemon.stop().expect("stopped");
    std::fs::remove_file(scene.daemon.state_path()).expect("removed");
    let good = config(&scene.topology, "0%");
    let of_stable: Vec<String> = scene
        .topology
        .backends_of("stable")
        .map(|backend| format!("\"{}:{PORT}\"", backend.v4))
        .collect();
    // One backend of the stable version is the canary's now.
    let moved = good
        .replacen(&format!("{}, ", of_stable[1]), "", 1)
        .replace(
            "weight = \"0%\"\nbackends = [",
            &format!("weight = \"0%\"\nbackends = [{}, ", of_stable[1]),
        );
    assert_ne!(moved, good);
    scene.daemon.write_config(&moved).expect("written");
    let error = scene.daemon.serve().expect_err("whose is it").to_string();
    assert!(
        error.contains("the state file was lost or is old"),
        "{error}"
    );
    scene.daemon.write_config(&good).expect("written");
    scene.daemon.serve().expect("as it was");
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_flow_that_was_reset_is_explained_no_more() {
    let scene = scene(false, "0%");
    let address = scene.topology.client.run(|| {
        let stream = TcpStream::connect(("203.0.113.10", PORT)).expect("connected");
        let address = stream.local_addr().expect("an address");
        // Closing resets.
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&stream, linger).expect("set");
        address
    });
    let explained = || {
        let path = format!(
            "/v1/services/shop/explain?client={}&port={}",
            address.ip(),
            address.port()
        );
        scene.daemon.api_get(&path).expect("explained")["live_flow"].clone()
    };
    assert_eq!(explained()["state"], "closing");
    thread::sleep(Duration::from_secs(11));
    assert!(explained().is_null(), "{}", explained());
    assert_eq!(scene.counter("stable", "resets_by_client"), 1);
}

#[test]
fn a_second_daemon_and_one_without_rights_are_refused() {
    let scene = scene(false, "10%");
    let output = scene.daemon.serve_by(&[]).expect("ran");
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("a splitter daemon runs on the pins"),
        "{output:?}"
    );
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let output = scene.daemon.serve_by(&powerless).expect("ran");
    assert_eq!(output.code, Some(6), "{output:?}");
    assert!(
        output.stderr.contains("CAP_BPF") && output.stderr.contains("root"),
        "{output:?}"
    );
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_state_file_from_a_backup_is_not_believed() {
    let mut scene = scene(false, "10%");
    let old = std::fs::read(scene.daemon.state_path()).expect("a state file");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    scene.everyone_gets_what_explain_says();
    scene.daemon.stop().expect("stopped");
    std::fs::write(scene.daemon.state_path(), old).expect("written");
    scene.daemon.serve().expect("restarted");
    let told = scene.told();
    assert!(
        told.contains("older than the data plane") && told.contains("canary=30%"),
        "{told}"
    );
    scene.everyone_gets_what_explain_says();
}

#[test]
fn detach_takes_the_program_off_and_the_maps_are_readable_before() {
    let mut scene = scene(false, "10%");
    scene.everyone_gets_what_explain_says();
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    let pin = scene.daemon.layout_dir().join("map_BACKENDS");
    let dump = Command::new("bpftool")
        .args(["map", "dump", "pinned"])
        .arg(&pin)
        .output();
    let dump = dump.expect("bpftool, which `cargo xtask setup` installs");
    let text = String::from_utf8_lossy(&dump.stdout);
    assert!(
        text.contains("\"address\"") && text.contains("\"born\""),
        "field names are printed"
    );

    let pin_dir = scene.daemon.pin_dir().to_str().expect("UTF-8").to_owned();
    let running = scene
        .daemon
        .cli_offline(&["--socket", "/nonexistent", "detach", "--pin-dir", &pin_dir])
        .expect("ran");
    assert_eq!(
        running.code,
        Some(5),
        "a running daemon is not robbed: {running:?}"
    );
    scene.daemon.stop().expect("stopped");
    let text = scene
        .daemon
        .cli_ok(&["detach", "--pin-dir", &pin_dir])
        .expect("detached");
    assert!(text.contains("cli0") && text.contains("srv0"), "{text}");
    assert!(!scene.daemon.pin_dir().exists());
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.topology.clients_v4[0].into();
    assert!(
        client.get(source, vip_for(source, PORT)).is_err(),
        "nobody answers for the VIP"
    );

    scene.daemon.serve().expect("started again, on new maps");
    scene.everyone_gets_what_explain_says();
    let status = scene.daemon.status_json().expect("a status");
    let versions = status["services"][0]["versions"].as_array();
    let flows = |version: &serde_json::Value| version["new_flows_since"].as_u64().expect("a count");
    let counted: u64 = versions.expect("versions").iter().map(flows).sum();
    let asked = 2 * scene.clients().len() as u64;
    assert_eq!(counted, asked, "shares begin anew with the counters");
}
