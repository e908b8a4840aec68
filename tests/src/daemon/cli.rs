//! Owns one run of a command of the CLI, which always ends.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Netns;

/// How long one command may take.
const CLI_LIMIT: Duration = Duration::from_secs(20);

/// What a command has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliOutput {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a command to its end, or kills it.
pub(super) fn run(netns: &Netns, mut command: Command, arguments: &[&str]) -> Result<CliOutput> {
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = netns.spawn(command)?;
    let pid = Pid::from_child(&child);
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = result.recv_timeout(CLI_LIMIT) else {
        // The thread has not reaped it, so the number is still its own.
        let _ = kill_process(pid, Signal::KILL);
        bail!("`splitter {}` does not end", arguments.join(" "));
    };
    let output = output?;
    Ok(CliOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
