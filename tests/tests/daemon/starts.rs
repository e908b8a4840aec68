//! Starts that are refused, and what a stop leaves.

use splitter_tests::{
    daemon::Daemon,
    topology::{Topology, TopologyOptions},
};

use crate::scene::{config, scene};

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
    let before = std::fs::read(scene.daemon.state_path()).expect("a state");
    let other = config(&scene.topology, "20%") + "[[interface]]\nname = \"lo\"\nxdp = \"native\"\n";
    scene.daemon.write_config(&other).expect("written");
    scene.daemon.serve().expect_err("lo has no native XDP");
    let after = std::fs::read(scene.daemon.state_path()).expect("a state");
    assert!(before == after, "the state is as it was");
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
