//! Owns the JSON of what is going on, as a whole.

use serde::{Deserialize, Serialize};

use super::{ServiceStatus, TableFill};

/// What the daemon and the kernel are doing: `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the running `splitter`.
    pub version: String,
    /// Number of the layout shared with the kernel.
    pub layout_version: u32,
    /// The newest committed configuration.
    pub generation: u64,
    /// How long the daemon has run, in seconds.
    pub uptime_s: u64,
    /// The configuration file in force.
    pub config_path: String,
    /// A short digest of the cluster secret; the same on hosts that decide alike.
    pub secret_digest: String,
    /// A short digest of the configuration in force.
    pub config_digest: String,
    /// The kernel's jiffies in a second, as calibrated.
    pub hz: u32,
    /// Every configured interface.
    pub interfaces: Vec<InterfaceStatus>,
    /// Every service, or the one asked for.
    pub services: Vec<ServiceStatus>,
    /// How full the tables of flows are; empty until they were first looked at.
    #[serde(default)]
    pub tables: Vec<TableFill>,
    /// Frames that were lost after the verdict, by interface; empty when none was.
    #[serde(default)]
    pub losses: Vec<LossCount>,
    /// Every reason that has counted a packet.
    pub reasons: Vec<ReasonCount>,
    /// What an operator should know at once, most urgent first.
    pub warnings: Vec<String>,
}

/// One interface under the XDP program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// The kernel's name.
    pub name: String,
    /// The kernel's number.
    pub ifindex: u32,
    /// The mode that it got: `native` or `generic`; `none` while it does not carry the program.
    pub mode: String,
    /// The mode that the configuration asks for.
    pub wanted: String,
    /// Whether the program takes frames in several buffers.
    pub frags: bool,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Anything odd about it.
    pub note: Option<String>,
}

/// Frames that the program sent on and an interface lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossCount {
    /// The interface that they were to leave by; its number where it has no known name.
    pub interface: String,
    /// Its number; 0 for those for which there was no room.
    pub ifindex: u32,
    /// How: `refused`, `unsent`, `returned`, `failed`.
    pub loss: String,
    /// How many.
    pub frames: u64,
}

/// Packets of one verdict and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Why.
    pub reason: String,
    /// What was done: `forward`, `pass`, `drop`.
    pub verdict: String,
    /// How many packets.
    pub packets: u64,
}
