//! Owns ICMP about what goes through here: errors find their way by the packet that they quote,
//! which is put back as its sender knows it, and a VIP answers an echo.
//!
//! Sources: RFC 792, RFC 4443; RFC 5508 for what a translator does to errors.

use super::{Aside, Directory, Env, Outcome, Parsed, Route, decision, find, send, turn};
use crate::{
    address::{Address, Family},
    checksum::Delta,
    decide::Question,
    edit::{End, Rewrite, rewrite_address, rewrite_quoted, set_ttl},
    flow::{Hop, Table, entry::state},
    layout::{Counter, Endpoint, EndpointKind, FlowKey},
    packet::{self, Inner, L3, Packet, low},
    reason::{Reason, Verdict},
};

/// Bytes of the shortest message (RFC 792, RFC 4443).
const HEADER: usize = 8;

/// What an ICMP message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Echo,
    Error,
    Other,
}

#[inline(always)]
const fn kind(family: Family, number: u8) -> Kind {
    match (family, number) {
        (Family::V4, 8) | (Family::V6, 128) => Kind::Echo,
        // Destination unreachable, time exceeded, parameter problem; with IPv6 packet too big.
        (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => Kind::Error,
        (Family::V4 | Family::V6, _) => Kind::Other,
    }
}

/// An ICMP packet that is whole.
#[inline(always)]
pub(super) fn process<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    directory: &Directory<'_, E>,
    parsed: &Parsed,
) -> Outcome {
    let network = &parsed.network;
    let of_vip = directory.has_vips(network.destination);
    let stray = Outcome::pass(if of_vip {
        Reason::OtherProtocol
    } else {
        Reason::NotOurs
    });
    let Some([first]) = packet.read::<1>(network.l4()) else {
        return stray;
    };
    // What stands behind the end of the packet is no message.
    if network.l4() + HEADER > L3 + network.length as usize {
        return stray;
    }
    match kind(network.family, low(first)) {
        Kind::Other => return stray,
        Kind::Echo if of_vip => return echo(packet, env, parsed),
        Kind::Echo => return stray,
        Kind::Error => {}
    }
    let Some(inner) = packet::inner(packet, network).and_then(|inner| env.keep_inner(inner)) else {
        return stray;
    };
    // An error goes to whom the quoted packet came from.
    if inner.source != network.destination {
        return stray;
    }
    let (port, protocol) = (inner.source_port, inner.protocol);
    let vip = directory.serving(inner.source, port, protocol, EndpointKind::Vip);
    let forward = if let Some(vip) = vip {
        to_backend(env, parsed, inner, vip)
    } else {
        let (address, port) = (inner.destination, inner.destination_port);
        let backend = directory.serving(address, port, protocol, EndpointKind::Backend);
        match backend {
            Some(backend) => to_client(env, parsed, inner, backend),
            None => return stray,
        }
    };
    match forward {
        Ok(forward) => finish(packet, env, parsed, inner, &forward),
        Err(outcome) => outcome,
    }
}

/// An error on its way.
struct Forward {
    /// What the quoted packet gets.
    quoted: Rewrite,
    /// What the packet itself gets.
    outer: Option<(End, Address)>,
    hop: Hop,
    backend: u32,
}

/// An error about what a backend sent by its VIP.
#[inline(always)]
fn to_backend<E: Env>(
    env: &E,
    parsed: &Parsed,
    inner: &Inner,
    vip: &Endpoint,
) -> Result<Forward, Outcome> {
    let key = FlowKey {
        client: inner.destination,
        client_port: inner.destination_port,
        frontend: vip.frontend,
        port: inner.source_port,
        zero: 0,
    };
    let backend = match owner(env, parsed, key, vip.born) {
        Some(backend) => backend,
        None => {
            let question = Question {
                client: key.client,
                client_port: key.client_port,
                port: key.port,
                protocol: inner.protocol,
            };
            decision::backend_for(env, vip.number, &question)?
        }
    };
    let row = send::backend_row(env, parsed, backend)?;
    Ok(Forward {
        quoted: Rewrite {
            end: End::Source,
            address: row.address,
            port: row.dialled(inner.source_port),
        },
        outer: Some((End::Destination, row.address)),
        hop: send::backend_hop(env, parsed, backend, row.address),
        backend,
    })
}

/// An error about what a client sent to its VIP, by the backend or by a router before it.
#[inline(always)]
fn to_client<E: Env>(
    env: &E,
    parsed: &Parsed,
    inner: &Inner,
    backend: &Endpoint,
) -> Result<Forward, Outcome> {
    let number = backend.frontend as u32;
    let Some(frontend) = env.frontend(number) else {
        return Err(Outcome::inconsistent(Verdict::Pass, number));
    };
    let port = if frontend.port == 0 {
        inner.destination_port
    } else {
        frontend.port
    };
    let key = FlowKey {
        client: inner.source,
        client_port: inner.source_port,
        frontend: backend.frontend,
        port,
        zero: 0,
    };
    let not_a_reply = Err(Outcome::pass(Reason::ReplyWithoutFlow));
    let known = match owner(env, parsed, key, backend.born) {
        Some(owner) if owner == backend.number => true,
        // The client has a flow under these ports with another backend.
        Some(_) => return Err(Outcome::drop(Reason::ReplyOfOtherBackend)),
        None if super::reply::may_be_stateless(env, backend, frontend, inner.source) => false,
        None => return not_a_reply,
    };
    let route = env.route(&parsed.network, frontend.address, inner.source);
    // As for replies: only that of no known flow may be meant for this host itself.
    if !known && matches!(route, Route::NotForwarded) {
        return not_a_reply;
    }
    // A router before the backend speaks for itself.
    let by_backend = parsed.network.source == inner.destination;
    Ok(Forward {
        quoted: Rewrite {
            end: End::Destination,
            address: frontend.address,
            port,
        },
        outer: by_backend.then_some((End::Source, frontend.address)),
        hop: route.hop(),
        backend: backend.number,
    })
}

/// The backend of a flow that is known.
#[inline(always)]
fn owner<E: Env>(env: &E, parsed: &Parsed, key: FlowKey, born: u32) -> Option<u32> {
    env.keep_key(&parsed.key, key);
    let key = &parsed.key;
    if let Some(found) = find(env, Table::Established, key, born)
        && found.entry.state & state::OWN == 0
    {
        return Some(found.entry.backend);
    }
    find(env, Table::Pending, key, born).map(|found| found.entry.backend)
}

#[inline(always)]
fn finish<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed,
    inner: &Inner,
    forward: &Forward,
) -> Outcome {
    let network = &parsed.network;
    if network.ttl <= 1 {
        return Outcome::drop(Reason::TtlExpired);
    }
    let inbound = matches!(forward.quoted.end, End::Source);
    env.count(forward.backend, Counter::IcmpErrors);
    env.count_packet(forward.backend, inbound, network.length);
    if edit(packet, parsed, inner, forward).is_none() {
        return Outcome::drop(Reason::Malformed);
    }
    send::leave(packet, env, parsed, forward.hop, Reason::IcmpError)
}

#[inline(always)]
fn edit<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    inner: &Inner,
    forward: &Forward,
) -> Option<()> {
    let network = &parsed.network;
    let mut changed = rewrite_quoted(packet, network, inner, &forward.quoted)?;
    if let Some((end, address)) = forward.outer {
        let outer = rewrite_address(packet, network, end, address)?;
        // IPv6 sums the addresses too (RFC 4443, section 2.3).
        changed = match network.family {
            Family::V4 => changed,
            Family::V6 => changed.and(outer),
        };
    }
    let at = network.l4() + 2;
    let [checksum] = packet.read::<1>(at)?;
    packet.write(at, [changed.apply(checksum)])
}

/// Answers an echo in the VIP's name, out of the interface that it came in by.
#[inline(always)]
fn echo<P: Packet, E: Env>(packet: &mut P, env: &E, parsed: &Parsed) -> Outcome {
    match turn_round(packet, parsed) {
        Some(()) => Outcome {
            verdict: Verdict::Tx,
            reason: Reason::EchoReply,
            number: env.ingress_ifindex(),
            aside: Aside::Nothing,
        },
        None => Outcome::drop(Reason::Malformed),
    }
}

#[inline(always)]
fn turn_round<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<()> {
    let network = &parsed.network;
    let [a, b, c, d, e, f] = packet.read::<6>(0)?;
    packet.write(0, [d, e, f, a, b, c])?;
    // Addresses that change places leave every sum as it is.
    rewrite_address(packet, network, End::Source, network.destination)?;
    rewrite_address(packet, network, End::Destination, network.source)?;
    set_ttl(packet, network, turn::TTL)?;
    let [before, checksum] = packet.read::<2>(network.l4())?;
    let answer = match network.family {
        Family::V4 => 0,
        Family::V6 => 129,
    };
    let after = before & 0xff00 | answer;
    let sum = Delta::default().replace(before, after).apply(checksum);
    packet.write(network.l4(), [after, sum])
}
