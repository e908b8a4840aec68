//! Owns the words that an operator chooses among; `Display` gives the word of the file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The XDP mode that an operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum XdpChoice {
    /// Native where the driver can, generic otherwise, and status says which.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the kernel's generic path: slow, works everywhere.
    Generic,
}

/// How packets reach a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardMethod {
    /// Destination rewritten; replies come back through this host and get the VIP again.
    #[default]
    Nat,
}

impl fmt::Display for ForwardMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nat => "nat",
        })
    }
}

/// What the split law hashes: the unit that is assigned to a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SplitKey {
    /// One IPv4 address or one IPv6 /64.
    #[default]
    #[serde(rename = "client")]
    Client,
    /// One IPv4 /24 or one IPv6 /48.
    #[serde(rename = "client/24")]
    Client24,
    /// Every flow for itself.
    #[serde(rename = "flow")]
    Flow,
}

impl fmt::Display for SplitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Client24 => "client/24",
            Self::Flow => "flow",
        })
    }
}

/// What a backend is chosen by inside its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Affinity {
    /// Every flow for itself.
    Flow,
    /// All flows of a client go to one backend.
    Client,
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::Client => "client",
        })
    }
}

impl fmt::Display for XdpChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}
