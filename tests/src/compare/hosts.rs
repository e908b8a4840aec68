//! Owns what the lab's namespace knows of ways, as [`crate::spec::kernel`] lays it, and which next
//! hops backends are given.

use std::net::IpAddr;

use crate::{
    model::{NextHop, Way, Ways},
    spec::run::{CLIENT_MACS, CLIENT_MTU},
};

/// The next hop toward backends: the MAC of the interface, then the hop's.
const BACKEND: NextHop = NextHop {
    macs: ([2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 0xbb]),
    mtu: 1_400,
};
const CLIENT: NextHop = NextHop {
    macs: CLIENT_MACS,
    mtu: CLIENT_MTU as usize,
};

/// The ways of the lab.
pub const WAYS: Ways = Ways {
    to_server,
    to_client,
};

/// By the last byte of its address: most servers are reached by another interface, some by the
/// one that packets come in by, some are not resolved.
fn to_server(address: IpAddr) -> Way {
    match octets(address).last().map_or(0, |last| last % 5) {
        3 => Way::Same(BACKEND),
        4 => Way::Unknown,
        _ => Way::Other(BACKEND),
    }
}

/// By the routes of the namespace: the neighbours of one network, of whom one is resolved and has
/// all other clients behind it.
fn to_client(address: IpAddr) -> Way {
    let octets = octets(address);
    let (network, behind): (&[u8], &[u8]) = match address {
        IpAddr::V4(_) => (&[10, 1, 0], &[10, 100]),
        IpAddr::V6(_) => (&[0xfd, 1, 0, 0, 0, 0, 0, 0], &[0xfd, 0x64]),
    };
    if octets.starts_with(behind) {
        return Way::Other(CLIENT);
    }
    let Some(host) = octets.strip_prefix(network) else {
        return Way::Nowhere;
    };
    match (
        host.iter().rev().skip(1).all(|byte| *byte == 0),
        host.last(),
    ) {
        (true, Some(2)) => Way::Other(CLIENT),
        (true, Some(1)) => Way::Nowhere,
        // To all of the network, or to any of its routers.
        (true, Some(255)) if address.is_ipv4() => Way::Nowhere,
        (true, Some(0)) if address.is_ipv6() => Way::Nowhere,
        _ => Way::Unknown,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
