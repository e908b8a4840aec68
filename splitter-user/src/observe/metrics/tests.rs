use std::collections::BTreeSet;

use splitter_common::{histogram, layout::COUNTERS};

use super::*;
use crate::observe::{
    Figures,
    roster::{InterfaceEntry, TableEntry, tests::roster},
};

/// One of everything, each figure another number.
fn export() -> Export {
    let counted: [u64; COUNTERS] = std::array::from_fn(|cell| 1_000 + cell as u64);
    let mut cells = [0; histogram::CELLS];
    cells[histogram::cell(1_500)] = 40;
    cells[histogram::cell(3_000_000)] = 2;
    let figures = Figures::of_counters(&counted)
        .with_met_empty(77)
        .with_times(Times::Handshake, &cells)
        .with_times(Times::Turn, &cells);
    let backend = Figures::of_counters(&counted);
    let sample = Sample {
        roster: Arc::new(roster(&[(11, 0)])),
        services: vec![vec![VersionSample {
            figures,
            backends: vec![backend],
        }]],
        reasons: vec![
            (Reason::Denied, Verdict::Drop, 5),
            (Reason::Established, Verdict::Redirect, 6),
        ],
        table_events: [1, 2, 3, 4],
    };
    let table = |established| TableEntry {
        established,
        capacity: 1_024,
        entries: 12,
    };
    let host = Host {
        began_s: 1.5e9,
        generation: 3,
        lists_stale: true,
        interfaces: vec![InterfaceEntry {
            name: "eth0".into(),
            attached: true,
            native: false,
            up: true,
        }],
        tables: vec![table(true), table(false)],
        cohorts: vec![("beta".into(), 9)],
    };
    Export {
        sample: Arc::new(sample),
        host: Arc::new(host),
    }
}

fn line<'t>(text: &'t str, begin: &str) -> &'t str {
    let mut lines = text.lines();
    let found = lines.find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("no {begin} in\n{text}"))
}

#[test]
fn the_text_says_what_was_counted() {
    let text = text(export(), true).expect("encoded");
    let of = r#"{service="shop",version="stable""#;
    for (name, value) in [
        (
            format!("splitter_version_received_bytes_total{of}}}"),
            "1001",
        ),
        (
            format!("splitter_version_server_resets_total{of}}}"),
            "1009",
        ),
        (
            format!("splitter_version_server_early_resets_total{of}}}"),
            "1017",
        ),
        (
            format!("splitter_version_http_5xx_answers_total{of}}}"),
            "1021",
        ),
        (format!("splitter_version_unserved_flows_total{of}}}"), "77"),
        (format!("splitter_version_weight_ratio{of}}}"), "1.0"),
        (format!("splitter_version_open_flows{of}}}"), "17.0"),
        (
            format!("splitter_backend_new_flows_total{of},backend=\"10.0.0.11:80\"}}"),
            "1004",
        ),
        (
            "splitter_dropped_packets_total{reason=\"denied\"}".into(),
            "5",
        ),
        ("splitter_established_flow_inserts_total".into(), "3"),
        (
            "splitter_interface_native{interface=\"eth0\"}".into(),
            "0.0",
        ),
        ("splitter_start_time_seconds".into(), "1500000000.0"),
        ("splitter_config_info{digest=\"5e6f\"}".into(), "1"),
    ] {
        assert_eq!(line(&text, &format!("{name} ")), format!("{name} {value}"));
    }
    let turns = "splitter_version_turn_time_seconds_bucket{le=";
    let buckets: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with(turns))
        .collect();
    assert_eq!(buckets.len(), 14, "{buckets:?}");
    for (at, bound, below) in [
        (1, "0.001024", "0"),
        (2, "0.002048", "40"),
        (13, "+Inf", "42"),
    ] {
        let (bound, below) = (format!("{{le=\"{bound}\","), format!("}} {below}"));
        let bucket = buckets[at];
        assert!(
            bucket.contains(&bound) && bucket.ends_with(&below),
            "{bucket}"
        );
    }
    assert_eq!(
        line(&text, "splitter_lists_stale "),
        "splitter_lists_stale 1.0"
    );
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn labels_are_few_and_no_client_adds_a_series() {
    let text = text(export(), true).expect("encoded");
    let labels: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split(['{', ',']).skip(1))
        .filter_map(|label| Some(label.split_once('=')?.0))
        .collect();
    let known = [
        "backend",
        "cohort",
        "digest",
        "interface",
        "le",
        "reason",
        "service",
        "version",
    ];
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), known);
}

#[test]
fn what_is_not_measured_is_left_out() {
    let mut export = export();
    let mut sample = (*export.sample).clone();
    sample.services[0][0].figures = Figures::of_counters(&[1]);
    let mut roster = (*sample.roster).clone();
    roster.services[0].http1 = false;
    sample.roster = Arc::new(roster);
    export.sample = Arc::new(sample);
    let text = text(export, false).expect("encoded");
    assert!(!text.contains("_time_seconds_"), "{text}");
    assert!(!text.contains("http"), "{text}");
    assert!(text.contains("splitter_version_new_flows_total"));
}

#[test]
fn the_document_names_every_metric_and_no_other() {
    let told: BTreeSet<String> = text(export(), false)
        .expect("encoded")
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    let document = include_str!("../../../../docs/METRICS.md");
    let named: BTreeSet<String> = document
        .split('`')
        .filter(|word| word.starts_with("splitter_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(named, told);
}

/// The names in a text, as they stand in an exposition.
fn names(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !part(c))
        .filter(|word| word.starts_with("splitter_"))
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_for_nothing_that_is_not_exported() {
    let exported = text(export(), false).expect("encoded");
    let exported = names(&exported);
    let dashboard = include_str!("../../../dist/splitter-dashboard.json");
    let alerts = include_str!("../../../dist/splitter-alerts.yml");
    for asked in names(dashboard).union(&names(alerts)) {
        assert!(exported.contains(asked), "{asked}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() >= 10)
    );
}

#[test]
fn open_metrics_is_for_those_who_ask() {
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    assert!(takes_open_metrics(prometheus));
    assert!(!takes_open_metrics("text/plain") && !takes_open_metrics("*/*"));
}
