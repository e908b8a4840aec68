//! Owns the law of reading: from rows and runs to cells that say how long somebody looked.
//!
//! Invariant: a cell in which nobody looked is not told as 0, and what came in a gap stands in the
//! gap alone.

use super::{Told, Wanted};
use crate::observe::{Figures, history::read::Rows};

/// A version over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub version: String,
    /// In order of time.
    pub cells: Vec<Cell>,
}

/// What came from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// When it begins.
    pub at_s: u64,
    /// How long it is.
    pub length_s: u64,
    /// For how long of that somebody looked: what figures are divided by for a rate. 0 in a gap.
    pub seen_s: u64,
    /// What came.
    pub figures: Figures,
}

/// The cells of every version.
pub fn fold(wanted: &Wanted, told: &Told) -> Vec<Column> {
    let runs = joined(&told.runs);
    let columns = told.versions.iter();
    columns
        .map(|(version, rows)| Column {
            version: version.clone(),
            cells: cells(wanted, told, &runs, rows),
        })
        .collect()
}

fn cells(wanted: &Wanted, told: &Told, runs: &[(u64, u64)], rows: &Rows) -> Vec<Cell> {
    let mut cells = Vec::new();
    let step_s = wanted.step_s.max(1);
    let from_s = wanted.from_s.max(told.kept_from_s).div_ceil(step_s) * step_s;
    let mut at_s = from_s;
    // Runs are in order, and so are cells.
    let mut runs_left = runs;
    while at_s < wanted.until_s {
        let end_s = at_s + step_s;
        while let Some(((_, ended), rest)) = runs_left.split_first()
            && *ended <= at_s
        {
            runs_left = rest;
        }
        let inside = runs_left.iter().take_while(|(began, _)| *began < end_s);
        let seen_s = inside
            .map(|(began, ended)| ended.min(&end_s) - began.max(&at_s))
            .sum();
        if seen_s > 0 {
            cells.push(Cell {
                at_s,
                length_s: step_s,
                seen_s,
                figures: rows.cells.get(&at_s).cloned().unwrap_or_default(),
            });
        }
        at_s = match runs_left.first() {
            None => break,
            // Over a gap in one step.
            Some((began, _)) => end_s.max(began / step_s * step_s),
        };
    }
    for pair in runs.windows(2) {
        let (at_s, end_s) = (pair[0].1, pair[1].0);
        if end_s > wanted.from_s && at_s < wanted.until_s {
            cells.push(Cell {
                at_s,
                length_s: end_s - at_s,
                seen_s: 0,
                figures: rows.gaps.get(&at_s).cloned().unwrap_or_default(),
            });
        }
    }
    // A gap comes behind the cell in which it begins.
    cells.sort_by_key(|cell| (cell.at_s, cell.seen_s == 0));
    cells
}

/// The runs without overlaps, which a clock that was put back leaves.
fn joined(runs: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (began, ended) in runs {
        match all.last_mut() {
            Some((_, before)) if began <= before => *before = (*before).max(*ended),
            Some(_) | None => all.push((*began, *ended)),
        }
    }
    all
}
