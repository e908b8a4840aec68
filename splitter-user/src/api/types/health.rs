//! Owns the JSON of how the health of backends is found out.

use serde::{Deserialize, Serialize};

/// How the health of a service's backends is found out, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthSettings {
    /// What is asked of each backend; `None`: nothing.
    pub check: Option<CheckSettings>,
    /// When the kernel's counters speak against a backend; `None`: never.
    pub passive: Option<PassiveSettings>,
    /// The largest part of the baseline's backends that health takes out: `50%`.
    pub max_unhealthy: String,
    /// How long a backend that comes back takes to its whole weight.
    pub slow_start_s: f64,
}

/// One question, asked of every backend over and over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckSettings {
    /// `tcp` or `http`.
    pub check: String,
    /// What is asked and expected over HTTP.
    pub http: Option<HttpSettings>,
    /// The port asked; `None`: the backend's own.
    pub port: Option<u16>,
    /// From one probe to the next.
    pub interval_s: f64,
    /// How long an answer may take.
    pub timeout_s: f64,
    /// Good answers in a row that make a backend healthy.
    pub rise: u32,
    /// Bad answers in a row that make it unhealthy.
    pub fall: u32,
}

/// A request and what is expected of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSettings {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The Host header; `None`: the address and port asked.
    pub host: Option<String>,
    /// Good status codes: `200`, `300-399`.
    pub expect_status: Vec<String>,
    /// A text that must stand in the body.
    pub expect_body: Option<String>,
}

/// When the kernel's counters speak against a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassiveSettings {
    /// The time over which is counted.
    pub window_s: f64,
    /// Fewer handshakes than this in a window say nothing.
    pub min_handshakes: u32,
    /// The part of handshakes that stay unanswered from which on it is ejected: `95%`.
    pub unanswered: String,
    /// Flows reset by it, as a part of the handshakes, from which on it is ejected: `50%`.
    pub resets: String,
    /// How long the first ejection lasts.
    pub eject_for_s: f64,
    /// How long the longest lasts.
    pub eject_max_s: f64,
}
