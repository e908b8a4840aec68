//! Owns a command of the CLI that goes on until it is interrupted, as by Ctrl-C.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{CliOutput, POLL_INTERVAL, SERVE_LIMIT};
use crate::netns::Netns;

/// A command under way; it is killed when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: Gathered,
    err: Gathered,
}

/// What comes out of a pipe, as far as it has come.
#[derive(Debug)]
struct Gathered {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Gathered {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let reader = pipe.map(|mut pipe| {
            let text = Arc::clone(&text);
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                    let new = String::from_utf8_lossy(&buffer[..length]);
                    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&new);
                }
            })
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        // The thread has nothing to return and a panic of its own is told by itself.
        let _ = self.reader.take().map(JoinHandle::join);
        self.so_far()
    }
}

impl Running {
    pub(super) fn start(netns: &Netns, mut command: Command, arguments: &[&str]) -> Result<Self> {
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = netns.spawn(command)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        Ok(Self {
            child,
            out: Gathered::of(out),
            err: Gathered::of(err),
        })
    }

    /// Waits until what it has printed (on stdout, on stderr) is enough.
    ///
    /// # Errors
    ///
    /// When that takes too long, or the command ends before.
    pub fn until(&mut self, enough: impl Fn(&str, &str) -> bool) -> Result<()> {
        let begin = Instant::now();
        loop {
            let (out, err) = (self.out.so_far(), self.err.so_far());
            if enough(&out, &err) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the command ended ({status}) after\n{out}{err}");
            }
            ensure!(begin.elapsed() < SERVE_LIMIT, "it prints\n{out}{err}");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Interrupts it and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn interrupt(self) -> Result<CliOutput> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.end()
    }

    /// What it has printed on stdout so far.
    pub fn stdout(&self) -> String {
        self.out.so_far()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn end(mut self) -> Result<CliOutput> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(begin.elapsed() < SERVE_LIMIT, "it does not end");
            std::thread::sleep(POLL_INTERVAL);
        };
        Ok(CliOutput {
            code: status.code(),
            stdout: self.out.whole(),
            stderr: self.err.whole(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
