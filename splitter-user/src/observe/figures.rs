//! Owns the figures of one version at one moment, or over a while: counts, and histograms of times.
//!
//! Invariant: a figure is a run of cells with a place of its own that never changes, since history
//! names cells by it on disk; what stands beyond the last cell was never counted. Cells of totals
//! only grow. Units: packets, bytes and flows as [`Counter`] says; times in cells of
//! [`splitter_common::histogram`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splitter_common::{histogram, layout::Counter};

/// Where the cells of [`Counter`] begin; there is room for 64.
const COUNTERS_AT: usize = 0;
/// New flows of the version's clients while it had no backend.
const MET_EMPTY_AT: usize = 64;

/// A histogram of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Times {
    /// From a client's first SYN to the SYN-ACK.
    Handshake = 128,
    /// From a question to the first of its answer.
    Turn = 256,
}

impl Times {
    /// All.
    pub const ALL: [Self; 2] = [Self::Handshake, Self::Turn];
}

/// What was counted, cell by cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures(Vec<u64>);

impl Figures {
    /// What the kernel's cells of backends hold, by [`Counter`].
    pub fn of_counters(cells: &[u64]) -> Self {
        // A host has tens of thousands of backends, of which most are idle.
        let counted = cells.iter().rposition(|cell| *cell != 0);
        let mut figures = Self::default();
        figures.set_from(COUNTERS_AT, &cells[..counted.map_or(0, |last| last + 1)]);
        figures
    }

    /// The same with a histogram, where the kernel measures it.
    #[must_use]
    pub fn with_times(mut self, times: Times, cells: &[u64; histogram::CELLS]) -> Self {
        self.set_from(times as usize, cells);
        self
    }

    /// The same with the new flows that met no backend.
    #[must_use]
    pub fn with_met_empty(mut self, flows: u64) -> Self {
        self.set_from(MET_EMPTY_AT, &[flows]);
        self
    }

    fn set_from(&mut self, at: usize, cells: &[u64]) {
        let end = at + cells.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[at..end].copy_from_slice(cells);
    }

    fn cell(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// One of the counters.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.cell(COUNTERS_AT + counter as usize)
    }

    /// The first `N` counters, as the kernel has them.
    pub fn counters<const N: usize>(&self) -> [u64; N] {
        std::array::from_fn(|at| self.cell(COUNTERS_AT + at))
    }

    /// New flows of the version's clients while it had no backend.
    pub fn met_empty(&self) -> u64 {
        self.cell(MET_EMPTY_AT)
    }

    /// The cells of a histogram; `None` where nothing measures it or nothing was measured.
    pub fn times(&self, times: Times) -> Option<[u64; histogram::CELLS]> {
        let cells = std::array::from_fn(|cell| self.cell(times as usize + cell));
        (cells != [0; histogram::CELLS]).then_some(cells)
    }

    /// Whether nothing was counted.
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(|cell| *cell == 0)
    }

    /// What came since `before`; cells that are less than they were count as 0.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        self.by_cell(before, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.by_cell(other, u64::saturating_add)
    }

    /// The same, but never less than `before`: a total that was read in the middle of a change.
    #[must_use]
    pub fn at_least(&self, before: &Self) -> Self {
        self.by_cell(before, u64::max)
    }

    /// The `nth` of `parts` nearly equal parts; all of them together are the whole.
    #[must_use]
    pub fn part(&self, nth: u64, parts: u64) -> Self {
        let upto = |cell: u64, nth: u64| {
            let product = u128::from(cell) * u128::from(nth) / u128::from(parts.max(1));
            u64::try_from(product).unwrap_or(u64::MAX)
        };
        let cells = self.0.iter();
        Self(
            cells
                .map(|cell| upto(*cell, nth + 1) - upto(*cell, nth))
                .collect(),
        )
    }

    fn by_cell(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let cells = self.0.len().max(other.0.len());
        Self(
            (0..cells)
                .map(|at| of(self.cell(at), other.cell(at)))
                .collect(),
        )
    }
}

/// On disk: the cells above 0 by their places.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sparse(BTreeMap<u16, u64>);

impl From<&Figures> for Sparse {
    fn from(figures: &Figures) -> Self {
        let cells = (0..).zip(&figures.0).filter(|(_, cell)| **cell > 0);
        Self(cells.map(|(at, cell)| (at, *cell)).collect())
    }
}

impl From<Sparse> for Figures {
    fn from(sparse: Sparse) -> Self {
        let mut figures = Self::default();
        for (at, cell) in sparse.0 {
            figures.set_from(usize::from(at), &[cell]);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Figures {
        let mut cells = [0; histogram::CELLS];
        cells[histogram::cell(1_500)] = 7;
        Figures::of_counters(&[1, 2, 3])
            .with_met_empty(9)
            .with_times(Times::Turn, &cells)
    }

    #[test]
    fn every_figure_has_cells_of_its_own() {
        let figures = some();
        assert_eq!(figures.counters(), [1, 2, 3, 0]);
        assert_eq!(figures.counter(Counter::BytesIn), 2);
        assert_eq!(figures.met_empty(), 9);
        assert_eq!(figures.times(Times::Handshake), None);
        let turns = figures.times(Times::Turn).expect("measured");
        assert_eq!(turns.iter().sum::<u64>(), 7);
        let places = [COUNTERS_AT + 64, MET_EMPTY_AT + 1];
        assert!(places[0] <= MET_EMPTY_AT && places[1] <= Times::Handshake as usize);
        assert!(Times::Handshake as usize + histogram::CELLS <= Times::Turn as usize);
    }

    #[test]
    fn differences_sums_and_parts_are_by_cell() {
        let (one, both) = (some(), some().plus(&some()));
        assert_eq!(both.since(&one), one);
        assert!(one.since(&both).is_nothing(), "never below 0");
        assert_eq!(one.at_least(&both), both);
        let longer = Figures::of_counters(&[5]).plus(&one);
        assert_eq!((longer.counters(), longer.met_empty()), ([6, 2, 3], 9));
        let parts: Vec<Figures> = (0..4).map(|nth| one.part(nth, 4)).collect();
        let sum = parts
            .iter()
            .fold(Figures::default(), |sum, part| sum.plus(part));
        assert_eq!(sum, one);
        assert_eq!(parts[3].met_empty(), 3, "nine in four parts");
    }

    #[test]
    fn what_goes_to_disk_comes_back() {
        let text = serde_json::to_string(&Sparse::from(&some())).expect("JSON");
        assert!(
            text.starts_with("{\"0\":1,\"1\":2,\"2\":3,\"64\":9,"),
            "{text}"
        );
        let back: Sparse = serde_json::from_str(&text).expect("read");
        assert!(some().since(&back.into()).is_nothing());
    }
}
