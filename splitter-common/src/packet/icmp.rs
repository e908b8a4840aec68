//! Owns what an ICMP error quotes: the beginning of the packet that it is about (RFC 792, RFC 4443
//! section 3).

use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

use super::{L3, Network, Packet, TCP, UDP, high, ip::is_mapped, low};
use crate::address::{Address, Family};

/// Bytes of an ICMP header before what it quotes.
const HEADER: usize = 8;
/// Bytes of the ports of TCP and UDP.
const PORTS: usize = 4;
/// All that an offset into a quoted packet has.
const INNER_MASK: usize = 0x3ff;

/// A quoted packet of TCP or UDP. Ports in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inner {
    /// Who sent it, as the ICMP error's sender saw it.
    pub source: Address,
    /// To whom.
    pub destination: Address,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    at: usize,
    l4: usize,
}

impl Inner {
    /// Where its IP header starts, bytes from the start of the frame.
    #[inline(always)]
    pub const fn at(&self) -> usize {
        self.at & INNER_MASK
    }

    /// Where its ports start.
    #[inline(always)]
    pub const fn l4(&self) -> usize {
        self.l4 & INNER_MASK
    }
}

/// The packet that an ICMP error quotes; `None` when it has no ports to read.
#[inline(always)]
pub fn inner<P: Packet>(packet: &P, network: &Network) -> Option<Inner> {
    let at = network.l4() + HEADER;
    let (source, destination, protocol, l4) = match network.family {
        Family::V4 => {
            let h = packet.read::<{ Ipv4Hdr::LEN / 2 }>(at)?;
            let version_ihl = low(h[0]);
            let header = ((version_ihl & 0xf) as usize) * 4;
            // Behind the first fragment there are no ports.
            let behind = u16::from_be(h[3]) & 0x1fff != 0;
            if version_ihl >> 4 != 4 || header < Ipv4Hdr::LEN || behind {
                return None;
            }
            (
                Address::from_v4_halfwords(h[6], h[7]),
                Address::from_v4_halfwords(h[8], h[9]),
                high(h[4]),
                at + header,
            )
        }
        Family::V6 => {
            let h = packet.read::<{ Ipv6Hdr::LEN / 2 }>(at)?;
            let source =
                Address::from_v6_halfwords([h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11]]);
            let destination = Address::from_v6_halfwords([
                h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19],
            ]);
            if low(h[0]) >> 4 != 6 || is_mapped(source, destination) {
                return None;
            }
            (source, destination, low(h[3]), at + Ipv6Hdr::LEN)
        }
    };
    let is_quoted = (l4 & INNER_MASK) + PORTS <= L3 + network.length as usize;
    if protocol != TCP && protocol != UDP || !is_quoted {
        return None;
    }
    let [source_port, destination_port] = packet.read::<2>(l4 & INNER_MASK)?;
    Some(Inner {
        source,
        destination,
        protocol,
        source_port: u16::from_be(source_port),
        destination_port: u16::from_be(destination_port),
        at,
        l4,
    })
}
