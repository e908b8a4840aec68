//! Owns the backend's side under nat: the flow by the reverse tuple, and the VIP put back.

use super::{
    Aside, Env, Found, Outcome, Parsed, Route, establish, find, insert,
    measure::Told,
    remove,
    send::{self, Decided, Forward},
    service_row, tells,
};
use crate::{
    address::{Address, is_zero, select},
    edit::{End, Rewrite},
    evidence::Mark,
    flow::{
        Cell, Entry, Hop, KeptKey, Table,
        entry::state,
        hop::{NO_HOP, load_hop, store_hop},
        law,
        turns::{Answered, Asked, Speech},
    },
    layout::{Counter, Endpoint, FlowKey, FrontendRow, Word},
    packet::{
        TCP,
        tcp_flags::{ACK, RST, SYN},
    },
    reason::{Reason, Verdict},
    traits::Traits,
};

/// The key of a packet of a backend that serves this frontend: the one of its client's packets.
#[inline(always)]
pub(super) fn key_of(parsed: &Parsed, number: u16, frontend: &FrontendRow) -> FlowKey {
    // A VIP of every port is dialled at the port that the backend answers from.
    let every_port = is_zero(frontend.port as u64);
    let port = select(
        every_port,
        parsed.transport.source_port as u64,
        frontend.port as u64,
    );
    FlowKey {
        client: parsed.network.destination,
        client_port: parsed.transport.destination_port,
        frontend: number,
        port: port as u16,
        zero: 0,
    }
}

/// A packet from a backend's address and port.
#[inline(always)]
pub(super) fn process<E: Env>(env: &E, parsed: &Parsed, backend: &Endpoint) -> Decided {
    let flags = parsed.transport.segment.flags & (SYN | ACK);
    let Some(frontend) = env.frontend(backend.frontend as u32) else {
        return Decided::end(Outcome::inconsistent(
            Verdict::Pass,
            backend.frontend as u32,
        ));
    };
    let key = &parsed.key;
    env.keep_key(key, key_of(parsed, backend.frontend, frontend));
    if flags == SYN {
        remember_own(env, parsed, backend, frontend, key);
        return Decided::end(Outcome::pass(Reason::ReplyWithoutFlow));
    }
    let Some(found) = flow_of(env, backend, key, flags) else {
        return without_flow(env, parsed, backend, frontend);
    };
    if found.found.entry.state & state::OWN != 0 {
        return Decided::end(Outcome::pass(Reason::ReplyWithoutFlow));
    }
    if found.found.entry.backend != backend.number {
        // The client has a flow under these ports with another backend; this must not reach it.
        return Decided::end(Outcome::drop(Reason::ReplyOfOtherBackend));
    }
    // A RST is never answered with one: who is reset is told by the other end.
    if found.found.entry.state & state::CUT != 0 && !is_reset(parsed) {
        let cut = Outcome::drop(Reason::FlowCut);
        return Decided::end(if parsed.network.protocol == TCP {
            cut.aside(Aside::Reset)
        } else {
            cut
        });
    }
    if parsed.network.ttl <= 1 {
        return Decided::end(Outcome::drop(Reason::TtlExpired));
    }
    let (entry, promote) = match found.table {
        Table::Established => (on_established(env, parsed, &found.found), false),
        Table::Pending => on_pending(env, parsed, &found.found),
    };
    let vip = (frontend.address, key.key.get().port);
    let hop = way_back(env, parsed, &found.found, key.tag.get(), vip.0);
    if promote {
        establish(env, key, &found.found, &entry);
    }
    Decided::on(to_client(vip, hop, entry.backend, Reason::Reply))
}

#[inline(always)]
const fn is_reset(parsed: &Parsed) -> bool {
    parsed.transport.segment.flags & RST != 0
}

/// A bare SYN is the backend's own connection. From the port that it serves at, what follows would
/// look like replies without flow: noted, unless a client has a live flow under the same ports, be
/// its handshake complete or not.
#[inline(always)]
fn remember_own<E: Env>(
    env: &E,
    parsed: &Parsed,
    backend: &Endpoint,
    frontend: &FrontendRow,
    key: &KeptKey,
) {
    if let Some(found) = find(env, Table::Established, key, backend.born)
        && !law::is_over(&found.entry, parsed.now)
    {
        return;
    }
    if let Some(found) = find(env, Table::Pending, key, backend.born) {
        if !law::is_over(&found.entry, parsed.now) {
            return;
        }
        // A SYN-ACK goes by what is pending first.
        remove(env, Table::Pending, key);
    }
    let word = Word::unpack(env.service_word(frontend.service as u32));
    let entry = Entry {
        generation: word.generation,
        backend: backend.number,
        service: frontend.service,
        version: 0,
        mark: Mark::default(),
        state: state::OWN,
        checked: word.generation,
        seen: parsed.now.jiffies,
        began: parsed.now.jiffies,
        client_seq: 0,
        server_seq: 0,
        syn_us: 0,
        once: 0,
        traits: Traits::NONE,
    };
    insert(env, Table::Established, key, &entry, NO_HOP);
}

/// A packet of no known flow: the VIP is put back where the source says which one, so that replies
/// survive a lost entry. Not to this host, whose probes are answered so, nor to those who speak to
/// backends directly.
#[inline(always)]
fn without_flow<E: Env>(
    env: &E,
    parsed: &Parsed,
    backend: &Endpoint,
    frontend: &FrontendRow,
) -> Decided {
    let client = parsed.network.destination;
    if !may_be_stateless(env, backend, frontend, client) {
        return Decided::end(Outcome::pass(Reason::ReplyWithoutFlow));
    }
    let route = env.route(&parsed.network, frontend.address, client);
    if matches!(route, Route::NotForwarded) {
        return Decided::end(Outcome::pass(Reason::ReplyWithoutFlow));
    }
    if parsed.network.ttl <= 1 {
        return Decided::end(Outcome::drop(Reason::TtlExpired));
    }
    let vip = (frontend.address, frontend.port);
    Decided::on(to_client(
        vip,
        route.hop(),
        backend.number,
        Reason::ReplyStateless,
    ))
}

/// Whether what a backend sends to `client` without a known flow can only be a reply.
#[inline(always)]
pub(super) fn may_be_stateless<E: Env>(
    env: &E,
    backend: &Endpoint,
    frontend: &FrontendRow,
    client: Address,
) -> bool {
    // A backend of a VIP of every port serves at all of its ports: any connection of its own would
    // be taken for a reply.
    backend.port != 0
        && service_row(env, frontend.service as u32)
            .is_some_and(|row| env.listed(row.direct, client, 0) == 0)
}

/// A reply on its way to its client, with the VIP as its source.
#[inline(always)]
fn to_client(vip: (Address, u16), hop: Hop, backend: u32, reason: Reason) -> Forward {
    Forward {
        to: Rewrite {
            end: End::Source,
            address: vip.0,
            port: vip.1,
        },
        hop,
        backend,
        reason,
    }
}

struct Flow<C> {
    table: Table,
    found: Found<C>,
}

/// The entry that a backend's packet belongs to: the established one, unless the packet is a
/// SYN-ACK for a handshake that waits for it, or the flow is another backend's by now.
#[inline(always)]
fn flow_of<E: Env>(env: &E, backend: &Endpoint, key: &KeptKey, flags: u8) -> Option<Flow<E::Cell>> {
    // Read again rather than kept across the next look-up, as in `request::tcp`.
    let mut live = false;
    if flags != SYN | ACK
        && let Some(found) = find(env, Table::Established, key, backend.born)
    {
        // A backend's own connection is known by its ports alone, and goes before what is over.
        let own = found.entry.state & state::OWN != 0;
        if own || found.entry.backend == backend.number {
            return Some(Flow {
                table: Table::Established,
                found,
            });
        }
        live = true;
    }
    if let Some(found) = find(env, Table::Pending, key, backend.born) {
        return Some(Flow {
            table: Table::Pending,
            found,
        });
    }
    if !live && flags != SYN | ACK {
        return None;
    }
    find(env, Table::Established, key, backend.born).map(|found| Flow {
        table: Table::Established,
        found,
    })
}

#[inline(always)]
fn on_established<E: Env>(env: &E, parsed: &Parsed, found: &Found<E::Cell>) -> Entry {
    let reply = law::reply_established(found.entry, &parsed.transport.segment, parsed.now);
    if reply.write {
        reply.entry.store_state(&found.cell);
    }
    if reply.reset {
        env.count(reply.entry.backend, Counter::ResetsByServer);
        if !Answered::load(&found.cell).spoke {
            env.count(reply.entry.backend, Counter::ResetsByServerEarly);
        }
    }
    let resets = reply.reset as u64 * reply.entry.mark.is_judged() * tells::RESETS;
    Told::new(resets | speaks(parsed, found), 0).note(env, parsed);
    reply.entry
}

/// What payload of a backend tells; it is noted here as far as it has gone on speaking.
#[inline(always)]
fn speaks<C: Cell>(parsed: &Parsed, found: &Found<C>) -> u64 {
    let segment = &parsed.transport.segment;
    if segment.payload == 0 || found.entry.state & state::ADOPTED != 0 {
        return 0;
    }
    let answered = Answered::load(&found.cell);
    match answered.says(&Asked::load(&found.cell), segment.seq, segment.payload) {
        Speech::Again => 0,
        Speech::GoesOn(after) => {
            after.store(&found.cell);
            0
        }
        Speech::Ends => tells::ANSWERS,
    }
}

/// The entry after the packet, and whether it belongs into the established table now.
#[inline(always)]
fn on_pending<E: Env>(env: &E, parsed: &Parsed, found: &Found<E::Cell>) -> (Entry, bool) {
    if parsed.network.protocol != TCP {
        // A datagram back: the flow is answered.
        let enters = found.entry.tells_entry() * tells::ENTERS;
        Told::new(enters, found.entry.once).note(env, parsed);
        return (
            Entry {
                seen: parsed.now.jiffies,
                ..found.entry
            },
            true,
        );
    }
    let reply = law::reply_pending(found.entry, &parsed.transport.segment, parsed.now);
    reply.entry.store_seqs(&found.cell);
    reply.entry.store_state(&found.cell);
    if reply.answered {
        env.count(reply.entry.backend, Counter::SynsAnswered);
    }
    if reply.completed {
        env.count(reply.entry.backend, Counter::Handshakes);
    }
    if reply.reset {
        env.count(reply.entry.backend, Counter::ResetsByServer);
        env.count(reply.entry.backend, Counter::ResetsByServerEarly);
    }
    let refuses = reply.entry.mark.is_judged() * reply.reset as u64 * tells::REFUSES;
    let enters = reply.entry.tells_entry() * reply.promote as u64 * tells::ENTERS;
    let accepts = reply.answered as u64 * tells::ACCEPTS;
    Told::new(refuses | enters | accepts, found.entry.once).note(env, parsed);
    (reply.entry, reply.promote)
}

/// The way to the client: learned once per flow and route epoch, then kept in the entry.
#[inline(always)]
fn way_back<E: Env>(
    env: &E,
    parsed: &Parsed,
    found: &Found<E::Cell>,
    tag: u32,
    vip: Address,
) -> Hop {
    let (hop, learned) = send::client_hop(env, parsed, vip, tag, load_hop(&found.cell));
    if let Some(words) = learned {
        store_hop(&found.cell, words);
    }
    hop
}
