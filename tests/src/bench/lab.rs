//! Owns the lab: the driver, the floors, and splitter's own program with a service committed, in a
//! network namespace, without an interface to the world.

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, MapData, PerCpuArray, ProgramArray},
    programs::Xdp,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use splitter_common::{
    address::Family,
    flow::Hop,
    hash::HashKey,
    reason::{Reason, Verdict},
};
use splitter_user::{
    dataplane::{DataPlane, Options},
    model::Limits,
    plan::{Image, Numbers},
};

use super::{
    cases::{Case, frame_bytes, templates},
    flows::{PORT, backends, config, flow, target, vips},
    layout::{
        Flow, Frame, MAX_FLOWS, RUN_FLOW, RUN_FRAMES, RUN_MASK, RUN_STEPS, RUN_VARY, Run, Target,
    },
};
use crate::{
    netns::Netns,
    spec::{kernel::network, run::fixed_secret},
};

/// BPF_PROG_TEST_RUN's packets come in by the namespace's loopback.
const INGRESS: u32 = 1;
pub(super) const SEED: HashKey = HashKey { k0: 3, k1: 5 };
/// So much of what was driven may have gone another way: an LRU table evicts before it is full.
const STRAYS: f64 = 0.001;

/// How many there are.
pub(super) const PROGRAMS: usize = 6;

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Returns XDP_TX and nothing else: what the driver itself costs.
    Tx,
    /// Rewrites and counts.
    FloorStateless,
    /// Looks a flow up, rewrites and counts.
    FloorLru,
    /// The same with two tables, and the kernel asked for the way back.
    FloorTables,
    /// The product.
    Splitter,
    /// The product without telemetry.
    Bare,
}

impl Program {
    /// All, in the order of a round.
    pub(super) const ALL: [Self; PROGRAMS] = [
        Self::Tx,
        Self::FloorStateless,
        Self::FloorLru,
        Self::FloorTables,
        Self::Splitter,
        Self::Bare,
    ];

    /// As the figures call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tx => "tx",
            Self::FloorStateless => "floor-stateless",
            Self::FloorLru => "floor-lru",
            Self::FloorTables => "floor-tables",
            Self::Splitter => "splitter",
            Self::Bare => "splitter-bare",
        }
    }

    /// Whether it knows what goes to the VIP alone.
    pub(super) const fn is_floor(self) -> bool {
        matches!(
            self,
            Self::FloorStateless | Self::FloorLru | Self::FloorTables
        )
    }

    const fn in_object(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Tx | Self::Splitter | Self::Bare, _) => "tx",
            (Self::FloorStateless, Family::V4) => "floor_stateless_v4",
            (Self::FloorStateless, Family::V6) => "floor_stateless_v6",
            (Self::FloorLru, Family::V4) => "floor_lru_v4",
            (Self::FloorLru, Family::V6) => "floor_lru_v6",
            (Self::FloorTables, Family::V4) => "floor_tables_v4",
            (Self::FloorTables, Family::V6) => "floor_tables_v6",
        }
    }
}

/// Packets to drive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drive {
    pub(super) case: Case,
    /// A power of two.
    pub(super) flows: u32,
    /// Packets; a multiple of those of one flow.
    pub(super) packets: u32,
}

/// Everything that is measured, and what measures it.
pub(super) struct Lab {
    pub(super) bench: Ebpf,
    runs: Array<MapData, Run>,
    pub(super) frames: Array<MapData, Frame>,
    flows: Array<MapData, Flow>,
    targets: Array<MapData, Target>,
    counts: PerCpuArray<MapData, [u64; 2]>,
    pub(super) programs: ProgramArray<MapData>,
    pub(super) plane: DataPlane,
    /// The one without telemetry.
    bare: Option<DataPlane>,
    /// Its object.
    bare_object: Option<Vec<u8>>,
    pub(super) family: Family,
    /// Flows begun on each of two CPUs, so that no run repeats the last one's sequence numbers.
    begun: [u64; 2],
    /// The numbers of all backends.
    pub(super) backends: Vec<u32>,
    /// How many templates there are.
    pub(super) templates: u32,
    pub(super) send_to: Array<MapData, u32>,
    pub(super) netns: Netns,
    /// Of the data plane.
    limits: Limits,
    pub(super) numbers: Numbers,
    /// How clients vary, see `layout::RUN_VARY`.
    pub(super) vary: u32,
}

impl Lab {
    /// Loads all programs in a namespace of its own, which the calling thread enters.
    pub(super) fn new(object: &[u8], bare_object: Vec<u8>) -> Result<Self> {
        let mut lab = Self::with_limits(object, Some(bare_object), Limits::default())?;
        lab.begin(Family::V4)?;
        Ok(lab)
    }

    /// The same with such limits, without a service, and without [`Program::Bare`] unless its object is
    /// there.
    pub(super) fn with_limits(
        object: &[u8],
        bare_object: Option<Vec<u8>>,
        limits: Limits,
    ) -> Result<Self> {
        let of_bare = |object: &Vec<u8>| open(Some(object), limits);
        let netns = network("bench")?;
        netns.enter();
        let mut bench = EbpfLoader::new()
            .load(object)
            .context("the bench's object")?;
        for (name, program) in bench.programs_mut() {
            let program: &mut Xdp = program.try_into()?;
            program.load().with_context(|| name.to_owned())?;
        }
        Ok(Self {
            runs: Array::try_from(take(&mut bench, "RUNS")?)?,
            frames: Array::try_from(take(&mut bench, "FRAMES")?)?,
            flows: Array::try_from(take(&mut bench, "FLOWS")?)?,
            targets: Array::try_from(take(&mut bench, "TARGETS")?)?,
            counts: PerCpuArray::try_from(take(&mut bench, "FLOOR_COUNTS")?)?,
            send_to: Array::try_from(take(&mut bench, "SEND_TO")?)?,
            programs: ProgramArray::try_from(take(&mut bench, "PROGRAMS")?)?,
            bench,
            plane: open(None, limits)?,
            bare: bare_object.as_ref().map(of_bare).transpose()?,
            bare_object,
            family: Family::V4,
            begun: [0; 2],
            backends: Vec::new(),
            templates: 0,
            netns,
            limits,
            numbers: Numbers::default(),
            vary: 0,
        })
    }

    /// Empty tables, and the templates and flows of a family.
    pub(super) fn begin(&mut self, family: Family) -> Result<()> {
        self.begin_with(family, MAX_FLOWS)
    }

    /// The same with the first flows alone.
    pub(super) fn begin_with(&mut self, family: Family, flows: u32) -> Result<()> {
        self.family = family;
        self.plane = open(None, self.limits)?;
        if let Some(object) = &self.bare_object {
            self.bare = Some(open(Some(object), self.limits)?);
        }
        let config = config()?;
        let secret = fixed_secret()?;
        let numbers = Numbers::default().next(&config, &secret, &self.plane)?;
        let image = Image::build(&config, &numbers, &secret)?;
        self.plane.commit(&image, SEED)?;
        if let Some(bare) = &mut self.bare {
            bare.commit(&image, SEED)?;
        }
        let hop = Hop {
            destination: Hop::mac_word([2, 0, 0, 0, 0, 0xbb]),
            source: Hop::mac_word([2, 0, 0, 0, 0, 0xaa]),
            ifindex: INGRESS,
            mtu: 1_500,
        };
        self.backends = image.backends.keys().copied().collect();
        self.set_hops(hop);
        let (vip, other) = vips(family);
        self.templates = 0;
        for template in templates(family, vip, other)? {
            self.frames.set(self.templates, template, 0)?;
            self.templates += 1;
        }
        let backend = backends(family)[0];
        for (row, (address, port)) in [(0, (backend, 8_080)), (1, (vip, PORT))] {
            self.targets.set(row, target(address, port), 0)?;
        }
        self.numbers = numbers;
        for index in 0..flows {
            self.flows.set(index, flow(family, index, &image)?, 0)?;
        }
        Ok(())
    }

    /// Where all backends are reached.
    pub(super) fn set_hops(&mut self, hop: Hop) {
        for number in &self.backends {
            self.plane.set_next_hop(*number, Some(hop));
            if let Some(bare) = &mut self.bare {
                bare.set_next_hop(*number, Some(hop));
            }
        }
    }

    /// Tells another data plane of the same backends where all of them are reached.
    pub(super) fn share_hops(&self, other: &mut DataPlane) {
        for number in &self.backends {
            other.set_next_hop(*number, self.plane.next_hop(*number));
        }
    }

    /// Gives a flow other ends.
    pub(super) fn set_flow(&mut self, index: u32, flow: Flow) -> Result<()> {
        Ok(self.flows.set(index, flow, 0)?)
    }

    /// Packets that the bench's own programs have counted.
    pub(super) fn counted_by_bench(&self) -> Result<u64> {
        let cells = self.counts.get(&0, 0)?;
        Ok(cells.iter().map(|cpu| cpu[0]).sum())
    }

    /// Drives packets through a program on one CPU: nanoseconds per packet.
    pub(super) fn run(&mut self, program: Program, drive: &Drive) -> Result<f64> {
        self.choose(program)?;
        self.prepare(0, drive)?;
        let before = self.counted(program)?;
        let ns = driven(self.driver()?, self.family, 0, drive.packets)?;
        self.check(program, &[*drive], &before)?;
        Ok(ns)
    }

    /// Drives two kinds of packets through a program on two CPUs at once: nanoseconds per packet
    /// of each.
    pub(super) fn run_both(&mut self, program: Program, drives: [Drive; 2]) -> Result<[f64; 2]> {
        self.choose(program)?;
        for (cpu, drive) in drives.iter().enumerate() {
            self.prepare(cpu, drive)?;
        }
        let before = self.counted(program)?;
        let (driver, family) = (self.driver()?, self.family);
        let [one, two] = std::thread::scope(|scope| {
            let runs = [0, 1].map(|cpu| {
                let packets = drives[cpu].packets;
                scope.spawn(move || driven(driver, family, cpu, packets))
            });
            runs.map(|run| run.join().expect("a run does not panic"))
        });
        self.check(program, &drives, &before)?;
        Ok([one?, two?])
    }

    fn choose(&mut self, program: Program) -> Result<()> {
        let plane = match program {
            Program::Splitter => Some(&mut self.plane),
            Program::Bare => Some(self.bare.as_mut().context("no object without telemetry")?),
            Program::Tx | Program::FloorStateless | Program::FloorLru | Program::FloorTables => {
                None
            }
        };
        if let Some(plane) = plane {
            return Ok(self.programs.set(0, plane.loaded(false)?.fd()?, 0)?);
        }
        let name = program.in_object(self.family);
        let of_bench: &Xdp = self.bench.program(name).context(name)?.try_into()?;
        Ok(self.programs.set(0, of_bench.fd()?, 0)?)
    }

    pub(super) fn prepare(&mut self, cpu: usize, drive: &Drive) -> Result<()> {
        let steps = drive.case.steps();
        let mut run: Run = [0; 16];
        run[RUN_FLOW] = self.begun[cpu];
        run[RUN_MASK] = u64::from(drive.flows) - 1;
        run[RUN_STEPS] = steps.len() as u64;
        run[RUN_VARY] = u64::from(self.vary);
        run[RUN_FRAMES..RUN_FRAMES + steps.len()].copy_from_slice(&steps);
        self.begun[cpu] += u64::from(drive.packets) / steps.len() as u64;
        Ok(self.runs.set(cpu as u32, run, 0)?)
    }

    pub(super) fn driver(&self) -> Result<&Xdp> {
        let name = match self.family {
            Family::V4 => "driver_v4",
            Family::V6 => "driver_v6",
        };
        Ok(self.bench.program(name).context(name)?.try_into()?)
    }

    /// What a program has counted: splitter by reason, a floor all packets alike.
    fn counted(&self, program: Program) -> Result<Vec<(Option<Reason>, u64)>> {
        match program {
            Program::Tx => Ok(Vec::new()),
            Program::FloorStateless | Program::FloorLru | Program::FloorTables => {
                Ok(vec![(None, self.counted_by_bench()?)])
            }
            Program::Splitter | Program::Bare => {
                let bare = self.bare.as_ref().filter(|_| program == Program::Bare);
                let plane = bare.unwrap_or(&self.plane);
                let reasons = plane.maps().reasons();
                // What is handed to the host's stack is forwarded by nobody here.
                let sent = reasons
                    .into_iter()
                    .filter(|(_, verdict, _)| *verdict != Verdict::Resolve);
                Ok(sent
                    .map(|(reason, _, packets)| (Some(reason), packets))
                    .collect())
            }
        }
    }

    /// That the packets took the path which their case names.
    fn check(
        &self,
        program: Program,
        drives: &[Drive],
        before: &[(Option<Reason>, u64)],
    ) -> Result<()> {
        let after = self.counted(program)?;
        let sum = |counts: &[(Option<Reason>, u64)], wanted: Option<Reason>| -> u64 {
            let of_reason = counts.iter().filter(|(reason, _)| *reason == wanted);
            of_reason.map(|(_, packets)| packets).sum()
        };
        let grown = |reason| sum(&after, reason) - sum(before, reason);
        for drive in drives {
            let (case, packets) = (drive.case, u64::from(drive.packets));
            let reasons = case.reasons();
            let expected: Vec<(Option<Reason>, u64)> = match program {
                Program::Tx => continue,
                Program::Splitter | Program::Bare => reasons
                    .iter()
                    .map(|reason| (Some(*reason), packets / reasons.len() as u64))
                    .collect(),
                Program::FloorStateless | Program::FloorLru | Program::FloorTables => {
                    vec![(None, packets)]
                }
            };
            for (reason, wanted) in expected {
                ensure!(
                    grown(reason) as f64 >= wanted as f64 * (1.0 - STRAYS),
                    "{} {}: {wanted} packets were driven, {} were counted as {reason:?}: {after:?}",
                    program.name(),
                    case.name(),
                    grown(reason)
                );
            }
        }
        Ok(())
    }
}

/// Runs the driver on a CPU, to which the calling thread is bound from then on.
fn driven(driver: &Xdp, family: Family, cpu: usize, packets: u32) -> Result<f64> {
    bind(cpu)?;
    let frame = vec![0; frame_bytes(family)];
    let result = driver.test_run(TestRunOptions {
        data_in: Some(&frame),
        repeat: packets,
        ..TestRunOptions::default()
    })?;
    Ok(result.duration.as_nanos() as f64)
}

/// Binds the calling thread to a CPU.
pub(super) fn bind(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("no CPU {cpu}"))
}

/// Fresh tables under the product's object, or another one of the same layout.
pub(super) fn open(object: Option<&[u8]>, limits: Limits) -> Result<DataPlane> {
    let options = Options {
        pin_dir: None,
        limits,
    };
    let mut plane = match object {
        None => DataPlane::open(&options)?,
        Some(object) => DataPlane::open_object(object, &options, false)?,
    };
    plane.renew_lease(3_600)?;
    Ok(plane)
}

fn take(bench: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    bench
        .take_map(name)
        .with_context(|| format!("no map {name}"))
}
