//! Owns the order of things: parse, filter, directory, then a request ([`request`]) or a reply
//! ([`reply`]), forwarded by [`send`]. The XDP program is this code over the kernel's maps, the
//! tests run it over maps of their own.
//!
//! Invariants: a packet that matched a frontend is never passed unmodified; anything that is not
//! ours is passed untouched; every packet ends in exactly one [`Outcome`].

mod reply;
mod request;
mod send;

use crate::{
    address::Address,
    clock::Jiffies,
    directory::{bucket_of, filter_bit},
    flow::{Cell, Entry, Hop, Table, hop::load_hop, law::Now},
    layout::{
        BackendRow, Bucket, Control, Counter, DirectoryRow, Endpoint, EndpointKind, FlowEntry,
        FlowKey, FrontendRow, ServiceRow, Word,
    },
    packet::{self, Form, Network, Packet, TCP, Transport, UDP},
    reason::{Reason, Verdict},
};

/// What the program did with a packet, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The interface to leave by, for `Redirect`; for [`Reason::Inconsistent`] the number of a
    /// service, frontend or backend that is named but has no row, worth a line in the log.
    pub number: u32,
}

/// The world beside the packet: maps, clock and routes. All numbers may be out of range; a
/// look-up then finds nothing.
pub trait Env {
    /// A live element of a flow table.
    type Cell: Cell;

    /// The interface the packet came in by.
    fn ingress_ifindex(&self) -> u32;
    /// The time.
    fn jiffies(&self) -> Jiffies;
    /// A word of the control map; 0 when never written.
    fn control(&self, word: Control) -> u64;
    /// How a side of the directory is hashed.
    fn directory_row(&self, side: u32) -> Option<DirectoryRow>;
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
    /// A table cell; 0 for none.
    fn table_cell(&self, page: u32, index: u32) -> u16;
    /// The words of the next hop to a backend.
    fn next_hop(&self, backend: u32) -> [u64; 3];
    /// A live flow.
    fn flow(&self, table: Table, key: &FlowKey) -> Option<Self::Cell>;
    /// Enters or replaces a flow; `false` when the kernel refused.
    fn insert(&self, table: Table, key: &FlowKey, entry: &FlowEntry) -> bool;
    /// Removes a flow.
    fn remove(&self, table: Table, key: &FlowKey);
    /// Adds 1 to a counter of a backend.
    fn count(&self, backend: u32, counter: Counter);
    /// Counts one packet of `bytes` bytes, to the backend or from it.
    fn count_packet(&self, backend: u32, inbound: bool, bytes: u32);
    /// Whether a prefix list has an address; list 0 has none.
    fn listed(&self, list: u32, address: Address) -> bool;
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
    /// The next hop, if it is known.
    #[inline(always)]
    const fn hop(self) -> Option<Hop> {
        match self {
            Self::Hop(hop) => Some(hop),
            Self::Unresolved | Self::NotForwarded => None,
        }
    }
}

impl Outcome {
    #[inline(always)]
    const fn pass(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Pass,
            reason,
            number: 0,
        }
    }

    /// The tables name what is not there.
    #[inline(always)]
    const fn inconsistent(verdict: Verdict, number: u32) -> Self {
        Self {
            verdict,
            reason: Reason::Inconsistent,
            number,
        }
    }

    #[inline(always)]
    const fn drop(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Drop,
            reason,
            number: 0,
        }
    }
}

/// A packet with its headers, as requests and replies see it.
struct Parsed<'a> {
    network: &'a Network,
    transport: &'a Transport,
    now: Now,
}

/// One side of the directory.
struct Directory<'a, E> {
    env: &'a E,
    side: u32,
    multiplier: u64,
}

impl<'a, E: Env> Directory<'a, E> {
    #[inline(always)]
    fn may_know(&self, address: Address) -> bool {
        let bit = filter_bit(self.multiplier, address);
        let word = self
            .env
            .filter_word(self.side * crate::capacity::FILTER_WORDS + bit.word);
        word & bit.mask != 0
    }

    #[inline(always)]
    fn find(
        &self,
        address: Address,
        port: u16,
        protocol: u8,
        kind: EndpointKind,
    ) -> Option<&'a Endpoint> {
        let bucket = bucket_of(self.multiplier, address, port, protocol);
        let index = self.side * crate::capacity::DIRECTORY_BUCKETS + bucket;
        self.env.bucket(index)?.find(address, port, protocol, kind)
    }

    /// The endpoint of that port, else the one of every port.
    #[inline(always)]
    fn serving(
        &self,
        address: Address,
        port: u16,
        protocol: u8,
        kind: EndpointKind,
    ) -> Option<&'a Endpoint> {
        match self.find(address, port, protocol, kind) {
            Some(exact) => Some(exact),
            None => self.find(address, 0, protocol, kind),
        }
    }
}

/// Decides about a packet and edits it.
#[inline(always)]
pub fn process<P: Packet, E: Env>(packet: &mut P, env: &E) -> Outcome {
    let Some(network) = packet::network(packet) else {
        return Outcome::pass(Reason::NotIp);
    };
    let word = Word::unpack(env.control(Control::Directory));
    if word.generation == 0 {
        return Outcome::pass(Reason::NotConfigured);
    }
    let Some(row) = env.directory_row(word.side) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let directory = Directory {
        env,
        side: word.side,
        multiplier: row.multiplier,
    };
    let to_known = directory.may_know(network.destination);
    if !to_known && !directory.may_know(network.source) {
        return Outcome::pass(Reason::NotOurs);
    }
    let has_ports = network.protocol == TCP || network.protocol == UDP;
    let transport = if has_ports && matches!(network.form, Form::Whole) {
        packet::transport(packet, &network)
    } else {
        None
    };
    let Some(transport) = transport else {
        return without_ports(&directory, &network, has_ports);
    };
    let hz = env.control(Control::Hz) as u32;
    let now = Now {
        jiffies: env.jiffies().low(),
        hz,
    };
    let parsed = Parsed {
        network: &network,
        transport: &transport,
        now,
    };
    if to_known {
        let port = transport.destination_port;
        let kind = EndpointKind::Vip;
        let found = directory.serving(network.destination, port, network.protocol, kind);
        if let Some(endpoint) = found {
            return request::process(packet, env, &parsed, endpoint);
        }
    }
    let (port, kind) = (transport.source_port, EndpointKind::Backend);
    match directory.serving(network.source, port, network.protocol, kind) {
        Some(endpoint) => reply::process(packet, env, &parsed, endpoint),
        None => Outcome::pass(Reason::NotOurs),
    }
}

/// A packet whose ports cannot be read: dropped when it goes to an address that has VIPs, so
/// that this host's stack never answers for one.
#[inline(always)]
fn without_ports<E: Env>(
    directory: &Directory<'_, E>,
    network: &Network,
    has_ports: bool,
) -> Outcome {
    if directory
        .find(network.destination, 0, 0, EndpointKind::VipAddress)
        .is_none()
    {
        return Outcome::pass(Reason::NotOurs);
    }
    match network.form {
        Form::Fragment => Outcome::drop(Reason::Fragment),
        Form::Extension => Outcome::drop(Reason::ExtensionHeader),
        Form::Malformed => Outcome::drop(Reason::Malformed),
        Form::Whole if has_ports => Outcome::drop(Reason::Malformed),
        Form::Whole => Outcome::pass(Reason::OtherProtocol),
    }
}

/// A flow's live element and what it held.
struct Found<C> {
    cell: C,
    entry: Entry,
}

/// The usable entry of a key.
#[inline(always)]
fn find<E: Env>(
    env: &E,
    table: Table,
    key: &FlowKey,
    frontend_born: u32,
) -> Option<Found<E::Cell>> {
    alive(env, env.flow(table, key)?, key, frontend_born)
}

/// An element's entry, if it is usable: its tag fits, and no number that it names was given to
/// another owner since it was made. A backend is never older than its service and version, so its
/// birth and the frontend's are enough.
#[inline(always)]
fn alive<E: Env>(
    env: &E,
    cell: E::Cell,
    key: &FlowKey,
    frontend_born: u32,
) -> Option<Found<E::Cell>> {
    let entry = Entry::load(&cell, key.tag())?;
    let row = env.backend(entry.backend)?;
    let alive = entry.generation >= frontend_born && entry.generation >= row.born;
    alive.then_some(Found { cell, entry })
}

/// Enters a flow and counts a refusal.
#[inline(always)]
fn insert<E: Env>(env: &E, table: Table, key: &FlowKey, entry: &Entry, hop: [u64; 3]) {
    if !env.insert(table, key, &entry.pack(key.tag(), hop)) {
        env.count(entry.backend, Counter::InsertsRefused);
    }
}

/// Moves a flow from pending to established with the way back that it has learned.
#[inline(always)]
fn establish<E: Env>(env: &E, key: &FlowKey, found: &Found<E::Cell>, entry: &Entry) {
    insert(env, Table::Established, key, entry, load_hop(&found.cell));
    env.remove(Table::Pending, key);
}
