//! Owns the packet language: one line of text describes a frame.
//!
//! `10.1.0.7:40000 > 203.0.113.10:80 tcp SYN seq 1000 ttl 64 data 5` is an Ethernet frame with
//! all lengths and checksums right. Words behind the ports, in any order; numbers are decimal or
//! begin with `0x`:
//!
//! | word | meaning |
//! |---|---|
//! | `tcp FLAGS`, `udp`, `icmp` | the protocol; flags as `SYN,ACK` or `-`; an echo request |
//! | `type N`, `code N`, `mtu N` | of an ICMP message that is none |
//! | `about ( FRAME )` | the packet that it quotes |
//! | `quoted N` | so many bytes of it (all) |
//! | `seq N`, `ack N` | TCP numbers (0 unless told) |
//! | `ttl N` | time to live or hop limit (64) |
//! | `data N` | payload bytes: 1, 2, 3, ... |
//! | `text T` | TCP payload that begins with T, `_` for a space and `\x15`, `\x16`, `\x17` for these bytes, and goes on like `data` |
//! | `tcpopts N`, `opts N` | N words of TCP or IPv4 options (no-operations) |
//! | `options LIST` | TCP options by their names or `kind:length`, comma between, with bytes of 7 in them |
//! | `csum 0` | a UDP datagram without checksum |
//! | `frag N`, `frag N+` | a fragment at N units of eight bytes; `+`: more follow. Behind the first it has data alone |
//! | `id N` | the identification (0x1234, 9 by IPv6) |
//! | `udplen N` | the UDP length field says N |
//! | `ext LIST` | IPv6 extension headers: `hop,dst/3,route+,auth` |
//! | `eth A>B` | source and destination MAC |
//! | `vlan N` | an 802.1Q tag |
//! | `arp` | an ARP request instead: who has the destination, tell the source |
//! | `ether N` | the Ethernet type says N, whatever follows |
//! | `pad N` | N zero bytes behind the IP packet, as short frames have them |
//! | `cut N` | the frame ends after N bytes, whatever its lengths say |
//! | `short N`, `long N` | the IP length field says N less, N more |
//! | `ihl N`, `doff N` | the IPv4 or TCP header length field says N words |
//!
//! A frame is built by [`Frame::bytes`] and read back by [`read`]; [`faults`] says in what it
//! differs from the frame that its own description builds, wrong checksums above all. Checksums
//! are computed in full, by code of this module's own: what the program updates incrementally is
//! compared with it.

mod build;
mod extension;
mod read;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};

use extension::Extension;
use splitter_user::model::TcpOption;

pub use read::{describe, difference, faults, read};

/// Source and destination MAC of frames that go in.
pub const INGRESS_MACS: Macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

/// Source and destination MAC.
pub type Macs = ([u8; 6], [u8; 6]);

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// How texts write the first byte of a TLS record.
const TLS_KINDS: [(&str, &str); 3] = [("\\x15", "\x15"), ("\\x16", "\x16"), ("\\x17", "\x17")];

const ETHER_ARP: u16 = 0x0806;
const ETHER_VLAN: u16 = 0x8100;
const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;

/// The flags by their bits, as RFC 9293 and RFC 3168 name them.
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// A frame as text describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Source address and port.
    pub source: (IpAddr, u16),
    /// Destination address and port.
    pub destination: (IpAddr, u16),
    /// Time to live; `None` when the text leaves it open.
    pub ttl: Option<u8>,
    /// MACs; `None` when the text leaves them open.
    pub macs: Option<Macs>,
    protocol: u8,
    flags: u8,
    seq: u32,
    ack: u32,
    data: usize,
    text: Vec<u8>,
    tcp_options: usize,
    /// What stands in these words; empty: no-operations.
    tcp_option_bytes: Vec<u8>,
    ip_options: usize,
    without_checksum: bool,
    fragment: Option<Fragment>,
    id: Option<u32>,
    udp_length: Option<u16>,
    extensions: Vec<Extension>,
    message: Option<Message>,
    quote: Option<Quote>,
    quoted: Option<usize>,
    vlan: Option<u16>,
    is_arp: bool,
    ethertype: Option<u16>,
    pad: usize,
    cut: Option<usize>,
    length_error: i32,
    ihl: Option<u8>,
    doff: Option<u8>,
}

/// An ICMP message that is no echo request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Message {
    kind: u8,
    code: u8,
    mtu: u16,
}

/// What an ICMP error quotes.
#[derive(Clone, Debug, PartialEq)]
enum Quote {
    /// As a line says it.
    Frame(Box<Frame>),
    /// As it was read.
    Bytes(Vec<u8>),
}

/// A place in a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fragment {
    /// In units of eight bytes.
    offset: u16,
    more: bool,
}

impl Frame {
    /// A frame of which nothing but its ends is known.
    fn between(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Self {
        Self {
            source,
            destination,
            ttl: None,
            macs: None,
            protocol: 0,
            flags: 0,
            seq: 0,
            ack: 0,
            data: 0,
            text: Vec::new(),
            tcp_options: 0,
            tcp_option_bytes: Vec::new(),
            ip_options: 0,
            without_checksum: false,
            fragment: None,
            id: None,
            udp_length: None,
            extensions: Vec::new(),
            message: None,
            quote: None,
            quoted: None,
            vlan: None,
            is_arp: false,
            ethertype: None,
            pad: 0,
            cut: None,
            length_error: 0,
            ihl: None,
            doff: None,
        }
    }

    /// Whether it is a UDP datagram without checksum.
    pub fn is_bare(&self) -> bool {
        self.protocol == UDP && self.without_checksum
    }

    /// Reads a line. `resolve` turns the text of an end into an address and a port.
    pub fn parse(
        line: &str,
        mut resolve: impl FnMut(&str) -> Result<(IpAddr, u16)>,
    ) -> Result<Self> {
        Self::parse_with(line, &mut resolve)
    }

    fn parse_with(
        line: &str,
        resolve: &mut dyn FnMut(&str) -> Result<(IpAddr, u16)>,
    ) -> Result<Self> {
        let mut words = line.split_whitespace();
        let source = resolve(words.next().context("no source")?)?;
        if words.next() != Some(">") {
            bail!("{line}: > is missing");
        }
        let destination = resolve(words.next().context("no destination")?)?;
        if source.0.is_ipv4() != destination.0.is_ipv4() {
            bail!("{line}: the ends are of two address families");
        }
        let mut frame = Self::between(source, destination);
        while let Some(word) = words.next() {
            if word == "about" {
                let quoted: Vec<&str> = words.by_ref().take_while(|word| *word != ")").collect();
                let (open, quoted) = quoted.split_first().context("about ( FRAME )")?;
                if *open != "(" {
                    bail!("{line}: about ( FRAME )");
                }
                let quoted = Self::parse_with(&quoted.join(" "), resolve)?;
                frame.quote = Some(Quote::Frame(Box::new(quoted)));
                continue;
            }
            frame
                .word(word, &mut words)
                .with_context(|| format!("{line}: at {word}"))?;
        }
        Ok(frame)
    }

    fn word<'a>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'a str>) -> Result<()> {
        match word {
            "udp" => self.protocol = UDP,
            "icmp" if self.source.0.is_ipv4() => self.protocol = ICMP,
            "icmp" => self.protocol = ICMP6,
            "arp" => self.is_arp = true,
            "ext" => self.extensions = extension::parse(value(rest)?)?,
            "id" => self.id = Some(number(rest)?),
            "udplen" => self.udp_length = Some(number(rest)?),
            "type" => self.message.get_or_insert_default().kind = number(rest)?,
            "code" => self.message.get_or_insert_default().code = number(rest)?,
            "mtu" => self.message.get_or_insert_default().mtu = number(rest)?,
            "quoted" => self.quoted = Some(number::<u16>(rest)?.into()),
            "seq" => self.seq = number(rest)?,
            "ack" => self.ack = number(rest)?,
            "ttl" => self.ttl = Some(number(rest)?),
            "data" => self.data = number::<u16>(rest)?.into(),
            "text" => {
                let text = value(rest)?.replace('_', " ");
                let bytes = TLS_KINDS
                    .iter()
                    .fold(text, |text, (word, byte)| text.replace(word, byte));
                self.text = bytes.into_bytes();
                self.data = self.data.max(self.text.len());
            }
            "tcpopts" => self.tcp_options = number::<u8>(rest)?.into(),
            "options" => {
                self.tcp_option_bytes = options(value(rest)?)?;
                self.tcp_options = self.tcp_option_bytes.len() / 4;
            }
            "opts" => self.ip_options = number::<u8>(rest)?.into(),
            "vlan" => self.vlan = Some(number(rest)?),
            "ether" => self.ethertype = Some(number(rest)?),
            "pad" => self.pad = number::<u8>(rest)?.into(),
            "cut" => self.cut = Some(number::<u16>(rest)?.into()),
            "short" => self.length_error = -i32::from(number::<u16>(rest)?),
            "long" => self.length_error = number::<u16>(rest)?.into(),
            "ihl" => self.ihl = Some(number(rest)?),
            "doff" => self.doff = Some(number(rest)?),
            "csum" => match number(rest)? {
                0u32 => self.without_checksum = true,
                other => bail!("csum {other}: only 0 can be asked for"),
            },
            "frag" => self.fragment = Some(fragment(value(rest)?)?),
            "eth" => self.macs = Some(macs(value(rest)?)?),
            "tcp" => {
                self.protocol = TCP;
                self.flags = flags(value(rest)?)?;
            }
            other => bail!("{other} is no word of the packet language"),
        }
        Ok(())
    }
}

fn value<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<&'a str> {
    rest.next().context("a value is missing")
}

/// A number that fits its field: `ttl 300` is a mistake, not 44.
fn number<'a, T: TryFrom<u32>>(rest: &mut impl Iterator<Item = &'a str>) -> Result<T> {
    let text = value(rest)?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = number.with_context(|| format!("{text} is no number"))?;
    T::try_from(number)
        .ok()
        .with_context(|| format!("{text} does not fit the field"))
}

fn fragment(text: &str) -> Result<Fragment> {
    let (offset, more) = match text.strip_suffix('+') {
        Some(offset) => (offset, true),
        None => (text, false),
    };
    let offset: u16 = offset.parse()?;
    if offset >= 1 << 13 {
        bail!("{offset} does not fit the field");
    }
    Ok(Fragment { offset, more })
}

fn macs(text: &str) -> Result<Macs> {
    let (source, destination) = text.split_once('>').context("MAC>MAC")?;
    Ok((mac(source)?, mac(destination)?))
}

/// The bytes of TCP options.
fn options(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split(',') {
        let option = TcpOption::parse(word).map_err(anyhow::Error::msg)?;
        let mut own = vec![7; option.length.into()];
        own[0] = option.kind;
        if let Some(length) = own.get_mut(1) {
            *length = option.length;
        }
        bytes.extend(own);
    }
    if bytes.len() > 40 || !bytes.len().is_multiple_of(4) {
        bail!(
            "{text} are {} bytes, not up to 40 in words of 4",
            bytes.len()
        );
    }
    Ok(bytes)
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Result<Vec<u8>, _> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect();
    bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("{text} is no MAC"))
}

fn flags(text: &str) -> Result<u8> {
    if text == "-" {
        return Ok(0);
    }
    text.split(',').try_fold(0, |flags, name| {
        let bit = FLAGS.iter().position(|flag| *flag == name);
        Ok(flags | 1 << bit.with_context(|| format!("{name} is no TCP flag"))?)
    })
}
