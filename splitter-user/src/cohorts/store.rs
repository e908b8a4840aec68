//! Owns the writing of cohorts: each change in one transaction, and what it makes of the kernel's table.
//!
//! Invariant: what is counted in memory is what was committed. Addresses stand in the order of their
//! bytes, so that those of one import are written one behind the other.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use splitter_common::{
    address::Address,
    capacity::{COHORTS_OF_MEMBER, MAX_COHORTS},
    clock::Jiffies,
    cohort::{self, MemberRow},
};

use super::{
    Changes, CohortError, Lines,
    change::{Change, STANDING, Standing, from_bytes, standing},
    clock::{Now, Time},
    lines::in_order,
    schema::{FILE, FORM},
};
use crate::database::{self, DatabaseError};

/// Rows that are handed on at once.
const AT_ONCE: usize = 4_096;

/// A cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    id: i64,
    /// Its number in the kernel.
    pub number: u32,
    /// Members, those among them whose time was up since the last sweep.
    pub members: u64,
    /// When it was made, RFC 3339.
    pub at: String,
    /// By whom.
    pub by: String,
    /// Why, if they said so.
    pub reason: Option<String>,
}

/// What became of members that were to be entered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// Who was not in the cohort before.
    pub added: u64,
    /// Who was, and has the new end and reference.
    pub renewed: u64,
    /// Whether anything was done.
    pub done: bool,
    /// Lines that were left out.
    pub left_out: Lines,
    /// For the kernel.
    pub changes: Changes,
}

/// Cohorts on disk.
pub struct Store {
    path: PathBuf,
    db: Connection,
    time: Time,
    cohorts: BTreeMap<String, Cohort>,
    addresses: u64,
}

const ENTER: &str = "INSERT INTO members VALUES (?1, ?2, ?3, ?4)";
const RENEW: &str =
    "UPDATE members SET until_ms = ?3, reference = ?4 WHERE address = ?1 AND cohort = ?2";

impl Store {
    /// Opens the database in a directory. A damaged one is moved aside, and where to is told.
    pub fn open(dir: &Path, now: &Now) -> Result<(Self, Option<String>), DatabaseError> {
        let path = dir.join(FILE);
        match Self::open_at(&path, now) {
            Err(error) if error.is_damage() => {
                let aside = database::move_aside(&path)?;
                let told = format!(
                    "{error}: there are no cohorts any more, what there was is in {}; create them \
                     and import their members again",
                    aside.display()
                );
                Ok((Self::open_at(&path, now)?, Some(told)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn open_at(path: &Path, now: &Now) -> Result<Self, DatabaseError> {
        let db = database::open(path, &FORM)?;
        let read = || -> rusqlite::Result<(Time, BTreeMap<String, Cohort>, u64)> {
            // Imports touch many pages; in KiB where negative.
            db.pragma_update(None, "cache_size", -16_384)?;
            let addresses = "SELECT count(*) FROM (SELECT DISTINCT address FROM members)";
            let addresses = db.query_row(addresses, [], |row| row.get(0))?;
            Ok((time(&db, now)?, cohorts(&db)?, addresses))
        };
        let (time, cohorts, addresses) = read().map_err(DatabaseError::sql(path))?;
        Ok(Self {
            path: path.to_owned(),
            db,
            time,
            cohorts,
            addresses,
        })
    }

    /// The time of ends.
    pub const fn time(&self) -> Time {
        self.time
    }

    /// Every cohort by name.
    pub const fn cohorts(&self) -> &BTreeMap<String, Cohort> {
        &self.cohorts
    }

    /// Addresses that are in one, or were until the last sweep.
    pub const fn addresses(&self) -> u64 {
        self.addresses
    }

    /// What changes would come to: they are made, and taken back.
    pub fn foresee<T>(
        &mut self,
        make: impl FnOnce(&mut Self) -> Result<T, CohortError>,
    ) -> Result<T, CohortError> {
        let failed = DatabaseError::sql(&self.path);
        self.db.execute_batch("BEGIN").map_err(failed)?;
        let (cohorts, addresses) = (self.cohorts.clone(), self.addresses);
        let made = make(self);
        (self.cohorts, self.addresses) = (cohorts, addresses);
        let failed = DatabaseError::sql(&self.path);
        self.db.execute_batch("ROLLBACK").map_err(failed)?;
        made
    }

    /// Makes a cohort. `asked`: the names that segments ask for, of cohorts that may come.
    pub fn create(
        &mut self,
        name: &str,
        made: (&str, &str, Option<&str>),
        asked: &[String],
    ) -> Result<(), CohortError> {
        CohortError::check_name(name)?;
        if self.cohorts.contains_key(name) {
            return Err(CohortError::Exists(name.to_owned()));
        }
        let number = cohort::number(name);
        let mut others = self.cohorts.keys().chain(asked);
        if let Some(other) = others.find(|other| *other != name && cohort::number(other) == number)
        {
            return Err(CohortError::SameNumber {
                name: name.to_owned(),
                other: other.clone(),
            });
        }
        if self.cohorts.len() >= MAX_COHORTS {
            return Err(CohortError::TooMany);
        }
        let (by, at, reason) = made;
        let insert = "INSERT INTO cohorts (name, at, by, reason) VALUES (?1, ?2, ?3, ?4)";
        let done = self.db.execute(insert, params![name, at, by, reason]);
        done.map_err(DatabaseError::sql(&self.path))?;
        let cohort = Cohort {
            id: self.db.last_insert_rowid(),
            number,
            members: 0,
            at: at.to_owned(),
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        };
        self.cohorts.insert(name.to_owned(), cohort);
        Ok(())
    }

    /// Deletes a cohort; how many members it had.
    pub fn delete(&mut self, name: &str, now: Jiffies) -> Result<(u64, Changes), CohortError> {
        let own = self.find(name)?.id;
        let (count, changes) = self.change(now, |change| {
            let mut members = change
                .db
                .prepare("SELECT address FROM members WHERE cohort = ?1")?;
            let members = members.query_map([own], |row| row.get(0))?;
            let members = members.collect::<rusqlite::Result<Vec<[u8; 16]>>>()?;
            change
                .db
                .execute("DELETE FROM members WHERE cohort = ?1", [own])?;
            change
                .db
                .execute("DELETE FROM cohorts WHERE id = ?1", [own])?;
            for address in &members {
                change.tell(*address)?;
            }
            Ok(members.len() as u64)
        })?;
        self.addresses -= changes.gone.len() as u64;
        self.cohorts.remove(name);
        Ok((count, changes))
    }

    /// Takes an address out of a cohort; `None` when it was not in it.
    pub fn remove(
        &mut self,
        name: &str,
        address: Address,
        now: Jiffies,
    ) -> Result<Option<Changes>, CohortError> {
        let own = self.find(name)?.id;
        let (there, changes) = self.change(now, |change| {
            let delete = "DELETE FROM members WHERE address = ?1 AND cohort = ?2";
            let there = change.db.execute(delete, params![address.bytes(), own])? == 1;
            if there {
                change.tell(address.bytes())?;
            }
            Ok(there)
        })?;
        self.addresses -= changes.gone.len() as u64;
        if there && let Some(cohort) = self.cohorts.get_mut(name) {
            cohort.members -= 1;
        }
        Ok(there.then_some(changes))
    }

    /// Enters members: all of them, or, with `skip`, those of the good lines. Who is one gets the new
    /// end and reference; of an address that is named twice the last line holds.
    pub fn put(
        &mut self,
        name: &str,
        lines: Lines,
        skip: bool,
        capacity: u32,
        now: Jiffies,
    ) -> Result<Put, CohortError> {
        let own = self.find(name)?.id;
        let room = u64::from(capacity).saturating_sub(self.addresses);
        let names: HashMap<i64, &str> = self
            .cohorts
            .iter()
            .map(|(name, cohort)| (cohort.id, name.as_str()))
            .collect();
        let numbers = numbers(&self.cohorts);
        let failed = DatabaseError::sql(&self.path);
        let transaction = self.db.savepoint().map_err(failed)?;
        let mut change = Change::new(&transaction, self.time, now, &numbers);
        let prepare = |sql| transaction.prepare_cached(sql).map_err(failed);
        let mut one = prepare(STANDING)?;
        let (mut enter, mut renew) = (prepare(ENTER)?, prepare(RENEW)?);
        let Lines {
            good,
            bad,
            bad_count,
        } = lines;
        let mut put = Put {
            left_out: Lines {
                good: Vec::new(),
                bad,
                bad_count,
            },
            ..Put::default()
        };
        let mut new = 0;
        for line in in_order(good) {
            let (number, bytes) = (line.number, line.address.bytes());
            let mut standing = standing(&mut one, bytes).map_err(failed)?;
            let others = standing
                .iter()
                .filter(|(id, end)| *id != own && change.holds(*end));
            let others: Vec<&str> = others
                .filter_map(|(id, _)| names.get(id).copied())
                .collect();
            if others.len() >= COHORTS_OF_MEMBER {
                let why = CohortError::InTooMany {
                    address: IpAddr::from(line.address).to_string(),
                    names: others.join(", "),
                };
                put.left_out.refuse(number, why.to_string());
                continue;
            }
            new += u64::from(standing.is_empty());
            if new > room {
                return Err(CohortError::Full { capacity });
            }
            let end_ms = line
                .ttl_ms
                .map(|ttl_ms| change.now_ms.saturating_add(ttl_ms));
            let write = match standing.iter_mut().find(|(id, _)| *id == own) {
                Some((_, end)) => {
                    *end = end_ms;
                    put.renewed += 1;
                    &mut renew
                }
                None => {
                    standing.push((own, end_ms));
                    put.added += 1;
                    &mut enter
                }
            };
            let row = params![bytes, own, end_ms, line.reference.as_deref()];
            write.execute(row).map_err(failed)?;
            change.tell_of(line.address, &standing);
        }
        if put.left_out.bad_count > 0 && !skip {
            return Ok(Put {
                left_out: put.left_out,
                ..Put::default()
            });
        }
        put.changes = change.finish().map_err(failed)?;
        drop((one, enter, renew));
        transaction.commit().map_err(failed)?;
        put.done = true;
        self.addresses += new;
        if let Some(cohort) = self.cohorts.get_mut(name) {
            cohort.members += put.added;
        }
        Ok(put)
    }

    /// Sweeps members away whose time is up, at most so many; how many those were.
    pub fn sweep(&mut self, most: usize, now: Jiffies) -> Result<(usize, Changes), CohortError> {
        let mut found = self
            .due(most, now)
            .map_err(DatabaseError::sql(&self.path))?;
        if found.is_empty() {
            return Ok((0, Changes::default()));
        }
        let (_, changes) = self.change(now, |change| {
            let delete = "DELETE FROM members WHERE address = ?1 AND cohort = ?2";
            let mut delete = change.db.prepare_cached(delete)?;
            for (address, cohort) in &found {
                delete.execute(params![address, cohort])?;
            }
            let mut addresses: Vec<[u8; 16]> = found.iter().map(|(address, _)| *address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses
                .into_iter()
                .try_for_each(|address| change.tell(address))
        })?;
        self.addresses -= changes.gone.len() as u64;
        let swept = found.len();
        for (_, id) in found.drain(..) {
            let mut all = self.cohorts.values_mut();
            if let Some(cohort) = all.find(|cohort| cohort.id == id) {
                cohort.members -= 1;
            }
        }
        Ok((swept, changes))
    }

    fn due(&self, most: usize, now: Jiffies) -> rusqlite::Result<Vec<([u8; 16], i64)>> {
        let due =
            "SELECT address, cohort FROM members WHERE until_ms <= ?1 ORDER BY until_ms LIMIT ?2";
        let mut due = self.db.prepare_cached(due)?;
        let due = due.query_map(params![self.time.ms(now), most as u64], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        due.collect()
    }

    /// Hands on all that must stand in the kernel, some addresses at a time.
    pub fn rows<E: From<DatabaseError>>(
        &self,
        now: Jiffies,
        mut each: impl FnMut(&[(Address, MemberRow)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = DatabaseError::sql(&self.path);
        let numbers = numbers(&self.cohorts);
        let mut change = Change::new(&self.db, self.time, now, &numbers);
        let all = "SELECT address, cohort, until_ms FROM members ORDER BY address";
        let mut all = self.db.prepare(all).map_err(failed)?;
        let mut all = all.query([]).map_err(failed)?;
        let mut last: Option<[u8; 16]> = None;
        let mut standing = Standing::new();
        loop {
            let row = all.next().map_err(failed)?;
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<_> {
                Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
            };
            let row: Option<([u8; 16], _)> = row.map(read).transpose().map_err(failed)?;
            let address = row.map(|(address, _)| address);
            if let Some(done) = last
                && address != last
            {
                change.tell_of(from_bytes(done), &standing);
                standing.clear();
            }
            if change.changes.put.len() >= AT_ONCE || address.is_none() {
                each(&change.changes.put)?;
                change.changes = Changes::default();
            }
            let Some((_, one)) = row else {
                return Ok(());
            };
            standing.push(one);
            last = address;
        }
    }

    /// Whether anything stands on disk of an address.
    pub fn stands(&self, address: Address) -> Result<bool, DatabaseError> {
        let one = "SELECT 1 FROM members WHERE address = ?1";
        let found = self.db.prepare_cached(one);
        let found = found.and_then(|mut one| one.exists([address.bytes()]));
        found.map_err(DatabaseError::sql(&self.path))
    }

    fn find(&self, name: &str) -> Result<&Cohort, CohortError> {
        let found = self.cohorts.get(name);
        found.ok_or_else(|| CohortError::None(name.to_owned()))
    }

    /// One change in one transaction.
    fn change<T>(
        &mut self,
        now: Jiffies,
        make: impl FnOnce(&mut Change<'_>) -> rusqlite::Result<T>,
    ) -> Result<(T, Changes), CohortError> {
        let numbers = numbers(&self.cohorts);
        let time = self.time;
        let all = || -> rusqlite::Result<(T, Changes)> {
            let transaction = self.db.savepoint()?;
            let mut change = Change::new(&transaction, time, now, &numbers);
            let made = make(&mut change)?;
            let changes = change.finish()?;
            transaction.commit()?;
            Ok((made, changes))
        };
        Ok(all().map_err(DatabaseError::sql(&self.path))?)
    }
}

fn numbers(cohorts: &BTreeMap<String, Cohort>) -> HashMap<i64, u32> {
    let all = cohorts.values();
    all.map(|cohort| (cohort.id, cohort.number)).collect()
}

/// The time of ends, which goes on within a boot and begins anew with the next.
fn time(db: &Connection, now: &Now) -> rusqlite::Result<Time> {
    let known = "SELECT boot, jiffies, ms, seen_ms FROM clock";
    let known = db.query_row(known, [], |row| {
        let boot: String = row.get(0)?;
        Ok((boot, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let seen_ms = match known.optional()? {
        Some((boot, jiffies, ms, _)) if boot == now.boot => {
            return Ok(Time {
                ms,
                jiffies: Jiffies(jiffies),
                hz: now.hz,
            });
        }
        Some((_, _, _, seen_ms)) => seen_ms,
        None => 0,
    };
    let time = Time::begin(now, seen_ms);
    db.execute(
        "INSERT OR REPLACE INTO clock VALUES (1, ?1, ?2, ?3, ?3)",
        params![now.boot, time.jiffies.0, time.ms],
    )?;
    Ok(time)
}

fn cohorts(db: &Connection) -> rusqlite::Result<BTreeMap<String, Cohort>> {
    let counts = "SELECT cohort, count(*) FROM members GROUP BY cohort";
    let mut counts = db.prepare(counts)?;
    let counts = counts.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let counts = counts.collect::<rusqlite::Result<HashMap<i64, u64>>>()?;
    let mut all = db.prepare("SELECT id, name, at, by, reason FROM cohorts")?;
    let all = all.query_map([], |row| {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let cohort = Cohort {
            id,
            number: cohort::number(&name),
            members: counts.get(&id).copied().unwrap_or(0),
            at: row.get(2)?,
            by: row.get(3)?,
            reason: row.get(4)?,
        };
        Ok((name, cohort))
    })?;
    all.collect()
}
