//! Owns the JSON of single backends.

use serde::{Deserialize, Serialize};

use super::{Counters, HttpTurns, OnBackend, Times};
use crate::model::FlowFate;

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
    /// How long it took; of TCP alone.
    #[serde(default)]
    pub times: Times,
    /// Turns by HTTP status; `None` where the service does not say that it speaks HTTP.
    #[serde(default)]
    pub http: Option<HttpTurns>,
}

/// How a backend fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendHealth {
    /// What the operator wants: `active`, `draining`, `disabled`.
    pub state: String,
    /// `healthy`, `unhealthy`, `ejected` (by the kernel's counters), `unknown` (asked and not
    /// answered yet), `unchecked` (nobody asks).
    pub health: String,
    /// Since when, where it has changed.
    pub since: Option<String>,
    /// What was wrong with the last answer, or why it is ejected.
    pub error: Option<String>,
    /// How often it went out or came back since the daemon began.
    pub changes: u64,
    /// Whether it gets new flows, by the tables in force.
    pub serves: bool,
    /// How much of its weight it has, in percent; below 100 in a slow start.
    pub weight_reached_percent: u16,
    /// What was set for it at run time.
    pub overlay: Option<BackendOverlay>,
}

/// What was set at run time for a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendOverlay {
    /// `added`, `draining`, ...
    pub what: String,
    /// Who set it.
    pub by: String,
    /// When.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// One line of `GET /v1/services/{name}/backends`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendLine {
    /// Its version; of one that was removed at run time, the one that it was in.
    pub version: String,
    /// The backend.
    pub backend: String,
    /// Its weight inside the version.
    pub weight: u16,
    /// How it fares.
    pub health: BackendHealth,
}

/// What can be done with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendVerb {
    /// Put it into a version.
    Add,
    /// Take it out of its version; its open flows are decided anew.
    Remove,
    /// No new flows; those that are open run out.
    Drain,
    /// No new flows and no checks.
    Disable,
    /// New flows again.
    Activate,
}

/// What `POST /v1/services/{name}/backends` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSet {
    /// What to do.
    pub verb: BackendVerb,
    /// With which backend: `10.0.1.11:8443`.
    pub backend: String,
    /// Its version: for `add` the one to put it into, for `remove` the one it is in.
    #[serde(default)]
    pub version: Option<String>,
    /// Its weight inside the version, for `add`; 1 unless given.
    #[serde(default)]
    pub weight: Option<u16>,
    /// What becomes of open flows that the service decides otherwise by now; its own `flows` without.
    #[serde(default)]
    pub flows: Option<FlowFate>,
    /// Why, for whoever reads the status later.
    #[serde(default)]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a change of a backend did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendChange {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// The backend.
    pub backend: String,
    /// The generation that the change has, or the present one in a dry run.
    pub generation: u64,
    /// `active`, `draining`, `disabled`, `absent`.
    pub before: String,
    /// The same after the change.
    pub after: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Of a dry run: who sits on it.
    #[serde(default)]
    pub on_it: Option<OnBackend>,
    /// What follows, as sentences; empty when nothing is worth saying.
    pub consequences: Vec<String>,
    /// What becomes of open flows that would be decided otherwise by now: `keep`, `drain=5m`, `reset`.
    #[serde(default)]
    pub flows: String,
}
