//! `vm`: the object and the daemon on kernels of distributions, each in a machine of its own.
//!
//! Packages are fetched beside the machine's own apt and cached in the target folder. What runs in
//! the machine are the programs of the tests crate themselves, with the product.

mod initramfs;
mod kernels;
mod packages;
mod qemu;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::initramfs::Initramfs;
use self::kernels::{Files, Kernel};
use self::packages::Archive;
use self::qemu::{End, Qemu};
use crate::libtest::{Reader, Report};
use crate::programs::{self, Program};
use crate::toolchain::Scope;
use crate::{build, child, paths, test};

/// Where the static init is built, apart: its flags are not those of the rest.
const INIT_TARGET: &str = "x86_64-unknown-linux-gnu";
/// What a kernel that is too old must be answered with.
const REFUSAL: &str = "is too old: splitter needs 5.15 or later";
/// Namespace tests for each kernel, of `tests/tests/daemon.rs`: native attach with real sockets on
/// veth, pins that outlive a killed daemon and are adopted, batches of the flow tables, losses that the
/// kernel traces, and detaching.
const DAEMON_TESTS: [&str; 5] = [
    "splits_tcp_and_udp_of_both_families_over_two_interfaces",
    "kill_9_and_restart_under_load_hurt_nobody",
    "flows_listed_and_counted_are_the_connections_that_were_made",
    "frames_that_vanish_after_the_verdict_are_counted_where_they_do",
    "detach_takes_the_program_off_and_the_maps_are_readable_before",
];
/// A machine that dies without a verdict is booted so many times: emulators have faults too.
const BOOTS: u32 = 2;

/// The command itself.
pub(crate) fn run(names: &[String], all: bool) -> Result<ExitCode> {
    let kernels = kernels::choose(names, all)?;
    let archive = Archive::of_this_machine()?;
    build::object(Scope::Tests)?;
    let programs = programs::build(&["-p=splitter-tests"])?;
    build::product(true)?;
    Ok(test::conclude(matrix(archive, &kernels, &programs)))
}

/// The usual kernels, as part of `test`; skipped where their packages cannot come from.
pub(crate) fn usual(programs: &[Program]) -> Result<Report> {
    match Archive::of_this_machine() {
        Ok(archive) => Ok(matrix(archive, &kernels::choose(&[], false)?, programs)),
        Err(error) => Ok(Report {
            skipped: 1,
            skips: vec![format!("vm: {error:#}")],
            ..Report::default()
        }),
    }
}

fn matrix(archive: Archive, kernels: &[&Kernel], programs: &[Program]) -> Report {
    let mut report = Report::default();
    match Machines::new(archive, programs) {
        Ok(machines) => {
            for kernel in kernels {
                match machines.test(kernel) {
                    Ok(of_kernel) => report.add(of_kernel),
                    Err(error) => report.add_failure(format!("vm {}: {error:#}", kernel.name)),
                }
            }
        }
        Err(error) => report.add_failure(format!("vm: {error:#}")),
    }
    report
}

/// What all machines share.
struct Machines<'a> {
    archive: Archive,
    qemu: Qemu,
    init: PathBuf,
    programs: &'a [Program],
}

impl<'a> Machines<'a> {
    fn new(archive: Archive, programs: &'a [Program]) -> Result<Self> {
        Ok(Self {
            qemu: Qemu::fetch(&cache().join("qemu"), &archive)?,
            init: build_init()?,
            archive,
            programs,
        })
    }

    fn test(&self, kernel: &Kernel) -> Result<Report> {
        let files = kernel.fetch(&cache().join(kernel.name), &self.archive)?;
        let name = format!("vm {}", files.release);
        println!("\n== {name}");
        let initramfs = cache().join(format!("{}.cpio", kernel.name));
        self.fill(kernel, &files)?.write(&initramfs)?;
        let mut boots = 0;
        loop {
            boots += 1;
            let mut reader = Reader::new(&name);
            let mut is_refused = false;
            let end = self.qemu.boot(&files.image, &initramfs, |line| {
                println!("{line}");
                is_refused |= line.contains(REFUSAL);
                reader.line(line);
            })?;
            match end {
                End::Died(why) if boots < BOOTS => {
                    println!("{name} died without a verdict ({why}): once more");
                }
                end if kernel.refused => return Ok(refusal(&name, &end, is_refused)),
                End::Passed => return Ok(reader.finish(None)),
                End::Failed => return Ok(reader.finish(Some("a line of the machine failed"))),
                End::Died(why) => return Ok(reader.finish(Some(&why))),
            }
        }
    }

    fn fill(&self, kernel: &Kernel, files: &Files) -> Result<Initramfs> {
        let mut initramfs = Initramfs::default();
        initramfs.file("/init", &self.init);
        for (index, module) in files.modules.iter().enumerate() {
            let name = module.file_name().context("a module without a name")?;
            let name = format!("/modules/{index}-{}", name.to_string_lossy());
            initramfs.file(name, module);
        }
        initramfs.program("splitter", &paths::release_binary("splitter"))?;
        if kernel.refused {
            initramfs.text("/etc/splitter/splitter.toml", example());
            let line = "/bin/splitter serve --config /etc/splitter/splitter.toml --new-secret \
                        --state-dir /tmp/state --socket /tmp/socket";
            initramfs.text("/commands", format!("{line}\n"));
            return Ok(initramfs);
        }
        for name in ["ip", "bpftool"] {
            let path = paths::find_in(&paths::search_path(), name);
            let path = path.with_context(|| format!("the program {name} is missing"))?;
            initramfs.program(name, &path)?;
        }
        for target in ["spec", "daemon"] {
            let wanted = |program: &&Program| program.target() == target;
            let program = self.programs.iter().find(wanted);
            let program = program.with_context(|| format!("no test program {target}"))?;
            initramfs.program(target, program.path())?;
            // The rows are read at run time, from where they were at compile time.
            initramfs.folder(&program.package_dir().join("spec"))?;
        }
        // libtest-mimic takes one filter, libtest takes several.
        let spec = "/bin/spec kernel:".to_owned();
        let daemon = format!("/bin/daemon --test-threads=1 {}", DAEMON_TESTS.join(" "));
        initramfs.text("/commands", format!("{spec}\n{daemon}\n"));
        Ok(initramfs)
    }
}

/// One test: the daemon must not start, and say why.
fn refusal(name: &str, end: &End, is_refused: bool) -> Report {
    let mut report = Report::default();
    if *end == End::Failed && is_refused {
        report.passed = 1;
    } else {
        report.add_failure(format!(
            "{name}: `splitter serve` must say `{REFUSAL}`; the machine: {end:?}"
        ));
    }
    report
}

fn cache() -> PathBuf {
    paths::target().join("vm")
}

/// A configuration that is good on any host.
fn example() -> String {
    "[[interface]]\nname = \"lo\"\nxdp = \"generic\"\n[service.shop]\nvips = \
     [\"203.0.113.10:80/tcp\"]\n[service.shop.version.stable]\nbaseline = true\nbackends = \
     [\"10.0.1.11:80\"]\n"
        .to_owned()
}

fn build_init() -> Result<PathBuf> {
    let target = cache().join("init");
    fs::create_dir_all(&target)?;
    let mut command = child::cargo();
    command
        .args(["build", "--locked", "--release", "-p", "splitter-vm-init"])
        .args(["--target", INIT_TARGET])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    child::run(&mut command)?;
    Ok(target
        .join(INIT_TARGET)
        .join("release")
        .join("splitter-vm-init"))
}
