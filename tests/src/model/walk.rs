//! Owns the walk along IPv6 extension headers (RFC 8200, RFC 7045). Offsets are bytes from the
//! start of the frame.

use super::wire::{Body, Part, half};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// Mobility, HIP, Shim6, and those for experiments: never walked.
const NOT_WALKED: [u8; 5] = [135, 139, 140, 253, 254];

/// The spec rows: six headers at most.
const HEADERS: usize = 6;
/// README: of 256 bytes at most, behind Ethernet and IPv6.
const PAYLOAD_START: usize = 14 + 40 + 256;

/// Where the walk ended.
pub(super) struct Walked {
    pub(super) protocol: u8,
    pub(super) l4: usize,
    pub(super) part: Part,
    pub(super) id: u32,
}

impl Walked {
    fn is_over(&self) -> bool {
        let walked = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION];
        let is_extension = walked.contains(&self.protocol) || NOT_WALKED.contains(&self.protocol);
        !is_extension || self.part == Part::Later
    }
}

/// Walks from the header of `protocol` at `l4` to what is none, or to data of a fragment behind
/// the first; else what the packet is instead. The IP packet ends at `end`.
pub(super) fn walk(frame: &[u8], protocol: u8, l4: usize, end: usize) -> Result<Walked, Body> {
    let mut walked = Walked {
        protocol,
        l4,
        part: Part::Whole,
        id: 0,
    };
    for _ in 0..HEADERS {
        if walked.is_over() {
            return Ok(walked);
        }
        let header = frame.get(walked.l4..walked.l4 + 8).ok_or(Body::Broken)?;
        let size = usize::from(header[1]);
        let mut length = 8 * (size + 1);
        match walked.protocol {
            FRAGMENT => {
                // RFC 6946: one that says the datagram is whole makes no fragment.
                let field = half(header, 2).unwrap_or_default();
                match (field >> 3, field & 1) {
                    (0, 0) => {}
                    (0, _) => walked.part = Part::First,
                    _ => walked.part = Part::Later,
                }
                walked.id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                length = 8;
            }
            AUTHENTICATION => length = 4 * (size + 2),
            // RFC 8200, section 4.4: a route that goes on leads elsewhere first.
            ROUTING if header[3] != 0 => return Err(Body::Extension),
            protocol if NOT_WALKED.contains(&protocol) => return Err(Body::Extension),
            _ => {}
        }
        if walked.l4 + length > PAYLOAD_START {
            return Err(Body::Extension);
        }
        walked.l4 += length;
        walked.protocol = header[0];
        if walked.l4 > end {
            return Err(Body::Broken);
        }
    }
    if walked.is_over() {
        Ok(walked)
    } else {
        Err(Body::Extension)
    }
}
