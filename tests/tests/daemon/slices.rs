//! Slow turns and slices of evidence, from real servers: from when on a turn is slow, and that bits and
//! counts of a slice go together while packets come.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{client::Client, load::LoadMode, topology::vip_for};

use crate::{
    evidence::{evidence, judged_scene},
    scene::{PORT, Scene},
};

/// Turns of the baseline before which nobody knows what is slow.
const TURNS: usize = 1_000;
/// How long slices may take to come and go, with much time to spare.
const LIMIT: Duration = Duration::from_secs(120);

/// A figure of a version, in the release or in its slice.
fn counted(told: &Value, version: &str, scope: &str, figure: &str) -> u64 {
    let versions = told["versions"].as_array().expect("versions");
    let found = versions.iter().find(|each| each["name"] == version);
    let figure = &found.expect("the version")[scope][figure];
    figure.as_u64().expect("a number")
}

fn slow_us(scene: &Scene) -> Option<u64> {
    evidence(scene)["ledger"]["slow_us"].as_u64()
}

fn begin_anew(scene: &Scene) {
    let reset = ["evidence", "reset", "shop"];
    scene.daemon.cli_ok(&reset).expect("reset");
}

#[test]
fn a_thousand_turns_of_the_baseline_say_what_is_slow_and_each_client_is_slow_once() {
    let scene = judged_scene("");
    let client = Client::new(&scene.topology.client).expect("a client");
    let (stable, canary): (Vec<IpAddr>, Vec<IpAddr>) = scene
        .clients()
        .into_iter()
        .partition(|source| scene.explained(*source) == "stable");
    let source = stable[0];
    let mut connection = client
        .connect(source, vip_for(source, PORT))
        .expect("connected");
    let mut ask = |times: usize| (0..times).for_each(|_| drop(connection.ask().expect("answered")));
    // One too few.
    ask(TURNS - 1);
    begin_anew(&scene);
    assert_eq!(slow_us(&scene), None, "{}", scene.told());
    ask(1);
    // It is said when a release begins, and not before.
    assert_eq!(slow_us(&scene), None);
    begin_anew(&scene);
    let slow_us = slow_us(&scene).expect("a thousand turns");

    // Slow whatever the machine took for those before.
    let slow = format!("/slow?ms={}", slow_us / 1_000 + 200);
    let (last, slow_ones) = canary.split_last().expect("clients of the canary");
    let ask = |source: IpAddr| {
        let asked = client.get_path(source, vip_for(source, PORT), &slow);
        asked.expect("answered");
    };
    for source in slow_ones {
        ask(*source);
        ask(*source);
    }
    let all = slow_ones.len() as u64;
    let slow_of = |version: &str| {
        let told = evidence(&scene);
        ["release", "slice"].map(|scope| counted(&told, version, scope, "slow"))
    };
    assert_eq!(slow_of("canary"), [all; 2], "{}", scene.told());
    assert_eq!(slow_of("stable"), [0; 2]);
    // A client of the baseline counts by the same bound, and who comes later does.
    ask(source);
    ask(*last);
    assert_eq!(
        (slow_of("canary"), slow_of("stable")),
        ([all + 1; 2], [1; 2])
    );
}

#[test]
fn a_slice_counts_everybody_anew_and_once_while_packets_come() {
    let scene = judged_scene("slice = \"10s\"\n");
    let clients = scene.clients().len() as u64;
    // Of a client: decided, its first flow, handshake and turn.
    let figures = ["decided", "flow", "handshake", "turn"];
    let sums = |told: &Value, scope: &str| {
        figures.map(|figure| {
            let versions = ["stable", "canary"].iter();
            versions
                .map(|version| counted(told, version, scope, figure))
                .sum::<u64>()
        })
    };
    let load = scene.load(LoadMode::NewConnection);
    let (begin, mut whole) = (Instant::now(), Vec::new());
    while whole.len() < 3 {
        let told = evidence(&scene);
        assert_eq!(told["ledger"]["slice_length_s"], 10);
        let (slice, of_slice) = (told["ledger"]["slice"].as_u64(), sums(&told, "slice"));
        let of_release = sums(&told, "release");
        for sum in of_slice.iter().chain(&of_release) {
            assert!(*sum <= clients, "{told}");
        }
        // 0 while it is cleared. A bit that outlived its count would keep a client from being counted.
        if let Some(slice @ 1..) = slice
            && of_slice == [clients; 4]
            && whole.last() != Some(&slice)
        {
            assert!(
                whole.last().is_none_or(|last| last + 1 == slice),
                "{whole:?} {slice}"
            );
            whole.push(slice);
        }
        assert!(
            begin.elapsed() < LIMIT,
            "{whole:?}: {told}\n{}",
            scene.told()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = load.stop();
    scene.unharmed(&report);
    let told = evidence(&scene);
    assert_eq!(sums(&told, "release"), [clients; 4]);

    // Nobody comes: the next slice has nobody, and the release all that it had.
    let slice = |told: &Value| told["ledger"]["slice"].as_u64().expect("a number");
    let last = slice(&told);
    let begin = Instant::now();
    let told = loop {
        let told = evidence(&scene);
        if slice(&told) > last {
            break told;
        }
        assert!(begin.elapsed() < LIMIT, "{told}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (sums(&told, "slice"), sums(&told, "release")),
        ([0; 4], [clients; 4])
    );
}
