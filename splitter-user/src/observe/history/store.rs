//! Owns the writing of history: a transaction for each sample, minutes out of seconds, and the
//! bounds.
//!
//! Invariant: the totals that the next cell is counted from are written in the same transaction as
//! the cell, so that nothing is booked twice or lost when the daemon dies.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use splitter_common::capacity::{HISTORY_GAP_ROWS, HISTORY_MINUTE_ROWS, HISTORY_SECOND_ROWS};

use super::{
    MINUTE_S, MINUTES_KEPT_S, SECOND_S, SECONDS_KEPT_S,
    schema::{self, HistoryError},
};
use crate::observe::{Figures, Sample, figures::Sparse};

/// Seconds without a sample that are still told second by second; more are a gap.
const NO_GAP_S: u64 = 3;
/// The length under which gaps stand among the cells.
pub(super) const GAPS: u64 = 0;

/// How many rows are kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of seconds.
    pub seconds: u64,
    /// Of minutes.
    pub minutes: u64,
    /// Of gaps, and of runs.
    pub gaps: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            seconds: HISTORY_SECOND_ROWS,
            minutes: HISTORY_MINUTE_ROWS,
            gaps: HISTORY_GAP_ROWS,
        }
    }
}

/// What a version had counted at the last sample.
struct Known {
    subject: i64,
    born: i64,
    figures: Figures,
}

/// Where a sample belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// The first of all.
    First,
    /// The second of the last one: what came since belongs to the next.
    Same,
    /// So many seconds behind the last one.
    After(u64),
    /// So many that nobody knows what came when.
    Gap(u64),
    /// Before the last one: the clock was put back.
    Back,
}

impl When {
    const fn of(last_s: Option<u64>, now_s: u64) -> Self {
        match last_s {
            None => Self::First,
            Some(last_s) if now_s < last_s => Self::Back,
            Some(last_s) => match now_s - last_s {
                0 => Self::Same,
                after @ 1..=NO_GAP_S => Self::After(after),
                after => Self::Gap(after),
            },
        }
    }
}

/// History that is being written.
pub struct History {
    path: PathBuf,
    db: Connection,
    bounds: Bounds,
    known: HashMap<(String, String), Known>,
    /// The run that the last sample belongs to: began, ended.
    run: Option<(u64, u64)>,
}

impl History {
    /// Opens the database in a directory; a damaged one is moved aside and told.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<Self, HistoryError> {
        let path = dir.join(schema::FILE);
        match Self::open_at(&path, bounds) {
            Err(error) if error.is_damage() => {
                let aside = schema::move_aside(&path)?;
                log::error!(
                    "{error}: history begins anew, what there was is in {}; weights, numbers and \
                     traffic are not touched by that",
                    aside.display()
                );
                Self::open_at(&path, bounds)
            }
            opened => opened,
        }
    }

    fn open_at(path: &Path, bounds: Bounds) -> Result<Self, HistoryError> {
        let db = schema::open(path)?;
        let failed = HistoryError::sql(path);
        let run = db
            .query_row(
                "SELECT began_s, ended_s FROM runs ORDER BY ended_s DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(failed)?;
        db.execute(
            "DELETE FROM subjects WHERE id NOT IN (SELECT subject FROM known) AND id NOT IN \
             (SELECT DISTINCT subject FROM cells)",
            [],
        )
        .map_err(failed)?;
        let known = known(&db, path)?;
        Ok(Self {
            path: path.to_owned(),
            db,
            bounds,
            known,
            run,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Books a sample that was taken at `now_s`.
    pub fn book(&mut self, now_s: u64, sample: &Sample) -> Result<(), HistoryError> {
        let last = self.run;
        let when = When::of(last.map(|(_, ended)| ended), now_s);
        if when == When::Same {
            return Ok(());
        }
        let run = match (when, last) {
            (When::After(_), Some((began, _))) => (began, now_s),
            (When::First | When::Same | When::After(_) | When::Gap(_) | When::Back, _) => {
                (now_s, now_s)
            }
        };
        let path = self.path.clone();
        let failed = HistoryError::sql(&path);
        let booked = self.write(when, now_s, run, sample).map_err(failed)?;
        self.known.extend(booked);
        self.run = Some(run);
        let minute = |at_s: u64| at_s / MINUTE_S;
        if last.is_none_or(|(_, ended)| minute(ended) != minute(now_s)) {
            self.roll_up(now_s)?;
            self.prune(now_s).map_err(failed)?;
        }
        Ok(())
    }

    /// One sample in one transaction; what is known from then on.
    fn write(
        &mut self,
        when: When,
        now_s: u64,
        run: (u64, u64),
        sample: &Sample,
    ) -> rusqlite::Result<Vec<((String, String), Known)>> {
        let change = self.db.transaction()?;
        if when == When::Back {
            change.execute("DELETE FROM cells WHERE at_s >= ?1", [now_s])?;
            change.execute("DELETE FROM runs WHERE began_s >= ?1", [now_s])?;
            change.execute("UPDATE runs SET ended_s = min(ended_s, ?1)", [now_s])?;
        }
        let mut booked = Vec::new();
        let services = sample.roster.services.iter().zip(&sample.services);
        for (service, versions) in services {
            for (version, counted) in service.versions.iter().zip(versions) {
                let key = (service.name.clone(), version.name.clone());
                let born = i64::from(version.born.0) << 32 | i64::from(version.born.1);
                let known = self.known.get(&key);
                let same = known.filter(|known| known.born == born);
                if same.is_some_and(|known| known.figures == counted.figures) {
                    continue;
                }
                let subject = match known {
                    Some(known) => known.subject,
                    None => subject(&change, &key.0, &key.1)?,
                };
                let before = same.map(|known| known.figures.clone()).unwrap_or_default();
                let came = counted.figures.since(&before);
                put(&change, when, now_s, subject, &came)?;
                put_known(&change, subject, born, &counted.figures)?;
                let figures = counted.figures.clone();
                booked.push((
                    key,
                    Known {
                        subject,
                        born,
                        figures,
                    },
                ));
            }
        }
        forget_those_who_are_gone(&change, &mut self.known, sample)?;
        change
            .prepare_cached("INSERT OR REPLACE INTO runs VALUES (?1, ?2)")?
            .execute([run.0, run.1])?;
        change.commit()?;
        Ok(booked)
    }

    /// Makes minutes out of the seconds of every minute that is over.
    fn roll_up(&mut self, now_s: u64) -> Result<(), HistoryError> {
        let path = self.path.clone();
        let sql = HistoryError::sql(&path);
        let cell = |error| HistoryError::Cell {
            path: path.clone(),
            error,
        };
        let change = self.db.transaction().map_err(sql)?;
        let mut minutes: BTreeMap<(u64, i64), Figures> = BTreeMap::new();
        {
            let mut rows = change
                .prepare_cached(
                    "SELECT at_s / ?1 * ?1, subject, figures FROM cells WHERE step_s = ?2 AND \
                     at_s >= (SELECT coalesce(max(at_s) + ?1, 0) FROM cells WHERE step_s = ?1) \
                     AND at_s < ?3",
                )
                .map_err(sql)?;
            let until = now_s / MINUTE_S * MINUTE_S;
            let mut rows = rows.query([MINUTE_S, SECOND_S, until]).map_err(sql)?;
            while let Some(row) = rows.next().map_err(sql)? {
                let read = || -> rusqlite::Result<(u64, i64, String)> {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                };
                let (minute, subject, text) = read().map_err(sql)?;
                let sparse: Sparse = serde_json::from_str(&text).map_err(cell)?;
                let sum = minutes.entry((minute, subject)).or_default();
                *sum = sum.plus(&sparse.into());
            }
        }
        for ((minute, subject), figures) in minutes {
            put_cell(&change, MINUTE_S, minute, subject, 0, &figures).map_err(sql)?;
        }
        change.commit().map_err(sql)
    }

    /// Forgets what is too old or too much.
    fn prune(&mut self, now_s: u64) -> rusqlite::Result<()> {
        let Bounds {
            seconds,
            minutes,
            gaps,
        } = self.bounds;
        let change = self.db.transaction()?;
        for (step_s, kept_s, rows) in [
            (SECOND_S, SECONDS_KEPT_S, seconds),
            (MINUTE_S, MINUTES_KEPT_S, minutes),
            (GAPS, MINUTES_KEPT_S, gaps),
        ] {
            let count: u64 = change.query_row(
                "SELECT count(*) FROM cells WHERE step_s = ?1",
                [step_s],
                |row| row.get(0),
            )?;
            let mut from_s = now_s.saturating_sub(kept_s);
            if count > rows {
                let last_too_much: u64 = change.query_row(
                    "SELECT at_s FROM cells WHERE step_s = ?1 ORDER BY at_s LIMIT 1 OFFSET ?2",
                    [step_s, count - rows - 1],
                    |row| row.get(0),
                )?;
                from_s = from_s.max(last_too_much + 1);
            }
            change.execute(
                "DELETE FROM cells WHERE step_s = ?1 AND at_s < ?2",
                [step_s, from_s],
            )?;
            change.execute(
                "INSERT INTO kept VALUES (?1, ?2) ON CONFLICT DO UPDATE SET \
                 from_s = max(from_s, excluded.from_s)",
                [step_s, from_s],
            )?;
        }
        change.execute(
            "DELETE FROM runs WHERE ended_s < ?1 OR began_s <= \
             (SELECT began_s FROM runs ORDER BY began_s DESC LIMIT 1 OFFSET ?2)",
            [now_s.saturating_sub(MINUTES_KEPT_S), gaps],
        )?;
        change.commit()
    }
}

/// The totals at the last sample.
fn known(db: &Connection, path: &Path) -> Result<HashMap<(String, String), Known>, HistoryError> {
    let sql = HistoryError::sql(path);
    let mut rows = db
        .prepare(
            "SELECT service, version, subject, born, figures FROM known \
             JOIN subjects ON subjects.id = known.subject",
        )
        .map_err(sql)?;
    let rows = rows.query_map([], |row| {
        let name = (row.get(0)?, row.get(1)?);
        Ok((name, row.get(2)?, row.get(3)?, row.get::<_, String>(4)?))
    });
    let mut known = HashMap::new();
    for row in rows.map_err(sql)? {
        let (name, subject, born, text) = row.map_err(sql)?;
        let figures: Sparse = serde_json::from_str(&text).map_err(|error| HistoryError::Cell {
            path: path.to_owned(),
            error,
        })?;
        let figures = figures.into();
        known.insert(
            name,
            Known {
                subject,
                born,
                figures,
            },
        );
    }
    Ok(known)
}

/// Totals of versions that are configured no more are nobody's; their cells stay as long as others.
fn forget_those_who_are_gone(
    change: &Transaction<'_>,
    known: &mut HashMap<(String, String), Known>,
    sample: &Sample,
) -> rusqlite::Result<()> {
    let versions = || {
        let services = sample.roster.services.iter();
        services.flat_map(|service| service.versions.iter().map(move |each| (service, each)))
    };
    if known.len() <= versions().count() {
        return Ok(());
    }
    let here: HashSet<(&str, &str)> = versions()
        .map(|(service, version)| (&*service.name, &*version.name))
        .collect();
    let gone = known.extract_if(|(service, version), _| !here.contains(&(service, version)));
    for (_, known) in gone {
        change.execute("DELETE FROM known WHERE subject = ?1", [known.subject])?;
    }
    Ok(())
}

/// The number of a version, given where it has none.
fn subject(change: &Transaction<'_>, service: &str, version: &str) -> rusqlite::Result<i64> {
    change.execute(
        "INSERT OR IGNORE INTO subjects (service, version) VALUES (?1, ?2)",
        [service, version],
    )?;
    change.query_row(
        "SELECT id FROM subjects WHERE service = ?1 AND version = ?2",
        [service, version],
        |row| row.get(0),
    )
}

/// What came until `now_s`, where it belongs.
fn put(
    change: &Transaction<'_>,
    when: When,
    now_s: u64,
    subject: i64,
    came: &Figures,
) -> rusqlite::Result<()> {
    match when {
        // Nobody knows since when.
        When::First | When::Same | When::Back => Ok(()),
        When::After(seconds) => (0..seconds).try_for_each(|nth| {
            let at_s = now_s - seconds + nth;
            put_cell(change, SECOND_S, at_s, subject, 0, &came.part(nth, seconds))
        }),
        When::Gap(gap_s) => put_cell(change, GAPS, now_s - gap_s, subject, gap_s, came),
    }
}

fn put_cell(
    change: &Transaction<'_>,
    step_s: u64,
    at_s: u64,
    subject: i64,
    gap_s: u64,
    figures: &Figures,
) -> rusqlite::Result<()> {
    if figures.is_nothing() {
        return Ok(());
    }
    change
        .prepare_cached("INSERT OR REPLACE INTO cells VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![step_s, at_s, subject, gap_s, text(figures)?])?;
    Ok(())
}

fn put_known(
    change: &Transaction<'_>,
    subject: i64,
    born: i64,
    figures: &Figures,
) -> rusqlite::Result<()> {
    change
        .prepare_cached("INSERT OR REPLACE INTO known VALUES (?1, ?2, ?3)")?
        .execute(params![subject, born, text(figures)?])?;
    Ok(())
}

fn text(figures: &Figures) -> rusqlite::Result<String> {
    serde_json::to_string(&Sparse::from(figures))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
