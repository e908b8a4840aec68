//! Owns the executor on the wire: the program is attached natively to one end of a pair of
//! interfaces, packets are sent into the other end and read where they arrive.
//!
//! ```text
//! i1 == i0 [program] -- redirect --> c0 == c1
//! ```
//! Beside the verdict that the program counts, the packet must really be there: at `c1` when it was
//! redirected, at `i1` when it was sent back, in the host's stack at `i0` when it was passed, with
//! the bytes that the row wants.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use splitter_common::{
    evidence::SCOPES,
    flow::{Hop, turns::Kind},
    hash::HashKey,
    layout::BackendCounters,
    reason::{Reason, Verdict},
};
use splitter_user::plan::Image;

use super::{
    kernel::{Counts, Kernel, counted},
    run::{EvidenceCounts, Executor, Ran},
};
use crate::{ethtool, sys};

/// How long a packet may take over a wire of this machine.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);
/// More than the longest frame of a row.
const FRAME_MAX: usize = 4_096;
/// Next headers and types of what interfaces say of their own accord by IPv6.
const ICMP6: u8 = 58;
const FIRST_OF_NEIGHBOUR_DISCOVERY: u8 = 130;

/// The executor on the wire.
pub struct Wire {
    kernel: Kernel,
    ingress_ifindex: u32,
    /// Where packets are sent in, and come back by.
    outside: OwnedFd,
    /// A veth wakes its peer for frames that were sent back only when the peer has a program too
    /// (drivers/net/veth.c, veth_xdp_flush).
    _waker: OwnedFd,
    /// What is passed to this host.
    inside: OwnedFd,
    /// Where redirected packets arrive.
    beyond: OwnedFd,
}

impl Wire {
    /// Enters a namespace of its own, loads the object and attaches the program there.
    pub fn new() -> Result<Self> {
        let mut kernel = Kernel::new()?;
        let netns = &kernel.netns;
        netns.ip_batch(
            "link add i0 mtu 1600 type veth peer name i1 mtu 1600\n\
             link set i0 addrgenmode none\nlink set i1 addrgenmode none arp off\n\
             link set c1 addrgenmode none\n",
        )?;
        // What it says of its own accord would be counted by the program beside a row's packet.
        netns.sysctl("net/ipv6/conf/i1/disable_ipv6", "1")?;
        netns.ip_batch("link set i0 up\nlink set i1 up\n")?;
        for name in ["i0", "i1", "c0", "c1"] {
            ethtool::prepare_veth(netns, name)?;
        }
        let ingress_ifindex = netns.ifindex("i0")?;
        let socket = |name: &str| sys::frames_of(name, false).with_context(|| name.to_owned());
        let (outside, inside, beyond) = (socket("i1")?, socket("i0")?, socket("c1")?);
        attach(&mut kernel)?;
        Ok(Self {
            kernel,
            ingress_ifindex,
            _waker: sys::attach_xdp_pass("i1")?,
            outside,
            inside,
            beyond,
        })
    }

    /// The next frame at a socket that no interface sends of its own accord.
    fn arrival(&self, socket: &OwnedFd) -> Result<Vec<u8>> {
        let deadline = Instant::now() + ARRIVES_WITHIN;
        loop {
            match read(socket)? {
                Some(frame) if !is_chatter(&frame) => return Ok(frame),
                Some(_) => {}
                None if Instant::now() > deadline => bail!("the packet did not arrive"),
                None => thread::yield_now(),
            }
        }
    }

    /// What the program did with the packet that was sent since `before` was counted.
    fn verdict(&self, before: &Counts) -> Result<(Reason, Verdict)> {
        let deadline = Instant::now() + ARRIVES_WITHIN;
        loop {
            if let Some(found) = counted(before, &self.kernel.reason_counts())? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("the program did not see the packet");
            }
            thread::yield_now();
        }
    }
}

fn attach(kernel: &mut Kernel) -> Result<()> {
    let program = kernel.plane.loaded(false)?;
    program.attach("i0", aya::programs::xdp::XdpMode::Driver)?;
    Ok(())
}

/// A frame, if there is one.
fn read(socket: &OwnedFd) -> Result<Option<Vec<u8>>> {
    let mut frame = vec![0; FRAME_MAX];
    match rustix::io::read(socket, &mut frame) {
        Ok(length) => {
            frame.truncate(length);
            Ok(Some(frame))
        }
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// What interfaces say of their own accord: neighbour and router discovery, multicast listeners.
fn is_chatter(frame: &[u8]) -> bool {
    let multicast = frame.first().is_some_and(|first| first & 1 != 0);
    let discovery = frame.get(12..14) == Some(&[0x86, 0xdd])
        && frame.get(20) == Some(&ICMP6)
        && frame
            .get(54)
            .is_some_and(|kind| *kind >= FIRST_OF_NEIGHBOUR_DISCOVERY);
    multicast || discovery
}

impl Executor for Wire {
    fn ingress_ifindex(&self) -> u32 {
        self.ingress_ifindex
    }

    fn other_ifindex(&self) -> u32 {
        self.kernel.other_ifindex()
    }

    fn begin(&mut self, committed: bool) -> Result<u32> {
        let generation = self.kernel.begin(committed)?;
        if !committed {
            // It runs on a fresh data plane now, whose program nothing carries yet.
            attach(&mut self.kernel)?;
        }
        Ok(generation)
    }

    fn commit(&mut self, image: &Image, seed: HashKey) -> Result<()> {
        self.kernel.commit(image, seed)
    }

    fn set_hop(&mut self, backend: u32, hop: Option<Hop>) {
        self.kernel.set_hop(backend, hop);
    }

    fn packet(&mut self, frame: &[u8]) -> Result<Ran> {
        for socket in [&self.outside, &self.inside, &self.beyond] {
            while read(socket)?.is_some() {}
        }
        let before = self.kernel.reason_counts();
        rustix::io::write(&self.outside, frame).context("cannot send the packet")?;
        let (reason, verdict) = self.verdict(&before)?;
        let (left, ifindex) = match verdict {
            Verdict::Drop => (frame.to_vec(), None),
            Verdict::Pass | Verdict::Resolve => (self.arrival(&self.inside)?, None),
            Verdict::Tx => (self.arrival(&self.outside)?, Some(self.ingress_ifindex)),
            Verdict::Redirect => (self.arrival(&self.beyond)?, Some(self.other_ifindex())),
        };
        Ok(Ran {
            verdict,
            reason,
            frame: left,
            ifindex,
        })
    }

    fn enrol(&mut self, address: IpAddr, cohort: &str, seconds: Option<u32>) -> Result<()> {
        self.kernel.enrol(address, cohort, seconds)
    }

    fn expel(&mut self, address: IpAddr) -> Result<()> {
        self.kernel.expel(address)
    }

    fn age(&mut self, seconds: u32) -> Result<()> {
        self.kernel.age(seconds)
    }

    fn counters(&self, backend: u32) -> BackendCounters {
        self.kernel.counters(backend)
    }

    fn evidence(&self, ledger: u32, slot: u8, version: u8) -> [EvidenceCounts; SCOPES] {
        self.kernel.evidence(ledger, slot, version)
    }

    fn assigned(&self, service: u32, place: u8, version: u8) -> u64 {
        self.kernel.assigned(service, place, version)
    }

    fn times(&self, backend: u32, kind: Kind) -> u64 {
        self.kernel.times(backend, kind)
    }
}
