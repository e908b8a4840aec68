//! Owns the maps by name and type.

use std::sync::Arc;

use aya::{
    Ebpf,
    maps::{
        Array, HashMap, Map, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues, ProgramArray,
        lpm_trie::LpmTrie,
    },
    util::nr_cpus,
};
use splitter_common::{
    capacity::MAX_VERSIONS,
    flow::{Table, recheck::RecheckRow},
    layout::{
        BackendCounters, BackendRow, BackendTimes, Bucket, Control, DirectoryRow, FlowEntry,
        FlowKey, FragmentKey, FragmentRow, FrontendRow, Loss, LossKey, LossPlaces, NextHop, Page,
        PrefixKey, ServiceRow, TableEvent, VersionTimes, Word,
    },
    reason::{self, Reason, Verdict},
    segment::PLACES,
};

use super::{
    DataPlaneError,
    mapped::Mapped,
    pod::Raw,
    totals::{Sums, Totals},
    walk::FlowTable,
};

/// Prefixes of all lists; a value is what its list says of the prefix, never 0 but where one lies in
/// another that does not mean it.
pub(super) type Prefixes = LpmTrie<MapData, Raw<PrefixKey>, u32>;
type Flows = HashMap<MapData, Raw<FlowKey>, Raw<FlowEntry>>;

/// Every map of the object but the log's.
pub struct Maps {
    /// See [`Control`].
    pub control: Mapped<u64>,
    /// Both sides.
    pub directory: Mapped<DirectoryRow>,
    /// Both sides.
    pub filter: Mapped<u64>,
    /// Both sides.
    pub buckets: Mapped<Bucket>,
    /// By frontend number.
    pub frontends: Mapped<FrontendRow>,
    /// By backend number.
    pub backends: Mapped<BackendRow>,
    /// By service number.
    pub service_words: Mapped<u64>,
    /// `2 * service + side`.
    pub services: Mapped<ServiceRow>,
    /// Table pages.
    pub pages: Mapped<Page>,
    /// By backend number.
    pub next_hops: Mapped<NextHop>,
    /// By backend number.
    pub backend_times: Mapped<BackendTimes>,
    /// `MAX_VERSIONS * service + version`.
    pub version_times: Arc<Mapped<VersionTimes>>,
    pub(super) prefixes: Prefixes,
    /// What open flows are looked at for, by service number.
    pub rechecks: Mapped<RecheckRow>,
    /// The programs aside, for frames in one buffer.
    pub(super) aside: ProgramArray<MapData>,
    /// For frames in several.
    pub(super) aside_frags: ProgramArray<MapData>,
    fragments: HashMap<MapData, Raw<FragmentKey>, Raw<FragmentRow>>,
    pending: Flows,
    established: Flows,
    pending_table: FlowTable,
    established_table: FlowTable,
    counters: PerCpuArray<MapData, Raw<BackendCounters>>,
    reasons: PerCpuArray<MapData, u64>,
    table_events: PerCpuArray<MapData, u64>,
    emptied: PerCpuArray<MapData, u64>,
    totals: Arc<Totals>,
    losses: PerCpuHashMap<MapData, Raw<LossKey>, u64>,
    pub(super) loss_places: Array<MapData, Raw<LossPlaces>>,
    assigned: PerCpuArray<MapData, u64>,
}

/// The names, as the object has them.
pub(super) const NAMES: [&str; 31] = [
    "CONTROL",
    "DIRECTORY",
    "FILTER",
    "BUCKETS",
    "FRONTENDS",
    "BACKENDS",
    "SERVICE_WORDS",
    "SERVICES",
    "PAGES",
    "NEXT_HOPS",
    "BACKEND_TIMES",
    "VERSION_TIMES",
    "PREFIXES",
    "FRAGMENTS",
    "ASIDE",
    "ASIDE_FRAGS",
    "PARSED",
    "ENTRY",
    "LEFT",
    "RECHECKS",
    "SERVICE_LIMITS",
    "CLIENT_LIMITS",
    "TABLE_EVENTS",
    "EMPTIED",
    "ASSIGNED",
    "PENDING",
    "ESTABLISHED",
    "COUNTERS",
    "REASONS",
    "LOSSES",
    "LOSS_PLACES",
];

impl Maps {
    /// Takes the maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, DataPlaneError> {
        let (pending, pending_table) = flows(ebpf, "PENDING")?;
        let (established, established_table) = flows(ebpf, "ESTABLISHED")?;
        let (counters, counters_sums) = counted(ebpf, "COUNTERS")?;
        let (reasons, reasons_sums) = counted(ebpf, "REASONS")?;
        let (table_events, table_events_sums) = counted(ebpf, "TABLE_EVENTS")?;
        let (emptied, emptied_sums) = counted(ebpf, "EMPTIED")?;
        let version_times = Arc::new(mapped(ebpf, "VERSION_TIMES")?);
        Ok(Self {
            control: mapped(ebpf, "CONTROL")?,
            directory: mapped(ebpf, "DIRECTORY")?,
            filter: mapped(ebpf, "FILTER")?,
            buckets: mapped(ebpf, "BUCKETS")?,
            frontends: mapped(ebpf, "FRONTENDS")?,
            backends: mapped(ebpf, "BACKENDS")?,
            service_words: mapped(ebpf, "SERVICE_WORDS")?,
            services: mapped(ebpf, "SERVICES")?,
            pages: mapped(ebpf, "PAGES")?,
            next_hops: mapped(ebpf, "NEXT_HOPS")?,
            backend_times: mapped(ebpf, "BACKEND_TIMES")?,
            version_times: Arc::clone(&version_times),
            rechecks: mapped(ebpf, "RECHECKS")?,
            aside: typed(ebpf, "ASIDE")?,
            aside_frags: typed(ebpf, "ASIDE_FRAGS")?,
            prefixes: typed(ebpf, "PREFIXES")?,
            fragments: typed(ebpf, "FRAGMENTS")?,
            pending,
            established,
            pending_table,
            established_table,
            counters,
            reasons,
            table_events,
            emptied,
            totals: Arc::new(Totals {
                counters: counters_sums,
                reasons: reasons_sums,
                table_events: table_events_sums,
                emptied: emptied_sums,
                version_times,
            }),
            losses: typed(ebpf, "LOSSES")?,
            loss_places: typed(ebpf, "LOSS_PLACES")?,
            assigned: typed(ebpf, "ASSIGNED")?,
        })
    }

    /// The generation in force.
    pub fn generation(&self) -> u32 {
        Word::unpack(self.control.load_word(Control::Directory as u32)).generation
    }

    /// The word of a service.
    pub fn service_word(&self, service: u32) -> Word {
        Word::unpack(self.service_words.load_word(service))
    }

    /// The row of a service that is in force.
    pub fn service_in_force(&self, service: u32) -> ServiceRow {
        self.services
            .read(2 * service + self.service_word(service).side)
    }

    /// A live flow.
    pub fn flow(&self, table: Table, key: &FlowKey) -> Option<FlowEntry> {
        self.flows(table)
            .get(&Raw(*key), 0)
            .ok()
            .map(|entry| entry.0)
    }

    /// A flow table, for walks beside everything else.
    pub fn flow_table(&self, table: Table) -> &FlowTable {
        match table {
            Table::Pending => &self.pending_table,
            Table::Established => &self.established_table,
        }
    }

    /// All keys of a flow table; an estimate while traffic runs.
    pub fn flow_keys(&self, table: Table) -> Vec<FlowKey> {
        self.flows(table)
            .keys()
            .filter_map(|key| key.ok().map(|key| key.0))
            .collect()
    }

    /// Enters or replaces a flow; for tests.
    pub fn put_flow(
        &mut self,
        table: Table,
        key: &FlowKey,
        entry: &FlowEntry,
    ) -> Result<(), DataPlaneError> {
        self.flows_mut(table)
            .insert(Raw(*key), Raw(*entry), 0)
            .map_err(|error| map_error(table, error))
    }

    /// Removes a flow; for tests.
    pub fn remove_flow(&mut self, table: Table, key: &FlowKey) -> Result<(), DataPlaneError> {
        self.flows_mut(table)
            .remove(&Raw(*key))
            .map_err(|error| map_error(table, error))
    }

    /// Where the first fragments of datagrams went; for tests.
    pub fn fragments(&self) -> Vec<(FragmentKey, FragmentRow)> {
        let pairs = self.fragments.iter().filter_map(Result::ok);
        pairs.map(|(key, row)| (key.0, row.0)).collect()
    }

    /// Enters or replaces where a first fragment went; for tests.
    pub fn put_fragment(
        &mut self,
        key: &FragmentKey,
        row: &FragmentRow,
    ) -> Result<(), DataPlaneError> {
        self.fragments
            .insert(Raw(*key), Raw(*row), 0)
            .map_err(|error| named_error("FRAGMENTS", &error))
    }

    /// Forgets where a first fragment went; for tests.
    pub fn remove_fragment(&mut self, key: &FragmentKey) -> Result<(), DataPlaneError> {
        self.fragments
            .remove(&Raw(*key))
            .map_err(|error| named_error("FRAGMENTS", &error))
    }

    /// What a backend number has counted, summed over CPUs.
    pub fn counters(&self, backend: u32) -> BackendCounters {
        let mut sum = BackendCounters::default();
        if let Ok(rows) = self.counters.get(&backend, 0) {
            for row in rows.iter() {
                for (total, cell) in sum.cells.iter_mut().zip(row.0.cells) {
                    *total += cell;
                }
            }
        }
        sum
    }

    /// All that is counted, for whoever reads it without a lock.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.totals)
    }

    /// What has happened to the flow tables, summed over CPUs.
    pub fn table_events(&self, event: TableEvent) -> u64 {
        summed(&self.table_events, event as u32)
    }

    /// New flows of clients whose version had no backend, by service number and version index.
    pub fn emptied(&self, service: u32, version: u8) -> u64 {
        let cell = service * MAX_VERSIONS as u32 + u32::from(version);
        summed(&self.emptied, cell)
    }

    /// Forgets that, for a version that has just got its index.
    pub(super) fn forget_emptied(
        &mut self,
        service: u32,
        version: u8,
    ) -> Result<(), DataPlaneError> {
        let cell = service * MAX_VERSIONS as u32 + u32::from(version);
        forget("EMPTIED", &mut self.emptied, cell)
    }

    /// New flows of clients at a place among the segments and of a version, by service number and
    /// version index.
    pub fn assigned(&self, service: u32, place: u8, version: u8) -> u64 {
        summed(&self.assigned, assigned_cell(service, place, version))
    }

    /// Forgets that, for a segment or a version that has just got its place or index.
    pub(super) fn forget_assigned(
        &mut self,
        service: u32,
        place: u8,
        version: u8,
    ) -> Result<(), DataPlaneError> {
        let cell = assigned_cell(service, place, version);
        forget("ASSIGNED", &mut self.assigned, cell)
    }

    /// Packets by reason and verdict, summed over CPUs; only those above 0.
    pub fn reasons(&self) -> Vec<(Reason, Verdict, u64)> {
        let mut counts = Vec::new();
        for reason in Reason::ALL {
            for verdict in Verdict::ALL {
                let cell = reason::cell(*reason, verdict);
                let packets = summed(&self.reasons, cell);
                if packets > 0 {
                    counts.push((*reason, verdict, packets));
                }
            }
        }
        counts
    }

    /// Frames lost after the verdict, by interface number and kind, summed over CPUs.
    pub fn losses(&self) -> Vec<(u32, Loss, u64)> {
        let mut found = Vec::new();
        for (Raw(key), frames) in self.losses.iter().filter_map(Result::ok) {
            let of_key = Loss::ALL.into_iter().find(|loss| *loss as u32 == key.loss);
            if let Some(loss) = of_key {
                found.push((key.ifindex, loss, frames.iter().sum()));
            }
        }
        found.sort_by_key(|(ifindex, loss, _)| (*ifindex, *loss as u32));
        found
    }

    fn flows(&self, table: Table) -> &Flows {
        match table {
            Table::Pending => &self.pending,
            Table::Established => &self.established,
        }
    }

    fn flows_mut(&mut self, table: Table) -> &mut Flows {
        match table {
            Table::Pending => &mut self.pending,
            Table::Established => &mut self.established,
        }
    }
}

fn summed(cells: &PerCpuArray<MapData, u64>, cell: u32) -> u64 {
    cells.get(&cell, 0).map_or(0, |cpus| cpus.iter().sum())
}

fn assigned_cell(service: u32, place: u8, version: u8) -> u32 {
    let row = service * PLACES as u32 + u32::from(place);
    row * MAX_VERSIONS as u32 + u32::from(version)
}

/// Puts a cell of every CPU back to 0.
fn forget(
    map: &'static str,
    cells: &mut PerCpuArray<MapData, u64>,
    cell: u32,
) -> Result<(), DataPlaneError> {
    let failed = |why: String| DataPlaneError::Map { map, why };
    let cpus = nr_cpus().map_err(|(file, error)| failed(format!("{file}: {error}")))?;
    let zeros = PerCpuValues::try_from(vec![0; cpus]).map_err(|error| failed(error.to_string()))?;
    cells
        .set(cell, zeros, 0)
        .map_err(|error| failed(error.to_string()))
}

fn map_error(table: Table, error: aya::maps::MapError) -> DataPlaneError {
    let map = match table {
        Table::Pending => "PENDING",
        Table::Established => "ESTABLISHED",
    };
    named_error(map, &error)
}

fn named_error(map: &'static str, error: &aya::maps::MapError) -> DataPlaneError {
    DataPlaneError::Map {
        map,
        why: error.to_string(),
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, DataPlaneError> {
    ebpf.take_map(name).ok_or_else(|| DataPlaneError::Map {
        map: name,
        why: "not in the object".to_owned(),
    })
}

fn mapped<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Mapped<T>, DataPlaneError> {
    match take(ebpf, name)? {
        Map::Array(data) => Mapped::new(name, data),
        _ => Err(DataPlaneError::Map {
            map: name,
            why: "not an array".to_owned(),
        }),
    }
}

/// A flow table, by key and for walks.
fn flows(ebpf: &mut Ebpf, name: &'static str) -> Result<(Flows, FlowTable), DataPlaneError> {
    let map = take(ebpf, name)?;
    let Map::LruHashMap(data) = &map else {
        return Err(DataPlaneError::Map {
            map: name,
            why: "not an LRU hash map".to_owned(),
        });
    };
    let table = FlowTable::of(data).map_err(|why| DataPlaneError::Map { map: name, why })?;
    let flows = Flows::try_from(map).map_err(|error| named_error(name, &error))?;
    Ok((flows, table))
}

/// An array that the program counts in, by element and for sweeps.
fn counted<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<(M, Sums), DataPlaneError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = take(ebpf, name)?;
    let Map::PerCpuArray(data) = &map else {
        return Err(DataPlaneError::Map {
            map: name,
            why: "not an array of each CPU".to_owned(),
        });
    };
    let sums = Sums::of(name, data)?;
    let typed = M::try_from(map).map_err(|error| named_error(name, &error))?;
    Ok((typed, sums))
}

fn typed<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, DataPlaneError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    M::try_from(take(ebpf, name)?).map_err(|error| DataPlaneError::Map {
        map: name,
        why: error.to_string(),
    })
}
