//! Owns the edit: what the program does to the bytes of a packet it forwards. One address, one
//! port, the checksums that cover them, the time to live, the MACs; the same in a packet that an
//! ICMP error quotes.

use crate::{
    address::{Address, Family},
    checksum::Delta,
    flow::Hop,
    packet::{Form, Inner, L3, Network, Packet, TCP, TCP_CHECKSUM, Transport, UDP, UDP_CHECKSUM},
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
    /// Its new port; nothing to a fragment without ports.
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
    let address = rewrite_address(packet, network, to.end, to.address)?;
    if matches!(network.form, Form::Later) {
        return Some(());
    }
    let (old_port, port_at) = match to.end {
        End::Source => (transport.source_port, 0),
        End::Destination => (transport.destination_port, 2),
    };
    let sum = address.replace(old_port.to_be(), to.port.to_be());
    let l4 = network.l4();
    packet.write(l4 + port_at, [to.port.to_be()])?;
    if network.protocol == TCP {
        packet.write(l4 + TCP_CHECKSUM, [sum.apply(transport.checksum)])
    } else {
        packet.write(l4 + UDP_CHECKSUM, [sum.apply_udp(transport.checksum)])
    }
}

/// Rewrites one address, and the IP header's checksum where it has one. What the address changes
/// in checksums that cover it.
#[inline(always)]
pub fn rewrite_address<P: Packet>(
    packet: &mut P,
    network: &Network,
    end: End,
    to: Address,
) -> Option<Delta> {
    let from = match end {
        End::Source => network.source,
        End::Destination => network.destination,
    };
    write_address(packet, network.family, L3, end, from, to)
}

/// Writes an address into the IP header at `at`.
#[inline(always)]
fn write_address<P: Packet>(
    packet: &mut P,
    family: Family,
    at: usize,
    end: End,
    from: Address,
    to: Address,
) -> Option<Delta> {
    let (old, new) = (from.halfwords(), to.halfwords());
    let is_source = matches!(end, End::Source);
    let mut address = Delta::default();
    match family {
        Family::V4 => {
            address = address.replace(old[6], new[6]).replace(old[7], new[7]);
            let [checksum] = packet.read::<1>(at + 10)?;
            packet.write(at + 10, [address.apply(checksum)])?;
            let of_end = if is_source { 12 } else { 16 };
            packet.write(at + of_end, [new[6], new[7]])?;
        }
        Family::V6 => {
            for index in 0..8 {
                address = address.replace(old[index], new[index]);
            }
            let of_end = if is_source { 8 } else { 24 };
            packet.write(at + of_end, new)?;
        }
    }
    Some(address)
}

/// Rewrites one end of a packet that an ICMP error quotes, and its checksums as far as it is
/// quoted. What that changes in the error's own checksum.
#[inline(always)]
pub fn rewrite_quoted<P: Packet>(
    packet: &mut P,
    network: &Network,
    inner: &Inner,
    to: &Rewrite,
) -> Option<Delta> {
    let is_source = matches!(to.end, End::Source);
    let (from, old_port, port_at) = if is_source {
        (inner.source, inner.source_port, 0)
    } else {
        (inner.destination, inner.destination_port, 2)
    };
    let address = write_address(packet, network.family, inner.at(), to.end, from, to.address)?;
    let ports = Delta::default().replace(old_port.to_be(), to.port.to_be());
    packet.write(inner.l4() + port_at, [to.port.to_be()])?;
    // An IPv4 header's checksum undoes what its addresses change.
    let mut changed = match network.family {
        Family::V4 => ports,
        Family::V6 => ports.and(address),
    };
    let at = inner.l4()
        + if inner.protocol == TCP {
            TCP_CHECKSUM
        } else {
            UDP_CHECKSUM
        };
    // What stands behind the end of the packet is no checksum.
    if at + 2 <= L3 + network.length as usize {
        let [old] = packet.read::<1>(at)?;
        let sum = address.and(ports);
        let new = if inner.protocol == UDP {
            sum.apply_udp(old)
        } else {
            sum.apply(old)
        };
        packet.write(at, [new])?;
        changed = changed.replace(old, new);
    }
    Some(changed)
}

/// Lowers the time to live by one; the caller has seen that it is above 1.
#[inline(always)]
pub fn lower_ttl<P: Packet>(packet: &mut P, network: &Network) -> Option<()> {
    set_ttl(packet, network, network.ttl.wrapping_sub(1))
}

/// Sets the time to live of a packet that was turned round.
#[inline(always)]
pub fn set_ttl<P: Packet>(packet: &mut P, network: &Network, ttl: u8) -> Option<()> {
    match network.family {
        Family::V4 => {
            // Halfword 4 is TTL (first byte) and protocol, halfword 5 the checksum.
            let [old, checksum] = packet.read::<2>(L3 + 8)?;
            let new = old & 0xff00 | ttl as u16;
            packet.write(
                L3 + 8,
                [new, Delta::default().replace(old, new).apply(checksum)],
            )
        }
        Family::V6 => {
            // Halfword 3 is the next header (first byte) and the hop limit.
            let [old] = packet.read::<1>(L3 + 6)?;
            packet.write(L3 + 6, [old & 0x00ff | (ttl as u16) << 8])
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
