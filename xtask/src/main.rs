//! `cargo xtask`: what a developer or CI runs. This file owns the command line alone; each command
//! has a file of its own.
//!
//! xtask depends on no crate of the product: the product embeds the eBPF object that xtask builds.
//! Everything xtask itself has to say goes to stderr; stdout belongs to the results.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod child;
mod data;
mod demo;
mod ebpf;
mod fuzz;
mod libtest;
mod machine;
mod paths;
mod programs;
mod setup;
mod spec;
mod test;
mod tidy;
mod toolchain;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, shows and tests splitter")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the build and the tests need, pinned; does nothing when all is there
    Setup {
        /// Only say what is missing; exit code 1 when something is
        #[arg(long)]
        check: bool,
    },
    /// Build the eBPF object and target/release/splitter with the object embedded
    Build {
        /// Build target/debug/splitter instead (the eBPF object is always a release build)
        #[arg(long)]
        debug_user: bool,
    },
    /// Run every test; the last line is `splitter: N passed, N failed, N skipped`
    Test {
        /// Run only tests whose name contains this text
        #[arg(long)]
        filter: Option<String>,
    },
    /// Split real traffic between namespaces and show it (needs root; arguments go to
    /// splitter-demo)
    Demo {
        /// Arguments for splitter-demo, such as `--json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Measure the program per packet beside its floors (needs root; arguments go to
    /// splitter-bench)
    Bench {
        /// Arguments for splitter-bench: `--quick`, `--segments`, `--case CASE`, `--json FILE`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Hold the sources to the rules of the house (docs/STYLE.md)
    Tidy,
    /// Compare the program in the kernel with the reference model over fresh random packets, until
    /// they differ (needs root; arguments go to splitter-fuzz)
    Fuzz {
        /// Arguments for splitter-fuzz: `--seconds N`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the spec rows (needs root)
    Spec {
        /// Only print the names of the rows, one a line
        #[arg(long)]
        list: bool,
    },
    /// Test kernels of distributions in virtual machines; the last line adds up
    Vm {
        /// A kernel of the matrix: 5.10, 6.1, 6.12, newest; may be given several times
        #[arg(long = "kernel", conflicts_with = "all")]
        kernels: Vec<String>,
        /// The whole matrix; without --kernel and --all: the part that `test` runs
        #[arg(long)]
        all: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Setup { check } => setup::run(check),
        Command::Build { debug_user } => build::run(debug_user).map(|()| ExitCode::SUCCESS),
        Command::Test { filter } => Ok(test::run(filter.as_deref())),
        Command::Demo { args } => demo::run(&args),
        Command::Bench { args } => bench::run(&args),
        Command::Tidy => tidy::run(),
        Command::Fuzz { args } => fuzz::run(&args),
        Command::Spec { list } => spec::run(list),
        Command::Vm { kernels, all } => vm::run(&kernels, all),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn demo_passes_every_argument_on() {
        let args = Args::parse_from(["xtask", "demo", "--json", "out.json", "--help"]);
        let Command::Demo { args } = args.command else {
            panic!("not demo")
        };
        assert_eq!(args, ["--json", "out.json", "--help"]);
    }
}
