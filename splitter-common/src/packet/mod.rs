//! Owns parsing: bytes to headers, through a reader of halfwords that the XDP program, the tests
//! and the host implement. IP headers are read in [`ip`], TCP and UDP in [`transport`], what an
//! ICMP error quotes in [`icmp`].
//!
//! Invariants: nothing is read that was not checked to be there; every field that later code
//! trusts (lengths, offsets) is checked here. Headers of IP packets start at even offsets, so
//! halfword access is aligned. Covered: Ethernet, IPv4 with options (RFC 791), IPv6 with extension
//! headers (RFC 8200), TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792, RFC 4443).

mod icmp;
mod ip;
mod transport;

use network_types::{
    eth::{EthHdr, EtherType},
    ip::IpProto,
};

pub use icmp::{Inner, inner};
pub use transport::transport;

use crate::address::{Address, Family};

/// IP protocol number of TCP.
pub const TCP: u8 = IpProto::Tcp as u8;
/// IP protocol number of UDP.
pub const UDP: u8 = IpProto::Udp as u8;
/// IP protocol number of ICMP for IPv4.
pub const ICMP: u8 = IpProto::Icmp as u8;
/// IP protocol number of ICMP for IPv6.
pub const ICMP6: u8 = IpProto::Ipv6Icmp as u8;
/// All that an offset of a payload has: it is below 512.
const L4_MASK: usize = 0x1ff;
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
    /// Puts `front` bytes of no meaning before the packet, then cuts it to `length` bytes. When it
    /// fails, what the packet holds is undefined.
    fn reshape(&mut self, front: usize, length: usize) -> Option<()>;
}

/// What follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Form {
    /// The whole payload of `protocol`.
    Whole,
    /// The beginning of a datagram, ports and all, without its end.
    First,
    /// A part of a datagram behind its beginning.
    Later,
    /// IPv6 extension headers that are not walked: too many or too long, or a route that goes on
    /// (RFC 8200, section 4.4).
    Extension,
    /// Lengths that contradict each other or the packet.
    Malformed,
}

/// An IP header.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Address family.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// IP protocol number behind all extension headers that were walked.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Where the payload starts, bytes from the start of the frame; even, at most
    /// [`ip::PAYLOAD_START_MAX`].
    pub l4: usize,
    /// Length of the IP packet, header included, bytes; within the frame unless `form` is
    /// `Malformed`.
    pub length: u32,
    /// No router may fragment it: always by IPv6.
    pub dont_fragment: bool,
    /// What the fragments of one datagram share, as it stands in the packet; 0 when `Whole`.
    pub fragment_id: u32,
    /// What follows.
    pub form: Form,
}

impl Network {
    /// Where the payload starts, within what a verifier must see it to be in.
    #[inline(always)]
    pub const fn l4(&self) -> usize {
        self.l4 & L4_MASK
    }

    /// Whether this is ICMP of its family.
    #[inline(always)]
    pub const fn is_icmp(&self) -> bool {
        match self.family {
            Family::V4 => self.protocol == ICMP,
            Family::V6 => self.protocol == ICMP6,
        }
    }
}

/// What the flow law must know of a segment; all zero for UDP.
#[repr(C)]
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
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
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

/// Bytes of a TCP header without options.
pub const TCP_HEADER: usize = network_types::tcp::TcpHdr::LEN;
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
        IPV4 => ip::v4(packet),
        IPV6 => ip::v6(packet),
        _ => None,
    }
}

/// The byte that stands first.
#[inline(always)]
pub(crate) const fn low(halfword: u16) -> u8 {
    halfword as u8
}

/// The byte that stands second.
#[inline(always)]
pub(crate) const fn high(halfword: u16) -> u8 {
    (halfword >> 8) as u8
}

/// A 32-bit number from two halfwords in network order.
#[inline(always)]
pub(crate) const fn word(first: u16, second: u16) -> u32 {
    (u16::from_be(first) as u32) << 16 | u16::from_be(second) as u32
}
