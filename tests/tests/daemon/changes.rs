//! Changes: weights under load, and what the file and the command line may not do.

use std::{thread, time::Duration};

use splitter_tests::load::{
    LoadMode,
    cpu::{CpuMeter, cpu_busy_fraction},
};

use crate::scene::{config, scene};

#[test]
fn a_weight_change_under_load_hurts_nobody() {
    for mode in [LoadMode::NewConnection, LoadMode::KeepAlive, LoadMode::Udp] {
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
