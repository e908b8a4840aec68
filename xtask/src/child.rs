//! Owns how child processes are started: with which environment, as whom, and what is said when one
//! fails.
//!
//! Children stay in xtask's process group, so a Ctrl-C in the terminal reaches them too.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

/// Runs a command with our stdout and stderr; an error says which command failed and how.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command
        .status()
        .with_context(|| format!("`{shown}` does not start"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a command whose output only matters when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let output = command
        .output()
        .with_context(|| format!("`{shown}` does not start"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

/// What a successful command prints; nothing when it cannot run or fails.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it, without the environment variables.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(shown_word).collect::<Vec<_>>().join(" ")
}

fn shown_word(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains(char::is_whitespace) {
        format!("'{word}'")
    } else {
        word.into_owned()
    }
}

/// A program with the search path of `paths::search_path`.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    if let Ok(path) = env::join_paths(paths::search_path()) {
        command.env("PATH", path);
    }
    command
}

/// The cargo that runs xtask, in the workspace, as if called from a shell.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = program(cargo);
    remove_variables(&mut command, is_set_by_cargo_run);
    command.current_dir(paths::workspace());
    command
}

/// Removes the variables of our own environment that match.
pub(crate) fn remove_variables(command: &mut Command, matches: fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(matches) {
            command.env_remove(name);
        }
    }
}

/// Variables that `cargo run` gave to xtask. A cargo that inherits them rebuilds what did not
/// change, because build scripts may depend on them.
pub(crate) fn is_set_by_cargo_run(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    matches!(
        name,
        "CARGO" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Are we root?
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that must run as root, with variables set: started directly by root, else through
/// sudo.
pub(crate) fn as_root(program_name: &OsStr, variables: &[(&str, OsString)]) -> Result<Command> {
    if is_root() {
        let mut command = program(program_name);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        return Ok(command);
    }
    if !paths::has_program("sudo") {
        bail!(
            "{} needs root and there is no sudo: run the same `cargo xtask` command as root",
            program_name.to_string_lossy()
        );
    }
    Ok(through_sudo(program_name, variables))
}

/// The variables stand on the command line (`sudo env A=1 program`): that works under every sudo
/// policy that allows the command, while `sudo -E` wants one of its own.
fn through_sudo(program_name: &OsStr, variables: &[(&str, OsString)]) -> Command {
    let mut command = program("sudo");
    command.arg("env");
    for (name, value) in variables {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value);
        command.arg(word);
    }
    command.arg(program_name);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let error = run(Command::new("sh").args(["-c", "exit 3"]))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`sh -c 'exit 3'` failed: exit status: 3");
    }

    #[test]
    fn a_killed_command_is_named_with_its_signal() {
        let error = run(Command::new("sh").args(["-c", "kill -9 $$"]))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`sh -c 'kill -9 $$'` failed: signal: 9 (SIGKILL)");
    }

    #[test]
    fn an_absent_command_is_named() {
        let error = run(&mut Command::new("/nonexistent/x"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`/nonexistent/x` does not start");
    }

    #[test]
    fn sudo_hands_variables_on() {
        let variables = [("CI", "true".into()), ("SPLITTER_BIN", "/t/a b".into())];
        let command = through_sudo(OsStr::new("/t/spec"), &variables);
        assert_eq!(
            describe(&command),
            "sudo env CI=true 'SPLITTER_BIN=/t/a b' /t/spec"
        );
    }

    #[test]
    fn settings_of_the_user_stay() {
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTUP_TOOLCHAIN",
            "PATH",
        ] {
            assert!(!is_set_by_cargo_run(name), "{name}");
        }
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_VERSION"] {
            assert!(is_set_by_cargo_run(name), "{name}");
        }
    }
}
