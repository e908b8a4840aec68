//! Owns the JSON of why a client is where it is.

use serde::{Deserialize, Serialize};

use super::{ClientTraits, Membership, SegmentTried};

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
    /// The segments that were asked, in their order; empty where the service has none.
    #[serde(default)]
    pub segments: Vec<SegmentTried>,
    /// The cohorts that segments ask for and the client is in, as the kernel has it.
    #[serde(default)]
    pub cohorts: Vec<Membership>,
    /// What the service knows of the client beside its address; `None` where no segment asks.
    #[serde(default)]
    pub traits: Option<ClientTraits>,
    /// The segment that takes the client, whose weights are those that the hash space is cut by.
    #[serde(default)]
    pub segment: Option<String>,
    /// The version that the split law gives.
    pub version: String,
    /// The backend that a new flow would get.
    pub backend: Option<String>,
    /// Why no backend is named, or what it depends on.
    pub backend_note: Option<String>,
    /// Why the service does not serve the client at all; `None`: it does.
    #[serde(default)]
    pub denied: Option<String>,
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
    /// `established`, `pending`, `closing`, `adopted`, `leaving`, as flows are listed.
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
