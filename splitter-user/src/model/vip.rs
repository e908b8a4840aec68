//! Owns the *VIP*: the address, port and protocol that clients dial, and its one text form.
//!
//! Invariant: `Display` and `FromStr` are inverses. Ports are in host order.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A transport protocol that can be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP, QUIC too.
    Udp,
}

impl Protocol {
    /// The number that IP headers carry.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What clients dial: `203.0.113.10:443/tcp`, `[2001:db8::1]:443/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The port; 0: every port that no other VIP of the address and protocol names.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Why a text is no VIP.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VipError {
    /// Nothing behind the port.
    #[error("\"{0}\" names no protocol: write \"{0}/tcp\" or \"{0}/udp\"")]
    NoProtocol(String),
    /// Neither TCP nor UDP.
    #[error("\"{0}\" is no protocol that can be split: write tcp or udp")]
    OtherProtocol(String),
    /// An address without a port.
    #[error("\"{0}\" names no port: write {example}", example = with_port(.0))]
    NoPort(IpAddr),
    /// Anything else.
    #[error(
        "\"{0}\" is no VIP: write address:port/protocol, such as \"203.0.113.10:443/tcp\" or \
         \"[2001:db8::1]:443/udp\""
    )]
    NoAddress(String),
}

/// The address with a port put behind it, for a hint.
fn with_port(address: &IpAddr) -> String {
    format!("\"{}/tcp\"", SocketAddr::new(*address, 443))
}

impl FromStr for Vip {
    type Err = VipError;

    fn from_str(text: &str) -> Result<Self, VipError> {
        let Some((socket, protocol)) = text.rsplit_once('/') else {
            return Err(match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
                (Ok(_), _) => VipError::NoProtocol(text.to_owned()),
                (Err(_), Ok(address)) => VipError::NoPort(address),
                (Err(_), Err(_)) => VipError::NoAddress(text.to_owned()),
            });
        };
        let bare = socket
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(socket).parse::<IpAddr>() {
            return Err(VipError::NoPort(address));
        }
        let socket: SocketAddr = socket
            .parse()
            .map_err(|_| VipError::NoAddress(text.to_owned()))?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(VipError::OtherProtocol(other.to_owned())),
        };
        Ok(Self {
            address: socket.ip(),
            port: socket.port(),
            protocol,
        })
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            SocketAddr::new(self.address, self.port),
            self.protocol
        )
    }
}

impl From<Vip> for String {
    fn from(vip: Vip) -> Self {
        vip.to_string()
    }
}

impl TryFrom<String> for Vip {
    type Error = VipError;

    fn try_from(text: String) -> Result<Self, VipError> {
        text.parse()
    }
}
