//! Owns device classes: the rules by which they are known, and what a SYN shows.

use std::fmt;

use serde::{Deserialize, Serialize};
use splitter_common::device::{OPTION_BYTES, SIGNATURE_WORDS, Signature};

/// A rule by which a device class is known: what it leaves out may be anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// The class of whom it knows.
    pub class: String,
    /// The time to live that the sender began with: 32, 64, 128 or 255.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// The TCP options in their order.
    #[serde(default, with = "text_of_options")]
    pub options: Option<Vec<TcpOption>>,
    /// The window.
    #[serde(default)]
    pub window: Option<u16>,
    /// The maximum segment size; its option must be among those.
    #[serde(default)]
    pub mss: Option<u16>,
    /// The shift count of the window; its option must be among those.
    #[serde(default)]
    pub window_scale: Option<u8>,
}

/// The class of a client that no rule knows.
pub const UNKNOWN_DEVICE: &str = "unknown";

/// A TCP option: its kind and length in bytes (IANA, "TCP Option Kind Numbers").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption {
    /// Its kind.
    pub kind: u8,
    /// Bytes in all.
    pub length: u8,
}

impl TcpOption {
    const MSS: u8 = 2;
    const WINDOW_SCALE: u8 = 3;
    /// Those that have names here.
    const NAMED: [(&'static str, Self); 6] = [
        ("eol", Self { kind: 0, length: 1 }),
        ("nop", Self { kind: 1, length: 1 }),
        ("mss", Self { kind: 2, length: 4 }),
        ("ws", Self { kind: 3, length: 3 }),
        ("sack", Self { kind: 4, length: 2 }),
        (
            "ts",
            Self {
                kind: 8,
                length: 10,
            },
        ),
    ];

    /// From its name, or `kind:length`.
    pub fn parse(word: &str) -> Result<Self, String> {
        if let Some((_, known)) = Self::NAMED.iter().find(|(name, _)| *name == word) {
            return Ok(*known);
        }
        let numbers = word.split_once(':');
        let numbers =
            numbers.and_then(|(kind, length)| Some((kind.parse().ok()?, length.parse().ok()?)));
        match numbers {
            Some((kind, length))
                if (2..=OPTION_BYTES).contains(&usize::from(length)) && kind > 1 =>
            {
                Ok(Self { kind, length })
            }
            _ => Err(format!(
                "\"{word}\" is no TCP option: write mss, ws, sack, ts, nop, eol, or its kind and length \
                 in bytes such as 34:2"
            )),
        }
    }

    /// The options of a header, first to last; `None` where their lengths contradict.
    pub fn of_header(bytes: &[u8]) -> Option<Vec<Self>> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let kind = bytes[at];
            let length = if kind <= 1 { 1 } else { *bytes.get(at + 1)? };
            if length == 0 || kind > 1 && length < 2 || at + usize::from(length) > bytes.len() {
                return None;
            }
            found.push(Self { kind, length });
            at += usize::from(length);
        }
        Some(found)
    }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, known)| known == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}:{}", self.kind, self.length),
        }
    }
}

/// Options as a rule writes them.
fn options_text(options: &[TcpOption]) -> String {
    let words: Vec<String> = options.iter().map(ToString::to_string).collect();
    words.join(" ")
}

impl DeviceRule {
    /// The bits of a [`Signature`] that count and what they must be.
    pub fn words(&self) -> ([u64; SIGNATURE_WORDS], [u64; SIGNATURE_WORDS]) {
        let (mut mask, mut want) = ([0; SIGNATURE_WORDS], [0; SIGNATURE_WORDS]);
        if let Some(window) = self.window {
            mask[0] |= Signature::WINDOW;
            want[0] |= u64::from(window);
        }
        if let Some(ttl) = self.ttl {
            mask[0] |= Signature::TTL;
            want[0] |= Signature::head(ttl, 0, 0);
        }
        if let Some(options) = &self.options {
            let (mut bytes, mut counts) = ([0; OPTION_BYTES], [0; OPTION_BYTES]);
            let mut at = 0;
            for option in options {
                let (kind, length) = (option.kind, usize::from(option.length));
                let mut put = |at: usize, byte: u8| {
                    if let (Some(to), Some(counted)) = (bytes.get_mut(at), counts.get_mut(at)) {
                        (*to, *counted) = (byte, 0xff);
                    }
                };
                put(at, kind);
                if kind > 1 {
                    put(at + 1, option.length);
                }
                if let Some(mss) = self.mss.filter(|_| kind == TcpOption::MSS) {
                    put(at + 2, mss.to_be_bytes()[0]);
                    put(at + 3, mss.to_be_bytes()[1]);
                }
                if let Some(scale) = self
                    .window_scale
                    .filter(|_| kind == TcpOption::WINDOW_SCALE)
                {
                    put(at + 2, scale);
                }
                at += length;
            }
            mask[0] |= Signature::LENGTH;
            want[0] |= (at as u64) << 16;
            mask[1..].copy_from_slice(&words(&counts));
            want[1..].copy_from_slice(&words(&bytes));
        }
        (mask, want)
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<String> {
        let options = self.options.as_deref();
        let length: usize = options
            .into_iter()
            .flatten()
            .map(|each| usize::from(each.length))
            .sum();
        let has = |kind| options.into_iter().flatten().any(|each| each.kind == kind);
        if self.ttl.is_none() && options.is_none() && self.window.is_none() {
            return Some("it would know every SYN: write `options`, `ttl` or `window`".to_owned());
        }
        if length > OPTION_BYTES || !length.is_multiple_of(4) {
            return Some(format!(
                "`options` come to {length} bytes: a header has room for {OPTION_BYTES}, and fills words \
                 of 4 (with `nop` or `eol`)"
            ));
        }
        if self.mss.is_some() && !has(TcpOption::MSS) {
            return Some("`mss` takes the option `mss` among `options`".to_owned());
        }
        if self.window_scale.is_some() && !has(TcpOption::WINDOW_SCALE) {
            return Some("`window_scale` takes the option `ws` among `options`".to_owned());
        }
        None
    }
}

impl fmt::Display for DeviceRule {
    /// `windows: ttl 128, options mss nop ws nop nop sack`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options.as_deref().map(options_text);
        let parts = [
            self.ttl.map(|ttl| format!("ttl {ttl}")),
            options.map(|options| format!("options {options}")),
            self.window.map(|window| format!("window {window}")),
            self.mss.map(|mss| format!("mss {mss}")),
            self.window_scale
                .map(|scale| format!("window_scale {scale}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        write!(f, "{}: {}", self.class, parts.join(", "))
    }
}

/// Bytes of options as words.
fn words(bytes: &[u8; OPTION_BYTES]) -> [u64; SIGNATURE_WORDS - 1] {
    std::array::from_fn(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[8 * at..8 * at + 8]);
        u64::from_le_bytes(word)
    })
}

/// What a SYN shows, of an IP packet's time to live and a TCP header; `None` when that is cut.
pub fn signature(ttl: u8, tcp: &[u8]) -> Option<Signature> {
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    let (options, window) = (tcp.get(20..header)?, tcp.get(14..16)?);
    let mut bytes = [0; OPTION_BYTES];
    bytes.get_mut(..options.len())?.copy_from_slice(options);
    let mut all = Signature::default();
    let window = u16::from_be_bytes([window[0], window[1]]);
    all.words[0] = Signature::head(ttl, options.len() as u32, window);
    all.words[1..].copy_from_slice(&words(&bytes));
    Some(all)
}

/// The rule that knows SYNs of such a look, whatever their MSS and window scale; `None` where the lengths of
/// options contradict.
pub fn rule_of(class: &str, signature: &Signature) -> Option<DeviceRule> {
    let head = signature.words[0];
    let length = ((head & Signature::LENGTH) >> 16) as usize;
    let bytes: Vec<u8> = signature.words[1..]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    Some(DeviceRule {
        class: class.to_owned(),
        ttl: Some(((head & Signature::TTL) >> 24) as u8),
        options: Some(TcpOption::of_header(bytes.get(..length)?)?),
        window: Some((head & Signature::WINDOW) as u16),
        mss: None,
        window_scale: None,
    })
}

/// Options as the text that operators write.
mod text_of_options {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{TcpOption, options_text};

    type Options = Option<Vec<TcpOption>>;

    pub(super) fn serialize<S: Serializer>(options: &Options, to: S) -> Result<S::Ok, S::Error> {
        match options {
            Some(options) => to.serialize_some(&options_text(options)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Options, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let parsed = text.map(|text| text.split_whitespace().map(TcpOption::parse).collect());
        parsed.transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
