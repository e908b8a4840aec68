//! Owns the scene: a data plane in memory, and threads that run its program on packets.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use aya::{TestRun as _, TestRunOptions, programs::Xdp};
use splitter_common::{hash::HashKey, reason::Reason};
use splitter_tests::{
    daemon::second_handle,
    netns::Netns,
    packet::Frame,
    plane,
    spec::{kernel::network, run::fixed_secret},
};
use splitter_user::{
    config::parse_str,
    dataplane::DataPlane,
    model::{Config, Limits},
    plan::{Image, Numbers},
    secret::Secret,
};

const SEED: HashKey = HashKey { k0: 3, k1: 5 };
const XDP_DROP: u32 = 1;
/// Threads with packets, on as many CPUs where there are.
pub(crate) const READERS: usize = 2;

/// A packet and what may become of it.
pub(crate) struct Packet {
    pub(crate) frame: Vec<u8>,
    /// How often the program runs on it in a row, within the kernel. It stays as the program left
    /// it, so that more than once is for packets that it must not change.
    pub(crate) times: u32,
    /// Whether it is right to have it go from one address to another, where it is not
    /// dropped; where it ran more than once, dropped or not.
    pub(crate) may_go: Box<dyn Fn(Ipv4Addr, Ipv4Addr) -> bool + Sync + Send>,
}

/// The bytes of a frame by its description.
pub(crate) fn frame(line: &str) -> Vec<u8> {
    let end = |text: &str| {
        let socket: std::net::SocketAddr = text.parse()?;
        Ok((socket.ip(), socket.port()))
    };
    Frame::parse(line, end).expect("a frame").bytes()
}

/// Source and destination of an IPv4 frame.
pub(crate) fn ends(frame: &[u8]) -> (Ipv4Addr, Ipv4Addr) {
    let address = |at: usize| {
        let bytes: [u8; 4] = frame[at..at + 4].try_into().expect("four bytes");
        Ipv4Addr::from(bytes)
    };
    // Ethernet, and an IPv4 header up to its addresses.
    (address(26), address(30))
}

pub(crate) fn config(services: &str) -> Config {
    let text = format!("[[interface]]\nname = \"eth0\"\n{services}");
    parse_str("test.toml", &text).expect("a valid configuration")
}

/// A data plane of its own, in memory.
pub(crate) struct Lab {
    pub(crate) plane: DataPlane,
    pub(crate) numbers: Numbers,
    secret: Secret,
    netns: Netns,
}

/// Packets under way in other threads.
pub(crate) struct Traffic<'t> {
    failed: &'t AtomicBool,
    /// By thread, how often all packets went by.
    rounds: &'t [AtomicU64; READERS],
}

impl Traffic<'_> {
    /// How often every thread has had all packets go by.
    pub(crate) fn rounds(&self) -> u64 {
        let failed = self.failed.load(Ordering::Relaxed);
        assert!(!failed, "a packet went where it must not");
        let rounds = self.rounds.iter();
        let rounds = rounds.map(|rounds| rounds.load(Ordering::Relaxed));
        rounds.min().unwrap_or(0)
    }
}

impl Lab {
    /// With room for so many flows in either table.
    pub(crate) fn new(label: &str, flows: u32) -> Self {
        Self::with(
            label,
            Limits {
                flows,
                pending: flows,
                ..Limits::default()
            },
        )
    }

    /// With limits of the caller's.
    pub(crate) fn with(label: &str, limits: Limits) -> Self {
        let netns = network(label).expect("a namespace");
        netns.enter();
        Self {
            plane: plane::in_memory_with(limits).expect("a data plane"),
            numbers: Numbers::default(),
            secret: fixed_secret().expect("a secret"),
            netns,
        }
    }

    /// Puts a configuration in force. Numbers are given from the lowest free one on, so that one is
    /// used again as soon as may be.
    pub(crate) fn commit(&mut self, config: &Config) {
        self.numbers.cursor = 0;
        self.numbers = self
            .numbers
            .next(config, &self.secret, &self.plane)
            .expect("numbers");
        let in_force = self.plane.generation();
        let image = Image::changes(config, &self.numbers, &self.secret, in_force);
        self.plane
            .commit(&image.expect("an image"), SEED)
            .expect("committed");
    }

    /// How often packets ended for a reason.
    pub(crate) fn counted(&self, reason: Reason) -> u64 {
        plane::counted(&self.plane, reason)
    }

    /// Carries changes out while [`READERS`] threads run the program on the packets, each on all of
    /// them, over and over. Where a packet went that it must not is what fails.
    pub(crate) fn under_traffic(
        &mut self,
        packets: &[Packet],
        changes: impl FnOnce(&mut Self, &Traffic<'_>),
    ) {
        let failed = &AtomicBool::new(false);
        let rounds = &<[AtomicU64; READERS]>::default();
        let pass_all = |program: &Xdp, thread: usize, stop: &AtomicBool| {
            let _told = Told(failed);
            while !stop.load(Ordering::Relaxed) {
                for packet in packets {
                    pass(program, packet);
                }
                rounds[thread].fetch_add(1, Ordering::Relaxed);
            }
        };
        self.beside(pass_all, |lab| changes(lab, &Traffic { failed, rounds }));
    }

    /// Carries changes out while [`READERS`] threads work with a handle of the program each, until the flag
    /// that they are given is set, however the changes end.
    pub(crate) fn beside(
        &mut self,
        work: impl Fn(&Xdp, usize, &AtomicBool) + Sync,
        changes: impl FnOnce(&mut Self),
    ) {
        let stop = &AtomicBool::new(false);
        let (work, netns) = (&work, self.netns.clone());
        let programs: [Xdp; READERS] = std::array::from_fn(|_| {
            let program = self.plane.loaded(false).expect("the program");
            second_handle(program).expect("a handle")
        });
        thread::scope(|scope| {
            let stopped = Stopped(stop);
            let threads: Vec<_> = programs
                .iter()
                .enumerate()
                .map(|(thread, program)| {
                    let netns = &netns;
                    scope.spawn(move || {
                        netns.enter();
                        work(program, thread, stop);
                    })
                })
                .collect();
            changes(self);
            drop(stopped);
            for thread in threads {
                thread.join().expect("every packet went where it may");
            }
        });
    }
}

/// Stops the threads, however the changes end.
struct Stopped<'t>(&'t AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tells whoever makes the changes that a thread has failed.
struct Told<'t>(&'t AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(thread::panicking(), Ordering::Relaxed);
    }
}

fn pass(program: &Xdp, packet: &Packet) {
    let mut out = [0; 256];
    let options = TestRunOptions {
        data_in: Some(&packet.frame),
        data_out: Some(&mut out),
        repeat: packet.times,
        ..TestRunOptions::default()
    };
    let ran = program.test_run(options).expect("ran");
    if packet.times == 1 && ran.return_value == XDP_DROP {
        return;
    }
    let (source, destination) = ends(&out);
    assert!(
        (packet.may_go)(source, destination),
        "a packet {:?} went on as {source} > {destination}",
        ends(&packet.frame)
    );
}
