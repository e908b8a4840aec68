//! Owns checksums: computed in full over what they cover (RFC 1071), slow and plain.

use std::net::IpAddr;

use super::{
    TCP, UDP,
    wire::{Body, L3, Ports, Seen, half, read},
};

/// Whether the checksum of the IPv4 header is right, and that of TCP or UDP; `None` for one that
/// is not there.
pub fn checksums(frame: &[u8]) -> (Option<bool>, Option<bool>) {
    let Some(seen) = read(frame) else {
        return (None, None);
    };
    let of_header = seen
        .source
        .is_ipv4()
        .then(|| header_checksum(frame, &seen) == half(frame, L3 + 10));
    let Body::Ports(ports) = seen.body else {
        return (of_header, None);
    };
    let at = checksum_at(&seen);
    let of_l4 = !is_without(frame, &seen);
    (
        of_header,
        of_l4.then(|| l4_checksum(frame, &seen, &ports, at) == half(frame, at)),
    )
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
    if let Body::Ports(ports) = seen.body
        && !is_without(frame, &seen)
        && let Some(sum) = l4_checksum(frame, &seen, &ports, checksum_at(&seen))
    {
        put(frame, checksum_at(&seen), &sum.to_be_bytes());
    }
}

pub(super) fn checksum_at(seen: &Seen) -> usize {
    seen.l4 + if seen.protocol == TCP { 16 } else { 6 }
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

/// The right TCP or UDP checksum of a frame, whatever stands in the field.
pub(super) fn l4_checksum(frame: &[u8], seen: &Seen, ports: &Ports, at: usize) -> Option<u16> {
    let mut covered = octets(seen.source);
    covered.extend(octets(seen.destination));
    covered.extend([0, seen.protocol]);
    covered.extend((ports.length as u16).to_be_bytes());
    let pseudo = covered.len();
    covered.extend(frame.get(seen.l4..seen.l4 + ports.length)?);
    put(&mut covered, pseudo + at - seen.l4, &[0, 0]);
    let sum = checksum(&covered);
    Some(if seen.protocol == UDP && sum == 0 {
        0xffff
    } else {
        sum
    })
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let halves = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum: u64 = halves.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
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
