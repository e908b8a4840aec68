use std::sync::Arc;

use splitter_common::layout::Counter;

use super::*;
use crate::observe::{Figures, Roster, Sample, roster::tests::roster, sampler::VersionSample};

const BOUNDS: Bounds = Bounds {
    seconds: 10_000,
    minutes: 10_000,
    gaps: 100,
};
/// A full minute.
const NOON: u64 = 1_800_000_000 / 60 * 60;

fn flows(of: u64) -> Figures {
    let mut cells = [0; 16];
    cells[Counter::NewFlows as usize] = of;
    Figures::of_counters(&cells)
}

/// A sample of shop's one version.
fn sample_of(roster: Roster, total: u64) -> Sample {
    Sample {
        roster: Arc::new(roster),
        services: vec![vec![VersionSample {
            figures: flows(total),
            backends: Vec::new(),
        }]],
        ..Sample::default()
    }
}

fn sample(total: u64) -> Sample {
    sample_of(roster(&[]), total)
}

struct Lab {
    dir: tempfile::TempDir,
    history: History,
}

impl Lab {
    fn new(bounds: Bounds) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let history = History::open(dir.path(), bounds).expect("opened");
        Self { dir, history }
    }

    fn book(&mut self, at_s: u64, total: u64) {
        self.history.book(at_s, &sample(total)).expect("booked");
    }

    /// As after kill -9: nothing is closed, the next daemon opens what is there.
    fn killed(self, bounds: Bounds) -> Self {
        let Self { dir, history } = self;
        std::mem::forget(history);
        let history = History::open(dir.path(), bounds).expect("opened again");
        Self { dir, history }
    }

    /// Begin, length, seconds seen and new flows of every cell.
    fn told(&self, from_s: u64, until_s: u64, step_s: u64) -> Vec<(u64, u64, u64, u64)> {
        let wanted = Wanted {
            service: "shop".into(),
            version: None,
            from_s,
            until_s,
            step_s,
        };
        let told = read(self.dir.path(), &wanted).expect("read");
        let columns = fold(&wanted, &told);
        assert!(columns.len() <= 1 && columns.iter().all(|column| column.version == "stable"));
        let cells = columns.into_iter().flat_map(|column| column.cells);
        cells
            .map(|cell| {
                let flows = cell.figures.counter(Counter::NewFlows);
                (cell.at_s, cell.length_s, cell.seen_s, flows)
            })
            .collect()
    }
}

#[test]
fn seconds_hold_what_came_in_them() {
    let mut lab = Lab::new(BOUNDS);
    // What there was before the first sample belongs to no second.
    for (at_s, total) in [(0, 1_000), (1, 1_007), (2, 1_007), (3, 1_010)] {
        lab.book(NOON + at_s, total);
    }
    // The same second once more: what came since belongs to the next.
    lab.book(NOON + 3, 1_015);
    // Two seconds late: told as two.
    lab.book(NOON + 5, 1_021);
    let told = lab.told(NOON, NOON + 60, 1);
    let wanted = [7, 0, 3, 5, 6].into_iter().enumerate();
    let wanted: Vec<_> = wanted
        .map(|(nth, flows)| (NOON + nth as u64, 1, 1, flows))
        .collect();
    assert_eq!(told, wanted);
    let minute = lab.told(NOON, NOON + 60, 60);
    assert_eq!(minute, [(NOON, 60, 5, 21)], "a minute that is not over");
}

#[test]
fn a_dead_daemon_leaves_a_gap_and_no_spike() {
    let mut lab = Lab::new(BOUNDS);
    lab.book(NOON, 100);
    lab.book(NOON + 1, 110);
    let mut lab = lab.killed(BOUNDS);
    lab.book(NOON + 41, 5_110);
    lab.book(NOON + 42, 5_120);
    let told = lab.told(NOON, NOON + 60, 1);
    let gap = (NOON + 1, 40, 0, 5_000);
    assert_eq!(told, [(NOON, 1, 1, 10), gap, (NOON + 41, 1, 1, 10)]);
    // In minutes it is a gap too, before and after the minute is over.
    let minute = [(NOON, 60, 2, 20), gap];
    assert_eq!(lab.told(NOON, NOON + 60, 60), minute);
    lab.book(NOON + 43, 5_120);
    for second in 44..=61 {
        lab.book(NOON + second, 5_120);
    }
    assert_eq!(lab.told(NOON, NOON + 60, 60)[0], (NOON, 60, 20, 20));
    assert_eq!(lab.told(NOON, NOON + 60, 60)[1], gap);
    // One that is back at once leaves none: the totals went on.
    let mut lab = lab.killed(BOUNDS);
    lab.book(NOON + 63, 5_126);
    let told = lab.told(NOON + 61, NOON + 63, 1);
    assert_eq!(told, [(NOON + 61, 1, 1, 3), (NOON + 62, 1, 1, 3)]);
}

#[test]
fn another_version_of_the_same_name_counts_from_nothing() {
    let mut lab = Lab::new(BOUNDS);
    lab.book(NOON, 100);
    let mut other = roster(&[]);
    other.services[0].versions[0].born = (1, 9);
    let booked = lab.history.book(NOON + 1, &sample_of(other, 4));
    booked.expect("booked");
    assert_eq!(lab.told(NOON, NOON + 9, 1), [(NOON, 1, 1, 4)]);
}

#[test]
fn those_who_are_gone_are_forgotten_with_their_cells() {
    let mut lab = Lab::new(BOUNDS);
    lab.book(NOON, 100);
    lab.book(NOON + 1, 105);
    lab.history
        .book(NOON + 2, &Sample::default())
        .expect("booked");
    let mut lab = lab.killed(BOUNDS);
    assert_eq!(
        lab.told(NOON, NOON + 9, 1)[0],
        (NOON, 1, 1, 5),
        "its cells stay"
    );
    // It comes back, and has a number anew.
    lab.book(NOON + 3, 900);
    lab.book(NOON + 4, 901);
    let count = |lab: &Lab| {
        let db = rusqlite::Connection::open(lab.dir.path().join(FILE)).expect("opened");
        let count = db.query_row("SELECT count(*) FROM subjects", [], |row| row.get(0));
        let count: u64 = count.expect("counted");
        count
    };
    assert_eq!(count(&lab), 1);
    lab.history
        .book(NOON + 5, &Sample::default())
        .expect("booked");
    let later = NOON + 5 + MINUTES_KEPT_S;
    lab.history.book(later, &Sample::default()).expect("booked");
    lab.history
        .book(later + 60, &Sample::default())
        .expect("booked");
    assert_eq!(count(&lab.killed(BOUNDS)), 0);
}

#[test]
fn minutes_outlive_their_seconds_and_both_are_bounded() {
    let bounds = Bounds {
        seconds: 100,
        minutes: 3,
        gaps: 100,
    };
    let mut lab = Lab::new(bounds);
    for second in 0..=600 {
        lab.book(NOON + second, second);
    }
    let seconds = lab.told(NOON, NOON + 600, 1);
    assert_eq!(seconds.len(), 100, "no more rows, and none told as 0");
    assert_eq!(seconds[0], (NOON + 500, 1, 1, 1));
    let minutes = lab.told(NOON, NOON + 600, 60);
    let wanted: Vec<_> = (7..10).map(|nth| (NOON + nth * 60, 60, 60, 60)).collect();
    assert_eq!(minutes, wanted);
    // By age: an hour later there are no seconds, a week later no minutes.
    lab.book(NOON + 600 + 3_700, 600);
    assert_eq!(lab.told(NOON, NOON + 600, 1), []);
    assert_eq!(lab.told(NOON, NOON + 600, 60).len(), 3);
    lab.book(NOON + 600 + MINUTES_KEPT_S, 600);
    assert_eq!(lab.told(NOON, NOON + 600, 60), []);
}

#[test]
fn a_clock_that_is_put_back_leaves_no_cell_from_the_future() {
    let mut lab = Lab::new(BOUNDS);
    for second in 0..10 {
        lab.book(NOON + second, second);
    }
    lab.book(NOON + 4, 12);
    lab.book(NOON + 5, 14);
    let told = lab.told(NOON, NOON + 60, 1);
    let last = told.last().copied();
    assert_eq!(
        (told.len(), last),
        (5, Some((NOON + 4, 1, 1, 2))),
        "{told:?}"
    );
}

#[test]
fn a_damaged_database_is_moved_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(FILE);
    std::fs::write(&path, "this is no database, whatever its name says").expect("written");
    let mut history = History::open(dir.path(), BOUNDS).expect("begun anew");
    history.book(NOON, &sample(1)).expect("booked");
    let aside = std::fs::read(path.with_extension("db.damaged")).expect("kept");
    assert!(aside.starts_with(b"this is no database"));
    // One of a version that is newer, too.
    drop(history);
    let db = rusqlite::Connection::open(&path).expect("opened");
    db.pragma_update(None, "user_version", 77).expect("set");
    drop(db);
    History::open(dir.path(), BOUNDS).expect("begun anew");
}
