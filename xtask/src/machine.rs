//! Owns the look at the machine: which compilers, sources, linker and tools are there. It decides
//! nothing; `toolchain` does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{child, paths};

/// What matters of this machine for building and testing.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The operating system's family.
    pub(crate) os: Os,
    /// rustup's nightly.
    pub(crate) nightly: Option<Compiler>,
    /// The distribution's own, /usr/bin/rustc.
    pub(crate) system: Option<Compiler>,
    /// The bpf-linker that a build would call.
    pub(crate) linker: Option<Linker>,
    /// Major versions of LLVM that programs can be built against, under /usr/lib/llvm-N.
    pub(crate) llvm_dev: Vec<u32>,
    /// Tests read maps with bpftool.
    pub(crate) bpftool: bool,
    /// Tests have their metrics scraped by it.
    pub(crate) prometheus: bool,
    /// It checks metrics and rules; it comes with Prometheus.
    pub(crate) promtool: bool,
    /// The bench compares with nftables.
    pub(crate) nft: bool,
    /// Tests may lay networks with `ip`.
    pub(crate) ip: bool,
    /// Tests run the daemon by a clock that is set.
    pub(crate) faketime: bool,
    /// Tests run the README's examples for applications.
    pub(crate) curl: bool,
    /// The same.
    pub(crate) python3: bool,
}

/// Whether packages can be installed by apt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Os {
    /// Debian, Ubuntu and their kin.
    Debian,
    /// Everything else.
    Other,
}

/// A rustc with what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// `1.96.0`, `1.97.0-nightly`.
    pub(crate) release: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
    /// The sources of core beside it.
    pub(crate) sources: Sources,
    /// Is a cargo of the same origin there?
    pub(crate) cargo: bool,
}

/// The sources of core in a sysroot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// None.
    Missing,
    /// There, without a version: rustup's, which come with their compiler.
    Unstamped,
    /// There, of this Rust version: Debian's, a package of their own.
    Of(String),
}

/// A bpf-linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    /// `0.13.0`; none when it does not run.
    pub(crate) version: Option<String>,
    /// Major version of its LLVM, where it can be told.
    pub(crate) llvm: Option<u32>,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn probe() -> Self {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            os: os_of(&os_release),
            nightly: probe_compiler(&["rustup", "run", "nightly", "rustc"], true),
            system: probe_compiler(&["/usr/bin/rustc"], Path::new("/usr/bin/cargo").is_file()),
            linker: probe_linker(),
            llvm_dev: llvm_dev_in(Path::new("/usr/lib")),
            bpftool: paths::has_program("bpftool"),
            prometheus: paths::has_program("prometheus"),
            promtool: paths::has_program("promtool"),
            nft: paths::has_program("nft"),
            ip: paths::has_program("ip"),
            faketime: paths::has_program("faketime"),
            curl: paths::has_program("curl"),
            python3: paths::has_program("python3"),
        }
    }
}

/// Reads the text of /etc/os-release.
pub(crate) fn os_of(os_release: &str) -> Os {
    let is_debian = os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"))
        .flat_map(|(_, value)| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|word| matches!(word, "debian" | "ubuntu"));
    if is_debian { Os::Debian } else { Os::Other }
}

fn probe_compiler(rustc: &[&str], cargo: bool) -> Option<Compiler> {
    let ask = |args: &[&str]| {
        let mut command = child::program(rustc[0]);
        child::remove_variables(&mut command, crate::ebpf::is_build_setting);
        // A probe must not download a toolchain.
        command
            .env("RUSTUP_AUTO_INSTALL", "0")
            .args(&rustc[1..])
            .args(args);
        child::capture(&mut command)
    };
    let (release, llvm) = version_of(&ask(&["-vV"])?)?;
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
    Some(Compiler {
        release,
        llvm,
        sources: sources_in(&sysroot),
        cargo,
    })
}

/// Release and LLVM major version from `rustc -vV`.
pub(crate) fn version_of(verbose: &str) -> Option<(String, u32)> {
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name));
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((field("release: ")?.trim().to_owned(), llvm))
}

/// The sources in a sysroot. Debian's lie in a whole source tree, whose `src/version` names the
/// release.
pub(crate) fn sources_in(sysroot: &Path) -> Sources {
    let tree = sysroot.join("lib/rustlib/src/rust");
    if !tree.join("library/Cargo.lock").is_file() || !tree.join("library/core").is_dir() {
        return Sources::Missing;
    }
    match fs::read_to_string(tree.join("src/version")) {
        Ok(version) => Sources::Of(version.trim().to_owned()),
        Err(_) => Sources::Unstamped,
    }
}

fn probe_linker() -> Option<Linker> {
    let path = paths::find_in(&paths::search_path(), "bpf-linker")?;
    let version = child::capture(child::program(&path).arg("--version"))
        .and_then(|text| text.split_whitespace().nth(1).map(str::to_owned));
    let record = paths::cargo_install_root()
        .and_then(|root| fs::read_to_string(root.join(".crates2.json")).ok())
        .unwrap_or_default();
    let llvm = fs::read(&path)
        .ok()
        .and_then(|bytes| llvm_needed_by(&bytes))
        .or_else(|| llvm_in_install_record(&record));
    Some(Linker { version, llvm })
}

/// The major version of the shared libLLVM that a program names (`libLLVM.so.22.1`,
/// `libLLVM-22.so`).
pub(crate) fn llvm_needed_by(program: &[u8]) -> Option<u32> {
    const NAMES: [&[u8]; 2] = [b"libLLVM.so.", b"libLLVM-"];
    NAMES.iter().find_map(|name| {
        program
            .windows(name.len())
            .enumerate()
            .filter(|(_, window)| window == name)
            .find_map(|(at, _)| {
                let rest = program[at + name.len()..].iter();
                let digits: Vec<u8> = rest
                    .copied()
                    .take_while(u8::is_ascii_digit)
                    .take(3)
                    .collect();
                String::from_utf8(digits).ok()?.parse().ok()
            })
    })
}

/// The `llvm-N` feature with which `cargo install` built bpf-linker, from its `.crates2.json`:
/// tells the LLVM of one that is linked statically.
pub(crate) fn llvm_in_install_record(record: &str) -> Option<u32> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let installs = record.get("installs")?.as_object()?;
    let (_, linker) = installs
        .iter()
        .find(|(name, _)| name.starts_with("bpf-linker "))?;
    linker
        .get("features")?
        .as_array()?
        .iter()
        .find_map(|feature| feature.as_str()?.strip_prefix("llvm-")?.parse().ok())
}

/// The LLVM versions that can be built against: folders `llvm-N` with headers and an `llvm-config`.
pub(crate) fn llvm_dev_in(lib: &Path) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir(lib)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("bin/llvm-config").exists())
        .filter(|entry| entry.path().join("include/llvm-c").exists())
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("llvm-")?
                .parse()
                .ok()
        })
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
