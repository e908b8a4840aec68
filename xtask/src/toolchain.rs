//! Owns the decision which toolchain builds the eBPF object, and what a machine lacks for it.
//! Pure: from a `Machine` to sentences and remedies.
//!
//! Invariant: every lack is one sentence that names the command that mends it.

use crate::machine::{Compiler, Machine, Os, Sources};

/// The linker's pinned version.
pub(crate) const LINKER_VERSION: &str = "0.13.0";
/// The LLVM that is assumed as long as no compiler is there to tell its own.
pub(crate) const LLVM_DEFAULT: u32 = 22;
/// The LLVM versions that the pinned linker can be built with.
const LLVM_SUPPORTED: std::ops::RangeInclusive<u32> = 21..=23;
/// Debian's packages of a Rust new enough, with sources of its own core.
const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// How a nightly that can build is got.
pub(crate) const NIGHTLY_INSTALL: &str =
    "rustup toolchain install nightly --profile minimal --component rust-src";

/// The two ways to a compiler that can build core for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// rustup's nightly with rust-src.
    Nightly,
    /// The distribution's /usr/bin/rustc and /usr/bin/cargo with their source package.
    System,
}

/// What is to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What the eBPF build needs.
    Build,
    /// That, and the tools that tests call.
    Tests,
    /// What the eBPF build needs, and what the bench compares with.
    Bench,
}

/// One thing missing or not matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    /// For people; names the command.
    pub(crate) sentence: String,
    /// For setup.
    pub(crate) remedy: Remedy,
}

/// How setup mends a lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Packages for apt.
    Apt(Vec<String>),
    /// Build the linker with this LLVM; the packages come first.
    Linker {
        /// Major version.
        llvm: u32,
        /// Packages for apt that the build wants.
        packages: Vec<String>,
    },
    /// Setup has no way; the sentence tells a person's.
    ByHand,
}

/// The road that is complete, nightly first; where none is, the one that setup can best complete.
pub(crate) fn choose(machine: &Machine) -> Road {
    let is_complete = |road| lacks(road, Scope::Build, machine).is_empty();
    let nightly_wants_only_a_linker = compiler_lack(Road::Nightly, machine).is_none()
        && machine.llvm_dev.contains(&llvm_of(Road::Nightly, machine));
    if is_complete(Road::Nightly) {
        Road::Nightly
    } else if is_complete(Road::System) {
        Road::System
    } else if nightly_wants_only_a_linker || machine.os != Os::Debian {
        Road::Nightly
    } else {
        Road::System
    }
}

/// Everything that is missing or does not match on that road.
pub(crate) fn lacks(road: Road, scope: Scope, machine: &Machine) -> Vec<Lack> {
    let mut lacks = Vec::new();
    lacks.extend(compiler_lack(road, machine));
    lacks.extend(linker_lack(llvm_of(road, machine), machine));
    let ip = ("ip", "iproute2", machine.ip);
    let (who, tools) = match scope {
        Scope::Build => ("the build calls", Vec::new()),
        Scope::Tests => (
            "the tests call",
            vec![
                ("bpftool", "bpftool", machine.bpftool),
                ip,
                ("prometheus", "prometheus", machine.prometheus),
                ("promtool", "prometheus", machine.promtool),
                ("faketime", "faketime", machine.faketime),
                ("curl", "curl", machine.curl),
                ("python3", "python3", machine.python3),
            ],
        ),
        Scope::Bench => (
            "the bench calls",
            vec![("nft", "nftables", machine.nft), ip],
        ),
    };
    for (program, package, _) in tools.iter().filter(|(_, _, is_there)| !is_there) {
        let what = format!("{who} `{program}`, which is missing");
        lacks.push(apt_lack(&what, &[*package], machine.os));
    }
    lacks
}

fn llvm_of(road: Road, machine: &Machine) -> u32 {
    compiler_of(road, machine)
        .map(|compiler| compiler.llvm)
        .filter(|llvm| LLVM_SUPPORTED.contains(llvm))
        .unwrap_or(LLVM_DEFAULT)
}

fn compiler_of(road: Road, machine: &Machine) -> Option<&Compiler> {
    match road {
        Road::Nightly => machine.nightly.as_ref(),
        Road::System => machine.system.as_ref(),
    }
}

fn compiler_lack(road: Road, machine: &Machine) -> Option<Lack> {
    let what = match compiler_of(road, machine) {
        None => match road {
            Road::Nightly => "there is no nightly Rust".to_owned(),
            Road::System => "there is no /usr/bin/rustc".to_owned(),
        },
        Some(compiler) => compiler_fault(road, compiler)?,
    };
    Some(match road {
        Road::Nightly => {
            let command = match &machine.nightly {
                Some(nightly) if LLVM_SUPPORTED.contains(&nightly.llvm) => {
                    "rustup component add rust-src --toolchain nightly"
                }
                _ => NIGHTLY_INSTALL,
            };
            Lack {
                sentence: format!("{what}: run `{command}`"),
                remedy: Remedy::ByHand,
            }
        }
        Road::System => apt_lack(&what, &DEBIAN_RUST, machine.os),
    })
}

/// What is wrong with a compiler that is there.
fn compiler_fault(road: Road, compiler: &Compiler) -> Option<String> {
    let Compiler {
        release,
        llvm,
        sources,
        cargo,
    } = compiler;
    let name = match road {
        Road::Nightly => "the nightly rustc",
        Road::System => "/usr/bin/rustc",
    };
    if !LLVM_SUPPORTED.contains(llvm) {
        let (first, last) = (LLVM_SUPPORTED.start(), LLVM_SUPPORTED.end());
        return Some(format!(
            "{name} {release} has LLVM {llvm}, and bpf-linker {LINKER_VERSION} can read only {first} to {last}"
        ));
    }
    match (road, sources) {
        (_, Sources::Missing) => Some(format!("{name} {release} has no sources of core beside it")),
        // A nightly calls itself `1.97.0-nightly`, its sources `1.97.0`.
        (_, Sources::Of(version)) if release.split('-').next() != Some(version.as_str()) => Some(
            format!("the sources of core are those of Rust {version}, not of {name} {release}"),
        ),
        (Road::System, Sources::Unstamped) => Some(format!(
            "the sources of core beside {name} {release} do not say their version"
        )),
        (Road::System, Sources::Of(_)) if !cargo => Some("there is no /usr/bin/cargo".to_owned()),
        (_, Sources::Of(_)) | (Road::Nightly, Sources::Unstamped) => None,
    }
}

fn linker_lack(llvm: u32, machine: &Machine) -> Option<Lack> {
    let what = match &machine.linker {
        None => "bpf-linker is missing".to_owned(),
        Some(linker) => match (linker.version.as_deref(), linker.llvm) {
            (None, _) => "bpf-linker does not run".to_owned(),
            (Some(version), _) if version != LINKER_VERSION => {
                format!("bpf-linker is {version}, and {LINKER_VERSION} is wanted")
            }
            (Some(_), Some(its)) if its != llvm => {
                format!("bpf-linker was built with LLVM {its}, and the compiler has LLVM {llvm}")
            }
            // An LLVM that cannot be told is no fault: the build will show it.
            (Some(_), Some(_) | None) => return None,
        },
    };
    let command = linker_command(llvm, machine.linker.is_some());
    let packages = linker_packages(llvm);
    if machine.llvm_dev.contains(&llvm) {
        let packages = if machine.os == Os::Debian {
            packages
        } else {
            Vec::new()
        };
        let remedy = Remedy::Linker { llvm, packages };
        return Some(Lack {
            sentence: format!("{what}: run `{command}`"),
            remedy,
        });
    }
    Some(match machine.os {
        Os::Debian => Lack {
            sentence: format!(
                "{what}: run `apt-get install {} && {command}`",
                packages.join(" ")
            ),
            remedy: Remedy::Linker { llvm, packages },
        },
        Os::Other => Lack {
            sentence: format!(
                "{what}: install LLVM {llvm} with its headers, then run `{command}` with the folder that \
                 `llvm-config --prefix` prints"
            ),
            remedy: Remedy::ByHand,
        },
    })
}

fn apt_lack(what: &str, packages: &[&str], os: Os) -> Lack {
    let list = packages.join(" ");
    match os {
        Os::Debian => Lack {
            sentence: format!("{what}: run `apt-get install {list}`"),
            remedy: Remedy::Apt(packages.iter().map(|&package| package.to_owned()).collect()),
        },
        Os::Other => Lack {
            sentence: format!("{what}: install what Debian calls `{list}`"),
            remedy: Remedy::ByHand,
        },
    }
}

fn linker_packages(llvm: u32) -> Vec<String> {
    let mut packages = vec![format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    packages.extend(["libzstd-dev", "zlib1g-dev"].map(str::to_owned));
    packages
}

/// The folder of an LLVM as Debian lays it.
pub(crate) fn llvm_prefix(llvm: u32) -> String {
    format!("/usr/lib/llvm-{llvm}")
}

/// cargo's arguments that install the linker with that LLVM. (Its default features want one LLVM
/// alone, which need not be the compiler's.)
pub(crate) fn linker_arguments(llvm: u32, replace: bool) -> Vec<String> {
    let line = format!(
        "install bpf-linker --version {LINKER_VERSION} --no-default-features --features llvm-{llvm} --locked"
    );
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if replace {
        words.push("--force".to_owned());
    }
    words
}

/// The line that installs the linker, as one would type it.
pub(crate) fn linker_command(llvm: u32, replace: bool) -> String {
    format!(
        "LLVM_PREFIX={} cargo {}",
        llvm_prefix(llvm),
        linker_arguments(llvm, replace).join(" ")
    )
}

#[cfg(test)]
#[path = "toolchain_tests.rs"]
mod tests;
