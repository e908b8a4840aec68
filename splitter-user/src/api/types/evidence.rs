//! Owns the JSON of evidence: what is counted of clients that are judged, each once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FirstTimes;

/// What `POST /v1/services/{name}/evidence/reset` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceReset {
    /// Why, for whoever reads the events later.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The evidence of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The service.
    pub service: String,
    /// Its release.
    pub release: String,
    /// Why its clients are not judged; `None` where they are.
    pub not_judged: Option<String>,
    /// The ledger, where they are.
    pub ledger: Option<LedgerInUse>,
    /// Each set of weights that the release has had, the one in force last.
    pub weights: Vec<UnderWeights>,
    /// Each version in the release as a whole, the baseline first.
    pub versions: Vec<VersionEvidence>,
    /// Whether clients are divided as the weights say; empty where nothing is compared.
    pub split: Vec<SplitCheck>,
}

/// Where evidence is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerInUse {
    /// The commit that began the release.
    pub since_generation: u64,
    /// The slice of the release, from 1; 0: it begins now.
    pub slice: u32,
    /// How long ago it began, in seconds.
    pub slice_age_s: f64,
    /// How long a slice is, in seconds.
    pub slice_length_s: u64,
    /// Clients that are told apart.
    pub clients_max: u32,
    /// The part of that in use, 0 ..= 1: of so many new clients the events are lost.
    pub clients_in_use: f64,
    /// From how many microseconds on a turn is slow, by what came before; `None`: too few turns did.
    pub slow_us: Option<u32>,
    /// From how many microseconds on a turn is late, by `turn_slo`; `None` without it.
    pub late_us: Option<u32>,
}

/// What came under one set of weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnderWeights {
    /// Whether they are in force.
    pub in_force: bool,
    /// The commit that first had them.
    pub since_generation: u64,
    /// The weight of every version.
    pub weights: BTreeMap<String, String>,
    /// Each version, the baseline first.
    pub versions: Vec<VersionEvidence>,
}

/// What was counted of a version's clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionEvidence {
    /// The version.
    pub name: String,
    /// Since the release began.
    pub release: ClientCounts,
    /// In the current slice.
    pub slice: ClientCounts,
}

/// Clients, each counted once for each thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientCounts {
    /// That were decided. Whoever forges addresses can be the cause of many.
    pub decided: u64,
    /// That had a flow: a handshake completed or a datagram answered, or one that went bad before.
    pub flow: u64,
    /// Whose first flow went bad.
    pub flow_bad: u64,
    /// With a flow that went bad: reset or refused by the backend, not answered, or an HTTP 5xx.
    pub bad: u64,
    /// With a slow turn.
    pub slow: u64,
    /// With a late one.
    pub late: u64,
    /// Whose handshake was answered.
    pub handshake: u64,
    /// With a turn that ended.
    pub turn: u64,
    /// How long the first handshake of each took.
    pub handshake_time: FirstTimes,
    /// How long the first turn of each took.
    pub turn_time: FirstTimes,
    /// Its part of the clients decided, 0 ..= 1; `None` of none.
    pub share: Option<f64>,
    /// Between these bounds is its part of all clients, in 99 of 100 cases.
    pub share_interval: Option<[f64; 2]>,
}

/// Whether clients are divided as the weights say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitCheck {
    /// Where: `decision` or `handshake`.
    pub at: String,
    /// The version, beside the baseline.
    pub version: String,
    /// Clients of both.
    pub clients: u64,
    /// Those that the version should have had, as its weights went.
    pub expected: f64,
    /// Those that it had.
    pub counted: u64,
    /// The decimal logarithm of the evidence against the split.
    pub log10_evidence: f64,
    /// From how much on there is an alarm.
    pub alarm_from: f64,
    /// Whether the weights cannot explain what was counted.
    pub alarm: bool,
}
