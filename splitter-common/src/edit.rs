//! Owns the edit: what the program does to the bytes of a packet it forwards. One address, one
//! port, the checksums that cover them, the time to live, the MACs.

use crate::{
    address::{Address, Family},
    checksum::Delta,
    flow::Hop,
    packet::{L3, Network, Packet, TCP, TCP_CHECKSUM, Transport, UDP_CHECKSUM},
};

/// Which end of the packet is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Source: a reply gets the VIP back.
    Source,
    /// Destination: a request goes to a backend.
    Destination,
}

/// A new address and port for one end, ports in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite {
    /// Which end.
    pub end: End,
    /// Its new address, of the packet's family.
    pub address: Address,
    /// Its new port.
    pub port: u16,
}

/// Rewrites one end and the checksums. `None` when the packet is shorter than its parsed headers
/// say, which parsing excludes.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &mut P,
    network: &Network,
    transport: &Transport,
    to: &Rewrite,
) -> Option<()> {
    let (old_address, old_port, port_at) = match to.end {
        End::Source => (network.source, transport.source_port, 0),
        End::Destination => (network.destination, transport.destination_port, 2),
    };
    let (old, new) = (old_address.halfwords(), to.address.halfwords());
    let mut address = Delta::default();
    match network.family {
        Family::V4 => {
            address = address.replace(old[6], new[6]).replace(old[7], new[7]);
            let [checksum] = packet.read::<1>(L3 + 10)?;
            packet.write(L3 + 10, [address.apply(checksum)])?;
            let at = if matches!(to.end, End::Source) {
                L3 + 12
            } else {
                L3 + 16
            };
            packet.write(at, [new[6], new[7]])?;
        }
        Family::V6 => {
            for index in 0..8 {
                address = address.replace(old[index], new[index]);
            }
            let at = if matches!(to.end, End::Source) {
                L3 + 8
            } else {
                L3 + 24
            };
            packet.write(at, new)?;
        }
    }
    let sum = address.replace(old_port.to_be(), to.port.to_be());
    packet.write(network.l4 + port_at, [to.port.to_be()])?;
    if network.protocol == TCP {
        packet.write(network.l4 + TCP_CHECKSUM, [sum.apply(transport.checksum)])
    } else {
        packet.write(
            network.l4 + UDP_CHECKSUM,
            [sum.apply_udp(transport.checksum)],
        )
    }
}

/// Lowers the time to live by one; the caller has seen that it is above 1.
#[inline(always)]
pub fn lower_ttl<P: Packet>(packet: &mut P, network: &Network) -> Option<()> {
    match network.family {
        Family::V4 => {
            // Halfword 4 is TTL (first byte) and protocol, halfword 5 the checksum.
            let [old, checksum] = packet.read::<2>(L3 + 8)?;
            let new = old.wrapping_sub(1);
            packet.write(
                L3 + 8,
                [new, Delta::default().replace(old, new).apply(checksum)],
            )
        }
        Family::V6 => {
            // Halfword 3 is the next header (first byte) and the hop limit.
            let [old] = packet.read::<1>(L3 + 6)?;
            packet.write(L3 + 6, [old.wrapping_sub(0x100)])
        }
    }
}

/// Puts the MACs of the next hop in.
#[inline(always)]
pub fn address_frame<P: Packet>(packet: &mut P, hop: &Hop) -> Option<()> {
    let (to, from) = (hop.destination, hop.source);
    packet.write(
        0,
        [
            to as u16,
            (to >> 16) as u16,
            (to >> 32) as u16,
            from as u16,
            (from >> 16) as u16,
            (from >> 32) as u16,
        ],
    )
}
