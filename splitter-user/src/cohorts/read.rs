//! Owns the look at one address, beside whoever writes.

use std::path::Path;

use rusqlite::params;
use splitter_common::{address::Address, clock::Jiffies};

use super::{clock::Time, schema::FILE};
use crate::database::{self, DatabaseError};

/// That an address is in a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InCohort {
    /// The cohort.
    pub cohort: String,
    /// For how long still, milliseconds; `None`: for ever.
    pub left_ms: Option<u64>,
    /// What the application calls it by.
    pub reference: Option<String>,
}

/// The cohorts that an address is in, by name. `hz`: ticks in a second.
pub fn memberships(
    dir: &Path,
    address: Address,
    now: Jiffies,
    hz: u32,
) -> Result<Vec<InCohort>, DatabaseError> {
    let path = dir.join(FILE);
    let Some(db) = database::open_to_read(&path)? else {
        return Ok(Vec::new());
    };
    let read = || -> rusqlite::Result<Vec<InCohort>> {
        let time = db.query_row("SELECT ms, jiffies FROM clock", [], |row| {
            Ok(Time {
                ms: row.get(0)?,
                jiffies: Jiffies(row.get(1)?),
                hz,
            })
        })?;
        let now_ms = time.ms(now);
        let found = "SELECT name, until_ms, reference FROM members JOIN cohorts ON id = cohort \
                     WHERE address = ?1 AND (until_ms IS NULL OR until_ms > ?2) ORDER BY name";
        let mut found = db.prepare(found)?;
        let found = found.query_map(params![address.bytes(), now_ms], |row| {
            let end_ms: Option<u64> = row.get(1)?;
            Ok(InCohort {
                cohort: row.get(0)?,
                left_ms: end_ms.map(|end_ms| end_ms - now_ms),
                reference: row.get(2)?,
            })
        })?;
        found.collect()
    };
    read().map_err(DatabaseError::sql(&path))
}
