//! Owns what the two ends of a completed TCP flow have said to each other: its turns, as DESIGN section 4
//! states them under "What is measured". Time is seconds.

use super::wire::Ports;

/// The first byte of a TLS record that begins a handshake, of one that warns, and of one with data of an
/// application (RFC 8446, section 5.1).
const TLS: [u8; 3] = [0x16, 0x15, 0x17];
/// An alert of TLS 1.3 with all that protects it, bytes.
const TLS_ALERT: usize = 24;
/// DESIGN: the first two turns of such a flow are no turns.
const TLS_TURNS: u32 = 2;

/// What an answer says of itself (RFC 9112, section 4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    /// Nobody reads it.
    Unread,
    /// 1xx: the answer is yet to come.
    Interim,
    /// 101: what follows is no HTTP.
    Switching,
    /// 2 to 5 for 2xx to 5xx.
    Class(u8),
    /// It says nothing that can be read.
    Other,
}

/// How far both have spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turns {
    /// The number behind the client's payload.
    pub(super) client_next: u32,
    /// The number behind the backend's.
    pub(super) backend_next: u32,
    /// When the client last said something new.
    asked_s: Option<u64>,
    is_tls: bool,
    /// What `client_next` was when the backend last answered.
    answered_to: u32,
    ended: u32,
    has_switched: bool,
    /// The backend has sent payload.
    pub(super) has_spoken: bool,
}

/// Whether a segment has payload behind `next`.
fn is_new(segment: &Ports, next: u32) -> bool {
    // RFC 9293, section 3.4: numbers go round.
    end(segment).wrapping_sub(next).cast_signed() > 0
}

fn end(segment: &Ports) -> u32 {
    segment.seq.wrapping_add(segment.payload as u32)
}

impl Turns {
    pub(super) fn new(client_seq: u32, server_seq: u32) -> Self {
        let client_next = client_seq.wrapping_add(1);
        Self {
            client_next,
            backend_next: server_seq.wrapping_add(1),
            answered_to: client_next,
            ..Self::default()
        }
    }

    /// Payload of the client: a question if it says something new, and not TLS's farewell.
    pub(super) fn ask(&mut self, segment: &Ports, first: Option<u8>, now_s: u64) {
        let is_alert = first == Some(TLS[1]);
        let is_dressed = first == Some(TLS[2]) && segment.payload == TLS_ALERT;
        let is_farewell = self.is_tls && (is_alert || is_dressed);
        if !is_new(segment, self.client_next) || is_farewell {
            return;
        }
        if self.asked_s.is_none() {
            self.is_tls = first == Some(TLS[0]);
        }
        self.client_next = end(segment);
        self.asked_s = Some(now_s);
    }

    /// Payload of the backend: whether it ends a turn. If not, it is noted how far it has spoken,
    /// whatever becomes of the packet.
    pub(super) fn speak(&mut self, segment: &Ports) -> bool {
        if !is_new(segment, self.backend_next) {
            return false;
        }
        let is_answer = self.client_next != self.answered_to;
        if !is_answer {
            self.spoken(segment);
        }
        is_answer
    }

    fn spoken(&mut self, segment: &Ports) {
        self.backend_next = end(segment);
        self.has_spoken = true;
    }

    /// Whether what answers say of themselves is read on this flow, where its service says so.
    pub(super) fn is_read(&self) -> bool {
        !self.is_tls && !self.has_switched
    }

    /// Payload of the backend that ends a turn has been sent on. How long the turn took, in seconds,
    /// unless it may be the work of TLS, or the answer is yet to come.
    pub(super) fn end(&mut self, segment: &Ports, status: Status, now_s: u64) -> Option<u64> {
        self.spoken(segment);
        if status == Status::Interim {
            return None;
        }
        self.has_switched |= status == Status::Switching;
        self.answered_to = self.client_next;
        self.ended += 1;
        let is_setup = self.is_tls && self.ended <= TLS_TURNS;
        let asked_s = self.asked_s.unwrap_or(now_s);
        (!is_setup).then(|| now_s - asked_s)
    }
}

/// What the payload of an answer says of itself.
pub(super) fn status(payload: &[u8]) -> Status {
    let Some(line) = payload.get(..12) else {
        return Status::Other;
    };
    let digits = &line[9..];
    // Of the version the first number alone is looked at.
    if &line[..7] != b"HTTP/1." || line[8] != b' ' || !digits.iter().all(u8::is_ascii_digit) {
        return Status::Other;
    }
    match digits {
        b"101" => Status::Switching,
        [b'1', ..] => Status::Interim,
        [class @ b'2'..=b'5', ..] => Status::Class(class - b'0'),
        _ => Status::Other,
    }
}
