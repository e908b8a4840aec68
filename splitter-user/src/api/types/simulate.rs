//! Owns the JSON of a simulation: where many clients would go, by the law in force and under other weights.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::Vip;

/// What `POST /v1/services/{name}/simulate` asks for. It changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// The clients, at most [`Self::MOST`].
    pub clients: Vec<SimulateClient>,
    /// Other weights by version, to be told what they would change; versions left out keep theirs.
    #[serde(default)]
    pub weights: BTreeMap<String, String>,
    /// The segment whose weights these are; the service's own without.
    #[serde(default)]
    pub segment: Option<String>,
}

impl Simulate {
    /// Clients that are answered at once: no change waits longer for them than for a look at a page.
    pub const MOST: usize = 4_096;
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulateClient {
    /// Its address.
    pub address: IpAddr,
    /// Its port, without which no flow of its can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What it dials; the service's first VIP of its address family without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Vip>,
    /// The device class that its SYN shows, where none stands for it already; `unknown` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// The service.
    pub service: String,
    /// The generation that decided.
    pub generation: u64,
    /// In the order in which they were asked for.
    pub clients: Vec<ClientSimulated>,
}

/// Where one of them goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSimulated {
    /// The segment that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The version of its new flows; `None` where [`Self::note`] says why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The backend of that, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whether the service does not serve it.
    #[serde(default)]
    pub denied: bool,
    /// The version under the other weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_be: Option<String>,
    /// Why it has no version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
