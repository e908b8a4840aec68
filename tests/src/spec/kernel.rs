//! Owns the kernel's executor: the real object through BPF_PROG_TEST_RUN, in a network namespace
//! in which the way to clients is known.
//!
//! The calling thread enters the namespace for good: `bpf_fib_lookup` sees the namespace of the
//! thread that runs the program.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use splitter_common::{
    address::Address,
    evidence::SCOPES,
    flow::{Hop, turns::Kind},
    hash::HashKey,
    layout::BackendCounters,
    reason::{Reason, Verdict},
};
use splitter_user::{dataplane::DataPlane, plan::Image};

use super::run::{CLIENT_MACS, EvidenceCounts, Executor, Ran};
use crate::{netns::Netns, plane};

/// BPF_PROG_TEST_RUN's packets come in by the namespace's loopback.
const INGRESS: u32 = 1;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// The kernel's executor.
pub struct Kernel {
    pub(super) plane: DataPlane,
    other_ifindex: u32,
    generation: u32,
    pub(super) netns: Netns,
}

impl Kernel {
    /// Enters a namespace of its own and loads the object there.
    pub fn new() -> Result<Self> {
        let netns = network("spec")?;
        netns.enter();
        let other_ifindex = netns.ifindex("c0")?;
        Ok(Self {
            plane: open()?,
            other_ifindex,
            generation: 0,
            netns,
        })
    }

    pub(super) fn reason_counts(&self) -> Counts {
        self.plane.maps().reasons()
    }
}

/// Packets by reason and verdict.
pub(super) type Counts = Vec<(Reason, Verdict, u64)>;

/// Under what the one packet between two counts was counted; `None` when there was none.
pub(super) fn counted(before: &Counts, after: &Counts) -> Result<Option<(Reason, Verdict)>> {
    let count = |reason, verdict| {
        let found = before
            .iter()
            .find(|(r, v, _)| (*r, *v) == (reason, verdict));
        found.map_or(0, |(_, _, packets)| *packets)
    };
    let mut grown = after
        .iter()
        .filter(|(reason, verdict, packets)| *packets > count(*reason, *verdict));
    let Some((reason, verdict, packets)) = grown.next() else {
        return Ok(None);
    };
    ensure!(
        grown.next().is_none(),
        "the packet was counted under two reasons"
    );
    ensure!(
        *packets == count(*reason, *verdict) + 1,
        "it was counted more than once"
    );
    Ok(Some((*reason, *verdict)))
}

/// A namespace in which packets can be forwarded and the way to clients, by `c0`, is known.
///
/// # Errors
///
/// Mostly when the caller is not root.
pub fn network(label: &str) -> Result<Netns> {
    let netns = Netns::new(label)?;
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let (own_mac, client_mac) = (text(CLIENT_MACS.0), text(CLIENT_MACS.1));
    netns.ip_batch(&format!(
        "link set lo up\n\
         link add c0 address {own_mac} type veth peer name c1\n\
         link set c0 up\nlink set c1 up\n\
         address add 10.1.0.1/24 dev c0\naddress add fd01::1/64 dev c0 nodad\n\
         neigh add 10.1.0.2 lladdr {client_mac} dev c0 nud permanent\n\
         neigh add fd01::2 lladdr {client_mac} dev c0 nud permanent\n\
         route add 10.100.0.0/16 via 10.1.0.2\nroute add fd64::/16 via fd01::2\n"
    ))?;
    for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        netns.sysctl(name, "1")?;
    }
    Ok(netns)
}

/// A data plane of its own with small tables, whose daemon lives for a day.
pub(crate) fn open() -> Result<DataPlane> {
    let mut plane = plane::in_memory(4_096)?;
    plane.renew_lease(86_400)?;
    plane.set_wire_lengths(true);
    Ok(plane)
}

impl Executor for Kernel {
    fn ingress_ifindex(&self) -> u32 {
        INGRESS
    }

    fn other_ifindex(&self) -> u32 {
        self.other_ifindex
    }

    fn begin(&mut self, committed: bool) -> Result<u32> {
        if !committed && self.generation > 0 {
            // Only a fresh data plane has never been committed to.
            self.plane = open()?;
            self.generation = 0;
        }
        plane::forget(&mut self.plane)?;
        Ok(self.generation)
    }

    fn commit(&mut self, image: &Image, seed: HashKey) -> Result<()> {
        self.generation = image.generation;
        Ok(self.plane.commit(image, seed)?)
    }

    fn set_hop(&mut self, backend: u32, hop: Option<Hop>) {
        self.plane.set_next_hop(backend, hop);
    }

    fn packet(&mut self, frame: &[u8]) -> Result<Ran> {
        let before = self.reason_counts();
        let mut out = Vec::new();
        let action = self.plane.run(frame, &mut out)?;
        let after = self.reason_counts();
        let (reason, verdict) = counted(&before, &after)?.context("the packet was not counted")?;
        let expected = match verdict {
            Verdict::Pass | Verdict::Resolve => XDP_PASS,
            Verdict::Drop => XDP_DROP,
            Verdict::Tx => XDP_TX,
            Verdict::Redirect => XDP_REDIRECT,
        };
        if action != expected {
            bail!("XDP action {action} for verdict {}", verdict.name());
        }
        Ok(Ran {
            verdict,
            reason,
            frame: out,
            // bpf_redirect keeps it where BPF_PROG_TEST_RUN does not look.
            ifindex: None,
        })
    }

    fn enrol(&mut self, address: IpAddr, cohort: &str, seconds: Option<u32>) -> Result<()> {
        plane::enrol(&mut self.plane, address, cohort, seconds)
    }

    fn expel(&mut self, address: IpAddr) -> Result<()> {
        Ok(self.plane.members().remove(&[Address::from(address)])?)
    }

    fn age(&mut self, seconds: u32) -> Result<()> {
        plane::age(&mut self.plane, seconds)
    }

    fn counters(&self, backend: u32) -> BackendCounters {
        self.plane.counters(backend)
    }

    fn assigned(&self, service: u32, place: u8, version: u8) -> u64 {
        self.plane.maps().assigned(service, place, version)
    }

    fn evidence(&self, ledger: u32, slot: u8, version: u8) -> [EvidenceCounts; SCOPES] {
        let scopes = self.plane.evidence(ledger, slot, version);
        scopes.map(|row| EvidenceCounts {
            events: row.counts.map(u64::from),
            samples: row
                .cells
                .map(|cells| cells.iter().copied().map(u64::from).sum()),
        })
    }

    fn times(&self, backend: u32, kind: Kind) -> u64 {
        let times = self.plane.maps().backend_times.read(backend);
        let cells = times.cells.get(kind as usize);
        cells.map_or(0, |cells| cells.iter().copied().map(u64::from).sum())
    }
}
