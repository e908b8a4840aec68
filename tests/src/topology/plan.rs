//! Owns the address plan.
//!
//! | net | IPv4 | IPv6 |
//! |---|---|---|
//! | client link | 10.1.0.0/24, lb .1, client .2 | fd01::/64, lb ::1, client ::2 |
//! | backend net | 10.2.0.0/24, lb .1, backends .11, .12, .. | fd02::/64, lb ::1, backends ::11, ::12, .. |
//! | client addresses | 10.100.0.0/16 behind the client | fd64::/16 behind the client, a /64 each |

use std::net::{Ipv4Addr, Ipv6Addr};

/// Backends that can be numbered with the same digits in IPv4 and IPv6.
pub(super) const BACKENDS_MAX: usize = 89;

/// Client addresses in one 10.100.x.0/24.
const CLIENTS_PER_NET: u16 = 250;

/// IPv4 client addresses in all.
pub(super) const CLIENTS_V4_MAX: u16 = 256 * CLIENTS_PER_NET;

pub(super) fn backend_v4(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, backend_number(index))
}

pub(super) fn backend_v6(index: usize) -> Ipv6Addr {
    // 11 becomes 0x11, so that both addresses read the same.
    let number = backend_number(index);
    let digits = u16::from(number / 10) * 16 + u16::from(number % 10);
    Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, digits)
}

fn backend_number(index: usize) -> u8 {
    assert!(index < BACKENDS_MAX, "no address for backend {index}");
    11 + index as u8
}

pub(super) fn client_v4(index: u16) -> Ipv4Addr {
    let [net, host] = [index / CLIENTS_PER_NET, index % CLIENTS_PER_NET + 1];
    let octet = |number: u16| u8::try_from(number).expect("at most CLIENTS_V4_MAX clients");
    Ipv4Addr::new(10, 100, octet(net), octet(host))
}

pub(super) fn client_v6(index: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd64, 0, 0, index, 0, 0, 0, 1)
}

/// A host with one interface, `eth0`, and a gateway.
pub(super) struct Member {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    gateway_v4: Ipv4Addr,
    gateway_v6: Ipv6Addr,
}

impl Member {
    pub(super) const CLIENT: Self = Self {
        v4: Ipv4Addr::new(10, 1, 0, 2),
        v6: Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2),
        gateway_v4: Ipv4Addr::new(10, 1, 0, 1),
        gateway_v6: Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1),
    };

    pub(super) const fn backend(v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        Self {
            v4,
            v6,
            gateway_v4: Ipv4Addr::new(10, 2, 0, 1),
            gateway_v6: Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 1),
        }
    }
}

/// Address and default route of a host, for `ip -batch`.
pub(super) fn member_commands(member: &Member) -> String {
    let Member {
        v4,
        v6,
        gateway_v4,
        gateway_v6,
    } = member;
    format!(
        "address add {v4}/24 dev eth0\n\
         address add {v6}/64 dev eth0 nodad\n\
         route add default via {gateway_v4}\n\
         route add default via {gateway_v6}\n"
    )
}

/// Addresses and routes of the load balancer, for `ip -batch`.
pub(super) fn lb_commands(same_interface: bool) -> String {
    let (client_side, backend_side) = if same_interface {
        ("net0", "net0")
    } else {
        ("cli0", "srv0")
    };
    format!(
        "address add 10.1.0.1/24 dev {client_side}\n\
         address add fd01::1/64 dev {client_side} nodad\n\
         address add 10.2.0.1/24 dev {backend_side}\n\
         address add fd02::1/64 dev {backend_side} nodad\n\
         route add 10.100.0.0/16 via 10.1.0.2\n\
         route add fd64::/16 via fd01::2\n"
    )
}
