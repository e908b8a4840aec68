//! Owns the flow law, as DESIGN section 4 states it under "Flows", over two tables of plain values.
//! Time is a number of seconds that the test sets.
//!
//! A flow whose VIP or server is gone is no flow; [`Flows::forget`] is told at every commit.

use std::collections::BTreeMap;

use super::{
    Client, Counts, TCP,
    evidence::Mark,
    flow::{ACK, FIN, Flow, RST, SYN, opens},
    measured::Told,
    wire::Ports,
};

/// The spec rows: thirty seconds unanswered, two minutes answered.
const UDP_UNANSWERED_S: u64 = 30;
const UDP_ANSWERED_S: u64 = 120;

/// Whose packets they are: client, the number of the VIP, the dialled port.
pub(super) type Key = (Client, u64, u16);

/// What a flow says to a client's packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    /// It is an established flow's.
    Established(u64),
    /// It is a pending flow's.
    Pending(u64),
    /// It completes a handshake.
    Handshake(u64),
    /// A SYN on a live flow: a handshake begins beside it, with its backend.
    Beside(u64),
}

/// What a packet that is no flow's begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Begun {
    New,
    Adopted,
}

/// A reply as its flow sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reply {
    /// It is the flow's.
    Mine,
    /// The client's flow is with another backend.
    OfOther,
    /// It is a connection that a backend opened itself.
    Own,
    /// There is no flow.
    NoFlow,
}

/// Whether a packet without flow begins a new one.
pub(super) fn begins(segment: &Ports, protocol: u8) -> bool {
    protocol != TCP || opens(segment.flags)
}

/// All flows.
#[derive(Default)]
pub(super) struct Flows {
    pending: BTreeMap<Key, Flow>,
    established: BTreeMap<Key, Flow>,
    /// Connections that backends opened themselves, as if their partners were clients, with the
    /// server that did.
    own: BTreeMap<Key, u64>,
    pub(super) now_s: u64,
}

impl Flows {
    /// Drops the flows whose VIP or server is gone.
    pub(super) fn forget(&mut self, stands: impl Fn(u64, u64) -> bool) {
        for table in [&mut self.pending, &mut self.established] {
            table.retain(|(_, vip, _), flow| stands(*vip, flow.server));
        }
        self.own.retain(|(_, vip, _), server| stands(*vip, *server));
    }

    /// All, established last.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Flow)> {
        self.pending.iter().chain(&self.established)
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.established.len()
    }

    /// A client's packet; `None` when it is no flow's.
    pub(super) fn request(
        &mut self,
        key: Key,
        segment: &Ports,
        protocol: u8,
        counts: &mut Counts,
    ) -> Option<Known> {
        if protocol == TCP {
            self.segment(key, segment, counts)
        } else {
            self.datagram(key)
        }
    }

    /// DESIGN: a SYN on a pending entry with the same sequence number is a retransmission; on a
    /// live established entry it goes to that entry's backend and opens a pending entry beside it,
    /// and only the completing ACK replaces the old one; on a closing entry it decides anew.
    fn segment(&mut self, key: Key, segment: &Ports, counts: &mut Counts) -> Option<Known> {
        let now_s = self.now_s;
        let begins = opens(segment.flags);
        let is_closing = |flow: &Flow| flow.is_reset() || flow.has_fin() || flow.is_cut;
        let waiting = self
            .pending
            .get_mut(&key)
            .filter(|flow| !flow.is_over(now_s));
        let live = self
            .established
            .get_mut(&key)
            .filter(|flow| !flow.is_over(now_s));
        let live = live.filter(|flow| !(begins && is_closing(flow)));
        match (begins, waiting, live) {
            (true, Some(flow), _)
                if flow.client_seq == segment.seq && !flow.is_adopted && !flow.is_reset() =>
            {
                flow.seen_s = now_s;
                counts.of(flow.server).syn_retransmits += 1;
                Some(Known::Pending(flow.server))
            }
            (true, _, Some(flow)) => {
                let (server, commit) = (flow.server, flow.commit);
                let beside = Flow {
                    mark: flow.mark,
                    // Its first SYN is not taken for the time that a server takes.
                    syn_s: None,
                    ..Flow::new(server, segment, commit, now_s)
                };
                self.pending.insert(key, beside);
                let counts = counts.of(server);
                counts.new_flows += 1;
                counts.syns_begun += 1;
                Some(Known::Beside(server))
            }
            (true, _, None) => None,
            (false, Some(flow), _) if flow.is_completed_by(segment) => {
                let mut flow = *flow;
                flow.seen_s = now_s;
                flow.client.rst = false;
                flow.client.fin |= segment.flags & FIN != 0;
                self.pending.remove(&key);
                self.established.insert(key, flow.established());
                counts.of(flow.server).handshakes += 1;
                Some(Known::Handshake(flow.server))
            }
            (false, _, Some(flow)) => {
                let known = flow.client.rst;
                flow.mark(true, segment.flags, now_s);
                let is_news = u64::from(flow.client.rst && !known);
                let counts = counts.of(flow.server);
                counts.resets_by_client += is_news;
                counts.resets_by_client_early += is_news * u64::from(!flow.turns.has_spoken);
                Some(Known::Established(flow.server))
            }
            (false, Some(flow), None) => {
                if segment.flags & RST != 0 && !flow.client.rst {
                    flow.client.rst = true;
                    let counts = counts.of(flow.server);
                    counts.resets_by_client += 1;
                    counts.resets_by_client_early += 1;
                }
                flow.seen_s = now_s;
                Some(Known::Pending(flow.server))
            }
            (false, None, None) => None,
        }
    }

    /// DESIGN: UDP likewise, pending, and confirmed after the backend's answer. Idle time ends it.
    fn datagram(&mut self, key: Key) -> Option<Known> {
        let now_s = self.now_s;
        let (flow, life_s, is_answered) = match self.established.get_mut(&key) {
            Some(flow) => (flow, UDP_ANSWERED_S, true),
            None => (self.pending.get_mut(&key)?, UDP_UNANSWERED_S, false),
        };
        if now_s - flow.seen_s > life_s {
            return None;
        }
        flow.seen_s = now_s;
        Some(if is_answered {
            Known::Established(flow.server)
        } else {
            Known::Pending(flow.server)
        })
    }

    /// Remembers the flow of a packet that was decided about.
    ///
    /// DESIGN, "No usable entry": TCP without SYN is forwarded by decide() and remembered in
    /// pending as adopted. A RST is not remembered: it ends what nobody knows.
    pub(super) fn begin(
        &mut self,
        key: Key,
        server: u64,
        segment: &Ports,
        protocol: u8,
        (commit, mark): (u64, Option<Mark>),
        counts: &mut Counts,
    ) -> Begun {
        let is_new = begins(segment, protocol);
        if is_new || segment.flags & RST == 0 {
            let flow = Flow {
                is_adopted: !is_new,
                mark,
                ..Flow::new(server, segment, commit, self.now_s)
            };
            self.established.remove(&key);
            // Its partner dials the VIP by the same ports.
            self.own.remove(&key);
            self.pending.insert(key, flow);
        }
        let counts = counts.of(server);
        if is_new {
            counts.new_flows += 1;
            counts.syns_begun += u64::from(protocol == TCP);
            Begun::New
        } else {
            counts.adopted += 1;
            Begun::Adopted
        }
    }

    /// The flow that a client's packet has just been found to be of.
    pub(super) fn looked_at(&mut self, key: &Key, known: &Known) -> Option<&mut Flow> {
        match known {
            Known::Established(_) => self.established.get_mut(key),
            Known::Pending(_) => self.pending.get_mut(key),
            Known::Handshake(_) | Known::Beside(_) => None,
        }
    }

    /// Whether the flow of a backend's packet, which is its own, was ended here.
    pub(super) fn is_cut(&self, key: &Key, server: u64, segment: &Ports) -> bool {
        let found = self.of_reply(key, server, segment);
        found.is_some_and(|is_established| self.table(is_established)[key].is_cut)
    }

    /// Whose a backend's packet is. A life that is over is not asked for here: it ends when the
    /// client speaks.
    pub(super) fn owner(&self, key: &Key, server: u64, segment: &Ports) -> Reply {
        if self.own.contains_key(key) {
            return Reply::Own;
        }
        let found = self.of_reply(key, server, segment);
        match found.map(|is_established| self.table(is_established)[key].server == server) {
            Some(true) => Reply::Mine,
            Some(false) => Reply::OfOther,
            None => Reply::NoFlow,
        }
    }

    /// A backend's bare SYN: its own connection. It is remembered unless a live flow stands under
    /// the same ports; one that is over is none any more.
    pub(super) fn open_own(&mut self, key: Key, server: u64) {
        let is_live = |table: &BTreeMap<Key, Flow>| {
            let flow = table.get(&key);
            flow.is_some_and(|flow| !flow.is_over(self.now_s))
        };
        if !is_live(&self.established) && !is_live(&self.pending) {
            self.established.remove(&key);
            self.pending.remove(&key);
            self.own.insert(key, server);
        }
    }

    /// The server of a flow, however old.
    pub(super) fn server_of(&self, key: &Key) -> Option<u64> {
        let flow = self.established.get(key).or_else(|| self.pending.get(key));
        flow.map(|flow| flow.server)
    }

    fn table(&self, is_established: bool) -> &BTreeMap<Key, Flow> {
        if is_established {
            &self.established
        } else {
            &self.pending
        }
    }

    /// Which table has the flow of a backend's packet: the established one when it is this
    /// backend's, but the SYN-ACK of a handshake beside it is that handshake's.
    fn of_reply(&self, key: &Key, server: u64, segment: &Ports) -> Option<bool> {
        let waits = self.pending.contains_key(key);
        let answers = segment.flags & (SYN | ACK) == SYN | ACK;
        match self.established.get(key) {
            Some(flow) if flow.server == server => Some(!(answers && waits)),
            Some(_) => Some(!waits),
            None => waits.then_some(false),
        }
    }

    /// A backend's packet on the flow that [`Self::owner`] found to be its own.
    pub(super) fn reply(
        &mut self,
        key: Key,
        server: u64,
        segment: &Ports,
        protocol: u8,
        counts: &mut Counts,
    ) -> Told {
        let now_s = self.now_s;
        let counts = counts.of(server);
        let mut told = Told::default();
        if self.of_reply(&key, server, segment) == Some(true) {
            if let Some(flow) = self.established.get_mut(&key) {
                let known = flow.backend.rst;
                flow.mark(false, segment.flags, now_s);
                told.resets = flow.backend.rst && !known;
                let is_early = told.resets && !flow.turns.has_spoken;
                counts.resets_by_server += u64::from(told.resets);
                counts.resets_by_server_early += u64::from(is_early);
                if segment.payload > 0 && !flow.is_adopted {
                    told.answers = flow.turns.speak(segment);
                }
            }
            return told;
        }
        let Some(mut flow) = self.pending.get(&key).copied() else {
            return told;
        };
        flow.seen_s = now_s;
        if protocol == TCP {
            told = flow.answer(segment, counts);
        } else {
            told.enters = true;
        }
        if told.enters {
            self.pending.remove(&key);
            self.established.insert(key, flow.established());
        } else {
            self.pending.insert(key, flow);
        }
        told
    }

    pub(super) fn established_mut(&mut self, key: &Key) -> Option<&mut Flow> {
        self.established.get_mut(key)
    }

    pub(super) fn pending_mut(&mut self, key: &Key) -> Option<&mut Flow> {
        self.pending.get_mut(key)
    }
}
