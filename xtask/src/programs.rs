//! Owns the test programs: having cargo build them, starting each as the right user with the right
//! environment, and reading what it prints.

use std::env;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::libtest::{Reader, Report};
use crate::{child, data, paths};

/// Variables of the caller that tests may want, handed through sudo.
const HANDED_ON: [&str; 6] = [
    "CI",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "PROPTEST_CASES",
    "PROPTEST_RNG_SEED",
    "SPLITTER_SEED",
];

/// A test program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// `tests/spec`: folder of the package, and target.
    name: String,
    path: PathBuf,
    package_dir: PathBuf,
    /// Programs of the tests crate lay networks and load eBPF programs.
    pub(crate) needs_root: bool,
}

/// The part that matters of a line of cargo's JSON messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the test programs that `selection` (cargo's `-p`, `--test`) names.
pub(crate) fn build(selection: &[&str]) -> Result<Vec<Program>> {
    let mut command = child::cargo();
    // The release profile, so that the dependencies of product and tests are compiled once.
    command
        .args(["test", "--locked", "--release", "--no-run"])
        .args(selection);
    command
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let shown = child::describe(&command);
    let output = command.spawn().and_then(|cargo| cargo.wait_with_output());
    let output = output.with_context(|| format!("`{shown}` does not start"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    programs_in(
        &String::from_utf8_lossy(&output.stdout),
        &paths::workspace(),
    )
}

fn programs_in(messages: &str, workspace: &Path) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("cargo's messages")?;
        let (Some(path), Some(manifest), Some(target)) =
            (message.executable, message.manifest_path, message.target)
        else {
            continue;
        };
        if message.reason != "compiler-artifact"
            || !message.profile.is_some_and(|profile| profile.test)
        {
            continue;
        }
        let package_dir = manifest
            .parent()
            .context("a manifest without a folder")?
            .to_path_buf();
        let package = package_dir
            .strip_prefix(workspace)
            .unwrap_or(&package_dir)
            .display();
        programs.push(Program {
            name: format!("{package}/{}", target.name),
            path,
            needs_root: package_dir == workspace.join("tests"),
            package_dir,
        });
    }
    // cargo reports in the order in which compiling ended.
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

impl Program {
    /// cargo's name of the target: `spec`.
    pub(crate) fn target(&self) -> &str {
        let (_, target) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        target
    }

    /// The folder of its package.
    pub(crate) fn package_dir(&self) -> &Path {
        &self.package_dir
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs it, with a test name filter.
    pub(crate) fn run(&self, filter: Option<&str>) -> Result<Report> {
        let mut variables = variables();
        // As `cargo test` sets it.
        variables.push((
            "CARGO_MANIFEST_DIR",
            self.package_dir.clone().into_os_string(),
        ));
        let mut command = if self.needs_root {
            child::as_root(self.path.as_os_str(), &variables)?
        } else {
            let mut command = child::program(&self.path);
            command.envs(variables);
            command
        };
        command.current_dir(&self.package_dir).args(filter);
        if self.needs_root {
            command.arg("--test-threads=1");
        }
        println!(
            "\n== {}{}",
            self.name,
            if self.needs_root { " (as root)" } else { "" }
        );
        watch(&self.name, &mut command, std::io::stdout())
    }
}

/// The environment that tests rely on.
fn variables() -> Vec<(&'static str, OsString)> {
    let mut variables = vec![
        (
            "SPLITTER_BENCH_OBJECT",
            paths::target().join("ebpf/bench.o").into_os_string(),
        ),
        (data::VARIABLE, data::countries().into_os_string()),
        (
            "SPLITTER_BIN",
            paths::release_binary("splitter").into_os_string(),
        ),
        (
            "SPLITTER_DEMO_BIN",
            paths::release_binary("splitter-demo").into_os_string(),
        ),
    ];
    variables.extend(
        HANDED_ON
            .iter()
            .filter_map(|&name| Some((name, env::var_os(name)?))),
    );
    variables
}

/// Runs a test program, passing its output on as it comes, and reads the results from it.
pub(crate) fn watch(name: &str, command: &mut Command, mut sink: impl Write) -> Result<Report> {
    let shown = child::describe(command);
    let mut running = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` does not start"))?;
    let mut output = running.stdout.take().context("a child without stdout")?;
    let mut reader = Reader::new(name);
    let (mut chunk, mut line) = ([0; 4096], Vec::new());
    loop {
        let count = output
            .read(&mut chunk)
            .with_context(|| format!("output of `{shown}`"))?;
        if count == 0 {
            break;
        }
        sink.write_all(&chunk[..count])?;
        sink.flush()?;
        for &byte in &chunk[..count] {
            if byte == b'\n' {
                reader.line(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
    reader.line(&String::from_utf8_lossy(&line));
    let status = running.wait().with_context(|| format!("`{shown}`"))?;
    let death = (!status.success()).then(|| status.to_string());
    Ok(reader.finish(death.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let artifact = |dir: &str, name: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/{dir}/Cargo.toml",
                "target":{{"name":"{name}"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
            .replace('\n', "")
        };
        let messages = [
            artifact("tests", "spec", true, "\"/t/spec-1\""),
            artifact("tests", "splitter-demo", false, "\"/t/splitter-demo\""),
            artifact(
                "splitter-common",
                "splitter_common",
                true,
                "\"/t/common-1\"",
            ),
            artifact("splitter-common", "splitter_common", false, "null"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ]
        .join("\n");
        let programs = programs_in(&messages, Path::new("/w")).unwrap();
        let seen: Vec<_> = programs
            .iter()
            .map(|p| (p.name.as_str(), p.needs_root))
            .collect();
        assert_eq!(
            seen,
            [
                ("splitter-common/splitter_common", false),
                ("tests/spec", true)
            ]
        );
        assert_eq!(programs[1].path, Path::new("/t/spec-1"));
        assert_eq!(programs[1].package_dir, Path::new("/w/tests"));
    }

    #[test]
    fn a_watched_program_is_read_to_its_last_unended_line() {
        let mut seen = Vec::new();
        let script = "printf 'test a ... ok\\ntest b ... '; kill -9 $$";
        let report = watch("x", Command::new("sh").args(["-c", script]), &mut seen).unwrap();
        assert_eq!(seen, b"test a ... ok\ntest b ... ");
        assert_eq!(report.passed, 1);
        assert_eq!(report.failures, ["x b (signal: 9 (SIGKILL))"]);
    }
}
