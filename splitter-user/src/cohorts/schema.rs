//! Owns the tables of cohorts.

use crate::database::{Durable, Form};

/// The file in the state directory.
pub(super) const FILE: &str = "cohorts.db";

/// `until_ms`: in the time of [`super::clock`]; NULL: for ever. `clock`: one row, where that time began
/// in which boot, and where it was last seen.
const TABLES: &str = "
CREATE TABLE cohorts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, at TEXT NOT NULL,
    by TEXT NOT NULL, reason TEXT);
CREATE TABLE members (address BLOB NOT NULL, cohort INTEGER NOT NULL, until_ms INTEGER,
    reference TEXT, PRIMARY KEY (address, cohort)) WITHOUT ROWID;
CREATE INDEX ends ON members (until_ms) WHERE until_ms IS NOT NULL;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL,
    jiffies INTEGER NOT NULL, ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL);
";

pub(super) const FORM: Form = Form {
    tables: TABLES,
    format: 1,
    durable: Durable::AtCommits,
};
