//! The real daemon over real packets, sockets and servers. Needs root.

#[path = "daemon/scene.rs"]
mod scene;

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    thread,
    time::Duration,
};

use aya::programs::links::PinnedLink;
use splitter_tests::{
    client::Client,
    daemon::Daemon,
    load::{
        LoadMode,
        cpu::{CpuMeter, cpu_busy_fraction},
    },
    server::Server,
    topology::{Topology, TopologyOptions, vip_for},
};

use crate::scene::{PORT, config, scene};

#[test]
fn splits_tcp_and_udp_of_both_families_over_two_interfaces() {
    let scene = scene(false, "50%");
    scene.everyone_gets_what_explain_says();
    for version in ["stable", "canary"] {
        assert!(scene.counter(version, "handshakes") > 0, "{version}");
        let begun = scene.counter(version, "syns_begun");
        assert_eq!(begun, scene.counter(version, "syns_answered"), "{version}");
        assert_eq!(begun, scene.counter(version, "handshakes"), "{version}");
    }
    let answered: u64 = scene.servers.iter().map(Server::datagrams_answered).sum();
    let tcp: u64 = scene.servers.iter().map(Server::connections_accepted).sum();
    let flows = scene.counter("stable", "new_flows") + scene.counter("canary", "new_flows");
    assert_eq!(flows, answered + tcp, "every flow reached a server once");
}

#[test]
fn splits_on_a_single_interface() {
    let scene = scene(true, "50%");
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_weight_change_under_load_hurts_nobody() {
    for mode in [LoadMode::NewConnection, LoadMode::KeepAlive] {
        let scene = scene(false, "0%");
        // What else the machine does is not this load's.
        let others = cpu_busy_fraction(Duration::from_millis(400)).expect("a fraction");
        let load = scene.load(mode);
        let cpu = CpuMeter::start().expect("a meter");
        for weight in ["10%", "50%", "100%", "10%", "0.0001%"] {
            thread::sleep(Duration::from_millis(400));
            scene
                .daemon
                .cli_ok(&["weight", "set", "shop", &format!("canary={weight}")])
                .expect("set");
        }
        thread::sleep(Duration::from_millis(400));
        let busy = cpu.busy_fraction().expect("a fraction");
        let report = load.stop();
        scene.unharmed(&report);
        assert!(
            busy - others < 0.7,
            "the load must leave room: {busy}, {others} before it"
        );
    }
}

#[test]
fn kill_9_and_restart_under_load_hurt_nobody() {
    let mut scene = scene(false, "10%");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    let (new, kept) = (
        scene.load(LoadMode::NewConnection),
        scene.load(LoadMode::KeepAlive),
    );
    thread::sleep(Duration::from_millis(700));
    scene.daemon.kill9().expect("killed");
    let before = new.report().requests;
    thread::sleep(Duration::from_millis(1_000));
    assert!(
        new.report().requests > before + 100,
        "traffic goes on without the daemon"
    );
    scene.daemon.serve().expect("restarted");
    thread::sleep(Duration::from_millis(700));
    let (new, kept) = (new.stop(), kept.stop());
    scene.unharmed(&new);
    scene.unharmed(&kept);
    let status = scene.daemon.status_json().expect("a status");
    let canary = &status["services"][0]["versions"][1];
    assert_eq!(
        canary["weight_percent"], 30.0,
        "the weight set at run time is kept"
    );
    assert_eq!(canary["file_weight_percent"], 10.0);
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_changed_file_wins_over_the_weight_set_at_run_time() {
    let mut scene = scene(false, "10%");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    scene.daemon.stop().expect("stopped");
    scene
        .daemon
        .write_config(&config(&scene.topology, "20%"))
        .expect("written");
    scene.daemon.serve().expect("restarted");
    let status = scene.daemon.status_json().expect("a status");
    assert_eq!(status["services"][0]["versions"][1]["weight_percent"], 20.0);
    assert!(
        status["warnings"].to_string().contains("dropped"),
        "{}",
        status["warnings"]
    );
    scene.everyone_gets_what_explain_says();
}

#[test]
fn the_first_syn_to_an_unresolved_neighbour_reaches_the_backend() {
    // Nobody resolves beforehand: the daemon is dead, its lease is over, the neighbours are gone.
    let mut scene = scene(false, "0%");
    scene.daemon.kill9().expect("killed");
    scene.daemon.end_lease().expect("ended");
    let lb = &scene.topology.lb;
    lb.ip(&["neigh", "flush", "dev", "srv0"]).expect("flushed");
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in [
        scene.topology.clients_v4[0].into(),
        scene.topology.clients_v6[0].into(),
    ] {
        let source: IpAddr = source;
        let reply = client
            .get(source, vip_for(source, PORT))
            .expect("answered at once");
        assert_eq!(reply.version, "stable");
    }
    scene.daemon.serve().expect("restarted");
    let status = scene.daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    let handed_over: u64 = reasons
        .iter()
        .filter(|count| count["verdict"] == "resolve" && count["reason"] == "new_flow")
        .map(|count| count["packets"].as_u64().expect("a count"))
        .sum();
    assert_eq!(handed_over, 2, "{reasons:?}");
}

#[test]
fn other_traffic_through_and_to_the_host_passes() {
    let scene = scene(false, "50%");
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.topology.clients_v4[0].into();
    let backend = &scene.topology.backends[0];
    let direct = SocketAddr::new(backend.v4.into(), PORT);
    let reply = client.get(source, direct).expect("routed past the VIP");
    assert_eq!(
        reply.server,
        IpAddr::V4(backend.v4),
        "the reply keeps the backend's address"
    );
}

#[test]
fn the_command_line_says_what_is_wrong_and_what_to_do() {
    let mut scene = scene(false, "10%");
    for (arguments, code, says) in [
        (&["weight", "set", "shoop", "canary=5%"][..], 4, "shop"),
        (&["weight", "set", "shop", "canry=5%"], 4, "canary"),
        (&["weight", "set", "shop", "canary=120%"], 2, "100%"),
        (&["weight", "set", "shop", "stable=10%"], 2, "rest"),
        (&["explain", "shop", "not-an-address"], 2, "not-an-address"),
    ] {
        let output = scene.daemon.cli(arguments).expect("ran");
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(says), "{arguments:?}: {output:?}");
    }
    scene.daemon.stop().expect("stopped");
    let output = scene.daemon.cli(&["status"]).expect("ran");
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("splitter serve"), "{output:?}");
}

#[test]
fn a_release_changes_only_while_nobody_is_in_the_canary() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let renamed = config(&scene.topology, "10%")
        .replace("[service.shop]\n", "[service.shop]\nrelease = \"2\"\n");
    scene.daemon.write_config(&renamed).expect("written");
    let error = scene.daemon.serve().expect_err("refused");
    let told = format!("{error:#}\n{}", scene.daemon.log());
    assert!(
        told.contains("the release has changed") && told.contains("canary"),
        "{told}"
    );
    let zero = renamed.replace("weight = \"10%\"", "weight = \"0%\"");
    scene.daemon.write_config(&zero).expect("written");
    scene
        .daemon
        .serve()
        .expect("a salt that nobody depends on may change");
}

#[test]
fn a_foreign_program_and_an_absent_interface_are_named() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let good = config(&topology, "10%");
    let absent = good.replace("name = \"srv0\"", "name = \"srv7\"");
    let mut daemon = Daemon::prepare(&topology.lb, &absent).expect("prepared");
    assert!(daemon.serve().is_err());
    assert!(
        daemon.log().contains("srv7") && daemon.log().contains("srv0"),
        "{}",
        daemon.log()
    );

    let first = Daemon::start(&topology.lb, &good).expect("started");
    daemon.write_config(&good).expect("written");
    assert!(daemon.serve().is_err());
    assert!(
        daemon.log().contains("another XDP program"),
        "{}",
        daemon.log()
    );
    drop(first);
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
    assert!(told.contains("older than the data plane"), "{told}");
    scene.everyone_gets_what_explain_says();
}

#[test]
fn a_way_that_does_not_carry_the_program_is_named() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lone =
        config(&topology, "10%").replace("[[interface]]\nname = \"srv0\"\nxdp = \"native\"\n", "");
    let daemon = Daemon::start(&topology.lb, &lone).expect("a daemon");
    let status = daemon.status_json().expect("a status");
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("is reached by srv0, which does not carry the program"),
        "{warnings}"
    );
}

#[test]
fn a_mode_that_is_refused_leaves_the_one_that_ran() {
    let mut scene = scene(false, "10%");
    let good = config(&scene.topology, "10%");
    let with_lo = |mode| format!("[[interface]]\nname = \"lo\"\nxdp = \"{mode}\"\n{good}");
    scene.daemon.stop().expect("stopped");
    scene
        .daemon
        .write_config(&with_lo("generic"))
        .expect("written");
    scene.daemon.serve().expect("lo takes generic XDP");
    scene.daemon.stop().expect("stopped");
    scene
        .daemon
        .write_config(&with_lo("native"))
        .expect("written");
    let error = scene.daemon.serve().expect_err("lo has no native XDP");
    let told = format!("{error:#}\n{}", scene.daemon.log());
    assert!(
        told.contains("refuses native XDP") && told.contains("it runs in the mode it had"),
        "{told}"
    );
    let links = scene
        .topology
        .lb
        .ip(&["link", "show", "lo"])
        .expect("shown");
    assert!(links.contains("xdpgeneric"), "{links}");
}

#[test]
fn an_interface_is_free_as_soon_as_it_was_detached() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let pin_dir = scene.daemon.pin_dir().to_str().expect("UTF-8").to_owned();
    // Whoever looks at the link, as `bpftool link` does, holds it: the pin alone is not all.
    let link = scene.daemon.layout_dir().join("link_cli0");
    let held = PinnedLink::from_pin(link).expect("a link");
    scene
        .daemon
        .cli_ok(&["detach", "--pin-dir", &pin_dir])
        .expect("detached");
    let links = scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(!links.contains("prog/xdp"), "{links}");
    scene.daemon.serve().expect("attached at once");
    drop(held);
}
