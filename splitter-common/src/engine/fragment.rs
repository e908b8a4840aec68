//! Owns fragments: all of a datagram go where its first one went.
//!
//! Only the first has ports. What came of it is remembered under what all share (RFC 791, RFC 8200
//! section 4.5); one that comes before it is dropped to a VIP, and the sender's own business else.

use super::{
    Directory, Env, Outcome, Parsed,
    send::{self, Decided, Forward},
};
use crate::{
    clock::Jiffies32,
    edit::{End, Rewrite},
    layout::{FragmentKey, FragmentRow},
    reason::Reason,
};

/// How long the fragments of a datagram may follow each other, seconds: receivers wait 30 to 60
/// for the last (RFC 8200, section 4.5).
const LIFE_S: u32 = 60;

#[inline(always)]
fn key(parsed: &Parsed) -> FragmentKey {
    let network = &parsed.network;
    FragmentKey {
        source: network.source,
        destination: network.destination,
        id: network.fragment_id,
        protocol: network.protocol as u32,
    }
}

/// Remembers where a first fragment goes.
#[inline(always)]
pub(super) fn remember<E: Env>(env: &E, parsed: &Parsed, forward: &Forward) {
    let row = FragmentRow {
        address: forward.to.address,
        backend: forward.backend,
        seen: parsed.now.jiffies.0,
        inbound: matches!(forward.to.end, End::Destination) as u64,
    };
    env.keep_fragment(&key(parsed), &row);
}

/// A fragment behind the first.
#[inline(always)]
pub(super) fn follow<E: Env>(env: &E, directory: &Directory<'_, E>, parsed: &Parsed) -> Decided {
    let network = &parsed.network;
    let row = env.fragment(&key(parsed)).filter(|row| {
        let idle = parsed.now.jiffies.since(Jiffies32(row.seen));
        idle <= LIFE_S.saturating_mul(parsed.now.hz)
    });
    let Some(row) = row else {
        return Decided::end(if directory.has_vips(network.destination) {
            Outcome::drop(Reason::Fragment)
        } else {
            Outcome::pass(Reason::NotOurs)
        });
    };
    if network.ttl <= 1 {
        return Decided::end(Outcome::drop(Reason::TtlExpired));
    }
    let inbound = row.inbound != 0;
    let hop = if inbound {
        // The number may be another backend's by now.
        let same = env
            .backend(row.backend)
            .is_some_and(|backend| backend.address == row.address && backend.retired == 0);
        if !same {
            return Decided::end(Outcome::drop(Reason::Fragment));
        }
        send::backend_hop(env, parsed, row.backend, row.address)
    } else {
        env.route(network, row.address, network.destination).hop()
    };
    Decided::on(Forward {
        to: Rewrite {
            end: if inbound {
                End::Destination
            } else {
                End::Source
            },
            address: row.address,
            port: 0,
        },
        hop,
        backend: row.backend,
        reason: Reason::FragmentFollowed,
    })
}
