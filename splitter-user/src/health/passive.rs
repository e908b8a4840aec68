//! Owns the verdict of the kernel's counters: a backend that answers nearly nobody, or resets too
//! many, is ejected for a while. Pure.
//!
//! Invariants: a handshake of the last second may still be answered and is not held against
//! anybody; an ejection ends by its time alone, since who gets no flows proves nothing. Times are
//! durations since any one moment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Passive;

/// What a backend has counted so far, monotone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// Whose they are: the backend's number.
    pub number: u32,
    /// Handshakes begun.
    pub begun: u64,
    /// Handshakes answered.
    pub answered: u64,
    /// Flows reset by the backend.
    pub resets: u64,
}

/// What a look at the counters changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The backend is ejected from now on, and why.
    Ejected(String),
    /// Its time is over.
    Returned,
}

/// Watches one backend.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// By time, oldest first: one more than fits the window, to count from.
    looks: VecDeque<(Duration, Cells)>,
    ejected_until: Option<Duration>,
    /// Ejections that are not forgotten yet.
    times: u32,
    returned_at: Duration,
}

impl Watch {
    /// A backend that was ejected when the daemon before this one ended.
    pub fn ejected(now: Duration, passive: &Passive) -> Self {
        Self {
            ejected_until: Some(now + passive.eject_for),
            times: 1,
            ..Self::default()
        }
    }

    /// Whether the backend is out.
    pub fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// Looks at the counters, about once a second.
    pub fn look(&mut self, now: Duration, cells: Cells, passive: &Passive) -> Option<Change> {
        if let Some(until) = self.ejected_until {
            if now < until {
                return None;
            }
            (self.ejected_until, self.returned_at) = (None, now);
            self.looks.clear();
            self.looks.push_back((now, cells));
            return Some(Change::Returned);
        }
        // What another number has counted is nothing to compare with.
        if self
            .looks
            .back()
            .is_some_and(|(_, last)| last.number != cells.number)
        {
            self.looks.clear();
        }
        if self.times > 0 && now.saturating_sub(self.returned_at) >= passive.eject_max {
            self.times = 0;
        }
        self.looks.push_back((now, cells));
        let begin = now.saturating_sub(passive.window);
        while self.looks.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.looks.pop_front();
        }
        let why = self.complaint(cells, passive)?;
        let length = passive.eject_for.saturating_mul(1 << self.times.min(20));
        self.times += 1;
        self.ejected_until = Some(now + length.min(passive.eject_max));
        self.looks.clear();
        Some(Change::Ejected(why))
    }

    /// What speaks against the backend.
    fn complaint(&self, cells: Cells, passive: &Passive) -> Option<String> {
        let (_, first) = self.looks.front()?;
        let before_last = self.looks.len().checked_sub(2)?;
        let (_, settled) = self.looks.get(before_last)?;
        let begun = settled.begun.saturating_sub(first.begun);
        if begun < u64::from(passive.min_handshakes) {
            return None;
        }
        let answered = cells.answered.saturating_sub(first.answered);
        let unanswered = begun.saturating_sub(answered);
        let resets = cells.resets.saturating_sub(first.resets);
        let reaches = |part: u64, ppm: u32| part * 1_000_000 >= begun * u64::from(ppm);
        if reaches(unanswered, passive.unanswered.ppm()) {
            return Some(format!(
                "{unanswered} of {begun} handshakes were not answered"
            ));
        }
        reaches(resets, passive.resets.ppm())
            .then(|| format!("it reset {resets} flows for {begun} handshakes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn passive() -> Passive {
        Passive {
            min_handshakes: 10,
            ..Passive::default()
        }
    }

    /// A look a second, each with so many more handshakes begun, answered and reset; the second of
    /// the first change and the change.
    fn run(
        watch: &mut Watch,
        from_s: u64,
        mut cells: Cells,
        per_s: (u64, u64, u64),
        most_s: u64,
    ) -> Option<(u64, Change)> {
        (from_s..from_s + most_s).find_map(|second| {
            cells.begun += per_s.0;
            cells.answered += per_s.1;
            cells.resets += per_s.2;
            let change = watch.look(S(second), cells, &passive())?;
            Some((second, change))
        })
    }

    #[test]
    fn who_answers_stays_and_who_does_not_is_ejected() {
        let none = Cells::default();
        assert_eq!(
            run(&mut Watch::default(), 0, none, (100, 100, 2), 100),
            None
        );
        assert_eq!(
            run(&mut Watch::default(), 0, none, (100, 10, 0), 100),
            None,
            "a tenth is answered, the limit is 95 % unanswered"
        );
        let (second, change) =
            run(&mut Watch::default(), 0, none, (100, 2, 0), 100).expect("ejected");
        assert!(second <= 3, "{second}");
        let Change::Ejected(why) = change else {
            panic!("{change:?}")
        };
        assert!(why.contains("handshakes were not answered"), "{why}");
        let resets = run(&mut Watch::default(), 0, none, (100, 100, 60), 100);
        assert!(
            matches!(&resets, Some((_, Change::Ejected(why))) if why.contains("reset")),
            "{resets:?}"
        );
    }

    #[test]
    fn few_handshakes_say_nothing_and_young_ones_are_not_counted() {
        let none = Cells::default();
        // Nine in the ten seconds of the window.
        let mut watch = Watch::default();
        let mut cells = none;
        for second in 0..200 {
            cells.begun += u64::from(second % 10 != 0);
            let change = watch.look(S(second), cells, &passive());
            assert_eq!(change, None, "{second}");
        }
        // A burst that is answered a look later.
        let mut watch = Watch::default();
        watch.look(S(0), none, &passive());
        let begun = Cells { begun: 500, ..none };
        assert_eq!(watch.look(S(1), begun, &passive()), None);
        let answered = Cells {
            answered: 500,
            ..begun
        };
        assert_eq!(watch.look(S(2), answered, &passive()), None);
    }

    #[test]
    fn another_number_counts_from_its_own_beginning() {
        let mut watch = Watch::default();
        watch.look(S(0), Cells::default(), &passive());
        let other = Cells {
            number: 2,
            begun: 5_000,
            ..Cells::default()
        };
        for second in 1..20 {
            assert_eq!(watch.look(S(second), other, &passive()), None);
        }
    }

    #[test]
    fn ejections_grow_with_repeats_up_to_their_limit_and_are_forgotten() {
        let mut watch = Watch::default();
        let (mut now, mut lengths) = (0, Vec::new());
        for _ in 0..7 {
            let (at, change) =
                run(&mut watch, now, Cells::default(), (100, 0, 0), 100).expect("ejected");
            assert!(matches!(change, Change::Ejected(_)) && watch.is_ejected());
            let (back, change) =
                run(&mut watch, at + 1, Cells::default(), (0, 0, 0), 1_000).expect("returned");
            assert_eq!((change, watch.is_ejected()), (Change::Returned, false));
            lengths.push(back - at);
            now = back + 1;
        }
        assert_eq!(lengths, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(
            run(&mut watch, now, Cells::default(), (100, 100, 0), 700),
            None
        );
        let (at, _) =
            run(&mut watch, now + 700, Cells::default(), (100, 0, 0), 100).expect("ejected");
        let (back, _) =
            run(&mut watch, at + 1, Cells::default(), (0, 0, 0), 1_000).expect("returned");
        assert_eq!(back - at, 30, "ten good minutes wipe the slate");
    }
}
