//! Owns what an operator wants of backends: the states that one is put in, how their health is
//! found out, and what becomes of a version that has none left.
//!
//! Invariant: nothing here says how a backend fares; that is [`crate::health`]'s. Durations are as
//! they stand in the file; counts are of probes or of handshakes in a row or in a window.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use splitter_common::weight::Weight;

use super::{Backend, Protocol, Service, Vip, weight_text};

/// What an operator wants of a backend. Its health is another matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminState {
    /// It gets its part of new flows.
    #[default]
    Active,
    /// No new flows; those that are open run out. It is checked on.
    Draining,
    /// No new flows, and it is not checked: somebody works on it.
    Disabled,
}

impl fmt::Display for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        })
    }
}

/// What becomes of the clients of a version that has no backend left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEmpty {
    /// The baseline serves them meanwhile.
    Baseline,
    /// The last table stays, in the hope that somebody answers.
    Keep,
    /// Their new connections are reset, their datagrams dropped, with the reason `version_empty`.
    Reset,
    /// Their new flows are dropped, with the reason `version_empty`.
    Drop,
}

impl fmt::Display for OnEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Keep => "keep",
            Self::Reset => "reset",
            Self::Drop => "drop",
        })
    }
}

/// How the health of a service's backends is found out, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSettings {
    /// What is asked of each backend; `None` asks nothing.
    pub check: Option<Check>,
    /// When the kernel's counters speak against a backend; `None` does not look at them.
    pub passive: Option<Passive>,
    /// The largest part of a baseline's backends that health takes out.
    #[serde(with = "weight_text")]
    pub max_unhealthy: Weight,
    /// How long a backend that comes back takes to its whole weight; zero: at once.
    pub slow_start: Duration,
}

impl HealthSettings {
    /// [`Self::max_unhealthy`], unless told otherwise: half.
    pub const MAX_UNHEALTHY_PPM: u32 = 500_000;
}

/// One question, asked of every backend over and over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is asked.
    pub question: Question,
    /// The port asked; `None`: the backend's own.
    pub port: Option<u16>,
    /// From one probe to the next; each waits up to a tenth of it less or more.
    pub interval: Duration,
    /// How long an answer may take, connecting included; at most the interval.
    pub timeout: Duration,
    /// Good answers in a row that make an unhealthy backend healthy.
    pub rise: u32,
    /// Bad answers in a row that make it unhealthy.
    pub fall: u32,
}

impl Check {
    /// The port on which a backend of `service` is asked: the check's, else its own, else the first
    /// that clients of its family dial over TCP. `None` where nobody says.
    pub fn port_of(&self, service: &Service, backend: &Backend) -> Option<u16> {
        let dialled = || {
            let same = |vip: &&Vip| {
                vip.address.is_ipv4() == backend.address.is_ipv4()
                    && vip.protocol == Protocol::Tcp
                    && vip.port != 0
            };
            service.vips.iter().find(same).map(|vip| vip.port)
        };
        self.port.or(backend.port).or_else(dialled)
    }
}

/// What is asked of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether it takes a TCP connection.
    Tcp,
    /// Whether it answers a request of HTTP/1.1 as expected.
    Http(HttpQuestion),
}

/// A request and what is expected of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpQuestion {
    /// The method.
    pub method: HttpMethod,
    /// The path, with its query.
    pub path: String,
    /// The Host header; `None`: the address and port asked.
    pub host: Option<String>,
    /// Good status codes, first and last of each range.
    pub expect_status: Vec<(u16, u16)>,
    /// A text that must stand in the body.
    pub expect_body: Option<String>,
}

/// The methods of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HttpMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD, which has no body.
    Head,
}

/// When the kernel's counters speak against a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passive {
    /// The time over which is counted.
    pub window: Duration,
    /// Fewer handshakes than this in a window say nothing.
    pub min_handshakes: u32,
    /// The part of the handshakes that stay unanswered from which on the backend is ejected.
    #[serde(with = "weight_text")]
    pub unanswered: Weight,
    /// The number of flows reset by the backend, as a part of the handshakes, from which on it is
    /// ejected.
    #[serde(with = "weight_text")]
    pub resets: Weight,
    /// For how long it is ejected the first time; each time soon after, twice as long.
    pub eject_for: Duration,
    /// The longest ejection.
    pub eject_max: Duration,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_handshakes: 20,
            unanswered: Weight::from_ppm(950_000).unwrap_or(Weight::WHOLE),
            resets: Weight::from_ppm(500_000).unwrap_or(Weight::WHOLE),
            eject_for: Duration::from_secs(30),
            eject_max: Duration::from_secs(600),
        }
    }
}
