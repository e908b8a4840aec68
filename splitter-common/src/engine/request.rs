//! Owns the client's side: the flow's backend. What has none, and what must be looked at once more,
//! is left to [`super::decide`].

use super::{
    Aside, Env, Found, Outcome, Parsed, alive, establish, find, insert,
    measure::Told,
    send::{self, Decided},
    tells,
};
use crate::{
    flow::{
        Entry, KeptKey, Table,
        entry::state,
        hop::NO_HOP,
        law::{self, Established, Pending},
        recheck::must_look,
        turns::Answered,
    },
    layout::{Counter, Endpoint, FlowKey, Left},
    packet::{
        TCP,
        tcp_flags::{ACK, RST},
    },
    reason::{Reason, Verdict},
};

/// Where a packet goes.
struct Target {
    backend: u32,
    reason: Reason,
    /// 1: the service must be asked whether the flow may go on.
    look: u64,
    /// The traits that its flow was decided by.
    traits: u32,
}

impl Target {
    #[inline(always)]
    const fn new(backend: u32, reason: Reason) -> Self {
        Self {
            backend,
            reason,
            look: 0,
            traits: 0,
        }
    }
}

/// The key of a client's packet.
#[inline(always)]
pub(super) const fn key_of(parsed: &Parsed, frontend: u16) -> FlowKey {
    FlowKey {
        client: parsed.network.source,
        client_port: parsed.transport.source_port,
        frontend,
        port: parsed.transport.destination_port,
        zero: 0,
    }
}

/// A packet to a VIP.
#[inline(always)]
pub(super) fn process<E: Env>(env: &E, parsed: &Parsed, vip: &Endpoint) -> Decided {
    if parsed.network.ttl <= 1 {
        return Decided::end(Outcome::drop(Reason::TtlExpired));
    }
    let key = &parsed.key;
    env.keep_key(key, key_of(parsed, vip.frontend));
    let newest = env.recheck_newest(vip.number);
    let established = env.flow(Table::Established, key);
    let found = established.is_some();
    let known = if parsed.network.protocol == TCP {
        tcp(env, parsed, vip, key, established, newest)
    } else {
        udp(env, parsed, vip, key, established, newest)
    };
    // A RST is never answered with one (RFC 9293, section 3.5.2): it goes to its flow's backend.
    let goes_on = (parsed.transport.segment.flags / RST) as u64;
    let open = match known {
        Some(target) if target.look & !goes_on & 1 == 0 => {
            return send::to_backend(env, parsed, target.backend, target.reason);
        }
        Some(target) => target,
        None => Target::new(0, Reason::NewFlow),
    };
    // What begins is pending first, and enters in the stead of what may stand there.
    let _looked_for = env.flow(Table::Pending, key);
    env.leave(Left {
        aside: Aside::Decide as u32,
        number: 0,
        service: vip.number,
        backend: open.backend,
        established: (found && !matches!(open.reason, Reason::Pending)) as u32,
        traits: open.traits,
        ..Left::default()
    });
    let without = Outcome::inconsistent(Verdict::Drop, vip.number);
    Decided::end(without.aside(Aside::Decide))
}

/// The backend of a known TCP flow; `established` is what stands under its key in that table.
#[inline(always)]
fn tcp<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: &Endpoint,
    key: &KeptKey,
    established: Option<E::Cell>,
    newest: u32,
) -> Option<Target> {
    let segment = &parsed.transport.segment;
    // The live entry is not kept across the next look-up but read again in the rare case that
    // needs it: kernels before 6.3 refuse to read spilled registers that only some paths set.
    let (mut live, mut beside_syn) = (false, false);
    if let Some(found) =
        established.and_then(|cell| alive(env, cell, Table::Established, key, vip.born))
    {
        match law::established(found.entry, segment, parsed.now) {
            Established::Use { entry, write } => {
                let marked = entry.state & state::BESIDE != 0 && segment.flags & ACK != 0;
                if !marked {
                    return Some(use_established(env, parsed, &found, &entry, write, newest));
                }
                live = true;
            }
            Established::Beside(_) => (live, beside_syn) = (true, true),
            Established::Miss => {}
        }
    }
    if let Some(found) = find(env, Table::Pending, key, vip.born) {
        match law::pending(found.entry, segment, parsed.now) {
            // Beside a live flow only the completing ACK counts, or the SYN sent once more.
            Pending::Use(entry) if !live || beside_syn => {
                count_reset(env, &found, &entry, true);
                if law::is_bare_syn(segment) {
                    env.count(entry.backend, Counter::SynRetransmits);
                    let waits = entry.mark.is_judged() * tells::WAITS;
                    Told::new(waits, 0).note(env, parsed);
                }
                entry.store_state(&found.cell);
                return Some(Target::new(entry.backend, Reason::Pending));
            }
            Pending::Complete(entry) => {
                let completes = entry.tells_entry() * tells::COMPLETES;
                let asks = (segment.payload != 0) as u64 * tells::ASKS;
                Told::new(completes | asks, found.entry.once).note(env, parsed);
                establish(env, key, &found, &entry);
                env.count(entry.backend, Counter::Handshakes);
                return Some(Target::new(entry.backend, Reason::Handshake));
            }
            Pending::Use(_) | Pending::Miss => {}
        }
    }
    if !live {
        return None;
    }
    let found = find(env, Table::Established, key, vip.born)?;
    let entry = match law::established(found.entry, segment, parsed.now) {
        Established::Use { entry, write } => {
            return Some(use_established(env, parsed, &found, &entry, write, newest));
        }
        Established::Beside(entry) => entry,
        Established::Miss => return None,
    };
    Some(open_beside(env, parsed, key, &found, entry))
}

/// Opens a pending entry beside a live flow, for a SYN on its ports.
#[inline(always)]
fn open_beside<E: Env>(
    env: &E,
    parsed: &Parsed,
    key: &KeptKey,
    found: &Found<E::Cell>,
    mut entry: Entry,
) -> Target {
    entry.state |= state::BESIDE;
    entry.store_state(&found.cell);
    let pending = Entry {
        state: 0,
        seen: parsed.now.jiffies,
        began: parsed.now.jiffies,
        client_seq: parsed.transport.segment.seq,
        server_seq: 0,
        syn_us: 0,
        once: 0,
        ..entry
    };
    insert(env, Table::Pending, key, &pending, NO_HOP);
    env.count(entry.backend, Counter::NewFlows);
    env.count(entry.backend, Counter::SynsBegun);
    Target::new(entry.backend, Reason::NewFlow)
}

#[inline(always)]
fn use_established<E: Env>(
    env: &E,
    parsed: &Parsed,
    found: &Found<E::Cell>,
    entry: &Entry,
    write: bool,
    newest: u32,
) -> Target {
    if write {
        count_reset(env, found, entry, false);
        entry.store_state(&found.cell);
    }
    if parsed.transport.segment.payload != 0 && entry.state & state::ADOPTED == 0 {
        Told::new(tells::ASKS, 0).note(env, parsed);
    }
    Target {
        backend: entry.backend,
        reason: Reason::Established,
        look: must_look(entry, newest),
        traits: entry.traits.0 as u32,
    }
}

/// Counts a RST of the client the first time it marks its flow.
#[inline(always)]
fn count_reset<E: Env>(env: &E, found: &Found<E::Cell>, entry: &Entry, pending: bool) {
    if entry.state & !found.entry.state & state::RST_CLIENT != 0 {
        env.count(entry.backend, Counter::ResetsByClient);
        if pending || !Answered::load(&found.cell).spoke {
            env.count(entry.backend, Counter::ResetsByClientEarly);
        }
    }
}

/// The backend of a known UDP flow; `established` as for TCP.
#[inline(always)]
fn udp<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: &Endpoint,
    key: &KeptKey,
    established: Option<E::Cell>,
    newest: u32,
) -> Option<Target> {
    let established =
        established.and_then(|cell| alive(env, cell, Table::Established, key, vip.born));
    let (found, life_s, reason) = if let Some(found) = established {
        (
            found,
            law::udp_life_s(Table::Established),
            Reason::Established,
        )
    } else {
        let found = find(env, Table::Pending, key, vip.born)?;
        (found, law::udp_life_s(Table::Pending), Reason::Pending)
    };
    let (entry, write) = law::datagram(found.entry, life_s, parsed.now)?;
    if write {
        entry.store_state(&found.cell);
    }
    Some(Target {
        backend: entry.backend,
        reason,
        look: must_look(&entry, newest),
        traits: entry.traits.0 as u32,
    })
}
