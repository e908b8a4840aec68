//! Owns who may ask for metrics over TCP.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The listener for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// A loopback address; `None`: nobody is listened to.
    pub listen: Option<SocketAddr>,
}
