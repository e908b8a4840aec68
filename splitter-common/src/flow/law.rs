//! Owns the flow law: what a packet does to the entry of its flow. Pure functions from a segment,
//! an entry and the time to a step; look-ups and writes are the engine's.
//!
//! Sources: RFC 9293 (states), RFC 5961 (blind resets exist, so RST only marks), RFC 6056.

use super::entry::{Entry, Table, state};
use crate::{
    clock::Jiffies32,
    packet::{
        Segment,
        tcp_flags::{ACK, FIN, RST, SYN},
    },
};

/// An entry is refreshed at most once in so many jiffies (0.1 s at 1,000 Hz, 1.3 s at 100 Hz):
/// a pure ACK writes nothing that needs no writing.
pub const REFRESH_JIFFIES: u32 = 128;
/// Life after a RST, seconds.
pub const AFTER_RST_S: u32 = 10;
/// Life after the last packet once a FIN was seen, seconds.
pub const AFTER_FIN_S: u32 = 240;
/// Life of an answered UDP flow after its last packet, seconds (RFC 4787, REQ-5: two minutes).
pub const UDP_ESTABLISHED_S: u32 = 120;
/// Life of an unanswered UDP flow after its last packet, seconds.
pub const UDP_PENDING_S: u32 = 30;

/// Life of a UDP flow after its last packet, seconds.
#[inline(always)]
pub const fn udp_life_s(table: Table) -> u32 {
    match table {
        Table::Established => UDP_ESTABLISHED_S,
        Table::Pending => UDP_PENDING_S,
    }
}

/// The time, and how to read it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time.
    pub jiffies: Jiffies32,
    /// Jiffies per second.
    pub hz: u32,
}

impl Now {
    #[inline(always)]
    fn older(self, since: Jiffies32, seconds: u32) -> bool {
        self.jiffies.since(since) > seconds.saturating_mul(self.hz)
    }
}

/// What a client's packet does to an established entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Established {
    /// Forward to its backend; the entry as it stands after, and whether that must be written.
    Use {
        /// The entry after the packet.
        entry: Entry,
        /// Write it.
        write: bool,
    },
    /// A SYN on a live flow: forward to its backend, and open a pending entry beside it.
    Beside(Entry),
    /// The life of the flow is over, or a SYN begins a new one on it: as if there were none.
    Miss,
}

/// What a client's packet does to a pending entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pending {
    /// Forward to its backend; write the entry.
    Use(Entry),
    /// The ACK that completes the handshake: the entry goes into the established table.
    Complete(Entry),
    /// As if there were none.
    Miss,
}

/// What a packet without usable entry becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// A new flow; remembered in pending.
    New,
    /// Forwarded by decision; remembered in pending as adopted.
    Adopt,
    /// Forwarded by decision, not remembered: a RST ends what nobody knows.
    AdoptOnce,
}

/// What a backend's packet does to the entry of its flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The entry after the packet.
    pub entry: Entry,
    /// Write it.
    pub write: bool,
    /// Move it to the established table.
    pub promote: bool,
    /// This is the first SYN-ACK.
    pub answered: bool,
    /// The server's data completed the handshake before the client's ACK was seen.
    pub completed: bool,
    /// This is the first RST.
    pub reset: bool,
}

#[inline(always)]
const fn has(segment: &Segment, flag: u8) -> bool {
    segment.flags & flag != 0
}

#[inline(always)]
pub(crate) const fn is_bare_syn(segment: &Segment) -> bool {
    segment.flags & (SYN | ACK | RST) == SYN
}

/// Whether the entry's life is over for its client. A backend's own connection never was one.
#[inline(always)]
pub fn is_over(entry: &Entry, now: Now) -> bool {
    if entry.state & state::OWN != 0 {
        true
    } else if entry.state & state::RST != 0 {
        now.older(entry.seen, AFTER_RST_S)
    } else {
        entry.state & state::FIN != 0 && now.older(entry.seen, AFTER_FIN_S)
    }
}

/// The marks of one end.
#[derive(Clone, Copy)]
struct End {
    fin: u16,
    rst: u16,
}

const CLIENT: End = End {
    fin: state::FIN_CLIENT,
    rst: state::RST_CLIENT,
};
const SERVER: End = End {
    fin: state::FIN_SERVER,
    rst: state::RST_SERVER,
};

/// Marks and refreshes an established entry for a segment of one end.
#[inline(always)]
fn touch(mut entry: Entry, segment: &Segment, end: End, now: Now) -> (Entry, bool) {
    let before = entry.state;
    if has(segment, RST) {
        entry.state |= end.rst;
    } else {
        // A blind RST must not end a flow that goes on (RFC 5961, section 3): who has reset it
        // sends nothing but RST. What the other end had under way says nothing.
        entry.state &= !end.rst;
    }
    if has(segment, FIN) {
        entry.state |= end.fin;
    }
    let due = now.jiffies.since(entry.seen) >= REFRESH_JIFFIES;
    let write = entry.state != before || due && entry.state & state::RST == 0;
    if write {
        entry.seen = now.jiffies;
    }
    (entry, write)
}

/// A client's TCP segment on an established entry.
#[inline(always)]
pub fn established(entry: Entry, segment: &Segment, now: Now) -> Established {
    if is_over(&entry, now) {
        return Established::Miss;
    }
    if is_bare_syn(segment) {
        let ends = state::RST | state::FIN | state::CUT;
        if entry.state & ends != 0 {
            return Established::Miss;
        }
        return Established::Beside(entry);
    }
    let (entry, write) = touch(entry, segment, CLIENT, now);
    Established::Use { entry, write }
}

/// A client's TCP segment on a pending entry.
#[inline(always)]
pub fn pending(mut entry: Entry, segment: &Segment, now: Now) -> Pending {
    if is_over(&entry, now) {
        return Pending::Miss;
    }
    if is_bare_syn(segment) {
        let again =
            entry.client_seq == segment.seq && entry.state & (state::ADOPTED | state::RST) == 0;
        if !again {
            return Pending::Miss;
        }
    } else if has(segment, RST) {
        entry.state |= state::RST_CLIENT;
    } else if has(segment, ACK)
        && entry.state & state::ANSWERED != 0
        && (entry.state & state::RST == 0 || segment.payload > 0)
        && segment.ack == entry.server_seq.wrapping_add(1)
    {
        entry.seen = now.jiffies;
        // As on an established flow: who goes on speaking did not reset it.
        entry.state &= !state::RST_CLIENT;
        if has(segment, FIN) {
            entry.state |= state::FIN_CLIENT;
        }
        return Pending::Complete(entry);
    }
    entry.seen = now.jiffies;
    Pending::Use(entry)
}

/// A client's TCP segment without usable entry.
#[inline(always)]
pub const fn unknown(segment: &Segment) -> Unknown {
    if is_bare_syn(segment) {
        Unknown::New
    } else if has(segment, RST) {
        Unknown::AdoptOnce
    } else {
        Unknown::Adopt
    }
}

/// A backend's TCP segment on the established entry of its flow.
#[inline(always)]
pub fn reply_established(entry: Entry, segment: &Segment, now: Now) -> Reply {
    let known_reset = entry.state & state::RST_SERVER != 0;
    let (entry, write) = touch(entry, segment, SERVER, now);
    let reset = has(segment, RST) && !known_reset;
    Reply {
        entry,
        write,
        promote: false,
        answered: false,
        completed: false,
        reset,
    }
}

/// A backend's TCP segment on the pending entry of its flow.
#[inline(always)]
pub fn reply_pending(mut entry: Entry, segment: &Segment, now: Now) -> Reply {
    let mut reply = Reply {
        entry,
        write: true,
        promote: false,
        answered: false,
        completed: false,
        reset: false,
    };
    if has(segment, RST) {
        reply.reset = entry.state & state::RST_SERVER == 0;
        entry.state |= state::RST_SERVER;
    } else if has(segment, SYN) && has(segment, ACK) && entry.state & state::ADOPTED == 0 {
        reply.answered = entry.state & state::ANSWERED == 0;
        entry.state |= state::ANSWERED;
        entry.server_seq = segment.seq;
    } else if entry.state & state::ADOPTED != 0
        || entry.state & state::ANSWERED != 0 && segment.payload > 0
    {
        // Whose beginning was not seen is taken up by any answer, and never judged. A server sends
        // data only to a client that it knows: by the ACK that completed the
        // handshake, or by a Fast Open cookie before it (RFC 7413, section 3).
        reply.promote = true;
        reply.completed = entry.state & state::ADOPTED == 0;
        entry.state &= !state::RST_SERVER;
        if has(segment, FIN) {
            entry.state |= state::FIN_SERVER;
        }
    }
    entry.seen = now.jiffies;
    reply.entry = entry;
    reply
}

/// A client's datagram on an entry; `None` when it has been idle too long.
#[inline(always)]
pub fn datagram(mut entry: Entry, life_s: u32, now: Now) -> Option<(Entry, bool)> {
    if now.older(entry.seen, life_s) {
        return None;
    }
    let write = now.jiffies.since(entry.seen) >= REFRESH_JIFFIES;
    if write {
        entry.seen = now.jiffies;
    }
    Some((entry, write))
}

#[cfg(test)]
#[path = "law_tests.rs"]
mod tests;
