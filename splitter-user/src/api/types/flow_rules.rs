//! Owns the JSON of what a service says of flows.

use serde::{Deserialize, Serialize};

/// What a service says of its flows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowRules {
    /// What becomes of open flows when weights or backends change, unless the change says otherwise:
    /// `keep`, `drain=5m`, `reset`.
    pub fate: String,
    /// Seconds until open flows end that are decided otherwise by now, for each change that said so;
    /// 0: at their next packet.
    pub ends_in_s: Vec<f64>,
    /// Prefixes whose clients are not served.
    pub denied: Vec<String>,
    /// Prefixes whose clients alone are served; empty: all are.
    pub allowed: Vec<String>,
    /// New flows a second, all clients together.
    pub limit: Option<Limit>,
    /// New flows a second of each client.
    pub client_limit: Option<Limit>,
}

/// A limit of new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// So many a second.
    pub flows_per_s: u32,
    /// So many at once.
    pub burst: u32,
}
