//! Owns the maps by name and type.

mod counted;
mod flows;
mod take;

use std::sync::Arc;

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuHashMap, ProgramArray},
};
use splitter_common::{
    device::DeviceRules,
    flow::recheck::RecheckRow,
    layout::{
        BackendCounters, BackendRow, BackendTimes, Bucket, ClientKey, Control, ControlRow,
        EvidenceRow, FlowEntry, FlowKey, FragmentKey, FragmentRow, FrontendRow, LedgerRow, LossKey,
        LossPlaces, NextHop, Page, ServiceRow, VersionTimes, Word,
    },
    prefix::{PrefixKey, PrefixRow},
    trace::TraceRow,
    traits::ClientRow,
};

use self::take::{counted, flows, typed, words_of};
pub(in crate::dataplane) use self::take::{mapped, table};
use super::{
    DataPlaneError, mapped::Mapped, members::MemberTable, pending::PendingTable, pod::Raw,
    totals::Totals, traces::TraceRing, typed::Typed, walk::FlowTable,
};

/// What the prefixes of all lists are found by.
pub(in crate::dataplane) type PrefixTable = Typed<PrefixKey, PrefixRow>;
/// Clients that are remembered for their traits.
pub(in crate::dataplane) type Clients = HashMap<MapData, Raw<ClientKey>, Raw<ClientRow>>;
type Flows = HashMap<MapData, Raw<FlowKey>, Raw<FlowEntry>>;

/// Every map of the object but the log's.
pub struct Maps {
    /// See [`Control`].
    pub control: Mapped<u64>,
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
    pub(in crate::dataplane) ledgers: Mapped<LedgerRow>,
    /// See `layout::evidence_row`.
    pub(in crate::dataplane) evidence: Mapped<EvidenceRow>,
    /// Bits by ledger, scope and event.
    pub(in crate::dataplane) counted_once: Mapped<u64>,
    pub(in crate::dataplane) prefixes: Arc<PrefixTable>,
    pub(in crate::dataplane) members: MemberTable,
    /// Two sets of rules by which devices are known, one of them in force.
    pub(in crate::dataplane) device_rules: Mapped<DeviceRules>,
    pub(in crate::dataplane) clients: Clients,
    /// What open flows are looked at for, by service number.
    pub rechecks: Mapped<RecheckRow>,
    /// The programs aside, for frames in one buffer.
    pub(in crate::dataplane) aside: ProgramArray<MapData>,
    /// For frames in several.
    pub(in crate::dataplane) aside_frags: ProgramArray<MapData>,
    fragments: HashMap<MapData, Raw<FragmentKey>, Raw<FragmentRow>>,
    pending: Arc<PendingTable>,
    established: Flows,
    pending_table: FlowTable,
    established_table: FlowTable,
    counters: PerCpuArray<MapData, Raw<BackendCounters>>,
    reasons: PerCpuArray<MapData, u64>,
    table_events: PerCpuArray<MapData, u64>,
    emptied: PerCpuArray<MapData, u64>,
    totals: Arc<Totals>,
    losses: PerCpuHashMap<MapData, Raw<LossKey>, u64>,
    pub(in crate::dataplane) loss_places: Array<MapData, Raw<LossPlaces>>,
    assigned: PerCpuArray<MapData, u64>,
    pub(in crate::dataplane) trace_rows: Mapped<TraceRow>,
    /// Until it is taken.
    pub(in crate::dataplane) trace_ring: Option<TraceRing>,
}

/// Those that are pinned, by their names in the object. Neither the log is, nor what traces ask and are
/// told.
pub(in crate::dataplane) const NAMES: [&str; 38] = [
    "CONTROL",
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
    "LEDGER_ROWS",
    "EVIDENCE",
    "COUNTED_ONCE",
    "PREFIXES",
    "MEMBERS",
    "MEMBERS_BESIDE",
    "FRAGMENTS",
    "ASIDE",
    "ASIDE_FRAGS",
    "PARSED",
    "ENTRY",
    "LEFT",
    "RECHECKS",
    "SERVICE_LIMITS",
    "CLIENT_LIMITS",
    "CLIENTS",
    "DEVICE_RULES",
    "TABLE_EVENTS",
    "EMPTIED",
    "ASSIGNED",
    "PENDING_PLACES",
    "PENDING_SETS",
    "ESTABLISHED",
    "COUNTERS",
    "REASONS",
    "LOSSES",
    "LOSS_PLACES",
];

impl Maps {
    /// Takes the maps out of the loaded object.
    pub(in crate::dataplane) fn take(ebpf: &mut Ebpf) -> Result<Self, DataPlaneError> {
        let control = words_of::<ControlRow>(ebpf, "CONTROL")?;
        let pending = Arc::new(PendingTable::take(ebpf, &control)?);
        let (established, established_table) = flows(ebpf, "ESTABLISHED")?;
        let (counters, counters_sums) = counted(ebpf, "COUNTERS")?;
        let (reasons, reasons_sums) = counted(ebpf, "REASONS")?;
        let (table_events, table_events_sums) = counted(ebpf, "TABLE_EVENTS")?;
        let (emptied, emptied_sums) = counted(ebpf, "EMPTIED")?;
        let (prefixes, _) = table(ebpf, "PREFIXES")?;
        let version_times = Arc::new(mapped(ebpf, "VERSION_TIMES")?);
        Ok(Self {
            members: MemberTable::take(ebpf, &control)?,
            control,
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
            ledgers: mapped(ebpf, "LEDGER_ROWS")?,
            evidence: mapped(ebpf, "EVIDENCE")?,
            counted_once: mapped(ebpf, "COUNTED_ONCE")?,
            rechecks: mapped(ebpf, "RECHECKS")?,
            aside: typed(ebpf, "ASIDE")?,
            aside_frags: typed(ebpf, "ASIDE_FRAGS")?,
            prefixes: Arc::new(prefixes),
            device_rules: mapped(ebpf, "DEVICE_RULES")?,
            clients: typed(ebpf, "CLIENTS")?,
            fragments: typed(ebpf, "FRAGMENTS")?,
            pending_table: FlowTable::of_pending(&pending),
            pending,
            established,
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
            trace_rows: mapped(ebpf, "TRACE_ROWS")?,
            trace_ring: Some(TraceRing::new(typed(ebpf, "TRACED")?)),
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
}

fn named_error(map: &'static str, error: &MapError) -> DataPlaneError {
    DataPlaneError::Map {
        map,
        why: error.to_string(),
    }
}
