//! Owns what becomes of history when the disk fails: sampling goes on, and history is tried again.
//!
//! Invariant: what is wrong is told once, and again when it is something else.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Bounds, History, HistoryError, schema};
use crate::observe::Sample;

/// How long to wait before another try.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps history, whatever happens to its file.
pub struct Keeper {
    dir: PathBuf,
    history: Option<History>,
    failed_at: Option<Instant>,
    problem: Option<String>,
}

impl Keeper {
    /// One that keeps history in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            history: None,
            failed_at: None,
            problem: None,
        }
    }

    /// What is wrong with history, for whoever asks the daemon how it fares.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Books a sample, if that can be.
    pub fn book(&mut self, now_s: u64, sample: &Sample) {
        if self.failed_at.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        match self.try_to_book(now_s, sample) {
            Ok(()) => {
                if self.problem.take().is_some() {
                    log::info!("history is written again");
                }
                self.failed_at = None;
            }
            Err(error) => {
                let problem = format!(
                    "history is not written: {error}; tried again every {} s, traffic is not \
                     touched by that",
                    RETRY.as_secs()
                );
                if self.problem.as_ref() != Some(&problem) {
                    log::error!("{problem}");
                }
                self.problem = Some(problem);
                self.failed_at = Some(Instant::now());
                self.history = None;
            }
        }
    }

    fn try_to_book(&mut self, now_s: u64, sample: &Sample) -> Result<(), HistoryError> {
        let history = match &mut self.history {
            Some(history) => history,
            None => self
                .history
                .insert(History::open(&self.dir, Bounds::default())?),
        };
        let booked = history.book(now_s, sample);
        if let Err(error) = &booked
            && error.is_damage()
        {
            self.history = None;
            let aside = schema::move_aside(&self.dir.join(schema::FILE))?;
            log::error!(
                "history is damaged; what there was is in {}",
                aside.display()
            );
        }
        booked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_told_and_tried_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("not yet");
        let mut keeper = Keeper::new(&missing);
        keeper.book(1, &Sample::default());
        let told = keeper.problem().expect("told").to_owned();
        assert!(told.contains("history.db: cannot make: "), "{told}");
        std::fs::create_dir(&missing).expect("made");
        keeper.book(2, &Sample::default());
        assert!(keeper.problem().is_some(), "not before it is time");
        keeper.failed_at = None;
        keeper.book(3, &Sample::default());
        assert_eq!(keeper.problem(), None);
    }
}
