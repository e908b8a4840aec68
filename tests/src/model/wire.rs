//! Owns the reading of frames: as the model sees them, field by field by offset. Ports and numbers
//! are in native order, lengths are bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Socket, TCP, UDP};

/// Where the IP header starts.
pub(super) const L3: usize = 14;
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
    pub(super) l4: usize,
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
    pub(super) length: usize,
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

pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}
