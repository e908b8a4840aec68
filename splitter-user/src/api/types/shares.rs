//! Owns the JSON of measured shares, which the weights are compared with.

use serde::{Deserialize, Serialize};

/// A version's shares since the weights in force; `None` where one cannot be known, or nothing came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Of the clients that are judged, each counted once, by their first decision under these weights.
    pub clients: Option<ShareOf>,
    /// Of the new flows that the hash decided.
    pub flows: Option<ShareOf>,
    /// Of the bytes both ways of all flows, those of segments and of earlier weights too.
    pub bytes: Option<ShareOf>,
}

/// One share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShareOf {
    /// What was counted, 0 ..= 1.
    pub share: f64,
    /// Between these bounds the weight lies in 99 of 100 cases, as far as chance goes: which version
    /// the hash gives a client. `None` where nobody knows how they lie on clients.
    pub interval: Option<[f64; 2]>,
    /// How many there were, of all versions.
    pub of: u64,
    /// As many clients with one each would say as much; `None` without an interval.
    pub as_clients: Option<f64>,
}
