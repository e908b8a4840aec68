//! Owns the JSON of clients that were seen lately, and of what a change would do to them.

use serde::{Deserialize, Serialize};

/// What can stand behind the `?` of `GET /v1/services/{name}/clients`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientQuery {
    /// Only clients whose last flow this version served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many are listed.
    #[serde(default = "ClientQuery::usual_limit")]
    pub limit: u32,
}

impl ClientQuery {
    /// What is listed unless told otherwise.
    pub const LIMIT: u32 = 100;

    const fn usual_limit() -> u32 {
        Self::LIMIT
    }
}

/// `GET /v1/services/{name}/clients`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientList {
    /// The service.
    pub service: String,
    /// Who was seen last comes first.
    pub clients: Vec<ClientLine>,
    /// How many more were seen.
    pub more: u64,
    /// The part of the flow table that was looked at, in percent.
    pub sampled_percent: f64,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientLine {
    /// Its address, its prefix where one is assigned as a whole, or the flow where each is.
    pub client: String,
    /// How long ago a packet of its last flow came, in seconds.
    pub idle_s: f64,
    /// The version that served that flow.
    pub version: String,
    /// The segment that it is in.
    pub segment: Option<String>,
    /// Its open flows.
    pub open_flows: u64,
    /// Those and the ones that are over and stand in the table still.
    pub flows: u64,
}

/// What a change would do to the clients that were seen lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenMoves {
    /// How many were seen.
    pub clients: u64,
    /// The part of the flow table that was looked at, in percent: below 100 the figures are of a sample.
    pub sampled_percent: f64,
    /// Those that would move; empty when nobody would.
    pub moves: Vec<SeenMove>,
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMove {
    /// The version that new flows of theirs go to.
    pub from: String,
    /// The one that they would go to.
    pub to: String,
    /// How many clients.
    pub clients: u64,
    /// Their open flows.
    pub open_flows: u64,
    /// Bytes that so many flows bring both ways, if they are as the others of `from` were; `None` where
    /// there were none.
    pub bytes_estimate: Option<u64>,
}

/// Who sits on a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OnBackend {
    /// Open flows.
    pub open_flows: u64,
    /// Clients whose last flow it served.
    pub clients: u64,
    /// The part of the flow table that was looked at, in percent.
    pub sampled_percent: f64,
}
