//! Owns one flow: what is remembered of it, and what a segment does to it. Time is seconds.

use super::{Count, evidence::Mark, measured::Told, turns::Turns, wire::Ports};

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// DESIGN: 10 s after RST.
const AFTER_RST_S: u64 = 10;
/// DESIGN: 240 s after the last packet once a FIN was seen.
const AFTER_FIN_S: u64 = 240;
/// What one end of a TCP flow has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Marks {
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// A flow that is remembered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Flow {
    pub(super) server: u64,
    /// When a packet last prolonged its life, seconds.
    pub(super) seen_s: u64,
    /// The SYN's sequence number.
    pub(super) client_seq: u32,
    /// The SYN-ACK's sequence number.
    pub(super) server_seq: Option<u32>,
    /// Begun for a packet without SYN.
    pub(super) is_adopted: bool,
    /// The newest commit by which it was decided, or found to be decided the same way.
    pub(super) commit: u64,
    /// It was ended here.
    pub(super) is_cut: bool,
    pub(super) client: Marks,
    pub(super) backend: Marks,
    /// When it began, seconds.
    pub(super) began_s: u64,
    /// When its SYN came, where that is measured from.
    pub(super) syn_s: Option<u64>,
    /// What the ends have said, once it is established.
    pub(super) turns: Turns,
    /// Where its client is counted, if it is.
    pub(super) mark: Option<Mark>,
    /// It is the first of its client, in the release and in the slice.
    pub(super) is_first: [bool; 2],
}

impl Flow {
    pub(super) fn new(server: u64, segment: &Ports, commit: u64, now_s: u64) -> Self {
        Self {
            server,
            seen_s: now_s,
            client_seq: segment.seq,
            server_seq: None,
            is_adopted: false,
            commit,
            is_cut: false,
            client: Marks::default(),
            backend: Marks::default(),
            began_s: now_s,
            syn_s: Some(now_s),
            turns: Turns::default(),
            mark: None,
            is_first: [false; 2],
        }
    }

    /// As it is once it is established.
    pub(super) fn established(self) -> Self {
        let server_seq = self.server_seq.unwrap_or_default();
        Self {
            turns: Turns::new(self.client_seq, server_seq),
            ..self
        }
    }

    pub(super) fn is_reset(&self) -> bool {
        self.client.rst || self.backend.rst
    }

    pub(super) fn has_fin(&self) -> bool {
        self.client.fin || self.backend.fin
    }

    /// Idle time alone never ends a TCP flow.
    pub(super) fn is_over(&self, now_s: u64) -> bool {
        let idle_s = now_s - self.seen_s;
        self.is_reset() && idle_s > AFTER_RST_S
            || !self.is_reset() && self.has_fin() && idle_s > AFTER_FIN_S
    }

    /// A segment of one end on a completed flow. RST and FIN only mark; later data of the same end
    /// clears its RST (RFC 5961). While a RST stands, nothing prolongs the life but a new mark.
    pub(super) fn mark(&mut self, is_client: bool, flags: u8, now_s: u64) {
        let before = *self;
        let end = if is_client {
            &mut self.client
        } else {
            &mut self.backend
        };
        end.rst = flags & RST != 0;
        end.fin |= flags & FIN != 0;
        let news = (self.client, self.backend) != (before.client, before.backend);
        if news || !self.is_reset() {
            self.seen_s = now_s;
        }
    }

    /// Whether a client's segment is the ACK that completes this handshake: of the number that
    /// the server sent, on a handshake that nobody reset, unless it carries data (a reset client
    /// sends none).
    pub(super) fn is_completed_by(&self, segment: &Ports) -> bool {
        segment.flags & ACK != 0
            && segment.flags & RST == 0
            && self
                .server_seq
                .is_some_and(|seq| segment.ack == seq.wrapping_add(1))
            && (!self.is_reset() || segment.payload > 0)
    }
}

/// Whether a segment opens a connection: SYN alone.
pub(super) fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST) == SYN
}

impl Flow {
    /// A backend's segment on a pending flow; what it tells, above all whether that confirms it. An adopted flow is
    /// confirmed by anything but RST; a handshake by data, which a server sends only to a client
    /// that it knows (RFC 7413, section 3).
    pub(super) fn answer(&mut self, segment: &Ports, counts: &mut Count) -> Told {
        let mut told = Told::default();
        let Ports {
            flags,
            seq,
            payload,
            ..
        } = *segment;
        if flags & RST != 0 {
            told.refuses = !self.backend.rst;
            counts.resets_by_server += u64::from(told.refuses);
            counts.resets_by_server_early += u64::from(told.refuses);
            self.backend.rst = true;
            return told;
        }
        if !self.is_adopted && flags & (SYN | ACK) == SYN | ACK {
            told.accepts = self.server_seq.is_none();
            counts.syns_answered += u64::from(told.accepts);
            self.server_seq = Some(seq);
            return told;
        }
        if !self.is_adopted && (self.server_seq.is_none() || payload == 0) {
            return told;
        }
        counts.handshakes += u64::from(!self.is_adopted);
        self.backend.rst = false;
        self.backend.fin |= flags & FIN != 0;
        told.enters = true;
        told
    }
}
