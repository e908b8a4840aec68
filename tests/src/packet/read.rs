//! Owns the way back: bytes to the packet language, and what is wrong with them.
//!
//! Fields that the language has no word for (the IPv4 identification, the TCP window, payload) are
//! taken to be what the builder writes; [`faults`] names them when they are not.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
};

use super::{
    ETHER_ARP, ETHER_IPV4, ETHER_IPV6, ETHER_VLAN, Extension, FLAGS, FRAGMENT, Fragment, Frame,
    ICMP, ICMP6, INGRESS_MACS, Message, Quote, TCP, UDP, extension,
};

const ETHERNET: usize = 14;

/// The frame that bytes are; `None` when they end before the ports, or are of another kind.
pub fn read(bytes: &[u8]) -> Option<Frame> {
    let unknown = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let mut frame = Frame::between(unknown, unknown);
    frame.macs = Some((take(bytes, 6)?, take(bytes, 0)?));
    let mut at = ETHERNET;
    let mut ethertype = u16_at(bytes, 12)?;
    if ethertype == ETHER_VLAN {
        frame.vlan = Some(u16_at(bytes, 14)?);
        ethertype = u16_at(bytes, 16)?;
        at += 4;
    }
    let (l4, end) = match ethertype {
        ETHER_IPV4 => frame.read_ipv4(bytes, at)?,
        ETHER_IPV6 => frame.read_ipv6(bytes, at)?,
        ETHER_ARP => {
            frame.is_arp = true;
            frame.source.0 = Ipv4Addr::from(take::<4>(bytes, at + 14)?).into();
            frame.destination.0 = Ipv4Addr::from(take::<4>(bytes, at + 24)?).into();
            return Some(frame);
        }
        _ => return None,
    };
    frame.read_transport(bytes, l4, end)?;
    if frame.bytes().len() > bytes.len() {
        frame.cut = Some(bytes.len());
    }
    Some(frame)
}

impl Frame {
    /// Where the payload begins, and where it ends by the header.
    fn read_ipv4(&mut self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let words = bytes.get(at)? & 0xf;
        match words {
            5.. => self.ip_options = usize::from(words) - 5,
            _ => self.ihl = Some(words),
        }
        let field = u16_at(bytes, at + 6)?;
        self.fragment = (field != 0x4000).then_some(Fragment {
            offset: field & 0x1fff,
            more: field & 0x2000 != 0,
        });
        self.id = Some(u16_at(bytes, at + 4)?.into()).filter(|id| *id != 0x1234);
        self.ttl = Some(*bytes.get(at + 8)?);
        self.protocol = *bytes.get(at + 9)?;
        self.source.0 = Ipv4Addr::from(take::<4>(bytes, at + 12)?).into();
        self.destination.0 = Ipv4Addr::from(take::<4>(bytes, at + 16)?).into();
        let end = at + usize::from(u16_at(bytes, at + 2)?);
        Some((at + 20 + 4 * self.ip_options, end))
    }

    fn read_ipv6(&mut self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let end = at + 40 + usize::from(u16_at(bytes, at + 4)?);
        self.protocol = *bytes.get(at + 6)?;
        self.ttl = Some(*bytes.get(at + 7)?);
        self.source.0 = Ipv6Addr::from(take::<16>(bytes, at + 8)?).into();
        self.destination.0 = Ipv6Addr::from(take::<16>(bytes, at + 24)?).into();
        let mut l4 = at + 40;
        while let Some((extension, next)) = Extension::read(self.protocol, bytes.get(l4..)?) {
            self.extensions.push(extension);
            self.protocol = next;
            l4 += extension.length();
        }
        if self.protocol == FRAGMENT {
            let field = u16_at(bytes, l4 + 2)?;
            self.fragment = Some(Fragment {
                offset: field >> 3,
                more: field & 1 != 0,
            });
            let id = u32::from_be_bytes(take(bytes, l4 + 4)?);
            self.id = Some(id).filter(|id| *id != 9);
            self.protocol = *bytes.get(l4)?;
            l4 += 8;
        }
        Some((l4, end))
    }

    fn read_transport(&mut self, bytes: &[u8], l4: usize, end: usize) -> Option<()> {
        let room = end.checked_sub(l4)?;
        if self.is_later() {
            self.data = room;
            self.pad = bytes.len().saturating_sub(end);
            return Some(());
        }
        let header = match self.protocol {
            TCP => {
                self.seq = u32::from_be_bytes(take(bytes, l4 + 4)?);
                self.ack = u32::from_be_bytes(take(bytes, l4 + 8)?);
                let words = bytes.get(l4 + 12)? >> 4;
                self.flags = *bytes.get(l4 + 13)?;
                match usize::from(words) {
                    words if words >= 5 && 4 * words <= room => {
                        self.tcp_options = words - 5;
                        let options = bytes.get(l4 + 20..l4 + 4 * words)?;
                        if options.iter().any(|byte| *byte != 1) {
                            self.tcp_option_bytes = options.to_vec();
                        }
                    }
                    _ => self.doff = Some(words),
                }
                20 + 4 * self.tcp_options
            }
            UDP => {
                self.without_checksum = u16_at(bytes, l4 + 6)? == 0;
                8
            }
            ICMP | ICMP6 => {
                self.read_message(bytes.get(l4..end.min(bytes.len()))?)?;
                8 + self.quoted_length()
            }
            _ => return None,
        };
        if self.protocol == TCP || self.protocol == UDP {
            self.source.1 = u16_at(bytes, l4)?;
            self.destination.1 = u16_at(bytes, l4 + 2)?;
        }
        self.data = match self.protocol {
            UDP if self.fragment.is_some() => {
                self.udp_length = Some(u16_at(bytes, l4 + 4)?);
                room.checked_sub(8)?
            }
            UDP => usize::from(u16_at(bytes, l4 + 4)?).checked_sub(8)?,
            _ => room.checked_sub(header)?,
        };
        let built = l4 + header + self.data;
        if let Some(payload) = bytes.get(l4 + header..built)
            && self.protocol == TCP
            && payload
                .iter()
                .zip(1..)
                .any(|(byte, place): (&u8, usize)| *byte != place as u8)
        {
            self.text = payload.to_vec();
        }
        self.length_error = end as i32 - built as i32;
        self.pad = bytes.len().saturating_sub(built);
        Some(())
    }
}

impl Frame {
    /// What kind of message, and what it quotes.
    fn read_message(&mut self, bytes: &[u8]) -> Option<()> {
        let [kind, code, ..] = *bytes.first_chunk::<8>()?;
        if kind != 8 && kind != 128 {
            let mtu = u16_at(bytes, 6)?;
            let message = Message { kind, code, mtu };
            let is_echo = kind == 0 || kind == 129;
            if !is_echo {
                self.quote = Some(Quote::Bytes(bytes[8..].to_vec()));
            }
            self.message = Some(message);
        }
        Some(())
    }

    fn quoted_length(&self) -> usize {
        match &self.quote {
            Some(Quote::Bytes(bytes)) => bytes.len(),
            Some(Quote::Frame(_)) | None => 0,
        }
    }
}

/// What is wrong with a packet that is quoted whole.
fn quoted_faults(frame: &Frame) -> Vec<String> {
    let Some(Quote::Bytes(quoted)) = &frame.quote else {
        return Vec::new();
    };
    let is_v4 = frame.source.0.is_ipv4();
    let length = if is_v4 {
        u16_at(quoted, 2).map(usize::from)
    } else {
        u16_at(quoted, 4).map(|length| usize::from(length) + 40)
    };
    let ethertype = if is_v4 { ETHER_IPV4 } else { ETHER_IPV6 };
    let mut whole = vec![0; 12];
    whole.extend(ethertype.to_be_bytes());
    whole.extend(quoted);
    match length {
        Some(length) if length <= quoted.len() => {
            let named = |fault| format!("quoted: {fault}");
            faults(&whole).into_iter().map(named).collect()
        }
        Some(_) | None => Vec::new(),
    }
}

/// A frame in the packet language, or its bytes.
pub fn describe(bytes: &[u8]) -> String {
    match read(bytes) {
        Some(frame) => frame.to_string(),
        None => format!("{bytes:02x?}"),
    }
}

/// What is wrong with a frame: in what it differs from the one that its description builds.
pub fn faults(bytes: &[u8]) -> Vec<String> {
    match read(bytes) {
        Some(frame) => {
            let mut found = difference(&frame.bytes(), bytes);
            found.extend(quoted_faults(&frame));
            found
        }
        None => vec![format!("it cannot be read: {bytes:02x?}")],
    }
}

/// In what a frame differs from the one that was wanted, by the names of the fields.
pub fn difference(wanted: &[u8], got: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if wanted.len() != got.len() {
        found.push(format!("{} bytes instead of {}", got.len(), wanted.len()));
    }
    let fields = fields(wanted);
    let mut at = 0;
    while at < wanted.len().min(got.len()) {
        let named = fields.iter().find(|(_, range)| range.contains(&at));
        let (name, range) = named
            .map(|(name, range)| ((*name).to_owned(), range.clone()))
            .unwrap_or((format!("byte {at}"), at..at + 1));
        let (old, new) = (wanted.get(range.clone()), got.get(range.clone()));
        if old != new {
            let hex = |bytes: Option<&[u8]>| -> String {
                let bytes = bytes.unwrap_or_default();
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            };
            found.push(format!("{name} {} instead of {}", hex(new), hex(old)));
        }
        at = range.end;
    }
    found
}

/// The fields that deserve a name, in their order.
fn fields(bytes: &[u8]) -> Vec<(&'static str, Range<usize>)> {
    let mut fields = vec![("destination MAC", 0..6), ("source MAC", 6..12)];
    let Some(frame) = read(bytes) else {
        return fields;
    };
    let at = ETHERNET + if frame.vlan.is_some() { 4 } else { 0 };
    let l4 = if frame.source.0.is_ipv4() {
        fields.push(("IP length", at + 2..at + 4));
        fields.push(("time to live", at + 8..at + 9));
        fields.push(("IP checksum", at + 10..at + 12));
        fields.push(("source address", at + 12..at + 16));
        fields.push(("destination address", at + 16..at + 20));
        at + 20 + 4 * frame.ip_options
    } else {
        fields.push(("hop limit", at + 7..at + 8));
        fields.push(("source address", at + 8..at + 24));
        fields.push(("destination address", at + 24..at + 40));
        let extensions: usize = frame.extensions.iter().map(|each| each.length()).sum();
        at + 40 + extensions + 8 * usize::from(frame.fragment.is_some())
    };
    if frame.is_later() {
        return fields;
    }
    if frame.protocol == TCP || frame.protocol == UDP {
        fields.push(("source port", l4..l4 + 2));
        fields.push(("destination port", l4 + 2..l4 + 4));
    }
    match frame.protocol {
        TCP => fields.push(("TCP checksum", l4 + 16..l4 + 18)),
        UDP => fields.push(("UDP checksum", l4 + 6..l4 + 8)),
        _ => {}
    }
    fields
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    take(bytes, at).map(u16::from_be_bytes)
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |(address, port): (IpAddr, u16)| SocketAddr::new(address, port);
        write!(f, "{} > {}", end(self.source), end(self.destination))?;
        match self.protocol {
            _ if self.is_arp => write!(f, " arp")?,
            TCP => {
                let (flags, seq, ack) = (flag_names(self.flags), self.seq, self.ack);
                write!(f, " tcp {flags} seq {seq} ack {ack}")?;
            }
            UDP => write!(f, " udp")?,
            _ => write!(f, " icmp")?,
        }
        if let Some(Message { kind, code, mtu }) = self.message {
            write!(f, " type {kind} code {code} mtu {mtu}")?;
        }
        match &self.quote {
            Some(Quote::Frame(frame)) => write!(f, " about ( {frame} )")?,
            Some(Quote::Bytes(bytes)) => write!(f, " quoting {bytes:02x?}")?,
            None => {}
        }
        let numbers = [
            ("ttl", self.ttl.map(u32::from)),
            ("opts", above_0(self.ip_options)),
            ("tcpopts", above_0(self.tcp_options)),
            ("data", above_0(self.data)),
            ("csum", self.without_checksum.then_some(0)),
            ("pad", above_0(self.pad)),
            ("ihl", self.ihl.map(u32::from)),
            ("doff", self.doff.map(u32::from)),
            ("vlan", self.vlan.map(u32::from)),
            ("ether", self.ethertype.map(u32::from)),
            (
                "short",
                u32::try_from(-self.length_error).ok().filter(|n| *n > 0),
            ),
            (
                "long",
                u32::try_from(self.length_error).ok().filter(|n| *n > 0),
            ),
            ("cut", self.cut.map(|cut| cut as u32)),
        ];
        for (word, number) in numbers {
            if let Some(number) = number {
                write!(f, " {word} {number}")?;
            }
        }
        if !self.text.is_empty() {
            let text = String::from_utf8_lossy(&self.text).replace(' ', "_");
            write!(f, " text {text:?}")?;
        }
        if let Some(Fragment { offset, more }) = self.fragment {
            write!(f, " frag {offset}{}", if more { "+" } else { "" })?;
        }
        if let Some(id) = self.id {
            write!(f, " id {id}")?;
        }
        if let Some(length) = self.udp_length {
            write!(f, " udplen {length}")?;
        }
        if !self.extensions.is_empty() {
            write!(f, " ext {}", extension::text(&self.extensions))?;
        }
        match self.macs {
            Some((source, destination)) if (source, destination) != INGRESS_MACS => {
                write!(f, " eth {}>{}", mac(source), mac(destination))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn above_0(number: usize) -> Option<u32> {
    (number > 0).then_some(number as u32)
}

fn flag_names(flags: u8) -> String {
    let names = FLAGS.iter().enumerate();
    let set: Vec<&str> = names
        .filter(|(bit, _)| flags & 1 << bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "-".to_owned()
    } else {
        set.join(",")
    }
}

fn mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
