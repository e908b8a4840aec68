//! The program in the kernel beside the reference model, over a million packets of random traffic
//! with commits in between. Needs root.

#[path = "compare/seeds.rs"]
mod seeds;

use std::process::ExitCode;

use splitter_tests::compare::traffic::Traffic;

fn main() -> ExitCode {
    seeds::run("model-cases", Traffic::new, 1_000_000)
}
