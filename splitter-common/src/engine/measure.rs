//! Owns what is measured of a packet that is on its way: a program of its own, which only packets with
//! something to tell reach. It changes nothing of the packet, and where it goes is decided before.

use super::{Directory, Env, Parsed, reply, request, service_row};
use crate::{
    flow::{
        Entry, Table,
        turns::{self, Answered, Asked, Kind},
    },
    layout::{Counter, FlowKey, options},
    packet::{L3, Packet, high, low},
};

/// What a packet tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Measured {
    /// The client asks.
    Asks = 1,
    /// The backend's payload ends a turn.
    Answers = 2,
    /// The backend's SYN-ACK.
    Handshake = 3,
}

/// All that an offset of TCP payload has: headers are at most 512 bytes and 60.
const PAYLOAD_MASK: usize = 0x3ff;

/// A packet that tells something.
#[inline(always)]
pub(super) fn process<P: Packet, E: Env>(packet: &P, env: &E, parsed: &Parsed) {
    let what = env.told(parsed);
    let asks = what == Measured::Asks as u64;
    let Some(key) = key_of(env, parsed, asks) else {
        return;
    };
    let now_us = turns::us(env.now_ns());
    if what == Measured::Handshake as u64 {
        let pending = env.flow(Table::Pending, &key);
        if let Some(cell) = pending
            && let Some(entry) = Entry::load(&cell, Table::Pending, key.tag())
        {
            let syn_us = turns::syn_us(&cell);
            if syn_us != 0 {
                env.count_time(&entry, Kind::Handshake, turns::since(now_us, syn_us));
            }
        }
        return;
    }
    let Some(cell) = env.flow(Table::Established, &key) else {
        return;
    };
    let Some(entry) = Entry::load(&cell, Table::Established, key.tag()) else {
        return;
    };
    let segment = &parsed.transport.segment;
    let asked = Asked::load(&cell);
    if asks {
        let first = first_byte(packet, parsed);
        if let Some(asked) = asked.after(segment.seq, segment.payload, first, now_us) {
            asked.store(&cell);
        }
        return;
    }
    let is_http = !asked.tls
        && service_row(env, entry.service as u32)
            .is_some_and(|row| row.options & options::HTTP1 != 0);
    let status = if is_http {
        status(packet, parsed)
    } else {
        Status::Unasked
    };
    let interim = matches!(status, Status::Interim);
    let (answered, sample) =
        Answered::load(&cell).after(&asked, segment.seq, segment.payload, interim, now_us);
    answered.store(&cell);
    if let Some((kind, us)) = sample {
        env.count_time(&entry, kind, us);
    }
    if let Status::Class(counter) = status {
        env.count(entry.backend, counter);
    }
}

/// The key of the packet's flow, which the program before has found too.
#[inline(always)]
fn key_of<E: Env>(env: &E, parsed: &Parsed, asks: bool) -> Option<FlowKey> {
    let directory = Directory::in_force(env)?;
    if asks {
        let vip = directory.dialled(parsed)?;
        return Some(request::key_of(parsed, vip.frontend));
    }
    let number = directory.origin(parsed)?.frontend;
    let frontend = env.frontend(number as u32)?;
    Some(reply::key_of(parsed, number, frontend))
}

/// What an answer says of itself.
enum Status {
    /// Nobody asked.
    Unasked,
    /// HTTP's 1xx: the answer is yet to come.
    Interim,
    /// A class, or none that could be read.
    Class(Counter),
}

/// Where the payload of a segment begins, bytes from the start of the frame.
#[inline(always)]
const fn payload_at(parsed: &Parsed) -> usize {
    let end = L3 as u32 + parsed.network.length;
    end.wrapping_sub(parsed.transport.segment.payload) as usize & PAYLOAD_MASK
}

/// The first byte of a segment's payload, where a second one follows.
#[inline(always)]
fn first_byte<P: Packet>(packet: &P, parsed: &Parsed) -> Option<u8> {
    packet
        .read::<1>(payload_at(parsed))
        .map(|[first]| low(first))
}

/// The class of a status line (RFC 9112, section 4): `HTTP/1.1 200`.
#[inline(always)]
fn status<P: Packet>(packet: &P, parsed: &Parsed) -> Status {
    const PROTOCOL: [u16; 3] = [
        u16::from_le_bytes(*b"HT"),
        u16::from_le_bytes(*b"TP"),
        u16::from_le_bytes(*b"/1"),
    ];
    let other = Status::Class(Counter::HttpOther);
    if parsed.transport.segment.payload < 12 {
        return other;
    }
    let Some(h) = packet.read::<6>(payload_at(parsed)) else {
        return other;
    };
    let digits =
        high(h[4]).is_ascii_digit() & low(h[5]).is_ascii_digit() & high(h[5]).is_ascii_digit();
    if [h[0], h[1], h[2]] != PROTOCOL || low(h[3]) != b'.' || low(h[4]) != b' ' || !digits {
        return other;
    }
    match high(h[4]) {
        b'1' => Status::Interim,
        b'2' => Status::Class(Counter::Http2xx),
        b'3' => Status::Class(Counter::Http3xx),
        b'4' => Status::Class(Counter::Http4xx),
        b'5' => Status::Class(Counter::Http5xx),
        _ => other,
    }
}
