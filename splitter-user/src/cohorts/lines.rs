//! Owns what members are named by: an address, a time to live and a reference, alone or as a line of
//! CSV (RFC 4180): `address[,ttl[,reference]]`.
//!
//! Invariant: a line that is no member is told by its number, counted from 1 as an editor does.

use std::{net::IpAddr, time::Duration};

use csv_core::{ReadRecordResult, Reader};
use ipnet::IpNet;
use splitter_common::{address::Address, capacity::COHORT_REFERENCE_BYTES};

/// The longest time to live: ten years.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Bad lines that are told; the others are counted.
const BAD_TOLD: usize = 10;
/// Bytes of a line's fields together.
const LINE_BYTES: usize = 512;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its line; 0 where it has none.
    pub number: u32,
    /// The address.
    pub address: Address,
    /// How long it stays, milliseconds; `None`: for ever.
    pub ttl_ms: Option<u64>,
    /// Whatever the application calls it by.
    pub reference: Option<Box<str>>,
}

/// A line that is no member, or one that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its number.
    pub line: u32,
    /// What is wrong with it.
    pub error: String,
}

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Members.
    pub good: Vec<Line>,
    /// The first of the bad lines.
    pub bad: Vec<Bad>,
    /// How many bad lines there are.
    pub bad_count: u64,
}

impl Lines {
    /// Counts a bad line.
    pub fn refuse(&mut self, line: u32, error: String) {
        self.bad_count += 1;
        if self.bad.len() < BAD_TOLD {
            self.bad.push(Bad { line, error });
        }
    }
}

/// Reads a text. `ttl`: of lines that name none. Empty lines and those that begin with `#` say nothing,
/// nor does a first line that begins with `address`.
pub fn parse(text: &[u8], otherwise: Option<Duration>) -> Lines {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = Lines::default();
    let mut reader = Reader::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let line = line.trim_ascii();
        let head = at == 0 && line.len() >= 7 && line[..7].eq_ignore_ascii_case(b"address");
        if line.is_empty() || line[0] == b'#' || head {
            continue;
        }
        match member(&mut reader, line, otherwise) {
            Ok(member) => lines.good.push(Line { number, ..member }),
            Err(error) => lines.refuse(number, error),
        }
    }
    lines
}

/// A line as a member.
fn member(reader: &mut Reader, line: &[u8], otherwise: Option<Duration>) -> Result<Line, String> {
    // The reader would take the end of the line for that of the quote.
    if line.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        return Err("a quote is not closed".to_owned());
    }
    let mut out = [0; LINE_BYTES];
    let mut ends = [0; 4];
    reader.reset();
    let (read, taken, written, fields) = reader.read_record(line, &mut out, &mut ends);
    let fields = match read {
        ReadRecordResult::Record => fields,
        ReadRecordResult::InputEmpty if taken == line.len() => {
            // No more comes: that ends the line, unless a quote is open.
            let (read, _, _, more) =
                reader.read_record(&[], &mut out[written..], &mut ends[fields..]);
            match read {
                ReadRecordResult::Record => fields + more,
                _ => return Err("it does not end".to_owned()),
            }
        }
        ReadRecordResult::OutputFull => {
            return Err(format!("it is longer than {LINE_BYTES} bytes"));
        }
        ReadRecordResult::InputEmpty | ReadRecordResult::OutputEndsFull | ReadRecordResult::End => {
            usize::MAX
        }
    };
    if !(1..=3).contains(&fields) {
        return Err(
            "write ADDRESS[,TTL[,REFERENCE]], and quote a reference that has commas".to_owned(),
        );
    }
    let field = |at: usize| -> Result<&str, String> {
        if at >= fields {
            return Ok("");
        }
        let from = if at == 0 { 0 } else { ends[at - 1] };
        let text = std::str::from_utf8(&out[from..ends[at]]);
        Ok(text.map_err(|_| "it is not UTF-8")?.trim())
    };
    let ttl = match field(1)? {
        "" => otherwise,
        text => Some(ttl(text)?),
    };
    let reference = match field(2)? {
        "" => None,
        text => Some(reference(text)?),
    };
    Ok(Line {
        number: 0,
        address: address(field(0)?)?,
        ttl_ms: ttl.map(end_ms),
        reference,
    })
}

/// Lines in the order in which they are written; of each address the last.
pub(super) fn in_order(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| line.address.bytes());
    lines.dedup_by(|later, kept| {
        let same = later.address == kept.address;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    lines
}

/// A time to live in milliseconds.
pub fn end_ms(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

/// A member's address.
pub fn address(text: &str) -> Result<Address, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Address::from(address));
    }
    Err(match text.parse::<IpNet>() {
        Ok(_) => format!(
            "{text} is a prefix, and members are addresses: name prefixes in a segment, `match = {{ \
             prefix = [\"{text}\"] }}`"
        ),
        Err(_) => format!("\"{text}\" is no address: write 198.51.100.7 or 2001:db8::7"),
    })
}

/// A time to live.
pub fn ttl(text: &str) -> Result<Duration, String> {
    let example = "write 30m, 12h or 7days, or leave it out for ever";
    match humantime::parse_duration(text) {
        Err(_) => Err(format!("\"{text}\" is no time to live: {example}")),
        Ok(ttl) if ttl < Duration::from_secs(1) => Err("a time to live is 1s or longer".to_owned()),
        Ok(ttl) if ttl > TTL_MAX => Err(format!(
            "{text} is longer than ten years: leave it out for ever"
        )),
        Ok(ttl) => Ok(ttl),
    }
}

/// A reference.
pub fn reference(text: &str) -> Result<Box<str>, String> {
    if text.len() > COHORT_REFERENCE_BYTES {
        return Err(format!(
            "a reference has at most {COHORT_REFERENCE_BYTES} bytes"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("a reference has no control characters".to_owned());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_members_and_bad_ones_are_told_by_number() {
        let text = b"\xef\xbb\xbfAddress,ttl,reference\r\n\r\n# who\n198.51.100.7\n\
            198.51.100.8,30m\r\n2001:db8::7,,\"Doe, \"\"Jane\"\"\"\n ::ffff:198.51.100.9 , 1h , user 9 \n\
            198.51.100.0/24\n198.51.100.300,30m\n198.51.100.1,soon\n198.51.100.1,0s\n\
            198.51.100.1,1h,a,b\n198.51.100.1,1h,\"a\n\xff\n198.51.100.2";
        let hour = Some(3_600_000);
        let lines = parse(text, Some(Duration::from_secs(60)));
        let told: Vec<_> = lines
            .good
            .iter()
            .map(|line| {
                let address = IpAddr::from(line.address).to_string();
                (line.number, address, line.ttl_ms, line.reference.as_deref())
            })
            .collect();
        let of = |number, address: &str, ttl_ms, reference| {
            (number, address.to_owned(), ttl_ms, reference)
        };
        assert_eq!(
            told,
            [
                of(4, "198.51.100.7", Some(60_000), None),
                of(5, "198.51.100.8", Some(1_800_000), None),
                of(6, "2001:db8::7", Some(60_000), Some("Doe, \"Jane\"")),
                of(7, "198.51.100.9", hour, Some("user 9")),
                of(15, "198.51.100.2", Some(60_000), None),
            ]
        );
        let bad: Vec<_> = lines
            .bad
            .iter()
            .map(|bad| (bad.line, &bad.error[..]))
            .collect();
        for (at, (line, says)) in [
            (8, "prefix = [\"198.51.100.0/24\"]"),
            (9, "\"198.51.100.300\" is no address"),
            (10, "\"soon\" is no time to live"),
            (11, "1s or longer"),
            (12, "write ADDRESS"),
            (14, "not UTF-8"),
        ]
        .into_iter()
        .enumerate()
        {
            let found = bad.get(if at == 5 { 6 } else { at }).expect("told");
            assert!(found.0 == line && found.1.contains(says), "{found:?}");
        }
        assert_eq!((bad.len(), lines.bad_count, bad[5].0), (7, 7, 13));
    }

    #[test]
    fn bad_lines_are_all_counted_and_the_first_told() {
        let lines = parse("x\n".repeat(50).as_bytes(), None);
        assert_eq!((lines.bad.len(), lines.bad_count), (BAD_TOLD, 50));
        let long = format!("::1,,{}", "x".repeat(300));
        let lines = parse(long.as_bytes(), None);
        assert!(lines.bad[0].error.contains("at most 256 bytes"));
    }
}
