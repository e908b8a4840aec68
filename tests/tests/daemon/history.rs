//! History of a real daemon: what it counted over time, and the gap that its death leaves.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_tests::{client::Client, topology::vip_for};

use crate::scene::{PORT, Scene, scene};

/// How long it may take until a sample is in history.
const SAMPLE_LIMIT: Duration = Duration::from_secs(20);
/// Longer than what is told second by second.
const DEAD: Duration = Duration::from_secs(6);

fn history(scene: &Scene) -> Value {
    let arguments = ["history", "shop", "--step", "1s", "-o", "json"];
    let text = scene.daemon.cli_ok(&arguments).expect("told");
    serde_json::from_str(&text).expect("JSON")
}

fn cells<'h>(history: &'h Value, version: &str) -> &'h [Value] {
    let versions = history["versions"].as_array().expect("versions");
    let found = versions.iter().find(|each| each["name"] == version);
    found.map_or(&[], |found| found["cells"].as_array().expect("cells"))
}

/// New flows in all cells of both versions, or in the gaps alone.
fn flows(history: &Value, gaps_only: bool) -> u64 {
    ["stable", "canary"]
        .iter()
        .flat_map(|version| cells(history, version))
        .filter(|cell| cell["gap"] == true || !gaps_only)
        .map(|cell| cell["counters"]["new_flows"].as_u64().expect("a number"))
        .sum()
}

/// Waits until history holds all that `status` counts.
fn caught_up(scene: &Scene, before: u64) -> Value {
    let begin = Instant::now();
    loop {
        let told = history(scene);
        let counted = scene.counter("stable", "new_flows") + scene.counter("canary", "new_flows");
        if flows(&told, false) == counted - before && counted > before {
            return told;
        }
        assert!(begin.elapsed() < SAMPLE_LIMIT, "{counted}: {told:#}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn ask(scene: &Scene, times: usize) {
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in scene.clients().iter().cycle().take(times) {
        client
            .get(*source, vip_for(*source, PORT))
            .expect("answered");
    }
}

#[test]
fn a_daemon_that_dies_leaves_a_gap_that_holds_what_came_and_no_spike() {
    let mut scene = scene(false, "30%");
    let begin = Instant::now();
    // Flows before the first sample belong to no cell.
    while history(&scene)["versions"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        assert!(begin.elapsed() < SAMPLE_LIMIT, "no sample");
        thread::sleep(Duration::from_millis(100));
    }
    ask(&scene, 40);
    let told = caught_up(&scene, 0);
    assert_eq!((flows(&told, false), flows(&told, true)), (40, 0));
    scene.daemon.kill9().expect("killed");
    ask(&scene, 60);
    thread::sleep(DEAD);
    scene.daemon.serve().expect("restarted");
    let told = caught_up(&scene, 0);
    assert_eq!(
        (flows(&told, false), flows(&told, true)),
        (100, 60),
        "{told:#}"
    );
    for version in ["stable", "canary"] {
        let gaps: Vec<&Value> = cells(&told, version)
            .iter()
            .filter(|cell| cell["gap"] == true)
            .collect();
        let [gap] = gaps[..] else { panic!("{gaps:?}") };
        assert!(gap["length_s"].as_u64() >= Some(DEAD.as_secs()), "{gap}");
        assert_eq!((&gap["rates"], &gap["seen_s"]), (&Value::Null, &0.into()));
    }
    ask(&scene, 10);
    assert_eq!(flows(&caught_up(&scene, 0), false), 110, "it goes on");
    let table = scene.daemon.cli_ok(&["history", "shop"]).expect("told");
    assert!(
        table.contains(" gap ") && table.contains("without rates"),
        "{table}"
    );
    let arguments = ["history", "shop", "--version", "canary", "-o", "csv"];
    let csv = scene.daemon.cli_ok(&arguments).expect("told");
    assert!(
        csv.lines()
            .skip(1)
            .all(|line| line.contains(",shop,canary,")),
        "{csv}"
    );
    for (arguments, code) in [
        (["history", "shpo", "--since", "5m"], 4),
        (["history", "shop", "--version", "canarx"], 4),
        (["history", "shop", "--since", "0s"], 2),
    ] {
        let output = scene.daemon.cli(&arguments).expect("ran");
        assert_eq!(output.code, Some(code), "{output:?}");
    }
}
