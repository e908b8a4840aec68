//! Owns the JSON of what the kernel has counted.

use serde::{Deserialize, Serialize};

/// What the kernel has counted, monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Flows begun.
    pub new_flows: u64,
    /// TCP handshakes completed.
    pub handshakes: u64,
    /// Handshakes begun by a client.
    pub syns_begun: u64,
    /// Handshakes answered by a backend.
    pub syns_answered: u64,
    /// SYNs that clients sent once more.
    pub syn_retransmits: u64,
    /// Resets sent by clients.
    pub resets_by_client: u64,
    /// Resets sent by backends.
    pub resets_by_server: u64,
    /// Of those of clients: before the backend had sent data.
    #[serde(default)]
    pub resets_by_client_early: u64,
    /// Of those of backends: before they had sent data; refused handshakes, say.
    #[serde(default)]
    pub resets_by_server_early: u64,
    /// Flows met in the middle, without an entry.
    pub adopted: u64,
    /// ICMP errors about its flows, either way.
    #[serde(default)]
    pub icmp_errors: u64,
    /// Flows of clients that belong to another version.
    #[serde(default)]
    pub diverted: u64,
    /// Flows ended here: the service decided otherwise by then, or the client was denied.
    #[serde(default)]
    pub cut: u64,
    /// Flows that the tables refused to enter.
    pub inserts_refused: u64,
}
