//! Owns what is measured of a packet that is on its way: a program of its own, which only packets with
//! something to tell reach. It changes nothing of the packet, and where it goes is decided before.

use core::hint::black_box;

use super::{Env, Parsed, evidence, service_row, traits};
use crate::{
    evidence::Sample,
    flow::{
        Entry, KeptKey, Table,
        turns::{self, Answered, Asked, Kind},
    },
    layout::{Counter, options},
    packet::{L3, Packet, high, low},
};

/// What a packet tells: bits of a number. Those of clients' packets come first.
pub mod tells {
    /// The client asks.
    pub const ASKS: u64 = 0x01;
    /// The client's ACK completes the handshake of a flow that is judged, or whose service asks for traits.
    pub const COMPLETES: u64 = 0x02;
    /// The client sends its SYN once more, for a flow that is judged.
    pub const WAITS: u64 = 0x04;
    /// The backend's payload ends a turn.
    pub const ANSWERS: u64 = 0x08;
    /// The backend's SYN-ACK.
    pub const ACCEPTS: u64 = 0x10;
    /// The backend's answer makes such a flow an established one.
    pub const ENTERS: u64 = 0x20;
    /// The backend resets a flow that is judged and established.
    pub const RESETS: u64 = 0x40;
    /// The backend resets a flow that is judged and pending.
    pub const REFUSES: u64 = 0x80;
    /// Those whose flow is pending.
    pub const OF_PENDING: u64 = WAITS | ACCEPTS | REFUSES;
    /// All.
    pub const ALL: u64 = 0xff;
}

/// What a packet tells, and what remembers its client, so that it is not hashed once more; in one word.
#[derive(Clone, Copy)]
pub(super) struct Told(u64);

impl Told {
    /// Of a packet that tells `bits` of [`tells`]. `once`: see [`Entry::once`], 0 where that is not at
    /// hand.
    #[inline(always)]
    pub(super) const fn new(bits: u64, once: u32) -> Self {
        Self(bits | (once as u64) << 32)
    }

    /// Notes it.
    #[inline(always)]
    pub(super) fn note<E: Env>(self, env: &E, parsed: &Parsed) {
        env.tell(parsed, self.0);
    }

    /// What was noted of a packet.
    #[inline(always)]
    pub(super) fn of<E: Env>(env: &E, parsed: &Parsed) -> Self {
        Self(env.told(parsed))
    }

    /// Bits of [`tells`].
    #[inline(always)]
    pub(super) const fn bits(self) -> u64 {
        self.0 & tells::ALL
    }

    #[inline(always)]
    const fn once(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// All that an offset of TCP payload has: headers are at most 512 bytes and 60.
const PAYLOAD_MASK: usize = 0x3ff;

/// A packet that tells something.
#[inline(always)]
pub(super) fn process<P: Packet, E: Env>(packet: &P, env: &E, parsed: &Parsed) {
    let told = Told::of(env, parsed);
    let key = &parsed.key;
    if told.bits() & tells::OF_PENDING != 0 {
        of_pending(env, parsed, key, told.bits());
    } else {
        of_established(packet, env, parsed, key, told);
    }
}

/// What is told of a pending flow.
#[inline(always)]
fn of_pending<E: Env>(env: &E, parsed: &Parsed, key: &KeptKey, told: u64) {
    let Some(cell) = env.flow(Table::Pending, key) else {
        return;
    };
    let Some(entry) = Entry::load(&cell, Table::Pending, key.tag.get()) else {
        return;
    };
    let judged = evidence::judged(
        env,
        &key.key.get(),
        parsed.network.protocol,
        &entry,
        entry.once,
    );
    if told & tells::ACCEPTS != 0 {
        if entry.syn_us != 0 {
            let us = turns::since(env.now_us(), entry.syn_us);
            env.count_time(&entry, Kind::Handshake, us);
            if let Some(judged) = &judged {
                judged.first(env, Sample::Handshake, us);
            }
        }
    } else if let Some(judged) = &judged {
        if told & tells::REFUSES != 0 {
            judged.bad(env, None);
        } else {
            judged.unanswered(env, parsed, &entry);
        }
    }
}

/// What is told of an established flow.
#[inline(always)]
fn of_established<P: Packet, E: Env>(
    packet: &P,
    env: &E,
    parsed: &Parsed,
    key: &KeptKey,
    told: Told,
) {
    let (told, once) = (told.bits(), told.once());
    let Some(cell) = env.flow(Table::Established, key) else {
        return;
    };
    let Some(entry) = Entry::load(&cell, Table::Established, key.tag.get()) else {
        return;
    };
    let mut bad = told & tells::RESETS != 0;
    // One more than the microseconds of a turn that ended, 0 without: a number on every path, since
    // kernels refuse to read what only some paths have set.
    let mut turn = 0;
    if told & tells::ASKS != 0 {
        let segment = &parsed.transport.segment;
        let first = first_byte(packet, parsed);
        let now_us = env.now_us();
        let asked = Asked::load(&cell).after(segment.seq, segment.payload, first, now_us);
        if let Some(asked) = asked {
            asked.store(&cell);
        }
    }
    if told & tells::ANSWERS != 0 {
        let status = answers(packet, env, parsed, &cell, &entry, &mut turn);
        bad |= status;
    }
    if told & !tells::ASKS == 0 {
        return;
    }
    if told & (tells::COMPLETES | tells::ENTERS) != 0
        && entry.traits.is_asked() != 0
        && let Some(row) = service_row(env, entry.service as u32)
    {
        traits::learn(env, row, &key.key.get(), &entry);
    }
    let protocol = parsed.network.protocol;
    let Some(judged) = evidence::judged(env, &key.key.get(), protocol, &entry, once) else {
        return;
    };
    if told & (tells::COMPLETES | tells::ENTERS) != 0 {
        judged.established(env, &cell);
    }
    if let Some(us) = black_box(turn).checked_sub(1) {
        let us = us as u32;
        judged.first(env, Sample::Turn, us);
        judged.turn(env, us);
    }
    if bad {
        judged.bad(env, Some(&cell));
    }
}

/// Payload of a backend that ends a turn, unless it only announces an answer. Says how long a turn
/// took that was not of TLS, in microseconds and one more, and whether the answer is that of a flow
/// gone bad.
#[inline(always)]
fn answers<P: Packet, E: Env>(
    packet: &P,
    env: &E,
    parsed: &Parsed,
    cell: &E::Cell,
    entry: &Entry,
    turn: &mut u64,
) -> bool {
    let segment = &parsed.transport.segment;
    let now_us = env.now_us();
    let (asked, answered) = (Asked::load(cell), Answered::load(cell));
    let is_http = !asked.tls
        && !answered.has_switched()
        && service_row(env, entry.service as u32)
            .is_some_and(|row| row.options & options::HTTP1 != 0);
    let status = if is_http {
        status(packet, parsed)
    } else {
        Status::Unasked
    };
    let interim = matches!(status, Status::Interim);
    let (answered, sample) = answered.after(&asked, segment.seq, segment.payload, interim, now_us);
    let switches = matches!(status, Status::Switches);
    answered.switched(switches).store(cell);
    if let Some((kind, us)) = sample {
        env.count_time(entry, kind, us);
        *turn = matches!(kind, Kind::Turn) as u64 * (us as u64 + 1);
    }
    match status {
        Status::Class(counter) => {
            env.count(entry.backend, counter);
            matches!(counter, Counter::Http5xx)
        }
        Status::Switches => {
            env.count(entry.backend, Counter::HttpOther);
            false
        }
        Status::Unasked | Status::Interim => false,
    }
}

/// What an answer says of itself.
enum Status {
    /// Nobody asked.
    Unasked,
    /// HTTP's 1xx: the answer is yet to come.
    Interim,
    /// HTTP's 101, which is an answer: what follows is another protocol.
    Switches,
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
        b'1' if low(h[5]) == b'0' && high(h[5]) == b'1' => Status::Switches,
        b'1' => Status::Interim,
        b'2' => Status::Class(Counter::Http2xx),
        b'3' => Status::Class(Counter::Http3xx),
        b'4' => Status::Class(Counter::Http4xx),
        b'5' => Status::Class(Counter::Http5xx),
        _ => other,
    }
}
