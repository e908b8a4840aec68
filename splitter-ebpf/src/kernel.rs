//! Owns the kernel's side of `splitter_common::engine::Env`: maps, clock, routes, and the log of
//! rare faults.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::bpf_fib_lookup,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_fib_lookup as fib_lookup, bpf_jiffies64},
    },
    programs::XdpContext,
};
use aya_log_ebpf::warn;
use splitter_common::{
    address::{Address, Family},
    capacity::COHORTS_ASKED,
    clock::Jiffies,
    engine::{Env, Parsed, Route},
    evidence::{Event, Ledger, Once, Place, Sample},
    flow::{
        Entry, Hop, KeptKey, Table,
        recheck::RecheckRow,
        turns::{self, Kind},
    },
    layout::{
        BackendRow, Bucket, ClientKey, Control, Counter, FlowEntry, FlowKey, FragmentKey,
        FragmentRow, FrontendRow, Left, ServiceRow, TableEvent,
    },
    packet::{Inner, Network},
    trace::{TraceRow, Traced},
    traits::{Traits, TraitsRow},
};

use crate::{
    clients, evidence,
    maps::{self, ControlWords, FlowCell},
    times,
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Whether anything is counted and measured beside packets by reason.
const TELEMETRY: bool = !cfg!(feature = "bare");
/// `BPF_FIB_LKUP_RET_SUCCESS`.
const FOUND: i64 = 0;
/// `BPF_FIB_LKUP_RET_NOT_FWDED`: this host's own address, or no route.
const NOT_FORWARDED: i64 = 4;

/// Aligned, so that it is cleared by eight stores; a memset is a loop over bytes here.
#[repr(C, align(8))]
struct Query(bpf_fib_lookup);

/// The running kernel, for one packet.
pub(crate) struct Kernel<'a> {
    ctx: &'a XdpContext,
    /// Looked up once.
    control: ControlWords,
}

impl<'a> Kernel<'a> {
    /// For the packet of `ctx`; `None` never.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Option<Self> {
        maps::control_words().map(|control| Self { ctx, control })
    }
}

impl Env for Kernel<'_> {
    type Cell = FlowCell;

    #[inline(always)]
    fn keep(&self, parsed: Parsed) -> Option<&Parsed> {
        maps::keep(parsed)
    }

    #[inline(always)]
    fn kept(&self) -> Option<&Parsed> {
        maps::kept()
    }

    #[inline(always)]
    fn tell(&self, parsed: &Parsed, told: u64) {
        if TELEMETRY {
            maps::tell(parsed, told);
        }
    }

    #[inline(always)]
    fn told(&self, parsed: &Parsed) -> u64 {
        maps::told(parsed)
    }

    #[inline(always)]
    fn leave(&self, left: Left) {
        maps::leave(left);
    }

    #[inline(always)]
    fn left(&self) -> Option<&Left> {
        maps::left()
    }

    #[inline(always)]
    fn keep_inner(&self, inner: Inner) -> Option<&Inner> {
        maps::keep_inner(inner)
    }

    #[inline(always)]
    fn ingress_ifindex(&self) -> u32 {
        self.ctx.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper takes nothing and only reads a clock.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn now_us(&self) -> u32 {
        if TELEMETRY {
            turns::us(self.now_ns())
        } else {
            0
        }
    }

    #[inline(always)]
    fn recheck_newest(&self, service: u32) -> u32 {
        maps::recheck_newest(service)
    }

    #[inline(always)]
    fn recheck(&self, service: u32) -> RecheckRow {
        maps::recheck(service)
    }

    #[inline(always)]
    fn service_due(&self, service: u32) -> u64 {
        maps::service_due(service)
    }

    #[inline(always)]
    fn set_service_due(&self, service: u32, due_ns: u64) {
        maps::set_service_due(service, due_ns);
    }

    #[inline(always)]
    fn client_due(&self, key: &ClientKey) -> u64 {
        maps::client_due(key)
    }

    #[inline(always)]
    fn set_client_due(&self, key: &ClientKey, due_ns: u64) {
        maps::set_client_due(key, due_ns);
    }

    #[inline(always)]
    fn jiffies(&self) -> Jiffies {
        // SAFETY: the helper takes nothing and only reads a clock.
        Jiffies(unsafe { bpf_jiffies64() })
    }

    #[inline(always)]
    fn control(&self, word: Control) -> u64 {
        self.control.load(word)
    }

    #[inline(always)]
    fn filter_word(&self, index: u32) -> u64 {
        maps::filter_word(index)
    }

    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        maps::bucket(index)
    }

    #[inline(always)]
    fn frontend(&self, number: u32) -> Option<&FrontendRow> {
        maps::frontend(number)
    }

    #[inline(always)]
    fn backend(&self, number: u32) -> Option<&BackendRow> {
        maps::backend(number)
    }

    #[inline(always)]
    fn service_word(&self, number: u32) -> u64 {
        maps::service_word(number)
    }

    #[inline(always)]
    fn service(&self, index: u32) -> Option<&ServiceRow> {
        maps::service(index)
    }

    #[inline(always)]
    fn table_cell(&self, page: u32, index: u32) -> u16 {
        maps::table_cell(page, index)
    }

    #[inline(always)]
    fn next_hop(&self, backend: u32) -> [u64; 3] {
        maps::next_hop(backend)
    }

    #[inline(always)]
    fn keep_key(&self, kept: &KeptKey, key: FlowKey) {
        maps::keep_key(kept, key);
    }

    #[inline(always)]
    fn flow(&self, table: Table, key: &KeptKey) -> Option<FlowCell> {
        maps::flow(table, key)
    }

    #[inline(always)]
    fn insert(&self, table: Table, key: &KeptKey, entry: &FlowEntry) -> bool {
        maps::insert_flow(table, key, entry)
    }

    #[inline(always)]
    fn remove(&self, table: Table, key: &KeptKey) {
        maps::remove_flow(table, key);
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRow> {
        maps::fragment(key)
    }

    #[inline(always)]
    fn keep_fragment(&self, key: &FragmentKey, row: &FragmentRow) {
        maps::keep_fragment(key, row);
    }

    #[inline(always)]
    fn count_begun(&self, backend: u32, handshake: u64) {
        if TELEMETRY {
            let begun = [Counter::NewFlows as usize, Counter::SynsBegun as usize];
            maps::count_two(backend, begun, [1, handshake]);
        }
    }

    #[inline(always)]
    fn count(&self, backend: u32, counter: Counter) {
        if TELEMETRY {
            match counter {
                // Of every handshake.
                Counter::Handshakes | Counter::SynsAnswered => {
                    maps::count_here(backend, counter as usize);
                }
                _ => {
                    maps::count(backend, counter as u32);
                }
            }
        }
    }

    #[inline(always)]
    fn count_time(&self, entry: &Entry, kind: Kind, us: u32) {
        if TELEMETRY {
            times::count_time(entry, kind, us);
        }
    }

    #[inline(always)]
    fn ledger(&self, ledger: u32, slot: u32) -> Ledger {
        if TELEMETRY {
            evidence::ledger(ledger, slot)
        } else {
            Ledger::of_none()
        }
    }

    #[inline(always)]
    fn count_once(&self, place: &Place, once: Once) -> u64 {
        evidence::count_once(place, once)
    }

    #[inline(always)]
    fn count_evidence(&self, row: u32, event: Event) {
        evidence::count_evidence(row, event);
    }

    #[inline(always)]
    fn count_sample(&self, row: u32, sample: Sample, us: u32) {
        evidence::count_sample(row, sample, us);
    }

    #[inline(always)]
    fn count_table(&self, event: TableEvent) {
        if TELEMETRY {
            maps::count_table(event as u32);
        }
    }

    #[inline(always)]
    fn count_empty(&self, service: u32, version: usize) {
        if TELEMETRY {
            maps::count_empty(service, version as u32);
        }
    }

    #[inline(always)]
    fn count_packet(&self, backend: u32, inbound: bool, bytes: u32) {
        // Bytes stand behind packets.
        let first = if inbound {
            Counter::PacketsIn as usize
        } else {
            Counter::PacketsOut as usize
        };
        if TELEMETRY {
            maps::count_two(backend, [first, first + 1], [1, bytes as u64]);
        }
    }

    #[inline(always)]
    fn count_assigned(&self, service: u32, place: usize, version: usize) {
        if TELEMETRY {
            maps::count_assigned(service, place as u32, version as u32);
        }
    }

    #[inline(always)]
    fn listed(&self, list: u32, address: Address, otherwise: u32) -> u32 {
        let [a, b] = address.0;
        if list == 0 {
            otherwise
        } else {
            maps::listed(list, a, b, otherwise)
        }
    }

    #[inline(always)]
    fn set_control(&self, word: Control, value: u64) {
        self.control.store(word, value);
    }

    #[inline(always)]
    fn trace_row(&self, index: u32) -> Option<TraceRow> {
        maps::trace_row(index)
    }

    #[inline(always)]
    fn trace(&self, traced: &Traced) -> bool {
        maps::trace(traced)
    }

    #[inline(always)]
    fn count_untold(&self) {
        maps::count_untold();
    }

    #[inline(always)]
    fn cohorts(&self, asked: &[u32; COHORTS_ASKED], client: Address, otherwise: u32) -> u32 {
        let [a, b] = client.0;
        maps::cohorts(asked, a, b) | otherwise
    }

    #[inline(always)]
    fn sign(&self, word: usize, value: u64) {
        maps::sign(word, value);
    }

    #[inline(always)]
    fn device(&self) -> u32 {
        clients::device()
    }

    #[inline(always)]
    fn client_traits(&self, asks: &TraitsRow, key: &ClientKey, device: u32) -> u32 {
        let [a, b] = key.client.0;
        clients::traits(asks, key.service, a, b, device)
    }

    #[inline(always)]
    fn learn(&self, asks: &TraitsRow, key: &ClientKey, traits: Traits) {
        let [a, b] = key.client.0;
        clients::learn(asks, key.service, a, b, traits.0 as u32);
    }

    #[inline(always)]
    fn route(&self, network: &Network, source: Address, destination: Address) -> Route {
        // Numbers that differ, as in `NO_HOP`; they are read when the kernel has written others alone.
        let mut hop = Hop {
            destination: 1,
            source: 2,
            ifindex: 3,
            mtu: 4,
        };
        match look_up(self.ctx, network, &source, &destination, &mut hop) {
            FOUND => Route::Hop(hop),
            NOT_FORWARDED => Route::NotForwarded,
            _ => Route::Unresolved,
        }
    }
}

/// Asks the kernel for the way of a packet from `source` to `destination`; a function of its own,
/// since it is asked for at several places and seldom. What the kernel answered, with the way in
/// `hop` when it is [`FOUND`].
#[inline(never)]
fn look_up(
    ctx: &XdpContext,
    network: &Network,
    source: &Address,
    destination: &Address,
    hop: &mut Hop,
) -> i64 {
    let mut aligned = MaybeUninit::<Query>::uninit();
    let words = aligned.as_mut_ptr().cast::<u64>();
    let mut word_of = 0;
    while word_of < size_of::<Query>() / 8 {
        // SAFETY: inside the struct, which is aligned for words.
        unsafe { words.add(word_of).write_volatile(0) };
        word_of += 1;
    }
    // SAFETY: all of the struct's fields are numbers, for which zero bits are a value.
    let Query(query) = unsafe { aligned.assume_init_mut() };
    let (from, to) = (source.halfwords(), destination.halfwords());
    match network.family {
        Family::V4 => {
            query.family = AF_INET;
            query.__bindgen_anon_3.ipv4_src = word(from, 6);
            query.__bindgen_anon_4.ipv4_dst = word(to, 6);
        }
        Family::V6 => {
            query.family = AF_INET6;
            query.__bindgen_anon_3.ipv6_src =
                [word(from, 0), word(from, 2), word(from, 4), word(from, 6)];
            query.__bindgen_anon_4.ipv6_dst = [word(to, 0), word(to, 2), word(to, 4), word(to, 6)];
        }
    }
    query.l4_protocol = network.protocol;
    query.ifindex = ctx.ingress_ifindex() as u32;
    // Any length makes the kernel tell the way's MTU (kernel commit e1850ea9bd9e).
    query.__bindgen_anon_1.tot_len = 1;
    // SAFETY: the context is this run's, and the length is that of the struct.
    let found = unsafe {
        fib_lookup(
            ctx.ctx.cast(),
            &raw mut *query,
            size_of::<bpf_fib_lookup>() as i32,
            0,
        )
    };
    if found == FOUND {
        *hop = Hop {
            destination: Hop::mac_word(query.dmac),
            source: Hop::mac_word(query.smac),
            ifindex: query.ifindex,
            mtu: if maps::control(Control::WireLengths) != 0 {
                // SAFETY: both names of the field are the same number.
                unsafe { query.__bindgen_anon_1.mtu_result }
            } else {
                0
            },
        };
    }
    found
}

impl Kernel<'_> {
    /// Writes a line about tables that name what is not there: one a second, since a fault repeats
    /// with every packet that meets it.
    #[inline(always)]
    pub(crate) fn diagnose(&self, number: u32) {
        let now = self.jiffies().0;
        let due = self.control.load(Control::DiagnosedAt) + self.control.load(Control::Hz);
        if now < due {
            return;
        }
        self.control.store(Control::DiagnosedAt, now);
        warn!(self.ctx, "inconsistent tables: {} has no row", number);
    }
}

/// Two halfwords as a native load of their four bytes.
#[inline(always)]
fn word(halfwords: [u16; 8], at: usize) -> u32 {
    halfwords[at] as u32 | (halfwords[at + 1] as u32) << 16
}
