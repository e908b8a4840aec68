//! Owns the tables of history.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use thiserror::Error;

use crate::database::{self, DatabaseError, Durable, Form};

/// The file in the state directory.
pub const FILE: &str = "history.db";

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

const FORM: Form = Form {
    tables: TABLES,
    format: 1,
    // A power cut may take the last seconds.
    durable: Durable::AtCheckpoints,
};

/// Why history cannot be kept or read.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The database does not let us.
    #[error(transparent)]
    Database(#[from] DatabaseError),
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
            Self::Database(error) => error.is_damage(),
            Self::Cell { .. } => true,
        }
    }

    /// SQLite's error about a database.
    pub(super) fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy + '_ {
        |error| DatabaseError::sql(path)(error).into()
    }
}

/// Opens the database for writing, and makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Connection, HistoryError> {
    Ok(database::open(path, &FORM)?)
}

/// Opens it for reading, beside the one that writes; `None` before anything was written.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, HistoryError> {
    Ok(database::open_to_read(path)?)
}

/// Puts a damaged database out of the way, and says where to.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, HistoryError> {
    Ok(database::move_aside(path)?)
}
