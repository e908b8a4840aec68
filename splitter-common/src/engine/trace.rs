//! Owns what is told of a packet to whoever traces its client, once it has ended: a program of its own,
//! which no packet reaches while nobody traces. It changes nothing, and finds out anew what the programs
//! before it have found.

use super::{
    Directory, Env, Outcome, Parsed, alive,
    decision::{conditions, in_table, question, row_of},
    reply, request,
    send::is_vouched,
    traits,
};
use crate::{
    capacity::TRACES,
    decide::decide_watched,
    flow::Table,
    layout::Control,
    packet::{ICMP, ICMP6},
    reason::Verdict,
    trace::{Known, RATE, Traced},
};

/// Whether somebody may want to be told of a packet that ended so.
#[inline(always)]
pub fn is_traced<E: Env>(env: &E, outcome: &Outcome) -> bool {
    // What passes untouched may not have been kept: another packet's would be told.
    !matches!(outcome.verdict, Verdict::Pass) && is_anyone_tracing(env)
}

/// The same of a packet that did not pass untouched.
#[inline(always)]
pub fn is_anyone_tracing<E: Env>(env: &E) -> bool {
    let until = env.control(Control::TracedUntil);
    // With the daemon dead nobody takes the time away that a trace had.
    until != 0 && env.jiffies().0 < until
}

/// Whose flow a packet is of.
struct Whose {
    /// One more than the number of the service; 0: of none.
    service: u64,
    born: u32,
    reply: u8,
}

/// A packet that ended with `ended` for reason and verdict.
#[inline(always)]
pub(super) fn process<E: Env>(env: &E, parsed: &Parsed, ended: u32) {
    let whose = whose(env, parsed);
    let now = env.jiffies().0;
    let ends = [parsed.network.source, parsed.network.destination];
    let mut rows = 0;
    for index in 0..TRACES {
        if let Some(row) = env.trace_row(index) {
            rows |= row.asks(now, whose.service, ends) << index;
        }
    }
    if rows == 0 {
        return;
    }
    let at_ns = env.now_ns();
    let Some(due_ns) = RATE.admit(env.control(Control::TraceDue), at_ns) else {
        env.count_untold();
        return;
    };
    env.set_control(Control::TraceDue, due_ns);
    let mut traced = Traced {
        at_ns,
        source: parsed.network.source,
        destination: parsed.network.destination,
        untold: env.control(Control::Untold),
        source_port: parsed.transport.source_port,
        destination_port: parsed.transport.destination_port,
        protocol: parsed.network.protocol,
        flags: parsed.transport.segment.flags,
        ended,
        length: parsed.network.length,
        ifindex: env.ingress_ifindex(),
        rows: rows as u8,
        reply: whose.reply,
        ..Traced::default()
    };
    if whose.service != 0 {
        decided(env, parsed, &whose, &mut traced);
    }
    if !env.trace(&traced) {
        env.count_untold();
    }
}

/// What the service has to say, and what is known of the flow.
#[inline(always)]
fn decided<E: Env>(env: &E, parsed: &Parsed, whose: &Whose, traced: &mut Traced) {
    let service = (whose.service - 1) as u32;
    traced.service = service as u16;
    traced.has = 1;
    let traits = known(env, parsed, whose, traced);
    if let Some(row) = row_of(env, service) {
        let question = question(&parsed.key.key.get(), parsed.network.protocol);
        // A flow that was met in the middle keeps none.
        let traits = if traits == 0 {
            traits::of_client(env, row, question.client, service)
        } else {
            traits
        };
        let holds = conditions(env, row, question.client, traits);
        let decision = decide_watched(row, &question, holds, is_vouched(env));
        traced.hash = decision.u;
        traced.place = decision.place as u8;
        traced.assigned = decision.assigned as u8;
        if traced.known == 0 {
            traced.version = decision.version as u8;
            traced.backend = in_table(env, decision.table, decision.cell);
        }
    }
}

/// What is known of the flow, and the traits that it was decided by.
#[inline(always)]
fn known<E: Env>(env: &E, parsed: &Parsed, whose: &Whose, traced: &mut Traced) -> u32 {
    for (table, known) in [
        (Table::Established, Known::Established),
        (Table::Pending, Known::Pending),
    ] {
        if let Some(cell) = env.flow(table, &parsed.key)
            && let Some(found) = alive(env, cell, table, &parsed.key, whose.born)
        {
            traced.known = known as u8;
            traced.version = found.entry.version;
            traced.backend = found.entry.backend;
            traced.generation = found.entry.generation;
            return found.entry.traits.0 as u32;
        }
    }
    0
}

/// The flow of a packet, as it came.
#[inline(always)]
fn whose<E: Env>(env: &E, parsed: &Parsed) -> Whose {
    let none = Whose {
        service: 0,
        born: 0,
        reply: 0,
    };
    let protocol = parsed.network.protocol;
    if protocol == ICMP || protocol == ICMP6 {
        return none;
    }
    let Some(directory) = Directory::in_force(env) else {
        return none;
    };
    if let Some(vip) = directory.dialled(parsed) {
        env.keep_key(&parsed.key, request::key_of(parsed, vip.frontend));
        return Whose {
            service: 1 + vip.number as u64,
            born: vip.born,
            reply: 0,
        };
    }
    let Some(backend) = directory.origin(parsed) else {
        return none;
    };
    let Some(frontend) = env.frontend(backend.frontend as u32) else {
        return none;
    };
    let key = reply::key_of(parsed, backend.frontend, frontend);
    env.keep_key(&parsed.key, key);
    Whose {
        service: 1 + frontend.service as u64,
        born: frontend.born,
        reply: 1,
    }
}
