//! Owns the answer to a packet that does not fit the way to its destination and may not be cut:
//! "fragmentation needed" (RFC 792, RFC 1191) or "packet too big" (RFC 4443, section 3.2), back to
//! its sender. This host's stack could not: it would quote the packet as it was rewritten.

use super::{Aside, Outcome, turn};
use crate::{
    address::Family,
    checksum::Sum,
    packet::{ICMP, ICMP6, Network, Packet},
    reason::{Reason, Verdict},
};

/// Halfwords of the packet that are quoted: any IPv4 header and eight bytes more (RFC 792), an
/// IPv6 header and the one of TCP or UDP. Nothing that is too big for a link is shorter.
const QUOTED: usize = 34;

/// Turns the packet into its answer, which leaves by the interface that it came in by.
#[inline(always)]
pub(super) fn answer<P: Packet>(
    packet: &mut P,
    network: &Network,
    mtu: u32,
    ifindex: u32,
) -> Outcome {
    // No link is so narrow: nothing was left to answer.
    let built = (mtu != 0).then(|| build(packet, network, mtu as u16));
    match built.flatten() {
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
    let payload = 8 + 2 * QUOTED;
    let front = turn::header(network.family) + 8;
    match network.family {
        Family::V4 => {
            let icmp = turn::begin(packet, network, front, ICMP, payload as u16)?;
            let quoted = Sum::default().add(packet.read::<QUOTED>(icmp + 8)?);
            let head = [(3u16 << 8 | 4).to_be(), 0, 0, mtu.to_be()];
            let [kind, _, unused, next] = head;
            packet.write(icmp, [kind, quoted.add(head).checksum(), unused, next])
        }
        Family::V6 => {
            let icmp = turn::begin(packet, network, front, ICMP6, payload as u16)?;
            let quoted = Sum::default().add(packet.read::<QUOTED>(icmp + 8)?);
            let head = [(2u16 << 8).to_be(), 0, 0, mtu.to_be()];
            let pseudo = [(payload as u16).to_be(), (ICMP6 as u16).to_be()];
            let sum = quoted
                .add(head)
                .add(network.destination.halfwords())
                .add(network.source.halfwords())
                .add(pseudo);
            let [kind, _, unused, next] = head;
            packet.write(icmp, [kind, sum.checksum(), unused, next])
        }
    }
}
