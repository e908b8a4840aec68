//! Owns the demo: real clients and servers around a real `splitter`, walked through a release.
//!
//! Invariant: it fails unless every request was answered by the version that `explain` names for
//! its client, and no open connection was cut. Whatever happens, nothing stays behind.

mod crowd;
mod measure;
mod open;
mod report;
mod scene;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crowd::Crowd;
use open::OpenConnections;
use report::{DemoReport, Faults, StepReport, print_header, print_step};
use scene::{CANARY, SERVICE, Scene};

use crate::{server::Server, supervise::StopFlag};

/// The canary's weights, in percent, in the order of the walk.
const WALK_PERCENT: [u32; 5] = [0, 10, 50, 100, 10];
/// Connections opened before the first change, when all are served by the baseline.
const OPEN_EARLY: usize = 64;
/// Connections opened half way, when both versions serve.
const OPEN_LATE: usize = 32;
/// The step at whose end the late ones are opened.
const OPEN_LATE_STEP: usize = 2;

/// What the demo shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// The weight is shifted under traffic, and clients get the version that is theirs
    #[default]
    Release,
    /// Servers wait, fail and reset by a schedule, and what is measured is compared with it
    Measure,
}

/// What the demo is asked to do.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// What to show.
    pub scenario: Scenario,
    /// Where to write the figures as JSON.
    pub json: Option<PathBuf>,
    /// Client side and backend side on one interface of the load balancer.
    pub same_interface: bool,
}

/// Runs the demo, printing as it goes. Says whether all that should hold did hold.
///
/// # Errors
///
/// When the demo cannot be carried out: not root, `splitter` does not start, the service does not
/// answer, or `stop` was raised.
pub fn run(options: &DemoOptions, stop: &StopFlag) -> Result<bool> {
    match options.scenario {
        Scenario::Release => release(options, stop),
        Scenario::Measure => measure::run(options, stop),
    }
}

fn release(options: &DemoOptions, stop: &StopFlag) -> Result<bool> {
    let scene = Scene::build(
        options.same_interface,
        WALK_PERCENT[0],
        "",
        stop,
        Server::start_all,
    )?;
    let crowd = Crowd::new(&scene, stop.clone())?;
    crowd.warm_up(&scene)?;
    stop.check()?;

    let mut faults = Faults::default();
    let report = walk(&scene, &crowd, stop, &mut faults)?;
    show_status_and_explain(&scene)?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    report::print_conclusion(&report, &faults);
    Ok(faults.is_empty())
}

/// The version that each client has, by its address.
type Assignment = BTreeMap<IpAddr, String>;

fn walk(scene: &Scene, crowd: &Crowd, stop: &StopFlag, faults: &mut Faults) -> Result<DemoReport> {
    let mut open = OpenConnections::new(crowd.runtime());
    open.open(&scene.every_nth_client(OPEN_EARLY, 0))?;
    print_header();
    // Clients keep talking while the weight changes.
    let load = scene.start_background_load()?;
    let mut steps: Vec<StepReport> = Vec::new();
    let mut seen: Vec<Assignment> = Vec::new();
    let mut before = load.report();
    for (number, weight_percent) in WALK_PERCENT.into_iter().enumerate() {
        stop.check()?;
        if number > 0 {
            scene.set_weight(weight_percent)?;
        }
        let expected = scene.explain_all()?;
        let answers = crowd.ask_all(faults)?;
        let open_result = open.ask_all(faults);
        if number == OPEN_LATE_STEP {
            open.open(&scene.every_nth_client(OPEN_LATE, 1))?;
        }
        let after = load.report();

        let assignment = answers.assignment();
        faults.compare(weight_percent, &expected, &answers);
        let mut step = StepReport::new(weight_percent, &answers, seen.last(), &assignment);
        step.requests += open_result.requests + after.requests - before.requests;
        step.failed_requests += open_result.failed + after.failed - before.failed;
        faults.judge_step(&step);
        print_step(&step, scene.kernel_share()?, open.alive());
        steps.push(step);
        seen.push(assignment);
        before = after;
    }
    faults.judge_growth(&WALK_PERCENT, &seen);
    for error in load.stop().errors {
        faults.add(format!("background request of {error}"));
    }
    Ok(DemoReport {
        clients: crowd.size(),
        steps,
        flows_open_across_changes: open.opened(),
        flows_reset: open.opened() - open.alive(),
    })
}

/// Prints what an operator would ask for: the status, and one client of each version.
fn show_status_and_explain(scene: &Scene) -> Result<()> {
    scene.show(&["status"])?;
    let assignment = scene.explain_all()?;
    let v4_canary = assignment
        .iter()
        .find(|(client, version)| client.is_ipv4() && *version == CANARY);
    let v6_other = assignment
        .iter()
        .find(|(client, version)| client.is_ipv6() && *version != CANARY);
    for (client, _) in v4_canary.into_iter().chain(v6_other) {
        scene.show(&["explain", SERVICE, &client.to_string()])?;
    }
    Ok(())
}
