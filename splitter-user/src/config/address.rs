//! Owns what an address in the file may be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;

use super::reader::{Node, Section};

/// Why a text is no backend address.
#[derive(Debug, Error)]
pub(super) enum BackendAddressError {
    #[error(
        "backend \"{0}\" has port 0: write a port, or the address alone to keep the port that \
         clients dial"
    )]
    PortZero(String),
    #[error(
        "\"{0}\" is no backend: write an IP address with a port (\"10.0.1.11:8443\", \
         \"[2001:db8::1]:8443\") or without; names are not looked up"
    )]
    NotAnAddress(String),
}

/// Reads `address:port` or a bare address.
pub(super) fn backend_address(text: &str) -> Result<(IpAddr, Option<u16>), BackendAddressError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok((address, None));
    }
    match text.parse::<SocketAddr>() {
        Ok(socket) if socket.port() == 0 => Err(BackendAddressError::PortZero(text.to_owned())),
        Ok(socket) => Ok((socket.ip(), Some(socket.port()))),
        Err(_) => Err(BackendAddressError::NotAnAddress(text.to_owned())),
    }
}

/// Why an address can be neither a VIP nor a backend, if so.
pub(super) fn refused(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    if address.is_loopback() {
        return Some("a loopback address, which no packet on a wire carries");
    }
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Some("an IPv4-mapped IPv6 address; write the IPv4 address itself")
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("a link-local address, which says nothing without an interface")
        }
        IpAddr::V6(_) => None,
    }
}

/// Reports an address that no packet of a client or to a backend can carry.
pub(super) fn usable(
    section: &Section<'_, '_, '_>,
    node: &Node<'_>,
    address: IpAddr,
    role: &str,
) -> bool {
    match refused(address) {
        Some(why) => {
            let message = format!("{address} cannot be {role}: it is {why}");
            section.error(&node.span(), message);
            false
        }
        None => true,
    }
}
