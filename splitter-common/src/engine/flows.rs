//! Owns the engine's dealings with the flow tables, what counts as an entry and how one gets in, and
//! with the row of the service that decides about new ones.

use super::Env;
use crate::{
    flow::{Entry, KeptKey, Table, hop::load_hop},
    layout::{Counter, ServiceRow, TableEvent, Word},
};

/// The row of a service that is in force.
#[inline(always)]
pub(super) fn service_row<E: Env>(env: &E, service: u32) -> Option<&ServiceRow> {
    let word = Word::unpack(env.service_word(service));
    env.service(2 * service + word.side)
}

/// A flow's live element and what it held.
pub(super) struct Found<C> {
    pub(super) cell: C,
    pub(super) entry: Entry,
}

/// The usable entry of a key.
#[inline(always)]
pub(super) fn find<E: Env>(
    env: &E,
    table: Table,
    key: &KeptKey,
    frontend_born: u32,
) -> Option<Found<E::Cell>> {
    alive(env, env.flow(table, key)?, table, key, frontend_born)
}

/// An element's entry, if it is usable: its tag fits, and no number that it names was given to
/// another owner since it was made. A backend is never older than its service and version, so its
/// birth and the frontend's are enough.
#[inline(always)]
pub(super) fn alive<E: Env>(
    env: &E,
    cell: E::Cell,
    table: Table,
    key: &KeptKey,
    frontend_born: u32,
) -> Option<Found<E::Cell>> {
    let entry = Entry::load(&cell, table, key.tag.get())?;
    let row = env.backend(entry.backend)?;
    let alive = entry.generation >= frontend_born && entry.generation >= row.born;
    alive.then_some(Found { cell, entry })
}

/// Enters a flow and counts a refusal.
#[inline(always)]
pub(super) fn insert<E: Env>(env: &E, table: Table, key: &KeptKey, entry: &Entry, hop: [u64; 3]) {
    if env.insert(table, key, &entry.pack(table, key.tag.get(), hop)) {
        env.count_table(match table {
            Table::Pending => TableEvent::PendingInserts,
            Table::Established => TableEvent::EstablishedInserts,
        });
    } else {
        env.count(entry.backend, Counter::InsertsRefused);
    }
}

/// Moves a flow from pending to established with the way back that it has learned.
#[inline(always)]
pub(super) fn establish<E: Env>(env: &E, key: &KeptKey, found: &Found<E::Cell>, entry: &Entry) {
    insert(env, Table::Established, key, entry, load_hop(&found.cell));
    remove(env, Table::Pending, key);
}

/// Takes a flow out.
#[inline(always)]
pub(super) fn remove<E: Env>(env: &E, table: Table, key: &KeptKey) {
    env.remove(table, key);
    env.count_table(match table {
        Table::Pending => TableEvent::PendingRemovals,
        Table::Established => TableEvent::EstablishedRemovals,
    });
}
