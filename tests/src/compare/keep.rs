//! Owns the folders of cases that once failed, and the runs over many seeds.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{Failure, Lab, PATIENCE, Seen, Source, play, replay, shrink::shrink, step};

/// A case that failed once.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its file's name.
    pub name: String,
    text: String,
}

/// The cases of a folder below `tests/`, by name.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn kept(folder: &str) -> Result<Vec<Kept>> {
    let mut all = Vec::new();
    let folder = path(folder);
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "case")
        {
            all.push(Kept {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                text: fs::read_to_string(&path)?,
            });
        }
    }
    all.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(all)
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

impl Kept {
    /// Runs it again.
    ///
    /// # Errors
    ///
    /// When the two sides still differ.
    pub fn run(&self, lab: &mut Lab) -> Result<()> {
        let steps = step::parse(&self.text)?;
        match replay(lab, &steps) {
            Ok(_) => Ok(()),
            Err(failure) => bail!("{}", told(&failure)),
        }
    }
}

/// A run over seeds.
pub struct Run<'a, S> {
    /// Where failing cases go, below `tests/`.
    pub folder: &'a str,
    /// Its first seed.
    pub seed: u64,
    /// Makes the steps of a case.
    pub source: fn(u64) -> S,
    /// Threads, each with a lab.
    pub threads: usize,
    /// Packets after which no further case begins.
    pub packets: u64,
    /// When no further case begins.
    pub until: Option<Instant>,
}

impl<S: Source> Run<'_, S> {
    /// Runs case after case, each with a seed of its own; what they saw.
    ///
    /// # Errors
    ///
    /// With the first case that fails: its seed, and the file that has it.
    pub fn run(&self) -> Result<Seen> {
        let (all, next) = (Mutex::new(Seen::default()), AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        let is_over = || {
            stop.load(Ordering::Relaxed)
                || self.until.is_some_and(|end| Instant::now() >= end)
                || all.lock().map_or(true, |all| all.packets >= self.packets)
        };
        let worker = || -> Result<()> {
            let mut lab = Lab::new()?;
            while !is_over() {
                let seed = self.seed_of(next.fetch_add(1, Ordering::Relaxed));
                let case = self.case(&mut lab, seed);
                // The others need not go on.
                stop.fetch_or(case.is_err(), Ordering::Relaxed);
                if let Ok(mut all) = all.lock() {
                    all.add(case?);
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(worker)).collect();
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
        let Some(short) = shrink(lab, &failure.steps) else {
            if failure.elapsed > PATIENCE {
                // The machine stood still; ages of entries were not what the model thought.
                return Ok(Seen::default());
            }
            let file = self.keep(seed, "once", &failure)?;
            bail!(
                "a case failed once and not again, seed {seed:#x}, {file}: {}",
                told(&failure)
            );
        };
        let file = self.keep(seed, "short", &short)?;
        bail!(
            "seed {seed:#x}: a case of {} steps, {file}: {}",
            short.steps.len(),
            told(&short)
        );
    }

    fn keep(&self, seed: u64, kind: &str, failure: &Failure) -> Result<String> {
        let file = path(self.folder).join(format!("{kind}-{seed:016x}.case"));
        let mut text = format!("# SPLITTER_SEED={seed:#x}\n");
        for line in failure.why.lines() {
            text += &format!("# {line}\n");
        }
        for step in &failure.steps {
            text += &format!("{step}\n");
        }
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(format!("kept as {}", file.display()))
    }
}

/// What both sides say, and the last steps.
fn told(failure: &Failure) -> String {
    let last = failure.steps.len().saturating_sub(12);
    let steps = failure.steps[last..]
        .iter()
        .map(|step| format!("\n  {step}"));
    format!("{}\nlast steps:{}", failure.why, steps.collect::<String>())
}
