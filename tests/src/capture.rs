//! Owns captures: the frames that come and go by an interface, as the file that tcpdump writes of them.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::io::Errno;

use crate::netns::Netns;
use crate::sys;

/// The longest frame.
const FRAME_MAX: usize = 65_536;
/// How long nothing is looked for after there was nothing.
const PAUSE: Duration = Duration::from_millis(1);
/// The link type of Ethernet.
const ETHERNET: u32 = 1;

/// A capture that goes on.
#[derive(Debug)]
pub struct Capture {
    over: Arc<AtomicBool>,
    reader: JoinHandle<Result<Vec<u8>>>,
}

impl Capture {
    /// Begins one on an interface.
    ///
    /// # Errors
    ///
    /// When there is no such interface or the kernel refuses.
    pub fn start(netns: &Netns, interface: &str) -> Result<Self> {
        let socket = netns
            .run(|| sys::frames_of(interface, true))
            .with_context(|| interface.to_owned())?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        Ok(Self {
            over,
            reader: thread::spawn(move || read(&socket, &ended)),
        })
    }

    /// Ends it: the file, of whole frames.
    ///
    /// # Errors
    ///
    /// When frames could not be read.
    pub fn stop(self) -> Result<Vec<u8>> {
        self.over.store(true, Ordering::Relaxed);
        let file = self.reader.join();
        file.map_err(|_| anyhow!("the reader of frames panicked"))?
    }
}

/// Reads until there is nothing more and it is over.
fn read(socket: &OwnedFd, over: &AtomicBool) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let magic_and_version = [0xa1b2_c3d4, u32::from_le_bytes([2, 0, 4, 0])];
    for number in magic_and_version
        .into_iter()
        .chain([0, 0, FRAME_MAX as u32, ETHERNET])
    {
        file.extend(number.to_le_bytes());
    }
    let mut frame = vec![0; FRAME_MAX];
    loop {
        // Asked first: what came before it is there.
        let ends = over.load(Ordering::Relaxed);
        match rustix::io::read(socket, &mut frame) {
            Ok(count) => {
                for number in [0, 0, count as u32, count as u32] {
                    file.extend(number.to_le_bytes());
                }
                file.extend(&frame[..count]);
            }
            Err(Errno::AGAIN) if ends => return Ok(file),
            Err(Errno::AGAIN) => thread::sleep(PAUSE),
            Err(error) => return Err(error).context("cannot read frames"),
        }
    }
}
