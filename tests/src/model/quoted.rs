//! Owns the packet that an ICMP error quotes (RFC 792, RFC 4443). Offsets are bytes from the start
//! of the frame.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    TCP, UDP,
    wire::{L3, Seen, half, is_mapped, v6_at},
};

/// A TCP segment or UDP datagram, of which at least the ports are quoted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quoted {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// Where its IP header starts.
    pub(super) at: usize,
    /// Where its ports start.
    pub(super) l4: usize,
}

/// What the error quotes; `None` for too little, or for what has no ports.
pub(super) fn read(frame: &[u8], seen: &Seen) -> Option<Quoted> {
    let packet = frame.get(..L3 + seen.length)?;
    let at = seen.l4 + 8;
    let header = packet.get(at..)?;
    let (source, destination, protocol, l4) = match (seen.source.is_ipv4(), header.first()? >> 4) {
        (true, 4) => {
            let bytes = usize::from(header[0] & 0xf) * 4;
            let fixed: [u8; 20] = header.get(..20)?.try_into().ok()?;
            // Behind the beginning of a datagram there are no ports.
            if bytes < 20 || half(&fixed, 6)? & 0x1fff != 0 {
                return None;
            }
            let address = |at: usize| {
                Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]).into()
            };
            (address(12), address(16), fixed[9], at + bytes)
        }
        (false, 6) => {
            let (source, destination) = (v6_at(header, 8)?, v6_at(header, 24)?);
            if is_mapped(source) || is_mapped(destination) {
                return None;
            }
            (source.into(), destination.into(), header[6], at + 40)
        }
        _ => return None,
    };
    if protocol != TCP && protocol != UDP {
        return None;
    }
    Some(Quoted {
        source,
        destination,
        protocol,
        source_port: half(packet, l4)?,
        destination_port: half(packet, l4 + 2)?,
        at,
        l4,
    })
}
