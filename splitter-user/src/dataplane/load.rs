//! Owns loading: the embedded object, the maps (new or adopted), the programs.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use aya::{Ebpf, EbpfLoader, include_bytes_aligned, programs::Xdp};
use rustix::thread::CapabilitySet;
use splitter_common::{
    capacity::PREFIX_ROWS,
    layout::{ANSWERS, DECIDES, MEASURES, PROGRAMS, TRACES},
};

use super::{
    DataPlane, DataPlaneError, lock::lock, maps::Maps, pages::Pages, pins, predecessor,
    prefixes::PrefixLists,
};
use crate::model::Limits;

/// The eBPF object, as `cargo xtask build` made it.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/splitter.o"));

/// The program for frames in one buffer.
pub(super) const LINEAR: &str = "splitter";
/// The program for frames in several buffers.
pub(super) const FRAGS: &str = "splitter_frags";
/// The program that reads clocks.
pub(super) const CLOCK: &str = "clock";

/// The programs that do what these leave aside.
const ASIDE: [Aside; PROGRAMS] = [
    Aside {
        place: DECIDES,
        linear: "splitter_decide",
        frags: "splitter_decide_frags",
    },
    Aside {
        place: ANSWERS,
        linear: "splitter_aside",
        frags: "splitter_aside_frags",
    },
    Aside {
        place: MEASURES,
        linear: "splitter_measure",
        frags: "splitter_measure_frags",
    },
    Aside {
        place: TRACES,
        linear: "splitter_trace",
        frags: "splitter_trace_frags",
    },
];

/// A program that others leave packets to.
struct Aside {
    /// Where it stands in the array of programs.
    place: u32,
    linear: &'static str,
    frags: &'static str,
}

impl Aside {
    const fn name(&self, frags: bool) -> &'static str {
        if frags { self.frags } else { self.linear }
    }
}

/// The program for frames in one buffer, or in several.
pub(super) const fn name(frags: bool) -> &'static str {
    if frags { FRAGS } else { LINEAR }
}

/// The oldest kernel: fetch-or on map values came with 5.12, this is the long-term series after.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// How to open the data plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to pin; `None` keeps everything in this process.
    pub pin_dir: Option<PathBuf>,
    /// Sizes of the tables.
    pub limits: Limits,
}

impl DataPlane {
    /// Loads the object, over the pinned maps of an earlier process where there are any. Nothing
    /// is attached yet. Refused where programs of another layout run.
    pub fn open(options: &Options) -> Result<Self, DataPlaneError> {
        Self::open_over(options, false)
    }

    /// As [`Self::open`]; with `accept_flow_loss` also where programs of another layout run, which
    /// [`Self::take_over`] replaces.
    pub fn open_over(options: &Options, accept_flow_loss: bool) -> Result<Self, DataPlaneError> {
        Self::open_object(OBJECT, options, accept_flow_loss)
    }

    /// As [`Self::open_over`], of another object of this layout. For the bench.
    pub fn open_object(
        object: &[u8],
        options: &Options,
        accept_flow_loss: bool,
    ) -> Result<Self, DataPlaneError> {
        check_host()?;
        let pin_dir = options.pin_dir.as_deref().map(pins::layout_dir);
        let (mut adopted, mut pin_lock, mut others) = (false, None, Vec::new());
        if let (Some(root), Some(dir)) = (&options.pin_dir, &pin_dir) {
            pins::prepare(root)?;
            pin_lock = Some(lock(root)?);
            others = predecessor::find(root, dir)?;
            if !others.is_empty() && !accept_flow_loss {
                // Made a moment ago, or kept by what is pinned in it.
                let _kept = fs::remove_dir(dir);
                return Err(DataPlaneError::OtherLayouts(others));
            }
            adopted = pins::adoptable(dir, &options.limits)?;
        }
        let mut ebpf = load(object, options, pin_dir.as_deref())?;
        let maps = Maps::take(&mut ebpf)?;
        let prefixes = PrefixLists::new(PREFIX_ROWS * options.limits.prefixes, &maps.prefixes);
        let mut plane = Self {
            ebpf,
            maps,
            pages: Pages::new(options.limits.table_pages),
            prefixes,
            flipped: HashMap::new(),
            directory_flipped: None,
            devices_flipped: None,
            endpoints: Vec::new(),
            adopted,
            pin_dir,
            others,
            taken: Vec::new(),
            _pin_lock: pin_lock,
            hz: 0,
        };
        plane.load_program(CLOCK)?;
        let calibration = plane.begin_calibration()?;
        plane.loaded(false)?;
        // Maps that were pinned by a start which failed before its first commit run nothing.
        plane.adopted &= plane.generation() > 0;
        if let Some(begun) = calibration {
            plane.calibrate(&begun)?;
        }
        plane.endpoints = plane.read_endpoints();
        plane.occupy_pages();
        plane.adopt_prefixes()?;
        // Entries kept by an earlier process may name a way that has changed since.
        plane.raise_route_epoch();
        plane.publish_traces();
        Ok(plane)
    }
}

impl DataPlane {
    /// The program for frames in one buffer, or in several, loaded with those aside.
    pub fn loaded(&mut self, frags: bool) -> Result<&mut Xdp, DataPlaneError> {
        if self.program(name(frags))?.fd().is_err() {
            self.load_program(name(frags))?;
            for aside in &ASIDE {
                self.load_aside(aside, frags)?;
            }
        }
        self.program(name(frags))
    }

    /// Every program of the packet path by its name, once those of that kind are loaded. For the
    /// bench.
    pub fn path_programs(frags: bool) -> [&'static str; 1 + PROGRAMS] {
        let [decides, answers, measures, traces] = &ASIDE;
        [
            name(frags),
            decides.name(frags),
            answers.name(frags),
            measures.name(frags),
            traces.name(frags),
        ]
    }

    fn load_program(&mut self, name: &'static str) -> Result<(), DataPlaneError> {
        let loaded = self.program(name)?.load();
        loaded.map_err(|error| DataPlaneError::Load(explain(name, &error)))
    }

    /// Loads a program aside and puts it where the others call it. The one of an earlier process,
    /// which reads the same maps, does its work until then.
    fn load_aside(&mut self, aside: &Aside, frags: bool) -> Result<(), DataPlaneError> {
        let name = aside.name(frags);
        self.load_program(name)?;
        let failed = |error: String| DataPlaneError::Load(format!("{name}: {error}"));
        let fd = self
            .program(name)?
            .fd()
            .map_err(|error| failed(chain(&error)))?;
        let fd = fd.try_clone().map_err(|error| failed(error.to_string()))?;
        let programs = if frags {
            &mut self.maps.aside_frags
        } else {
            &mut self.maps.aside
        };
        let set = programs.set(aside.place, &fd, 0);
        set.map_err(|error| failed(chain(&error)))
    }
}

fn load(object: &[u8], options: &Options, pin_dir: Option<&Path>) -> Result<Ebpf, DataPlaneError> {
    let mut loader = EbpfLoader::new();
    for name in super::maps::NAMES {
        if let Some(entries) = pins::sized_by(name, &options.limits) {
            loader.map_max_entries(name, entries);
        }
    }
    if let Some(dir) = pin_dir {
        for name in super::maps::NAMES {
            loader.map_pin_path(name, pins::map_path(dir, name));
        }
    }
    loader
        .load(object)
        .map_err(|error| DataPlaneError::Load(chain(&error)))
}

/// The verifier's last lines are what tells.
pub(super) fn explain(program: &str, error: &aya::programs::ProgramError) -> String {
    let text = chain(error);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(12)..];
    format!("{program}: {}", tail.join("\n"))
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Whether this kernel and this process can do it at all.
pub fn check_host() -> Result<(), DataPlaneError> {
    check_kernel()?;
    check_capabilities()
}

fn check_kernel() -> Result<(), DataPlaneError> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST_KERNEL {
        return Err(DataPlaneError::OldKernel {
            found: release.into_owned(),
        });
    }
    Ok(())
}

/// The verifier asks for BPF, NET_ADMIN (XDP) and PERFMON (pointer comparisons); SYS_ADMIN holds
/// the first and last.
fn check_capabilities() -> Result<(), DataPlaneError> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|error| DataPlaneError::NoPermission(format!("capabilities: {error}")))?;
    let has = |wanted| sets.effective.contains(wanted);
    let admin = has(CapabilitySet::SYS_ADMIN);
    let missing: Vec<&str> = [
        ("CAP_BPF", admin || has(CapabilitySet::BPF)),
        ("CAP_PERFMON", admin || has(CapabilitySet::PERFMON)),
        ("CAP_NET_ADMIN", has(CapabilitySet::NET_ADMIN)),
    ]
    .into_iter()
    .filter_map(|(name, held)| (!held).then_some(name))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(DataPlaneError::NoPermission(format!(
        "splitter lacks {}: run it as root, or give its service \
         AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN",
        missing.join(", ")
    )))
}
