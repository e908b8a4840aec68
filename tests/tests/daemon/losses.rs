//! Losses after the verdict: frames that the program has sent on and that no interface took.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use splitter_tests::topology::vip_for;

use crate::scene::{PORT, Scene, scene};

/// How long what has to come is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// Datagrams into nowhere.
const SENT: u64 = 50;

/// The losses that `status` tells: interface, kind, frames.
fn losses(scene: &Scene) -> Vec<(String, String, u64)> {
    let status = scene.daemon.status_json().expect("a status");
    let told = status["losses"].as_array().expect("losses").iter();
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    told.map(|each| {
        let frames = each["frames"].as_u64().expect("a number");
        (word(&each["interface"]), word(&each["loss"]), frames)
    })
    .collect()
}

fn warnings(scene: &Scene) -> String {
    scene.daemon.status_json().expect("a status")["warnings"].to_string()
}

/// While nobody looks after the data plane the backends' side goes away, and clients send.
fn send_into_nowhere(scene: &Scene) {
    let pid = scene
        .daemon
        .pid()
        .and_then(|pid| Pid::from_raw(pid.cast_signed()))
        .expect("a daemon");
    kill_process(pid, Signal::STOP).expect("stopped");
    scene.topology.set_lb_port(false).expect("down");
    scene.topology.client.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound");
        let target = vip_for(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);
        for _ in 0..SENT {
            socket.send_to(b"x", target).expect("sent");
        }
    });
    scene.topology.set_lb_port(true).expect("up");
    kill_process(pid, Signal::CONT).expect("continued");
}

#[test]
fn frames_that_vanish_after_the_verdict_are_counted_where_they_do() {
    let mut scene = scene(false, "50%");
    scene.everyone_gets_what_explain_says();
    assert_eq!(losses(&scene), [], "nothing is lost in a clean run");
    assert!(
        !warnings(&scene).contains("counted"),
        "{}",
        warnings(&scene)
    );
    send_into_nowhere(&scene);
    let expected = [("srv0".to_owned(), "unsent".to_owned(), SENT)];
    assert_eq!(losses(&scene), expected);
    let begin = Instant::now();
    while !warnings(&scene).contains("srv0 loses frames") {
        assert!(begin.elapsed() < LIMIT, "{}", warnings(&scene));
        thread::sleep(Duration::from_millis(100));
    }
    assert!(scene.told().contains("frames lost after the verdict"));
    // A daemon that comes back tells what was lost, and counts on.
    scene.daemon.kill9().expect("killed");
    scene.daemon.serve().expect("restarted");
    assert_eq!(losses(&scene), expected);
    assert!(!warnings(&scene).contains("srv0 loses frames"));
    send_into_nowhere(&scene);
    assert_eq!(losses(&scene)[0].2, 2 * SENT);
}
