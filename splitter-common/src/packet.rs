//! Owns parsing: bytes to headers, through a reader of halfwords that the XDP program, the tests
//! and the host implement.
//!
//! Invariants: nothing is read that was not checked to be there; every field that later code
//! trusts (lengths, offsets) is checked here. Headers of IP packets start at even offsets, so
//! halfword access is aligned. Covered: Ethernet, IPv4 with options (RFC 791), IPv6 (RFC 8200),
//! TCP (RFC 9293), UDP (RFC 768).

use network_types::{
    eth::{EthHdr, EtherType},
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    tcp::TcpHdr,
    udp::UdpHdr,
};

use crate::address::{Address, Family};

/// IP protocol number of TCP.
pub const TCP: u8 = IpProto::Tcp as u8;
/// IP protocol number of UDP.
pub const UDP: u8 = IpProto::Udp as u8;
/// Where the IP header starts, bytes.
pub const L3: usize = EthHdr::LEN;

/// TCP flag bits as they stand in the header (RFC 9293, section 3.1).
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 0x10;
}

/// Access to a packet as native loads of network-order halfwords.
pub trait Packet {
    /// Bytes in all.
    fn length(&self) -> usize;
    /// `N` halfwords from the even offset `offset` on; `None` when the packet ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u16; N]>;
    /// Overwrites `N` halfwords; `None`, with nothing written, when the packet ends before.
    fn write<const N: usize>(&mut self, offset: usize, halfwords: [u16; N]) -> Option<()>;
}

/// What follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The whole payload of `protocol`.
    Whole,
    /// A part of a datagram.
    Fragment,
    /// An IPv6 extension header.
    Extension,
    /// Lengths that contradict each other or the packet.
    Malformed,
}

/// An IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Address family.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// IP protocol number, or the first extension header's.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Where the payload starts, bytes from the start of the frame; even, at most 74.
    pub l4: usize,
    /// Length of the IP packet, header included, bytes; within the frame when `form` is `Whole`.
    pub length: u32,
    /// What follows.
    pub form: Form,
}

/// What the flow law must know of a segment; all zero for UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// [`tcp_flags`].
    pub flags: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Payload, bytes.
    pub payload: u32,
}

/// A TCP or UDP header; ports in native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transport {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The checksum field, as it stands in the packet.
    pub checksum: u16,
    /// For TCP.
    pub segment: Segment,
}

/// The checksum's offset inside a TCP header.
pub const TCP_CHECKSUM: usize = 16;
/// The checksum's offset inside a UDP header.
pub const UDP_CHECKSUM: usize = 6;

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;

/// Reads the Ethernet and IP headers; `None` when this is no untagged IP, or the header is cut.
#[inline(always)]
pub fn network<P: Packet>(packet: &P) -> Option<Network> {
    let [ethertype] = packet.read::<1>(L3 - 2)?;
    // `EtherType` holds network-order values.
    match ethertype {
        IPV4 => ipv4(packet),
        IPV6 => ipv6(packet),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &P) -> Option<Network> {
    let h = packet.read::<{ Ipv4Hdr::LEN / 2 }>(L3)?;
    let version_ihl = low(h[0]);
    if version_ihl >> 4 != 4 {
        return None;
    }
    let header = ((version_ihl & 0xf) as usize) * 4;
    let length = u16::from_be(h[1]) as u32;
    let form = if header < Ipv4Hdr::LEN
        || (length as usize) < header
        || L3 + length as usize > packet.length()
    {
        Form::Malformed
    } else if u16::from_be(h[3]) & 0x3fff != 0 {
        Form::Fragment
    } else {
        Form::Whole
    };
    Some(Network {
        family: Family::V4,
        source: Address::from_v4_halfwords(h[6], h[7]),
        destination: Address::from_v4_halfwords(h[8], h[9]),
        protocol: high(h[4]),
        ttl: low(h[4]),
        l4: L3 + header,
        length,
        form,
    })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P) -> Option<Network> {
    let h = packet.read::<{ Ipv6Hdr::LEN / 2 }>(L3)?;
    if low(h[0]) >> 4 != 6 {
        return None;
    }
    let length = u16::from_be(h[2]) as u32 + Ipv6Hdr::LEN as u32;
    let protocol = low(h[3]);
    let form = if L3 + length as usize > packet.length() {
        Form::Malformed
    } else if protocol == IpProto::Ipv6Frag as u8 {
        Form::Fragment
    } else if is_extension(protocol) {
        Form::Extension
    } else {
        Form::Whole
    };
    Some(Network {
        family: Family::V6,
        source: Address::from_v6_halfwords([h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11]]),
        destination: Address::from_v6_halfwords([
            h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19],
        ]),
        protocol,
        ttl: high(h[3]),
        l4: L3 + Ipv6Hdr::LEN,
        length,
        form,
    })
}

/// The extension headers of the IANA registry that may stand before TCP or UDP (RFC 7045).
#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
}

/// Reads the TCP or UDP header of a `Whole` packet; `None` when its lengths contradict.
#[inline(always)]
pub fn transport<P: Packet>(packet: &P, network: &Network) -> Option<Transport> {
    let room = network.length - (network.l4 - L3) as u32;
    if network.protocol == TCP {
        let h = packet.read::<{ TcpHdr::LEN / 2 }>(network.l4)?;
        let header = (low(h[6]) >> 4) as u32 * 4;
        if header < TcpHdr::LEN as u32 || header > room {
            return None;
        }
        Some(Transport {
            source_port: u16::from_be(h[0]),
            destination_port: u16::from_be(h[1]),
            checksum: h[8],
            segment: Segment {
                flags: high(h[6]),
                seq: word(h[2], h[3]),
                ack: word(h[4], h[5]),
                payload: room - header,
            },
        })
    } else {
        let h = packet.read::<{ UdpHdr::LEN / 2 }>(network.l4)?;
        let length = u16::from_be(h[2]) as u32;
        if length < UdpHdr::LEN as u32 || length > room {
            return None;
        }
        Some(Transport {
            source_port: u16::from_be(h[0]),
            destination_port: u16::from_be(h[1]),
            checksum: h[3],
            segment: Segment::default(),
        })
    }
}

/// The byte that stands first.
#[inline(always)]
const fn low(halfword: u16) -> u8 {
    halfword as u8
}

/// The byte that stands second.
#[inline(always)]
const fn high(halfword: u16) -> u8 {
    (halfword >> 8) as u8
}

/// A 32-bit number from two halfwords in network order.
#[inline(always)]
const fn word(first: u16, second: u16) -> u32 {
    (u16::from_be(first) as u32) << 16 | u16::from_be(second) as u32
}
