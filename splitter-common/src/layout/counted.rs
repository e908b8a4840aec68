//! Owns what the program counts and measures: the cells of counters and times, and how frames are lost
//! after the verdict.

use bytemuck::{Pod, Zeroable};

use crate::{flow::turns::Kind, histogram::CELLS};

/// What is counted per backend, per CPU. Bytes are those of the IP packet. History and retired counts are kept
/// on disk by these numbers: none ever means something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Counter {
    /// Packets from clients.
    PacketsIn = 0,
    /// Bytes from clients.
    BytesIn = 1,
    /// Packets to clients.
    PacketsOut = 2,
    /// Bytes to clients.
    BytesOut = 3,
    /// Flows decided: a TCP SYN that is no retransmission, a first datagram.
    NewFlows = 4,
    /// TCP handshakes completed: by the client's ACK, or by the server's data before it (TCP Fast
    /// Open).
    Handshakes = 5,
    /// TCP handshakes begun.
    SynsBegun = 6,
    /// TCP handshakes answered by the backend's SYN-ACK.
    SynsAnswered = 7,
    /// Flows that a client reset.
    ResetsByClient = 8,
    /// Flows that the backend reset.
    ResetsByServer = 9,
    /// Packets forwarded by decision because their flow was not known.
    Adopted = 10,
    /// Flow table inserts that the kernel refused.
    InsertsRefused = 11,
    /// TCP SYNs of clients that came once more: no answer had reached them.
    SynRetransmits = 12,
    /// ICMP errors about a flow, either way.
    IcmpErrors = 13,
    /// New flows of clients that belong to another version.
    Diverted = 14,
    /// Flows ended here, since the service decides otherwise by now or its client is denied.
    Cut = 15,
    /// Of [`Counter::ResetsByClient`]: before the backend had sent payload.
    ResetsByClientEarly = 16,
    /// Of [`Counter::ResetsByServer`]: before the backend had sent payload; a refused handshake, say.
    ResetsByServerEarly = 17,
    /// Turns that ended with an HTTP/1.x status of this class, where the service says that its backends
    /// speak it. Those of 1xx end none.
    Http2xx = 18,
    /// The same.
    Http3xx = 19,
    /// The same.
    Http4xx = 20,
    /// The same.
    Http5xx = 21,
    /// The same, but 101, or no such status could be read.
    HttpOther = 22,
}

/// How many [`Counter`]s there are.
pub const COUNTERS: usize = 23;

/// What is counted of the flow tables, per CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum TableEvent {
    /// Entries that came into the pending table, or took the place of one under the same key.
    PendingInserts = 0,
    /// Entries taken out of it: the flow is established. What the kernel evicts is not seen.
    PendingRemovals = 1,
    /// Entries that came into the established table, or took the place of one.
    EstablishedInserts = 2,
    /// Entries taken out of it, for a new flow under the same ports.
    EstablishedRemovals = 3,
}

/// The counters of one backend on one CPU, by [`Counter`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct BackendCounters {
    /// Monotone.
    pub cells: [u64; COUNTERS],
}

/// How long one backend took, by [`Kind`] and cell of [`crate::histogram`]; handshakes and turns only.
/// Shared by all CPUs; counts are modulo 2^32.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct BackendTimes {
    /// Sums, microseconds.
    pub sums_us: [u64; BACKEND_KINDS],
    /// Counts.
    pub cells: [[u32; CELLS]; BACKEND_KINDS],
}

/// Kinds that are kept by backend: the first ones.
pub const BACKEND_KINDS: usize = 2;

/// How long the backends of one version took, by [`Kind`] and cell of [`crate::histogram`], as
/// [`BackendTimes`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct VersionTimes {
    /// Sums, microseconds.
    pub sums_us: [u64; Kind::COUNT],
    /// Counts.
    pub cells: [[u32; CELLS]; Kind::COUNT],
}

/// How a frame was lost after the program's verdict, as the kernel's tracepoints tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Loss {
    /// The interface does not take it: it is down, takes no frames of XDP, or shorter ones alone
    /// (`xdp_redirect_err`).
    Refused = 0,
    /// Redirected, and not taken by the driver: a full queue, a peer that is down or takes no frames of
    /// XDP (`xdp_devmap_xmit`).
    Unsent = 1,
    /// Sent out of the interface it came in by, and not taken by the driver (`xdp_bulk_tx`).
    Returned = 2,
    /// The driver could not carry the verdict out (`xdp_exception`).
    Failed = 3,
}

impl Loss {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Unsent, Self::Returned, Self::Failed];

    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unsent => "unsent",
            Self::Returned => "returned",
            Self::Failed => "failed",
        }
    }
}

/// Where frames were lost, and how.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct LossKey {
    /// The interface's number; 0 for those for which there was no room.
    pub ifindex: u32,
    /// A [`Loss`].
    pub loss: u32,
}

impl LossKey {
    /// Of an interface's number.
    #[inline(always)]
    pub const fn new(ifindex: u32, loss: Loss) -> Self {
        Self {
            ifindex,
            loss: loss as u32,
        }
    }
}

/// Where things stand in structures of the running kernel, in bytes from their beginning.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct LossPlaces {
    /// `net_device.ifindex`
    pub device_ifindex: u32,
    /// `net_device.nd_net.net`
    pub device_namespace: u32,
    /// `net.ns.inum`
    pub namespace_number: u32,
    /// No place, but the number of the network namespace that is counted.
    pub own_namespace: u32,
}
