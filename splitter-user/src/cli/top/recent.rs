//! Owns the times of a window: what came to a histogram lately, put together from looks at all of it.
//!
//! Invariant: pure. What came before the first look is not in it, nor what came longer ago than the
//! window is long, but for what came between two looks that are further apart than that. A histogram
//! that went back (another data plane, a version given anew) begins at nothing.

use std::collections::VecDeque;

use splitter_common::histogram::CELLS;

use crate::api::types::Quantiles;

/// So much longer than wanted the time may be, in seconds: looks come a little later than every second,
/// and a minute of them shall be one.
const SLACK_S: f64 = 0.5;

/// A histogram, look by look.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When it was looked at last, in seconds, and all that it had by cell.
    last: Option<(f64, Vec<u64>)>,
    steps: VecDeque<Step>,
}

/// What came from one look to the next.
#[derive(Debug)]
struct Step {
    from_s: f64,
    to_s: f64,
    /// The cells that grew, and by how much: few of them do in a second, so that a thousand services
    /// have room.
    more: Vec<(u8, u32)>,
}

impl Recent {
    /// Takes in what all of it is at `at_s`, and forgets what came more than `window_s` ago.
    pub(super) fn take(&mut self, at_s: f64, cells: &[u64], window_s: f64) {
        if let Some((from_s, before)) = &self.last {
            match grown(before, cells) {
                Some(more) => self.steps.push_back(Step {
                    from_s: *from_s,
                    to_s: at_s,
                    more,
                }),
                None => self.steps.clear(),
            }
        }
        self.last = Some((at_s, cells.to_vec()));
        let is_long = |length_s| length_s > window_s + SLACK_S;
        while self.steps.len() > 1 && self.length_s().is_some_and(is_long) {
            self.steps.pop_front();
        }
    }

    /// How long the time is that it knows of; `None` before the second look.
    pub(super) fn length_s(&self) -> Option<f64> {
        Some(self.steps.back()?.to_s - self.steps.front()?.from_s)
    }

    /// Quantiles of what came in it; `None` where nothing did.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let mut cells = [0_u64; CELLS];
        for (cell, more) in self.steps.iter().flat_map(|step| &step.more) {
            cells[usize::from(*cell)] += u64::from(*more);
        }
        Quantiles::of(&cells)
    }
}

/// The cells that grew; `None` when one has less than before. What follows the last cell that is told
/// is 0.
fn grown(before: &[u64], now: &[u64]) -> Option<Vec<(u8, u32)>> {
    let had = |cell: usize| before.get(cell).copied().unwrap_or(0);
    let has = |cell: usize| now.get(cell).copied().unwrap_or(0);
    let changed = (0..CELLS).filter(|cell| has(*cell) != had(*cell));
    changed
        .map(|cell| {
            let more = has(cell).checked_sub(had(cell))?;
            // The kernel's cells have 32 bits, and there are fewer than 256 of them.
            Some((u8::try_from(cell).ok()?, u32::try_from(more).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A histogram with so many times in each of two cells, 1.0 ms and 33 ms.
    fn cells(short: u64, long: u64) -> Vec<u64> {
        let mut cells = vec![0; 61];
        (cells[40], cells[60]) = (short, long);
        cells
    }

    fn p50_ms(recent: &Recent) -> Option<u64> {
        let quantiles = recent.quantiles()?;
        Some((quantiles.p50_s * 1e3) as u64)
    }

    #[test]
    fn what_rose_falls_again_when_it_is_older_than_the_window() {
        let mut recent = Recent::default();
        // What was before is not of the window.
        recent.take(0.0, &cells(0, 5_000), 60.0);
        assert_eq!((p50_ms(&recent), recent.length_s()), (None, None));
        let (mut short, mut long) = (0, 5_000);
        let mut told = Vec::new();
        for second in 1..=180 {
            match second {
                61..=90 => long += 100,
                _ => short += 10,
            }
            recent.take(f64::from(second), &cells(short, long), 60.0);
            let quantiles = recent.quantiles().expect("some came");
            told.push([quantiles.p50_s, quantiles.p99_s].map(|s| (s * 1e3) as u64));
        }
        let at = |second: usize| told[second - 1];
        assert_eq!([at(1), at(60)], [[1, 1]; 2]);
        assert!([70, 90, 120].iter().all(|second| at(*second)[0] > 30));
        // At 149 one second of the long ones is left, then none.
        assert_eq!((at(149)[1] > 30, at(150), at(180)), (true, [1, 1], [1, 1]));
        let count = recent.quantiles().map(|each| each.count);
        assert_eq!((count, recent.length_s()), (Some(600), Some(60.0)));
    }

    #[test]
    fn nothing_new_is_no_quantile_and_a_histogram_that_went_back_begins_anew() {
        let mut recent = Recent::default();
        recent.take(0.0, &cells(3, 3), 60.0);
        recent.take(1.0, &cells(3, 3), 60.0);
        assert_eq!((p50_ms(&recent), recent.length_s()), (None, Some(1.0)));
        recent.take(2.0, &cells(9, 3), 60.0);
        assert_eq!(p50_ms(&recent), Some(1));
        // More in all, and less in one cell: these are others.
        recent.take(3.0, &cells(90, 0), 60.0);
        assert_eq!((p50_ms(&recent), recent.length_s()), (None, None));
        recent.take(4.0, &cells(90, 1), 60.0);
        assert_eq!((p50_ms(&recent), recent.length_s()), (Some(32), Some(1.0)));
        // What came while nobody could look is shown once, and its time is said.
        recent.take(304.0, &cells(90, 2), 60.0);
        assert_eq!(recent.length_s(), Some(300.0));
        recent.take(305.0, &cells(90, 2), 60.0);
        assert_eq!((p50_ms(&recent), recent.length_s()), (None, Some(1.0)));
    }

    #[test]
    fn no_more_is_kept_than_the_window_needs() {
        let mut recent = Recent::default();
        for look in 0..10_000_u32 {
            recent.take(f64::from(look) * 1.01, &cells(u64::from(look), 0), 60.0);
        }
        assert_eq!(recent.steps.len(), 59);
    }
}
