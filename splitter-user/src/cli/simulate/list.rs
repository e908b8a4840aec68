//! Owns lists of clients: text, an address a line, with or without a port.
//!
//! Invariant: a line that is none is told by its number, from 1, and by what stands there; no more than
//! one line is held.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::Context as _;

use super::source::ACCEPTED;
use crate::api::Refusal;
use crate::cli::args::ClientAddress;

/// The longest line, bytes.
const LINE_BYTES: u64 = 4_096;
/// What is told of a bad line, characters.
const TOLD: usize = 60;

/// The clients of a list.
pub(super) struct List<R> {
    name: String,
    reader: BufReader<R>,
    line: Vec<u8>,
    /// The number of the line that was read last, from 1.
    pub(super) number: u64,
}

impl<R: Read> List<R> {
    /// Those of a text; `name` is what it is told as.
    pub(super) fn new(name: String, from: R) -> Self {
        Self {
            name,
            reader: BufReader::with_capacity(64 * 1024, from),
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next one; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<ClientAddress>> {
        loop {
            self.line.clear();
            let mut rest = (&mut self.reader).take(LINE_BYTES);
            let count = rest.read_until(b'\n', &mut self.line);
            if count.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = match self.number {
                1 => self
                    .line
                    .strip_prefix(b"\xef\xbb\xbf")
                    .unwrap_or(&self.line),
                _ => &self.line,
            };
            match client(line, self.number == 1) {
                Ok(None) => {}
                Ok(Some(client)) => return Ok(Some(client)),
                Err(what) => return Err(self.bad(&what).into()),
            }
        }
    }

    /// That the line which was read last is none.
    pub(super) fn bad(&self, what: &str) -> Refusal {
        let Self { name, number, .. } = self;
        let text = String::from_utf8_lossy(&self.line);
        let mut there: String = text.trim().chars().take(TOLD).collect();
        if there.len() < text.trim().len() {
            there += "...";
        }
        Refusal::invalid(format!("{name}: line {number}: {there:?}: {what}")).with_hint(ACCEPTED)
    }
}

/// A line as a client; `None` where it says nothing. What follows a comma is somebody else's.
fn client(line: &[u8], is_first: bool) -> Result<Option<ClientAddress>, String> {
    if line.len() as u64 == LINE_BYTES {
        return Err(format!("longer than {LINE_BYTES} bytes: no list"));
    }
    let text = std::str::from_utf8(line).map_err(|_| "no text: neither list nor capture")?;
    let text = text.split(['#', ',']).next().unwrap_or_default();
    let text = text.trim().trim_matches('"');
    if text.is_empty() || is_first && text.eq_ignore_ascii_case("address") {
        let says_nothing = line.trim_ascii().first().is_none_or(|first| *first == b'#');
        return match says_nothing || !text.is_empty() {
            true => Ok(None),
            false => Err("no address stands first".to_owned()),
        };
    }
    let client: Result<ClientAddress, &str> = text.parse();
    match client {
        Ok(client) => Ok(Some(client)),
        Err(_) if text.parse::<ipnet::IpNet>().is_ok() => {
            Err("a prefix is many clients: name the addresses".to_owned())
        }
        Err(what) => Err(what.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(u64, String, Option<u16>)>, String> {
        let mut list = List::new("clients.txt".to_owned(), text);
        let mut found = Vec::new();
        loop {
            match list.next() {
                Ok(None) => return Ok(found),
                Ok(Some(client)) => {
                    found.push((list.number, client.address.to_string(), client.port));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    #[test]
    fn lines_are_clients_and_columns_and_comments_are_left_alone() {
        let text = b"\xef\xbb\xbfAddress,user\r\n198.51.100.7,jane # x\n\n# none\n  \
            198.51.100.8:5555  # one\r\n2001:db8::7\n[2001:db8::8]:443,\"a,b\"\n\"198.51.100.9\",\n\
            [2001:db8::9]";
        let of = |line, address: &str, port| (line, address.to_owned(), port);
        assert_eq!(
            read(text).expect("good"),
            [
                of(2, "198.51.100.7", None),
                of(5, "198.51.100.8", Some(5555)),
                of(6, "2001:db8::7", None),
                of(7, "2001:db8::8", Some(443)),
                of(8, "198.51.100.9", None),
                of(9, "2001:db8::9", None),
            ]
        );
        assert_eq!(read(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_what_stands_there() {
        let cases: [(&[u8], &str); 6] = [
            (
                b"\n10.0.0.0/8\n",
                "clients.txt: line 2: \"10.0.0.0/8\": a prefix is many",
            ),
            (
                b"10.0.0.1\n10.0.0.300\n",
                "line 2: \"10.0.0.300\": write an IP address",
            ),
            (
                b"10.0.0.1\naddress\n",
                "line 2: \"address\": write an IP address",
            ),
            (
                b",10.0.0.1",
                "line 1: \",10.0.0.1\": no address stands first",
            ),
            (b"\x7fELF\xff\xff", "no text: neither list nor capture"),
            (&[b'1'; 5_000], "longer than 4096 bytes"),
        ];
        for (text, says) in cases {
            let told = read(text).expect_err("bad");
            assert!(told.contains(says) && told.len() < 300, "{told}");
        }
    }
}
