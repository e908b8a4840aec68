//! Owns the answer to a packet that does not fit the way to its destination and may not be cut:
//! "fragmentation needed" (RFC 792, RFC 1191) or "packet too big" (RFC 4443, section 3.2), back to
//! its sender. This host's stack could not: it would quote the packet as it was rewritten.

use super::{Aside, Outcome};
use crate::{
    address::Family,
    checksum::Sum,
    packet::{ICMP, ICMP6, L3, Network, Packet},
    reason::{Reason, Verdict},
};

/// Halfwords of the packet that are quoted: any IPv4 header and eight bytes more (RFC 792), an
/// IPv6 header and the one of TCP or UDP. Nothing that is too big for a link is shorter.
const QUOTED: usize = 34;
const TTL: u16 = 64;

/// Turns the packet into its answer, which leaves by the interface that it came in by.
#[inline(always)]
pub(super) fn answer<P: Packet>(
    packet: &mut P,
    network: &Network,
    mtu: u32,
    ifindex: u32,
) -> Outcome {
    match build(packet, network, mtu as u16) {
        Some(()) => Outcome {
            verdict: Verdict::Tx,
            reason: Reason::TooBig,
            number: ifindex,
            aside: Aside::Nothing,
        },
        None => Outcome::drop(Reason::TooBig),
    }
}

#[inline(always)]
fn build<P: Packet>(packet: &mut P, network: &Network, mtu: u16) -> Option<()> {
    let [a, b, c, d, e, f, ethertype] = packet.read::<7>(0)?;
    let header = match network.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let length = L3 + header + 8 + 2 * QUOTED;
    packet.reshape(header + 8, length)?;
    packet.write(0, [d, e, f, a, b, c, ethertype])?;
    let (from, to) = (network.destination.halfwords(), network.source.halfwords());
    let icmp = L3 + header;
    let quoted = Sum::default().add(packet.read::<QUOTED>(icmp + 8)?);
    match network.family {
        Family::V4 => {
            let ip = [
                0x4500u16.to_be(),
                ((length - L3) as u16).to_be(),
                0,
                0x4000u16.to_be(),
                (TTL << 8 | ICMP as u16).to_be(),
                0,
                from[6],
                from[7],
                to[6],
                to[7],
            ];
            let mut summed = ip;
            summed[5] = Sum::default().add(ip).checksum();
            packet.write(L3, summed)?;
            let head = [(3u16 << 8 | 4).to_be(), 0, 0, mtu.to_be()];
            let [kind, _, unused, next] = head;
            packet.write(icmp, [kind, quoted.add(head).checksum(), unused, next])
        }
        Family::V6 => {
            let payload = (8 + 2 * QUOTED) as u16;
            packet.write(
                L3,
                [
                    0x6000u16.to_be(),
                    0,
                    payload.to_be(),
                    ((ICMP6 as u16) << 8 | TTL).to_be(),
                ],
            )?;
            packet.write(L3 + 8, from)?;
            packet.write(L3 + 24, to)?;
            let head = [(2u16 << 8).to_be(), 0, 0, mtu.to_be()];
            let pseudo = [payload.to_be(), (ICMP6 as u16).to_be()];
            let sum = quoted.add(head).add(from).add(to).add(pseudo);
            let [kind, _, unused, next] = head;
            packet.write(icmp, [kind, sum.checksum(), unused, next])
        }
    }
}
