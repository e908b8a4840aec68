//! Owns a backend and its text, by which numbers, overlays and health know it: of thousands of backends it
//! is written at every look at all of them, so that IPv4 is written by hand, in a tenth of the time.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// One server of a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None` keeps the port that the client dialled.
    pub port: Option<u16>,
    /// Its part of the version's flows, beside the other backends'; 0 takes no new flows.
    pub weight: u16,
    /// Whether an operator wants no flows on it any more. Set in what is served, never in what is
    /// configured.
    #[serde(default)]
    pub leaving: bool,
}

impl Backend {
    /// The largest backend weight.
    pub const MAX_WEIGHT: u16 = 1_000;
}

impl fmt::Display for Backend {
    /// `10.0.1.11:8443`, `[2001:db8::1]:8443`, or the bare address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (IpAddr::V4(v4), port) => f.pad(Text::new(v4, port).as_str()),
            (IpAddr::V6(_), Some(port)) => SocketAddr::new(self.address, port).fmt(f),
            (IpAddr::V6(v6), None) => v6.fmt(f),
        }
    }
}

/// `255.255.255.255:65535` at most.
struct Text {
    bytes: [u8; 21],
    length: usize,
}

impl Text {
    fn new(address: Ipv4Addr, port: Option<u16>) -> Self {
        let mut text = Self {
            bytes: [0; 21],
            length: 0,
        };
        for (at, octet) in address.octets().into_iter().enumerate() {
            if at > 0 {
                text.byte(b'.');
            }
            text.number(octet.into());
        }
        if let Some(port) = port {
            text.byte(b':');
            text.number(port);
        }
        text
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn number(&mut self, number: u16) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_written_as_its_address() {
        let backend = |address: IpAddr, port| Backend {
            address,
            port,
            weight: 1,
            leaving: false,
        };
        for address in ["0.0.0.0", "10.9.100.255", "255.255.255.255", "2001:db8::1"] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(backend(address, None).to_string(), address.to_string());
            for port in [0, 9, 10, 443, 65_535] {
                let socket = SocketAddr::new(address, port);
                let backend = backend(address, Some(port));
                assert_eq!(backend.to_string(), socket.to_string());
                assert_eq!(format!("{backend:>50}"), format!("{socket:>50}"));
            }
        }
    }
}
