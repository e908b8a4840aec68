//! Owns bytes: a frame as the model sees it, and the frame that must leave. Plain and slow: fields
//! are read by offset, checksums are computed in full over what they cover (RFC 1071).
//!
//! Ports and numbers are in native order, lengths are bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Socket, TCP, UDP};

/// Where the IP header starts.
const L3: usize = 14;
/// The headers that may stand between IPv6 and TCP or UDP (IANA, RFC 7045), the fragment header
/// left out.
const EXTENSIONS: [u8; 9] = [0, 43, 51, 60, 135, 139, 140, 253, 254];
const FRAGMENT: u8 = 44;

/// An untagged IP packet.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Time to live or hop limit.
    pub(super) ttl: u8,
    /// By the IP header.
    pub(super) protocol: u8,
    /// Of the IP packet, by its header.
    pub(super) length: usize,
    pub(super) body: Body,
    /// Where the payload of the IP header starts.
    l4: usize,
}

/// What the IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Body {
    /// A whole TCP segment or UDP datagram, whose lengths agree.
    Ports(Ports),
    /// A whole packet of another protocol.
    Other,
    /// A part of a datagram, or an IPv6 packet with a fragment header.
    Fragment,
    /// An IPv6 extension header.
    Extension,
    /// Lengths that contradict each other or the frame.
    Broken,
}

/// A TCP or UDP header; for UDP the numbers and flags are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ports {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Of TCP.
    pub(super) payload: usize,
    /// Of the segment or datagram, header included, by its own header.
    length: usize,
}

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Source,
    Destination,
}

/// Source and destination MAC.
pub type Macs = ([u8; 6], [u8; 6]);

/// Reads a frame; `None` for what is no untagged IP, or ends inside the IP header.
pub(super) fn read(frame: &[u8]) -> Option<Seen> {
    match (half(frame, 12)?, frame.get(L3)? >> 4) {
        (0x0800, 4) => ipv4(frame),
        (0x86dd, 6) => ipv6(frame),
        _ => None,
    }
}

fn ipv4(frame: &[u8]) -> Option<Seen> {
    let header: [u8; 20] = frame.get(L3..L3 + 20)?.try_into().ok()?;
    let header_length = usize::from(header[0] & 0xf) * 4;
    let length = usize::from(half(frame, L3 + 2)?);
    let protocol = header[9];
    let l4 = L3 + header_length;
    let more_or_offset = half(frame, L3 + 6)? & 0x3fff;
    let body = if header_length < 20 || length < header_length || L3 + length > frame.len() {
        Body::Broken
    } else if more_or_offset != 0 {
        Body::Fragment
    } else {
        body(&frame[l4..L3 + length], protocol)
    };
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Some(Seen {
        source: address(12).into(),
        destination: address(16).into(),
        ttl: header[8],
        protocol,
        length,
        body,
        l4,
    })
}

fn ipv6(frame: &[u8]) -> Option<Seen> {
    let header: [u8; 40] = frame.get(L3..L3 + 40)?.try_into().ok()?;
    let length = 40 + usize::from(half(frame, L3 + 4)?);
    let protocol = header[6];
    let l4 = L3 + 40;
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().unwrap_or_default();
        Ipv6Addr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    // RFC 6890: no wire carries an IPv4-mapped address at either end.
    let is_mapped = source
        .to_ipv4_mapped()
        .or(destination.to_ipv4_mapped())
        .is_some();
    let body = if L3 + length > frame.len() || is_mapped {
        Body::Broken
    } else if protocol == FRAGMENT {
        Body::Fragment
    } else if EXTENSIONS.contains(&protocol) {
        Body::Extension
    } else {
        body(&frame[l4..L3 + length], protocol)
    };
    Some(Seen {
        source: source.into(),
        destination: destination.into(),
        ttl: header[7],
        protocol,
        length,
        body,
        l4,
    })
}

/// The whole payload of an IP header.
fn body(payload: &[u8], protocol: u8) -> Body {
    match protocol {
        TCP => tcp(payload).map_or(Body::Broken, Body::Ports),
        UDP => udp(payload).map_or(Body::Broken, Body::Ports),
        _ => Body::Other,
    }
}

fn tcp(payload: &[u8]) -> Option<Ports> {
    let word =
        |at: usize| Some(u32::from(half(payload, at)?) << 16 | u32::from(half(payload, at + 2)?));
    let flags = *payload.get(13)?;
    let header = usize::from(payload[12] >> 4) * 4;
    if payload.len() < 20 || header < 20 || header > payload.len() {
        return None;
    }
    Some(Ports {
        source: half(payload, 0)?,
        destination: half(payload, 2)?,
        flags,
        seq: word(4)?,
        ack: word(8)?,
        payload: payload.len() - header,
        length: payload.len(),
    })
}

fn udp(payload: &[u8]) -> Option<Ports> {
    let length = usize::from(half(payload, 4)?);
    if payload.len() < 8 || length < 8 || length > payload.len() {
        return None;
    }
    Some(Ports {
        source: half(payload, 0)?,
        destination: half(payload, 2)?,
        flags: 0,
        seq: 0,
        ack: 0,
        payload: 0,
        length,
    })
}

/// Source and destination of a whole TCP segment or UDP datagram.
pub fn sockets(frame: &[u8]) -> Option<(Socket, Socket)> {
    let seen = read(frame)?;
    let Body::Ports(ports) = seen.body else {
        return None;
    };
    let from = (seen.source, ports.source, seen.protocol);
    Some((from, (seen.destination, ports.destination, seen.protocol)))
}

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

fn checksum_at(seen: &Seen) -> usize {
    seen.l4 + if seen.protocol == TCP { 16 } else { 6 }
}

/// RFC 768: a UDP checksum of 0 says that there is none.
fn is_without(frame: &[u8], seen: &Seen) -> bool {
    seen.protocol == UDP && half(frame, checksum_at(seen)) == Some(0)
}

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

/// The right IPv4 header checksum of a frame, whatever stands in the field.
fn header_checksum(frame: &[u8], seen: &Seen) -> Option<u16> {
    let mut header = frame.get(L3..seen.l4)?.to_vec();
    put(&mut header, 10, &[0, 0]);
    Some(checksum(&header))
}

/// The right TCP or UDP checksum of a frame, whatever stands in the field.
fn l4_checksum(frame: &[u8], seen: &Seen, ports: &Ports, at: usize) -> Option<u16> {
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
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(field) = bytes.get_mut(at..at + new.len()) {
        field.copy_from_slice(new);
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}
