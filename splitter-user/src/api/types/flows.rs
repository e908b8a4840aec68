//! Owns the JSON of flows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What can stand behind the `?` of `GET /v1/services/{name}/flows` and `.../flows/count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only flows that this version serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Only flows of this client or prefix of clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Those in the pending table too.
    #[serde(default)]
    pub pending: bool,
    /// How many a list names.
    #[serde(default = "FlowQuery::usual_limit")]
    pub limit: u32,
}

impl FlowQuery {
    /// What a list names unless told otherwise.
    pub const LIMIT: u32 = 100;

    const fn usual_limit() -> u32 {
        Self::LIMIT
    }
}

/// `GET /v1/services/{name}/flows`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowList {
    /// The service.
    pub service: String,
    /// Some of its flows, by client.
    pub flows: Vec<FlowLine>,
    /// How many more there are.
    pub more: u64,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowLine {
    /// Its client's address and port.
    pub client: String,
    /// What the client dialled.
    pub vip: String,
    /// The version that serves it.
    pub version: String,
    /// The backend that serves it.
    pub backend: String,
    /// `established`, `pending`, `closing` (a RST or a FIN was seen), `adopted` (met in the middle),
    /// `leaving` (decided otherwise by now; it goes on until its time is up).
    pub state: String,
    /// How long ago it began, in seconds; where it was met in the middle, since then.
    pub age_s: f64,
    /// How long ago its last packet was noted, in seconds; up to about one more than in truth.
    pub idle_s: f64,
}

/// `GET /v1/services/{name}/flows/count`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCount {
    /// The service.
    pub service: String,
    /// All that were asked for.
    pub flows: u64,
    /// By version that serves them, in the order of the split law.
    pub versions: Vec<VersionFlows>,
}

/// The flows of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFlows {
    /// The version.
    pub name: String,
    /// All of them.
    pub flows: u64,
    /// By state.
    #[serde(flatten)]
    pub states: FlowStates,
}

/// Flows by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStates {
    /// Complete.
    pub established: u64,
    /// A RST or a FIN was seen.
    pub closing: u64,
    /// Met in the middle.
    pub adopted: u64,
    /// Decided otherwise by now; they go on until their time is up.
    pub leaving: u64,
    /// Not complete; `None` unless the pending table was asked for.
    pub pending: Option<u64>,
}

/// The flows of a version, estimated from a sample of the table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowEstimate {
    /// About so many.
    pub flows: u64,
    /// How old the oldest part of the sample is, in seconds.
    pub age_s: u64,
    /// The part of the table that was looked at, in percent; at 100 nothing was estimated.
    pub sampled_percent: f64,
}

/// How full a table of flows is, estimated likewise. What the packet path would not use any more
/// makes room for what is new, and is not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableFill {
    /// `established` or `pending`.
    pub table: String,
    /// Entries for which there is room.
    pub capacity: u32,
    /// About so many are in use.
    pub entries: u64,
    /// That part of the capacity, in percent.
    pub fill_percent: f64,
    /// How old the oldest part of the sample is, in seconds.
    pub age_s: u64,
    /// The part of the table that was looked at, in percent.
    pub sampled_percent: f64,
    /// Entries that came in, or took the place of one under the same key, since the tables were made.
    #[serde(default)]
    pub inserts: u64,
    /// Entries that were taken out; what the kernel evicts for want of room is not among them.
    #[serde(default)]
    pub removals: u64,
}

/// What `POST /v1/services/{name}/flows/reset` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowsToReset {
    /// Only flows that this version serves.
    #[serde(default)]
    pub version: Option<String>,
    /// Only flows of this client or prefix of clients.
    #[serde(default)]
    pub client: Option<String>,
    /// Why, for whoever reads the log later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say how many there are.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of flows that were to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsReset {
    /// The service.
    pub service: String,
    /// How many: each is ended at its next packet.
    pub flows: u64,
    /// By version that served them.
    pub versions: BTreeMap<String, u64>,
    /// Whether nothing was done.
    pub dry_run: bool,
}
