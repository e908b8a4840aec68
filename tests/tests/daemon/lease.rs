//! The lease: who takes new flows when nobody watches a release any more.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
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

/// The version that a new connection of `source` gets.
fn version_of(scene: &Scene, source: IpAddr) -> String {
    let client = Client::new(&scene.topology.client).expect("a client");
    let reply = client.get(source, vip_for(source, PORT));
    reply.expect("answered").version
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
    assert_eq!(version_of(&scene, client), "canary", "the daemon lives");
    let kept = Client::new(&scene.topology.client).expect("a client");
    let mut kept = kept
        .connect(client, vip_for(client, PORT))
        .expect("connected");
    assert_eq!(kept.ask().expect("answered").version, "canary");
    scene.daemon.kill9().expect("killed");
    assert_eq!(version_of(&scene, client), "canary", "the lease holds yet");
    scene.daemon.end_lease().expect("ended");
    assert_eq!(version_of(&scene, client), "stable");
    assert_eq!(
        kept.ask().expect("answered").version,
        "canary",
        "open flows go on"
    );
    scene.daemon.serve().expect("restarted");
    assert_eq!(
        version_of(&scene, client),
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
    assert_eq!(version_of(&scene, client), "canary");
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
    assert_eq!(version_of(&scene, client), "canary");
}

#[test]
fn a_stopped_daemon_trips_the_lease_and_a_clean_restart_does_not() {
    let mut scene = scene(false, "20%");
    let client = canary_client(&scene);
    supervise(&scene, "on");
    scene.daemon.stop().expect("stopped");
    assert_eq!(version_of(&scene, client), "canary", "there is a grace");
    scene.daemon.serve().expect("restarted");
    assert_eq!(version_of(&scene, client), "canary");
    let pid = scene
        .daemon
        .pid()
        .and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.expect("a daemon");
    kill_process(pid, Signal::STOP).expect("stopped");
    let begin = Instant::now();
    while version_of(&scene, client) != "stable" {
        assert!(begin.elapsed() < RUN_OUT, "the lease does not run out");
        thread::sleep(Duration::from_millis(500));
    }
    kill_process(pid, Signal::CONT).expect("continued");
    let begin = Instant::now();
    while version_of(&scene, client) != "canary" {
        assert!(begin.elapsed() < RUN_OUT, "the lease is not renewed");
        thread::sleep(Duration::from_millis(100));
    }
}
