//! Owns the beginning of a packet that this host answers another with, back to who sent that one:
//! the frame turned round, and an IP header of its own.

use crate::{
    address::Family,
    checksum::Sum,
    packet::{L3, Network, Packet},
};

/// Time to live of an answer.
pub(super) const TTL: u8 = 64;

/// Bytes of an IP header without options or extensions.
#[inline(always)]
pub(super) const fn header(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// Turns a packet into one of `protocol` with so many bytes of payload, whose offset it says. `front`:
/// bytes that come before the packet as it was.
#[inline(always)]
pub(super) fn begin<P: Packet>(
    packet: &mut P,
    network: &Network,
    front: usize,
    protocol: u8,
    payload: u16,
) -> Option<usize> {
    let [a, b, c, d, e, f, ethertype] = packet.read::<7>(0)?;
    let header = header(network.family);
    let at = L3 + header;
    packet.reshape(front, at + payload as usize)?;
    packet.write(0, [d, e, f, a, b, c, ethertype])?;
    let (from, to) = (network.destination.halfwords(), network.source.halfwords());
    match network.family {
        Family::V4 => {
            let mut ip = [
                0x4500u16.to_be(),
                (header as u16 + payload).to_be(),
                0,
                0x4000u16.to_be(),
                ((TTL as u16) << 8 | protocol as u16).to_be(),
                0,
                from[6],
                from[7],
                to[6],
                to[7],
            ];
            ip[5] = Sum::default().add(ip).checksum();
            packet.write(L3, ip)?;
        }
        Family::V6 => {
            let rest = (protocol as u16) << 8 | TTL as u16;
            packet.write(L3, [0x6000u16.to_be(), 0, payload.to_be(), rest.to_be()])?;
            packet.write(L3 + 8, from)?;
            packet.write(L3 + 24, to)?;
        }
    }
    Some(at)
}
