//! Owns the buckets of exported histograms: 14 of the 104 cells' bounds, so that every bucket is a
//! sum of whole cells.
//!
//! Units: seconds. A time that is exactly a bound counts above it; the kernel measures whole
//! microseconds.

use splitter_common::histogram::{self, CELLS_PER_OCTAVE};

/// The octaves that buckets end at: 256 us, 1 ms to 1 s by octaves, 4 s; the fourteenth has no end.
const OCTAVES: [usize; 13] = [8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22];

/// One histogram as it is exported.
pub(super) struct Exported {
    /// The sum of all times, those of a cell taken as its middle.
    pub(super) sum_s: f64,
    /// How many.
    pub(super) count: u64,
    /// Upper bounds and how many times lie below each and not below the one before.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Exported {
    pub(super) fn of(cells: &[u64; histogram::CELLS]) -> Self {
        let mut buckets = Vec::with_capacity(OCTAVES.len() + 1);
        let mut begin = 0;
        for octave in OCTAVES {
            let end = octave * CELLS_PER_OCTAVE;
            let bound_ns = histogram::bounds_ns(end).0;
            buckets.push((bound_ns as f64 / 1e9, histogram::sum(&cells[begin..end])));
            begin = end;
        }
        buckets.push((f64::INFINITY, histogram::sum(&cells[begin..])));
        let middle_s = |cell: usize| {
            let (from, to) = histogram::bounds_ns(cell);
            (from + to) as f64 / 2e9
        };
        let times = cells.iter().enumerate();
        Self {
            sum_s: times
                .map(|(cell, count)| middle_s(cell) * *count as f64)
                .sum(),
            count: histogram::sum(cells),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_lies_in_the_bucket_of_its_times() {
        for cell in 0..histogram::CELLS {
            let mut cells = [0; histogram::CELLS];
            cells[cell] = 3;
            let told = Exported::of(&cells);
            assert_eq!((told.buckets.len(), told.count), (14, 3));
            let (from, to) = histogram::bounds_ns(cell);
            let (from, to) = (from as f64 / 1e9, to as f64 / 1e9);
            let mut lower = 0.0;
            for (upper, count) in told.buckets {
                let inside = lower <= from && to <= upper;
                assert_eq!(count, if inside { 3 } else { 0 }, "cell {cell}, to {upper}");
                lower = upper;
            }
            assert!((told.sum_s / 3.0) > from && (told.sum_s / 3.0) < to);
        }
    }
}
