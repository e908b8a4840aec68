//! Owns the program under test: `splitter serve` in the load balancer's namespace, and its CLI.
//!
//! Invariant: each daemon has a socket, a state directory and a pin directory of its own; when the
//! value is dropped the process, the pins (and with them the XDP programs) and the files are gone.
//! When the test process is killed instead, the daemon dies with it and the next test sweeps the
//! pins away.

mod api;
mod ask;
mod bpffs;
mod cli;
mod clock;
mod running;

use std::fs::OpenOptions;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use splitter_common::layout::{Control, LAYOUT_VERSION, Word};
use tempfile::TempDir;

pub use bpffs::second_handle;
pub use cli::CliOutput;
pub use running::Running;

use crate::netns::Netns;

/// How long a daemon may take until it answers, and until it has stopped.
const SERVE_LIMIT: Duration = Duration::from_secs(120);
/// How often a wait looks again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A daemon, running or not, and the directories that are its own.
#[derive(Debug)]
pub struct Daemon {
    binary: PathBuf,
    netns: Netns,
    directory: TempDir,
    pin_dir: PathBuf,
    manager: Option<UnixDatagram>,
    /// Whether its clock is set by [`Self::set_clock`].
    has_own_clock: bool,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon with a configuration and waits until it answers.
    ///
    /// # Errors
    ///
    /// With the daemon's own words when it does not come up.
    pub fn start(lb: &Netns, config: &str) -> Result<Self> {
        let mut daemon = Self::prepare(lb, config)?;
        daemon.serve()?;
        Ok(daemon)
    }

    /// Makes the directories and the configuration file, and starts nothing.
    ///
    /// # Errors
    ///
    /// When the binary is not built or bpffs cannot be mounted.
    pub fn prepare(lb: &Netns, config: &str) -> Result<Self> {
        let binary = find_binary()?;
        bpffs::mount()?;
        bpffs::sweep();
        let directory = tempfile::Builder::new()
            .prefix(&bpffs::own_prefix())
            .tempdir()
            .context("cannot make a temporary directory")?;
        let daemon = Self {
            binary,
            netns: lb.clone(),
            directory,
            pin_dir: bpffs::new_pin_dir(),
            manager: None,
            has_own_clock: false,
            child: None,
        };
        daemon.write_config(config)?;
        Ok(daemon)
    }

    /// Starts the daemon, anew after [`Self::kill9`] or [`Self::stop`], and waits until it answers.
    ///
    /// # Errors
    ///
    /// With the daemon's own words when it does not come up.
    pub fn serve(&mut self) -> Result<()> {
        self.serve_with(&[])
    }

    /// As [`Self::serve`], with more options: `--accept-flow-loss`.
    ///
    /// # Errors
    ///
    /// With the daemon's own words when it does not come up.
    pub fn serve_with(&mut self, options: &[&str]) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon is running");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("stderr"))?;
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--config"])
            .arg(self.config_path())
            .arg("--socket")
            .arg(self.socket_path())
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .arg("--secret")
            .arg(self.secret_path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the test to handle, in its own order.
            .process_group(0);
        if self.has_own_clock {
            command.envs(self.own_clock());
        }
        if self.manager.is_some() {
            command.env("NOTIFY_SOCKET", self.manager_path());
        }
        if !self.secret_path().exists() {
            command.arg("--new-secret");
        }
        self.child = Some(self.netns.spawn(command)?);
        self.wait_until_it_answers()
            .map_err(|error| anyhow!("{error:#}; it said:\n{}", self.log()))
    }

    /// Listens to what the daemon tells its service manager from the next start on.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn manage(&mut self) -> Result<()> {
        let manager = UnixDatagram::bind(self.manager_path())?;
        manager.set_read_timeout(Some(SERVE_LIMIT))?;
        self.manager = Some(manager);
        Ok(())
    }

    /// What the daemon tells its service manager next (sd_notify(3)).
    ///
    /// # Errors
    ///
    /// When it is not managed, or tells nothing.
    pub fn told_manager(&self) -> Result<String> {
        let manager = self.manager.as_ref().context("it is not managed")?;
        let mut buffer = [0; 1024];
        let length = manager.recv(&mut buffer).context("it tells nothing")?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Kills the daemon without warning. The data plane stays.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the daemon is not running")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks the daemon to stop and waits for it. The data plane stays.
    ///
    /// # Errors
    ///
    /// When it is not running or does not stop.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("the daemon is not running")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < SERVE_LIMIT {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        child.kill()?;
        child.wait()?;
        bail!("the daemon did not stop at SIGTERM:\n{}", self.log())
    }

    /// Sends SIGHUP, which asks for a reload.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn hang_up(&self) -> Result<()> {
        let child = self.child.as_ref().context("the daemon is not running")?;
        Ok(kill_process(Pid::from_child(child), Signal::HUP)?)
    }

    /// Memory of the process that no file backs, its maps not counted, MiB.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn anonymous_mib(&self) -> Result<f64> {
        let pid = self.pid().context("the daemon is not running")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib: Option<f64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Ok(kib.context("the kernel does not tell")? / 1024.0)
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Replaces the configuration file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        std::fs::write(self.config_path(), config).context("cannot write the configuration")
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.path("splitter.toml")
    }

    /// What it keeps across restarts.
    pub fn state_path(&self) -> PathBuf {
        self.path("state").join("state.db")
    }

    /// The cluster secret.
    pub fn secret_path(&self) -> PathBuf {
        self.path("secret")
    }

    /// The unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.path("socket")
    }

    /// Where programs, links and maps are pinned.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// The directory of the layout that this binary has, below [`Self::pin_dir`].
    pub fn layout_dir(&self) -> PathBuf {
        let name = format!("v{LAYOUT_VERSION}");
        self.pin_dir.join(name)
    }

    /// The generation in force, as it stands in the pinned maps.
    ///
    /// # Errors
    ///
    /// When bpftool cannot read it.
    pub fn generation(&self) -> Result<u32> {
        Ok(Word::unpack(self.control(Control::Directory)?).generation)
    }

    /// A word of the control map, as it stands in the pinned one.
    ///
    /// # Errors
    ///
    /// When bpftool cannot read it.
    pub fn control(&self, word: Control) -> Result<u64> {
        let at = 8 * word as usize;
        let bytes = self.control_row()?;
        let word = bytes.get(at..at + 8).context("no such word")?;
        Ok(u64::from_ne_bytes(word.try_into()?))
    }

    /// The bytes of the control map's element.
    fn control_row(&self) -> Result<Vec<u8>> {
        let output = Command::new("bpftool")
            .args(["-j", "map", "lookup", "pinned"])
            .arg(self.layout_dir().join("map_CONTROL"))
            .arg("key")
            .args(["0"; 4])
            .output()
            .context("cannot run bpftool")?;
        let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let bytes = found["value"].as_array().context("no value")?;
        let byte = |byte: &serde_json::Value| {
            let byte = byte.as_str()?.strip_prefix("0x")?;
            u8::from_str_radix(byte, 16).ok()
        };
        let bytes: Option<Vec<u8>> = bytes.iter().map(byte).collect();
        bytes.context("no bytes")
    }

    /// Ends the time for which a dead daemon vouched for next hops, so that nobody waits for it.
    ///
    /// # Errors
    ///
    /// When bpftool cannot write to the pinned map.
    pub fn end_lease(&self) -> Result<()> {
        let mut row = self.control_row()?;
        let at = 8 * Control::LeaseUntil as usize;
        row[at..at + 8].fill(0);
        let output = Command::new("bpftool")
            .args(["map", "update", "pinned"])
            .arg(self.layout_dir().join("map_CONTROL"))
            .arg("key")
            .args(["0"; 4])
            .arg("value")
            .args(row.iter().map(u8::to_string))
            .output()
            .context("cannot run bpftool")?;
        ensure!(
            output.status.success(),
            "bpftool: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Everything that the daemon has written to standard output and error.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.path("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn manager_path(&self) -> PathBuf {
        self.path("manager")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let child = self.child.as_mut().context("the daemon is not running")?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                bail!("the daemon ended at once: {status}");
            }
            match self.api_get("/v1/status") {
                Ok(_) => return Ok(()),
                Err(error) if begin.elapsed() > SERVE_LIMIT => {
                    return Err(error).context("the daemon does not answer");
                }
                Err(_) => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            // Best effort: whatever is left, the next test sweeps away.
            let _ = self.kill9();
        }
        bpffs::remove(&self.pin_dir);
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}---", self.log());
        }
    }
}

fn find_binary() -> Result<PathBuf> {
    let binary = match std::env::var_os("SPLITTER_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/splitter"),
    };
    ensure!(
        binary.is_file(),
        "there is no {}: run `cargo xtask build` first, or set SPLITTER_BIN",
        binary.display()
    );
    Ok(binary)
}
