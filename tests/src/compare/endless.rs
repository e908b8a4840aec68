//! Owns the comparison without an end: rounds of random traffic and of damaged packets, each with
//! a fresh seed.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Run, Source, fuzz::Fuzz, traffic::Traffic};
use crate::supervise::StopFlag;

/// Packets of a round of either kind; about five seconds.
const ROUND: u64 = 250_000;

/// Runs until a case fails, `limit` is over or `stop` is raised.
///
/// # Errors
///
/// With the case that failed.
pub fn run(limit: Option<Duration>, stop: &StopFlag) -> Result<bool> {
    let until = limit.map(|limit| Instant::now() + limit);
    let is_over = || stop.is_raised() || until.is_some_and(|end| Instant::now() >= end);
    while !is_over() {
        round("traffic", "model-cases", Traffic::new, until, stop)?;
        if is_over() {
            break;
        }
        round("damaged", "fuzz-cases", Fuzz::new, until, stop)?;
    }
    Ok(true)
}

fn round<S: Source>(
    name: &str,
    folder: &str,
    source: fn(u64) -> S,
    until: Option<Instant>,
    stop: &StopFlag,
) -> Result<()> {
    let run = Run {
        folder,
        seed: fastrand::u64(..),
        source,
        ways: super::WAYS,
        threads: super::THREADS,
        packets: ROUND,
        until,
        stop: stop.clone(),
    };
    let seen = run.run()?;
    println!("{name}: {} packets, seed {:#x}", seen.packets, run.seed);
    Ok(())
}
