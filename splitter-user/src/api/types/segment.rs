//! Owns the JSON of segments: who is in them, what they weigh and what went where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Cut, Overlay, WeightInForce};

/// One segment and what went where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentStatus {
    /// Its name.
    pub name: String,
    /// Who is in it: `prefix 198.51.100.0/24`.
    pub matches: String,
    /// Its versions, in the order of the split law.
    pub versions: Vec<SegmentVersion>,
    /// Weights set at run time, over the file's.
    pub overlay: Option<Overlay>,
}

/// One version as a segment has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentVersion {
    /// The version.
    pub version: String,
    /// The weight in force: `100%`.
    pub weight: String,
    /// What the file asks for.
    pub file_weight: String,
    /// New flows of the segment's clients that belong to the version.
    pub new_flows: u64,
}

/// The weights of one segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentWeights {
    /// The segment.
    pub segment: String,
    /// Who is in it.
    pub matches: String,
    /// The weights in force, in the order of the split law.
    pub versions: Vec<WeightInForce>,
    /// The hash space, cut among the versions, as the kernel has it for its clients.
    pub cuts: Vec<Cut>,
}

/// A segment on the way of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentTried {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub matches: String,
    /// Whether the client is; `None` where an earlier one has taken it.
    pub holds: Option<bool>,
}

/// New flows by version of clients that are in no segment: those that the comparison of versions may
/// go by, since nothing but the hash chose their version.
pub type ByHash = BTreeMap<String, u64>;
