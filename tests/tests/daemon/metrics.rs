//! Metrics: what promtool says of them, and a real Prometheus that scrapes a daemon.

use std::{net::SocketAddr, path::PathBuf};

use splitter_tests::{
    client::Client,
    prometheus::{Prometheus, get, promtool},
    topology::vip_for,
};

use crate::scene::{PORT, Scene, config, scene};

const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9405);

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../splitter-user/dist/splitter-alerts.yml")
}

/// Gives the daemon a configuration with this `[metrics]`, by a reload.
fn reload(scene: &Scene, metrics: &str) -> String {
    let text = format!("{metrics}{}", config(&scene.topology, "10%"));
    scene.daemon.write_config(&text).expect("written");
    scene.daemon.cli_ok(&["reload"]).expect("reloaded")
}

#[test]
fn a_real_prometheus_reads_what_status_says() {
    let scene = scene(false, "10%");
    assert!(
        get(&scene.topology.lb, LISTEN, "/metrics", "*/*").is_err(),
        "off by default"
    );
    let told = reload(&scene, &format!("[metrics]\nlisten = \"{LISTEN}\"\n"));
    assert!(told.contains("+ listen: 127.0.0.1:9405"), "{told}");
    let prometheus = Prometheus::start(&scene.topology.lb, LISTEN, &rules()).expect("started");
    let client = Client::new(&scene.topology.client).expect("a client");
    for source in scene.clients() {
        client.get(source, vip_for(source, PORT)).expect("answered");
    }
    for version in ["stable", "canary"] {
        for (metric, counter) in [
            ("new_flows", "new_flows"),
            ("handshakes", "handshakes"),
            ("received_bytes", "bytes_in"),
            ("sent_packets", "packets_out"),
        ] {
            let labels = format!("{{service=\"shop\",version=\"{version}\"}}");
            let query = format!("splitter_version_{metric}_total{labels}");
            let counted = scene.counter(version, counter) as f64;
            prometheus
                .until(&query, |value| value == counted)
                .expect("the figure of status");
            // Of a version's backends together it is the same.
            if metric != "handshakes" {
                let sum = format!("sum(splitter_backend_{metric}_total{labels})");
                prometheus
                    .until(&sum, |value| value == counted)
                    .expect("the sum");
            }
        }
    }
    let weight = "splitter_version_weight_ratio{version=\"canary\"}";
    prometheus
        .until(weight, |value| value == 0.1)
        .expect("the weight");
    let up = prometheus.until("up", |value| value == 1.0);
    up.expect("Prometheus takes all of the text");
    // Every packet stands under one verdict and reason.
    let status = scene.daemon.status_json().expect("a status");
    let reasons = status["reasons"].as_array().expect("reasons");
    let redirected = reasons
        .iter()
        .filter(|each| each["verdict"] == "redirect" && each["reason"] == "reply")
        .map(|each| each["packets"].as_u64().expect("a number"))
        .sum::<u64>();
    let query = "splitter_redirected_packets_total{reason=\"reply\"}";
    prometheus
        .until(query, |value| value >= redirected as f64 && redirected > 0)
        .expect("the packets of a reason");
    reload(&scene, "");
    prometheus
        .until("up", |value| value == 0.0)
        .expect("nobody listens any more");
}

#[test]
fn promtool_finds_nothing_wrong_with_metrics_and_rules() {
    let scene = scene(false, "10%");
    reload(&scene, &format!("[metrics]\nlisten = \"{LISTEN}\"\n"));
    scene
        .daemon
        .until(|status| {
            let tables = status["tables"].as_array();
            tables.is_some_and(|tables| tables.len() == 2)
        })
        .expect("estimates");
    let ask = |accept: &str| get(&scene.topology.lb, LISTEN, "/metrics", accept);
    let (head, text) = (0..100)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            ask("text/plain").ok()
        })
        .expect("told");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        text.contains("splitter_version_new_flows_total{service=\"shop\""),
        "{text}"
    );
    let told = promtool(&["check", "metrics"], &text).expect("no complaint");
    assert_eq!(told, "");
    let (head, text) = ask("application/openmetrics-text; version=1.0.0").expect("told");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Nothing else is answered there.
    assert!(get(&scene.topology.lb, LISTEN, "/v1/status", "*/*").is_err());
}

#[test]
fn the_rules_hold_and_fire_when_they_should() {
    let rules = rules();
    let rules = rules.to_str().expect("a path");
    promtool(&["check", "rules", rules], "").expect("valid");
    let tests = rules.replace("splitter-alerts.yml", "splitter-alerts.test.yml");
    promtool(&["test", "rules", &tests], "").expect("as they should");
}
