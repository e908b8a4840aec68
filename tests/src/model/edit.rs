//! Owns the frame that must leave: another address and port at one end, and all that follows.

use std::net::IpAddr;

use super::{
    TCP,
    quoted::Quoted,
    sums::{
        adjusted, adjusted_udp, checksum_at, checksums, header_checksum, is_without, octets, put,
        right_sum,
    },
    wire::{Body, L3, Seen, half},
};

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Source,
    Destination,
}

/// A new address and port for one end. A fragment without ports has no use for the port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rewrite {
    pub(super) end: End,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// Source and destination MAC.
pub type Macs = ([u8; 6], [u8; 6]);

/// A frame that must leave, but for checksums that were wrong before: those must stay wrong, by
/// whatever value, so that the receiver still finds the damage.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaving {
    pub(super) bytes: Vec<u8>,
    /// Offsets of the checksums that must be wrong.
    pub(super) wrong: Vec<usize>,
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

/// A frame while it is changed.
pub(super) struct Editing {
    pub(super) bytes: Vec<u8>,
    seen: Seen,
    wrong: Vec<usize>,
}

impl Editing {
    pub(super) fn new(frame: &[u8], seen: &Seen) -> Self {
        let mut wrong = Vec::new();
        let (of_header, of_l4) = checksums(frame);
        if of_header == Some(false) {
            wrong.push(L3 + 10);
        }
        if of_l4 == Some(false) {
            wrong.push(checksum_at(seen));
        }
        Self {
            bytes: frame.to_vec(),
            seen: seen.clone(),
            wrong,
        }
    }

    /// Another address in the IP header.
    pub(super) fn address(&mut self, end: End, address: IpAddr) {
        let at = address_at(L3, end, address.is_ipv4());
        put(&mut self.bytes, at, &octets(address));
        match end {
            End::Source => self.seen.source = address,
            End::Destination => self.seen.destination = address,
        }
    }

    pub(super) fn ttl(&mut self, ttl: u8) {
        let at = if self.seen.source.is_ipv4() {
            L3 + 8
        } else {
            L3 + 7
        };
        put(&mut self.bytes, at, &[ttl]);
    }

    pub(super) fn macs(&mut self, (source, destination): Macs) {
        put(&mut self.bytes, 0, &destination);
        put(&mut self.bytes, 6, &source);
    }

    /// With a next hop known the time to live is one less and the MACs are the hop's; else the
    /// host's own stack will see to both.
    pub(super) fn hop(&mut self, macs: Option<Macs>) {
        if let Some(macs) = macs {
            self.macs(macs);
            self.ttl(self.seen.ttl.saturating_sub(1));
        }
    }

    /// With right checksums, as far as all that they cover is here.
    pub(super) fn finish(mut self) -> Leaving {
        if self.seen.source.is_ipv4() {
            let sum = header_checksum(&self.bytes, &self.seen).unwrap_or_default();
            put(&mut self.bytes, L3 + 10, &sum.to_be_bytes());
        }
        if let Some(sum) = right_sum(&self.bytes, &self.seen) {
            put(&mut self.bytes, checksum_at(&self.seen), &sum.to_be_bytes());
        }
        Leaving {
            bytes: self.bytes,
            wrong: self.wrong,
        }
    }
}

/// Where the address of an end stands in the IP header at `at`.
fn address_at(at: usize, end: End, is_v4: bool) -> usize {
    at + match (end, is_v4) {
        (End::Source, true) => 12,
        (End::Source, false) => 8,
        (End::Destination, true) => 16,
        (End::Destination, false) => 24,
    }
}

const fn port_at(l4: usize, end: End) -> usize {
    match end {
        End::Source => l4,
        End::Destination => l4 + 2,
    }
}

/// The frame with another address and port at one end.
pub(super) fn rewritten(frame: &[u8], seen: &Seen, to: &Rewrite, macs: Option<Macs>) -> Leaving {
    let mut editing = Editing::new(frame, seen);
    editing.address(to.end, to.address);
    editing.hop(macs);
    if let Body::Ports(ports) = &seen.body {
        let (before, old_port) = match to.end {
            End::Source => (seen.source, ports.source),
            End::Destination => (seen.destination, ports.destination),
        };
        let bytes = &mut editing.bytes;
        put(bytes, port_at(seen.l4, to.end), &to.port.to_be_bytes());
        if ports.is_first && !is_without(frame, seen) {
            let (before, after) = (end_bytes(before, old_port), end_bytes(to.address, to.port));
            adjust(bytes, checksum_at(seen), seen.protocol, &before, &after);
        }
    }
    editing.finish()
}

/// The ICMP error with another end in what it quotes, and perhaps one of its own.
pub(super) fn quoting(
    frame: &[u8],
    seen: &Seen,
    quoted: &Quoted,
    to: &Rewrite,
    outer: Option<(End, IpAddr)>,
    macs: Option<Macs>,
) -> Leaving {
    let mut editing = Editing::new(frame, seen);
    let bytes = &mut editing.bytes;
    let before = match to.end {
        End::Source => (quoted.source, quoted.source_port),
        End::Destination => (quoted.destination, quoted.destination_port),
    };
    let (old, new) = (octets(before.0), octets(to.address));
    put(
        bytes,
        address_at(quoted.at, to.end, before.0.is_ipv4()),
        &new,
    );
    put(bytes, port_at(quoted.l4, to.end), &to.port.to_be_bytes());
    if before.0.is_ipv4() {
        adjust(bytes, quoted.at + 10, TCP, &old, &new);
    }
    let sum_at = quoted.l4 + if quoted.protocol == TCP { 16 } else { 6 };
    // What stands behind the end of the packet is no checksum.
    if sum_at + 2 <= L3 + seen.length {
        let (before, after) = (
            end_bytes(before.0, before.1),
            end_bytes(to.address, to.port),
        );
        adjust(bytes, sum_at, quoted.protocol, &before, &after);
    }
    if let Some((end, address)) = outer {
        editing.address(end, address);
    }
    editing.hop(macs);
    editing.finish()
}

fn end_bytes(address: IpAddr, port: u16) -> Vec<u8> {
    [octets(address), port.to_be_bytes().to_vec()].concat()
}

fn adjust(bytes: &mut [u8], at: usize, protocol: u8, before: &[u8], after: &[u8]) {
    let old = half(bytes, at).unwrap_or_default();
    let new = if protocol == TCP {
        adjusted(old, before, after)
    } else {
        adjusted_udp(old, before, after)
    };
    put(bytes, at, &new.to_be_bytes());
}
