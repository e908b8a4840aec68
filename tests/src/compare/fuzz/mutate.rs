//! Owns the mutations: each changes a frame in one way, with an eye on where its fields stand. All
//! leave at least an Ethernet header, below which BPF_PROG_TEST_RUN takes nothing, and less than
//! fits one page.

use std::ops::Range;

use fastrand::Rng;

const ETHERNET: usize = 14;
const LONGEST: usize = 2_000;
/// What may stand in a next-header field: the extension headers, the protocols, the rest at random.
const PROTOCOLS: [u8; 14] = [0, 1, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 135];
/// Numbers on which lengths turn.
const EDGES: [u16; 14] = [0, 1, 4, 7, 8, 19, 20, 21, 28, 39, 40, 60, 0x7fff, 0xffff];

/// Changes `frame` in one way.
pub(super) fn mutate(frame: &mut Vec<u8>, rng: &mut Rng) {
    let is_v6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    match rng.u32(..22) {
        0..=3 => flip(frame, rng),
        4 | 5 => set_byte(frame, rng),
        6 => frame.truncate(rng.usize(ETHERNET..=frame.len())),
        7 => extend(frame, rng),
        8 | 9 => length(frame, is_v6, rng),
        10 => put(frame, ETHERNET, &[rng.u8(..)]),
        11 => offset(frame, is_v6, rng),
        12 => {
            let protocol = if rng.bool() {
                PROTOCOLS[rng.usize(..PROTOCOLS.len())]
            } else {
                rng.u8(..)
            };
            put(frame, ETHERNET + if is_v6 { 6 } else { 9 }, &[protocol]);
        }
        13 => fragment(frame, is_v6, rng),
        14 => tag(frame, rng),
        15 | 16 if is_v6 => extensions(frame, rng),
        15 | 16 => options(frame, rng),
        17 => icmp_error(frame, is_v6, rng),
        18 => swap(frame, is_v6),
        19 => {
            let ttl = [0, 1, 2, 255][rng.usize(..4)];
            put(frame, ETHERNET + if is_v6 { 7 } else { 8 }, &[ttl]);
        }
        20 if is_v6 => mapped(frame, rng),
        20 => put(frame, 12, &[0x86, 0xdd]),
        _ => noise(frame, rng),
    }
    frame.truncate(LONGEST);
}

fn flip(frame: &mut [u8], rng: &mut Rng) {
    // Mostly in the headers.
    let within = if rng.bool() {
        frame.len()
    } else {
        frame.len().min(80)
    };
    let at = rng.usize(..within);
    frame[at] ^= 1 << rng.u32(..8);
}

fn set_byte(frame: &mut [u8], rng: &mut Rng) {
    let at = rng.usize(..frame.len());
    frame[at] = [0, 1, 0x7f, 0x80, 0xff, rng.u8(..)][rng.usize(..6)];
}

fn extend(frame: &mut Vec<u8>, rng: &mut Rng) {
    let more = if rng.bool() {
        rng.usize(1..8)
    } else {
        rng.usize(1..1_500)
    };
    frame.extend((0..more).map(|_| rng.u8(..)));
}

/// A length field of IP or UDP says something else.
fn length(frame: &mut [u8], is_v6: bool, rng: &mut Rng) {
    let at = match (rng.bool(), is_v6) {
        (true, false) => ETHERNET + 2,
        (true, true) => ETHERNET + 4,
        // UDP's, where no options come before it.
        (false, false) => ETHERNET + 24,
        (false, true) => ETHERNET + 44,
    };
    let Some(old) = frame
        .get(at..at + 2)
        .map(|field| u16::from_be_bytes([field[0], field[1]]))
    else {
        return;
    };
    let new = match rng.u32(..3) {
        0 => EDGES[rng.usize(..EDGES.len())],
        1 => old.wrapping_add(rng.u16(..16)).wrapping_sub(8),
        _ => rng.u16(..),
    };
    put(frame, at, &new.to_be_bytes());
}

/// The header length of IPv4 or TCP says something else.
fn offset(frame: &mut [u8], is_v6: bool, rng: &mut Rng) {
    let words = rng.u8(..16);
    if !is_v6 && rng.bool() {
        put(frame, ETHERNET, &[0x40 | words]);
    } else {
        put(frame, ETHERNET + if is_v6 { 52 } else { 32 }, &[words << 4]);
    }
}

fn fragment(frame: &mut Vec<u8>, is_v6: bool, rng: &mut Rng) {
    let field = [0x2000, 0x0001, 0x2001, 0x1fff, 0x8000, rng.u16(..)][rng.usize(..6)];
    if is_v6 {
        insert_extension(frame, 44, rng);
    } else {
        put(frame, ETHERNET + 6, &field.to_be_bytes());
    }
}

/// One to three VLAN tags.
fn tag(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.u32(1..=3) {
        let kind: [u8; 2] = [[0x81, 0x00], [0x88, 0xa8]][rng.usize(..2)];
        let tag = [kind[0], kind[1], 0, rng.u8(..)];
        frame.splice(12..12, tag);
    }
}

fn extensions(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.u32(1..=4) {
        let kind = [0, 43, 44, 51, 60, 135][rng.usize(..6)];
        insert_extension(frame, kind, rng);
    }
}

/// An extension header directly behind the IPv6 header; its length is right, or not.
fn insert_extension(frame: &mut Vec<u8>, kind: u8, rng: &mut Rng) {
    let at = ETHERNET + 40;
    if frame.len() < at {
        return;
    }
    let units = rng.usize(..3);
    // RFC 4302: the authentication header counts words, less two; the fragment header has no length.
    let (bytes, said) = match kind {
        44 => (8, rng.u8(..)),
        51 => (8 * (units + 1), (2 * units) as u8),
        _ => (8 * (units + 1), units as u8),
    };
    let mut header: Vec<u8> = (0..bytes).map(|_| rng.u8(..)).collect();
    header[0] = frame[ETHERNET + 6];
    header[1] = if rng.u32(..8) == 0 { rng.u8(..) } else { said };
    if kind == 44 {
        let field: u16 = [0, 1, 8, 9, rng.u16(..)][rng.usize(..5)];
        header[2..4].copy_from_slice(&field.to_be_bytes());
    }
    frame[ETHERNET + 6] = kind;
    frame.splice(at..at, header);
    grow(frame, ETHERNET + 4, bytes);
}

/// IPv4 options, with the header length to it.
fn options(frame: &mut Vec<u8>, rng: &mut Rng) {
    let words = rng.usize(1..=10);
    let at = ETHERNET + 20;
    if frame.len() < at {
        return;
    }
    let bytes: Vec<u8> = (0..4 * words).map(|_| rng.u8(..)).collect();
    frame.splice(at..at, bytes);
    let header = frame[ETHERNET];
    frame[ETHERNET] = header & 0xf0 | (header & 0xf).wrapping_add(words as u8) & 0xf;
    grow(frame, ETHERNET + 2, 4 * words);
}

/// The packet becomes what an ICMP error about it carries, to whom it came from or went to.
fn icmp_error(frame: &mut Vec<u8>, is_v6: bool, rng: &mut Rng) {
    let header = ETHERNET + if is_v6 { 40 } else { 20 };
    if frame.len() < header {
        return;
    }
    let mut outer = frame[..header].to_vec();
    let mut inner = frame[ETHERNET..].to_vec();
    inner.truncate(rng.usize(..=inner.len()));
    let kinds: &[u8] = if is_v6 {
        &[1, 2, 3, 4, 128, 129]
    } else {
        &[3, 11, 12, 8, 0, 5]
    };
    let mut icmp = vec![
        kinds[rng.usize(..kinds.len())],
        rng.u8(..16),
        0,
        0,
        0,
        0,
        5,
        0,
    ];
    icmp.extend(inner);
    if is_v6 {
        outer[ETHERNET + 6] = 58;
        let length = (icmp.len() as u16).to_be_bytes();
        outer[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length);
    } else {
        outer[ETHERNET] = 0x45;
        outer[ETHERNET + 9] = 1;
        let length = (20 + icmp.len() as u16).to_be_bytes();
        outer[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length);
    }
    if rng.bool() {
        swap(&mut outer, is_v6);
    }
    outer.extend(icmp);
    *frame = outer;
}

/// Source and destination address change places.
fn swap(frame: &mut [u8], is_v6: bool) {
    let (at, length) = if is_v6 {
        (ETHERNET + 8, 16)
    } else {
        (ETHERNET + 12, 4)
    };
    if let Some(both) = frame.get_mut(at..at + 2 * length) {
        both.rotate_left(length);
    }
}

/// An end of an IPv6 packet is an IPv4 address in IPv6's clothes, which no wire should carry.
fn mapped(frame: &mut [u8], rng: &mut Rng) {
    let at = ETHERNET + [8, 24][rng.usize(..2)];
    let v4: [u8; 4] = [
        [203, 0, 113, 10],
        [203, 0, 113, 40],
        [10, 100, 0, 1],
        [10, 2, 0, 11],
    ][rng.usize(..4)];
    let mut address = [0; 16];
    address[10..12].copy_from_slice(&[0xff, 0xff]);
    address[12..].copy_from_slice(&v4);
    put(frame, at, &address);
}

/// Nothing but noise behind some header.
fn noise(frame: &mut [u8], rng: &mut Rng) {
    let from = [ETHERNET, ETHERNET + 20, ETHERNET + 40][rng.usize(..3)];
    let range: Range<usize> = from.min(frame.len())..frame.len();
    frame[range].fill_with(|| rng.u8(..));
}

fn grow(frame: &mut [u8], at: usize, bytes: usize) {
    if let Some(field) = frame.get_mut(at..at + 2) {
        let length = u16::from_be_bytes([field[0], field[1]]).wrapping_add(bytes as u16);
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn put(frame: &mut [u8], at: usize, new: &[u8]) {
    if let Some(field) = frame.get_mut(at..at + new.len()) {
        field.copy_from_slice(new);
    }
}
