//! Owns the settings that `splitter serve` starts with.
//!
//! Invariant: nothing here is read from the configuration file. It stands in the model, below
//! both the daemon that obeys it and the command line that fills it in.

use std::path::PathBuf;

/// Where the configuration stands unless told otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/splitter/splitter.toml";
/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/splitter/splitter.sock";
/// Where run-time changes are kept unless told otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/splitter";
/// Where programs, links and maps are pinned unless told otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/splitter";
/// Where the cluster secret stands unless told otherwise.
pub const DEFAULT_SECRET: &str = "/etc/splitter/cluster_secret";

/// What the daemon needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The configuration file; `conf.d` beside it is read too.
    pub config: PathBuf,
    /// The socket of the API.
    pub socket: PathBuf,
    /// The directory of the state file.
    pub state_dir: PathBuf,
    /// The directory on bpffs.
    pub pin_dir: PathBuf,
    /// The file of the cluster secret.
    pub secret: PathBuf,
    /// Make a secret when the file is missing, instead of refusing to start.
    pub new_secret: bool,
    /// Take the program off the interfaces when the daemon is told to stop.
    pub detach_on_exit: bool,
    /// Take over from programs of another layout, whose flows are forgotten.
    pub accept_flow_loss: bool,
}
