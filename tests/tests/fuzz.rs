//! Damaged packets through the whole program in the kernel, half a million of them, with and
//! without live flows: held to the laws that every packet obeys, and to the reference model. Needs
//! root.

#[path = "compare/seeds.rs"]
mod seeds;

use std::process::ExitCode;

use splitter_tests::compare::fuzz::Fuzz;

fn main() -> ExitCode {
    seeds::run("fuzz-cases", Fuzz::new, 500_000, false, Vec::new())
}
