//! Owns the one thread that starts children.
//!
//! PR_SET_PDEATHSIG fires when the *thread* that forked ends, not the process. A child started by a
//! short-lived thread would be killed at once, so every child is started by a thread that lives as
//! long as the process.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Request = (Command, Sender<io::Result<Child>>);

/// Starts a child that outlives the calling thread.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let requests = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in requests {
                    // Whoever asked waits for the answer, so it cannot have gone.
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a process can start one more thread");
        sender
    });
    let (reply, answer) = channel();
    requests
        .send((command, reply))
        .map_err(|_| io::Error::other("the thread that starts children has ended"))?;
    answer
        .recv()
        .map_err(|_| io::Error::other("the thread that starts children has ended"))?
}
