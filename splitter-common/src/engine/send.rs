//! Owns forwarding: the edit, then the next hop. Where the next hop is not known the packet is
//! handed to this host's stack *after* the edit, which resolves it (and lowers the TTL itself).

use super::{Aside, Env, Outcome, Parsed, fragment};
use crate::{
    address::Address,
    edit::{End, Rewrite, address_frame, lower_ttl, rewrite},
    flow::{Hop, hop::hop_stamp},
    layout::{BackendRow, Control, NextHop},
    packet::{Form, Packet},
    reason::{Reason, Verdict},
};

/// What was found about a packet: that it goes on, or how it ends.
///
/// Not a `Result`, and no `Option` within: what the other side leaves undefined is moved about all
/// the same, and verifiers refuse to read it.
pub(super) struct Decided {
    /// Where it goes, if it does.
    pub(super) forward: Forward,
    /// Whether it goes on.
    pub(super) goes_on: bool,
    /// How it ends, if it does.
    pub(super) end: Outcome,
}

impl Decided {
    /// It goes on.
    #[inline(always)]
    pub(super) const fn on(forward: Forward) -> Self {
        Self {
            end: Outcome::drop(forward.reason),
            forward,
            goes_on: true,
        }
    }

    /// It ends.
    #[inline(always)]
    pub(super) const fn end(outcome: Outcome) -> Self {
        Self {
            forward: Forward {
                to: Rewrite {
                    end: End::Destination,
                    address: Address([0; 2]),
                    port: 0,
                },
                hop: Hop::NOWHERE,
                backend: 0,
                reason: outcome.reason,
            },
            goes_on: false,
            end: outcome,
        }
    }
}

/// A packet that goes on.
pub(super) struct Forward {
    /// What it gets.
    pub(super) to: Rewrite,
    /// The way; [`Hop::NOWHERE`] when it is not known.
    pub(super) hop: Hop,
    /// The backend that it goes to or comes from.
    pub(super) backend: u32,
    /// Why.
    pub(super) reason: Reason,
}

/// The row of a backend that packets of this family can go to.
#[inline(always)]
pub(super) fn backend_row<'a, E: Env>(
    env: &'a E,
    parsed: &Parsed,
    backend: u32,
) -> Result<&'a BackendRow, Outcome> {
    let family = parsed.network.family;
    env.backend(backend)
        .filter(|row| row.address.family() == family)
        .ok_or(Outcome::inconsistent(Verdict::Drop, backend))
}

/// A request on its way to a backend.
#[inline(always)]
pub(super) fn to_backend<E: Env>(
    env: &E,
    parsed: &Parsed,
    backend: u32,
    reason: Reason,
) -> Decided {
    let row = match backend_row(env, parsed, backend) {
        Ok(row) => row,
        Err(outcome) => return Decided::end(outcome),
    };
    Decided::on(Forward {
        to: Rewrite {
            end: End::Destination,
            address: row.address,
            port: row.dialled(parsed.transport.destination_port),
        },
        hop: backend_hop(env, parsed, backend, row.address),
        backend,
        reason,
    })
}

/// Whether the daemon lives, as far as it has promised: next hops are right, releases are watched.
#[inline(always)]
pub(super) fn is_vouched<E: Env>(env: &E) -> bool {
    env.jiffies().0 < env.control(Control::LeaseUntil)
}

/// The way to a backend: what the daemon wrote while it vouches for it, else what the kernel says.
#[inline(always)]
pub(super) fn backend_hop<E: Env>(env: &E, parsed: &Parsed, backend: u32, address: Address) -> Hop {
    let known = if is_vouched(env) {
        Hop::unpack(env.next_hop(backend))
    } else {
        None
    };
    match known {
        Some((hop, _)) => hop,
        None => env
            .route(&parsed.network, parsed.network.source, address)
            .hop(),
    }
}

/// The way to the client: what the flow kept, if no route has changed since; else what the
/// kernel says, with the words to keep.
#[inline(always)]
pub(super) fn client_hop<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: Address,
    tag: u32,
    kept: [u64; 3],
) -> (Hop, Option<NextHop>) {
    let wanted = hop_stamp(env.control(Control::RouteEpoch) as u16, tag);
    if let Some((hop, stamp)) = Hop::unpack(kept)
        && stamp == wanted
    {
        return (hop, None);
    }
    let hop = env
        .route(&parsed.network, vip, parsed.network.destination)
        .hop();
    (hop, hop.is_known().then(|| hop.pack(wanted)))
}

/// Sends a packet on.
#[inline(always)]
pub(super) fn finish<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed,
    forward: &Forward,
) -> Outcome {
    let network = &parsed.network;
    let inbound = matches!(forward.to.end, End::Destination);
    env.count_packet(forward.backend, inbound, network.length);
    let mut hop = forward.hop;
    if hop.mtu != 0 && network.length > hop.mtu as u32 {
        if network.dont_fragment {
            return Outcome {
                number: hop.mtu as u32,
                aside: Aside::TooBig,
                ..Outcome::drop(Reason::TooBig)
            };
        }
        // This host's stack cuts it.
        hop = Hop::NOWHERE;
    }
    if matches!(network.form, Form::First) {
        fragment::remember(env, parsed, forward);
    }
    if rewrite(packet, network, &parsed.transport, &forward.to).is_none() {
        return Outcome::drop(Reason::Malformed);
    }
    leave(packet, env, parsed, hop, forward.reason)
}

/// Puts an edited packet on its way.
#[inline(always)]
pub(super) fn leave<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed,
    hop: Hop,
    reason: Reason,
) -> Outcome {
    if !hop.is_known() {
        return Outcome {
            verdict: Verdict::Resolve,
            reason,
            number: 0,
            aside: Aside::Nothing,
        };
    }
    if lower_ttl(packet, &parsed.network)
        .and_then(|()| address_frame(packet, &hop))
        .is_none()
    {
        return Outcome::drop(Reason::Malformed);
    }
    let verdict = if hop.ifindex == env.ingress_ifindex() {
        Verdict::Tx
    } else {
        Verdict::Redirect
    };
    Outcome {
        verdict,
        reason,
        number: hop.ifindex,
        aside: Aside::Nothing,
    }
}
