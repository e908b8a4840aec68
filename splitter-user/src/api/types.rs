//! Owns the JSON that travels between daemon and command line.
//!
//! Invariant: field names are snake_case and stable; a field is added, never renamed. Shares and
//! weights are in percent where the name says so (`_percent`), otherwise 0 ..= 1. Times of day
//! are RFC 3339 in UTC, durations carry their unit (`_s`).

mod backend;
mod flows;

use std::collections::BTreeMap;

pub use backend::{
    BackendChange, BackendHealth, BackendLine, BackendOverlay, BackendSet, BackendVerb,
};
pub use flows::{
    FlowCount, FlowEstimate, FlowLine, FlowList, FlowQuery, FlowStates, TableFill, VersionFlows,
};
use serde::{Deserialize, Serialize};

/// What the daemon and the kernel are doing: `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running `splitter`.
    pub version: String,
    /// Number of the layout shared with the kernel.
    pub layout_version: u32,
    /// The newest committed configuration.
    pub generation: u64,
    /// How long the daemon has run, in seconds.
    pub uptime_s: u64,
    /// The configuration file in force.
    pub config_path: String,
    /// A short digest of the cluster secret; the same on hosts that decide alike.
    pub secret_digest: String,
    /// A short digest of the configuration in force.
    pub config_digest: String,
    /// The kernel's jiffies in a second, as calibrated.
    pub hz: u32,
    /// Every configured interface.
    pub interfaces: Vec<InterfaceStatus>,
    /// Every service, or the one asked for.
    pub services: Vec<ServiceStatus>,
    /// How full the tables of flows are; empty until they were first looked at.
    #[serde(default)]
    pub tables: Vec<TableFill>,
    /// Every reason that has counted a packet.
    pub reasons: Vec<ReasonCount>,
    /// What an operator should know at once, most urgent first.
    pub warnings: Vec<String>,
}

/// One interface under the XDP program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// The kernel's name.
    pub name: String,
    /// The kernel's number.
    pub ifindex: u32,
    /// The mode that it got: `native` or `generic`; `none` while it does not carry the program.
    pub mode: String,
    /// The mode that the configuration asks for.
    pub wanted: String,
    /// Whether the program takes frames in several buffers.
    pub frags: bool,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Anything odd about it.
    pub note: Option<String>,
}

/// Packets of one verdict and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Why.
    pub reason: String,
    /// What was done: `forward`, `pass`, `drop`.
    pub verdict: String,
    /// How many packets.
    pub packets: u64,
}

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
    /// Whether its release is supervised.
    pub supervision: Supervision,
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
    /// New flows since the last weight change.
    pub new_flows_since: u64,
    /// Its open flows; `None` until the tables were first looked at.
    #[serde(default)]
    pub open_flows: Option<FlowEstimate>,
    /// Totals over its backends.
    pub counters: Counters,
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

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// `10.0.1.11:8443`, or the bare address when the dialled port is kept.
    pub address: String,
    /// Its weight inside the version.
    pub weight: u16,
    /// `52:54:00:12:34:56 via eth1`.
    pub next_hop: Option<String>,
    /// What is known of the next hop.
    pub next_hop_state: String,
    /// How it fares.
    pub health: BackendHealth,
    /// Its counters.
    pub counters: Counters,
}

/// What the kernel has counted, monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Flows begun.
    pub new_flows: u64,
    /// TCP handshakes completed.
    pub handshakes: u64,
    /// Handshakes begun by a client.
    pub syns_begun: u64,
    /// Handshakes answered by a backend.
    pub syns_answered: u64,
    /// SYNs that clients sent once more.
    pub syn_retransmits: u64,
    /// Resets sent by clients.
    pub resets_by_client: u64,
    /// Resets sent by backends.
    pub resets_by_server: u64,
    /// Flows met in the middle, without an entry.
    pub adopted: u64,
    /// Flows of clients that belong to another version.
    #[serde(default)]
    pub diverted: u64,
    /// Flows that the tables refused to enter.
    pub inserts_refused: u64,
}

/// Weights that were set at run time and lie over the file's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// The weights set, by version.
    pub weights: BTreeMap<String, String>,
    /// Who set them.
    pub by: String,
    /// When.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
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

/// What `POST /v1/lease` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervise {
    /// Begin or end it.
    pub on: bool,
    /// The service; all when none is named.
    #[serde(default)]
    pub service: Option<String>,
    /// Why, for whoever reads the status later.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a release is supervised, and what happens when nobody watches it any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// The service.
    pub service: String,
    /// Whether it is.
    pub on: bool,
    /// Who began it.
    pub by: Option<String>,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// What would hold if the daemon died and its lease ran out.
    pub without_daemon: String,
}

/// What `POST /v1/services/{name}/weights` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightSet {
    /// New weights by version; versions left out keep theirs.
    pub weights: BTreeMap<String, String>,
    /// Why, for whoever reads the status later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a weight change did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightChange {
    /// The service.
    pub service: String,
    /// The generation that the change has, or the present one in a dry run.
    pub generation: u64,
    /// Every version's weight before.
    pub before: BTreeMap<String, String>,
    /// Every version's weight after.
    pub after: BTreeMap<String, String>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Which clients change version; empty when nobody does.
    pub moves: Vec<Move>,
}

/// Clients that change version with a weight change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The version that they leave.
    pub from: String,
    /// The version that they join.
    pub to: String,
    /// Their part of all clients (of the hash space), in percent.
    pub percent_of_clients: f64,
}

/// What `POST /v1/reload` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a reload did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// The configuration file.
    pub config_path: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The generation in force after it, or the present one in a dry run.
    pub generation: u64,
    /// The services that change.
    pub services: Vec<ServiceChange>,
    /// The interfaces that change, with their XDP mode.
    pub interfaces: Vec<Difference>,
    /// What was set at run time and stays over the file, as sentences.
    pub kept: Vec<String>,
    /// What was set at run time and gives way to the file, as sentences.
    pub dropped: Vec<String>,
}

/// What a reload changes in a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// The service.
    pub service: String,
    /// What differs; all of a service that comes or goes.
    pub differences: Vec<Difference>,
    /// Which clients change version; empty when nobody does.
    pub moves: Vec<Move>,
}

/// Something that comes, goes, or becomes another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What: `backend 10.0.0.2:80 of canary`.
    pub what: String,
    /// What it was; `None` when it was not there, empty when there is no more to say of it.
    pub before: Option<String>,
    /// What it is; `None` when it is gone, empty when there is no more to say of it.
    pub after: Option<String>,
}

/// Why a client is where it is: `GET /v1/services/{name}/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The service.
    pub service: String,
    /// The VIP that was assumed to be dialled.
    pub vip: String,
    /// The client asked about, with its port if one was given.
    pub client: String,
    /// What the split law hashes.
    pub key: String,
    /// What was hashed: the client's prefix, or the flow.
    pub assignment: String,
    /// The hash, `0x1a2b3c4d`.
    pub hash_hex: String,
    /// The hash as a part of its range, 0 ..= 1.
    pub hash_fraction: f64,
    /// The hash space, cut among the versions, from 0 upward.
    pub cuts: Vec<Cut>,
    /// The version that the split law gives.
    pub version: String,
    /// The backend that a new flow would get.
    pub backend: Option<String>,
    /// Why no backend is named, or what it depends on.
    pub backend_note: Option<String>,
    /// The flow that exists, which goes before any rule.
    pub live_flow: Option<LiveFlow>,
    /// The weights at which this client would change version, as a sentence.
    pub moves_at: Option<String>,
}

/// An interval of the hash space that belongs to a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// The version.
    pub version: String,
    /// Where it begins, in percent of the hash space.
    pub from_percent: f64,
    /// Where it ends.
    pub to_percent: f64,
}

/// A flow that the kernel holds an entry of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveFlow {
    /// `pending`, `established`, `closing`, `adopted`.
    pub state: String,
    /// The version that serves it.
    pub version: String,
    /// The backend that serves it.
    pub backend: String,
    /// The generation in which it began.
    pub generation: u64,
    /// How long it has been silent, in seconds.
    pub idle_s: f64,
}

/// What every failed request answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}
