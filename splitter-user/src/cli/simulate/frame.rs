//! Owns frames of captures: what is left of one when its link layer is taken off, read by the code that
//! the program reads packets with.
//!
//! Invariant: lengths are those that were on the wire, so that a capture that holds but the beginnings of
//! packets counts their bytes. Link types: <https://www.tcpdump.org/linktypes.html>.

use std::net::IpAddr;

use splitter_common::device::Signature;
use splitter_common::packet::{
    Form, L3, Network, Packet, TCP, UDP, network,
    tcp_flags::{ACK, FIN, RST, SYN},
    transport,
};

use crate::model::{Protocol, signature};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Tags of IEEE 802.1Q and 802.1ad, and what was in use before the latter.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags that are taken off; there are no more than a provider's and a customer's.
const TAGS_MAX: usize = 2;

/// What frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Ethernet.
    Ethernet,
    /// Nothing: the IP header comes first.
    Ip,
    /// What Linux puts there when several interfaces are captured at once.
    Cooked,
    /// The same, of a newer libpcap.
    Cooked2,
}

impl Link {
    /// By its number; an error says what is read.
    pub(super) fn of(number: i32) -> Result<Self, String> {
        // The upper bits tell of check sums behind the frames.
        match number & 0xffff {
            1 => Ok(Self::Ethernet),
            101 | 228 | 229 => Ok(Self::Ip),
            113 => Ok(Self::Cooked),
            276 => Ok(Self::Cooked2),
            other => Err(format!(
                "it holds frames of link type {other}, and those that are read are Ethernet (1), raw IP \
                 (101, 228, 229) and Linux cooked ones (113, 276)"
            )),
        }
    }

    /// Where the number of what follows stands, and where that begins.
    const fn places(self) -> Option<(usize, usize)> {
        match self {
            Self::Ethernet => Some((12, 14)),
            Self::Ip => None,
            Self::Cooked => Some((14, 16)),
            Self::Cooked2 => Some((0, 20)),
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Seen {
    /// Of TCP or UDP, whole or the first of its fragments.
    Flow {
        client: IpAddr,
        client_port: u16,
        to: IpAddr,
        port: u16,
        protocol: Protocol,
        /// Length of the IP packet.
        bytes: u64,
        /// What it shows of its sender, where it is a SYN.
        syn: Option<Signature>,
    },
    /// A fragment behind the first, which names no ports.
    Later { to: IpAddr },
    /// One that cannot be read: its lengths contradict, or its headers were not captured.
    Unread { to: IpAddr },
    /// Neither.
    Other,
}

/// Reads a frame. `length`: on the wire, bytes.
pub(super) fn seen(link: Link, frame: &[u8], length: usize) -> Seen {
    let Some((ethertype, at)) = payload(link, frame) else {
        return Seen::Other;
    };
    let packet = Ip {
        ethertype: ethertype.to_be(),
        bytes: &frame[at..],
        length: L3 + length.saturating_sub(at),
    };
    let Some(network) = network(&packet) else {
        return Seen::Other;
    };
    let to = IpAddr::from(network.destination);
    match network.form {
        Form::Later => Seen::Later { to },
        Form::Malformed | Form::Extension => Seen::Unread { to },
        Form::Whole | Form::First => flow(&packet, &network, to),
    }
}

fn flow(packet: &Ip<'_>, network: &Network, to: IpAddr) -> Seen {
    let protocol = match network.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        // All other numbers of the registry.
        _ => return Seen::Other,
    };
    match transport(packet, network) {
        None => Seen::Unread { to },
        Some(transport) => Seen::Flow {
            client: IpAddr::from(network.source),
            client_port: transport.source_port,
            to,
            port: transport.destination_port,
            protocol,
            bytes: u64::from(network.length),
            syn: is_syn(transport.segment.flags)
                .then(|| signature(network.ttl, packet.bytes.get(network.l4 - L3..)?))
                .flatten(),
        },
    }
}

const fn is_syn(flags: u8) -> bool {
    flags & (SYN | ACK | FIN | RST) == SYN
}

/// The number of what the frame carries, and where that begins.
fn payload(link: Link, frame: &[u8]) -> Option<(u16, usize)> {
    let number = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let Some((place, mut at)) = link.places() else {
        return match frame.first()? >> 4 {
            4 => Some((IPV4, 0)),
            6 => Some((IPV6, 0)),
            _ => None,
        };
    };
    let mut ethertype = number(place)?;
    for _ in 0..TAGS_MAX {
        if TAGS.contains(&ethertype) {
            ethertype = number(at + 2)?;
            at += 4;
        }
    }
    (at <= frame.len()).then_some((ethertype, at))
}

/// An IP packet as the program would see it behind an Ethernet header.
struct Ip<'f> {
    /// In network order.
    ethertype: u16,
    bytes: &'f [u8],
    length: usize,
}

impl Packet for Ip<'_> {
    fn length(&self) -> usize {
        self.length
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let mut halfwords = [0; N];
        if offset == L3 - 2 {
            *halfwords.first_mut()? = self.ethertype;
            return (N == 1).then_some(halfwords);
        }
        let at = offset.checked_sub(L3)?;
        let bytes = self.bytes.get(at..at + 2 * N)?;
        for (halfword, pair) in halfwords.iter_mut().zip(bytes.chunks_exact(2)) {
            *halfword = u16::from_ne_bytes([pair[0], pair[1]]);
        }
        Some(halfwords)
    }

    fn write<const N: usize>(&mut self, _: usize, _: [u16; N]) -> Option<()> {
        None
    }

    fn reshape(&mut self, _: usize, _: usize) -> Option<()> {
        None
    }
}
