//! Tests of what is asked and told of flows.

use clap::Parser as _;

use super::super::{args::Cli, flows, status, tests::fixed};
use crate::api::types::{FlowCount, FlowLine, FlowList, FlowStates, VersionFlows};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn flows_are_told_with_what_was_left_out() {
    let flow = FlowLine {
        client: "198.51.100.7:40000".into(),
        vip: "203.0.113.10:443/tcp".into(),
        version: "canary".into(),
        backend: "10.0.2.11:8443".into(),
        state: "established".into(),
        age_s: 3_725.2,
        idle_s: 0.4,
    };
    let mut list = FlowList {
        service: "shop".into(),
        flows: vec![flow],
        more: 12_345,
    };
    let told = flows::list(&list);
    assert!(
        told.contains("established  1h 2m   0s") && told.contains("and 12,345 more"),
        "{told}"
    );
    list.flows.clear();
    assert_eq!(flows::list(&list), "shop: no such flow\n");
    let states = |pending| FlowStates {
        established: 5,
        closing: 1,
        adopted: 2,
        leaving: 0,
        pending,
    };
    let counted = |pending| FlowCount {
        service: "shop".into(),
        flows: 8,
        versions: vec![VersionFlows {
            name: "stable".into(),
            flows: 8,
            states: states(pending),
        }],
    };
    let told = flows::counts(&counted(None));
    assert!(
        told.starts_with("shop: 8 flows\n") && told.ends_with("-\n"),
        "{told}"
    );
    assert!(flows::counts(&counted(Some(9))).ends_with("9\n"));
}

#[test]
fn status_tells_open_flows_and_full_tables_as_estimates() {
    let told = status::table(&fixed::status(), false);
    for line in [
        "  flows stable ~1,234,567, canary ~1,234,567 (4s old)\n",
        "tables: established ~3 % of 1,048,576, pending ~3 % of 262,144\n",
    ] {
        assert!(told.contains(line), "{line} in\n{told}");
    }
}

#[test]
fn a_prefix_that_is_none_is_refused_before_the_daemon_is_asked() {
    assert!(parse("splitter flows count shop --client 10.0.0.0/8 --version v").is_ok());
    for bad in ["10.0.0.1/8", "x", "10.0.0.0/33"] {
        let line = format!("splitter flows list shop --client {bad}");
        assert!(parse(&line).is_err(), "{bad}");
    }
    assert!(parse("splitter flows list shop --limit 0").is_err());
}
