//! Owns the RST that ends a TCP flow here, back to who has just spoken (RFC 9293, section 3.5.2): it
//! takes its sequence number from what the segment acknowledges, or acknowledges the segment when
//! that acknowledges nothing. Both ends take such a RST as exact (RFC 5961, section 3.2).

use super::{Aside, Outcome, turn};
use crate::{
    checksum::Sum,
    packet::{
        self, Network, Packet, TCP, Transport,
        tcp_flags::{ACK, FIN, RST, SYN},
    },
    reason::{Reason, Verdict},
};

/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Turns the packet into its RST, which leaves by the interface that it came in by.
#[inline(always)]
pub(super) fn answer<P: Packet>(
    packet: &mut P,
    network: &Network,
    ifindex: u32,
    reason: Reason,
) -> Outcome {
    let built =
        packet::transport(packet, network).and_then(|transport| build(packet, network, &transport));
    match built {
        Some(()) => Outcome {
            verdict: Verdict::Tx,
            reason,
            number: ifindex,
            aside: Aside::Nothing,
        },
        None => Outcome::drop(reason),
    }
}

/// The two halfwords of a number.
#[inline(always)]
const fn halves(number: u32) -> [u16; 2] {
    [((number >> 16) as u16).to_be(), (number as u16).to_be()]
}

#[inline(always)]
fn build<P: Packet>(packet: &mut P, network: &Network, transport: &Transport) -> Option<()> {
    let at = turn::begin(packet, network, 0, TCP, TCP_HEADER as u16)?;
    packet.write(at, segment(network, transport))
}

/// The TCP header, checksum and all.
#[inline(always)]
fn segment(network: &Network, transport: &Transport) -> [u16; TCP_HEADER / 2] {
    let got = &transport.segment;
    let acknowledges = got.flags & ACK != 0;
    let taken = (got.flags & SYN != 0) as u32 + (got.flags & FIN != 0) as u32;
    let (seq, ack, flags) = if acknowledges {
        (got.ack, 0, RST)
    } else {
        let ack = got.seq.wrapping_add(got.payload).wrapping_add(taken);
        (0, ack, RST | ACK)
    };
    let ([s0, s1], [a0, a1]) = (halves(seq), halves(ack));
    let offset_flags = ((TCP_HEADER as u16 / 4) << 12 | flags as u16).to_be();
    let header = [
        transport.destination_port.to_be(),
        transport.source_port.to_be(),
        s0,
        s1,
        a0,
        a1,
        offset_flags,
        0,
        0,
        0,
    ];
    // The unused words of an IPv4-mapped address would be summed too: its halves are 0 and 0xffff,
    // which is 0 to a sum of this kind.
    let pseudo = [(TCP as u16).to_be(), (TCP_HEADER as u16).to_be()];
    let sum = Sum::default()
        .add(header)
        .add(network.source.halfwords())
        .add(network.destination.halfwords())
        .add(pseudo);
    let mut header = header;
    header[8] = sum.checksum();
    header
}
