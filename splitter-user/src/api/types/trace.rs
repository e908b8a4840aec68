//! Owns the JSON of traced packets.

use serde::{Deserialize, Serialize};

/// Whose packets are asked for: the query of `GET /v1/trace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceQuery {
    /// The client, or a prefix: `10.1.0.7`, `2001:db8::/64`.
    pub client: String,
    /// Only packets of this service.
    #[serde(default)]
    pub service: Option<String>,
    /// For how long, in seconds; 600 unless told, at most 3,600.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// One line of what is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TraceLine {
    /// A packet.
    Packet(Box<TracedPacket>),
    /// So many packets came too fast to be told, or to be read.
    Untold {
        /// How many, since the line before.
        untold: u64,
    },
    /// The time is up.
    Ended {
        /// After how many seconds.
        ended_after_s: u32,
    },
}

/// What the program did with a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedPacket {
    /// When, RFC 3339 in UTC with microseconds.
    pub at: String,
    /// `pass`, `drop`, `tx`, `redirect`, `resolve`.
    pub verdict: String,
    /// Why; the label of the metric.
    pub reason: String,
    /// Source, as it came: `10.1.0.7:40000`, without a port where none was read.
    pub source: String,
    /// Destination, likewise.
    pub destination: String,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, or a number.
    pub protocol: String,
    /// Flags of TCP: `SYN`, `SYN ACK`; empty for other protocols.
    pub flags: String,
    /// Length of the IP packet, in bytes.
    pub length_bytes: u32,
    /// The interface that it came in by.
    pub interface: String,
    /// Whether a backend sent it.
    pub reply: bool,
    /// What is known of its service; `None` for packets of none.
    pub decision: Option<TracedDecision>,
}

/// What a packet's service has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedDecision {
    /// The service.
    pub service: String,
    /// The client's hash, `0x1a2b3c4d`.
    pub hash_hex: String,
    /// The same in percent of its range.
    pub hash_percent: f64,
    /// The segment that takes the client.
    pub segment: Option<String>,
    /// The version that the client belongs to by the weights in force.
    pub assigned: String,
    /// The version that serves the flow, or would.
    pub version: String,
    /// The backend that does.
    pub backend: Option<String>,
    /// `established`, `pending`, or `unknown`: what the flow's entry says.
    pub flow: String,
    /// The generation that decided the flow; `None` without an entry.
    pub generation: Option<u32>,
}
