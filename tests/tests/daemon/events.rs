//! Events: what operators and the world did to a daemon is told, followed, and known after it was
//! killed.

use serde_json::Value;
use splitter_tests::daemon::Daemon;

use crate::{
    fares::watched,
    scene::{PORT, scene},
};

const CHECK: &str = "[service.shop.health]\ncheck = \"http\"\npath = \"/healthz\"\n\
                     expect_status = [200]\nexpect_body = \" b\"\ninterval = \"200ms\"\n\
                     rise = 2\nfall = 2\n";

fn events(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.api_get("/v1/events").expect("told");
    answer["events"].as_array().expect("events").clone()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["kind"].as_str());
    kinds.map(|kind| kind.expect("a kind")).collect()
}

#[test]
fn what_operators_do_is_told_and_followed_and_outlives_a_killed_daemon() {
    let mut scene = scene(false, "5%");
    let follower = scene.daemon.cli_running(&["events", "-f", "-o", "json"]);
    let mut follower = follower.expect("a follower");
    let told = |kind: &'static str| move |out: &str, _: &str| out.contains(kind);
    follower
        .until(told("\"kind\":\"started\""))
        .expect("what was");
    let set = ["weight", "set", "shop", "canary=20%", "--reason", "fine"];
    scene.daemon.cli_ok(&set).expect("set");
    follower
        .until(told("\"kind\":\"weights\""))
        .expect("what is");
    let backend = format!("{}:{PORT}", scene.topology.backends[0].v4);
    let drain = ["backend", "drain", "shop", &backend, "--reason", "bad disk"];
    scene.daemon.cli_ok(&drain).expect("drained");
    scene.daemon.write_config("nonsense").expect("written");
    scene.daemon.cli(&["reload"]).expect("refused");
    scene.daemon.kill9().expect("killed");
    scene.daemon.end_lease().expect("ended");
    let text = crate::scene::config(&scene.topology, "5%");
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    let events = events(&scene.daemon);
    let kinds = kinds(&events);
    let expected = [
        "started",
        "weights",
        "backend",
        "reload_refused",
        "lease_ran_out",
        "started",
        "stopped",
        "started",
    ];
    assert_eq!(kinds, expected, "{events:#?}");
    let seqs: Vec<u64> = events
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert_eq!(seqs, (1..=8).collect::<Vec<u64>>());
    let weights = &events[1];
    assert_eq!(weights["before"]["canary"], "5%");
    assert_eq!(weights["after"]["canary"], "20%");
    assert_eq!(weights["reason"], "fine");
    assert!(weights["by"].to_string().contains("uid 0"), "{weights}");
    assert_eq!(events[2]["after"], "draining");
    assert_eq!(
        (&events[5]["unclean"], &events[5]["adopted"]),
        (&true.into(), &true.into())
    );
    assert_eq!(events[7]["unclean"], false);
    // The follower has seen all of them, each once, over two daemons that went away.
    let all = |out: &str, _: &str| out.contains("\"seq\":8,");
    follower
        .until(all)
        .expect("it goes on with the next daemon");
    let out = follower.interrupt().expect("ended").stdout;
    let followed: Vec<u64> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64())
        .map(|seq| seq.expect("a number"))
        .collect();
    assert_eq!(followed, seqs);
}

#[test]
fn a_server_that_dies_and_an_interface_that_goes_down_are_told() {
    let mut scene = watched(CHECK);
    scene.until_out(&[]);
    scene.kill("b1");
    scene.until_out(&[11]);
    let interface = scene.topology.lb_interfaces[0];
    let down = ["link", "set", "dev", interface, "down"];
    scene.topology.lb.ip(&down).expect("down");
    let begin = std::time::Instant::now();
    loop {
        let events = events(&scene.daemon);
        let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        if of("health") >= 2 && of("interface") >= 1 {
            let texts: Vec<&Value> = events.iter().map(|event| &event["text"]).collect();
            let told = |part: &str| texts.iter().any(|text| text.to_string().contains(part));
            assert!(
                told(&format!("{interface}: XDP mode")) && told("down"),
                "{texts:?}"
            );
            assert!(told("is unhealthy: "), "{texts:?}");
            break;
        }
        assert!(begin.elapsed() < crate::fares::LIMIT, "{events:#?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
