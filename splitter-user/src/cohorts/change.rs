//! Owns what a change on disk makes of the kernel's table: for each address that it touches, all that is
//! to stand there.

use std::{collections::HashMap, net::IpAddr};

use rusqlite::{Connection, Statement};
use splitter_common::{
    address::Address,
    clock::Jiffies,
    cohort::{MemberRow, Membership},
};

use super::clock::Time;

/// What the kernel's table must be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Addresses and what is to stand there of them.
    pub put: Vec<(Address, MemberRow)>,
    /// Addresses that are in no cohort any more.
    pub gone: Vec<Address>,
}

/// What stands on disk of one address: cohort and end.
pub(super) type Standing = Vec<(i64, Option<u64>)>;
pub(super) const STANDING: &str = "SELECT cohort, until_ms FROM members WHERE address = ?1";
pub(super) fn standing(one: &mut Statement<'_>, address: [u8; 16]) -> rusqlite::Result<Standing> {
    let one = one.query_map([address], |row| Ok((row.get(0)?, row.get(1)?)))?;
    one.collect()
}

/// A change under way, and what it makes of the kernel's table.
pub(super) struct Change<'s> {
    pub(super) db: &'s Connection,
    time: Time,
    now: Jiffies,
    pub(super) now_ms: u64,
    /// Of cohorts by their row.
    numbers: &'s HashMap<i64, u32>,
    pub(super) changes: Changes,
}

impl<'s> Change<'s> {
    pub(super) fn new(
        db: &'s Connection,
        time: Time,
        now: Jiffies,
        numbers: &'s HashMap<i64, u32>,
    ) -> Self {
        Self {
            db,
            time,
            now,
            now_ms: time.ms(now),
            numbers,
            changes: Changes::default(),
        }
    }

    /// Whether a membership of that end holds, as the kernel sees it.
    pub(super) fn holds(&self, end_ms: Option<u64>) -> bool {
        let until = self.time.until(end_ms);
        Membership { cohort: 0, until }.holds(self.now)
    }

    /// Notes what is to stand in the kernel of an address, by what stands on disk.
    pub(super) fn tell(&mut self, address: [u8; 16]) -> rusqlite::Result<()> {
        let standing = standing(&mut *self.db.prepare_cached(STANDING)?, address)?;
        if standing.is_empty() {
            self.changes.gone.push(from_bytes(address));
        } else {
            self.tell_of(from_bytes(address), &standing);
        }
        Ok(())
    }

    pub(super) fn tell_of(&mut self, address: Address, standing: &Standing) {
        let live = standing.iter().filter(|(_, end)| self.holds(*end));
        let live = live.filter_map(|(id, end)| {
            Some(Membership {
                cohort: *self.numbers.get(id)?,
                until: self.time.until(*end),
            })
        });
        let live: Vec<Membership> = live.collect();
        self.changes
            .put
            .push((address, MemberRow::new(address, &live)));
    }

    /// What it came to; notes where time stands.
    pub(super) fn finish(self) -> rusqlite::Result<Changes> {
        self.db
            .prepare_cached("UPDATE clock SET seen_ms = max(seen_ms, ?1)")?
            .execute([self.now_ms])?;
        Ok(self.changes)
    }
}

pub(super) fn from_bytes(address: [u8; 16]) -> Address {
    Address::from(IpAddr::from(address))
}
