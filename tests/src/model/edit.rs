//! Owns the frame that must leave: another address and port at one end, and all that follows.

use std::net::IpAddr;

use super::{
    sums::{checksum_at, header_checksum, is_without, l4_checksum, octets, put},
    wire::{L3, Ports, Seen, half},
};

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Source,
    Destination,
}

/// Source and destination MAC.
pub type Macs = ([u8; 6], [u8; 6]);

/// A frame that must leave, but for checksums that were wrong before: those must stay wrong, by
/// whatever value, so that the receiver still finds the damage.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaving {
    bytes: Vec<u8>,
    /// Offsets of the checksums that must be wrong.
    wrong: Vec<usize>,
}

impl Leaving {
    /// Whether `got` is that frame.
    pub fn is(&self, got: &[u8]) -> bool {
        let mut wanted = self.bytes.clone();
        for at in &self.wrong {
            let (Some(field), Some(taken)) = (wanted.get_mut(*at..at + 2), got.get(*at..at + 2))
            else {
                return false;
            };
            if field == taken {
                return false;
            }
            field.copy_from_slice(taken);
        }
        wanted == got
    }

    /// The frame, with right checksums where they must be wrong.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The frame with another address and port at one end. With a next hop known the time to live is
/// one less and the MACs are the hop's; else the host's own stack will see to both.
pub(super) fn rewritten(
    frame: &[u8],
    seen: &Seen,
    ports: &Ports,
    (end, address, port): (End, IpAddr, u16),
    macs: Option<Macs>,
) -> Leaving {
    let mut bytes = frame.to_vec();
    let mut wrong = Vec::new();
    let l4_sum_at = checksum_at(seen);
    let without = is_without(frame, seen);
    if !without && l4_checksum(frame, seen, ports, l4_sum_at) != half(frame, l4_sum_at) {
        wrong.push(l4_sum_at);
    }
    if seen.source.is_ipv4() && header_checksum(frame, seen) != half(frame, L3 + 10) {
        wrong.push(L3 + 10);
    }
    let mut new = seen.clone();
    let (address_at, port_at) = match (end, seen.source.is_ipv4()) {
        (End::Source, true) => (L3 + 12, seen.l4),
        (End::Source, false) => (L3 + 8, seen.l4),
        (End::Destination, true) => (L3 + 16, seen.l4 + 2),
        (End::Destination, false) => (L3 + 24, seen.l4 + 2),
    };
    match end {
        End::Source => new.source = address,
        End::Destination => new.destination = address,
    }
    put(&mut bytes, address_at, &octets(address));
    put(&mut bytes, port_at, &port.to_be_bytes());
    if let Some((source, destination)) = macs {
        put(&mut bytes, 0, &destination);
        put(&mut bytes, 6, &source);
        let ttl_at = if seen.source.is_ipv4() {
            L3 + 8
        } else {
            L3 + 7
        };
        put(&mut bytes, ttl_at, &[seen.ttl.saturating_sub(1)]);
    }
    if seen.source.is_ipv4() {
        let sum = header_checksum(&bytes, &new).unwrap_or_default();
        put(&mut bytes, L3 + 10, &sum.to_be_bytes());
    }
    if !without {
        let sum = l4_checksum(&bytes, &new, ports, l4_sum_at).unwrap_or_default();
        put(&mut bytes, l4_sum_at, &sum.to_be_bytes());
    }
    Leaving { bytes, wrong }
}
