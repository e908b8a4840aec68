//! Owns the JSON of weights: those set at run time, and what a change does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
