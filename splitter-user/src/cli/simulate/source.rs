//! Owns what clients are read from: a file or standard input, and what kind of thing it is.
//!
//! Invariant: it is read once, from the beginning to the end, so that a pipe will do.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use anyhow::Context as _;

use crate::api::Refusal;

/// What is read.
pub(super) const ACCEPTED: &str = "give a list of addresses, one a line (ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT), or a capture in \
     the format pcap or pcapng; - is standard input";

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    /// A list of addresses.
    List,
    /// A capture, as libpcap writes it.
    Pcap,
    /// A capture of blocks.
    Pcapng,
}

impl Kind {
    /// By the first four bytes; an error says what else it is.
    fn of(begin: &[u8]) -> Result<Self, &'static str> {
        match begin {
            // Microseconds and nanoseconds, in both orders of bytes.
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x4d, 0x3c, 0xb2, 0xa1] => Ok(Self::Pcap),
            [0x0a, 0x0d, 0x0d, 0x0a] => Ok(Self::Pcapng),
            [0x1f, 0x8b, ..] => {
                Err("compressed by gzip: unpack it first, `gunzip -c FILE | splitter simulate -`")
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                Err("compressed by zstd: unpack it first, `zstdcat FILE | splitter simulate -`")
            }
            [0xfd, b'7', b'z', b'X'] => {
                Err("compressed by xz: unpack it first, `xzcat FILE | splitter simulate -`")
            }
            _ => Ok(Self::List),
        }
    }
}

/// What is read, and where it is from.
pub(in crate::cli) struct Source {
    /// As it is told.
    pub(in crate::cli) name: String,
    /// What it is.
    pub(in crate::cli) kind: Kind,
    /// All of it.
    pub(in crate::cli) reader: Full<Box<dyn Read>>,
}

impl Source {
    /// A file, or standard input by `-`.
    pub(in crate::cli) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Self::of("standard input".to_owned(), Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        Self::of(name, Box::new(file))
    }

    /// Whatever can be read.
    pub(super) fn of(name: String, from: Box<dyn Read>) -> anyhow::Result<Self> {
        let (mut from, mut begin) = (Full(from), [0; 4]);
        let count = from.read(&mut begin);
        let count = count.with_context(|| format!("cannot read {name}"))?;
        let begin = begin[..count].to_vec();
        let kind = Kind::of(&begin)
            .map_err(|what| Refusal::invalid(format!("{name} is {what}")).with_hint(ACCEPTED))?;
        Ok(Self {
            name,
            kind,
            reader: Full(Box::new(Cursor::new(begin).chain(from))),
        })
    }
}

/// Reads as much as there is room for: a pipe gives it in pieces.
pub(in crate::cli) struct Full<R>(pub(super) R);

impl<R: Read> Read for Full<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < into.len() {
            match self.0.read(&mut into[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
