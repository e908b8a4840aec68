//! What the fixed daemon remembers.

use super::distinct_counters;
use crate::api::types::{
    Counters, History, HistoryCell, HistoryQuery, HttpTurns, Quantiles, Rates, VersionHistory,
};

fn seen(at: &str, flows: u64, turn_time: Option<Quantiles>) -> HistoryCell {
    let counters = Counters {
        new_flows: flows,
        ..distinct_counters()
    };
    HistoryCell {
        at: at.into(),
        length_s: 60,
        gap: false,
        seen_s: 60,
        counters,
        met_empty: 3,
        http: turn_time.map(|_| HttpTurns {
            http_2xx: 2_002,
            http_3xx: 2_003,
            http_4xx: 2_004,
            http_5xx: 2_005,
            http_other: 2_009,
        }),
        rates: Some(Rates {
            new_flows_per_s: flows as f64 / 60.0,
            packets_per_s: 1_234_567.0,
            bytes_per_s: 250_000.0,
            resets_per_s: 0.05,
            syn_retransmits_per_s: 0.0,
            http_5xx_per_s: turn_time.map(|_| 33.4),
        }),
        handshake_time: None,
        turn_time,
    }
}

/// Two versions with a gap.
pub(super) fn history(query: HistoryQuery) -> History {
    let gap = |flows| HistoryCell {
        gap: true,
        length_s: 95,
        seen_s: 0,
        rates: None,
        ..seen("2026-01-02T03:05:00Z", flows, None)
    };
    let turn = Quantiles {
        count: 5,
        p50_s: 0.001_234,
        p90_s: 0.05,
        p99_s: 1.5,
    };
    let version = |name: &str, flows, turn| VersionHistory {
        name: name.into(),
        cells: vec![seen("2026-01-02T03:04:00Z", flows, turn), gap(flows * 2)],
    };
    let mut versions = vec![
        version("stable", 9_000, Some(turn)),
        version("canary", 90, None),
    ];
    versions.retain(|each| query.version.as_ref().is_none_or(|name| *name == each.name));
    if query.since.as_deref() == Some("7days") {
        versions
            .iter_mut()
            .for_each(|version| version.cells.clear());
    }
    History {
        service: "shop".into(),
        step_s: 60,
        from: "2026-01-02T03:04:00Z".into(),
        until: "2026-01-02T03:06:35Z".into(),
        versions,
    }
}
