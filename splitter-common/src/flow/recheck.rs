//! Owns the fate of open flows when their service decides otherwise than it did: they go on, until a
//! time or for good, or they end. One mechanism serves changes of weights, drains, denied clients and
//! aborts: a row per service names commits; a flow that was decided, or last looked at, before one of
//! them is looked at once more. It costs one write whatever the number of flows, and needs no daemon.
//!
//! Invariant: a flow that the service would decide the same way is never ended.

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};

use super::{Entry, entry::state};

/// Commits of one service that may end flows at once, each at a time of its own.
pub const RECHECKS: usize = 3;

/// What open flows of a service must be looked at for. Every number is written by itself, as one
/// aligned store; generation 0 is never any flow's.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct RecheckRow {
    /// Flows that were looked at since this commit are left alone: the newest of those below, and of
    /// those that changed who is served.
    pub newest: u32,
    /// Flows older than this that the service decides otherwise end at `at`.
    pub from: [u32; RECHECKS],
    /// When, in jiffies.
    pub at: [u64; RECHECKS],
}

/// What the service says of an open flow now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The client may not be served at all.
    pub denied: bool,
    /// It would be decided as it was: the same version, and its backend still takes part.
    pub same: bool,
}

/// What becomes of an open flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It goes on.
    Stay,
    /// It goes on until its time is up.
    Leave,
    /// It ends.
    End,
}

impl RecheckRow {
    /// Whether the time of one of the commits that an entry has not seen is up.
    #[inline(always)]
    pub fn is_due(&self, checked: u32, jiffies: u64) -> bool {
        let mut due = 0;
        for (from, at) in self.from.iter().zip(&self.at) {
            due |= (*from > checked) as u32 & (*at <= jiffies) as u32;
        }
        due != 0
    }

    /// The row when clients may be denied since commit `generation`.
    pub fn with_denied(mut self, generation: u32) -> Self {
        self.newest = self.newest.max(generation);
        self
    }

    /// The row when at `now` flows older than commit `from`, the newest so far, are to end at `at`, no
    /// earlier than now; and whether an earlier ending had to join it, for want of room, and is later
    /// now. The same commit twice is one.
    pub fn with_ending(mut self, from: u32, at: u64, now: u64) -> (Self, bool) {
        if self.from.contains(&from) {
            return (self, false);
        }
        let mut earlier: [(u32, u64); RECHECKS] =
            core::array::from_fn(|slot| (self.from[slot], self.at[slot]));
        earlier.sort_unstable();
        let mut kept = [(0, 0); RECHECKS];
        let mut count = 0;
        for ending in earlier {
            // What would end no sooner ends with the new one.
            if ending.0 == 0 || ending.1 >= at {
                continue;
            }
            // Of those whose time is up the newest stands for all, whatever their times.
            if count > 0 && ending.1 <= now {
                count -= 1;
            }
            kept[count] = ending;
            count += 1;
        }
        let joined = count == RECHECKS;
        kept[if joined { RECHECKS - 1 } else { count }] = (from, at);
        self.from = kept.map(|ending| ending.0);
        self.at = kept.map(|ending| ending.1);
        self.newest = self.newest.max(from);
        (self, joined)
    }

    /// What becomes of a flow at `jiffies`.
    #[inline(always)]
    pub fn fate(&self, checked: u32, answer: Answer, jiffies: u64) -> Fate {
        if answer.denied {
            Fate::End
        } else if answer.same {
            Fate::Stay
        } else if self.is_due(checked, jiffies) {
            Fate::End
        } else {
            Fate::Leave
        }
    }
}

/// 1 when a flow must be looked at before its packet goes on, 0 otherwise; without a branch, since a
/// verifier would walk what follows once for each answer.
#[inline(always)]
pub fn must_look(entry: &Entry, newest: u32) -> u64 {
    // The sign of the difference: both are below 2^32.
    let older = black_box((entry.checked as u64).wrapping_sub(newest as u64)) >> 63;
    let is_cut = (entry.state / state::CUT) & 1;
    older | is_cut as u64
}

/// The entry after a look by the service's row of that generation. A row older than what the flow is
/// looked at for, since its commit is under way, lets it be looked at again.
#[inline(always)]
pub const fn looked_at(mut entry: Entry, generation: u32, fate: Fate) -> Entry {
    match fate {
        Fate::Stay => {
            entry.checked = generation;
            entry.state &= !state::LEAVING;
        }
        Fate::Leave => entry.state |= state::LEAVING,
        Fate::End => entry.state |= state::CUT,
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Answer = Answer {
        denied: false,
        same: true,
    };
    const OTHER: Answer = Answer {
        denied: false,
        same: false,
    };

    fn row() -> RecheckRow {
        RecheckRow {
            newest: 9,
            from: [5, 7, 0],
            at: [100, 200, 0],
        }
    }

    #[test]
    fn a_flow_that_is_decided_the_same_way_stays_whatever_is_due() {
        assert_eq!(row().fate(4, SAME, 1_000), Fate::Stay);
    }

    #[test]
    fn each_commit_ends_the_flows_before_it_at_its_own_time() {
        assert_eq!(row().fate(4, OTHER, 99), Fate::Leave);
        assert_eq!(row().fate(4, OTHER, 100), Fate::End);
        // Decided between the two.
        assert_eq!(row().fate(5, OTHER, 199), Fate::Leave);
        assert_eq!(row().fate(5, OTHER, 200), Fate::End);
        // Decided after both: nobody asked for its end.
        assert_eq!(row().fate(7, OTHER, 1_000), Fate::Leave);
    }

    #[test]
    fn an_ending_takes_in_those_that_are_not_sooner() {
        let row = RecheckRow::default();
        let (row, _) = row.with_ending(2, 100, 0);
        let (row, _) = row.with_ending(3, 200, 0);
        assert_eq!((row.from, row.at), ([2, 3, 0], [100, 200, 0]));
        // A second time after a crash.
        assert_eq!(row.with_ending(3, 250, 0), (row, false));
        let (sooner, joined) = row.with_ending(4, 150, 0);
        assert_eq!((sooner.from, sooner.at), ([2, 4, 0], [100, 150, 0]));
        assert!(!joined && sooner.newest == 4);
        let (now, _) = sooner.with_ending(5, 50, 0);
        assert_eq!((now.from, now.at), ([5, 0, 0], [50, 0, 0]));
    }

    #[test]
    fn endings_that_are_over_take_one_place() {
        let row = [(2, 100), (3, 200), (4, 300)]
            .into_iter()
            .fold(RecheckRow::default(), |row, (from, at)| {
                row.with_ending(from, at, 0).0
            });
        let (row, joined) = row.with_ending(5, 400, 250);
        assert!(!joined);
        assert_eq!((row.from, row.at), ([3, 4, 5], [200, 300, 400]));
        // Ended at once: there is nothing that this one does not stand for.
        let (row, _) = row.with_ending(6, 350, 350);
        assert_eq!((row.from, row.at), ([4, 6, 0], [300, 350, 0]));
    }

    #[test]
    fn one_too_many_joins_the_last() {
        let row = [(2, 100), (3, 200), (4, 300)]
            .into_iter()
            .fold(RecheckRow::default(), |row, (from, at)| {
                row.with_ending(from, at, 0).0
            });
        let (row, joined) = row.with_ending(5, 400, 0);
        assert!(joined);
        assert_eq!((row.from, row.at), ([2, 3, 5], [100, 200, 400]));
    }

    #[test]
    fn a_denied_client_ends_at_once() {
        let denied = Answer {
            denied: true,
            same: true,
        };
        assert_eq!(row().fate(8, denied, 0), Fate::End);
    }

    #[test]
    fn one_that_stays_is_not_looked_at_again_and_one_that_leaves_is() {
        let entry = Entry {
            generation: 4,
            backend: 1,
            service: 0,
            version: 0,
            mark: crate::evidence::Mark::default(),
            state: 0,
            checked: 4,
            seen: crate::clock::Jiffies32(0),
            began: crate::clock::Jiffies32(0),
            client_seq: 0,
            server_seq: 0,
            syn_us: 0,
            once: 0,
            traits: crate::traits::Traits::NONE,
        };
        assert_eq!(must_look(&entry, 9), 1);
        let leaves = looked_at(entry, 9, Fate::Leave);
        assert_eq!(must_look(&leaves, 9), 1);
        let stays = looked_at(leaves, 9, Fate::Stay);
        assert_eq!(stays.state, 0);
        assert_eq!(must_look(&stays, 9), 0);
        assert_eq!(must_look(&looked_at(stays, 9, Fate::End), 9), 1);
    }
}
