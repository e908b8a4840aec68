//! Owns fragments: all of a datagram go where its first one went, which alone has ports.

use std::{collections::BTreeMap, net::IpAddr};

use splitter_common::reason::Reason;

use super::{
    Model, Outcome, drop,
    edit::{End, Rewrite},
    wire::Seen,
};

/// README: the fragments of a datagram follow the first for so long, seconds.
const LIFE_S: u64 = 60;

/// What the fragments of one datagram share: source, destination, identification, protocol.
type Key = (IpAddr, IpAddr, u32, u8);

/// Where the first fragment went.
#[derive(Clone, Copy, Debug)]
struct Gone {
    to: Rewrite,
    server: Option<u64>,
    seen_s: u64,
}

/// Datagrams whose first fragment was seen.
#[derive(Default)]
pub(super) struct Fragments(BTreeMap<Key, Gone>);

fn key(seen: &Seen) -> Key {
    (seen.source, seen.destination, seen.id, seen.protocol)
}

impl Fragments {
    /// Remembers where a first fragment goes.
    pub(super) fn remember(&mut self, seen: &Seen, to: Rewrite, server: Option<u64>, now_s: u64) {
        let seen_s = now_s;
        self.0.insert(key(seen), Gone { to, server, seen_s });
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Model {
    /// A fragment behind the first.
    pub(super) fn later(&mut self, frame: &[u8], seen: &Seen) -> Outcome {
        let gone = self.fragments.0.get(&key(seen)).copied();
        let young = |gone: &Gone| self.flows.now_s - gone.seen_s <= LIFE_S;
        let Some(Gone { to, server, .. }) = gone.filter(young) else {
            return self.without_ports(seen);
        };
        if seen.ttl <= 1 {
            return drop(Reason::TtlExpired);
        }
        let way = match to.end {
            End::Destination => (self.ways.to_server)(to.address),
            End::Source => (self.ways.to_client)(seen.destination),
        };
        self.forward(frame, seen, to, way, Reason::FragmentFollowed, server)
    }
}
