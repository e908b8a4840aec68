//! Owns the packet language: one line of text describes a frame.
//!
//! `10.1.0.7:40000 > 203.0.113.10:80 tcp SYN seq 1000 ttl 64 data 5` is an Ethernet frame with
//! all lengths and checksums right. Words behind the ports, in any order:
//!
//! | word | meaning |
//! |---|---|
//! | `tcp FLAGS`, `udp`, `icmp` | the protocol; flags as `SYN,ACK` or `-` |
//! | `seq N`, `ack N` | TCP numbers (0 unless told) |
//! | `ttl N` | time to live or hop limit (64) |
//! | `data N` | payload bytes: 1, 2, 3, ... |
//! | `tcpopts N`, `opts N` | N words of TCP or IPv4 options (no-operations) |
//! | `csum 0` | a UDP datagram without checksum |
//! | `frag N` | the IPv4 flags-and-offset field, or an IPv6 fragment header with that field |
//! | `ext` | an IPv6 hop-by-hop header first |
//! | `vlan N` | an 802.1Q tag |
//! | `cut N` | the frame ends after N bytes, whatever its lengths say |
//! | `short N`, `long N` | the IP length field says N less, N more |
//!
//! Checksums are computed in full, by code of this module's own: what the program updates
//! incrementally is compared with it.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

/// Source and destination MAC of frames that go in.
pub const INGRESS_MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

/// A frame as text describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Source address and port.
    pub source: (IpAddr, u16),
    /// Destination address and port.
    pub destination: (IpAddr, u16),
    /// Time to live; `None` when the text leaves it open.
    pub ttl: Option<u8>,
    /// Source and destination MAC.
    pub macs: ([u8; 6], [u8; 6]),
    protocol: u8,
    flags: u8,
    seq: u32,
    ack: u32,
    data: usize,
    tcp_options: usize,
    ip_options: usize,
    without_checksum: bool,
    fragment: Option<u16>,
    extension: bool,
    vlan: Option<u16>,
    cut: Option<usize>,
    length_error: i32,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Frame {
    /// Reads a line. `resolve` turns the text of an end into an address and a port.
    pub fn parse(
        line: &str,
        mut resolve: impl FnMut(&str) -> Result<(IpAddr, u16)>,
    ) -> Result<Self> {
        let mut words = line.split_whitespace();
        let source = resolve(words.next().context("no source")?)?;
        if words.next() != Some(">") {
            bail!("{line}: > is missing");
        }
        let destination = resolve(words.next().context("no destination")?)?;
        let mut frame = Self {
            source,
            destination,
            ttl: None,
            macs: INGRESS_MACS,
            protocol: 0,
            flags: 0,
            seq: 0,
            ack: 0,
            data: 0,
            tcp_options: 0,
            ip_options: 0,
            without_checksum: false,
            fragment: None,
            extension: false,
            vlan: None,
            cut: None,
            length_error: 0,
        };
        while let Some(word) = words.next() {
            frame
                .word(word, &mut words)
                .with_context(|| format!("{line}: at {word}"))?;
        }
        Ok(frame)
    }

    fn word<'a>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'a str>) -> Result<()> {
        let mut number =
            || -> Result<u32> { Ok(rest.next().context("a number is missing")?.parse::<u32>()?) };
        match word {
            "udp" => self.protocol = UDP,
            "icmp" => self.protocol = if self.source.0.is_ipv4() { 1 } else { 58 },
            "ext" => self.extension = true,
            "seq" => self.seq = number()?,
            "ack" => self.ack = number()?,
            "ttl" => self.ttl = Some(number()? as u8),
            "data" => self.data = number()? as usize,
            "tcpopts" => self.tcp_options = number()? as usize,
            "opts" => self.ip_options = number()? as usize,
            "csum" => self.without_checksum = number()? == 0,
            "frag" => self.fragment = Some(number()? as u16),
            "vlan" => self.vlan = Some(number()? as u16),
            "cut" => self.cut = Some(number()? as usize),
            "short" => self.length_error = -(number()? as i32),
            "long" => self.length_error = number()? as i32,
            "tcp" => {
                self.protocol = TCP;
                self.flags = flags(rest.next().context("flags are missing")?)?;
            }
            other => bail!("{other} is no word of the packet language"),
        }
        Ok(())
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = [self.macs.1, self.macs.0].concat();
        if let Some(tag) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        let payload = self.transport();
        match (self.source.0, self.destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                frame.extend(self.ipv4(source.octets(), destination.octets(), &payload));
            }
            (source, destination) => {
                frame.extend([0x86, 0xdd]);
                frame.extend(self.ipv6(octets(source), octets(destination), &payload));
            }
        }
        frame.truncate(self.cut.unwrap_or(usize::MAX));
        frame
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let header = 20 + 4 * self.ip_options;
        let length = (header + payload.len()) as i32 + self.length_error;
        let mut ip = vec![0x40 | (header / 4) as u8, 0];
        ip.extend((length as u16).to_be_bytes());
        ip.extend([0x12, 0x34]);
        ip.extend(self.fragment.unwrap_or(0x4000).to_be_bytes());
        ip.extend([self.ttl.unwrap_or(64), self.protocol, 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.resize(header, 1);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend(payload);
        ip
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut next = self.protocol;
        if self.extension {
            body.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            next = 0;
        }
        if let Some(field) = self.fragment {
            let [high, low] = field.to_be_bytes();
            body.extend([next, 0, high, low, 0, 0, 0, 9]);
            next = 44;
        }
        body.extend(payload);
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend(((body.len() as i32 + self.length_error) as u16).to_be_bytes());
        ip.extend([next, self.ttl.unwrap_or(64)]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(body);
        ip
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let checksum_at = match self.protocol {
            TCP => {
                bytes.extend(self.source.1.to_be_bytes());
                bytes.extend(self.destination.1.to_be_bytes());
                bytes.extend(self.seq.to_be_bytes());
                bytes.extend(self.ack.to_be_bytes());
                bytes.extend([
                    ((5 + self.tcp_options) as u8) << 4,
                    self.flags,
                    0x20,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
                bytes.resize(20 + 4 * self.tcp_options, 1);
                16
            }
            UDP => {
                bytes.extend(self.source.1.to_be_bytes());
                bytes.extend(self.destination.1.to_be_bytes());
                bytes.extend((8 + self.data as u16).to_be_bytes());
                bytes.extend([0, 0]);
                6
            }
            _ => {
                bytes.extend([8, 0, 0, 0, 0, 1, 0, 1]);
                2
            }
        };
        bytes.extend((1..=self.data).map(|byte| byte as u8));
        let mut sum = checksum(&[self.pseudo_header(bytes.len()), bytes.clone()].concat());
        if self.protocol == UDP && sum == 0 {
            sum = 0xffff;
        }
        if !self.without_checksum {
            bytes[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        if self.protocol == 1 {
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

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn flags(text: &str) -> Result<u8> {
    let mut flags = 0;
    for flag in text.split(',') {
        flags |= match flag {
            "FIN" => 0x01,
            "SYN" => 0x02,
            "RST" => 0x04,
            "PSH" => 0x08,
            "ACK" => 0x10,
            "-" => 0,
            other => bail!("{other} is no TCP flag"),
        };
    }
    Ok(flags)
}

/// RFC 1071, over bytes in network order.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<(IpAddr, u16)> {
        let address: std::net::SocketAddr = text.parse()?;
        Ok((address.ip(), address.port()))
    }

    /// The IPv4 header of the worked example that text books print: checksum 0xb861.
    #[test]
    fn the_checksum_is_the_one_of_the_example() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00,
            0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }

    #[test]
    fn lines_become_frames_of_the_right_length() {
        for (line, length) in [
            ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN", 54),
            (
                "10.0.0.1:1 > 10.0.0.2:2 tcp SYN opts 2 tcpopts 1 data 3",
                69,
            ),
            ("10.0.0.1:1 > 10.0.0.2:2 udp data 1", 43),
            ("[fd00::1]:1 > [fd00::2]:2 udp ext", 70),
            ("[fd00::1]:1 > [fd00::2]:2 tcp ACK frag 1", 82),
            ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN vlan 7", 58),
            ("10.0.0.1:1 > 10.0.0.2:2 tcp SYN cut 40", 40),
        ] {
            let frame = Frame::parse(line, plain).expect(line);
            assert_eq!(frame.bytes().len(), length, "{line}");
        }
        assert!(Frame::parse("10.0.0.1:1 > 10.0.0.2:2 tcp SIN", plain).is_err());
    }
}
