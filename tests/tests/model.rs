//! The program in the kernel beside the reference model, over half a million packets of random traffic
//! with commits in between. Needs root.

#[path = "compare/seeds.rs"]
mod seeds;

use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};
use splitter_tests::{
    compare::{Run, WAYS, traffic::Traffic},
    model::{Way, Ways},
    supervise::StopFlag,
};

fn main() -> ExitCode {
    let own = Trial::test("a wrong model is found out, by few steps", wrong_model);
    seeds::run("model-cases", Traffic::new, 500_000, true, vec![own])
}

/// The comparison can fail: a model that knows no way to clients differs at the first reply, and
/// what is kept is a commit, that reply, and the packet that opens its flow if it has one.
fn wrong_model() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let ways = Ways {
        to_client: |_| Way::Unknown,
        ..WAYS
    };
    let run = Run {
        folder: folder.path().to_str().ok_or("a path in UTF-8")?,
        seed: 1,
        source: Traffic::new,
        ways,
        threads: 1,
        packets: 10_000,
        until: None,
        stop: StopFlag::default(),
    };
    let error = run.run().err().ok_or("nothing was found")?.to_string();
    for told in [
        vec!["SPLITTER_SEED=0x1,"],
        vec!["the model says resolve "],
        vec!["last of 2 steps", "last of 3 steps"],
    ] {
        if !told.iter().any(|told| error.contains(told)) {
            return Err(format!("nothing of {told:?} in: {error}").into());
        }
    }
    let kept = std::fs::read_to_string(folder.path().join("short-0000000000000001.case"))?;
    if kept.matches("service.").count() > 8 {
        return Err(format!("its commit is not made simple: {kept}").into());
    }
    Ok(())
}
