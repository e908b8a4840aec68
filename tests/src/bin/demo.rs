//! The demo's command line: runs [`splitter_tests::demo`] and cleans up however it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use splitter_tests::demo::{self, DemoOptions, Scenario};
use splitter_tests::supervise::run_as_root;

/// Splits real traffic between two versions, shifts the weight and shows what went where
#[derive(Debug, Parser)]
#[command(name = "splitter-demo")]
struct Arguments {
    /// What to show
    #[arg(long, value_enum, default_value_t)]
    scenario: Scenario,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put clients and backends on the same interface of the load balancer
    #[arg(long)]
    same_interface: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_as_root(
        "the demo makes network namespaces and loads an XDP program",
        || {
            let options = DemoOptions {
                scenario: arguments.scenario,
                json: arguments.json,
                same_interface: arguments.same_interface,
            };
            Ok(Box::new(move |stop| demo::run(&options, stop)))
        },
    )
}
