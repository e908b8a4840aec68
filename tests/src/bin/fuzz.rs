//! The endless comparison's command line: runs [`splitter_tests::compare::endless`].

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use splitter_tests::compare::endless;
use splitter_tests::supervise::run_as_root;

/// Compares the program in the kernel with the reference model, over random and damaged packets
/// with fresh seeds, until a case differs
#[derive(Debug, Parser)]
#[command(name = "splitter-fuzz")]
struct Arguments {
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let limit = Arguments::parse().seconds.map(Duration::from_secs);
    run_as_root(
        "the comparison makes network namespaces and loads an XDP program",
        || Ok(Box::new(move |stop| endless::run(limit, stop))),
    )
}
