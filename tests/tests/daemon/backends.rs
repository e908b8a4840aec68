//! Single backends: drained, added and removed at run time, and what the file has to say to it.

use serde_json::Value;
use splitter_tests::{
    client::Client,
    load::{ClientSeen, LoadMode},
    topology::vip_for,
};

use crate::{
    fares::{until_asked, watched},
    scene::{PORT, config},
};

#[test]
fn a_drained_backend_keeps_its_flows_and_gets_no_new_ones() {
    let mut scene = watched("");
    let versions = scene.versions();
    let client = Client::new(&scene.topology.client).expect("a client");
    let source = versions
        .iter()
        .find(|(client, version)| client.is_ipv4() && *version == "stable");
    let (source, _) = source.expect("a client of the baseline");
    let mut open = (0..100)
        .map(|_| {
            client
                .connect(*source, vip_for(*source, PORT))
                .expect("connected")
        })
        .find_map(|mut open| (open.ask().expect("answered").backend == "b1").then_some(open))
        .expect("one of a hundred flows is b1's");
    let backend = format!("10.2.0.11:{PORT}");
    let six = format!("[fd02::11]:{PORT}");
    let drain = ["backend", "drain", "shop", &backend];
    let dry = scene
        .daemon
        .cli_ok(&[&drain[..], &["--dry-run"]].concat())
        .expect("told");
    assert!(
        dry.contains("dry run") && dry.contains("active -> draining"),
        "{dry}"
    );
    scene.until_out(&[]);
    let loads = [LoadMode::NewConnection, LoadMode::KeepAlive].map(|mode| scene.load_at(mode, 150));
    // Long enough that every client has a connection open.
    until_asked(&loads, 100);
    for backend in [&backend, &six] {
        let drain = [
            "backend",
            "drain",
            "shop",
            backend,
            "--reason",
            "a bad disk",
        ];
        scene.daemon.cli_ok(&drain).expect("drained");
    }
    scene.until_out(&[11]);
    scene.all_served(&versions, &["b1"]);
    assert_eq!(open.ask().expect("its flow goes on").backend, "b1");
    until_asked(&loads, 250);
    for load in loads {
        let report = load.stop();
        scene.unharmed(&report);
        let moved = |seen: &ClientSeen| seen.versions.len() > 1;
        assert!(!report.by_client.values().any(moved), "{report:?}");
    }
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    let listed = scene
        .daemon
        .cli_ok(&["backend", "list", "shop"])
        .expect("listed");
    assert!(
        listed.contains("draining by") && listed.contains("a bad disk"),
        "{listed}"
    );
    scene.until_out(&[11]);
    scene.all_served(&versions, &["b1"]);
    assert_eq!(open.ask().expect("its flow goes on").backend, "b1");
    for backend in [&backend, &six] {
        scene
            .daemon
            .cli_ok(&["backend", "activate", "shop", backend])
            .expect("activated");
    }
    scene.until_out(&[]);
    scene.until_answered_by("b1");
}

#[test]
fn a_file_that_changes_a_backend_wins_over_what_was_set_for_it() {
    let mut scene = watched("");
    let backend = format!("10.2.0.11:{PORT}");
    let drain = ["backend", "drain", "shop", &backend];
    scene.daemon.cli_ok(&drain).expect("drained");
    scene.daemon.stop().expect("stopped");
    let heavier = format!("{{ address = \"{backend}\", weight = 2 }}");
    let text = config(&scene.topology, "50%").replace(&format!("\"{backend}\""), &heavier);
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.serve().expect("restarted");
    let status = scene.until_out(&[]);
    let told = format!("the file changed backend {backend}");
    assert!(
        status["warnings"].to_string().contains(&told),
        "{}",
        status["warnings"]
    );
}

#[test]
fn backends_come_and_go_at_run_time() {
    let mut scene = watched("");
    let versions = scene.versions();
    let first = format!("10.2.0.11:{PORT}");
    let daemon = &scene.daemon;
    for backend in [&first, &format!("[fd02::11]:{PORT}")] {
        daemon
            .cli_ok(&["backend", "remove", "shop", "stable", backend])
            .expect("removed");
    }
    scene.all_served(&versions, &["b1"]);
    scene.daemon.stop().expect("stopped");
    scene.daemon.serve().expect("restarted");
    scene.all_served(&versions, &["b1"]);
    let add = [
        "backend", "add", "shop", "stable", &first, "--weight", "3", "-o", "json",
    ];
    let added = scene.daemon.cli_ok(&add).expect("added");
    let added: Value = serde_json::from_str(&added).expect("JSON");
    assert_eq!(
        (&added["before"], &added["after"]),
        (&"absent".into(), &"active".into())
    );
    scene.until_answered_by("b1");
    scene.all_served(&versions, &[]);
    let status = scene.daemon.status_json().expect("a status");
    assert!(
        status["warnings"].as_array().is_some_and(Vec::is_empty),
        "{status}"
    );
}

#[test]
fn mistakes_with_backends_are_told() {
    let scene = watched("");
    let (first, second) = (format!("10.2.0.11:{PORT}"), format!("10.2.0.12:{PORT}"));
    let remove = ["backend", "remove", "shop", "stable", &first];
    scene.daemon.cli_ok(&remove).expect("removed");
    let off = format!("10.2.0.12:{}", PORT + 1);
    let six = format!("[fd02::13]:{PORT}");
    for (arguments, code, says) in [
        (
            &["backend", "drain", "shop", &second][..],
            5,
            "last active backend of \"stable\"",
        ),
        (&["backend", "drain", "shop", &off], 4, &second),
        (
            &["backend", "drain", "shop", "b1"],
            2,
            "names are not looked up",
        ),
        (
            &["backend", "drain", "shap", &second],
            4,
            "did you mean shop",
        ),
        (
            &["backend", "add", "shop", "canry", &first],
            4,
            "did you mean \"canary\"",
        ),
        (
            &["backend", "add", "shop", "canary", &second],
            5,
            "in version \"stable\"",
        ),
        (
            &["backend", "add", "shop", "canary", "203.0.113.10:80"],
            2,
            "address of VIP",
        ),
        (
            &["backend", "remove", "shop", "stable", &second],
            2,
            "no IPv4 backend",
        ),
        (
            &["backend", "remove", "shop", "stable", &six],
            4,
            "in version \"canary\"",
        ),
    ] {
        let output = scene.daemon.cli(arguments).expect("ran");
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(says), "{arguments:?}: {output:?}");
    }
    scene.until_out(&[]);
}
