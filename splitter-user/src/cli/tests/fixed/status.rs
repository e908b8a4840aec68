//! What the fixed daemon is doing.

use super::{AT, BY, STAFF};
use crate::api::types::{
    BackendHealth, BackendOverlay, BackendStatus, Counters, FlowEstimate, FlowRules, HttpTurns,
    InterfaceStatus, Limit, LossCount, Overlay, ReasonCount, SegmentStatus, SegmentVersion,
    ServiceStatus, ShareOf, Shares, Status, Supervision, TableFill, Times, TimesOf, VersionStatus,
};

fn fares(healthy: bool) -> BackendHealth {
    BackendHealth {
        state: "active".into(),
        health: if healthy { "healthy" } else { "unhealthy" }.into(),
        since: Some(AT.into()),
        error: (!healthy).then(|| "refused".into()),
        changes: 1,
        serves: healthy,
        weight_reached_percent: if healthy { 30 } else { 100 },
        overlay: healthy.then(|| BackendOverlay {
            what: "added".into(),
            by: BY.into(),
            at: AT.into(),
            reason: Some("more room".into()),
        }),
    }
}

/// Each counter another, so that none can be taken for its neighbour.
pub(in crate::cli::tests) fn distinct_counters() -> Counters {
    Counters {
        packets_in: 1_001,
        bytes_in: 1_002,
        packets_out: 1_003,
        bytes_out: 1_004,
        new_flows: 1_005,
        handshakes: 1_006,
        syns_begun: 1_007,
        syns_answered: 1_008,
        syn_retransmits: 1_009,
        resets_by_client: 1_010,
        resets_by_server: 1_011,
        adopted: 1_012,
        icmp_errors: 1_013,
        diverted: 1_014,
        cut: 1_015,
        inserts_refused: 1_016,
        resets_by_client_early: 1_017,
        resets_by_server_early: 1_018,
    }
}

fn times() -> Times {
    let of = |p50_us| TimesOf {
        count: 4,
        sum_us: 4 * p50_us,
        p50_us: Some(p50_us),
        p90_us: Some(10 * p50_us),
        p99_us: Some(2_000 * p50_us),
        cells: vec![0, 0, 3, 1],
    };
    Times {
        handshake: of(87),
        turn: of(1_240),
        tls_setup: Some(TimesOf::default()),
    }
}

fn shares(share: f64) -> Shares {
    let of = |of: u64, off: f64, clients: f64| ShareOf {
        share,
        interval: Some([share - off, share + off]),
        of,
        as_clients: Some(clients),
    };
    Shares {
        clients: Some(of(123_456, 0.000_625, 123_456.0)),
        flows: Some(of(246_912, 0.003_125, 9_876.5)),
        bytes: Some(ShareOf {
            interval: None,
            as_clients: None,
            ..of(68_200_000_000, 0.0, 0.0)
        }),
    }
}

fn turns() -> HttpTurns {
    HttpTurns {
        http_2xx: 2_000_000,
        http_3xx: 303,
        http_4xx: 404,
        http_5xx: 500,
        http_other: 1,
    }
}

pub(super) fn shop() -> ServiceStatus {
    let counters = Counters {
        packets_in: 48_000_000,
        bytes_in: 7_200_000_000,
        packets_out: 47_000_000,
        bytes_out: 61_000_000_000,
        new_flows: 2_400_000,
        handshakes: 2_399_000,
        syns_begun: 2_400_000,
        syns_answered: 2_399_500,
        syn_retransmits: 31,
        resets_by_client: 120_000,
        resets_by_server: 99_999,
        adopted: 7,
        icmp_errors: 12,
        diverted: 0,
        cut: 5,
        inserts_refused: 3,
        resets_by_client_early: 11,
        resets_by_server_early: 90_000,
    };
    let version =
        |name: &str, baseline, weight_percent, file_weight_percent, address: &str| VersionStatus {
            name: name.into(),
            baseline,
            weight_percent,
            file_weight_percent,
            share_flows: Some(weight_percent / 100.0),
            shares: shares(weight_percent / 100.0),
            new_flows_since: 123_456,
            open_flows: Some(FlowEstimate {
                flows: 1_234_567,
                age_s: 4,
                sampled_percent: 12.5,
            }),
            counters,
            times: times(),
            http: Some(turns()),
            met_empty: if baseline { 0 } else { 40 },
            healthy: usize::from(baseline),
            on_empty: if baseline { "keep" } else { "baseline" }.into(),
            panic: false,
            empty: !baseline,
            backends: vec![BackendStatus {
                address: address.into(),
                weight: 1,
                next_hop: baseline.then(|| "52:54:00:12:34:56 via eth1".into()),
                next_hop_state: if baseline {
                    "resolved"
                } else {
                    "unresolved on eth1"
                }
                .into(),
                health: fares(baseline),
                counters,
                times: times(),
                http: Some(turns()),
            }],
        };
    ServiceStatus {
        flows: FlowRules {
            fate: "drain=5m".into(),
            ends_in_s: vec![0.0, 61.5],
            denied: vec!["198.51.100.0/24".into()],
            allowed: Vec::new(),
            limit: None,
            client_limit: Some(Limit {
                flows_per_s: 200,
                burst: 400,
            }),
        },
        name: "shop".into(),
        vips: vec![
            "203.0.113.10:443/tcp".into(),
            "[2001:db8::10]:443/tcp".into(),
        ],
        forward: "nat".into(),
        key: "client".into(),
        affinity: "tcp flow".into(),
        release: "1".into(),
        generation: 11,
        since: Some(AT.into()),
        versions: vec![
            version("stable", true, 94.9999, 94.9999, "10.0.1.11:8443"),
            version("canary", false, 5.0, 1.0, "[2001:db8:2::11]:8443"),
        ],
        segments: vec![staff()],
        by_hash: [("stable", 1_900_000), ("canary", 120_500)]
            .map(|(version, flows)| (version.to_owned(), flows))
            .into(),
        supervision: Supervision {
            service: "shop".into(),
            on: true,
            by: Some(BY.into()),
            at: Some(AT.into()),
            reason: None,
            without_daemon: "new flows go to stable".into(),
        },
        overlay: Some(Overlay {
            weights: [("canary".to_owned(), "5%".to_owned())].into(),
            by: BY.into(),
            at: AT.into(),
            reason: Some("try".into()),
        }),
    }
}

/// A segment whose weight was set at run time.
fn staff() -> SegmentStatus {
    let version = |version: &str, weight: &str, file_weight: &str, new_flows| SegmentVersion {
        version: version.into(),
        weight: weight.into(),
        file_weight: file_weight.into(),
        new_flows,
    };
    SegmentStatus {
        name: "staff".into(),
        matches: STAFF.into(),
        versions: vec![
            version("stable", "10%", "0%", 41),
            version("canary", "90%", "100%", 379_000),
        ],
        overlay: Some(Overlay {
            weights: [("canary".to_owned(), "90%".to_owned())].into(),
            by: BY.into(),
            at: AT.into(),
            reason: None,
        }),
    }
}

/// A service of which there is nothing to say.
pub(super) fn mail() -> ServiceStatus {
    let health = BackendHealth {
        health: "unchecked".into(),
        since: None,
        changes: 0,
        weight_reached_percent: 100,
        overlay: None,
        ..fares(true)
    };
    ServiceStatus {
        flows: FlowRules {
            fate: "keep".into(),
            ..FlowRules::default()
        },
        name: "mail".into(),
        vips: vec!["203.0.113.25:25/tcp".into()],
        forward: "nat".into(),
        key: "client/24".into(),
        affinity: "tcp flow".into(),
        release: "1".into(),
        generation: 12,
        since: None,
        versions: vec![VersionStatus {
            name: "v1".into(),
            baseline: true,
            weight_percent: 100.0,
            file_weight_percent: 100.0,
            share_flows: None,
            shares: Shares::default(),
            new_flows_since: 0,
            open_flows: None,
            counters: Counters::default(),
            times: Times::default(),
            http: None,
            met_empty: 0,
            healthy: 1,
            on_empty: "keep".into(),
            panic: false,
            empty: false,
            backends: vec![BackendStatus {
                address: "10.0.3.25:25".into(),
                weight: 1,
                next_hop: Some("52:54:00:12:34:57 via eth1".into()),
                next_hop_state: "resolved".into(),
                health,
                counters: Counters::default(),
                times: Times::default(),
                http: None,
            }],
        }],
        overlay: None,
        segments: Vec::new(),
        by_hash: Default::default(),
        supervision: Supervision {
            service: "mail".into(),
            without_daemon: "the split stays".into(),
            ..Supervision::default()
        },
    }
}

/// Everything that it says at once.
pub(in crate::cli) fn status() -> Status {
    let interface = |name: &str, mode: &str| InterfaceStatus {
        name: name.into(),
        ifindex: 2,
        mode: mode.into(),
        wanted: "auto".into(),
        frags: true,
        mtu: 1_500,
        up: true,
        note: None,
    };
    let reason = |reason: &str, verdict: &str, packets| ReasonCount {
        reason: reason.into(),
        verdict: verdict.into(),
        packets,
    };
    Status {
        version: "0.1.0".into(),
        layout_version: 1,
        generation: 12,
        uptime_s: 273_600,
        config_path: "/etc/splitter/splitter.toml".into(),
        secret_digest: "1a2b3c4d".into(),
        config_digest: "5e6f7a8b".into(),
        hz: 250,
        interfaces: vec![interface("eth0", "native"), interface("eth1", "generic")],
        services: vec![shop(), mail()],
        tables: [("established", 1_048_576), ("pending", 262_144)]
            .map(|(table, capacity)| TableFill {
                table: table.into(),
                capacity,
                entries: 27_000,
                fill_percent: 2.6,
                age_s: 4,
                sampled_percent: 12.5,
                inserts: 4_800_000,
                removals: 2_399_000,
            })
            .into(),
        losses: vec![LossCount {
            interface: "eth1".into(),
            ifindex: 3,
            loss: "unsent".into(),
            frames: 17,
        }],
        reasons: vec![
            reason("not_vip", "pass", 9_999_999),
            reason("no_frontend_port", "drop", 3),
        ],
        warnings: vec!["eth1 runs in generic mode".into()],
    }
}
