//! Owns checksums: computed in full over what they cover (RFC 1071), slow and plain.

use std::net::IpAddr;

use super::{
    TCP, UDP,
    wire::{Body, L3, Seen, half, read},
};

/// Whether the checksum of the IPv4 header is right, and that of TCP, UDP or ICMP; `None` for one
/// that is not there, or covers what is in other packets.
pub fn checksums(frame: &[u8]) -> (Option<bool>, Option<bool>) {
    let Some(seen) = read(frame) else {
        return (None, None);
    };
    let of_header = seen
        .source
        .is_ipv4()
        .then(|| header_checksum(frame, &seen) == half(frame, L3 + 10));
    let at = checksum_at(&seen);
    let of_l4 = right_sum(frame, &seen);
    (of_header, of_l4.map(|right| Some(right) == half(frame, at)))
}

/// The right checksum of TCP, UDP or ICMP, as [`checksums`] looks at it.
pub(super) fn right_sum(frame: &[u8], seen: &Seen) -> Option<u16> {
    match &seen.body {
        Body::Ports(ports) if !ports.is_first && !is_without(frame, seen) => {
            l4_checksum(frame, seen, ports.length)
        }
        Body::Icmp => {
            let length = (L3 + seen.length).checked_sub(seen.l4)?;
            (length >= 4).then(|| l4_checksum(frame, seen, length))?
        }
        Body::Ports(_)
        | Body::Other
        | Body::Later
        | Body::Fragment
        | Body::Extension
        | Body::Broken => None,
    }
}

/// Puts right checksums into a frame, where it has any.
pub fn repair(frame: &mut [u8]) {
    let Some(seen) = read(frame) else {
        return;
    };
    if seen.source.is_ipv4()
        && let Some(sum) = header_checksum(frame, &seen)
    {
        put(frame, L3 + 10, &sum.to_be_bytes());
    }
    if let Some(sum) = right_sum(frame, &seen) {
        put(frame, checksum_at(&seen), &sum.to_be_bytes());
    }
}

/// Where the checksum of TCP, UDP or ICMP stands.
pub(super) fn checksum_at(seen: &Seen) -> usize {
    seen.l4
        + match seen.protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        }
}

/// RFC 768: a UDP checksum of 0 says that there is none.
pub(super) fn is_without(frame: &[u8], seen: &Seen) -> bool {
    seen.protocol == UDP && half(frame, checksum_at(seen)) == Some(0)
}

/// The right IPv4 header checksum of a frame, whatever stands in the field.
pub(super) fn header_checksum(frame: &[u8], seen: &Seen) -> Option<u16> {
    let mut header = frame.get(L3..seen.l4)?.to_vec();
    put(&mut header, 10, &[0, 0]);
    Some(checksum(&header))
}

/// The right checksum of so many bytes of TCP, UDP or ICMP, whatever stands in the field.
fn l4_checksum(frame: &[u8], seen: &Seen, length: usize) -> Option<u16> {
    let mut covered = Vec::new();
    let is_icmp_v4 = seen.body == Body::Icmp && seen.source.is_ipv4();
    if !is_icmp_v4 {
        covered.extend(octets(seen.source));
        covered.extend(octets(seen.destination));
        covered.extend([0, seen.protocol]);
        covered.extend((length as u16).to_be_bytes());
    }
    let field = covered.len() + checksum_at(seen) - seen.l4;
    covered.extend(frame.get(seen.l4..seen.l4 + length)?);
    put(&mut covered, field, &[0, 0]);
    let sum = checksum(&covered);
    Some(if seen.protocol == UDP && sum == 0 {
        0xffff
    } else {
        sum
    })
}

/// What becomes of a checksum of which not all that it covers is there, when `before` became
/// `after` (RFC 1624).
pub(super) fn adjusted(sum: u16, before: &[u8], after: &[u8]) -> u16 {
    let halves = before.len() as u64 / 2;
    let changed = u64::from(!sum) + halves * 0xffff - total(before) + total(after);
    // One's complement has two zeros; only what is all zero adds up to the first.
    let folded = match (changed, changed % 0xffff) {
        (0, _) => 0,
        (_, 0) => 0xffff,
        (_, rest) => rest,
    };
    !(folded as u16)
}

/// The same of UDP, where 0 says that there is none (RFC 768).
pub(super) fn adjusted_udp(sum: u16, before: &[u8], after: &[u8]) -> u16 {
    match (sum, adjusted(sum, before, after)) {
        (0, _) => 0,
        (_, 0) => 0xffff,
        (_, adjusted) => adjusted,
    }
}

/// RFC 1071.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = total(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn total(bytes: &[u8]) -> u64 {
    let halves = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([pair[0], low]))
    });
    halves.sum()
}

/// Four or sixteen bytes.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(super) fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + new.len()) {
        field.copy_from_slice(new);
    }
}
