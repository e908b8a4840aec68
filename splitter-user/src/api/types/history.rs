//! Owns the JSON of history.

use serde::{Deserialize, Serialize};
use splitter_common::histogram;

use super::{Counters, HttpTurns};

/// What can stand behind the `?` of `GET /v1/services/{name}/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// From when on: how long ago, `10m`, or a time, `2026-01-02T03:04:05Z`; ten minutes without.
    pub since: Option<String>,
    /// Until when, the same way; now without.
    pub until: Option<String>,
    /// Only this version.
    pub version: Option<String>,
    /// `1s`, `1m` or `auto`.
    pub step: Option<String>,
}

/// What came over time, of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The service.
    pub service: String,
    /// Length of a cell, in seconds.
    pub step_s: u64,
    /// From when on.
    pub from: String,
    /// Before when.
    pub until: String,
    /// Each version, those of the configuration first.
    pub versions: Vec<VersionHistory>,
}

/// A version over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionHistory {
    /// Its name.
    pub name: String,
    /// Cells and gaps in order of time. Where there is none, nobody looked yet, or it is forgotten.
    pub cells: Vec<HistoryCell>,
}

/// What came in one cell, or in a gap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryCell {
    /// When it begins.
    pub at: String,
    /// How long it is, in seconds.
    pub length_s: u64,
    /// Nobody took samples: what is counted came some time in it, and there are no rates.
    pub gap: bool,
    /// For how long samples were taken, in seconds; less than the length where a gap begins or ends.
    pub seen_s: u64,
    /// What was counted.
    pub counters: Counters,
    /// New flows of its clients while it had no backend.
    pub met_empty: u64,
    /// Turns by the class of their HTTP status; `None` where it is not read.
    #[serde(default)]
    pub http: Option<HttpTurns>,
    /// The same by time; `None` in a gap.
    pub rates: Option<Rates>,
    /// From the first SYN to the SYN-ACK; `None` where it is not measured, or none was.
    pub handshake_time: Option<Quantiles>,
    /// From a question to its answer; `None` where it is not measured, or none was.
    pub turn_time: Option<Quantiles>,
}

/// Per second, over the time in which samples were taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Flows begun.
    pub new_flows_per_s: f64,
    /// Packets, both ways.
    pub packets_per_s: f64,
    /// Bytes of IP packets, both ways.
    pub bytes_per_s: f64,
    /// Flows reset, by either side.
    pub resets_per_s: f64,
    /// SYNs that came once more.
    pub syn_retransmits_per_s: f64,
    /// Answers of HTTP's class 5xx; `None` where it is not read.
    #[serde(default)]
    pub http_5xx_per_s: Option<f64>,
}

/// How long things took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Half took no longer.
    pub p50_s: f64,
    /// 90 % took no longer.
    pub p90_s: f64,
    /// 99 % took no longer.
    pub p99_s: f64,
}

impl Quantiles {
    /// Those of a histogram's cells; `None` where nothing was counted.
    pub(crate) fn of(cells: &[u64]) -> Option<Self> {
        let [p50_s, p90_s, p99_s] =
            histogram::quantiles_ns(cells).map(|ns| ns.map(|ns| ns as f64 / 1e9));
        Some(Self {
            count: histogram::sum(cells),
            p50_s: p50_s?,
            p90_s: p90_s?,
            p99_s: p99_s?,
        })
    }
}
