//! Owns the JSON of weights: those set at run time, and what a change does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cut, SeenMoves, SegmentWeights};
use crate::model::FlowFate;

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
    /// The segment whose weights are meant; the service's own without.
    #[serde(default)]
    pub segment: Option<String>,
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

/// What a weight change did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightChange {
    /// The service.
    pub service: String,
    /// The segment; `None` for the service's own weights.
    #[serde(default)]
    pub segment: Option<String>,
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
    /// Of a dry run: what it would do to the clients that were seen lately.
    #[serde(default)]
    pub seen: Option<SeenMoves>,
    /// What becomes of their open flows: `keep`, `drain=5m`, `reset`.
    #[serde(default)]
    pub flows: String,
}

/// Clients that change version with a weight change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The version that they leave.
    pub from: String,
    /// The version that they join.
    pub to: String,
    /// Their part of all clients that the weights are of (of the hash space), in percent.
    pub percent_of_clients: f64,
}

/// The weights of a service that are in force: `GET /v1/weights` lists them for every one, `GET
/// /v1/services/{name}/weights` for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The service.
    pub service: String,
    /// The commit that last changed this service.
    pub generation: u64,
    /// Since when the hash space is cut as it is; `None` where nobody knows.
    pub since: Option<String>,
    /// What the split law hashes.
    pub key: String,
    /// Its versions, in the order of the split law.
    pub versions: Vec<WeightInForce>,
    /// The hash space, cut among the versions, from 0 upward, as the kernel has it.
    pub cuts: Vec<Cut>,
    /// The same for its segments, in the order in which they are asked.
    #[serde(default)]
    pub segments: Vec<SegmentWeights>,
}

/// A version's weight and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightInForce {
    /// The version.
    pub version: String,
    /// Whether it takes what the others leave.
    pub baseline: bool,
    /// `5%`.
    pub weight: String,
    /// `file`, `overlay` (set at run time), or `rest` (what the others leave).
    pub from: String,
    /// What the file asks for.
    pub file_weight: String,
    /// Who set it, where it is an overlay.
    pub set: Option<SetBy>,
}

/// Who has set something at run time, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetBy {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}
