//! Owns what the comparisons with the reference model share: cases that once failed, then a run
//! over the usual seed and one over a fresh seed.
//!
//! Three quarters of the packets are the same at every run. `SPLITTER_SEED=N` runs from that seed
//! alone, which may be a run's or a single case's.

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use splitter_common::{evidence::Event, reason::Reason};
use splitter_tests::{
    compare::{Kept, Lab, Run, Source, THREADS, WAYS, kept},
    supervise::StopFlag,
};

const USUAL_SEED: u64 = 0x5eed;

/// What random traffic cannot come to: a case begins with a commit, `check` refuses a version
/// without backends, tables that contradict themselves are a fault, and limits are not compared.
const NOT_MADE: [Reason; 4] = [
    Reason::Limited,
    Reason::NotConfigured,
    Reason::VersionEmpty,
    Reason::Inconsistent,
];

/// Runs the cases of `folder`, then `packets` that `source` makes, and `more`. `events`: by the
/// usual seed clients are counted for each thing that there is.
pub(crate) fn run<S: Source + 'static>(
    folder: &'static str,
    source: fn(u64) -> S,
    packets: u64,
    events: bool,
    more: Vec<Trial>,
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The runs make threads themselves.
    arguments.test_threads = Some(1);
    let cases = kept(folder).expect("the cases can be read").into_iter();
    let mut trials: Vec<Trial> = cases
        .map(|case| Trial::test(format!("kept: {}", case.name), move || again(&case)))
        .chain(more)
        .collect();
    let runs = match env::var("SPLITTER_SEED") {
        Ok(text) => vec![("the given seed", seed(&text), packets)],
        Err(_) => vec![
            ("the usual seed", USUAL_SEED, packets / 4 * 3),
            ("a fresh seed", fastrand::u64(..), packets / 4),
        ],
    };
    for (name, seed, packets) in runs {
        let events = events && seed == USUAL_SEED;
        println!("{name}: SPLITTER_SEED={seed:#x}");
        let run = Run {
            folder,
            seed,
            source,
            ways: WAYS,
            threads: THREADS,
            packets,
            until: None,
            stop: StopFlag::default(),
        };
        trials.push(Trial::test(
            format!("{packets} packets of {name}"),
            move || finish(&run, events),
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

fn again(case: &Kept) -> Result<(), Failed> {
    // A lab takes its thread into its namespace for good.
    let ran = std::thread::scope(|scope| {
        let thread = scope.spawn(|| Lab::new(WAYS).and_then(|mut lab| case.run(&mut lab)));
        thread.join()
    });
    let ran = ran.map_err(|_| "it panicked")?;
    ran.map_err(|error| format!("{error:#}").into())
}

fn finish<S: Source>(run: &Run<'_, S>, events: bool) -> Result<(), Failed> {
    let seen = run.run().map_err(|error| format!("{error:#}"))?;
    println!(
        "{} packets, {} commits, {} refused",
        seen.packets, seen.commits, seen.refused
    );
    let missed: Vec<&str> = Reason::ALL
        .iter()
        .filter(|reason| !NOT_MADE.contains(reason))
        .map(|reason| reason.name())
        .filter(|name| !seen.reasons.keys().any(|(_, met)| met == name))
        .collect();
    if !missed.is_empty() {
        return Err(format!("no packet ended for {}", missed.join(", ")).into());
    }
    let wanted = Event::ALL.iter().filter(|_| events);
    let missed: Vec<&str> = wanted
        .map(|event| event.name())
        .filter(|name| seen.events.get(name).is_none_or(|clients| *clients == 0))
        .collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("no client was counted for {}", missed.join(", ")).into())
    }
}
