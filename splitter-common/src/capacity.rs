//! Owns every capacity of the data plane, with its unit and its memory cost; nothing else in the
//! project states a size. [`shares`] says what each takes.
//!
//! Those of [`Sizes`] are what a host has unless its configuration says otherwise: the program asks
//! the maps for what they hold, and knows no size of theirs. The others are part of how the program
//! finds a place, and fixed.

use crate::flow::recheck::RecheckRow;
use crate::layout::{
    BackendCounters, BackendRow, BackendTimes, Bucket, ClientKey, ControlRow, EVIDENCE_ROWS,
    EvidenceRow, FlowEntry, FlowKey, FragmentKey, FragmentRow, FrontendRow, LedgerRow, NextHop,
    Page, PendingFlow, PendingSet, ServiceRow, VersionTimes, once_words,
};
use crate::members::MemberLine;
use crate::segment::PLACES;
use crate::traits::ClientRow;

/// Services on one host. Two rows each.
pub const MAX_SERVICES: u32 = 1_024;
/// Versions of one service, the baseline among them.
pub const MAX_VERSIONS: usize = 8;
/// VIPs (address + port + protocol) on one host.
pub const MAX_FRONTENDS: u32 = 4_096;
/// Backends on one host, counted once per service, version, address and port.
/// A table cell is a `u16`, so this can never exceed 65,535; number 0 is never given out.
pub const MAX_BACKENDS: u32 = 24_576;
/// Buckets of one side of the directory; a power of two.
pub const DIRECTORY_BUCKETS: u32 = 65_536;
/// Endpoints that fit one bucket; a power of two.
pub const BUCKET_ENTRIES: usize = 4;
/// Endpoints of one side of the directory: VIPs, their addresses, and for each VIP the backends of
/// its family. With so many about one multiplier in fourteen overflows no bucket.
pub const MAX_ENDPOINTS: u32 = 24_576;
/// 64-bit words of one side of the address filter; a power of two.
pub const FILTER_WORDS: u32 = 16_384;
/// Cells (`u16`) of one table page.
pub const PAGE_CELLS: usize = 2_048;
/// Table pages on one host; a Maglev table takes a run of 1, 2, 8 or 32.
pub const TABLE_PAGES: u32 = 7_168;
/// Datagrams whose fragments are followed at once, entries.
pub const FRAGMENTED_DATAGRAMS: u32 = 16_384;
/// Prefixes of all lists on one host, those of a commit beside those in force.
pub const MAX_PREFIXES: u32 = 131_072;
/// Default number of services whose clients are judged at once: each has a ledger of evidence.
pub const LEDGERS: u32 = 8;
/// Default number of clients that a ledger tells apart, who take two bytes each; a power of two.
pub const JUDGED_CLIENTS: u32 = 1_048_576;
/// Segments of one service. One more is a power of two: the place of who is in none.
pub const MAX_SEGMENTS: usize = 15;
/// Conditions that the segments of one service ask about; bits of a word.
pub const MAX_CONDITIONS: usize = 32;
/// Cohorts that one address is in at once.
pub const COHORTS_OF_MEMBER: usize = 4;
/// Cohorts that the segments of one service ask about.
pub const COHORTS_ASKED: usize = 8;
/// Device classes of a host, that of unknown devices among them; a power of two.
pub const DEVICE_CLASSES: usize = 16;
/// Rules by which a host knows device classes.
pub const DEVICE_RULES: usize = 32;
/// Different sets of device classes and activities that the segments of one service ask about.
pub const TRAITS_ASKED: usize = 8;
/// Default size of the table of clients whose traits are remembered, entries; those who were not seen for
/// longest go first.
pub const KNOWN_CLIENTS: u32 = 65_536;
/// Cohorts of a host.
pub const MAX_COHORTS: usize = 1_024;
/// Bytes of the reference that a member carries.
pub const COHORT_REFERENCE_BYTES: usize = 256;
/// Bytes of one import of members.
pub const COHORT_IMPORT_BYTES: usize = 256 << 20;
/// Default number of addresses in cohorts.
pub const COHORT_MEMBERS: u32 = 81_920;
/// Terms of the segments of one service, all together.
pub const MAX_TERMS: usize = 32;
/// Default size of the table of established flows, entries.
pub const ESTABLISHED_FLOWS: u32 = 536_576;
/// Default size of the table of pending flows, entries.
pub const PENDING_FLOWS: u32 = 262_144;
/// Places of a set of pending flows, of which there is one for every so many flows that there is room for.
pub const PENDING_WAYS: u32 = 8;
/// Words of the control map, see [`crate::layout::Control`].
pub const CONTROL_WORDS: u32 = 24;
/// Traces that run at once; at most 8.
pub const TRACES: u32 = 4;
/// Bytes of the ring that traced packets are told in; a power of two, and of pages.
pub const TRACE_RING_BYTES: u32 = 262_144;
/// Default size of the table of clients whose new flows are limited, entries; those who were not seen
/// for longest go first.
pub const LIMITED_CLIENTS: u32 = 32_768;
/// Interfaces and kinds of losses after the verdict, entries; more interfaces are counted as number 0.
pub const LOSS_ROWS: u32 = 1_024;
/// Counters of the flow tables, see [`crate::layout::TableEvent`].
pub const TABLE_EVENT_CELLS: u32 = 4;
/// Seconds of versions that history keeps on disk, rows of 100 to 500 bytes; those of an hour where
/// they are fewer.
pub const HISTORY_SECOND_ROWS: u64 = 1_000_000;
/// Minutes of versions that history keeps on disk, rows of 100 to 500 bytes; those of a week where they
/// are fewer.
pub const HISTORY_MINUTE_ROWS: u64 = 1_000_000;
/// Gaps of versions that history keeps on disk, rows, and times that samples were begun.
pub const HISTORY_GAP_ROWS: u64 = 20_000;
/// Counters by reason and verdict, see [`crate::reason`].
pub const REASON_CELLS: u32 = 256;

/// What a hash-map element costs beside its key and value: `struct htab_elem` with its LRU node
/// (kernel/bpf/hashtab.c) and its bucket, of which there is at least one per element.
const LRU_OVERHEAD_BYTES: u64 = 48 + 16;

/// Rows of the table of prefixes for each prefix that there is room for: itself, and a marker, of which lists
/// of countries have two for three prefixes, lists of addresses none, and short lists two for each.
pub const PREFIX_ROWS: u32 = 2;
/// What a prefix costs: `struct htab_elem` with key and value behind a link of the allocator's
/// (kernel/bpf/hashtab.c and memalloc.c; 8 + 48 + 24 + 16 bytes), and two markers for three prefixes.
const PREFIX_BYTES: u64 = 96 * 5 / 3;

/// Lines of the table of members that an address may stand in: its home and those behind it.
pub const MEMBER_WINDOW: u32 = 8;
/// What an address costs that finds no line: 8 + 48 + 16 + 64 bytes, as with prefixes, for which `kmalloc` gives 192.
const BESIDE_BYTES: u64 = 192;
/// What a bucket of a hash table costs that has one for every row, rounded up to a power of two.
const BUCKET_BYTES: u64 = 16;

/// Sets of a table of pending flows. Of a size that is no multiple of theirs the rest is not used.
pub const fn pending_sets(pending: u32) -> u32 {
    pending / PENDING_WAYS
}

/// Lines of the table of members that are the home of some address, three for every two addresses that there is
/// room for: of as many some 22 in a thousand find no line in their windows, and some 51 where all have changed often.
pub const fn member_homes(members: u32) -> u32 {
    members + members.div_ceil(2)
}

/// All lines: behind the last home there are those of its window.
pub const fn member_lines(members: u32) -> u32 {
    member_homes(members) + MEMBER_WINDOW - 1
}

/// The addresses that so many lines have room for, see [`member_lines`].
pub const fn members_of_lines(lines: u32) -> u32 {
    let homes = lines.saturating_sub(MEMBER_WINDOW - 1) as u64;
    (homes * 2 / 3) as u32
}

/// Rows of the table beside these lines, for addresses that find none: more than twice as many as there are.
pub const fn members_beside(members: u32) -> u32 {
    members / 8 + 64
}

/// What one kind of tables takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// What stands there.
    pub what: &'static str,
    /// How many fit.
    pub entries: u64,
    /// Kernel memory, in bytes.
    pub bytes: u64,
}

const fn share(what: &'static str, entries: u64, bytes_each: u64) -> Share {
    Share {
        what,
        entries,
        bytes: entries * bytes_each,
    }
}

/// Sizes of the tables that a configuration can set, in entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Established flows.
    pub established: u32,
    /// Pending flows.
    pub pending: u32,
    /// Datagrams whose fragments are followed.
    pub fragments: u32,
    /// Services.
    pub services: u32,
    /// VIPs.
    pub frontends: u32,
    /// Backend numbers, 0 among them.
    pub backends: u32,
    /// Table pages.
    pub pages: u32,
    /// Clients whose limits are remembered.
    pub limited_clients: u32,
    /// Clients whose traits are remembered.
    pub known_clients: u32,
    /// Prefixes.
    pub prefixes: u32,
    /// Addresses in cohorts.
    pub members: u32,
    /// Services that are judged.
    pub ledgers: u32,
    /// Bits of each array of counted clients; a power of two.
    pub judged_clients: u32,
}

/// Kernel memory of all maps on a host with `cpus` possible CPUs. Prefixes take theirs only when they are
/// listed: `prefixes` are.
pub const fn shares(sizes: &Sizes, prefixes: u32, cpus: u32) -> [Share; 16] {
    let flow = (size_of::<FlowKey>() + size_of::<FlowEntry>()) as u64 + LRU_OVERHEAD_BYTES;
    let fragment =
        (size_of::<FragmentKey>() + size_of::<FragmentRow>()) as u64 + LRU_OVERHEAD_BYTES;
    let backend = size_of::<BackendRow>() as u64 + size_of::<NextHop>() as u64;
    let counters = cpus as u64 * size_of::<BackendCounters>() as u64;
    // By version, and by segment and version.
    let flows = cpus as u64 * MAX_VERSIONS as u64 * 8 * (1 + PLACES as u64);
    let service = (2 * size_of::<ServiceRow>() + size_of::<RecheckRow>() + 2 * 8) as u64 + flows;
    let versions = sizes.services as u64 * MAX_VERSIONS as u64;
    let limited = size_of::<ClientKey>() as u64 + 8 + LRU_OVERHEAD_BYTES;
    let known = (size_of::<ClientKey>() + size_of::<ClientRow>()) as u64 + LRU_OVERHEAD_BYTES;
    let ledger = size_of::<LedgerRow>() as u64
        + EVIDENCE_ROWS as u64 * size_of::<EvidenceRow>() as u64
        + once_words(sizes.judged_clients) as u64 * 8;
    let filter = 2 * FILTER_WORDS as u64 * 8;
    [
        share("established flows", sizes.established as u64, flow),
        Share {
            what: "pending flows",
            entries: sizes.pending as u64,
            bytes: sizes.pending as u64 * size_of::<PendingFlow>() as u64
                + pending_sets(sizes.pending) as u64 * size_of::<PendingSet>() as u64,
        },
        share("fragmented datagrams", sizes.fragments as u64, fragment),
        share(
            "directory buckets",
            2 * DIRECTORY_BUCKETS as u64,
            size_of::<Bucket>() as u64,
        ),
        Share {
            what: "address filter, bits",
            entries: 2 * 64 * FILTER_WORDS as u64,
            bytes: filter,
        },
        share("services", sizes.services as u64, service),
        share(
            "VIPs",
            sizes.frontends as u64,
            size_of::<FrontendRow>() as u64,
        ),
        share("backends", sizes.backends as u64, backend),
        share("table pages", sizes.pages as u64, size_of::<Page>() as u64),
        Share {
            what: "times of backends and versions",
            entries: sizes.backends as u64 + versions,
            bytes: sizes.backends as u64 * size_of::<BackendTimes>() as u64
                + versions * size_of::<VersionTimes>() as u64,
        },
        share("clients with limits", sizes.limited_clients as u64, limited),
        share("clients with traits", sizes.known_clients as u64, known),
        share("evidence of judged services", sizes.ledgers as u64, ledger),
        Share {
            what: "listed prefixes",
            entries: prefixes as u64,
            bytes: prefixes as u64 * PREFIX_BYTES
                + (PREFIX_ROWS * sizes.prefixes).next_power_of_two() as u64 * BUCKET_BYTES,
        },
        Share {
            what: "addresses in cohorts",
            entries: sizes.members as u64,
            bytes: member_lines(sizes.members) as u64 * size_of::<MemberLine>() as u64
                + members_beside(sizes.members) as u64 * BESIDE_BYTES
                + members_beside(sizes.members).next_power_of_two() as u64 * BUCKET_BYTES,
        },
        Share {
            what: "counters of backends and reasons",
            entries: sizes.backends as u64 + REASON_CELLS as u64,
            bytes: sizes.backends as u64 * counters
                + cpus as u64 * REASON_CELLS as u64 * 8
                + size_of::<ControlRow>() as u64,
        },
    ]
}

const _: () = assert!(MAX_BACKENDS <= u16::MAX as u32 + 1);
const _: () = assert!(DIRECTORY_BUCKETS.is_power_of_two() && FILTER_WORDS.is_power_of_two());
const _: () = assert!(PAGE_CELLS.is_power_of_two() && BUCKET_ENTRIES.is_power_of_two());

#[cfg(test)]
#[path = "capacity_tests.rs"]
mod tests;
