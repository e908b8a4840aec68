//! Owns what this host answers in another's name, out of the interface that the packet came in by:
//! an echo to a VIP (RFC 792, RFC 4443 section 4), what is too big for its way (RFC 1191, RFC 4443
//! section 3.2), and a segment of a flow that was ended (RFC 9293, section 3.5.2).

use std::net::IpAddr;

use splitter_common::reason::{Reason, Verdict};

use super::{
    Outcome,
    edit::{Editing, End, Leaving},
    flow::{ACK, FIN, RST, SYN},
    sums::{checksum, octets, put},
    wire::{L3, Ports, Seen},
};

const TTL: u8 = 64;
/// What an answer quotes of the packet, bytes.
const QUOTED: usize = 68;

fn sent(reason: Reason, leaving: Leaving) -> Outcome {
    Outcome {
        verdict: Verdict::Tx,
        reason,
        leaving: Some(leaving),
    }
}

fn macs(frame: &[u8]) -> Option<([u8; 6], [u8; 6])> {
    Some((
        frame.get(..6)?.try_into().ok()?,
        frame.get(6..12)?.try_into().ok()?,
    ))
}

/// The answer to an echo to a VIP.
pub(super) fn echo(frame: &[u8], seen: &Seen) -> Outcome {
    let mut editing = Editing::new(frame, seen);
    editing.address(End::Source, seen.destination);
    editing.address(End::Destination, seen.source);
    editing.ttl(TTL);
    if let Some(turned) = macs(frame) {
        editing.macs(turned);
    }
    let kind = if seen.source.is_ipv4() { 0 } else { 129 };
    put(&mut editing.bytes, seen.l4, &[kind]);
    sent(Reason::EchoReply, editing.finish())
}

/// The answer to a packet that does not fit: from whom it was sent to, to its sender, about the
/// packet as it came.
pub(super) fn too_big(frame: &[u8], seen: &Seen, mtu: usize) -> Outcome {
    let quoted = &frame[L3..L3 + QUOTED];
    let [high, low] = (mtu as u16).to_be_bytes();
    let mut message = match seen.source {
        IpAddr::V4(_) => vec![3, 4],
        IpAddr::V6(_) => vec![2, 0],
    };
    message.extend([0, 0, 0, 0, high, low]);
    message.extend(quoted);
    let (from, to) = (octets(seen.destination), octets(seen.source));
    let (mut ip, mut covered) = (Vec::new(), Vec::new());
    if seen.source.is_ipv4() {
        ip.extend([
            0x45,
            0,
            0,
            20 + message.len() as u8,
            0,
            0,
            0x40,
            0,
            TTL,
            1,
            0,
            0,
        ]);
        ip.extend(from.iter().chain(&to));
        let sum = checksum(&ip);
        put(&mut ip, 10, &sum.to_be_bytes());
    } else {
        ip.extend([0x60, 0, 0, 0, 0, message.len() as u8, 58, TTL]);
        ip.extend(from.iter().chain(&to));
        covered = [from, to, vec![0, 58, 0, message.len() as u8]].concat();
    }
    covered.extend(&message);
    let sum = checksum(&covered);
    put(&mut message, 2, &sum.to_be_bytes());
    let bytes = [&frame[6..12], &frame[..6], &frame[12..14], &ip, &message].concat();
    let wrong = Vec::new();
    sent(Reason::TooBig, Leaving { bytes, wrong })
}

/// The RST to a segment, from whom it was sent to. Its number is what the segment acknowledges; a
/// segment that acknowledges nothing is acknowledged.
pub(super) fn reset(frame: &[u8], seen: &Seen, ports: &Ports, reason: Reason) -> Outcome {
    let length = |flag: u8| usize::from(ports.flags & flag != 0);
    let (seq, ack, flags) = if ports.flags & ACK != 0 {
        (ports.ack, 0, RST)
    } else {
        let taken = ports.payload + length(SYN) + length(FIN);
        (0, ports.seq.wrapping_add(taken as u32), RST | ACK)
    };
    let mut segment = [ports.destination.to_be_bytes(), ports.source.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    let (from, to) = (octets(seen.destination), octets(seen.source));
    let covered = [from.clone(), to.clone(), vec![0, 6, 0, 20], segment.clone()].concat();
    put(&mut segment, 16, &checksum(&covered).to_be_bytes());
    let mut ip = if seen.source.is_ipv4() {
        vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, TTL, 6, 0, 0]
    } else {
        vec![0x60, 0, 0, 0, 0, 20, 6, TTL]
    };
    ip.extend(from.iter().chain(&to));
    if seen.source.is_ipv4() {
        let sum = checksum(&ip);
        put(&mut ip, 10, &sum.to_be_bytes());
    }
    let bytes = [&frame[6..12], &frame[..6], &frame[12..14], &ip, &segment].concat();
    let wrong = Vec::new();
    sent(reason, Leaving { bytes, wrong })
}
