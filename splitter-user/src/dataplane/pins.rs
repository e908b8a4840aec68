//! Owns the pins: where they stand, whether those of an earlier process fit this binary, and how
//! they go.
//!
//! Layout: `<pin dir>/v<layout>/map_<NAME>`, `prog_<name>`, `link_<interface>`,
//! `trace_<tracepoint>`.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aya::maps::MapInfo;
use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
};
use splitter_common::{
    address::Address,
    capacity::{
        DIRECTORY_BUCKETS, FILTER_WORDS, LOSS_ROWS, MAX_VERSIONS, PREFIX_ROWS, REASON_CELLS,
        TABLE_EVENT_CELLS, member_lines, members_beside, members_of_lines, pending_sets,
    },
    device::DeviceRules,
    engine::Parsed,
    flow::recheck::RecheckRow,
    layout::{
        BackendCounters, BackendRow, BackendTimes, Bucket, ClientKey, ControlRow, EVIDENCE_ROWS,
        EvidenceRow, FlowEntry, FlowKey, FragmentKey, FragmentRow, FrontendRow, LAYOUT_VERSION,
        LedgerRow, Left, LossKey, LossPlaces, NextHop, PROGRAMS, Page, PendingFlow, PendingSet,
        ServiceRow, VersionTimes, once_clients, once_words,
    },
    members::MemberLine,
    prefix::{PrefixKey, PrefixRow},
    segment::PLACES,
    traits::ClientRow,
};

use super::{DataPlaneError, bpf, lock::lock, maps::NAMES};
use crate::model::Limits;

/// include/uapi/linux/magic.h
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
const BPF_FS: &str = "/sys/fs/bpf";

/// What `splitter detach` took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetachReport {
    /// Interfaces that carried the program.
    pub links: Vec<String>,
    /// Pins removed, links among them.
    pub pins: usize,
}

impl fmt::Display for DetachReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pins == 0 {
            return f.write_str("nothing was attached\n");
        }
        let from = if self.links.is_empty() {
            "no interface"
        } else {
            &self.links.join(", ")
        };
        writeln!(
            f,
            "detached from {from}; {} pins removed, all flows forgotten",
            self.pins
        )
    }
}

/// The directory of this layout.
pub(super) fn layout_dir(root: &Path) -> PathBuf {
    root.join(format!("v{LAYOUT_VERSION}"))
}

/// The pin of a map.
pub(super) fn map_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("map_{name}"))
}

/// The pin of a program.
pub(super) fn program_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("prog_{name}"))
}

/// The pin of the link on an interface. A dot, which the file system keeps for itself, stands as
/// `%2e` (kernel/bpf/inode.c, bpf_lookup).
pub(super) fn link_path(dir: &Path, interface: &str) -> PathBuf {
    let name = interface.replace('%', "%25").replace('.', "%2e");
    dir.join(format!("link_{name}"))
}

/// The pin of the link to a tracepoint.
pub(super) fn trace_path(dir: &Path, tracepoint: &str) -> PathBuf {
    dir.join(format!("trace_{tracepoint}"))
}

/// The interfaces that have a link pin.
pub(super) fn linked(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let escaped = name.strip_prefix("link_")?;
            Some(escaped.replace("%2e", ".").replace("%25", "%"))
        })
        .collect()
}

/// What is the matter with a path.
pub(super) fn fault(path: &Path, what: &str, error: &dyn fmt::Display) -> DataPlaneError {
    DataPlaneError::Pins(format!("{}: {what}: {error}", path.display()))
}

/// Makes the directories, on a BPF file system; mounts the usual one where it is missing.
pub(super) fn prepare(root: &Path) -> Result<(), DataPlaneError> {
    if root.to_string_lossy().contains('.') {
        return Err(DataPlaneError::Pins(format!(
            "{}: a BPF file system takes no names with a dot; take another --pin-dir",
            root.display()
        )));
    }
    if root.starts_with(BPF_FS) && !is_bpf_fs(Path::new(BPF_FS)) {
        log::info!("mounting the BPF file system at {BPF_FS}");
        mount("bpf", BPF_FS, "bpf", MountFlags::empty(), None).map_err(|error| {
            DataPlaneError::Pins(format!(
                "{BPF_FS} is no BPF file system and cannot be made one ({error}); \
                 mount it: mount -t bpf bpf {BPF_FS}"
            ))
        })?;
    }
    let dir = layout_dir(root);
    fs::create_dir_all(&dir).map_err(|error| fault(&dir, "cannot be made", &error))?;
    if !is_bpf_fs(&dir) {
        return Err(DataPlaneError::Pins(format!(
            "{} is not on a BPF file system, so nothing can be pinned there; take a directory \
             below {BPF_FS}, or mount one: mount -t bpf bpf DIR",
            root.display()
        )));
    }
    Ok(())
}

fn is_bpf_fs(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| info.f_type as u64 & 0xffff_ffff == BPF_FS_MAGIC)
}

/// Whether the pins in `dir` are a whole set of this layout. Half a set, left by a crash before
/// anything was attached, is removed.
pub(super) fn adoptable(dir: &Path, limits: &Limits) -> Result<bool, DataPlaneError> {
    let present = NAMES
        .iter()
        .filter(|name| map_path(dir, name).exists())
        .count();
    if present == 0 {
        return Ok(false);
    }
    if present < NAMES.len() {
        if !linked(dir).is_empty() {
            return Err(DataPlaneError::Pins(format!(
                "{} has links but only {present} of {} maps: someone removed pins; take the \
                 rest away with `splitter detach` and start again",
                dir.display(),
                NAMES.len()
            )));
        }
        log::warn!("removing {present} map pins that an interrupted start left behind");
        remove_all(dir).map_err(|error| fault(dir, "cannot be cleared", &error))?;
        fs::create_dir_all(dir).map_err(|error| fault(dir, "cannot be made", &error))?;
        return Ok(false);
    }
    let found = NAMES
        .into_iter()
        .map(|name| info(dir, name).map(|info| (name, info)))
        .collect::<Result<HashMap<_, _>, _>>()?;
    if let Some(difference) = limits.difference(in_force(&found)) {
        return Err(DataPlaneError::Pins(format!(
            "{}: the tables keep their sizes, and [limits] asks for others: {difference}; take \
             [limits] back, or start anew with `splitter detach` (flows are then decided anew)",
            dir.display()
        )));
    }
    for (name, info) in found {
        let found = (info.key_size(), info.value_size(), info.max_entries());
        let wanted = shape(name, limits);
        if found != wanted {
            return Err(DataPlaneError::Pins(format!(
                "{}: has (key bytes, value bytes, entries) {found:?}, this binary wants {wanted:?}; \
                 start anew with `splitter detach` (flows are then decided anew)",
                map_path(dir, name).display()
            )));
        }
    }
    Ok(true)
}

fn info(dir: &Path, name: &str) -> Result<MapInfo, DataPlaneError> {
    let path = map_path(dir, name);
    MapInfo::from_pin(&path).map_err(|error| fault(&path, "cannot be read", &error))
}

/// The limits that tables were made with.
fn in_force(found: &HashMap<&str, MapInfo>) -> Limits {
    let of = |name| found.get(name).map_or(0, MapInfo::max_entries);
    Limits {
        flows: of("ESTABLISHED"),
        pending: of("PENDING_PLACES"),
        fragments: of("FRAGMENTS"),
        services: of("SERVICE_WORDS"),
        vips: of("FRONTENDS"),
        backends: of("BACKENDS").saturating_sub(1),
        table_pages: of("PAGES"),
        prefixes: of("PREFIXES") / PREFIX_ROWS,
        cohort_members: members_of_lines(of("MEMBERS")),
        limited_clients: of("CLIENT_LIMITS"),
        known_clients: of("CLIENTS"),
        judged_services: of("LEDGER_ROWS"),
        judged_clients: once_clients(
            of("COUNTED_ONCE")
                .checked_div(of("LEDGER_ROWS"))
                .unwrap_or(0),
        ),
    }
}

/// Entries of a map whose size the limits say.
pub(super) fn sized_by(name: &str, limits: &Limits) -> Option<u32> {
    let sizes = limits.sizes();
    match name {
        "ESTABLISHED" => Some(sizes.established),
        "PENDING_PLACES" => Some(sizes.pending),
        "PENDING_SETS" => Some(pending_sets(sizes.pending)),
        "FRAGMENTS" => Some(sizes.fragments),
        "SERVICE_WORDS" | "RECHECKS" | "SERVICE_LIMITS" => Some(sizes.services),
        "EMPTIED" | "VERSION_TIMES" => Some(sizes.services * MAX_VERSIONS as u32),
        "ASSIGNED" => Some(sizes.services * (PLACES * MAX_VERSIONS) as u32),
        "SERVICES" => Some(2 * sizes.services),
        "FRONTENDS" => Some(sizes.frontends),
        "BACKENDS" | "NEXT_HOPS" | "COUNTERS" | "BACKEND_TIMES" => Some(sizes.backends),
        "PAGES" => Some(sizes.pages),
        "PREFIXES" => Some(PREFIX_ROWS * sizes.prefixes),
        "MEMBERS" => Some(member_lines(sizes.members)),
        "MEMBERS_BESIDE" => Some(members_beside(sizes.members)),
        "CLIENT_LIMITS" => Some(sizes.limited_clients),
        "CLIENTS" => Some(sizes.known_clients),
        "LEDGER_ROWS" => Some(sizes.ledgers),
        "EVIDENCE" => Some(sizes.ledgers * EVIDENCE_ROWS),
        "COUNTED_ONCE" => Some(sizes.ledgers * once_words(sizes.judged_clients)),
        _ => None,
    }
}

/// Key bytes, value bytes and entries of a map.
fn shape(name: &str, limits: &Limits) -> (u32, u32, u32) {
    fn bytes<K, V>() -> (u32, u32) {
        (size_of::<K>() as u32, size_of::<V>() as u32)
    }
    let ((key, value), fixed) = match name {
        "CONTROL" => (bytes::<u32, ControlRow>(), 1),
        "FILTER" => (bytes::<u32, u64>(), 2 * FILTER_WORDS),
        "BUCKETS" => (bytes::<u32, Bucket>(), 2 * DIRECTORY_BUCKETS),
        "FRONTENDS" => (bytes::<u32, FrontendRow>(), 0),
        "BACKENDS" => (bytes::<u32, BackendRow>(), 0),
        "SERVICE_WORDS" => (bytes::<u32, u64>(), 0),
        "SERVICES" => (bytes::<u32, ServiceRow>(), 0),
        "PAGES" => (bytes::<u32, Page>(), 0),
        "NEXT_HOPS" => (bytes::<u32, NextHop>(), 0),
        "BACKEND_TIMES" => (bytes::<u32, BackendTimes>(), 0),
        "VERSION_TIMES" => (bytes::<u32, VersionTimes>(), 0),
        "LEDGER_ROWS" => (bytes::<u32, LedgerRow>(), 0),
        "EVIDENCE" => (bytes::<u32, EvidenceRow>(), 0),
        "COUNTED_ONCE" => (bytes::<u32, u64>(), 0),
        "ASIDE" | "ASIDE_FRAGS" => (bytes::<u32, u32>(), PROGRAMS as u32),
        "PARSED" => (bytes::<u32, Parsed>(), 1),
        "ENTRY" => (bytes::<u32, FlowEntry>(), 1),
        "LEFT" => (bytes::<u32, Left>(), 1),
        "RECHECKS" => (bytes::<u32, RecheckRow>(), 0),
        "SERVICE_LIMITS" | "EMPTIED" | "ASSIGNED" => (bytes::<u32, u64>(), 0),
        "CLIENT_LIMITS" => (bytes::<ClientKey, u64>(), 0),
        "CLIENTS" => (bytes::<ClientKey, ClientRow>(), 0),
        "DEVICE_RULES" => (bytes::<u32, DeviceRules>(), 2),
        "LOSSES" => (bytes::<LossKey, u64>(), LOSS_ROWS),
        "LOSS_PLACES" => (bytes::<u32, LossPlaces>(), 1),
        "TABLE_EVENTS" => (bytes::<u32, u64>(), TABLE_EVENT_CELLS),
        "FRAGMENTS" => (bytes::<FragmentKey, FragmentRow>(), 0),
        "MEMBERS" => (bytes::<u32, MemberLine>(), 0),
        "MEMBERS_BESIDE" => (bytes::<Address, MemberLine>(), 0),
        "PREFIXES" => (bytes::<PrefixKey, PrefixRow>(), 0),
        "COUNTERS" => (bytes::<u32, BackendCounters>(), 0),
        "REASONS" => (bytes::<u32, u64>(), REASON_CELLS),
        "PENDING_PLACES" => (bytes::<u32, PendingFlow>(), 0),
        "PENDING_SETS" => (bytes::<u32, PendingSet>(), 0),
        "ESTABLISHED" => (bytes::<FlowKey, FlowEntry>(), 0),
        _ => ((0, 0), 0),
    };
    (key, value, sized_by(name, limits).unwrap_or(fixed))
}

/// Takes the programs off their interfaces and forgets all flows: removes every pin below
/// `root`, of every layout. A pin directory that is not there has nothing attached; one that a
/// daemon runs on is left alone.
pub fn detach(root: &Path) -> Result<DetachReport, DataPlaneError> {
    match fs::metadata(root) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(DetachReport::default());
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let why = format!("{}: {error}; detach as root", root.display());
            return Err(DataPlaneError::NoPermission(why));
        }
        Err(error) => return Err(fault(root, "cannot be read", &error)),
    }
    if !is_bpf_fs(root) {
        return Err(DataPlaneError::Pins(format!(
            "{} is not on a BPF file system: nothing of splitter's is pinned there",
            root.display()
        )));
    }
    let _lock = lock(root)?;
    clear(root)
}

/// Removes every pin below `root` and `root` itself; the caller has the lock.
pub(super) fn clear(root: &Path) -> Result<DetachReport, DataPlaneError> {
    let mut report = DetachReport::default();
    let entries = fs::read_dir(root).map_err(|error| fault(root, "cannot be read", &error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let of_layout = entry.file_name().to_string_lossy().starts_with('v') && path.is_dir();
        if of_layout {
            report.links.extend(linked(&path));
            report.pins += remove_all(&path).map_err(|error| fault(&path, "stays", &error))?;
        }
    }
    fs::remove_dir(root).map_err(|error| fault(root, "stays", &error))?;
    report.links.sort();
    Ok(report)
}

/// Removes the pins in `dir`, links first, then the directory.
pub(super) fn remove_all(dir: &Path) -> io::Result<usize> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let is_link = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("link_"))
    };
    paths.sort_by_key(|path| !is_link(path));
    for path in &paths {
        if is_link(path) {
            remove_link(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    fs::remove_dir(dir)?;
    Ok(paths.len())
}

/// Takes the program of a link off its interface, then removes the pin. When this returns the
/// interface is free.
pub(super) fn remove_link(path: &Path) -> io::Result<()> {
    if let Err(error) = bpf::detach_link(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("{}: cannot be detached at once: {error}", path.display());
    }
    fs::remove_file(path)
}
