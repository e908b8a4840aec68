//! Traces: what is told of a client's packets is what became of them, of no other client's, and no more
//! than is read.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;
use splitter_tests::{client::Client, daemon::Running, load::LoadMode, topology::vip_for};

use crate::scene::{PORT, Scene, config, scene};

/// So many tries until something shows; each takes a few milliseconds.
const TRIES: usize = 500;

fn trace(scene: &Scene, more: &[&str]) -> Running {
    let arguments = [&["trace", "-o", "json"], more].concat();
    scene.daemon.cli_running(&arguments).expect("a trace")
}

/// What was told so far.
fn lines(out: &str) -> Vec<Value> {
    let whole = out.rfind('\n').map_or("", |end| &out[..end]);
    let lines = whole.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// A client asks until its trace tells a packet that ended so.
fn ask_until(scene: &Scene, trace: &Running, client: IpAddr, reason: &str) -> Vec<Value> {
    let asking = Client::new(&scene.topology.client).expect("a client");
    for _ in 0..TRIES {
        // A client that is denied gets no answer.
        let _answer = asking.get(client, vip_for(client, PORT));
        let told = lines(&trace.stdout());
        if told.iter().any(|line| line["reason"] == reason) {
            return told;
        }
    }
    panic!("no {reason}: {}\n{}", trace.stdout(), scene.told());
}

#[test]
fn a_clients_packets_are_told_as_what_became_of_them() {
    let scene = scene(false, "50%");
    let clients = scene.clients();
    for client in [clients[0], clients[clients.len() - 1]] {
        let text = client.to_string();
        let trace = trace(&scene, &["--client", &text, "--service", "shop"]);
        ask_until(&scene, &trace, client, "new_flow");
        // The others ask too.
        scene.everyone_gets_what_explain_says();
        let told = ask_until(&scene, &trace, client, "reply");
        let path = format!("/v1/services/shop/explain?client={client}");
        let explained = scene.daemon.api_get(&path).expect("explained");
        for reason in ["new_flow", "handshake", "established", "reply"] {
            assert!(
                told.iter().any(|line| line["reason"] == reason),
                "no {reason}: {told:#?}"
            );
        }
        for line in &told {
            let decision = &line["decision"];
            let (from, to) = (line["source"].to_string(), line["destination"].to_string());
            let its = if line["reply"] == true { &to } else { &from };
            assert!(its.contains(&text), "of another client: {line:#}");
            assert_eq!(decision["service"], "shop", "{line:#}");
            assert_eq!(decision["version"], explained["version"], "{line:#}");
            assert_eq!(decision["hash_hex"], explained["hash_hex"], "{line:#}");
            if line["reply"] == true {
                let backend = decision["backend"].as_str().expect("a backend");
                assert!(from.contains(backend), "{line:#}");
            }
        }
        let syn = told.iter().find(|line| line["reason"] == "new_flow");
        let syn = syn.expect("looked for above");
        assert_eq!(
            (
                &syn["verdict"],
                &syn["protocol"],
                &syn["flags"],
                &syn["interface"]
            ),
            (
                &"redirect".into(),
                &"tcp".into(),
                &"SYN".into(),
                &scene.topology.lb_interfaces[0].into()
            )
        );
        assert_eq!(syn["decision"]["flow"], "pending", "{syn:#}");
    }
}

#[test]
fn what_is_dropped_is_told_and_a_trace_ends_where_it_was_asked_to() {
    let scene = scene(false, "50%");
    let client = scene.clients()[0];
    let text = config(&scene.topology, "50%").replace(
        "[service.shop.version.stable]",
        &format!("deny = [\"{client}\"]\n[service.shop.version.stable]"),
    );
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded");
    let client_text = client.to_string();
    let one = trace(&scene, &["--client", &client_text, "--limit", "1"]);
    let told = ask_until(&scene, &one, client, "denied");
    assert_eq!(told[0]["verdict"], "drop", "{told:#?}");
    assert_eq!(told[0]["decision"]["generation"], Value::Null, "{told:#?}");
    assert_eq!(one.end().expect("ended by itself").code, Some(0));
    let refused = scene
        .daemon
        .cli(&["trace", "--client", "10.0.0.1", "--service", "shpo"]);
    let refused = refused.expect("ran");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let timed = scene
        .daemon
        .cli(&["trace", "--client", "192.0.2.1", "--for", "1s"]);
    let timed = timed.expect("ran");
    assert_eq!(timed.code, Some(0), "{timed:?}");
    assert_eq!(timed.stdout, "(ended after 1s; --for asks for longer)\n");
}

#[test]
fn no_more_packets_are_told_than_are_read_and_four_traces_run_at_once() {
    let mut scene = scene(false, "50%");
    let all = ["--client", "0.0.0.0/0"];
    let mut traces: Vec<Running> = (0..4).map(|_| trace(&scene, &all)).collect();
    let load = scene.load_at(LoadMode::NewConnection, 1_000);
    for each in &mut traces {
        each.until(|out, _| out.contains("{\"untold\":"))
            .expect("some are left out");
    }
    let fifth = scene.daemon.cli(&["trace", "--client", "10.0.0.1"]);
    let fifth = fifth.expect("ran");
    assert_eq!(fifth.code, Some(5), "{fifth:?}");
    assert!(fifth.stderr.contains("4 traces run already"), "{fifth:?}");
    let report = load.stop();
    assert_eq!(report.failed, 0, "{report:?}");
    // Whoever goes away makes room.
    drop(traces.pop());
    let again = (0..TRIES).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let one = scene
            .daemon
            .cli(&["trace", "--client", "10.0.0.1", "--for", "1s"]);
        (one.expect("ran").code == Some(0)).then_some(())
    });
    assert!(again.is_some(), "the place of one that went stays taken");
    // The daemon waits for no reader.
    scene.daemon.stop().expect("stopped");
    for each in traces {
        let ended = each.end().expect("ended with the daemon");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
