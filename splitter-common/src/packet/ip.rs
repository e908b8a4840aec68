//! Owns IP headers and the walk along IPv6 extension headers.

use network_types::ip::{IpProto, Ipv4Hdr, Ipv6Hdr};

use super::{Form, L3, Network, Packet, high, low, word};
use crate::address::{Address, Family};

/// So many extension headers are walked: those of RFC 8200, section 4.1, with one to spare.
const EXTENSIONS_MAX: usize = 6;
/// Where a payload may start at most, bytes from the start of the frame: behind 256 bytes of
/// extension headers.
pub(super) const PAYLOAD_START_MAX: usize = L3 + Ipv6Hdr::LEN + 256;

const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
const ROUTING: u8 = IpProto::Ipv6Route as u8;
const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
const AUTHENTICATION: u8 = IpProto::Ah as u8;
const DESTINATION_OPTIONS: u8 = IpProto::Ipv6Opts as u8;

/// An IPv4 header; `None` when it is cut or of another version.
#[inline(always)]
pub(super) fn v4<P: Packet>(packet: &P) -> Option<Network> {
    let h = packet.read::<{ Ipv4Hdr::LEN / 2 }>(L3)?;
    let version_ihl = low(h[0]);
    if version_ihl >> 4 != 4 {
        return None;
    }
    let header = ((version_ihl & 0xf) as usize) * 4;
    let length = u16::from_be(h[1]) as u32;
    let fragment = u16::from_be(h[3]);
    let form = if header < Ipv4Hdr::LEN
        || (length as usize) < header
        || L3 + length as usize > packet.length()
    {
        Form::Malformed
    } else if fragment & 0x1fff != 0 {
        Form::Later
    } else if fragment & 0x2000 != 0 {
        Form::First
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
        dont_fragment: fragment & 0x4000 != 0,
        fragment_id: h[2] as u32,
        form,
    })
}

/// An IPv6 header with its extensions; `None` when it is cut or of another version.
#[inline(always)]
pub(super) fn v6<P: Packet>(packet: &P) -> Option<Network> {
    let h = packet.read::<{ Ipv6Hdr::LEN / 2 }>(L3)?;
    if low(h[0]) >> 4 != 6 {
        return None;
    }
    let mut network = Network {
        family: Family::V6,
        source: Address::from_v6_halfwords([h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11]]),
        destination: Address::from_v6_halfwords([
            h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19],
        ]),
        protocol: low(h[3]),
        ttl: high(h[3]),
        l4: L3 + Ipv6Hdr::LEN,
        length: u16::from_be(h[2]) as u32 + Ipv6Hdr::LEN as u32,
        dont_fragment: true,
        fragment_id: 0,
        form: Form::Whole,
    };
    let mapped = is_mapped(network.source, network.destination);
    if L3 + network.length as usize > packet.length() || mapped {
        network.form = Form::Malformed;
    } else if is_extension(network.protocol) {
        walk(packet, &mut network);
        // The last header may reach beyond the packet, into what pads its frame.
        if network.l4 > L3 + network.length as usize {
            network.form = Form::Malformed;
        }
    }
    Some(network)
}

/// Whether an end of an IPv6 packet is an IPv4-mapped address, which no wire carries (RFC 6890,
/// section 2.2.3) and which would be taken for the IPv4 address here.
#[inline(always)]
pub(super) const fn is_mapped(source: Address, destination: Address) -> bool {
    source.v6_flag() & destination.v6_flag() == 0
}

/// Walks along the extension headers, up to the payload or a fragment behind the first.
#[inline(always)]
fn walk<P: Packet>(packet: &P, network: &mut Network) {
    for _ in 0..EXTENSIONS_MAX {
        let (protocol, at) = (network.protocol, network.l4());
        if !is_extension(protocol) || matches!(network.form, Form::Later) {
            return;
        }
        let Some([first, second, third, fourth]) = packet.read::<4>(at) else {
            network.form = Form::Malformed;
            return;
        };
        let size = high(first) as usize;
        let length = if protocol == FRAGMENT {
            // RFC 8200, section 4.5; one that is all of its datagram is none (RFC 6946).
            let field = u16::from_be(second);
            network.fragment_id = word(third, fourth);
            if field & 0xfff8 != 0 {
                network.form = Form::Later;
            } else if field & 1 != 0 {
                network.form = Form::First;
            }
            8
        } else if protocol == AUTHENTICATION {
            4 * (size + 2)
        } else {
            8 * (size + 1)
        };
        let routed_on = protocol == ROUTING && high(second) != 0;
        if is_unknown(protocol) || routed_on || at + length > PAYLOAD_START_MAX {
            network.form = Form::Extension;
            return;
        }
        network.l4 = at + length;
        network.protocol = low(first);
    }
    if is_extension(network.protocol) && !matches!(network.form, Form::Later) {
        network.form = Form::Extension;
    }
}

/// The extension headers of the IANA registry that may stand before TCP or UDP (RFC 7045).
#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS
    ) || is_unknown(protocol)
}

/// Those of which nobody expects that what follows is TCP or UDP: mobility, HIP, Shim6 and those
/// for experiments.
#[inline(always)]
const fn is_unknown(protocol: u8) -> bool {
    matches!(protocol, 135 | 139 | 140 | 253 | 254)
}
