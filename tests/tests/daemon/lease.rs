//! The lease: who takes new flows when nobody watches a release any more.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use splitter_common::layout::Control;
use splitter_tests::{client::Client, topology::vip_for};

use crate::scene::{PORT, Scene, scene};

/// Longer than a lease that nobody renews.
const RUN_OUT: Duration = Duration::from_secs(45);

/// A client of the canary.
fn canary_client(scene: &Scene) -> IpAddr {
    let clients = scene.clients();
    let mut of_canary = clients
        .into_iter()
        .filter(|each| scene.explained(*each) == "canary");
    of_canary.next().expect("a client of the canary")
}

fn supervise(scene: &Scene, switch: &str) -> String {
    let arguments = [
        "lease",
        "supervise",
        switch,
        "shop",
        "--reason",
        "a release",
    ];
    scene.daemon.cli_ok(&arguments).expect("set")
}

#[test]
fn a_supervised_release_falls_back_when_the_daemon_is_dead_and_comes_back_with_it() {
    let mut scene = scene(false, "20%");
    let client = canary_client(&scene);
    let told = supervise(&scene, "on");
    assert!(
        told.contains("shop is supervised; without the daemon new flows go to stable"),
        "{told}"
    );
    assert_eq!(scene.served_by(client), "canary", "the daemon lives");
    let kept = Client::new(&scene.topology.client).expect("a client");
    let mut kept = kept
        .connect(client, vip_for(client, PORT))
        .expect("connected");
    assert_eq!(kept.ask().expect("answered").version, "canary");
    scene.daemon.kill9().expect("killed");
    assert_eq!(scene.served_by(client), "canary", "the lease holds yet");
    scene.daemon.end_lease().expect("ended");
    assert_eq!(scene.served_by(client), "stable");
    assert_eq!(
        kept.ask().expect("answered").version,
        "canary",
        "open flows go on"
    );
    scene.daemon.serve().expect("restarted");
    assert_eq!(
        scene.served_by(client),
        "canary",
        "supervision outlives the daemon"
    );
    assert_eq!(scene.counter("stable", "diverted"), 1);
    let status = scene.told();
    assert!(status.contains("supervised by"), "{status}");
    // What nobody supervises stays as it is.
    supervise(&scene, "off");
    scene.daemon.kill9().expect("killed");
    scene.daemon.end_lease().expect("ended");
    assert_eq!(scene.served_by(client), "canary");
}

#[test]
fn a_release_of_more_than_the_fail_safe_weight_is_frozen() {
    let mut scene = scene(false, "60%");
    let client = canary_client(&scene);
    let told = supervise(&scene, "on");
    let why = "the split stays: canary has more than failsafe_max_weight, 25%";
    assert!(told.contains(why), "{told}");
    scene.daemon.kill9().expect("killed");
    scene.daemon.end_lease().expect("ended");
    assert_eq!(scene.served_by(client), "canary");
}

#[test]
fn a_stopped_daemon_trips_the_lease_and_a_clean_restart_does_not() {
    let mut scene = scene(false, "20%");
    let client = canary_client(&scene);
    supervise(&scene, "on");
    scene.daemon.stop().expect("stopped");
    assert_eq!(scene.served_by(client), "canary", "there is a grace");
    scene.daemon.serve().expect("restarted");
    assert_eq!(scene.served_by(client), "canary");
    let pid = scene
        .daemon
        .pid()
        .and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.expect("a daemon");
    kill_process(pid, Signal::STOP).expect("stopped");
    let begin = Instant::now();
    while scene.served_by(client) != "stable" {
        assert!(begin.elapsed() < RUN_OUT, "the lease does not run out");
        thread::sleep(Duration::from_millis(500));
    }
    kill_process(pid, Signal::CONT).expect("continued");
    let begin = Instant::now();
    while scene.served_by(client) != "canary" {
        assert!(begin.elapsed() < RUN_OUT, "the lease is not renewed");
        thread::sleep(Duration::from_millis(100));
    }
}

/// For how many seconds the lease holds, by the clock that the daemon read last.
fn lease_s(scene: &Scene) -> f64 {
    let word = |word| scene.daemon.control(word).expect("a word") as f64;
    (word(Control::LeaseUntil) - word(Control::Jiffies)) / word(Control::Hz)
}

/// What the daemon takes the time for, by what it writes of a change.
fn told_year(scene: &Scene, weight: &str) -> i32 {
    scene
        .daemon
        .cli_ok(&["weight", "set", "shop", weight])
        .expect("set");
    let status = scene.daemon.status_json().expect("a status");
    let at = status["services"][0]["overlay"]["at"]
        .as_str()
        .expect("a time");
    at[..4].parse().expect("a year")
}

#[test]
fn a_wall_clock_that_jumps_changes_neither_lease_nor_members_nor_anybodys_version() {
    let mut scene = scene(false, "20%");
    scene.daemon.stop().expect("stopped");
    scene.daemon.give_own_clock().expect("a clock");
    scene.daemon.serve().expect("started");
    let client = canary_client(&scene);
    supervise(&scene, "on");
    for arguments in [
        &["cohort", "create", "beta"][..],
        &["cohort", "add", "beta", "198.51.100.7", "--ttl", "1h"],
    ] {
        scene.daemon.cli_ok(arguments).expect("done");
    }
    let year = told_year(&scene, "canary=21%");
    for (offset, years, weight) in [
        ("+800d", 2..=3, "canary=22%"),
        ("-800d", -3..=-2, "canary=23%"),
    ] {
        scene.daemon.set_clock(offset).expect("set");
        let jumped = told_year(&scene, weight) - year;
        assert!(years.contains(&jumped), "its clock was set: {jumped} years");
        // A lease that nobody renewed would be short by now, one by the wall clock endless.
        thread::sleep(Duration::from_secs(8));
        let lease_s = lease_s(&scene);
        assert!((24.0..=31.0).contains(&lease_s), "{offset}: {lease_s} s");
        assert_eq!(scene.served_by(client), "canary", "{offset}");
        let member = scene
            .daemon
            .cli_ok(&["cohort", "test", "198.51.100.7", "-o", "json"]);
        let member: Value = serde_json::from_str(&member.expect("told")).expect("JSON");
        let left_s = member["cohorts"][0]["left_s"].as_f64().expect("an end");
        assert!(
            (3_000.0..=3_600.0).contains(&left_s),
            "{offset}: {left_s} s"
        );
    }
    let status = scene.told();
    assert!(status.contains("supervised by"), "{status}");
}
