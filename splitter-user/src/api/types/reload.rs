//! Owns the JSON of a reload.

use serde::{Deserialize, Serialize};

use super::{Move, SeenMoves};

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
    /// What changes for whoever asks for metrics.
    #[serde(default)]
    pub metrics: Vec<Difference>,
    /// What changes in the rules by which devices are known.
    #[serde(default)]
    pub devices: Vec<Difference>,
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
    /// Of a dry run: what it would do to the clients that were seen lately; `None` of a service that
    /// comes or goes.
    #[serde(default)]
    pub seen: Option<SeenMoves>,
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
