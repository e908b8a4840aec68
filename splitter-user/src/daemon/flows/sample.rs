//! Owns the arithmetic of the estimate: how long a turn may look at a table, when a round of turns is
//! over, and what its sample says of the whole: pure.
//!
//! Keys are spread over the buckets by the kernel's own seeded hash, so that the flows of a run of
//! buckets are a fair sample: a count of `n` flows out of a part of the table is off by more than
//! `3 / sqrt(n)` of itself once in some hundred rounds. A whole table is counted exactly.

use std::{collections::HashMap, time::Duration};

/// Turns after which a round is over, however little of the table it saw.
pub(super) const ROUND_TURNS: u32 = 10;

/// What may be spent a turn, and what is owed from earlier ones: a system call cannot be cut short,
/// so what it takes too long is saved by the turns that follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    a_turn: Duration,
    owed: Duration,
}

impl Budget {
    pub(super) const fn new(a_turn: Duration) -> Self {
        Self {
            a_turn,
            owed: Duration::ZERO,
        }
    }

    /// What the turn that begins may spend; `None` when it is left out for what is owed.
    pub(super) fn begin(&mut self) -> Option<Duration> {
        if self.owed >= self.a_turn {
            self.owed -= self.a_turn;
            return None;
        }
        Some(self.a_turn - std::mem::take(&mut self.owed))
    }

    /// Says what a turn that was given `given` has spent.
    pub(super) fn spent(&mut self, given: Duration, spent: Duration) {
        self.owed = spent.saturating_sub(given);
    }
}

/// A round of turns over one table, and what it has counted so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Round {
    /// Flows by backend number.
    pub(super) by_backend: HashMap<u32, u64>,
    /// Entries in use.
    pub(super) entries: u64,
    /// Buckets looked at.
    seen: u64,
    turns: u32,
}

impl Round {
    /// Counts an entry in use.
    pub(super) fn add(&mut self, backend: u32) {
        self.entries += 1;
        *self.by_backend.entry(backend).or_default() += 1;
    }

    /// Notes that all buckets from `from` up to `to` were looked at.
    pub(super) fn saw(&mut self, from: u32, to: u32) {
        self.seen += u64::from(to.saturating_sub(from));
    }

    /// Ends a turn; whether the round is over with it.
    pub(super) fn end_turn(&mut self, buckets: u32) -> bool {
        self.turns += 1;
        self.is_whole(buckets) || self.turns >= ROUND_TURNS
    }

    /// Whether every bucket was looked at.
    pub(super) fn is_whole(&self, buckets: u32) -> bool {
        self.seen >= u64::from(buckets)
    }

    /// What a count of this round says of a whole table of so many buckets.
    pub(super) fn scaled(&self, count: u64, buckets: u32) -> u64 {
        let whole = u128::from(count) * u128::from(buckets);
        let seen = u128::from(self.seen.max(1));
        u64::try_from((whole + seen / 2) / seen).unwrap_or(u64::MAX)
    }

    /// The part of the table that was looked at, in percent.
    pub(super) fn sampled_percent(&self, buckets: u32) -> f64 {
        (self.seen as f64 * 100.0 / f64::from(buckets.max(1))).min(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use splitter_common::hash::{HashKey, siphash13};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_a_turn_overspends_is_saved_by_those_after_it() {
        let mut budget = Budget::new(3 * MS);
        assert_eq!(budget.begin(), Some(3 * MS));
        budget.spent(3 * MS, 2 * MS);
        assert_eq!(
            budget.begin(),
            Some(3 * MS),
            "what is left over is not kept"
        );
        budget.spent(3 * MS, 10 * MS);
        assert_eq!(budget.begin(), None);
        assert_eq!(budget.begin(), None);
        assert_eq!(budget.begin(), Some(2 * MS));
    }

    /// Whatever a look takes, no more is spent over time than is allowed.
    #[test]
    fn no_more_is_spent_over_time_than_is_allowed() {
        for look in [MS / 10, 2 * MS, 7 * MS, 400 * MS] {
            let mut budget = Budget::new(3 * MS);
            let mut all = Duration::ZERO;
            for _ in 0..10_000 {
                if let Some(given) = budget.begin() {
                    // Looks until the time is up: one at least, and one may overrun.
                    let mut spent = look;
                    while spent < given {
                        spent += look;
                    }
                    budget.spent(given, spent);
                    all += spent;
                }
            }
            assert!(all <= 10_000 * 3 * MS + look, "{look:?}: {all:?}");
        }
    }

    #[test]
    fn a_round_ends_with_the_table_or_after_its_turns() {
        let mut round = Round::default();
        round.saw(0, 600);
        assert!(!round.end_turn(1_024));
        round.saw(600, 1_024);
        assert!(round.end_turn(1_024) && round.is_whole(1_024));
        let mut slow = Round::default();
        for turn in 1..=ROUND_TURNS {
            slow.saw(turn, turn + 1);
            assert_eq!(slow.end_turn(1_024), turn == ROUND_TURNS);
        }
        assert!(!slow.is_whole(1_024));
        assert_eq!(slow.scaled(5, 1_024), 512);
        assert_eq!(Round::default().scaled(0, 1_024), 0);
    }

    /// Tables of flows spread by a hash, of which a tenth is looked at: every estimate is within
    /// the bound that the module states, and a whole look is exact.
    #[test]
    fn a_sample_is_within_its_bound_and_a_whole_look_exact() {
        let (buckets, flows) = (65_536u32, 60_000u64);
        for seed in 0..40 {
            let key = HashKey { k0: seed, k1: 7 };
            let bucket = |flow: u64| siphash13(key, &flow.to_le_bytes()) as u32 % buckets;
            // One flow in twenty belongs to backend 2.
            let owner = |flow: u64| if flow.is_multiple_of(20) { 2 } else { 1 };
            for part in [buckets / 10, buckets] {
                let mut round = Round::default();
                let begin = (seed as u32 * 1_000) % (buckets - part + 1);
                for flow in 0..flows {
                    if (begin..begin + part).contains(&bucket(flow)) {
                        round.add(owner(flow));
                    }
                }
                round.saw(begin, begin + part);
                for (backend, truth) in [(1, flows * 19 / 20), (2, flows / 20)] {
                    let counted = round.by_backend[&backend];
                    let told = round.scaled(counted, buckets);
                    if part == buckets {
                        assert_eq!(told, truth);
                        continue;
                    }
                    let bound = 3.0 / (counted as f64).sqrt() * told as f64;
                    let off = told.abs_diff(truth) as f64;
                    assert!(off <= bound, "seed {seed}: {told} for {truth}");
                }
            }
        }
    }
}
