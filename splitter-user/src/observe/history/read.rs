//! Owns the reading of history, beside the connection that writes it.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, params};

use super::{
    MINUTE_S, SECOND_S,
    schema::{self, HistoryError},
    store::GAPS,
};
use crate::observe::{Figures, figures::Sparse};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of this service.
    pub service: String,
    /// Of this version; of all without.
    pub version: Option<String>,
    /// From then on.
    pub from_s: u64,
    /// Before then.
    pub until_s: u64,
    /// In cells of this length: [`SECOND_S`] or [`MINUTE_S`].
    pub step_s: u64,
}

/// What stands in the database of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// From when on cells of that length are whole.
    pub kept_from_s: u64,
    /// When samples were taken: from, until; in order.
    pub runs: Vec<(u64, u64)>,
    /// By version: rows, and gaps, by their begin.
    pub versions: BTreeMap<String, Rows>,
}

/// The rows of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// What came from then on, within one cell.
    pub cells: BTreeMap<u64, Figures>,
    /// What came in the gap that begins then.
    pub gaps: BTreeMap<u64, Figures>,
}

/// Reads it.
pub fn read(dir: &Path, wanted: &Wanted) -> Result<Told, HistoryError> {
    let path = dir.join(schema::FILE);
    let Some(db) = schema::open_to_read(&path)? else {
        return Ok(Told::default());
    };
    let sql = HistoryError::sql(&path);
    // All of it as of one moment.
    db.execute_batch("BEGIN").map_err(sql)?;
    let (kept_from_s, runs, names) = frame(&db, wanted).map_err(sql)?;
    let mut told = Told {
        kept_from_s,
        runs,
        versions: names
            .iter()
            .map(|(_, name)| (name.clone(), Rows::default()))
            .collect(),
    };
    for (at_s, step_s, subject, text) in rows(&db, wanted).map_err(sql)? {
        let Some((_, name)) = names.iter().find(|(id, _)| *id == subject) else {
            continue;
        };
        let sparse: Sparse = serde_json::from_str(&text).map_err(|error| HistoryError::Cell {
            path: path.clone(),
            error,
        })?;
        let rows = told.versions.entry(name.clone()).or_default();
        if step_s == GAPS {
            rows.gaps.insert(at_s, sparse.into());
        } else {
            let cell = rows
                .cells
                .entry(at_s / wanted.step_s * wanted.step_s)
                .or_default();
            *cell = cell.plus(&sparse.into());
        }
    }
    Ok(told)
}

type Frame = (u64, Vec<(u64, u64)>, Vec<(i64, String)>);

/// Since when, the runs, and the versions.
fn frame(db: &Connection, wanted: &Wanted) -> rusqlite::Result<Frame> {
    let kept = db.query_row(
        "SELECT coalesce(max(from_s), 0) FROM kept WHERE step_s = ?1",
        [wanted.step_s],
        |row| row.get(0),
    )?;
    let runs = db
        .prepare("SELECT began_s, ended_s FROM runs ORDER BY began_s")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let names = db
        .prepare(
            "SELECT id, version FROM subjects WHERE service = ?1 AND (?2 IS NULL OR version = ?2)",
        )?
        .query_map(params![wanted.service, wanted.version], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok((kept, runs, names))
}

type Row = (u64, u64, i64, String);

/// The cells of that length; of minutes that are not over yet their seconds; and gaps, which may have
/// begun before.
fn rows(db: &Connection, wanted: &Wanted) -> rusqlite::Result<Vec<Row>> {
    let mut lengths = vec![(wanted.step_s, wanted.from_s), (GAPS, 0)];
    if wanted.step_s == MINUTE_S {
        let rolled_s: u64 = db.query_row(
            "SELECT coalesce(max(at_s) + ?1, 0) FROM cells WHERE step_s = ?1",
            [MINUTE_S],
            |row| row.get(0),
        )?;
        lengths.push((SECOND_S, rolled_s.max(wanted.from_s)));
    }
    let mut all = Vec::new();
    for (step_s, from_s) in lengths {
        let mut query = db.prepare_cached(
            "SELECT at_s, step_s, subject, figures FROM cells JOIN subjects ON id = subject WHERE \
             step_s = ?1 AND at_s >= ?2 AND at_s < ?3 AND service = ?4",
        )?;
        let found = query.query_map(
            params![step_s, from_s, wanted.until_s, wanted.service],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        for row in found {
            all.push(row?);
        }
    }
    Ok(all)
}
