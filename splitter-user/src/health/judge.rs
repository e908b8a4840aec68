//! Owns the verdict of the checks: so many answers in a row, and a backend is healthy or not. Pure.
//!
//! Invariant: one answer against the run begins a new run.

use serde::{Deserialize, Serialize};

/// What the checks say of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing yet; it counts as healthy.
    #[default]
    Unknown,
    /// It answers as expected.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// Counts the answers of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judge {
    rise: u32,
    fall: u32,
    health: Health,
    /// Answers in a row that speak against `health`.
    against: u32,
}

impl Judge {
    /// With a backend that is `health` so far. `rise`, `fall`: at least 1.
    pub fn new(rise: u32, fall: u32, health: Health) -> Self {
        Self {
            rise,
            fall,
            health,
            against: 0,
        }
    }

    /// What the answers say so far.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Takes one answer in, and says whether the health is another one now.
    pub fn answered(&mut self, good: bool) -> bool {
        let (next, needed) = match (self.health, good) {
            (Health::Unknown, true) => (Health::Healthy, 1),
            (Health::Unhealthy, true) => (Health::Healthy, self.rise),
            (Health::Unknown | Health::Healthy, false) => (Health::Unhealthy, self.fall),
            (Health::Healthy, true) | (Health::Unhealthy, false) => {
                self.against = 0;
                return false;
            }
        };
        self.against += 1;
        if self.against < needed {
            return false;
        }
        (self.health, self.against) = (next, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(judge: &mut Judge, answers: &str) -> Vec<Health> {
        answers
            .chars()
            .map(|answer| {
                let before = judge.health();
                let changed = judge.answered(answer == '+');
                assert_eq!(changed, judge.health() != before, "{answers}");
                judge.health()
            })
            .collect()
    }

    #[test]
    fn rise_and_fall_count_answers_in_a_row() {
        use Health::{Healthy, Unhealthy, Unknown};
        let mut judge = Judge::new(2, 3, Unknown);
        assert_eq!(after(&mut judge, "--"), [Unknown, Unknown]);
        assert_eq!(after(&mut judge, "+"), [Healthy], "one good answer is news");
        assert_eq!(after(&mut judge, "--+--"), [Healthy; 5]);
        assert_eq!(after(&mut judge, "-"), [Unhealthy]);
        assert_eq!(after(&mut judge, "+-+-+-"), [Unhealthy; 6]);
        assert_eq!(after(&mut judge, "++"), [Unhealthy, Healthy]);
    }

    /// Whatever the answers, a change needs a run of its own right before it.
    #[test]
    fn no_change_without_its_run() {
        for bits in 0..1u32 << 14 {
            let mut judge = Judge::new(3, 2, Health::Healthy);
            let mut history = Vec::new();
            for at in 0..14 {
                let good = bits >> at & 1 == 1;
                history.push(good);
                if judge.answered(good) {
                    let run = if good { 3 } else { 2 };
                    let tail = &history[history.len() - run..];
                    assert!(tail.iter().all(|answer| *answer == good), "{history:?}");
                }
                let last_two = history.len() >= 2 && history[history.len() - 2..] == [false; 2];
                if last_two {
                    assert_eq!(judge.health(), Health::Unhealthy, "{history:?}");
                }
            }
        }
    }
}
