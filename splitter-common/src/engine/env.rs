//! Owns the seam to the world beside the packet: the kernel's maps, clock and routes, or a test's.

use super::Parsed;
use crate::{
    address::Address,
    capacity::COHORTS_ASKED,
    clock::Jiffies,
    evidence::{Event, Ledger, Once, Place, Sample},
    flow::{Cell, Entry, Hop, KeptKey, Table, recheck::RecheckRow, turns::Kind},
    layout::{
        BackendRow, Bucket, ClientKey, Control, Counter, FlowEntry, FlowKey, FragmentKey,
        FragmentRow, FrontendRow, Left, ServiceRow, TableEvent,
    },
    packet::{Inner, Network},
    trace::{TraceRow, Traced},
    traits::{Traits, TraitsRow},
};

/// The world beside the packet: maps, clock and routes. All numbers may be out of range; a
/// look-up then finds nothing.
pub trait Env {
    /// A live element of a flow table.
    type Cell: Cell;

    /// Keeps what was read of the packet and lends it until the next packet. Behind this the
    /// verifier knows nothing of how it came about: it walks what follows once, not once for each
    /// form that a packet can have.
    fn keep(&self, parsed: Parsed) -> Option<&Parsed>;
    /// What was kept of this packet by the program that left it to this one.
    fn kept(&self) -> Option<&Parsed>;
    /// Notes what this packet tells (see [`Parsed::told`]), in what was kept of it.
    fn tell(&self, parsed: &Parsed, told: u64);
    /// Reads that back; 0 for nothing.
    fn told(&self, parsed: &Parsed) -> u64;
    /// Leaves what the next program must know beside that.
    fn leave(&self, left: Left);
    /// What was left to this program.
    fn left(&self) -> Option<&Left>;
    /// The same for what an ICMP error quotes.
    fn keep_inner(&self, inner: Inner) -> Option<&Inner>;
    /// The interface the packet came in by.
    fn ingress_ifindex(&self) -> u32;
    /// The precise time, nanoseconds of CLOCK_MONOTONIC.
    fn now_ns(&self) -> u64;
    /// The same in microseconds, as what is measured keeps it, see [`crate::flow::turns::us`].
    fn now_us(&self) -> u32;
    /// The time.
    fn jiffies(&self) -> Jiffies;
    /// A word of the control map; 0 when never written.
    fn control(&self, word: Control) -> u64;
    /// A word of the address filter, both sides in one array.
    fn filter_word(&self, index: u32) -> u64;
    /// A bucket of the directory, both sides in one array.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// A frontend's row.
    fn frontend(&self, number: u32) -> Option<&FrontendRow>;
    /// A backend's row.
    fn backend(&self, number: u32) -> Option<&BackendRow>;
    /// A service's packed [`Word`].
    fn service_word(&self, number: u32) -> u64;
    /// A service's row, both sides in one array: `2 * service + side`.
    fn service(&self, index: u32) -> Option<&ServiceRow>;
    /// The newest generation that a service's open flows must be looked at for; 0 for none.
    fn recheck_newest(&self, service: u32) -> u32;
    /// All of that row.
    fn recheck(&self, service: u32) -> RecheckRow;
    /// When a service's next flow is due by its limit, nanoseconds; see [`crate::flow::limit`].
    fn service_due(&self, service: u32) -> u64;
    /// Writes that.
    fn set_service_due(&self, service: u32, due_ns: u64);
    /// The same for a client; 0 for one that is not known.
    fn client_due(&self, key: &ClientKey) -> u64;
    /// Writes that.
    fn set_client_due(&self, key: &ClientKey, due_ns: u64);
    /// A table cell; 0 for none.
    fn table_cell(&self, page: u32, index: u32) -> u16;
    /// The words of the next hop to a backend.
    fn next_hop(&self, backend: u32) -> [u64; 3];
    /// Notes the key of the flow that this packet is of or about, and its tag.
    fn keep_key(&self, kept: &KeptKey, key: FlowKey);
    /// A live flow.
    fn flow(&self, table: Table, key: &KeptKey) -> Option<Self::Cell>;
    /// Enters or replaces a flow; `false` when there was no room. A pending one was looked for before.
    fn insert(&self, table: Table, key: &KeptKey, entry: &FlowEntry) -> bool;
    /// Removes a flow that was found.
    fn remove(&self, table: Table, key: &KeptKey);
    /// Where the first fragment of a datagram went.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRow>;
    /// Remembers where the first fragment of a datagram goes.
    fn keep_fragment(&self, key: &FragmentKey, row: &FragmentRow);
    /// Counts a flow that was decided, and its handshake: 1 or 0.
    fn count_begun(&self, backend: u32, handshake: u64);
    /// Adds 1 to a counter of a backend.
    fn count(&self, backend: u32, counter: Counter);
    /// Counts how long the backend and the version of a flow took, in microseconds.
    fn count_time(&self, entry: &Entry, kind: Kind, us: u32);
    /// Counts what happens to a flow table.
    fn count_table(&self, event: TableEvent);
    /// Counts a new flow of a client whose version has no backend.
    fn count_empty(&self, service: u32, version: usize);
    /// Counts one packet of `bytes` bytes, to the backend or from it.
    fn count_packet(&self, backend: u32, inbound: bool, bytes: u32);
    /// Counts a new flow of a client at a place among the segments and of a version.
    fn count_assigned(&self, service: u32, place: usize, version: usize);
    /// What a ledger says of flows in a slot.
    fn ledger(&self, ledger: u32, slot: u32) -> Ledger;
    /// Counts an event of a client where it is its first, and says of what: [`crate::evidence::RELEASE`]
    /// and [`crate::evidence::SLICE`] are its bits.
    fn count_once(&self, place: &Place, once: Once) -> u64;
    /// Counts an event in a row of evidence.
    fn count_evidence(&self, row: u32, event: Event);
    /// Counts a sample in a row of evidence, in microseconds.
    fn count_sample(&self, row: u32, sample: Sample, us: u32);
    /// What a list says of the longest prefix that has an address, `otherwise` when none has it. List
    /// 0 has no prefixes.
    fn listed(&self, list: u32, address: Address, otherwise: u32) -> u32;
    /// Writes a word of the control map.
    fn set_control(&self, word: Control, value: u64);
    /// Whose packets a trace asks for.
    fn trace_row(&self, index: u32) -> Option<TraceRow>;
    /// Tells of a packet; `false` when there is no room.
    fn trace(&self, traced: &Traced) -> bool;
    /// Counts a packet that was asked for and is not told.
    fn count_untold(&self);
    /// The conditions of the cohorts in `asked` that hold of a client, see
    /// [`crate::cohort::conditions`]; `otherwise` when it is in none of any service's.
    fn cohorts(&self, asked: &[u32; COHORTS_ASKED], client: Address, otherwise: u32) -> u32;
    /// Keeps a word of the signature of this packet, see [`crate::device::Signature`].
    fn sign(&self, word: usize, value: u64);
    /// The device class by the signature that was kept, below [`crate::capacity::DEVICE_CLASSES`].
    fn device(&self) -> u32;
    /// The [`Traits`] of a client as a number; `device` is the class of its SYN, for when they are found
    /// anew.
    fn client_traits(&self, asks: &TraitsRow, key: &ClientKey, device: u32) -> u32;
    /// A flow of a client was answered that was decided by `traits`.
    fn learn(&self, asks: &TraitsRow, key: &ClientKey, traits: Traits);
    /// Asks the kernel's routing and neighbour tables.
    fn route(&self, network: &Network, source: Address, destination: Address) -> Route;
}

/// What the kernel's routing and neighbour tables say of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// By this next hop.
    Hop(Hop),
    /// Not at once: the neighbour must be resolved first, say.
    Unresolved,
    /// Nowhere: the address is this host's own, or no route leads to it.
    NotForwarded,
}

impl Route {
    /// The next hop; [`Hop::NOWHERE`] when it is not known.
    #[inline(always)]
    pub(super) const fn hop(self) -> Hop {
        match self {
            Self::Hop(hop) => hop,
            Self::Unresolved | Self::NotForwarded => Hop::NOWHERE,
        }
    }
}
