//! Owns TCP and UDP headers.

use network_types::{tcp::TcpHdr, udp::UdpHdr};

use super::{Form, L3, Network, Packet, Segment, TCP, Transport, high, low, word};

/// Reads the TCP or UDP header of a packet that begins with one; `None` when its lengths
/// contradict, or a first fragment ends before it does (RFC 1858).
#[inline(always)]
pub fn transport<P: Packet>(packet: &P, network: &Network) -> Option<Transport> {
    let room = network.length.checked_sub((network.l4 - L3) as u32)?;
    let whole = matches!(network.form, Form::Whole);
    if network.protocol == TCP {
        let h = packet.read::<{ TcpHdr::LEN / 2 }>(network.l4())?;
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
        let h = packet.read::<{ UdpHdr::LEN / 2 }>(network.l4())?;
        let length = u16::from_be(h[2]) as u32;
        // A first fragment has the length of the whole datagram.
        let fits = if whole {
            length <= room
        } else {
            room >= UdpHdr::LEN as u32
        };
        if length < UdpHdr::LEN as u32 || !fits {
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
