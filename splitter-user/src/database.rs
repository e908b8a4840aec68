//! Owns how a database in the state directory is opened, and what becomes of one that cannot be read.
//!
//! Invariant: a damaged database is moved aside and never written again; a new one then takes its place.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use thiserror::Error;

/// How long one connection waits for the other.
const BUSY: Duration = Duration::from_secs(5);

/// When what was committed is safe from a power cut; from the daemon's death it is at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// At the next checkpoint: a power cut may take the last commits and damages nothing.
    AtCheckpoints,
    /// When the commit returns.
    AtCommits,
}

/// What a database is made of.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The statements that make its tables.
    pub tables: &'static str,
    /// Raised when the meaning of a table changes.
    pub format: u32,
    /// How safe commits are.
    pub durable: Durable,
}

/// Why a database cannot be written or read.
#[derive(Debug, Error)]
pub enum DatabaseError {
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
    #[error("{path} has format {found}, not {wanted}", path = .path.display())]
    Format {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is written.
        wanted: u32,
    },
}

impl DatabaseError {
    /// SQLite's error about a database.
    pub fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy + '_ {
        |error| Self::Sql {
            path: path.to_owned(),
            error,
        }
    }

    /// Whether the file itself is the trouble, so that another one helps.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sql { error, .. } => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::Format { .. } => true,
            Self::Io { .. } => false,
        }
    }
}

/// Opens a database for writing, and makes it where there is none.
pub fn open(path: &Path, form: &Form) -> Result<Connection, DatabaseError> {
    // What stands in it is not for every user of the host.
    let made = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    made.map_err(|error| DatabaseError::Io {
        verb: "make",
        path: path.to_owned(),
        error,
    })?;
    let prepare = || -> rusqlite::Result<(Connection, u32)> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        let synchronous = match form.durable {
            Durable::AtCheckpoints => "normal",
            Durable::AtCommits => "full",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        // In KiB where negative.
        db.pragma_update(None, "cache_size", -1_024)?;
        let format = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((db, format))
    };
    let failed = DatabaseError::sql(path);
    let (mut db, format) = prepare().map_err(failed)?;
    if format == 0 {
        let mut make = || -> rusqlite::Result<()> {
            let change = db.transaction()?;
            change.execute_batch(form.tables)?;
            change.pragma_update(None, "user_version", form.format)?;
            change.commit()
        };
        make().map_err(failed)?;
    } else if format != form.format {
        return Err(DatabaseError::Format {
            path: path.to_owned(),
            found: format,
            wanted: form.format,
        });
    }
    Ok(db)
}

/// Opens one for reading, beside the one that writes; `None` before anything was written.
pub fn open_to_read(path: &Path) -> Result<Option<Connection>, DatabaseError> {
    if !path.exists() {
        return Ok(None);
    }
    let open = || -> rusqlite::Result<Option<Connection>> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(BUSY)?;
        let format: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((format > 0).then_some(db))
    };
    open().map_err(DatabaseError::sql(path))
}

/// Puts a damaged database out of the way, and says where to.
pub fn move_aside(path: &Path) -> Result<PathBuf, DatabaseError> {
    let aside = path.with_extension("db.damaged");
    std::fs::rename(path, &aside).map_err(|error| DatabaseError::Io {
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
