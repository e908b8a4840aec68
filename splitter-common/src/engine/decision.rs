//! Owns what the service must decide: about new flows, and whether open ones may go on. A program of
//! its own does it, so that flows which are known do not pay for it.

use super::{
    Aside, Env, Outcome, Parsed,
    admission::is_admitted,
    evidence,
    flows::{insert, remove, service_row},
    send::{self, Decided},
    traits,
};
use crate::{
    address::Address,
    capacity::{MAX_VERSIONS, PAGE_CELLS},
    decide::{Decision, Question, decide_watched},
    evidence::Mark,
    flow::{
        Entry, KeptKey, Table,
        entry::state,
        hop::NO_HOP,
        law::{self, Unknown},
        recheck::{Answer, Fate, looked_at},
    },
    layout::{Counter, Empty, FlowKey, Left, ServiceRow, TableEvent, TableRef, options},
    packet::{Packet, TCP},
    reason::{Reason, Verdict},
    segment::PLACES,
    traits::Traits,
};

/// A packet that was left to its service.
#[inline(always)]
pub(super) fn process<P: Packet, E: Env>(
    packet: &P,
    env: &E,
    parsed: &Parsed,
    left: &Left,
) -> Decided {
    let Some(row) = row_of(env, left.service) else {
        return Decided::end(Outcome::inconsistent(Verdict::Drop, left.service));
    };
    let key = &parsed.key;
    let client = parsed.network.source;
    // What costs most to walk comes before anything that leaves the verifier with several cases.
    let traits = traits::of_packet(packet, env, parsed, left, row);
    let conditions = conditions(env, row, client, traits);
    let is_tcp = parsed.network.protocol == TCP;
    let unknown = if is_tcp {
        law::unknown(&parsed.transport.segment)
    } else {
        Unknown::New
    };
    let is_open = left.backend != 0;
    // What goes on already stays where it is, whoever watches.
    let watched = is_open || !matches!(unknown, Unknown::New) || send::is_vouched(env);
    let denied = is_denied(env, row, client);
    let asked = conditions as u64 | (watched as u64) << 32;
    let choice = Choice::unpack(choose(row, parsed, asked));
    if is_open {
        let fate = look(env, left, key, row.generation, denied, choice.version);
        if !matches!(fate, Fate::End) {
            let reason = if left.established != 0 {
                Reason::Established
            } else {
                Reason::Pending
            };
            return send::to_backend(env, parsed, left.backend, reason);
        }
        if is_tcp {
            let cut = Outcome::drop(Reason::FlowCut);
            return Decided::end(cut.aside(Aside::Reset));
        }
        // Datagrams have no connection that could be reset: the flow begins anew.
    }
    if denied {
        return Decided::end(Outcome::drop(Reason::Denied));
    }
    match new_flow(env, parsed, left, client, row, &choice, (unknown, traits)) {
        Ok(target) => send::to_backend(env, parsed, target.0, target.1),
        Err(outcome) => Decided::end(outcome),
    }
}

/// What a service has chosen for a flow.
struct Choice {
    /// Index of the version that the client belongs to.
    assigned: usize,
    /// Index of the version that serves it.
    version: usize,
    /// The cell of its table.
    cell: u32,
    /// The client's place among the segments.
    place: usize,
    /// 1 when the flow is judged.
    judged: u64,
    /// The bit that remembers what the client was counted for.
    once: u32,
}

impl Choice {
    #[inline(always)]
    const fn pack(decision: &Decision) -> u64 {
        // A table has at most 65,536 cells.
        decision.cell as u64 & 0xffff
            | (decision.version as u64) << 16
            | (decision.assigned as u64) << 20
            | (decision.place as u64) << 24
            | decision.judged << 28
            | (decision.once as u64) << 32
    }

    #[inline(always)]
    const fn unpack(word: u64) -> Self {
        Self {
            assigned: (word >> 20) as usize & (MAX_VERSIONS - 1),
            version: (word >> 16) as usize & (MAX_VERSIONS - 1),
            cell: word as u16 as u32,
            place: (word >> 24) as usize & (PLACES - 1),
            judged: word >> 28 & 1,
            once: (word >> 32) as u32,
        }
    }
}

/// Decides about the flow of a packet, as a packed [`Choice`]; a function of its own, for its room on
/// the stack. `asked`: the conditions that hold, and, 32 bits up, 1 when somebody watches.
#[inline(never)]
fn choose(row: &ServiceRow, parsed: &Parsed, asked: u64) -> u64 {
    let question = question(&parsed.key.key.get(), parsed.network.protocol);
    Choice::pack(&decide_watched(
        row,
        &question,
        asked as u32,
        asked >> 32 != 0,
    ))
}

/// What a flow asks its service.
#[inline(always)]
pub(super) const fn question(key: &FlowKey, protocol: u8) -> Question {
    Question {
        client: key.client,
        client_port: key.client_port,
        port: key.port,
        protocol,
    }
}

#[inline(always)]
pub(super) fn row_of<E: Env>(env: &E, service: u32) -> Option<&ServiceRow> {
    service_row(env, service).filter(|row| row.generation != 0)
}

/// Whether a service does not serve a client.
#[inline(always)]
fn is_denied<E: Env>(env: &E, row: &ServiceRow, client: Address) -> bool {
    env.listed(row.deny, client, 0) != 0 || row.allow != 0 && env.listed(row.allow, client, 0) == 0
}

/// The conditions of a service's segments that hold of a client with such traits.
#[inline(always)]
pub(super) fn conditions<E: Env>(env: &E, row: &ServiceRow, client: Address, traits: u32) -> u32 {
    // A zero of which the verifier does not know that it is one: it walks what follows once, not once
    // more for clients of whom nothing holds.
    let none = row.options & options::UNUSED;
    let segments = &row.segments;
    let of_prefixes = env.listed(segments.list, client, none);
    let of_traits = segments.traits.conditions(Traits(traits as u16));
    if segments.cohorts[0] == 0 {
        return of_prefixes | of_traits;
    }
    of_prefixes | of_traits | env.cohorts(&segments.cohorts, client, none)
}

/// Looks at an open flow once more and marks it.
#[inline(always)]
fn look<E: Env>(
    env: &E,
    left: &Left,
    key: &KeptKey,
    generation: u32,
    denied: bool,
    version: usize,
) -> Fate {
    let table = if left.established != 0 {
        Table::Established
    } else {
        Table::Pending
    };
    // It was there a moment ago; one that was recycled since is looked at with its next packet.
    let Some(cell) = env.flow(table, key) else {
        return Fate::Stay;
    };
    let Some(entry) = Entry::load(&cell, table, key.tag.get()) else {
        return Fate::Stay;
    };
    let takes_part = env
        .backend(entry.backend)
        .is_some_and(|backend| backend.leaving == 0);
    let answer = Answer {
        denied,
        same: version == entry.version as usize && takes_part,
    };
    let is_cut = entry.state & state::CUT != 0;
    let recheck = env.recheck(left.service);
    let fate = if is_cut {
        Fate::End
    } else {
        recheck.fate(entry.checked, answer, env.jiffies().0)
    };
    let after = looked_at(entry, generation, fate);
    if after != entry {
        after.store_state(&cell);
    }
    if matches!(fate, Fate::End) && !is_cut {
        env.count(entry.backend, Counter::Cut);
    }
    fate
}

/// The backend that a service has for a client whose flow is not known; for an ICMP error about it.
#[inline(always)]
pub(super) fn backend_for<E: Env>(
    env: &E,
    service: u32,
    question: &Question,
) -> Result<u32, Outcome> {
    let Some(row) = row_of(env, service) else {
        return Err(Outcome::inconsistent(Verdict::Drop, service));
    };
    let traits = traits::of_client(env, row, question.client, service);
    let conditions = conditions(env, row, question.client, traits);
    let decision = decide_watched(row, question, conditions, true);
    match in_table(env, decision.table, decision.cell) {
        0 => Err(Outcome::drop(Reason::VersionEmpty)),
        backend => Ok(backend),
    }
}

/// The backend in a cell of a table; 0 for none. No `Option`, for the reason of [`Decided`].
#[inline(always)]
pub(super) fn in_table<E: Env>(env: &E, table: TableRef, cell: u32) -> u32 {
    if table.cells == 0 {
        return 0;
    }
    let page_cells = PAGE_CELLS as u32;
    env.table_cell(table.page + cell / page_cells, cell % page_cells) as u32
}

/// Enters a flow that was decided; a function of its own, for its room on the stack. `owner`: backend
/// number, which has 16 bits, above it the client's traits, and 32 bits up the generation; `marks`: version
/// index, 8 bits up state, 24 bits up the mark of what is judged, and 32 bits up what remembers the client.
#[inline(never)]
fn remember<E: Env>(env: &E, parsed: &Parsed, left: &Left, owner: u64, marks: u64) {
    let key = &parsed.key;
    let generation = (owner >> 32) as u32;
    let entry = Entry {
        generation,
        backend: owner as u16 as u32,
        service: left.service as u16,
        version: marks as u8,
        mark: Mark((marks >> 24) as u8),
        state: (marks >> 8) as u16,
        checked: generation,
        seen: parsed.now.jiffies,
        began: parsed.now.jiffies,
        client_seq: parsed.transport.segment.seq,
        server_seq: 0,
        syn_us: env.now_us(),
        once: (marks >> 32) as u32,
        traits: Traits((owner >> 16) as u16),
    };
    if left.established != 0 {
        // Law, births or a recheck made it a miss.
        if parsed.network.protocol == TCP {
            replace(env, key);
        } else {
            remove(env, Table::Established, key);
        }
    }
    insert(env, Table::Pending, key, &entry, NO_HOP);
}

/// Ends an established TCP flow under whose ports another begins. Its element goes when that one's handshake is
/// complete: that costs less than to take it out now.
#[inline(always)]
fn replace<E: Env>(env: &E, key: &KeptKey) {
    if let Some(cell) = env.flow(Table::Established, key)
        && let Some(entry) = Entry::load(&cell, Table::Established, key.tag.get())
    {
        entry.end(&cell, key.tag.get());
        env.count_table(TableEvent::EstablishedRemovals);
    }
}

/// The backend of a packet of no known flow; the flow is remembered.
#[inline(always)]
fn new_flow<E: Env>(
    env: &E,
    parsed: &Parsed,
    left: &Left,
    client: Address,
    row: &ServiceRow,
    choice: &Choice,
    (unknown, traits): (Unknown, u32),
) -> Result<(u32, Reason), Outcome> {
    let is_tcp = parsed.network.protocol == TCP;
    let is_new = matches!(unknown, Unknown::New);
    let limited = row.limits[0].is_set() || row.limits[1].is_set();
    let [a, b] = client.0;
    if is_new && limited && !is_admitted(env, left, row, a, b) {
        return Err(Outcome::drop(Reason::Limited));
    }
    let version = &row.versions[choice.version & (MAX_VERSIONS - 1)];
    let family = client.v6_flag() as usize & 1;
    let empty = version.empty[family];
    let backend = in_table(env, version.tables[family], choice.cell);
    if is_new && (empty != Empty::No as u16 || backend == 0) {
        env.count_empty(left.service, choice.version);
    }
    if backend == 0 {
        let dropped = Outcome::drop(Reason::VersionEmpty);
        return Err(if is_tcp && empty == Empty::Reset as u16 {
            dropped.aside(Aside::Refuse)
        } else {
            dropped
        });
    }
    if env
        .backend(backend)
        .is_some_and(|row| row.address == client)
    {
        return Err(Outcome::drop(Reason::Hairpin));
    }
    let (state, reason) = match unknown {
        Unknown::New => (0, Reason::NewFlow),
        Unknown::Adopt | Unknown::AdoptOnce => (state::ADOPTED, Reason::Adopted),
    };
    let mark = if is_new && choice.judged != 0 {
        evidence::decided(env, parsed, row, choice.version as u32, choice.once);
        Mark::judged(row.slot as u32)
    } else {
        Mark::default()
    };
    // What is met in the middle shows nothing of its client: that is not to be remembered.
    let kept = if is_new { traits } else { 0 };
    if !matches!(unknown, Unknown::AdoptOnce) {
        let owner = backend as u64 | (kept as u64) << 16 | (row.generation as u64) << 32;
        remember(
            env,
            parsed,
            left,
            owner,
            choice.version as u64
                | (state as u64) << 8
                | (mark.0 as u64) << 24
                | (choice.once as u64) << 32,
        );
    }
    if is_new {
        count_new(env, left, choice, backend, is_tcp);
    } else {
        env.count(backend, Counter::Adopted);
    }
    Ok((backend, reason))
}

/// Counts a flow that was decided and begins.
#[inline(always)]
fn count_new<E: Env>(env: &E, left: &Left, choice: &Choice, backend: u32, is_tcp: bool) {
    env.count_begun(backend, is_tcp as u64);
    env.count_assigned(left.service, choice.place, choice.assigned);
    if choice.version != choice.assigned {
        env.count(backend, Counter::Diverted);
    }
}
