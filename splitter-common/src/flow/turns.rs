//! Owns *turns*: how long a backend takes to answer, read from the packets of both ends without a look
//! at what they say. A turn begins with payload of the client that carries its sequence number on,
//! at the last such segment before the answer, and ends with the first payload that carries that of
//! the backend on. Keep-alive probes and retransmissions carry nothing on; what a backend says unasked
//! ends nothing.
//!
//! Two words of an established entry hold it, and each end's packets write one of them: [`Asked`] by
//! the client's, [`Answered`] by the backend's. A turn is open while the one does not say what the other
//! says. Times are microseconds of CLOCK_MONOTONIC modulo 2^31: a turn of more than half an hour
//! is taken for a shorter one.

use super::entry::Cell;

/// The word of an established entry that holds [`Answered`].
const ANSWERED: usize = 7;
/// The one that holds [`Asked`]; while the entry is pending, the time of the SYN and what remembers its client.
const ASKED: usize = 8;
/// What of a time is kept.
const TIME: u32 = 0x7fff_ffff;
/// What of a sequence number is compared: an unanswered upload of exactly 512 MiB looks like none.
const SEQ: u32 = 0x1fff_ffff;
/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// That of one that warns, or ends the connection.
const TLS_ALERT: u8 = 0x15;
/// That of one with what the application says; TLS 1.3 dresses its alerts so too.
const TLS_DATA: u8 = 0x17;
/// All of a segment with an alert of TLS 1.3: a header of 5 bytes, the alert's 2, its kind and 16 of
/// authentication (RFC 8446, sections 5.2 and 6). What an application asks is longer than 2 bytes.
const TLS_ALERT_LENGTH: u32 = 24;
/// Turns of a TLS flow that may be the work of TLS alone: the server's first flight, and in TLS 1.3 the
/// tickets that it sends before the application has read a byte.
const TLS_TURNS: u32 = 2;
/// What [`Answered::turns`] says from then on, once the flow has left HTTP.
const SWITCHED: u32 = 3;

/// What a time is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// From the first SYN to the backend's SYN-ACK.
    Handshake = 0,
    /// From the client's last payload to the backend's first.
    Turn = 1,
    /// The same, of the first two turns of a flow that begins like TLS.
    TlsSetup = 2,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 3;
}

/// How far the client has spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The sequence number behind its payload.
    pub high: u32,
    /// When it last said something new, microseconds modulo 2^31; 0: it has not.
    pub at_us: u32,
    /// Its first byte was that of a TLS handshake.
    pub tls: bool,
}

/// How far the backend has spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The sequence number behind its payload.
    pub high: u32,
    /// What was asked when it last answered, modulo 2^29.
    pub to: u32,
    /// Turns that have ended: 0, 1, or 2 for more; 3 once the flow has left HTTP.
    pub turns: u32,
    /// It has sent payload.
    pub spoke: bool,
}

/// What payload of the backend does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech {
    /// Nothing new.
    Again,
    /// It goes on speaking.
    GoesOn(Answered),
    /// It ends a turn.
    Ends,
}

/// A time as it is kept; never 0.
#[inline(always)]
pub const fn us(now_ns: u64) -> u32 {
    let us = (now_ns / 1_000) as u32 & TIME;
    if us == 0 { 1 } else { us }
}

/// Microseconds between two times.
#[inline(always)]
pub const fn since(now_us: u32, then_us: u32) -> u32 {
    now_us.wrapping_sub(then_us) & TIME
}

/// The words of a flow that begins, by the sequence numbers of both SYNs.
#[inline(always)]
pub const fn begin(client_seq: u32, server_seq: u32) -> [u64; 2] {
    let asked = Asked {
        high: client_seq.wrapping_add(1),
        at_us: 0,
        tls: false,
    };
    let answered = Answered {
        high: server_seq.wrapping_add(1),
        to: asked.high & SEQ,
        turns: 0,
        spoke: false,
    };
    [answered.pack(), asked.pack()]
}

/// Whether payload carries on what ends at `high`.
#[inline(always)]
const fn carries_on(high: u32, seq: u32, payload: u32) -> bool {
    seq.wrapping_add(payload).wrapping_sub(high) as i32 > 0
}

impl Asked {
    /// From a live element.
    #[inline(always)]
    pub fn load<C: Cell>(cell: &C) -> Self {
        let word = cell.word(ASKED);
        Self {
            high: word as u32,
            at_us: (word >> 32) as u32 & TIME,
            tls: word >> 63 != 0,
        }
    }

    /// To a live element.
    #[inline(always)]
    pub fn store<C: Cell>(&self, cell: &C) {
        cell.set_word(ASKED, self.pack());
    }

    #[inline(always)]
    const fn pack(&self) -> u64 {
        self.high as u64 | ((self.at_us & TIME) as u64) << 32 | (self.tls as u64) << 63
    }

    /// Whether payload of the client is TLS's own word that it ends, which asks for nothing: the
    /// server's, which follows it, is no answer.
    #[inline(always)]
    const fn is_farewell(&self, payload: u32, first: Option<u8>) -> bool {
        let Some(first) = first else {
            return false;
        };
        let dressed = first == TLS_DATA && payload == TLS_ALERT_LENGTH;
        self.tls && (first == TLS_ALERT || dressed)
    }

    /// After payload of the client; `None` when it asks nothing new. `first` is its first byte, where
    /// it can be read.
    #[inline(always)]
    pub fn after(mut self, seq: u32, payload: u32, first: Option<u8>, now_us: u32) -> Option<Self> {
        if !carries_on(self.high, seq, payload) || self.is_farewell(payload, first) {
            return None;
        }
        if self.at_us == 0 {
            self.tls = first == Some(TLS_HANDSHAKE);
        }
        self.high = seq.wrapping_add(payload);
        self.at_us = now_us;
        Some(self)
    }
}

impl Answered {
    /// From a live element.
    #[inline(always)]
    pub fn load<C: Cell>(cell: &C) -> Self {
        let word = cell.word(ANSWERED);
        let rest = (word >> 32) as u32;
        Self {
            high: word as u32,
            to: rest & SEQ,
            turns: (rest >> 29) & 3,
            spoke: rest >> 31 != 0,
        }
    }

    /// To a live element.
    #[inline(always)]
    pub fn store<C: Cell>(&self, cell: &C) {
        cell.set_word(ANSWERED, self.pack());
    }

    #[inline(always)]
    const fn pack(&self) -> u64 {
        let rest = self.to & SEQ | (self.turns & 3) << 29 | (self.spoke as u32) << 31;
        self.high as u64 | (rest as u64) << 32
    }

    /// What payload of the backend does, when the client has asked so much.
    #[inline(always)]
    pub fn says(mut self, asked: &Asked, seq: u32, payload: u32) -> Speech {
        if !carries_on(self.high, seq, payload) {
            return Speech::Again;
        }
        if asked.high & SEQ != self.to {
            return Speech::Ends;
        }
        self.high = seq.wrapping_add(payload);
        self.spoke = true;
        Speech::GoesOn(self)
    }

    /// Whether the flow has left HTTP, by a 101 of the backend (RFC 9110, section 15.2.2): what
    /// is said from then on has no status.
    #[inline(always)]
    pub const fn has_switched(&self) -> bool {
        self.turns == SWITCHED
    }

    /// The same flow, having left HTTP if `switches`.
    #[inline(always)]
    #[must_use]
    pub const fn switched(mut self, switches: bool) -> Self {
        if switches {
            self.turns = SWITCHED;
        }
        self
    }

    /// After payload that ended a turn, with the time that it took; or left it open, as HTTP's 1xx
    /// does.
    #[inline(always)]
    pub fn after(
        mut self,
        asked: &Asked,
        seq: u32,
        payload: u32,
        leaves_open: bool,
        now_us: u32,
    ) -> (Self, Option<(Kind, u32)>) {
        self.high = seq.wrapping_add(payload);
        self.spoke = true;
        if leaves_open {
            return (self, None);
        }
        let kind = if asked.tls && self.turns < TLS_TURNS {
            Kind::TlsSetup
        } else {
            Kind::Turn
        };
        self.to = asked.high & SEQ;
        if self.turns < TLS_TURNS {
            self.turns += 1;
        }
        (self, Some((kind, since(now_us, asked.at_us))))
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
