//! Owns what others may know of a frame without the law: its ends, and what it carries.

use std::net::IpAddr;

use super::{
    Socket,
    wire::{Body, read},
};

/// What a frame is, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What it carries.
    pub carries: Carries,
    /// Where the payload behind all headers of IP starts, bytes.
    pub l4: usize,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carries {
    /// A TCP segment or UDP datagram, or its beginning, between these sockets.
    Ports(Socket, Socket),
    /// An ICMP message of this type.
    Icmp(u8),
    /// A part behind the beginning.
    Later,
    /// Something else.
    Other,
}

/// The shape of a frame; `None` for what is no untagged IP.
pub fn shape(frame: &[u8]) -> Option<Shape> {
    let seen = read(frame)?;
    let carries = match seen.body {
        Body::Ports(ports) => Carries::Ports(
            (seen.source, ports.source, seen.protocol),
            (seen.destination, ports.destination, seen.protocol),
        ),
        Body::Icmp => Carries::Icmp(*frame.get(seen.l4)?),
        Body::Later => Carries::Later,
        Body::Other | Body::Fragment | Body::Extension | Body::Broken => Carries::Other,
    };
    Some(Shape {
        source: seen.source,
        destination: seen.destination,
        carries,
        l4: seen.l4,
    })
}
