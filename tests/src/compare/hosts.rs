//! Owns what the lab's namespace knows of ways, as [`crate::spec::kernel`] lays it, and which next
//! hops backends are given.

use std::net::IpAddr;

use crate::{
    model::{Macs, Way, Ways},
    spec::run::CLIENT_MACS,
};

/// The next hop toward backends: the MAC of the interface, then the hop's.
const BACKEND_MACS: Macs = ([2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 0xbb]);

/// The ways of the lab.
pub const WAYS: Ways = Ways {
    to_server,
    to_client,
};

/// By the last byte of its address: most servers are reached by another interface, some by the
/// one that packets come in by, some are not resolved.
fn to_server(address: IpAddr) -> Way {
    match octets(address).last().map_or(0, |last| last % 5) {
        3 => Way::Same(BACKEND_MACS),
        4 => Way::Unknown,
        _ => Way::Other(BACKEND_MACS),
    }
}

/// By the routes of the namespace.
fn to_client(address: IpAddr) -> Way {
    let octets = octets(address);
    let neighbour = match address {
        IpAddr::V4(_) => octets == [10, 1, 0, 2],
        IpAddr::V6(v6) => v6 == std::net::Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2),
    };
    let routed = octets.starts_with(if address.is_ipv4() {
        &[10, 100]
    } else {
        &[0xfd, 0x64]
    });
    if neighbour || routed {
        Way::Other(CLIENT_MACS)
    } else {
        Way::Unknown
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
