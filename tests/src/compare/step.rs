//! Owns steps and their text, one a line:
//!
//! ```text
//! # a comment
//! commit PATH=VALUE ...   values of the configuration; an empty one takes away all below its path;
//!                         `flows=FATE` before them is what becomes of open flows
//! reuse PATH=VALUE ...    the same, and freed backend numbers are given to new backends
//! age SECONDS             all flows grow older
//! slice                   the next slice of evidence begins
//! anew SERVICE            the evidence of a service begins anew
//! turned SERVICE          the same, and its baseline has had very many turns of ten seconds before
//! > FRAME                 a packet in the packet language, with addresses for its ends
//! x HEX                   a packet as bytes
//! ```

use std::{fmt, net::SocketAddr};

use anyhow::{Context as _, Result, bail};

use splitter_user::model::FlowFate;

use crate::packet::Frame;

/// One step of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Values of the configuration change.
    Commit {
        /// Freed backend numbers are given again.
        reuse: bool,
        /// What becomes of open flows.
        fate: FlowFate,
        /// Dotted path and TOML value.
        changes: Vec<(String, String)>,
    },
    /// Seconds pass.
    Age(u32),
    /// The next slice of evidence begins.
    Slice,
    /// The evidence of a service begins anew.
    Anew(String),
    /// The same, after its baseline has had very many turns.
    Turned(String),
    /// A packet comes in.
    Packet {
        /// In the packet language; empty for bytes that it has no words for.
        line: String,
        /// The bytes.
        frame: Vec<u8>,
    },
}

impl Step {
    /// A packet from a line of the packet language.
    ///
    /// # Errors
    ///
    /// When the line is no frame.
    pub fn line(line: String) -> Result<Self> {
        let end = |text: &str| {
            let socket: SocketAddr = text
                .parse()
                .with_context(|| format!("{text} is no address and port"))?;
            Ok((socket.ip(), socket.port()))
        };
        let frame = Frame::parse(&line, end)?.bytes();
        Ok(Self::Packet { line, frame })
    }

    /// A packet of any bytes.
    pub fn bytes(frame: Vec<u8>) -> Self {
        Self::Packet {
            line: String::new(),
            frame,
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "commit" | "reuse" => {
                let change = |pair: &str| {
                    let (path, value) = pair.split_once('=').context("PATH=VALUE")?;
                    Ok((path.to_owned(), value.to_owned()))
                };
                let mut words = rest.split_whitespace().peekable();
                let fate = words.next_if(|word| word.starts_with("flows="));
                let fate = fate
                    .map(|word| word["flows=".len()..].parse())
                    .transpose()?;
                Ok(Self::Commit {
                    reuse: word == "reuse",
                    fate: fate.unwrap_or_default(),
                    changes: words.map(change).collect::<Result<_>>()?,
                })
            }
            "age" => Ok(Self::Age(rest.parse()?)),
            "slice" => Ok(Self::Slice),
            "anew" => Ok(Self::Anew(rest.to_owned())),
            "turned" => Ok(Self::Turned(rest.to_owned())),
            ">" => Self::line(rest.to_owned()),
            "x" => Ok(Self::bytes(from_hex(rest)?)),
            other => bail!("{other} is no step"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit {
                reuse,
                fate,
                changes,
            } => {
                f.write_str(if *reuse { "reuse" } else { "commit" })?;
                if *fate != FlowFate::Keep {
                    write!(f, " flows={fate}")?;
                }
                changes
                    .iter()
                    .try_for_each(|(path, value)| write!(f, " {path}={value}"))
            }
            Self::Age(seconds) => write!(f, "age {seconds}"),
            Self::Slice => f.write_str("slice"),
            Self::Anew(service) => write!(f, "anew {service}"),
            Self::Turned(service) => write!(f, "turned {service}"),
            Self::Packet { line, .. } if !line.is_empty() => write!(f, "> {line}"),
            Self::Packet { frame, .. } => {
                f.write_str("x ")?;
                frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The steps of a case's text.
///
/// # Errors
///
/// When a line is no step.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let lines = text.lines().map(str::trim).enumerate();
    let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    told.map(|(at, line)| Step::parse(line).with_context(|| format!("line {}: {line}", at + 1)))
        .collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes();
    let nibble = |digit: u8| (digit as char).to_digit(16).context("hex digits");
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Ok((nibble(*high)? << 4 | nibble(*low)?) as u8),
            _ => bail!("two hex digits a byte"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Step, parse};

    #[test]
    fn steps_survive_their_text() {
        let text = "commit flows=drain=20s service.shop.vips=[\"203.0.113.10:80/tcp\"] service.x=\n\
                    reuse service.shop.key=\"flow\"\n\
                    age 13\n\
                    > 10.100.0.1:40000 > 203.0.113.10:80 tcp SYN seq 1000\n\
                    x 00ff10\n";
        let steps = parse(&format!("# said\n\n{text}")).expect("steps");
        let again: String = steps.iter().map(|step| format!("{step}\n")).collect();
        assert_eq!(again, text);
        assert_eq!(steps[4], Step::bytes(vec![0, 0xff, 0x10]));
        for bad in [
            "walk 1",
            "age x",
            "x 0",
            "x zz",
            "commit a",
            "> 10.0.0.1 > x tcp SYN",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
