//! Owns what the model measures of packets that are on their way: nothing is measured of one that is
//! dropped, answered here or cut.

use splitter_common::{evidence::Event, reason::Reason};

use super::{
    Model, Outcome, TCP,
    evidence::{Mark, Time, UNANSWERED_S},
    flow::opens,
    flows::{Key, Known},
    turns::{self, Status},
    wire::{L3, Ports, Seen},
};

/// What a backend's packet tells of its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// The first SYN-ACK.
    pub(super) accepts: bool,
    /// The flow is established by it.
    pub(super) enters: bool,
    /// The first RST, of an established flow.
    pub(super) resets: bool,
    /// The same, of a pending one.
    pub(super) refuses: bool,
    /// It ends a turn.
    pub(super) answers: bool,
}

/// The payload of a segment, and what lies behind the packet in its frame.
fn payload<'f>(frame: &'f [u8], seen: &Seen, ports: &Ports) -> &'f [u8] {
    let at = L3 + seen.length - ports.payload;
    frame.get(at..).unwrap_or_default()
}

/// Whether a packet went on, and not an answer to it.
fn is_sent(outcome: &Outcome) -> bool {
    outcome.leaving.is_some() && outcome.reason != Reason::TooBig
}

impl Model {
    /// A client's packet of a known flow.
    pub(super) fn heard(
        &mut self,
        frame: &[u8],
        seen: &Seen,
        ports: &Ports,
        key: &Key,
        known: Known,
        outcome: &Outcome,
    ) {
        if seen.protocol != TCP || !is_sent(outcome) {
            return;
        }
        let asks = match known {
            Known::Established(_) => true,
            Known::Handshake(_) => {
                self.established(key);
                true
            }
            Known::Pending(_) if opens(ports.flags) => {
                self.waits(key);
                false
            }
            Known::Pending(_) | Known::Beside(_) => false,
        };
        let now_s = self.flows.now_s;
        if let Some(flow) = self.flows.established_mut(key)
            && asks
            && ports.payload > 0
            && !flow.is_adopted
        {
            // Two bytes are read, or none.
            let payload = payload(frame, seen, ports);
            let first = payload.get(..2).map(|bytes| bytes[0]);
            flow.turns.ask(ports, first, now_s);
        }
    }

    /// A backend's packet of its flow.
    pub(super) fn said(
        &mut self,
        frame: &[u8],
        seen: &Seen,
        ports: &Ports,
        key: &Key,
        told: Told,
        outcome: &Outcome,
    ) {
        if !is_sent(outcome) {
            return;
        }
        let now_s = self.flows.now_s;
        if told.accepts
            && let Some(flow) = self.flows.pending_mut(key)
            && let (Some(mark), Some(syn_s)) = (flow.mark, flow.syn_s)
        {
            self.took(key, &mark, Time::Handshake, now_s - syn_s);
        }
        if told.refuses {
            self.refused(key);
        }
        if told.enters {
            self.established(key);
        }
        let is_bad = told.answers && self.answered(frame, seen, ports, key);
        if told.resets || is_bad {
            self.bad(key);
        }
    }

    /// The service of a flow, and the client's bit by its law in force.
    fn judged_by(&self, key: &Key) -> Option<(String, u32)> {
        let (client, vip, dialled) = key;
        self.site.once_bit(*vip, client, *dialled)
    }

    fn once(&mut self, key: &Key, mark: &Mark, event: Event) -> [bool; 2] {
        match self.judged_by(key) {
            Some((service, bit)) => self.evidence.once(&service, mark, event, bit),
            None => [false; 2],
        }
    }

    fn took(&mut self, key: &Key, mark: &Mark, time: Time, seconds: u64) {
        if let Some((service, bit)) = self.judged_by(key) {
            self.evidence.took(&service, mark, time, seconds, bit);
        }
    }

    /// A flow is established: it may be its client's first.
    fn established(&mut self, key: &Key) {
        let mark = self.flows.established_mut(key).and_then(|flow| flow.mark);
        if let Some(mark) = mark {
            let first = self.once(key, &mark, Event::Flow);
            if let Some(flow) = self.flows.established_mut(key) {
                for (is_first, now) in flow.is_first.iter_mut().zip(first) {
                    *is_first |= now;
                }
            }
        }
    }

    /// A SYN that came before: bad when it has waited for an answer for too long.
    fn waits(&mut self, key: &Key) {
        let now_s = self.flows.now_s;
        let waiting = self.flows.pending_mut(key);
        let is_bad = waiting
            .is_some_and(|flow| flow.server_seq.is_none() && now_s - flow.began_s >= UNANSWERED_S);
        if is_bad {
            self.refused(key);
        }
    }

    /// A pending flow went bad.
    fn refused(&mut self, key: &Key) {
        if let Some(mark) = self.flows.pending_mut(key).and_then(|flow| flow.mark) {
            self.once(key, &mark, Event::Bad);
            let first = self.once(key, &mark, Event::Flow);
            self.flow_bad(key, &mark, first);
        }
    }

    /// An established flow went bad: counted once for it, however often it does.
    fn bad(&mut self, key: &Key) {
        let Some(flow) = self.flows.established_mut(key) else {
            return;
        };
        if let Some(mark) = flow.mark {
            let is_counted = self.evidence_counts(key, &mark);
            self.once(key, &mark, Event::Bad);
            if is_counted && let Some(flow) = self.flows.established_mut(key) {
                let first = std::mem::take(&mut flow.is_first);
                self.flow_bad(key, &mark, first);
            }
        }
    }

    fn evidence_counts(&self, key: &Key, mark: &Mark) -> bool {
        let service = self.judged_by(key);
        service.is_some_and(|(service, _)| self.evidence.counts(&service, mark))
    }

    fn flow_bad(&mut self, key: &Key, mark: &Mark, first: [bool; 2]) {
        if let Some((service, _)) = self.judged_by(key) {
            self.evidence.flow_bad(&service, mark, first);
        }
    }

    /// Payload that ends a turn, or announces its end; whether the flow went bad by it.
    fn answered(&mut self, frame: &[u8], seen: &Seen, ports: &Ports, key: &Key) -> bool {
        let now_s = self.flows.now_s;
        let is_http = self.site.is_http(key.1);
        let Some(flow) = self.flows.established_mut(key) else {
            return false;
        };
        let status = if is_http && flow.turns.is_read() {
            let behind = payload(frame, seen, ports);
            turns::status(&behind[..ports.payload.min(behind.len())])
        } else {
            Status::Unread
        };
        let took_s = flow.turns.end(ports, status, now_s);
        let (mark, server) = (flow.mark, flow.server);
        let counts = self.counts.of(server);
        match status {
            Status::Unread | Status::Interim => {}
            Status::Switching | Status::Other => counts.http_other += 1,
            Status::Class(class) => counts.http[usize::from(class - 2)] += 1,
        }
        if let (Some(mark), Some(took_s)) = (mark, took_s) {
            self.took(key, &mark, Time::Turn, took_s);
        }
        status == Status::Class(5)
    }
}
