//! Starts that are refused, and what a stop leaves.

use splitter_tests::{
    client::Client,
    daemon::Daemon,
    load::LoadMode,
    topology::{Topology, TopologyOptions, vip_for},
};
use splitter_user::state::{State, StateDir};

use crate::scene::{PORT, Scene, config, scene};

/// Questions of a load of the scene that are under way at once, at most.
const IN_FLIGHT: u64 = 16;

fn kept(scene: &Scene) -> State {
    let path = scene.daemon.state_path();
    let dir = StateDir::lock(path.parent().expect("a directory")).expect("free");
    dir.load().expect("read").expect("a state")
}

/// The file is applied when the start has succeeded, and not before: what was set at run time over
/// the file of then is still there when the file is put back.
#[test]
fn a_start_over_nothing_that_is_refused_leaves_the_state_as_it_was() {
    let mut scene = scene(false, "10%");
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", "canary=30%"])
        .expect("set");
    scene.daemon.stop().expect("stopped");
    let pin_dir = scene.daemon.pin_dir().to_str().expect("UTF-8").to_owned();
    scene
        .daemon
        .cli_ok(&["detach", "--pin-dir", &pin_dir])
        .expect("detached");
    let before = kept(&scene);
    let other = config(&scene.topology, "20%") + "[[interface]]\nname = \"lo\"\nxdp = \"native\"\n";
    scene.daemon.write_config(&other).expect("written");
    scene.daemon.serve().expect_err("lo has no native XDP");
    assert!(before == kept(&scene), "the state is as it was");
    let good = config(&scene.topology, "10%");
    scene.daemon.write_config(&good).expect("written");
    scene.daemon.serve().expect("started");
    let status = scene.daemon.status_json().expect("a status");
    assert_eq!(status["services"][0]["versions"][1]["weight_percent"], 30.0);

    let mut first = Daemon::prepare(&scene.topology.lb, &other).expect("prepared");
    first.serve().expect_err("refused");
    assert!(!first.state_path().exists(), "nothing was, and nothing is");
}

#[test]
fn two_names_of_one_interface_are_told_as_such() {
    let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
    let lb = &topology.lb;
    let good = config(&topology, "10%");
    let with = |name: &str| format!("{good}[[interface]]\nname = \"{name}\"\nxdp = \"native\"\n");
    let other = [
        "link", "property", "add", "dev", "cli0", "altname", "clients",
    ];
    lb.ip(&other).expect("named");
    let mut daemon = Daemon::prepare(lb, &with("clients")).expect("prepared");
    let error = daemon.serve().expect_err("refused").to_string();
    assert!(
        error.contains("\"clients\" is another name of the interface cli0"),
        "{error}"
    );
    daemon.write_config(&good).expect("written");
    daemon.serve().expect("started");
    // Renamed under the program, and in the file by both names.
    lb.ip(&["link", "set", "cli0", "name", "front0"])
        .expect("renamed");
    daemon.write_config(&with("front0")).expect("written");
    let output = daemon.cli(&["reload"]).expect("ran");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output
            .stderr
            .contains("\"cli0\" and \"front0\" are one interface")
            && output.stderr.contains("name = \"front0\" alone"),
        "{output:?}"
    );
    daemon
        .write_config(&good.replace("\"cli0\"", "\"front0\""))
        .expect("written");
    daemon.cli_ok(&["reload"]).expect("by the name that it has");
    let links = lb.ip(&["link", "show", "front0"]).expect("shown");
    assert!(links.contains("prog/xdp"), "{links}");
}

#[test]
fn detach_on_exit_leaves_nothing_and_only_when_told_to_stop() {
    let mut scene = scene(false, "10%");
    scene.daemon.stop().expect("stopped");
    let option = ["--detach-on-exit"];
    scene.daemon.serve_with(&option).expect("started");
    scene.daemon.kill9().expect("killed");
    let links = || scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(
        links().contains("prog/xdp"),
        "a dead daemon detaches nothing"
    );
    scene.daemon.serve_with(&option).expect("started");
    scene.everyone_gets_what_explain_says();
    let status = scene.daemon.stop().expect("stopped");
    assert!(status.success(), "{status}");
    let links = scene.topology.lb.ip(&["link", "show"]).expect("shown");
    assert!(!links.contains("prog/xdp"), "{links}");
    assert!(!scene.daemon.pin_dir().exists());
    let log = scene.daemon.log();
    assert!(
        log.contains("--detach-on-exit: detached from cli0, srv0"),
        "{log}"
    );
    scene.daemon.serve().expect("started anew");
    scene.everyone_gets_what_explain_says();
}

/// The pins of this layout under another number are those of another layout, as far as a start
/// can tell.
#[test]
fn another_layout_is_replaced_when_its_flows_may_be_lost_and_not_before() {
    let mut scene = scene(false, "10%");
    let loads = [LoadMode::NewConnection, LoadMode::KeepAlive, LoadMode::Udp]
        .map(|mode| scene.load_at(mode, 150));
    scene.ask_on(&loads, 60);
    scene.daemon.stop().expect("stopped");
    let own = scene.daemon.layout_dir();
    let other = own.with_file_name("v9999");
    std::fs::rename(&own, &other).expect("renamed");
    let program = |name: &str| {
        let shown = scene
            .topology
            .lb
            .ip(&["-o", "link", "show", name])
            .expect("shown");
        let id = shown.split("prog/xdp id ").nth(1).expect("a program");
        id.split_whitespace().next().expect("an id").to_owned()
    };
    let before = program("cli0");
    let refused = scene.daemon.serve().expect_err("refused").to_string();
    for wanted in [
        "layout 9999 runs on cli0, srv0",
        "--accept-flow-loss",
        "service shop",
    ] {
        assert!(refused.contains(wanted), "{wanted}: {refused}");
    }
    let flows = refused.split("with ").nth(1).expect("a count");
    let flows: u64 = flows
        .split(' ')
        .next()
        .expect("it")
        .parse()
        .expect("a number");
    assert!(flows > 50, "{refused}");
    assert!(!own.exists());

    // Accepted, but refused by an interface: the other layout goes on, on all of them.
    let good = config(&scene.topology, "10%");
    let with_lo = format!("{good}[[interface]]\nname = \"lo\"\nxdp = \"native\"\n");
    scene.daemon.write_config(&with_lo).expect("written");
    let accept = ["--accept-flow-loss"];
    scene
        .daemon
        .serve_with(&accept)
        .expect_err("lo has no native XDP");
    assert_eq!(program("cli0"), before, "the old program runs");
    assert!(other.join("link_cli0").exists() && other.join("link_srv0").exists());
    assert!(!own.exists());

    scene.daemon.write_config(&good).expect("written");
    scene.daemon.serve_with(&accept).expect("taken over");
    assert_ne!(program("cli0"), before);
    assert!(!other.exists() && own.join("link_cli0").exists());
    scene.ask_on(&loads, 60);
    for load in loads {
        // The decision is the same, so that flows met in the middle go on; answers that were under
        // way when their flow was forgotten are lost.
        let report = load.stop();
        assert!(report.requests > 100, "{report:?}");
        assert!(report.failed <= IN_FLIGHT, "{report:?}");
    }
    scene.everyone_gets_what_explain_says();
    assert!(
        scene
            .daemon
            .log()
            .contains("taken over from layout 9999 on cli0, srv0")
    );
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("nothing to accept any more");
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = scene.topology.clients_v4[0].into();
    client.get(source, vip_for(source, PORT)).expect("answered");
}
