//! The bench's command line: runs [`splitter_tests::bench`] and cleans up however it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use splitter_tests::bench::{self, BenchOptions};
use splitter_tests::supervise::run_as_root;

/// Measures what a packet costs in splitter's program, beside floors of the same run
#[derive(Debug, Parser)]
#[command(name = "splitter-bench")]
struct Arguments {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fewer flows and rounds, in less than a minute
    #[arg(long)]
    quick: bool,
    /// Only record the sizes of the programs on this kernel, in tests/program-sizes.json
    #[arg(long, conflicts_with_all = ["quick", "json", "segments", "case"])]
    sizes: bool,
    /// Only what a million prefixes and a million cohort members cost: to load, to free, and by look-up
    #[arg(long, conflicts_with = "case")]
    segments: bool,
    /// Only what these packets cost, to look at one thing while it is changed
    #[arg(long, value_name = "CASE", value_parser = bench::case_names())]
    case: Option<String>,
    /// With `--case`: only so many flows
    #[arg(long, requires = "case", value_parser = flows)]
    flows: Option<u32>,
}

/// A number of flows that the driver can take turns with.
fn flows(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(flows) if bench::are_flows(flows) => Ok(flows),
        _ => Err(format!(
            "a power of two up to {} is wanted",
            bench::MOST_FLOWS
        )),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_as_root(
        "the bench makes network namespaces and loads XDP programs",
        || {
            let object = std::env::var_os("SPLITTER_BENCH_OBJECT")
                .context("run it by `cargo xtask bench`, which builds the bench's own programs")?;
            let options = BenchOptions {
                object: object.into(),
                quick: arguments.quick,
                sizes: arguments.sizes,
                segments: arguments.segments,
                json: arguments.json,
                case: arguments.case,
                flows: arguments.flows,
            };
            Ok(Box::new(move |stop| bench::run(&options, stop)))
        },
    )
}
