//! The program in the kernel beside the reference model: cases that once differed, then a million
//! packets of random traffic. Needs root.
//!
//! The traffic of three quarters of them is the same at every run; the rest has a fresh seed.
//! `SPLITTER_SEED=N` runs the traffic of that seed alone.

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use splitter_common::reason::Reason;
use splitter_tests::compare::{Lab, Run, kept, traffic::Traffic};

/// Where cases go that once failed.
const FOLDER: &str = "model-cases";

/// What random traffic cannot come to: a case begins with a commit, `check` refuses a version
/// without backends, and tables that contradict themselves are a fault.
const NOT_MADE: [Reason; 3] = [
    Reason::NotConfigured,
    Reason::VersionEmpty,
    Reason::Inconsistent,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A lab is a thread's own; the runs make threads themselves.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    for case in kept(FOLDER).expect("the cases can be read") {
        trials.push(Trial::test(format!("kept: {}", case.name), move || {
            let ran = std::thread::spawn(move || Lab::new().and_then(|mut lab| case.run(&mut lab)));
            let ran = ran.join().map_err(|_| "it panicked")?;
            ran.map_err(|error| format!("{error:#}").into())
        }));
    }
    let given = env::var("SPLITTER_SEED").ok();
    let runs = match given {
        Some(text) => vec![("the given seed", seed(&text), 1_000_000)],
        None => vec![
            ("the usual seed", 0x5eed, 750_000),
            ("a fresh seed", fastrand::u64(..), 250_000),
        ],
    };
    for (name, seed, packets) in runs {
        println!("{name}: SPLITTER_SEED={seed:#x}");
        trials.push(Trial::test(
            format!("{packets} packets of {name}"),
            move || traffic(seed, packets),
        ));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn seed(text: &str) -> u64 {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.expect("SPLITTER_SEED is a number, decimal or 0x...")
}

fn traffic(seed: u64, packets: u64) -> Result<(), Failed> {
    let run = Run {
        folder: FOLDER,
        seed,
        source: Traffic::new,
        threads: 3,
        packets,
        until: None,
    };
    let seen = run.run().map_err(|error| format!("{error:#}"))?;
    println!(
        "{} packets, {} commits, {} refused",
        seen.packets, seen.commits, seen.refused
    );
    let missed = Reason::ALL
        .iter()
        .filter(|reason| !NOT_MADE.contains(reason))
        .map(|reason| reason.name())
        .filter(|name| !seen.reasons.keys().any(|(_, met)| met == name));
    let missed: Vec<&str> = missed.collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("no packet ended for {}", missed.join(", ")).into())
    }
}
