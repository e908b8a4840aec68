//! Owns the *cells* of a histogram of times: 4 in each octave from 1 us to 2^26 us (67 s), 104 in
//! all. The packet path finds the cell to add to, the daemon reads quantiles out of the cells.
//!
//! Invariant: every time has exactly one cell, and cells follow each other without a gap; what is
//! below 1 us lies in the first, what is above in the last. A histogram is a flat array of counts
//! by cell. Units: times are measured in whole microseconds; bounds and quantiles are told in
//! nanoseconds, in which every bound is a whole number.

/// Cells in an octave: each is a quarter of its octave's lower bound wide, so that a time is known
/// to within a quarter.
pub const CELLS_PER_OCTAVE: usize = 4;

/// Octaves: from 1 us to 2^26 us.
pub const OCTAVES: usize = 26;

/// Cells of one histogram.
pub const CELLS: usize = CELLS_PER_OCTAVE * OCTAVES;

/// The longest time with a cell of its own, in microseconds.
const LONGEST_US: u64 = (1 << OCTAVES) - 1;

/// All of a histogram's times, as the share that [`quantile_ns`] takes.
pub const WHOLE_PPM: u32 = crate::weight::WHOLE_PPM;

/// The cell of a time in microseconds, below [`CELLS`].
#[inline(always)]
pub const fn cell(us: u64) -> usize {
    let us = if us < 1 {
        1
    } else if us > LONGEST_US {
        LONGEST_US
    } else {
        us
    };
    let octave = 63 - us.leading_zeros();
    // The quarters of the octave count from its lower bound, which is 4 quarters itself.
    let quarters = (us * CELLS_PER_OCTAVE as u64) >> octave;
    octave as usize * CELLS_PER_OCTAVE + quarters as usize - CELLS_PER_OCTAVE
}

/// The first time in a cell and the first behind it, in nanoseconds; cells from [`CELLS`] on are
/// taken as the last.
pub const fn bounds_ns(cell: usize) -> (u64, u64) {
    let cell = if cell < CELLS { cell } else { CELLS - 1 };
    let quarter_ns = 250 << (cell / CELLS_PER_OCTAVE);
    let from = (CELLS_PER_OCTAVE + cell % CELLS_PER_OCTAVE) as u64 * quarter_ns;
    (from, from + quarter_ns)
}

/// The time that `share_ppm` parts per million of the counted times do not exceed, in nanoseconds,
/// as though the times of a cell were spread evenly over it; `None` when nothing was counted.
/// More than [`WHOLE_PPM`] is taken as all. `counts` are counts by cell; what follows behind
/// [`CELLS`] is not looked at.
pub fn quantile_ns(counts: &[u64], share_ppm: u32) -> Option<u64> {
    let counts = counts.get(..CELLS).unwrap_or(counts);
    let total = sum(counts);
    if total == 0 {
        return None;
    }
    let rank = part(total, share_ppm.min(WHOLE_PPM));
    let mut below: u64 = 0;
    let mut last = 0;
    for (cell, &count) in counts.iter().enumerate() {
        if count == 0 {
            continue;
        }
        if rank <= below.saturating_add(count) {
            return Some(inside(cell, rank.saturating_sub(below), count));
        }
        below = below.saturating_add(count);
        last = cell;
    }
    Some(bounds_ns(last).1)
}

/// Half, nine tenths and ninety-nine hundredths, in parts per million: the quantiles that are told.
const TOLD_PPM: [u32; 3] = [500_000, 900_000, 990_000];

/// The times that half, nine tenths and ninety-nine hundredths do not exceed, in nanoseconds; `None` where
/// nothing was counted.
pub fn quantiles_ns(counts: &[u64]) -> [Option<u64>; 3] {
    TOLD_PPM.map(|share| quantile_ns(counts, share))
}

/// How many times were counted.
pub fn sum(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |sum: u64, &count| sum.saturating_add(count))
}

/// `total * share_ppm / 1,000,000`, rounded down, without an intermediate that overflows.
const fn part(total: u64, share_ppm: u32) -> u64 {
    let (whole, share) = (WHOLE_PPM as u64, share_ppm as u64);
    total / whole * share + total % whole * share / whole
}

/// Where the `rank`th of `count` times of a cell lies, in nanoseconds.
const fn inside(cell: usize, rank: u64, count: u64) -> u64 {
    let (from, to) = bounds_ns(cell);
    // The widest cell takes 34 bits: with 30 for the rank the product stays below 2^64, and what
    // is cut off of larger counts is less than a nanosecond in a second.
    let surplus = (64 - count.leading_zeros()).saturating_sub(30);
    from + (to - from) * (rank >> surplus) / (count >> surplus)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    #[test]
    fn the_ends_lie_in_the_first_and_the_last_cell() {
        assert_eq!([cell(0), cell(1), cell(2), cell(3)], [0, 0, 4, 6]);
        assert_eq!(
            [cell(4), cell(5), cell(6), cell(7), cell(8)],
            [8, 9, 10, 11, 12]
        );
        assert_eq!([cell(1_000), cell(1_023), cell(1_024)], [39, 39, 40]);
        assert_eq!(
            [cell(LONGEST_US), cell(LONGEST_US + 1), cell(u64::MAX)],
            [CELLS - 1; 3]
        );
        assert_eq!(bounds_ns(0), (1_000, 1_250));
        assert_eq!(
            bounds_ns(CELLS - 1),
            (1_750 << (OCTAVES - 1), 1_000 << OCTAVES)
        );
        assert_eq!(bounds_ns(usize::MAX), bounds_ns(CELLS - 1));
    }

    #[test]
    fn cells_follow_each_other_without_a_gap() {
        for cell in 1..CELLS {
            assert_eq!(bounds_ns(cell - 1).1, bounds_ns(cell).0, "cell {cell}");
        }
    }

    #[test]
    fn a_quantile_is_read_between_the_bounds_of_its_cell() {
        let mut counts = [0; CELLS];
        assert_eq!(quantile_ns(&counts, 500_000), None);
        counts[40] = 4;
        let quarters = [0, 250_000, 500_000, 750_000, WHOLE_PPM, u32::MAX];
        assert_eq!(
            quarters.map(|share| quantile_ns(&counts, share).expect("counted")),
            [
                1_024_000, 1_088_000, 1_152_000, 1_216_000, 1_280_000, 1_280_000
            ]
        );
        counts[60] = 4;
        assert_eq!(quantile_ns(&counts, 500_000), Some(1_280_000));
        assert_eq!(quantile_ns(&counts, 750_000), Some(36_864_000));
    }

    /// What a quantile must be by sorting all the times.
    fn sorted(times: &[u64], share_ppm: u32) -> u64 {
        let mut times = times.to_vec();
        times.sort_unstable();
        let rank = part(times.len() as u64, share_ppm) as usize;
        times[rank.max(1) - 1]
    }

    fn counted(times: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; CELLS];
        for &us in times {
            counts[cell(us)] += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn a_time_lies_within_the_bounds_of_its_cell(octave in 0..OCTAVES as u32, low in any::<u64>()) {
            let us = (1 << octave) + low % (1 << octave);
            let (from, to) = bounds_ns(cell(us));
            prop_assert!((from..to).contains(&(us * 1_000)), "{us} us in {from} ..< {to} ns");
        }

        #[test]
        fn a_longer_time_never_has_an_earlier_cell(one in any::<u64>(), other in any::<u64>()) {
            let (short, long) = (one.min(other), one.max(other));
            prop_assert!(cell(short) <= cell(long));
            prop_assert!(cell(long) < CELLS);
        }

        #[test]
        fn a_quantile_lies_in_the_cell_of_the_time_it_stands_for(
            times in prop::collection::vec(1..=LONGEST_US, 1..200),
            share_ppm in 0..=WHOLE_PPM,
        ) {
            let (from, to) = bounds_ns(cell(sorted(&times, share_ppm)));
            let read = quantile_ns(&counted(&times), share_ppm).expect("counted");
            prop_assert!((from..=to).contains(&read), "{read} in {from} ..= {to} ns");
        }

        #[test]
        fn quantiles_grow_with_their_share_whatever_the_counts(
            counts in prop::collection::vec(any::<u64>(), 0..2 * CELLS),
            one in any::<u32>(),
            other in any::<u32>(),
        ) {
            let less = quantile_ns(&counts, one.min(other));
            prop_assert!(less <= quantile_ns(&counts, one.max(other)));
            prop_assert_eq!(less.is_none(), sum(&counts[..counts.len().min(CELLS)]) == 0);
        }
    }
}
