//! `setup`: mends what `toolchain` finds lacking, saying what it does; does nothing when nothing
//! lacks.
//!
//! Looks again after every remedy, because a newly installed compiler decides which LLVM the linker
//! needs.

use std::ffi::OsStr;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, anyhow, bail};

use crate::machine::Machine;
use crate::toolchain::{self, Lack, Remedy, Road, Scope};
use crate::{child, data, paths};

/// The command itself.
pub(crate) fn run(check: bool) -> Result<ExitCode> {
    if !check {
        say_road(ensure(Scope::Tests)?);
        data::ensure()?;
        return Ok(ExitCode::SUCCESS);
    }
    let machine = Machine::probe();
    let road = toolchain::choose(&machine);
    let lacks = toolchain::lacks(road, Scope::Tests, &machine);
    if lacks.is_empty() {
        say_road(road);
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{}", list(&lacks));
    Ok(ExitCode::FAILURE)
}

fn say_road(road: Road) {
    eprintln!(
        "xtask: nothing is missing; the eBPF object is built by {} and bpf-linker {}",
        match road {
            Road::Nightly => "rustup's nightly",
            Road::System => "/usr/bin/rustc",
        },
        toolchain::LINKER_VERSION
    );
}

/// Makes the machine complete and tells the road to build on. Silent when nothing lacks.
pub(crate) fn ensure(scope: Scope) -> Result<Road> {
    let mut apt = Apt { is_updated: false };
    let mut before: Vec<Lack> = Vec::new();
    loop {
        let machine = Machine::probe();
        let road = toolchain::choose(&machine);
        let lacks = toolchain::lacks(road, scope, &machine);
        if lacks.is_empty() {
            return Ok(road);
        }
        let is_toolchain_there = toolchain::lacks(road, Scope::Build, &machine).is_empty();
        let way = if is_toolchain_there {
            String::new()
        } else {
            by_hand()
        };
        if lacks == before {
            bail!("setup did what it can, and still:\n{}{way}", list(&lacks));
        }
        mend(&lacks, &mut apt, machine.linker.is_some())
            .map_err(|error| anyhow!("{error:#}{way}"))?;
        before = lacks;
    }
}

/// One round of remedies: packages, or else the linker.
fn mend(lacks: &[Lack], apt: &mut Apt, has_linker: bool) -> Result<()> {
    if lacks.iter().any(|lack| lack.remedy == Remedy::ByHand) {
        bail!("setup cannot do this on this machine:\n{}", list(lacks));
    }
    eprintln!("{}", list(lacks));
    let packages: Vec<String> = lacks
        .iter()
        .filter_map(|lack| match &lack.remedy {
            Remedy::Apt(packages) => Some(packages.clone()),
            Remedy::Linker { .. } | Remedy::ByHand => None,
        })
        .flatten()
        .collect();
    if !packages.is_empty() {
        return apt.install(&packages);
    }
    for lack in lacks {
        if let Remedy::Linker { llvm, packages } = &lack.remedy {
            let missing: Vec<String> = packages
                .iter()
                .filter(|package| !is_installed(package))
                .cloned()
                .collect();
            if !missing.is_empty() {
                apt.install(&missing)?;
            }
            install_linker(*llvm, has_linker)?;
        }
    }
    Ok(())
}

fn install_linker(llvm: u32, replace: bool) -> Result<()> {
    eprintln!("xtask: {}", toolchain::linker_command(llvm, replace));
    child::run(
        child::cargo()
            .args(toolchain::linker_arguments(llvm, replace))
            .env("LLVM_PREFIX", toolchain::llvm_prefix(llvm)),
    )
}

/// Every lack on a line of its own.
fn list(lacks: &[Lack]) -> String {
    lacks
        .iter()
        .map(|lack| format!("xtask: {}", lack.sentence))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The whole way to the other toolchain, for a machine that apt does not serve; after an error.
fn by_hand() -> String {
    let llvm = toolchain::LLVM_DEFAULT;
    format!(
        "\nThese lines give the other toolchain, on any Linux that has LLVM {llvm} with its headers (the \
         package llvm-{llvm}-dev, or the LLVM project's own); a nightly with another LLVM wants its number \
         in their place:\n  {}\n  {}",
        toolchain::NIGHTLY_INSTALL,
        toolchain::linker_command(llvm, false)
    )
}

/// apt, with its lists updated once.
struct Apt {
    is_updated: bool,
}

impl Apt {
    /// Installs packages, and brings those that are there up to date: an old compiler is a lack
    /// too.
    fn install(&mut self, packages: &[String]) -> Result<()> {
        if !self.is_updated {
            child::run(&mut apt_get(&["update"], &[])?)?;
            self.is_updated = true;
        }
        let unknown: Vec<&str> = packages
            .iter()
            .map(String::as_str)
            .filter(|package| !is_known(package))
            .collect();
        if !unknown.is_empty() {
            bail!("apt of this machine has no package {}", unknown.join(", "));
        }
        let words = ["install", "-y", "--no-install-recommends"];
        child::run(&mut apt_get(&words, packages)?)
    }
}

/// apt-get as root. Its output goes to stderr: stdout belongs to the command that needed the setup.
fn apt_get(words: &[&str], packages: &[String]) -> Result<Command> {
    if !child::is_root() && !paths::has_program("sudo") {
        bail!(
            "apt-get needs root and there is no sudo: run `cargo xtask setup` as root, or the lines above"
        );
    }
    let frontend = [("DEBIAN_FRONTEND", "noninteractive".into())];
    let mut command = child::as_root(OsStr::new("apt-get"), &frontend)?;
    command
        .args(["-q", "-o", "Acquire::Retries=3"])
        .args(words)
        .args(packages);
    command.stdout(Stdio::from(std::io::stderr()));
    eprintln!("xtask: {}", child::describe(&command));
    Ok(command)
}

fn is_installed(package: &str) -> bool {
    let mut query = child::program("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status}\n", package]);
    child::capture(&mut query).is_some_and(|text| text.lines().any(|line| line == "installed"))
}

fn is_known(package: &str) -> bool {
    let mut query = child::program("apt-cache");
    query.args(["show", "--no-all-versions", package]);
    child::capture(&mut query).is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_by_hand_names_both_commands() {
        let text = by_hand();
        assert!(text.contains("rustup toolchain install nightly"), "{text}");
        assert!(
            text.contains("cargo install bpf-linker --version 0.13.0"),
            "{text}"
        );
    }

    #[test]
    fn a_lack_is_one_line() {
        let lack = |text: &str| Lack {
            sentence: text.into(),
            remedy: Remedy::ByHand,
        };
        assert_eq!(list(&[lack("a"), lack("b")]), "xtask: a\nxtask: b");
    }

    #[test]
    fn what_has_no_remedy_stops_setup_with_every_sentence() {
        let lacks = [Lack {
            sentence: "x is missing: run `y`".into(),
            remedy: Remedy::ByHand,
        }];
        let mut apt = Apt { is_updated: false };
        let error = mend(&lacks, &mut apt, false).unwrap_err().to_string();
        assert!(error.contains("x is missing: run `y`"), "{error}");
    }
}
