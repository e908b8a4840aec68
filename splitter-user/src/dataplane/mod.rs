//! Owns the seam to the kernel: the object, its maps, programs, pins and links. Everything above
//! speaks of images; everything below is bytes.
//!
//! Invariants: nothing live is edited in place ([`commit`]); the data plane outlives the daemon
//! ([`pins`]); here `unsafe` stands in [`mapped`], [`pod`] and [`bpf`] alone.

mod bpf;
mod clients;
mod clock;
mod commit;
mod directory;
mod evidence;
mod freeing;
mod keys;
mod links;
mod load;
mod lock;
mod losses;
mod mapped;
mod maps;
mod members;
mod pages;
mod pending;
mod pins;
pub mod pod;
mod predecessor;
mod prefixes;
mod rechecks;
mod tables;
mod totals;
mod traces;
mod typed;
mod walk;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Instant,
};

use aya::{Ebpf, programs::Xdp};
use splitter_common::{
    flow::{Hop, Table},
    layout::{BackendCounters, Control, Endpoint, FlowEntry, FlowKey, LAYOUT_VERSION},
};
use thiserror::Error;

pub use commit::PreparedCommit;
pub use evidence::{LedgerState, Scopes};
pub use links::{Attached, Target};
pub use load::{Options, check_host};
pub use losses::KernelTypes;
pub use maps::Maps;
pub use members::MemberTable;
pub use pins::{DetachReport, detach};
pub use predecessor::OtherLayout;
pub use totals::{Ranges, Totals};
pub use traces::TraceRing;
pub use walk::{FlowTable, Walk};

/// Why the kernel did not do what was asked.
#[derive(Debug, Error)]
pub enum DataPlaneError {
    /// The process may not.
    #[error("not permitted: {0}")]
    NoPermission(String),
    /// The kernel is too old.
    #[error("kernel {found} is too old: splitter needs 5.15 or later")]
    OldKernel {
        /// What runs.
        found: String,
    },
    /// Another process runs the pins.
    #[error(
        "a splitter daemon runs on the pins below {path}: stop it first, or name another \
         --pin-dir", path = .0.display()
    )]
    Busy(PathBuf),
    /// Pins that this binary cannot use.
    #[error("{0}")]
    Pins(String),
    /// Programs of another layout run, whose tables this binary cannot read.
    #[error(
        "{}; this binary has layout {LAYOUT_VERSION}, which cannot read them",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    OtherLayouts(Vec<OtherLayout>),
    /// The object or a program was refused.
    #[error("cannot load the XDP program: {0}")]
    Load(String),
    /// A map or its memory cannot be reached.
    #[error("map {map}: {why}")]
    Map {
        /// The map.
        map: &'static str,
        /// What happened.
        why: String,
    },
    /// The table pages are used up.
    #[error(
        "no room for a table of {pages} pages beside those in force, {all} in all: change fewer \
         services at once, configure fewer versions or backends, or raise [limits] table_pages"
    )]
    PagesFull {
        /// Pages asked for.
        pages: u32,
        /// How many there are.
        all: usize,
    },
    /// The table of prefixes is used up.
    #[error(
        "no room for a list of {prefixes} prefixes, which takes {rows} rows of {all} that [limits] prefixes \
         = {limit} makes, beside the lists in force: list fewer, change fewer services at once, or raise it"
    )]
    PrefixesFull {
        /// Prefixes asked for.
        prefixes: usize,
        /// What they are found by.
        rows: usize,
        /// Rows of the table.
        all: u32,
        /// What the configuration says.
        limit: u32,
    },
    /// What was written does not read back.
    #[error("{0} did not read back as written")]
    ReadBack(&'static str),
    /// The directory cannot be built.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// An interface cannot carry the program.
    #[error("interface {interface}: {why}")]
    Interface {
        /// The interface.
        interface: String,
        /// What happened, and the way out.
        why: String,
    },
}

/// The running data plane.
pub struct DataPlane {
    ebpf: Ebpf,
    maps: Maps,
    pages: pages::Pages,
    prefixes: prefixes::PrefixLists,
    flipped: HashMap<u32, Instant>,
    directory_flipped: Option<Instant>,
    /// When the rules of devices were last switched.
    devices_flipped: Option<Instant>,
    /// What the directory in force knows. Nobody else writes it while this process has the lock.
    endpoints: Vec<Endpoint>,
    adopted: bool,
    /// The directory of this layout.
    pin_dir: Option<PathBuf>,
    others: Vec<OtherLayout>,
    taken: Vec<predecessor::Taken>,
    _pin_lock: Option<lock::Lock>,
    hz: u32,
}

impl DataPlane {
    /// Takes the program off all interfaces and removes every pin: all flows are forgotten.
    pub fn detach(&mut self) -> Result<DetachReport, DataPlaneError> {
        match self.pin_dir.as_deref().and_then(Path::parent) {
            Some(root) => pins::clear(root),
            None => Ok(DetachReport::default()),
        }
    }

    /// Removes this layout's pins after a start over nothing that failed: no memory is left
    /// behind. What other layouts have pinned stays.
    pub fn abandon(&mut self) {
        let Some(dir) = &self.pin_dir else { return };
        if let Err(error) = pins::remove_all(dir) {
            log::error!("{}: stays: {error}", dir.display());
        }
        // Not empty while another layout has pins there.
        let _kept = dir.parent().map(std::fs::remove_dir);
    }

    /// Whether pinned maps of an earlier process were taken over that have tables in force.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// The maps.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The maps, for tests that age or clear flows.
    pub fn maps_mut(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// The object, for the log reader.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Jiffies per second.
    pub fn hz(&self) -> u32 {
        self.hz
    }

    /// The newest committed generation that the kernel holds; 0 before the first.
    pub fn generation(&self) -> u32 {
        self.maps.generation()
    }

    /// Says that the next hops written are vouched for until `seconds` from now.
    pub fn renew_lease(&mut self, seconds: u32) -> Result<(), DataPlaneError> {
        let now = self.read_clock()?;
        let until = now + u64::from(seconds) * u64::from(self.hz);
        self.maps
            .control
            .store_word(Control::LeaseUntil as u32, until);
        Ok(())
    }

    /// For how many whole seconds the lease has run out; 0 while it holds.
    pub fn lease_overdue_s(&mut self) -> Result<u64, DataPlaneError> {
        let now = self.read_clock()?;
        let until = self.maps.control.load_word(Control::LeaseUntil as u32);
        Ok(now.saturating_sub(until) / u64::from(self.hz))
    }

    /// Says whether packets are as long as they were on the wire, that is, whether every interface
    /// carries the program in its driver.
    pub fn set_wire_lengths(&mut self, so: bool) {
        let word = Control::WireLengths as u32;
        if self.maps.control.load_word(word) != u64::from(so) {
            self.maps.control.store_word(word, u64::from(so));
            // Ways that flows keep were asked for under the other.
            self.raise_route_epoch();
        }
    }

    /// Makes every flow ask for its way back to the client anew.
    pub fn raise_route_epoch(&mut self) {
        let epoch = self.maps.control.load_word(Control::RouteEpoch as u32) as u16;
        let next = u64::from(epoch.wrapping_add(1).max(1));
        self.maps
            .control
            .store_word(Control::RouteEpoch as u32, next);
    }

    /// Writes the next hop to a backend; `None` when it is not known.
    pub fn set_next_hop(&mut self, backend: u32, hop: Option<Hop>) {
        let stamp = Hop::next_stamp(self.maps.next_hops.read(backend).words);
        let packed = hop.map_or_else(Default::default, |hop| hop.pack(stamp));
        self.maps.next_hops.write(backend, &packed);
    }

    /// The next hop to a backend, as the program sees it.
    pub fn next_hop(&self, backend: u32) -> Option<Hop> {
        Hop::unpack(self.maps.next_hops.read(backend).words).map(|(hop, _)| hop)
    }

    /// What a backend number has counted, summed over CPUs: nothing before the first commit, which has as
    /// many to ask for as there are backends.
    pub fn counters(&self, backend: u32) -> BackendCounters {
        match self.generation() {
            0 => BackendCounters::default(),
            _ => self.maps.counters(backend),
        }
    }

    /// A live flow.
    pub fn flow(&self, table: Table, key: &FlowKey) -> Option<FlowEntry> {
        self.maps.flow(table, key)
    }

    /// Jiffies of the kernel, now.
    pub fn jiffies(&mut self) -> Result<u64, DataPlaneError> {
        self.read_clock()
    }

    /// Runs the program on a packet through BPF_PROG_TEST_RUN in the calling thread's network
    /// namespace: the action, with the packet after it in `out`. For tests.
    pub fn run(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<u32, DataPlaneError> {
        out.resize(packet.len().max(64) + 64, 0);
        let program = self.program(load::LINEAR)?;
        let (action, length) = clock::test_run(program, packet, out)?;
        out.truncate(length);
        Ok(action)
    }

    /// A program by its name.
    pub fn program(&mut self, name: &str) -> Result<&mut Xdp, DataPlaneError> {
        let program = self
            .ebpf
            .program_mut(name)
            .ok_or_else(|| DataPlaneError::Load(format!("the object has no program {name}")))?;
        program
            .try_into()
            .map_err(|error| DataPlaneError::Load(format!("{name}: {error}")))
    }
}
