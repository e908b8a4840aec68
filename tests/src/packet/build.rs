//! Owns the building of frames: fields to bytes, with every checksum computed over all it covers.

use std::net::IpAddr;

use super::{
    ETHER_ARP, ETHER_IPV4, ETHER_IPV6, ETHER_VLAN, FRAGMENT, Frame, ICMP, INGRESS_MACS, Message,
    Quote, TCP, UDP,
};

/// The flag's bit (RFC 9293, section 3.1).
const RST: u8 = 0x04;

impl Frame {
    /// The bytes. What the line leaves open is 64 for the time to live and [`INGRESS_MACS`].
    pub fn bytes(&self) -> Vec<u8> {
        let (source, destination) = self.macs.unwrap_or(INGRESS_MACS);
        let mut frame = [destination, source].concat();
        if let Some(tag) = self.vlan {
            frame.extend(ETHER_VLAN.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        let (ethertype, body) = match (self.source.0, self.destination.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) if self.is_arp => {
                (ETHER_ARP, arp(source, from.octets(), to.octets()))
            }
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (ETHER_IPV4, self.ipv4(from.octets(), to.octets()))
            }
            (from, to) => (ETHER_IPV6, self.ipv6(octets(from), octets(to))),
        };
        frame.extend(self.ethertype.unwrap_or(ethertype).to_be_bytes());
        frame.extend(body);
        frame.resize(frame.len() + self.pad, 0);
        frame.truncate(self.cut.unwrap_or(usize::MAX));
        frame
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let payload = self.transport();
        let header = 20 + 4 * self.ip_options;
        let length = (header + payload.len()) as i32 + self.length_error;
        let words = self.ihl.unwrap_or((header / 4) as u8);
        // Without a word of fragments: the don't-fragment bit.
        let fragment = self.fragment.map_or(0x4000, |fragment| {
            fragment.offset | u16::from(fragment.more) << 13
        });
        let mut ip = vec![0x40 | words & 0xf, 0];
        ip.extend((length as u16).to_be_bytes());
        ip.extend((self.id.unwrap_or(0x1234) as u16).to_be_bytes());
        ip.extend(fragment.to_be_bytes());
        ip.extend([self.ttl.unwrap_or(64), self.protocol, 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.resize(header, 1);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend(payload);
        ip
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut body = Vec::new();
        let last = self.fragment.map_or(self.protocol, |_| FRAGMENT);
        let protocols = self.extensions.iter().map(|each| each.protocol);
        let chain: Vec<u8> = protocols.chain([last]).collect();
        for (extension, next) in self.extensions.iter().zip(&chain[1..]) {
            body.extend(extension.bytes(*next));
        }
        let first = chain[0];
        if let Some(fragment) = self.fragment {
            let [high, low] = (fragment.offset << 3 | u16::from(fragment.more)).to_be_bytes();
            body.extend([self.protocol, 0, high, low]);
            body.extend(self.id.unwrap_or(9).to_be_bytes());
        }
        body.extend(self.transport());
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend(((body.len() as i32 + self.length_error) as u16).to_be_bytes());
        ip.extend([first, self.ttl.unwrap_or(64)]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(body);
        ip
    }

    fn transport(&self) -> Vec<u8> {
        if self.is_later() {
            return (1..=self.data).map(|byte| byte as u8).collect();
        }
        let mut bytes = Vec::new();
        let checksum_at = match self.protocol {
            TCP => {
                let words = self.doff.unwrap_or((5 + self.tcp_options) as u8);
                bytes.extend(self.ports());
                bytes.extend(self.seq.to_be_bytes());
                bytes.extend(self.ack.to_be_bytes());
                // A RST offers no window, as Linux sends it.
                let window = if self.flags & RST == 0 { 0x20 } else { 0 };
                bytes.extend([words << 4, self.flags, window, 0, 0, 0, 0, 0]);
                bytes.extend(&self.tcp_option_bytes);
                bytes.resize(20 + 4 * self.tcp_options, 1);
                16
            }
            UDP => {
                bytes.extend(self.ports());
                let length = self.udp_length.unwrap_or(8 + self.data as u16);
                bytes.extend(length.to_be_bytes());
                bytes.extend([0, 0]);
                6
            }
            protocol => {
                let echo = if protocol == ICMP { 8 } else { 128 };
                match self.message {
                    None => bytes.extend([echo, 0, 0, 0, 0, 1, 0, 1]),
                    // An answer to the echo request.
                    Some(Message { kind, .. }) if kind == 0 || kind == 129 => {
                        bytes.extend([kind, 0, 0, 0, 0, 1, 0, 1]);
                    }
                    Some(Message { kind, code, mtu }) => {
                        bytes.extend([kind, code, 0, 0, 0, 0]);
                        bytes.extend(mtu.to_be_bytes());
                    }
                }
                2
            }
        };
        bytes.extend(self.quoted_bytes());
        bytes.extend(&self.text);
        bytes.extend((self.text.len() + 1..=self.data).map(|byte| byte as u8));
        if !self.without_checksum {
            let mut sum = checksum(&[self.pseudo_header(bytes.len()), bytes.clone()].concat());
            if self.protocol == UDP && sum == 0 {
                // 0 would say that there is none (RFC 768).
                sum = 0xffff;
            }
            bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    fn quoted_bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.quote {
            None => Vec::new(),
            Some(Quote::Frame(frame)) => frame.bytes()[14..].to_vec(),
            Some(Quote::Bytes(bytes)) => bytes.clone(),
        };
        bytes.truncate(self.quoted.unwrap_or(usize::MAX));
        bytes
    }

    /// Whether it is a fragment behind the first, which has no header of its own.
    pub(super) fn is_later(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset > 0)
    }

    fn ports(&self) -> Vec<u8> {
        [
            self.source.1.to_be_bytes(),
            self.destination.1.to_be_bytes(),
        ]
        .concat()
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        if self.protocol == ICMP {
            return Vec::new();
        }
        // IPv4-mapped and plain addresses add up alike but for the ff:ff of the mapping, twice,
        // and 0xffff is the zero of one's complement (RFC 1071).
        let mut pseudo = [octets(self.source.0), octets(self.destination.0)].concat();
        pseudo.extend((length as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, self.protocol]);
        pseudo
    }
}

/// A request (RFC 826).
fn arp(mac: [u8; 6], source: [u8; 4], wanted: [u8; 4]) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(mac);
    body.extend(source);
    body.extend([0; 6]);
    body.extend(wanted);
    body
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// RFC 1071, over bytes in network order.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
