//! Owns the database that the state is kept in: a row for each part of it and for the numbers of each
//! service, in a file of its own.
//!
//! Invariant: a change is one transaction, synced with its directory entries before it returns, so that
//! a power cut or kill leaves the state before or the one after. Nothing is held open between changes:
//! a file that was moved away or damaged meanwhile is written anew, whole, from what the daemon knows.
//! Of the numbers only what has changed is written, where the file is as the last change left it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{State, StateError};
use crate::{model::Shared, plan::numbers::ServiceNumbers};

/// Raised when the meaning of a part changes.
const FORMAT: u32 = 1;
/// How long somebody who looks into the file may hold it.
const BUSY: Duration = Duration::from_secs(5);
const TABLE: &str =
    "CREATE TABLE state (part TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;";
/// What the part of a service's numbers begins with; its name follows.
const OF_SERVICE: &str = "numbers/";

/// What tells that a file was not touched: device, inode, bytes, and when data and file were changed, in
/// seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u64; 3], [i64; 4]);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self(
            [file.dev(), file.ino(), file.len()],
            [
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            ],
        ))
    }
}

/// What a file held when this process last wrote it, and its stamp then.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    /// The state.
    pub(super) state: &'a State,
    /// The file's.
    pub(super) stamp: Stamp,
}

/// Reads the state; `None` where there is none.
pub(super) fn load(path: &Path) -> Result<Option<State>, StateError> {
    if !path.exists() {
        return Ok(None);
    }
    let db = open(path).map_err(told(path))?;
    let parts = read(&db).map_err(told(path))?;
    let Some(parts) = parts else { return Ok(None) };
    let mut state = Map::new();
    let mut services = BTreeMap::new();
    for (part, text) in parts {
        let bad = |error| malformed(path, &error);
        if let Some(name) = part.strip_prefix(OF_SERVICE) {
            let numbers: ServiceNumbers = serde_json::from_str(&text).map_err(bad)?;
            services.insert(name.to_owned(), Shared::from(numbers));
        } else {
            let value: Value = serde_json::from_str(&text).map_err(bad)?;
            state.insert(part, value);
        }
    }
    let state = serde_json::from_value(Value::Object(state));
    let mut state: State = state.map_err(|error| malformed(path, &error))?;
    state.numbers.services = services;
    Ok(Some(state))
}

/// Puts the state on disk: the file's stamp then. A damaged file is moved aside and written anew.
pub(super) fn save(
    path: &Path,
    state: &State,
    last: Option<Last<'_>>,
) -> Result<Option<Stamp>, StateError> {
    let untouched = last.filter(|last| Stamp::of(path) == Some(last.stamp));
    let before = untouched.map(|last| last.state);
    let saved = save_into(path, state, before);
    saved.map(|()| Stamp::of(path))
}

fn save_into(path: &Path, state: &State, before: Option<&State>) -> Result<(), StateError> {
    match try_save(path, state, before) {
        Err(StateError::Malformed { why, .. }) => {
            let aside = path.with_extension("db.damaged");
            fs::rename(path, &aside).map_err(io_error("move aside", path))?;
            forget_journal(path)?;
            log::error!(
                "{} was damaged while the daemon ran ({why}): it is written anew from memory, what \
                 there was is in {}",
                path.display(),
                aside.display()
            );
            try_save(path, state, None)
        }
        saved => saved,
    }
}

/// Takes the state off the disk.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    forget_journal(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What a journal without its database says is of nothing that is there.
fn forget_journal(path: &Path) -> Result<(), StateError> {
    let journal = path.with_extension("db-journal");
    match fs::remove_file(&journal) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", &journal)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn try_save(path: &Path, state: &State, before: Option<&State>) -> Result<(), StateError> {
    // Who set which weight is not for every user of the host.
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options.open(path).map_err(io_error("write", path))?;
    let mut db = open(path).map_err(told(path))?;
    write(&mut db, state, before).map_err(told(path))
}

/// The state in one transaction; parts that are as they were cost nothing. `before`: what the file is known
/// to hold.
fn write(db: &mut Connection, state: &State, before: Option<&State>) -> rusqlite::Result<()> {
    let change = db.transaction()?;
    if before.is_none() && read(&change)?.is_none() {
        change.execute_batch(TABLE)?;
        change.pragma_update(None, "user_version", FORMAT)?;
    }
    {
        let mut put = change.prepare(
            "INSERT INTO state VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value \
             WHERE value <> excluded.value",
        )?;
        for (name, given) in &state.numbers.services {
            let kept = before.and_then(|before| before.numbers.services.get(name));
            if kept != Some(given) {
                put.execute(params![format!("{OF_SERVICE}{name}"), json(given)?])?;
            }
        }
        for (part, value) in parts(state, before)? {
            put.execute(params![part, value])?;
        }
    }
    forget_others(&change, state, before)?;
    change.commit()
}

/// All but the numbers of services, by the names that they are read by; those left out that are as they
/// were `before`.
fn parts(state: &State, before: Option<&State>) -> rusqlite::Result<Vec<(&'static str, String)>> {
    let mut parts = Vec::new();
    macro_rules! put {
        ($($part:ident),*) => {
            // One that is new stops the build here.
            let State { $($part),* } = state;
            $(if before.is_none_or(|before| before.$part != *$part) {
                parts.push((stringify!($part), json($part)?));
            })*
        };
    }
    put!(
        numbers,
        overlays,
        supervised,
        file_weights_ppm,
        segment_overlays,
        file_segments_ppm,
        since,
        backends,
        health
    );
    Ok(parts)
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Takes the numbers of services away that are there no more.
fn forget_others(
    change: &Connection,
    state: &State,
    before: Option<&State>,
) -> rusqlite::Result<()> {
    let stored: Vec<String> = match before {
        Some(before) => before.numbers.services.keys().cloned().collect(),
        None => numbered(change)?,
    };
    let gone = |name: &&String| !state.numbers.services.contains_key(*name);
    for name in stored.iter().filter(gone) {
        let part = format!("{OF_SERVICE}{name}");
        change.execute("DELETE FROM state WHERE part = ?1", [part])?;
    }
    Ok(())
}

/// The services that have numbers in the file.
fn numbered(change: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut stored = change.prepare("SELECT part FROM state WHERE part GLOB ?1 || '*'")?;
    let stored = stored.query_map([OF_SERVICE], |row| row.get::<_, String>(0))?;
    stored
        .map(|part| part.map(|part| part[OF_SERVICE.len()..].to_owned()))
        .collect()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    // One file when nobody writes, which a copy of it is a backup of.
    db.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    // As full, and the directory is synced too when the journal goes.
    db.pragma_update(None, "synchronous", "extra")?;
    Ok(db)
}

/// The parts as they stand; `None` in a new file. What is damaged or of another format is an error.
fn read(db: &Connection) -> rusqlite::Result<Option<Vec<(String, String)>>> {
    let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == 0 {
        return Ok(None);
    }
    if format != FORMAT {
        let why = format!("it has format {format}, not {FORMAT}");
        return Err(damage(why));
    }
    let says: Option<String> = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .optional()?;
    match says {
        Some(says) if says != "ok" => return Err(damage(says)),
        Some(_) | None => {}
    }
    let mut rows = db.prepare("SELECT part, value FROM state")?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect::<rusqlite::Result<_>>().map(Some)
}

fn damage(why: String) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(why))
}

fn told(path: &Path) -> impl Fn(rusqlite::Error) -> StateError + '_ {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => malformed(path, &error),
        // Codes are many; what is not damage is the system's to mend.
        _ => StateError::Database {
            path: path.to_owned(),
            error,
        },
    }
}

fn malformed(path: &Path, why: &dyn std::fmt::Display) -> StateError {
    StateError::Malformed {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn io_error(verb: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError {
    let path: PathBuf = path.to_owned();
    move |error| StateError::Io {
        verb,
        path: path.clone(),
        error,
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
