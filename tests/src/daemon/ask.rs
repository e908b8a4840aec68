//! Owns what tests ask of the daemon: commands of its CLI, its API, and waiting for a status.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{CliOutput, Daemon, POLL_INTERVAL, Running, SERVE_LIMIT, api, cli};

impl Daemon {
    /// Runs a command of the CLI against this daemon: `cli(&["weight", "set", "shop",
    /// "canary=10%"])`.
    ///
    /// # Errors
    ///
    /// When the command cannot be run or does not end. One that fails is no error here.
    pub fn cli(&self, arguments: &[&str]) -> Result<CliOutput> {
        let mut command = Command::new(&self.binary);
        command.arg("--socket").arg(self.socket_path());
        cli::run(&self.netns, command, arguments)
    }

    /// Starts a command of the CLI that goes on until it is interrupted: `status --watch`.
    ///
    /// # Errors
    ///
    /// When the command cannot be started.
    pub fn cli_running(&self, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(&self.binary);
        command.arg("--socket").arg(self.socket_path());
        Running::start(&self.netns, command, arguments)
    }

    /// Runs a command of the CLI that needs no daemon: `check FILE`, `detach --pin-dir DIR`.
    ///
    /// # Errors
    ///
    /// When the command cannot be run or does not end. One that fails is no error here.
    pub fn cli_offline(&self, arguments: &[&str]) -> Result<CliOutput> {
        cli::run(&self.netns, Command::new(&self.binary), arguments)
    }

    /// Runs `serve` by another command, `setpriv` say, on this daemon's configuration and pins but
    /// with a socket and a state of its own, until it ends: for starts that are refused.
    ///
    /// # Errors
    ///
    /// When the command cannot be run or does not end. One that fails is no error here.
    pub fn serve_by(&self, command: &[&str]) -> Result<CliOutput> {
        let mut words = command.to_vec();
        let binary = self.binary.to_string_lossy();
        words.push(&binary);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg("--socket")
            .arg(self.path("other-socket"))
            .args(["serve", "--config"])
            .arg(self.config_path())
            .arg("--state-dir")
            .arg(self.path("other-state"))
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .arg("--secret")
            .arg(self.secret_path());
        cli::run(&self.netns, command, &[])
    }

    /// Like [`Self::cli`], but a command that fails is an error; returns its standard output.
    ///
    /// # Errors
    ///
    /// With what the command said.
    pub fn cli_ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments)?;
        ensure!(
            output.code == Some(0),
            "`splitter {}` failed with exit code {:?}: {}{}",
            arguments.join(" "),
            output.code,
            output.stderr,
            output.stdout
        );
        Ok(output.stdout)
    }

    /// What `splitter status -o json` says.
    ///
    /// # Errors
    ///
    /// When it fails or prints no JSON.
    pub fn status_json(&self) -> Result<serde_json::Value> {
        let text = self.cli_ok(&["status", "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("status printed no JSON: {text}"))
    }

    /// Waits until the status is as wanted, a few seconds at most, and returns it.
    ///
    /// # Errors
    ///
    /// When it does not come to that, with the last status.
    pub fn until(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> Result<serde_json::Value> {
        let begin = Instant::now();
        loop {
            let status = self.api_get("/v1/status")?;
            if wanted(&status) {
                return Ok(status);
            }
            ensure!(begin.elapsed() < SERVE_LIMIT, "the status stays {status:#}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Asks the daemon's API directly, without a process: `/v1/services/shop/explain?client=..`.
    ///
    /// # Errors
    ///
    /// When the answer is not 200 with JSON.
    pub fn api_get(&self, path: &str) -> Result<serde_json::Value> {
        api::get(&self.socket_path(), path)
    }
}
