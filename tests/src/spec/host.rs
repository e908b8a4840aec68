//! Owns the host's executor: `splitter_common::engine` over memory, with a clock that obeys.

use std::{
    cell::{Cell as StdCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use anyhow::Result;
use splitter_common::{
    address::Address,
    capacity::{DIRECTORY_BUCKETS, FILTER_WORDS, PAGE_CELLS},
    clock::Jiffies,
    engine::{self, Env, Fault},
    flow::{Cell, Hop, Table},
    hash::HashKey,
    layout::{
        BackendCounters, BackendRow, Bucket, Control, Counter, DirectoryRow, FlowEntry, FlowKey,
        FrontendRow, ServiceRow, Word,
    },
    maglev,
    packet::{Network, Packet},
    reason::{Reason, Verdict},
};
use splitter_user::plan::{Image, directory::DirectoryImage};

use super::run::{CLIENT_HOP, Executor, LAB_PREFIXES, OTHER_IFINDEX_HOST};

const INGRESS: u32 = 1;
const HZ: u64 = 250;

/// A flow element whose words change under those who hold it.
#[derive(Clone)]
pub struct Element(Rc<StdCell<[u64; 8]>>);

impl Cell for Element {
    fn word(&self, index: usize) -> u64 {
        self.0.get()[index]
    }

    fn set_word(&self, index: usize, word: u64) {
        let mut words = self.0.get();
        words[index] = word;
        self.0.set(words);
    }
}

struct Bytes(Vec<u8>);

impl Packet for Bytes {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let bytes = self.0.get(offset..offset + 2 * N)?;
        let mut halfwords = [0; N];
        for (to, from) in halfwords.iter_mut().zip(bytes.chunks_exact(2)) {
            *to = u16::from_ne_bytes([from[0], from[1]]);
        }
        Some(halfwords)
    }

    fn write<const N: usize>(&mut self, offset: usize, halfwords: [u16; N]) -> Option<()> {
        let bytes = self.0.get_mut(offset..offset + 2 * N)?;
        for (to, from) in bytes.chunks_exact_mut(2).zip(halfwords) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        Some(())
    }
}

/// The tables of one commit, in memory.
struct Tables {
    image: Image,
    directory: DirectoryImage,
    rows: HashMap<u32, ServiceRow>,
    pages: Vec<[u16; PAGE_CELLS]>,
}

/// The host's executor.
#[derive(Default)]
pub struct Host {
    tables: Option<Tables>,
    flows: RefCell<HashMap<(bool, FlowKey), Element>>,
    counters: RefCell<HashMap<u32, BackendCounters>>,
    hops: HashMap<u32, Hop>,
    retired: HashMap<u32, BackendRow>,
    jiffies: u64,
}

impl Tables {
    fn new(image: &Image, seed: HashKey) -> Result<Self> {
        let directory = DirectoryImage::build(&image.endpoints, seed)?;
        let mut pages = Vec::new();
        let mut rows = HashMap::new();
        for (number, service) in &image.services {
            let mut row = service.row;
            for ((version, family), cells) in &service.tables {
                row.versions[*version].tables[*family].page = pages.len() as u32;
                for chunk in cells.chunks(PAGE_CELLS) {
                    let mut page = [0; PAGE_CELLS];
                    page[..chunk.len()].copy_from_slice(chunk);
                    pages.push(page);
                }
                assert_eq!(
                    cells.len().div_ceil(PAGE_CELLS) as u32,
                    maglev::pages_for(cells.len() as u32)
                );
            }
            rows.insert(*number, row);
        }
        Ok(Self {
            image: image.clone(),
            directory,
            rows,
            pages,
        })
    }
}

impl Env for Host {
    type Cell = Element;

    fn ingress_ifindex(&self) -> u32 {
        INGRESS
    }

    fn jiffies(&self) -> Jiffies {
        Jiffies(self.jiffies)
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
            Control::LeaseUntil => u64::MAX,
            Control::RouteEpoch => 1,
            Control::Hz => HZ,
            Control::Jiffies | Control::MonotonicNs => 0,
        }
    }

    fn directory_row(&self, _side: u32) -> Option<DirectoryRow> {
        let multiplier = self.tables.as_ref()?.directory.multiplier;
        Some(DirectoryRow { multiplier })
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

    fn flow(&self, table: Table, key: &FlowKey) -> Option<Element> {
        self.flows
            .borrow()
            .get(&(table == Table::Established, *key))
            .cloned()
    }

    fn insert(&self, table: Table, key: &FlowKey, entry: &FlowEntry) -> bool {
        let element = Element(Rc::new(StdCell::new(entry.words)));
        self.flows
            .borrow_mut()
            .insert((table == Table::Established, *key), element);
        true
    }

    fn remove(&self, table: Table, key: &FlowKey) {
        self.flows
            .borrow_mut()
            .remove(&(table == Table::Established, *key));
    }

    fn count(&self, backend: u32, counter: Counter) {
        self.counters.borrow_mut().entry(backend).or_default().cells[counter as usize] += 1;
    }

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

    fn route(&self, _network: &Network, _source: Address, destination: Address) -> Option<Hop> {
        let inside = LAB_PREFIXES.iter().any(|(prefix, v4, v6)| {
            let prefix = Address::from(prefix.parse::<std::net::IpAddr>().expect("an address"));
            prefix.family() == destination.family() && destination.prefix(*v4, *v6) == prefix
        });
        let (destination, source) = CLIENT_HOP;
        inside.then(|| Hop {
            destination: Hop::mac_word(destination),
            source: Hop::mac_word(source),
            ifindex: OTHER_IFINDEX_HOST,
        })
    }

    fn diagnose(&self, fault: Fault, number: u32) {
        panic!("{fault:?} {number}");
    }
}

impl Executor for Host {
    fn ingress_ifindex(&self) -> u32 {
        INGRESS
    }

    fn other_ifindex(&self) -> u32 {
        OTHER_IFINDEX_HOST
    }

    fn begin(&mut self, _committed: bool) -> Result<u32> {
        *self = Self {
            jiffies: 1 << 40,
            ..Self::default()
        };
        Ok(0)
    }

    fn commit(&mut self, image: &Image, seed: HashKey) -> Result<()> {
        if let Some(before) = self.tables.take() {
            for (number, row) in before.image.backends {
                if !image.backends.contains_key(&number) {
                    let born = image.generation;
                    self.retired.insert(
                        number,
                        BackendRow {
                            born,
                            retired: 1,
                            ..row
                        },
                    );
                }
            }
        }
        self.tables = Some(Tables::new(image, seed)?);
        Ok(())
    }

    fn set_hop(&mut self, backend: u32, hop: Option<Hop>) {
        match hop {
            Some(hop) => self.hops.insert(backend, hop),
            None => self.hops.remove(&backend),
        };
    }

    fn packet(&mut self, frame: &[u8]) -> Result<(Verdict, Reason, Vec<u8>)> {
        let mut packet = Bytes(frame.to_vec());
        let outcome = engine::process(&mut packet, self);
        Ok((outcome.verdict, outcome.reason, packet.0))
    }

    fn age(&mut self, seconds: u32) -> Result<()> {
        self.jiffies += u64::from(seconds) * HZ;
        Ok(())
    }

    fn counters(&self, backend: u32) -> BackendCounters {
        self.counters
            .borrow()
            .get(&backend)
            .copied()
            .unwrap_or_default()
    }
}
