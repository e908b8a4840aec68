//! Owns *network namespaces*: made without a name, held by a descriptor, gone with the process.
//!
//! Invariant: no thread that outlives a call of this module changes its namespace; work that needs
//! another one is done by threads and children made for it. Children die with the process.

mod runtime;
mod spawner;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use runtime::NetnsRuntime;

use crate::sys;

/// A network namespace. It lives as long as this value, a clone, or a process inside it.
#[derive(Clone, Debug)]
pub struct Netns {
    label: Arc<str>,
    descriptor: Arc<OwnedFd>,
}

impl Netns {
    /// Makes a new namespace with `lo` up. The label only serves messages.
    ///
    /// # Errors
    ///
    /// Mostly when the caller is not root.
    pub fn new(label: &str) -> Result<Self> {
        let descriptor = std::thread::spawn(|| {
            sys::unshare_network()?;
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
        })
        .join()
        .expect("the thread only makes system calls")
        .with_context(|| format!("cannot make the network namespace {label} (root is needed)"))?;
        let netns = Self {
            label: label.into(),
            descriptor: Arc::new(descriptor),
        };
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// What messages call it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Runs a closure in the namespace, on a thread of its own, and waits for it. Sockets made in
    /// the closure stay in the namespace wherever they are used. A panic is passed on.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a child in the namespace. It is killed when this process ends, however that happens.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn spawn(&self, mut command: Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        sys::confine(&mut command, Arc::clone(&self.descriptor));
        spawner::spawn(command).with_context(|| format!("cannot start {program} in {}", self.label))
    }

    /// Runs `ip` in the namespace and returns what it prints.
    ///
    /// # Errors
    ///
    /// With what `ip` says when it fails.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        self.run_ip(arguments, "")
    }

    /// Runs many `ip` commands, one a line, in one process.
    ///
    /// # Errors
    ///
    /// With what `ip` says at the first command that fails.
    pub fn ip_batch(&self, commands: &str) -> Result<()> {
        self.run_ip(&["-batch", "-"], commands).map(drop)
    }

    fn run_ip(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.spawn(command)?;
        if let Some(mut stdin) = child.stdin.take()
            && let Err(error) = stdin.write_all(input.as_bytes())
            // It fails and says why on stderr.
            && error.kind() != ErrorKind::BrokenPipe
        {
            return Err(error).context("cannot write to ip");
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "`ip {}` in {} failed ({}): {}",
                arguments.join(" "),
                self.label,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file under `/proc/sys`, as seen from the namespace: `net/ipv4/ip_forward`.
    ///
    /// # Errors
    ///
    /// When there is no such file or it takes no such value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        // /proc/sys/net belongs to the namespace of the thread that opens it.
        self.run(|| std::fs::write(format!("/proc/sys/{key}"), value))
            .with_context(|| format!("cannot set {key} to {value} in {}", self.label))
    }

    /// A path of the namespace for programs that take one, such as `ip link add .. netns PATH`.
    pub fn path(&self) -> String {
        sys::descriptor_path(&self.descriptor)
    }

    /// A runtime whose sockets are all in the namespace.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn runtime(&self) -> Result<NetnsRuntime> {
        NetnsRuntime::new(self)
    }

    /// The number of an interface of the namespace.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        self.run(|| sys::ifindex(interface))
            .with_context(|| format!("no interface {interface} in {}", self.label))
    }

    /// The MAC of an interface of the namespace, as `ip` writes it.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        let text = self.ip(&["-j", "link", "show", interface])?;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        let mac = links[0]["address"].as_str();
        Ok(mac.context("no address")?.to_owned())
    }

    /// Moves the calling thread into the namespace, for good.
    pub fn enter(&self) {
        move_into_link_name_space(self.descriptor.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("whoever may make a network namespace may enter it");
    }
}
