//! Owns the layout shared with the kernel: every key and value of every map, and the number that
//! names it. Maps of another number are never opened; the pin directory carries it.
//!
//! Invariant: no padding the compiler chose (`Pod` proves it). A test holds a fingerprint of all
//! sizes and offsets beside [`LAYOUT_VERSION`] and fails when one moves without the other.

mod counted;
mod evidence;
mod flows;
mod service;

use bytemuck::{Pod, Zeroable};

use crate::{
    address::Address,
    capacity::{BUCKET_ENTRIES, CONTROL_WORDS, PAGE_CELLS},
};

pub use counted::{
    BACKEND_KINDS, BackendCounters, BackendTimes, COUNTERS, Counter, Loss, LossKey, LossPlaces,
    TableEvent, VersionTimes,
};
pub use evidence::{
    EVIDENCE_ROWS, EvidenceRow, LedgerRow, SLICE_ROWS, SLICE_WORDS, evidence_row, once_clients,
    once_place, once_words,
};
pub use flows::{FlowEntry, FlowKey, FragmentKey, FragmentRow, PendingFlow, PendingSet};
pub use service::{
    Affinity, ClientKey, Empty, ServiceRow, SplitKey, TableRef, VersionRow, options,
};

/// Number of this layout.
pub const LAYOUT_VERSION: u32 = 13;

/// Words of the control map, by index. Each is written by the daemon as one aligned 64-bit store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Control {
    // What nearly every packet asks for, in one cache line.
    /// [`Word`] of the directory; generation 0 means that nothing was ever committed.
    Directory = 0,
    /// What mixes the hashes of the directory's first side. Odd; another one is tried when a bucket overflows.
    FirstMultiplier = 1,
    /// What mixes those of its second side.
    SecondMultiplier = 2,
    /// Jiffies until which the daemon vouches for the next hops it wrote.
    LeaseUntil = 3,
    /// Raised by the daemon at every route or neighbour event; never 0 once it runs.
    RouteEpoch = 4,
    /// Ticks of the jiffies clock per second, measured by the daemon.
    Hz = 5,
    /// 1 when packets are as long as they were on the wire: not with generic XDP, which sees what
    /// the kernel has put together of several.
    WireLengths = 6,
    /// Jiffies until which some trace asks for packets; 0: none does.
    TracedUntil = 7,
    // The others.
    /// Jiffies, as the `clock` program read them last.
    Jiffies = 8,
    /// Nanoseconds of CLOCK_MONOTONIC, as the `clock` program read them last.
    MonotonicNs = 9,
    /// Jiffies at which the program last wrote a line to the log.
    DiagnosedAt = 10,
    /// When the next packet is due to be told by their limit, nanoseconds of CLOCK_MONOTONIC.
    TraceDue = 11,
    /// Packets that were asked for and not told.
    Untold = 12,
    /// Which of the two sets of device rules is in force: 0 or 1.
    Devices = 13,
    /// Lines of the table of members that are a home; see [`crate::members`].
    MemberHomes = 14,
    /// The key by which homes are drawn; drawn itself when the table is made.
    MemberKey = 15,
    /// Sets of pending flows; see [`crate::flow::pending`].
    PendingSets = 16,
    /// The key by which their sets are drawn; drawn itself when the table is made.
    PendingKey = 17,
}

/// All words of [`Control`], one element: a program looks it up once.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct ControlRow {
    /// By [`Control`].
    pub words: [u64; CONTROL_WORDS as usize],
}

/// A generation and the side of the doubled rows that holds it, switched by one store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Word {
    /// The commit that wrote the rows in force; 0 before the first.
    pub generation: u32,
    /// Which of the two rows is in force: 0 or 1.
    pub side: u32,
}

impl Word {
    /// As it stands in a map.
    pub const fn pack(self) -> u64 {
        (self.generation as u64) << 1 | (self.side & 1) as u64
    }

    /// From a map.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        Self {
            generation: (word >> 1) as u32,
            side: (word & 1) as u32,
        }
    }
}

/// What an endpoint of the directory stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EndpointKind {
    /// An unused entry.
    Empty = 0,
    /// A VIP: address, port, protocol.
    Vip = 1,
    /// A backend of a nat service: address, port, protocol.
    Backend = 2,
    /// An address that has VIPs; port and protocol are 0.
    VipAddress = 3,
}

/// One entry of the directory.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// Port, native order; 0 for [`EndpointKind::VipAddress`], for a VIP of every port, and for a
    /// backend that serves one.
    pub port: u16,
    /// IP protocol number; 0 for [`EndpointKind::VipAddress`].
    pub protocol: u8,
    /// An [`EndpointKind`].
    pub kind: u8,
    /// The frontend: of the VIP, or the one that this backend's replies belong to.
    pub frontend: u16,
    /// Zero.
    pub zero: u16,
    /// The service of a VIP, the number of a backend.
    pub number: u32,
    /// The commit that gave the frontend its number; flows older than that are misses.
    pub born: u32,
}

/// Endpoints whose hash is the same.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Bucket {
    /// Used ones first.
    pub entries: [Endpoint; BUCKET_ENTRIES],
}

/// One VIP of a service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct FrontendRow {
    /// The VIP's address.
    pub address: Address,
    /// The VIP's port, native order; 0: every port.
    pub port: u16,
    /// The service.
    pub service: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub zero: [u8; 3],
    /// The commit that gave the number to this VIP.
    pub born: u32,
    /// Zero.
    pub zero_tail: u32,
}

/// One backend of one version of one service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct BackendRow {
    /// The backend's address.
    pub address: Address,
    /// The backend's port, native order; 0 keeps the dialled one.
    pub port: u16,
    /// The service.
    pub service: u16,
    /// The version's index in its service.
    pub version: u8,
    /// 1 while it takes no new flows by an operator's will: open ones may be ended for it.
    pub leaving: u8,
    /// Zero.
    pub zero: [u8; 2],
    /// The commit that gave the number to this backend, or took it away.
    pub born: u32,
    /// 1 once the number was taken away; `born` is then the commit that did.
    pub retired: u32,
}

impl BackendRow {
    /// The port that the backend is dialled at by who dialled `dialled`; native order.
    #[inline(always)]
    pub const fn dialled(&self, dialled: u16) -> u16 {
        if self.port == 0 { dialled } else { self.port }
    }
}

/// How to reach a backend: three words that each carry the same 16-bit stamp in their upper
/// bits, so that a reader sees a half-written row. Stamp 0: unknown.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct NextHop {
    /// Destination MAC (first byte lowest), source MAC, interface index and, 32 bits up, MTU.
    pub words: [u64; 3],
}

/// Where in the arrays of programs the one stands that decides.
pub const DECIDES: u32 = 0;
/// Where the one stands that answers.
pub const ANSWERS: u32 = 1;
/// Where the one stands that measures.
pub const MEASURES: u32 = 2;
/// Where the one stands that tells whoever traces.
pub const TRACES: u32 = 3;
/// How many there are.
pub const PROGRAMS: usize = 4;

/// What a program leaves to the one that goes on with its packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Left {
    /// An [`crate::engine::Aside`].
    pub aside: u32,
    /// The number of its [`crate::engine::Outcome`].
    pub number: u32,
    /// The service to decide.
    pub service: u32,
    /// The backend of the flow that is open; 0 for none.
    pub backend: u32,
    /// 1: its entry stands in the established table, be it of use or in the way.
    pub established: u32,
    /// What XDP shall do with a packet that has ended and is measured or traced.
    pub action: u32,
    /// How it ended: the cell of reason and verdict, see [`crate::reason::cell`].
    pub ended: u32,
    /// The [`crate::traits::Traits`] that the open flow was decided by.
    pub traits: u32,
}

/// A page of table cells; a cell is a backend number, 0 for none.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct Page {
    /// The cells.
    pub cells: [u16; PAGE_CELLS],
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
