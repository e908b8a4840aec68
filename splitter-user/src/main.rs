//! The one binary of splitter: daemon (`splitter serve`) and command line (everything else).

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    splitter_user::cli::run(splitter_user::cli::Cli::parse())
}
