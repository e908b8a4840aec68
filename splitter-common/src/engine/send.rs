//! Owns forwarding: the edit, then the next hop. Where the next hop is not known the packet is
//! handed to this host's stack *after* the edit, which resolves it (and lowers the TTL itself).

use super::{Env, Outcome, Parsed};
use crate::{
    address::Address,
    edit::{End, Rewrite, address_frame, lower_ttl, rewrite},
    flow::{Hop, hop::hop_stamp},
    layout::{Control, NextHop},
    packet::Packet,
    reason::{Reason, Verdict},
};

/// Sends a request to a backend.
#[inline(always)]
pub(super) fn to_backend<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed<'_>,
    backend: u32,
    reason: Reason,
) -> Outcome {
    let family = parsed.network.family;
    let Some(row) = env
        .backend(backend)
        .filter(|row| row.address.family() == family)
    else {
        return Outcome::inconsistent(Verdict::Drop, backend);
    };
    let port = if row.port == 0 {
        parsed.transport.destination_port
    } else {
        row.port
    };
    let to = Rewrite {
        end: End::Destination,
        address: row.address,
        port,
    };
    env.count_packet(backend, true, parsed.network.length);
    let vouched = env.jiffies().0 < env.control(Control::LeaseUntil);
    let known = if vouched {
        Hop::unpack(env.next_hop(backend))
    } else {
        None
    };
    let hop = match known {
        Some((hop, _)) => Some(hop),
        None => env
            .route(parsed.network, parsed.network.source, row.address)
            .hop(),
    };
    finish(packet, env, parsed, &to, hop, reason)
}

/// The way to the client: what the flow kept, if no route has changed since; else what the
/// kernel says, with the words to keep.
#[inline(always)]
pub(super) fn client_hop<E: Env>(
    env: &E,
    parsed: &Parsed<'_>,
    vip: Address,
    tag: u32,
    kept: [u64; 3],
) -> (Option<Hop>, Option<NextHop>) {
    let wanted = hop_stamp(env.control(Control::RouteEpoch) as u16, tag);
    if let Some((hop, stamp)) = Hop::unpack(kept)
        && stamp == wanted
    {
        return (Some(hop), None);
    }
    let hop = env
        .route(parsed.network, vip, parsed.network.destination)
        .hop();
    (hop, hop.map(|hop| hop.pack(wanted)))
}

/// Sends a reply to its client, with the VIP as its source.
#[inline(always)]
pub(super) fn to_client<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed<'_>,
    vip: (Address, u16),
    hop: Option<Hop>,
    reason: Reason,
) -> Outcome {
    let to = Rewrite {
        end: End::Source,
        address: vip.0,
        port: vip.1,
    };
    finish(packet, env, parsed, &to, hop, reason)
}

#[inline(always)]
fn finish<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed<'_>,
    to: &Rewrite,
    hop: Option<Hop>,
    reason: Reason,
) -> Outcome {
    if rewrite(packet, parsed.network, parsed.transport, to).is_none() {
        return Outcome::drop(Reason::Malformed);
    }
    let Some(hop) = hop else {
        return Outcome {
            verdict: Verdict::Resolve,
            reason,
            number: 0,
        };
    };
    if lower_ttl(packet, parsed.network)
        .and_then(|()| address_frame(packet, &hop))
        .is_none()
    {
        return Outcome::drop(Reason::Malformed);
    }
    if hop.ifindex == env.ingress_ifindex() {
        Outcome {
            verdict: Verdict::Tx,
            reason,
            number: hop.ifindex,
        }
    } else {
        Outcome {
            verdict: Verdict::Redirect,
            reason,
            number: hop.ifindex,
        }
    }
}
