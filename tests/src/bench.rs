//! Owns the bench: what a packet, a commit and a connection cost, beside floors of the same run.
//!
//! Invariant: only figures of one interleaved run are compared, and a run whose packets did not
//! take the path that its case names is an error, not a figure.

mod cases;
mod commits;
pub mod crowd;
mod flows;
mod lab;
#[path = "../bench-ebpf/src/layout.rs"]
#[allow(dead_code, reason = "a file of the eBPF side, which uses all of it")]
mod layout;
mod live;
mod report;
mod rounds;
mod segments;
pub mod sizes;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use cases::names as case_names;
pub use report::Figures;

use crate::supervise::StopFlag;

/// Most flows that the driver takes turns with.
pub const MOST_FLOWS: u32 = layout::MAX_FLOWS;

/// What the bench is asked to do.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The object with the driver and the floors, as `cargo xtask bench` built it.
    pub object: PathBuf,
    /// Only record the sizes of the programs that run here.
    pub sizes: bool,
    /// Only what lists of a million prefixes and members cost.
    pub segments: bool,
    /// Fewer flows, repeats and rounds.
    pub quick: bool,
    /// Where to write the figures as JSON.
    pub json: Option<PathBuf>,
    /// Only this one of [`case_names()`].
    pub case: Option<String>,
    /// Only so many flows of it.
    pub flows: Option<u32>,
}

/// Runs the bench, printing as it goes.
///
/// # Errors
///
/// When something cannot be measured, or `stop` was raised.
pub fn run(options: &BenchOptions, stop: &StopFlag) -> Result<bool> {
    let object = std::fs::read(&options.object)
        .with_context(|| format!("no object at {}", options.object.display()))?;
    if let Some(name) = &options.case {
        return one_case(options, &object, name, stop);
    }
    let programs = sizes::measure()?;
    report::print_sizes(&programs);
    if options.sizes {
        sizes::record(&programs)?;
        return Ok(true);
    }
    if options.segments {
        let segments = segments::run(&object, options.quick, stop)?;
        return write(options, &serde_json::json!({ "segments": segments }));
    }
    let commits = commits::run(stop)?;
    report::print_commits(&commits);
    let mut lab = lab::Lab::new(&object, bare(&options.object)?)?;
    let plan = rounds::Plan::new(options.quick);
    let mut figures = Figures {
        rows: Vec::new(),
        programs,
        commits,
        live: Vec::new(),
    };
    figures.live = live::run(&mut lab, options.quick, stop)?;
    report::print_live(&figures.live);
    rounds::run(&mut lab, &plan, stop, &mut figures.rows)?;
    write(options, &figures)
}

/// What one case costs, and nothing else.
fn one_case(options: &BenchOptions, object: &[u8], name: &str, stop: &StopFlag) -> Result<bool> {
    let case = cases::Case::named(name).with_context(|| format!("no case {name}"))?;
    let mut lab = lab::Lab::new(object, bare(&options.object)?)?;
    let plan = rounds::Plan::new(options.quick).of_flows(options.flows);
    let mut rows = Vec::new();
    rounds::run_one(&mut lab, &plan, case, stop, &mut rows)?;
    write(options, &serde_json::json!({ "rows": rows }))
}

/// Whether the driver can take turns with so many flows.
pub const fn are_flows(flows: u32) -> bool {
    flows.is_power_of_two() && flows <= MOST_FLOWS
}

/// Writes figures where they are asked for.
fn write(options: &BenchOptions, figures: &impl serde::Serialize) -> Result<bool> {
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(figures)? + "\n";
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    Ok(true)
}

/// Drives every case through every program once and measures nothing: an error when packets go
/// another way than their case says.
///
/// # Errors
///
/// Then, and when the programs do not load.
pub fn walk(object: &Path) -> Result<()> {
    let bare = bare(object)?;
    let object =
        std::fs::read(object).with_context(|| format!("no object at {}", object.display()))?;
    rounds::walk(&mut lab::Lab::new(&object, bare)?)
}

/// The bench's object for tests: the one that xtask says, else where it builds it.
pub fn built_object() -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/ebpf/bench.o");
    std::env::var_os("SPLITTER_BENCH_OBJECT").map_or_else(|| built.into(), PathBuf::from)
}

/// The product's object without telemetry, which lies beside the bench's own.
fn bare(object: &Path) -> Result<Vec<u8>> {
    let bare = object.with_file_name("bare.o");
    std::fs::read(&bare).with_context(|| format!("no object at {}", bare.display()))
}
