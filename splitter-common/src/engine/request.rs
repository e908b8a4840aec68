//! Owns the client's side: the flow's backend, or a decision.

use super::{
    Env, Found, Outcome, Parsed, alive, establish, find, insert,
    send::{self, Decided},
    service_row,
};
use crate::{
    decide::{Question, decide_watched},
    flow::{
        Entry, Table,
        entry::state,
        hop::NO_HOP,
        law::{self, Established, Pending, Unknown},
    },
    layout::{Counter, Endpoint, FlowKey, ServiceRow},
    packet::{TCP, tcp_flags::ACK},
    reason::{Reason, Verdict},
};

/// Where a packet goes.
struct Target {
    backend: u32,
    reason: Reason,
}

/// A packet to a VIP.
#[inline(always)]
pub(super) fn process<E: Env>(env: &E, parsed: &Parsed, vip: &Endpoint) -> Decided {
    if parsed.network.ttl <= 1 {
        return Decided::end(Outcome::drop(Reason::TtlExpired));
    }
    let key = FlowKey {
        client: parsed.network.source,
        client_port: parsed.transport.source_port,
        frontend: vip.frontend,
        port: parsed.transport.destination_port,
        zero: 0,
    };
    let established = env.flow(Table::Established, &key);
    let in_the_way = established.is_some();
    let known = if parsed.network.protocol == TCP {
        tcp(env, parsed, vip, &key, established)
    } else {
        udp(env, parsed, vip, &key, established)
    };
    let target = match known {
        Some(target) => target,
        None => match new_flow(env, parsed, vip, &key, in_the_way) {
            Ok(target) => target,
            Err(outcome) => return Decided::end(outcome),
        },
    };
    send::to_backend(env, parsed, target.backend, target.reason)
}

/// The backend of a known TCP flow; `established` is what stands under its key in that table.
#[inline(always)]
fn tcp<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: &Endpoint,
    key: &FlowKey,
    established: Option<E::Cell>,
) -> Option<Target> {
    let segment = &parsed.transport.segment;
    // The live entry is not kept across the next look-up but read again in the rare case that
    // needs it: kernels before 6.3 refuse to read spilled registers that only some paths set.
    let (mut live, mut beside_syn) = (false, false);
    if let Some(found) = established.and_then(|cell| alive(env, cell, key, vip.born)) {
        match law::established(found.entry, segment, parsed.now) {
            Established::Use { entry, write } => {
                let marked = entry.state & state::BESIDE != 0 && segment.flags & ACK != 0;
                if !marked {
                    return Some(use_established(env, &found, &entry, write));
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
                count_reset(env, found.entry.state, &entry);
                if law::is_bare_syn(segment) {
                    env.count(entry.backend, Counter::SynRetransmits);
                }
                entry.store_state(&found.cell);
                return Some(Target {
                    backend: entry.backend,
                    reason: Reason::Pending,
                });
            }
            Pending::Complete(entry) => {
                establish(env, key, &found, &entry);
                env.count(entry.backend, Counter::Handshakes);
                return Some(Target {
                    backend: entry.backend,
                    reason: Reason::Handshake,
                });
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
            return Some(use_established(env, &found, &entry, write));
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
    key: &FlowKey,
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
        ..entry
    };
    insert(env, Table::Pending, key, &pending, NO_HOP);
    env.count(entry.backend, Counter::NewFlows);
    env.count(entry.backend, Counter::SynsBegun);
    Target {
        backend: entry.backend,
        reason: Reason::NewFlow,
    }
}

#[inline(always)]
fn use_established<E: Env>(env: &E, found: &Found<E::Cell>, entry: &Entry, write: bool) -> Target {
    if write {
        count_reset(env, found.entry.state, entry);
        entry.store_state(&found.cell);
    }
    Target {
        backend: entry.backend,
        reason: Reason::Established,
    }
}

/// Counts a RST of the client the first time it marks its flow.
#[inline(always)]
fn count_reset<E: Env>(env: &E, before: u8, entry: &Entry) {
    if entry.state & !before & state::RST_CLIENT != 0 {
        env.count(entry.backend, Counter::ResetsByClient);
    }
}

/// The backend of a known UDP flow; `established` as for TCP.
#[inline(always)]
fn udp<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: &Endpoint,
    key: &FlowKey,
    established: Option<E::Cell>,
) -> Option<Target> {
    let established = established.and_then(|cell| alive(env, cell, key, vip.born));
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
    })
}

/// What a service decides about a flow that is not known.
pub(super) struct Choice<'a> {
    row: &'a ServiceRow,
    version: usize,
    /// Whether the client belongs to another version.
    diverted: bool,
    /// The backend's number; never 0.
    pub(super) backend: u32,
}

/// Decides about a flow.
#[inline(always)]
pub(super) fn choose<'a, E: Env>(
    env: &'a E,
    service: u32,
    question: &Question,
    watched: bool,
) -> Result<Choice<'a>, Outcome> {
    let Some(row) = service_row(env, service).filter(|row| row.generation != 0) else {
        return Err(Outcome::inconsistent(Verdict::Drop, service));
    };
    let decision = decide_watched(row, question, watched);
    if decision.table.cells == 0 {
        return Err(Outcome::drop(Reason::VersionEmpty));
    }
    let page_cells = crate::capacity::PAGE_CELLS as u32;
    let page = decision.table.page + decision.cell / page_cells;
    let backend = env.table_cell(page, decision.cell % page_cells) as u32;
    if backend == 0 {
        return Err(Outcome::drop(Reason::VersionEmpty));
    }
    Ok(Choice {
        row,
        version: decision.version,
        diverted: decision.version != decision.assigned,
        backend,
    })
}

/// Decides about a packet of no known flow and remembers the flow. `in_the_way`: an entry that law
/// or births made a miss stands in the established table.
#[inline(always)]
fn new_flow<E: Env>(
    env: &E,
    parsed: &Parsed,
    vip: &Endpoint,
    key: &FlowKey,
    in_the_way: bool,
) -> Result<Target, Outcome> {
    let question = Question {
        client: key.client,
        client_port: key.client_port,
        port: key.port,
        protocol: parsed.network.protocol,
    };
    let is_tcp = parsed.network.protocol == TCP;
    let unknown = if is_tcp {
        law::unknown(&parsed.transport.segment)
    } else {
        Unknown::New
    };
    // What goes on already stays where it is, whoever watches.
    let watched = !matches!(unknown, Unknown::New) || send::is_vouched(env);
    let Choice {
        row,
        version,
        diverted,
        backend,
    } = choose(env, vip.number, &question, watched)?;
    if env
        .backend(backend)
        .is_some_and(|row| row.address == key.client)
    {
        return Err(Outcome::drop(Reason::Hairpin));
    }
    let (state, reason) = match unknown {
        Unknown::New => (0, Reason::NewFlow),
        Unknown::Adopt | Unknown::AdoptOnce => (state::ADOPTED, Reason::Adopted),
    };
    if !matches!(unknown, Unknown::AdoptOnce) {
        let entry = Entry {
            generation: row.generation,
            backend,
            service: vip.number as u16,
            version: version as u8,
            state,
            seen: parsed.now.jiffies,
            began: parsed.now.jiffies,
            client_seq: parsed.transport.segment.seq,
            server_seq: 0,
        };
        if in_the_way {
            env.remove(Table::Established, key);
        }
        insert(env, Table::Pending, key, &entry, NO_HOP);
    }
    if matches!(unknown, Unknown::New) {
        env.count(backend, Counter::NewFlows);
        if is_tcp {
            env.count(backend, Counter::SynsBegun);
        }
        if diverted {
            env.count(backend, Counter::Diverted);
        }
    } else {
        env.count(backend, Counter::Adopted);
    }
    Ok(Target { backend, reason })
}
