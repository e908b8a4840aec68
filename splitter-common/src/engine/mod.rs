//! Owns the order of things: parse, filter, directory, then a request ([`request`]), a reply
//! ([`reply`]) or a fragment behind the first ([`fragment`]), forwarded by [`send`]. What a service
//! must decide ([`decision`]) is left aside for a program of its own, and so are ICMP ([`icmp`]),
//! the answers to what is too big ([`too_big`]) or was ended ([`reset`]), what is measured ([`measure`]) and what is
//! told to whoever traces ([`trace`]). The XDP programs are this
//! code over the kernel's maps, the tests run it over maps of their own.
//!
//! Invariants: a packet that matched a frontend is never passed unmodified; anything that is not
//! ours is passed untouched; every packet ends in exactly one [`Outcome`].

mod admission;
mod decision;
mod directory;
mod env;
mod evidence;
mod flows;
mod fragment;
mod icmp;
mod measure;
mod outcome;
mod reply;
mod request;
mod reset;
mod send;
mod too_big;
mod trace;
mod traits;
mod turn;

use core::cell::Cell;

use self::{
    directory::Directory,
    flows::{Found, alive, establish, find, insert, remove, service_row},
    send::Decided,
};
use crate::{
    flow::{KeptKey, law::Now},
    layout::Control,
    packet::{self, Form, Network, Packet, TCP, Transport, UDP},
    reason::{Reason, Verdict},
};

pub use self::{
    env::{Env, Route},
    measure::tells,
    outcome::{Aside, Outcome},
    trace::{is_anyone_tracing, is_traced},
};

/// A packet with its headers, as requests and replies see it.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(crate) network: Network,
    pub(crate) transport: Transport,
    pub(crate) now: Now,
    /// Whether the filter knows the destination.
    pub(crate) to_known: bool,
    /// The key of its flow, once it is known whose it is; of an ICMP error that of the flow it is about.
    pub(crate) key: KeptKey,
    /// What the packet tells of its flow, or 0: bits of [`tells`] and, 32 bits up, the bit of the client, if that
    /// is at hand. Noted on the packet's way and read back when it leaves; in memory, so that the verifier walks
    /// what lies between once.
    pub told: Cell<u64>,
}

/// Decides about a packet and edits it.
#[inline(always)]
pub fn process<P: Packet, E: Env>(packet: &mut P, env: &E) -> Outcome {
    let Some(network) = packet::network(packet) else {
        return Outcome::pass(Reason::NotIp);
    };
    let Some(directory) = Directory::in_force(env) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let to_known = directory.may_know(network.destination);
    // Whom an ICMP error is about stands in what it quotes.
    if !to_known && !directory.may_know(network.source) && !network.is_icmp() {
        return Outcome::pass(Reason::NotOurs);
    }
    if network.is_icmp() && matches!(network.form, Form::Whole) {
        return Outcome {
            aside: Aside::Icmp,
            ..Outcome::pass(Reason::OtherProtocol)
        };
    }
    let has_ports = network.protocol == TCP || network.protocol == UDP;
    let transport = match network.form {
        Form::Whole | Form::First if has_ports => packet::transport(packet, &network),
        Form::Later if has_ports => Some(Transport::default()),
        Form::Whole | Form::First | Form::Later | Form::Extension | Form::Malformed => None,
    };
    let Some(transport) = transport else {
        return without_ports(env, &directory, network, has_ports);
    };
    let hz = env.control(Control::Hz) as u32;
    let now = Now {
        jiffies: env.jiffies().low(),
        hz,
    };
    let Some(parsed) = env.keep(Parsed {
        network,
        transport,
        now,
        to_known,
        key: KeptKey::unknown(),
        told: Cell::new(0),
    }) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let decided = way(env, &directory, parsed);
    conclude(packet, env, parsed, &decided)
}

/// Decides about a packet that [`process`] left to its service, and edits it. The two programs may
/// be of two processes: what one leaves to the other is part of the layout.
#[inline(always)]
pub fn decide<P: Packet, E: Env>(packet: &mut P, env: &E) -> Outcome {
    let Some((parsed, left)) = env.kept().zip(env.left()) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let decided = decision::process(packet, env, parsed, left);
    conclude(packet, env, parsed, &decided)
}

#[inline(always)]
fn conclude<P: Packet, E: Env>(
    packet: &mut P,
    env: &E,
    parsed: &Parsed,
    decided: &Decided,
) -> Outcome {
    if decided.goes_on {
        send::finish(packet, env, parsed, &decided.forward)
    } else {
        decided.end
    }
}

/// Answers what [`process`] or [`decide`] left aside.
#[inline(always)]
pub fn answer<P: Packet, E: Env>(packet: &mut P, env: &E) -> Outcome {
    // One behind the other: joined, what is there of the one would be carried on without the other, and
    // the verifier knows no such half.
    let Some(network) = packet::network(packet) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let Some((directory, left)) = Directory::in_force(env).zip(env.left()) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    // Who left anything but ICMP has kept what it read; an error is read here alone.
    let parsed = if network.is_icmp() {
        keep_bare(env, network)
    } else {
        env.kept()
    };
    let Some(parsed) = parsed else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let (network, ifindex) = (&parsed.network, env.ingress_ifindex());
    if network.is_icmp() {
        icmp::process(packet, env, &directory, parsed)
    } else if left.aside == Aside::TooBig as u32 {
        too_big::answer(packet, network, left.number, ifindex)
    } else {
        let reason = if left.aside == Aside::Refuse as u32 {
            Reason::VersionEmpty
        } else {
            Reason::FlowCut
        };
        reset::answer(packet, network, ifindex, reason)
    }
}

/// Whether a packet that [`process`] has sent on tells something that [`measure`] reads.
#[inline(always)]
pub fn is_measured<E: Env>(env: &E, outcome: &Outcome) -> bool {
    // What passes untouched or is dropped may not have been kept: another packet's would be read.
    match outcome.verdict {
        Verdict::Tx | Verdict::Redirect | Verdict::Resolve => env
            .kept()
            .is_some_and(|parsed| measure::Told::of(env, parsed).bits() != 0),
        Verdict::Pass | Verdict::Drop => false,
    }
}

/// Measures what a packet tells that was sent on.
#[inline(always)]
pub fn measure<P: Packet, E: Env>(packet: &P, env: &E) {
    if let Some(parsed) = env.kept() {
        measure::process(packet, env, parsed);
    }
}

/// Tells whoever traces of a packet that has ended.
#[inline(always)]
pub fn trace<E: Env>(env: &E) {
    if let Some((parsed, left)) = env.kept().zip(env.left()) {
        trace::process(env, parsed, left.ended);
    }
}

/// Keeps a packet whose ports are not read.
#[inline(always)]
fn keep_bare<E: Env>(env: &E, network: Network) -> Option<&Parsed> {
    env.keep(Parsed {
        network,
        transport: Transport::default(),
        now: Now {
            jiffies: env.jiffies().low(),
            hz: 0,
        },
        to_known: true,
        key: KeptKey::unknown(),
        told: Cell::new(0),
    })
}

/// Where a packet with ports, or one that follows such a one, goes.
#[inline(always)]
fn way<E: Env>(env: &E, directory: &Directory<'_, E>, parsed: &Parsed) -> Decided {
    if matches!(parsed.network.form, Form::Later) {
        return fragment::follow(env, directory, parsed);
    }
    if parsed.to_known
        && let Some(vip) = directory.dialled(parsed)
    {
        return request::process(env, parsed, vip);
    }
    match directory.origin(parsed) {
        Some(backend) => reply::process(env, parsed, backend),
        None => Decided::end(Outcome::pass(Reason::NotOurs)),
    }
}

/// A packet whose ports cannot be read: dropped when it goes to an address that has VIPs, so
/// that this host's stack never answers for one.
#[inline(always)]
fn without_ports<E: Env>(
    env: &E,
    directory: &Directory<'_, E>,
    network: Network,
    has_ports: bool,
) -> Outcome {
    if !directory.has_vips(network.destination) {
        return Outcome::pass(Reason::NotOurs);
    }
    let form = network.form;
    if keep_bare(env, network).is_none() {
        return Outcome::pass(Reason::NotConfigured);
    }
    match form {
        Form::First | Form::Later => Outcome::drop(Reason::Fragment),
        Form::Extension => Outcome::drop(Reason::ExtensionHeader),
        Form::Malformed => Outcome::drop(Reason::Malformed),
        Form::Whole if has_ports => Outcome::drop(Reason::Malformed),
        Form::Whole => Outcome::pass(Reason::OtherProtocol),
    }
}
