//! Who was seen lately by the fixed daemon.

use crate::api::types::{ClientLine, ClientList, OnBackend, SeenMove, SeenMoves};

pub(super) fn list(service: String, limit: u32) -> ClientList {
    let line = |client: &str, idle_s, segment: Option<&str>| ClientLine {
        client: client.into(),
        idle_s,
        version: "canary".into(),
        segment: segment.map(str::to_owned),
        open_flows: 1,
        flows: 12,
    };
    ClientList {
        service,
        clients: vec![
            line("198.51.100.7", 0.4, Some("staff")),
            line("2001:db8:9:1::/64", 3_725.2, None),
        ],
        more: if limit < 100 { 12_345 } else { 0 },
        sampled_percent: if limit < 100 { 25.0 } else { 100.0 },
    }
}

pub(super) fn moves() -> SeenMoves {
    SeenMoves {
        clients: 12_345,
        sampled_percent: 100.0,
        moves: vec![SeenMove {
            from: "stable".into(),
            to: "canary".into(),
            clients: 617,
            open_flows: 1_203,
            bytes_estimate: Some(34_000_000),
        }],
    }
}

pub(super) fn on_backend() -> OnBackend {
    OnBackend {
        open_flows: 1_234,
        clients: 901,
        sampled_percent: 100.0,
    }
}
