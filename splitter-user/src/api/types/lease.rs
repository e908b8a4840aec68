//! Owns the JSON of supervised releases.

use serde::{Deserialize, Serialize};

/// What `POST /v1/lease` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervise {
    /// Begin or end it.
    pub on: bool,
    /// The service; all when none is named.
    #[serde(default)]
    pub service: Option<String>,
    /// Why, for whoever reads the status later.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a release is supervised, and what happens when nobody watches it any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// The service.
    pub service: String,
    /// Whether it is.
    pub on: bool,
    /// Who began it.
    pub by: Option<String>,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// What would hold if the daemon died and its lease ran out.
    pub without_daemon: String,
}
