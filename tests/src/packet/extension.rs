//! Owns IPv6 extension headers as the packet language names them: `hop`, `dst`, `route`, `auth`
//! and `mobility`, each with `/N` for N units more than the shortest.

use anyhow::{Context as _, Result};

/// Names and protocol numbers.
const KINDS: [(&str, u8); 5] = [
    ("hop", 0),
    ("dst", 60),
    ("route", 43),
    ("auth", 51),
    ("mobility", 135),
];
const AUTHENTICATION: u8 = 51;

/// One extension header: what it is, and its length field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extension {
    /// Its protocol number.
    pub(super) protocol: u8,
    size: u8,
    /// Segments left, of a route.
    left: u8,
}

impl Extension {
    /// Bytes in all.
    pub(super) fn length(self) -> usize {
        if self.protocol == AUTHENTICATION {
            4 * (usize::from(self.size) + 2)
        } else {
            8 * (usize::from(self.size) + 1)
        }
    }

    /// Its bytes; `next` follows it.
    pub(super) fn bytes(self, next: u8) -> Vec<u8> {
        let mut bytes = vec![next, self.size, 1, self.left];
        bytes.resize(self.length(), 0);
        bytes
    }

    /// The header of that protocol at the beginning of `bytes`, and what follows it.
    pub(super) fn read(protocol: u8, bytes: &[u8]) -> Option<(Self, u8)> {
        KINDS.iter().find(|(_, number)| *number == protocol)?;
        let [next, size, _, left] = *bytes.first_chunk()?;
        Some((
            Self {
                protocol,
                size,
                left,
            },
            next,
        ))
    }

    /// `hop`, `dst/3`, `route+` (a route that goes on).
    fn parse(text: &str) -> Result<Self> {
        let (text, left) = match text.strip_suffix('+') {
            Some(text) => (text, 1),
            None => (text, 0),
        };
        let (name, more) = text.split_once('/').unwrap_or((text, "0"));
        let kind = KINDS.iter().find(|(known, _)| *known == name);
        let (_, protocol) = kind.with_context(|| format!("{name} is no extension header"))?;
        // The shortest that is a multiple of eight bytes.
        let shortest = if *protocol == AUTHENTICATION { 2 } else { 0 };
        Ok(Self {
            protocol: *protocol,
            size: shortest + more.parse::<u8>()?,
            left,
        })
    }
}

/// A list of them.
pub(super) fn parse(text: &str) -> Result<Vec<Extension>> {
    text.split(',').map(Extension::parse).collect()
}

/// The list as text; empty when there is none.
pub(super) fn text(extensions: &[Extension]) -> String {
    let names: Vec<String> = extensions
        .iter()
        .map(|each| {
            let kind = KINDS.iter().find(|(_, number)| *number == each.protocol);
            let name = kind.map_or("?", |(name, _)| *name);
            let shortest = if each.protocol == AUTHENTICATION {
                2
            } else {
                0
            };
            let more = each.size.saturating_sub(shortest);
            let more = if more > 0 {
                format!("/{more}")
            } else {
                String::new()
            };
            let on = if each.left > 0 { "+" } else { "" };
            format!("{name}{more}{on}")
        })
        .collect();
    names.join(",")
}
