//! Owns the order of things: parse, filter, directory, then a request ([`request`]), a reply
//! ([`reply`]) or a fragment behind the first ([`fragment`]), forwarded by [`send`]. ICMP ([`icmp`])
//! and the answer to what is too big ([`too_big`]) are left aside for a program of their own. The
//! XDP program is this code over the kernel's maps, the
//! tests run it over maps of their own.
//!
//! Invariants: a packet that matched a frontend is never passed unmodified; anything that is not
//! ours is passed untouched; every packet ends in exactly one [`Outcome`].

mod fragment;
mod icmp;
mod reply;
mod request;
mod send;
mod too_big;

use self::send::Decided;
use crate::{
    address::Address,
    clock::Jiffies,
    directory::{bucket_of, filter_bit},
    flow::{Cell, Entry, Hop, Table, hop::load_hop, law::Now},
    layout::{
        BackendRow, Bucket, Control, Counter, DirectoryRow, Endpoint, EndpointKind, FlowEntry,
        FlowKey, FragmentKey, FragmentRow, FrontendRow, ServiceRow, Word,
    },
    packet::{self, Form, Inner, Network, Packet, TCP, Transport, UDP},
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
    /// What is to be done instead, if [`answer`] can be had; else the outcome stands.
    pub aside: Aside,
}

/// What is too rare to stand in the way of all other packets: [`answer`] does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Aside {
    /// Nothing.
    Nothing = 0,
    /// The packet is ICMP.
    Icmp = 1,
    /// The packet is longer than the outcome's `number` and may not be cut.
    TooBig = 2,
}

/// The world beside the packet: maps, clock and routes. All numbers may be out of range; a
/// look-up then finds nothing.
pub trait Env {
    /// A live element of a flow table.
    type Cell: Cell;

    /// Keeps what was read of the packet and lends it until the next packet. Behind this the
    /// verifier knows nothing of how it came about: it walks what follows once, not once for each
    /// form that a packet can have.
    fn keep(&self, parsed: Parsed) -> Option<&Parsed>;
    /// The same for what an ICMP error quotes.
    fn keep_inner(&self, inner: Inner) -> Option<&Inner>;
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
    /// Where the first fragment of a datagram went.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRow>;
    /// Remembers where the first fragment of a datagram goes.
    fn keep_fragment(&self, key: &FragmentKey, row: &FragmentRow);
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
    /// The next hop; [`Hop::NOWHERE`] when it is not known.
    #[inline(always)]
    const fn hop(self) -> Hop {
        match self {
            Self::Hop(hop) => hop,
            Self::Unresolved | Self::NotForwarded => Hop::NOWHERE,
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
            aside: Aside::Nothing,
        }
    }

    /// The tables name what is not there.
    #[inline(always)]
    const fn inconsistent(verdict: Verdict, number: u32) -> Self {
        Self {
            verdict,
            reason: Reason::Inconsistent,
            number,
            aside: Aside::Nothing,
        }
    }

    #[inline(always)]
    const fn drop(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Drop,
            reason,
            number: 0,
            aside: Aside::Nothing,
        }
    }
}

/// A packet with its headers, as requests and replies see it.
#[derive(Clone, Copy, Debug)]
pub struct Parsed {
    network: Network,
    transport: Transport,
    now: Now,
    /// Whether the filter knows the destination.
    to_known: bool,
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
    // Whom an ICMP error is about stands in what it quotes.
    if !to_known && !directory.may_know(network.source) && !network.is_icmp() {
        return Outcome::pass(Reason::NotOurs);
    }
    if network.is_icmp() && matches!(network.form, Form::Whole) {
        let unanswered = Outcome::pass(Reason::OtherProtocol);
        return Outcome {
            aside: Aside::Icmp,
            ..unanswered
        };
    }
    let has_ports = network.protocol == TCP || network.protocol == UDP;
    let transport = match network.form {
        Form::Whole | Form::First if has_ports => packet::transport(packet, &network),
        Form::Later if has_ports => Some(Transport::default()),
        Form::Whole | Form::First | Form::Later | Form::Extension | Form::Malformed => None,
    };
    let Some(transport) = transport else {
        return without_ports(&directory, &network, has_ports);
    };
    let hz = env.control(Control::Hz) as u32;
    let now = Now {
        jiffies: env.jiffies().low(),
        hz,
    };
    let Some(parsed) = env.keep(Parsed {
        network,
        transport,
        now,
        to_known,
    }) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let Decided {
        forward,
        goes_on,
        end,
    } = way(env, &directory, parsed);
    if goes_on {
        send::finish(packet, env, parsed, &forward)
    } else {
        end
    }
}

/// Does what [`process`] left aside, with the number of its outcome.
#[inline(always)]
pub fn answer<P: Packet, E: Env>(packet: &mut P, env: &E, is_icmp: bool, number: u32) -> Outcome {
    let word = Word::unpack(env.control(Control::Directory));
    let read = packet::network(packet).zip(env.directory_row(word.side));
    let Some((network, row)) = read else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let Some(parsed) = env.keep(Parsed {
        network,
        transport: Transport::default(),
        now: Now {
            jiffies: env.jiffies().low(),
            hz: 0,
        },
        to_known: true,
    }) else {
        return Outcome::pass(Reason::NotConfigured);
    };
    let directory = Directory {
        env,
        side: word.side,
        multiplier: row.multiplier,
    };
    if is_icmp {
        icmp::process(packet, env, &directory, parsed)
    } else {
        too_big::answer(packet, &parsed.network, number, env.ingress_ifindex())
    }
}

/// Where a packet with ports, or one that follows such a one, goes.
#[inline(always)]
fn way<E: Env>(env: &E, directory: &Directory<'_, E>, parsed: &Parsed) -> Decided {
    let (network, transport) = (&parsed.network, &parsed.transport);
    if matches!(network.form, Form::Later) {
        return fragment::follow(env, directory, parsed);
    }
    if parsed.to_known {
        let (port, kind) = (transport.destination_port, EndpointKind::Vip);
        let vip = directory.serving(network.destination, port, network.protocol, kind);
        if let Some(vip) = vip {
            return request::process(env, parsed, vip);
        }
    }
    let (port, kind) = (transport.source_port, EndpointKind::Backend);
    match directory.serving(network.source, port, network.protocol, kind) {
        Some(backend) => reply::process(env, parsed, backend),
        None => Decided::end(Outcome::pass(Reason::NotOurs)),
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
        Form::First | Form::Later => Outcome::drop(Reason::Fragment),
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
