//! Owns the database's file, its tables, and what becomes of one that cannot be read.
//!
//! Invariant: a damaged database is moved aside and never written again; history then begins anew.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

/// The file in the state directory.
pub const FILE: &str = "history.db";
/// Raised when the meaning of a table changes.
const FORMAT: u32 = 1;
/// How long one connection waits for the other.
const BUSY: Duration = Duration::from_secs(5);

/// Cells by their length: 0 for gaps, whose own length is `gap_s`. `kept`: from when on cells of a
/// length are whole. `runs`: when samples were taken without a gap. `known`: the totals at the last
/// sample.
const TABLES: &str = "
CREATE TABLE subjects (id INTEGER PRIMARY KEY, service TEXT NOT NULL, version TEXT NOT NULL,
    UNIQUE (service, version));
CREATE TABLE cells (step_s INTEGER, at_s INTEGER, subject INTEGER, gap_s INTEGER NOT NULL,
    figures TEXT NOT NULL, PRIMARY KEY (step_s, at_s, subject)) WITHOUT ROWID;
CREATE TABLE kept (step_s INTEGER PRIMARY KEY, from_s INTEGER NOT NULL);
CREATE TABLE runs (began_s INTEGER PRIMARY KEY, ended_s INTEGER NOT NULL);
CREATE TABLE known (subject INTEGER PRIMARY KEY, born INTEGER NOT NULL, figures TEXT NOT NULL);
";

/// Why history cannot be kept or read.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The system does not let us.
    #[error("{path}: cannot {verb}: {error}", path = .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// SQLite does not.
    #[error("{path}: {error}", path = .path.display())]
    Sql {
        /// The database.
        path: PathBuf,
        /// What it said.
        error: rusqlite::Error,
    },
    /// Not what this version writes.
    #[error("{path} has format {found}, not {FORMAT}", path = .path.display())]
    Format {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What was written cannot be read.
    #[error("{path}: a cell cannot be read: {error}", path = .path.display())]
    Cell {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
}

impl HistoryError {
    /// Whether the file itself is the trouble, so that another one helps.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sql { error, .. } => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::Format { .. } | Self::Cell { .. } => true,
            Self::Io { .. } => false,
        }
    }
}

/// Opens the database for writing, and makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Connection, HistoryError> {
    // Names of services are not for every user of the host.
    let made = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| HistoryError::Io {
        verb: "make",
        path: path.to_owned(),
        error,
    })?;
    let failed = |error| HistoryError::Sql {
        path: path.to_owned(),
        error,
    };
    let prepare = || -> rusqlite::Result<(Connection, u32)> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        // A sync at checkpoints alone: a power cut may take the last seconds and damages nothing.
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "normal")?;
        // In KiB where negative.
        db.pragma_update(None, "cache_size", -1_024)?;
        let format = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((db, format))
    };
    let (mut db, format) = prepare().map_err(failed)?;
    match format {
        0 => {
            let mut make = || -> rusqlite::Result<()> {
                let change = db.transaction()?;
                change.execute_batch(TABLES)?;
                change.pragma_update(None, "user_version", FORMAT)?;
                change.commit()
            };
            make().map_err(failed)?;
        }
        FORMAT => {}
        found => {
            return Err(HistoryError::Format {
                path: path.to_owned(),
                found,
            });
        }
    }
    Ok(db)
}

/// Opens it for reading, beside the one that writes; `None` before anything was written.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, HistoryError> {
    if !path.exists() {
        return Ok(None);
    }
    let open = || -> rusqlite::Result<Option<Connection>> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(BUSY)?;
        let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((format > 0).then_some(db))
    };
    open().map_err(|error| HistoryError::Sql {
        path: path.to_owned(),
        error,
    })
}

/// Puts a damaged database out of the way, and says where to.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, HistoryError> {
    let aside = path.with_extension("db.damaged");
    std::fs::rename(path, &aside).map_err(|error| HistoryError::Io {
        verb: "move aside",
        path: path.to_owned(),
        error,
    })?;
    for end in ["db-wal", "db-shm"] {
        // They belong to what was moved, and would damage the next.
        let _not_there = std::fs::remove_file(path.with_extension(end));
    }
    Ok(aside)
}
