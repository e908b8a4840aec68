//! Owns runs over many seeds: case after case on several labs, and what is done with one that
//! fails.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow, bail};

use super::{Lab, PATIENCE, Seen, Source, keep::keep, play, shrink::shrink};
use crate::{model::Ways, supervise::StopFlag};

/// A run over seeds.
pub struct Run<'a, S> {
    /// Where failing cases go: a folder below `tests/`, or a path.
    pub folder: &'a str,
    /// Its first seed.
    pub seed: u64,
    /// Makes the steps of a case.
    pub source: fn(u64) -> S,
    /// What the model is told of ways.
    pub ways: Ways,
    /// Threads, each with a lab; every second one runs the program for frames in several buffers.
    pub threads: usize,
    /// Packets after which no further case begins.
    pub packets: u64,
    /// When no further case begins.
    pub until: Option<Instant>,
    /// Raised when it should end early.
    pub stop: StopFlag,
}

impl<S: Source> Run<'_, S> {
    /// Runs case after case, each with a seed of its own; what they saw.
    ///
    /// # Errors
    ///
    /// With the first case that fails: its seed, and the file that has it.
    pub fn run(&self) -> Result<Seen> {
        let (all, next) = (Mutex::new(Seen::default()), AtomicU64::new(0));
        let failed = AtomicBool::new(false);
        let is_over = || {
            failed.load(Ordering::Relaxed)
                || self.stop.is_raised()
                || self.until.is_some_and(|end| Instant::now() >= end)
                || all.lock().map_or(true, |all| all.packets >= self.packets)
        };
        let worker = &|nth: usize| -> Result<()> {
            let mut lab = Lab::new(self.ways)?;
            lab.frags = nth % 2 == 1;
            while !is_over() {
                let seed = self.seed_of(next.fetch_add(1, Ordering::Relaxed));
                let case = self.case(&mut lab, seed);
                // The others need not go on.
                failed.fetch_or(case.is_err(), Ordering::Relaxed);
                if let Ok(mut all) = all.lock() {
                    all.add(case?);
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads)
                .map(|nth| scope.spawn(move || worker(nth)))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(ran) => ran,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })?;
        all.into_inner().map_err(|_| anyhow!("a worker panicked"))
    }

    /// The first case has the run's own seed, so that a case's seed as a run's runs that case.
    fn seed_of(&self, nth: u64) -> u64 {
        self.seed
            .wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn case(&self, lab: &mut Lab, seed: u64) -> Result<Seen> {
        let failure = match play(lab, &mut (self.source)(seed)) {
            Ok(seen) => return Ok(seen),
            Err(failure) => failure,
        };
        if let Some(short) = shrink(lab, &failure.steps) {
            let file = keep(self.folder, "short", seed, &short)?;
            let program = if lab.frags { "frags" } else { "linear" };
            bail!("SPLITTER_SEED={seed:#x}, {program} program, kept as {file}: {short}");
        }
        if failure.elapsed > PATIENCE {
            // The machine stood still: entries were older than the model thought.
            return Ok(Seen::default());
        }
        let file = keep(self.folder, "once", seed, &failure)?;
        bail!("SPLITTER_SEED={seed:#x} failed once and not again, kept as {file}: {failure}");
    }
}
