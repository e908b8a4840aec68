//! Owns the host's executor: `splitter_common::engine` over memory, with a clock that obeys.

mod evidence;
mod executor;
mod memory;
mod trace;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    net::IpAddr,
};

use splitter_common::{
    address::Address,
    capacity::{COHORTS_ASKED, DIRECTORY_BUCKETS, FILTER_WORDS},
    clock::Jiffies,
    cohort::{self, MemberRow, Membership},
    device::Signature,
    engine::{Env, Parsed, Route},
    evidence::{Event, Ledger, Once, Place, Sample},
    flow::{
        Entry, Hop, KeptKey, Table,
        recheck::RecheckRow,
        turns::{self, Kind},
    },
    layout::{
        BackendCounters, BackendRow, Bucket, ClientKey, Control, Counter, FlowEntry, FlowKey,
        FragmentKey, FragmentRow, FrontendRow, Left, ServiceRow, TableEvent, Word,
    },
    packet::{Inner, Network},
    trace::{TraceRow, Traced},
    traits::{ClientRow, Traits, TraitsRow},
};
use splitter_user::plan::{Image, prefix_rows::Said, prefixes::PrefixList};

use self::{
    evidence::Ledgers,
    memory::{Element, Tables},
    trace::Trace,
};
use super::run::{CLIENT_MACS, CLIENT_MTU, LAB_PREFIXES};

const INGRESS: u32 = 1;
/// The interface toward clients.
const OTHER: u32 = 7;
const HZ: u64 = 250;

/// The host's executor.
#[derive(Default)]
pub struct Host {
    tables: Option<Tables>,
    flows: RefCell<HashMap<(bool, FlowKey), Element>>,
    counters: RefCell<HashMap<u32, BackendCounters>>,
    hops: HashMap<u32, Hop>,
    retired: HashMap<u32, BackendRow>,
    jiffies: u64,
    rechecks: HashMap<u32, RecheckRow>,
    parsed: OnceCell<Parsed>,
    left: OnceCell<Left>,
    limits: RefCell<HashMap<ClientKey, u64>>,
    times: RefCell<HashMap<u32, [u64; Kind::COUNT]>>,
    inner: OnceCell<Inner>,
    fragments: RefCell<HashMap<FragmentKey, FragmentRow>>,
    /// New flows by service, place among its segments and version.
    assigned: RefCell<HashMap<(u32, usize, usize), u64>>,
    evidence: RefCell<Ledgers>,
    trace: Trace,
    members: HashMap<Address, Vec<Membership>>,
    clients: RefCell<HashMap<ClientKey, ClientRow>>,
    signature: Cell<Signature>,
}

impl Env for Host {
    type Cell = Element;

    fn keep(&self, parsed: Parsed) -> Option<&Parsed> {
        Some(self.parsed.get_or_init(|| parsed))
    }

    fn kept(&self) -> Option<&Parsed> {
        self.parsed.get()
    }

    fn tell(&self, parsed: &Parsed, told: u64) {
        parsed.told.set(told);
    }

    fn told(&self, parsed: &Parsed) -> u64 {
        parsed.told.get()
    }

    fn leave(&self, left: Left) {
        // Once for a packet, unless another program's is forgotten before.
        let _first = self.left.set(left);
    }

    fn left(&self) -> Option<&Left> {
        self.left.get()
    }

    fn keep_inner(&self, inner: Inner) -> Option<&Inner> {
        Some(self.inner.get_or_init(|| inner))
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentRow> {
        self.fragments.borrow().get(key).copied()
    }

    fn keep_fragment(&self, key: &FragmentKey, row: &FragmentRow) {
        self.fragments.borrow_mut().insert(*key, *row);
    }

    fn ingress_ifindex(&self) -> u32 {
        INGRESS
    }

    fn jiffies(&self) -> Jiffies {
        Jiffies(self.jiffies)
    }

    fn now_ns(&self) -> u64 {
        self.jiffies * (1_000_000_000 / HZ)
    }

    fn now_us(&self) -> u32 {
        turns::us(self.now_ns())
    }

    fn recheck_newest(&self, service: u32) -> u32 {
        self.recheck(service).newest
    }

    fn recheck(&self, service: u32) -> RecheckRow {
        self.rechecks.get(&service).copied().unwrap_or_default()
    }

    fn service_due(&self, service: u32) -> u64 {
        self.client_due(&of_all(service))
    }

    fn set_service_due(&self, service: u32, due_ns: u64) {
        self.set_client_due(&of_all(service), due_ns);
    }

    fn client_due(&self, key: &ClientKey) -> u64 {
        self.limits.borrow().get(key).copied().unwrap_or(0)
    }

    fn set_client_due(&self, key: &ClientKey, due_ns: u64) {
        self.limits.borrow_mut().insert(*key, due_ns);
    }

    fn control(&self, word: Control) -> u64 {
        match word {
            Control::Directory => self.tables.as_ref().map_or(0, |tables| {
                Word {
                    generation: tables.image.generation,
                    side: 1,
                }
                .pack()
            }),
            Control::FirstMultiplier => 0,
            Control::SecondMultiplier => {
                let tables = self.tables.as_ref();
                tables.map_or(0, |tables| tables.directory.multiplier)
            }
            Control::LeaseUntil => u64::MAX,
            Control::RouteEpoch => 1,
            Control::Hz => HZ,
            Control::WireLengths => 1,
            Control::TracedUntil => u64::MAX,
            Control::TraceDue | Control::Untold => self.trace.control(word),
            Control::Jiffies
            | Control::MonotonicNs
            | Control::DiagnosedAt
            | Control::Devices
            | Control::MemberHomes
            | Control::MemberKey
            | Control::PendingSets
            | Control::PendingKey => 0,
        }
    }

    fn filter_word(&self, index: u32) -> u64 {
        let filter = self.tables.as_ref().map(|tables| &tables.directory.filter);
        filter.map_or(0, |filter| filter[(index - FILTER_WORDS) as usize])
    }

    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.tables
            .as_ref()?
            .directory
            .buckets
            .get(&(index - DIRECTORY_BUCKETS))
    }

    fn frontend(&self, number: u32) -> Option<&FrontendRow> {
        self.tables.as_ref()?.image.frontends.get(&number)
    }

    fn backend(&self, number: u32) -> Option<&BackendRow> {
        let live = self.tables.as_ref()?.image.backends.get(&number);
        live.or_else(|| self.retired.get(&number))
    }

    fn service_word(&self, number: u32) -> u64 {
        let row = self
            .tables
            .as_ref()
            .and_then(|tables| tables.rows.get(&number));
        row.map_or(0, |row| {
            Word {
                generation: row.generation,
                side: 0,
            }
            .pack()
        })
    }

    fn service(&self, index: u32) -> Option<&ServiceRow> {
        self.tables.as_ref()?.rows.get(&(index / 2))
    }

    fn table_cell(&self, page: u32, index: u32) -> u16 {
        let page = self
            .tables
            .as_ref()
            .and_then(|tables| tables.pages.get(page as usize));
        page.map_or(0, |page| page[index as usize])
    }

    fn next_hop(&self, backend: u32) -> [u64; 3] {
        self.hops
            .get(&backend)
            .map_or([0; 3], |hop| hop.pack(1).words)
    }

    fn keep_key(&self, kept: &KeptKey, key: FlowKey) {
        kept.key.set(key);
        kept.tag.set(key.tag());
    }

    fn flow(&self, table: Table, key: &KeptKey) -> Option<Element> {
        self.flows
            .borrow()
            .get(&(table == Table::Established, key.key.get()))
            .cloned()
    }

    fn insert(&self, table: Table, key: &KeptKey, entry: &FlowEntry) -> bool {
        let element = Element::new(entry.words);
        self.flows
            .borrow_mut()
            .insert((table == Table::Established, key.key.get()), element);
        true
    }

    fn remove(&self, table: Table, key: &KeptKey) {
        self.flows
            .borrow_mut()
            .remove(&(table == Table::Established, key.key.get()));
    }

    fn count_begun(&self, backend: u32, handshake: u64) {
        self.count(backend, Counter::NewFlows);
        if handshake != 0 {
            self.count(backend, Counter::SynsBegun);
        }
    }

    fn count(&self, backend: u32, counter: Counter) {
        self.counters.borrow_mut().entry(backend).or_default().cells[counter as usize] += 1;
    }

    fn count_time(&self, entry: &Entry, kind: Kind, _us: u32) {
        let mut times = self.times.borrow_mut();
        times.entry(entry.backend).or_default()[kind as usize] += 1;
    }

    fn ledger(&self, ledger: u32, slot: u32) -> Ledger {
        self.evidence.borrow().ledger(ledger, slot)
    }

    fn count_once(&self, place: &Place, once: Once) -> u64 {
        self.evidence.borrow_mut().count_once(place, once)
    }

    fn count_evidence(&self, row: u32, event: Event) {
        self.evidence.borrow_mut().count(row, event as u32);
    }

    fn count_sample(&self, row: u32, sample: Sample, _us: u32) {
        self.evidence.borrow_mut().sample(row, sample);
    }

    // Counted by the kernel alone: no row asks for them.
    fn count_table(&self, _event: TableEvent) {}

    fn count_empty(&self, _service: u32, _version: usize) {}

    fn count_packet(&self, backend: u32, inbound: bool, bytes: u32) {
        let first = if inbound {
            Counter::PacketsIn
        } else {
            Counter::PacketsOut
        } as usize;
        let mut counters = self.counters.borrow_mut();
        let cells = &mut counters.entry(backend).or_default().cells;
        cells[first] += 1;
        cells[first + 1] += u64::from(bytes);
    }

    fn count_assigned(&self, service: u32, place: usize, version: usize) {
        let mut counts = self.assigned.borrow_mut();
        *counts.entry((service, place, version)).or_default() += 1;
    }

    fn listed(&self, list: u32, address: Address, otherwise: u32) -> u32 {
        let lists = self.tables.as_ref().map(|tables| &tables.lists);
        let list = lists.and_then(|lists| lists.get(list.checked_sub(1)? as usize));
        // A prefix of one family has no address of the other.
        let ipv4 = |(first, bits): (u128, u32)| bits >= 96 && first >> 32 == 0xffff;
        let client = u128::from_be_bytes(address.bytes());
        let of_family = |list: &PrefixList| -> Vec<Said> {
            let same = |(key, _): &Said| ipv4(*key) == ipv4((client, 128));
            list.said().into_iter().filter(same).collect()
        };
        let Some(said) = list.map(of_family).filter(|said| !said.is_empty()) else {
            return otherwise;
        };
        let has =
            |((first, bits), _): &&Said| (first ^ client).checked_shr(128 - bits).unwrap_or(0) == 0;
        let longest = said.iter().filter(has).max_by_key(|((_, bits), _)| *bits);
        longest.map_or(0, |(_, said)| *said)
    }

    fn set_control(&self, word: Control, value: u64) {
        self.trace.set_control(word, value);
    }

    fn trace_row(&self, index: u32) -> Option<TraceRow> {
        Some(trace::row(index))
    }

    fn trace(&self, traced: &Traced) -> bool {
        self.trace.tell(traced)
    }

    fn count_untold(&self) {
        self.trace.refuse();
    }

    fn cohorts(&self, asked: &[u32; COHORTS_ASKED], client: Address, otherwise: u32) -> u32 {
        let Some(members) = self.members.get(&client) else {
            return otherwise;
        };
        let words = MemberRow::new(client, members).words;
        cohort::conditions(asked, words, client, self.jiffies())
    }

    fn sign(&self, word: usize, value: u64) {
        let mut signature = self.signature.get();
        signature.words[word] = value;
        self.signature.set(signature);
    }

    fn device(&self) -> u32 {
        let tables = self.tables.as_ref().expect("a packet that is decided");
        u32::from(tables.image.devices.class_of(&self.signature.get().words))
    }

    fn client_traits(&self, asks: &TraitsRow, key: &ClientKey, device: u32) -> u32 {
        let known = self.clients.borrow().get(key).copied().unwrap_or_default();
        known
            .traits(asks, key, device as u8, (self.jiffies(), HZ))
            .0
            .into()
    }

    fn learn(&self, asks: &TraitsRow, key: &ClientKey, traits: Traits) {
        let mut clients = self.clients.borrow_mut();
        let known = clients.entry(*key).or_default();
        *known = known.after(asks, key, traits, (self.jiffies(), HZ));
    }

    fn route(&self, _network: &Network, _source: Address, destination: Address) -> Route {
        let inside = LAB_PREFIXES.iter().any(|(prefix, v4, v6)| {
            let prefix = Address::from(prefix.parse::<IpAddr>().expect("an address"));
            prefix.family() == destination.family() && destination.prefix(*v4, *v6) == prefix
        });
        let (source, destination) = CLIENT_MACS;
        if !inside {
            return Route::NotForwarded;
        }
        Route::Hop(Hop {
            destination: Hop::mac_word(destination),
            source: Hop::mac_word(source),
            ifindex: OTHER,
            mtu: CLIENT_MTU,
        })
    }
}

/// The place of a service's own limit among those of its clients.
fn of_all(service: u32) -> ClientKey {
    ClientKey {
        client: Address::default(),
        service: u64::from(service),
    }
}

impl Host {
    /// What the data plane does to rows of rechecks.
    fn recheck_after(&mut self, before: Option<&Tables>, image: &Image) {
        for (number, service) in &image.services {
            let old = before.and_then(|before| before.image.services.get(number));
            let Some(old) = old else {
                self.rechecks.remove(number);
                continue;
            };
            let generation = service.row.generation;
            if old.row.generation == generation {
                continue;
            }
            let mut row = self.recheck(*number);
            if (&old.deny, &old.allow) != (&service.deny, &service.allow) {
                row = row.with_denied(generation);
            }
            if let Some(after_s) = service.ends_after_s {
                let at = self.jiffies + u64::from(after_s) * HZ;
                row = row.with_ending(generation, at, self.jiffies).0;
            }
            self.rechecks.insert(*number, row);
        }
    }
}
