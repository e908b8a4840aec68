//! Owns the reading of frames: as the model sees them, field by field by offset. Ports and numbers
//! are in native order, lengths are bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{TCP, UDP, walk::walk};

/// Where the IP header starts.
pub(super) const L3: usize = 14;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

/// An untagged IP packet.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Time to live or hop limit.
    pub(super) ttl: u8,
    /// Behind all extension headers.
    pub(super) protocol: u8,
    /// Of the IP packet, by its header.
    pub(super) length: usize,
    pub(super) body: Body,
    /// Where the payload behind all headers of IP starts.
    pub(super) l4: usize,
    /// What the fragments of a datagram share.
    pub(super) id: u32,
    /// No router may cut it.
    pub(super) is_uncut: bool,
}

/// What the IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Body {
    /// A TCP segment or UDP datagram, whose lengths agree.
    Ports(Ports),
    /// A whole ICMP packet of its family.
    Icmp,
    /// A whole packet of another protocol.
    Other,
    /// A part of a TCP segment or UDP datagram behind its beginning.
    Later,
    /// Another part of a datagram, or a beginning without all of its header.
    Fragment,
    /// IPv6 extension headers that nobody walks.
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
    pub(super) length: usize,
    /// The beginning of a datagram whose end comes in other packets.
    pub(super) is_first: bool,
}

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Whole,
    First,
    Later,
}

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
    let fragment = half(frame, L3 + 6)?;
    let part = match (fragment & 0x1fff, fragment & 0x2000) {
        (0, 0) => Part::Whole,
        (0, _) => Part::First,
        _ => Part::Later,
    };
    let is_broken = header_length < 20 || length < header_length || L3 + length > frame.len();
    let body = if is_broken {
        Body::Broken
    } else {
        body(&frame[l4..L3 + length], protocol, part, ICMP)
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
        id: half(frame, L3 + 4)?.into(),
        is_uncut: fragment & 0x4000 != 0,
    })
}

fn ipv6(frame: &[u8]) -> Option<Seen> {
    let header: [u8; 40] = frame.get(L3..L3 + 40)?.try_into().ok()?;
    let length = 40 + usize::from(half(frame, L3 + 4)?);
    let (source, destination) = (v6_at(&header, 8)?, v6_at(&header, 24)?);
    let mut seen = Seen {
        source: source.into(),
        destination: destination.into(),
        ttl: header[7],
        protocol: header[6],
        length,
        body: Body::Broken,
        l4: L3 + 40,
        id: 0,
        is_uncut: true,
    };
    if L3 + length > frame.len() || is_mapped(source) || is_mapped(destination) {
        return Some(seen);
    }
    let walked = walk(frame, header[6], seen.l4, L3 + length);
    let way = match walked {
        Ok(way) => way,
        Err(body) => return Some(Seen { body, ..seen }),
    };
    (seen.protocol, seen.l4, seen.id) = (way.protocol, way.l4, way.id);
    if let Some(payload) = frame.get(seen.l4..L3 + length) {
        seen.body = body(payload, seen.protocol, way.part, ICMP6);
    }
    Some(seen)
}

/// RFC 6890: no wire carries an IPv4-mapped address at either end.
pub(super) fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

pub(super) fn v6_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

/// The payload of an IP packet.
fn body(payload: &[u8], protocol: u8, part: Part, icmp: u8) -> Body {
    let is_first = part == Part::First;
    let ports = match protocol {
        TCP | UDP if part == Part::Later => return Body::Later,
        TCP => tcp(payload, is_first),
        UDP => udp(payload, is_first),
        _ if part != Part::Whole => return Body::Fragment,
        protocol if protocol == icmp => return Body::Icmp,
        _ => return Body::Other,
    };
    match ports {
        Some(ports) => Body::Ports(ports),
        // RFC 1858: a beginning that ends inside its header.
        None if is_first => Body::Fragment,
        None => Body::Broken,
    }
}

fn tcp(payload: &[u8], is_first: bool) -> Option<Ports> {
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
        is_first,
    })
}

fn udp(payload: &[u8], is_first: bool) -> Option<Ports> {
    let length = usize::from(half(payload, 4)?);
    // The beginning of a datagram says the length of the whole.
    let is_cut = length > payload.len() && !is_first;
    if payload.len() < 8 || length < 8 || is_cut {
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
        is_first,
    })
}

pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}
