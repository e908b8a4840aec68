//! Owns the JSON of services and versions.

use serde::{Deserialize, Serialize};

use super::{
    BackendStatus, ByHash, Counters, Cut, FlowEstimate, FlowRules, HealthSettings, HttpTurns,
    Overlay, SegmentStatus, Shares, Supervision, Times,
};

/// One service and what went where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What clients dial.
    pub vips: Vec<String>,
    /// The forward method.
    pub forward: String,
    /// What the split law hashes.
    pub key: String,
    /// What a backend is chosen by.
    pub affinity: String,
    /// The release.
    pub release: String,
    /// The commit that last changed this service.
    pub generation: u64,
    /// The last weight change: measured shares are counted from then.
    pub since: Option<String>,
    /// Its versions, in the order of the split law.
    pub versions: Vec<VersionStatus>,
    /// Weights set at run time, over the file's.
    pub overlay: Option<Overlay>,
    /// Its segments, in the order in which they are asked.
    #[serde(default)]
    pub segments: Vec<SegmentStatus>,
    /// New flows of who is in none of them.
    #[serde(default)]
    pub by_hash: ByHash,
    /// Whether its release is supervised.
    pub supervision: Supervision,
    /// What it says of flows.
    #[serde(default)]
    pub flows: FlowRules,
}

/// One version: the weight asked for beside the share measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its name.
    pub name: String,
    /// Whether it takes what the others leave.
    pub baseline: bool,
    /// The weight in force, in percent.
    pub weight_percent: f64,
    /// The weight that the file asks for, in percent.
    pub file_weight_percent: f64,
    /// Its part of the service's new flows since the last weight change, 0 ..= 1; `None` when
    /// there was none.
    pub share_flows: Option<f64>,
    /// Its shares with their intervals.
    #[serde(default)]
    pub shares: Shares,
    /// New flows since the last weight change.
    pub new_flows_since: u64,
    /// Its open flows; `None` until the tables were first looked at.
    #[serde(default)]
    pub open_flows: Option<FlowEstimate>,
    /// Totals over its backends.
    pub counters: Counters,
    /// How long its backends took; of TCP alone.
    #[serde(default)]
    pub times: Times,
    /// Turns by HTTP status; `None` where the service does not say that it speaks HTTP.
    #[serde(default)]
    pub http: Option<HttpTurns>,
    /// New flows of its clients while it had no backend: failures of this version, whoever served
    /// them.
    #[serde(default)]
    pub met_empty: u64,
    /// Backends that are active and healthy.
    pub healthy: usize,
    /// What becomes of its clients when no backend is left.
    pub on_empty: String,
    /// Too many of its backends are unhealthy, so that all of them stay in the table.
    pub panic: bool,
    /// No backend is left for clients of one address family or of both.
    pub empty: bool,
    /// Its backends.
    pub backends: Vec<BackendStatus>,
}

/// One line of `GET /v1/services`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Its name.
    pub name: String,
    /// What clients dial.
    pub vips: Vec<String>,
    /// Its versions, in the order of the split law.
    pub versions: Vec<VersionWeight>,
}

/// A version and its weight in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionWeight {
    /// The version's name.
    pub name: String,
    /// Whether it takes what the others leave.
    pub baseline: bool,
    /// `5%`.
    pub weight: String,
}

/// One service wholly: `GET /v1/services/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceShown {
    /// What is in force beside what was measured.
    pub service: ServiceStatus,
    /// What else is configured.
    pub settings: ServiceSettings,
    /// The hash space, cut among the versions, from 0 upward, as the kernel has it.
    pub cuts: Vec<Cut>,
    /// Those of the daemon's warnings that are about it.
    pub warnings: Vec<String>,
}

/// What is configured for a service and stands nowhere in its status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSettings {
    /// The services that it shares its salt with.
    pub salt_group: Option<String>,
    /// What its backends speak: `http1`; `None` where that is not said.
    #[serde(default)]
    pub protocol: Option<String>,
    /// How long a turn may take at most: `300ms`; `None` where that is not said.
    #[serde(default)]
    pub turn_slo: Option<String>,
    /// How long a slice of its release is, `10m`; `None`: an hour.
    #[serde(default)]
    pub slice: Option<String>,
    /// How device class and activity of its clients are found, in words; `None` where no segment asks.
    #[serde(default)]
    pub traits: Option<String>,
    /// Those who speak to its backends without a VIP.
    pub direct: Vec<String>,
    /// Up to which weight a supervised release falls back to the baseline: `25%`.
    pub failsafe_max_weight: String,
    /// How its backends' health is found out; `None`: not at all.
    pub health: Option<HealthSettings>,
}
