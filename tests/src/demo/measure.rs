//! Owns the scenario that compares what is measured with the truth: servers that wait, fail and reset
//! by a schedule, and beside it what `splitter status` says of them.
//!
//! Invariant: counts must agree exactly, a median within two cells of the histogram with what the
//! clients measured; else the scenario fails.

mod schedule;
mod table;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use splitter_common::histogram::cell;

use self::schedule::{Act, Schedule};
use super::{
    Assignment, DemoOptions,
    scene::{Scene, tcp_target},
};
use crate::{
    client::{AskError, wire},
    netns::NetnsRuntime,
    server::Scripted,
    supervise::StopFlag,
};

/// Requests of each client.
const ASKS: usize = 12;
/// Requests on one connection, if it is not reset before.
const ASKS_PER_CONNECTION: usize = 3;
/// Clients that ask at the same time.
const PARALLEL: usize = 16;
/// After this long nothing is on its way any more.
const QUIET: Duration = Duration::from_secs(1);
/// How many cells of the histogram a median may lie off what clients measured.
const CELLS_APART_MAX: usize = 2;

/// The figures as `--json` writes them.
#[derive(Clone, Debug, Serialize)]
struct MeasureReport {
    versions: BTreeMap<String, VersionReport>,
}

/// What was measured of a version, and what its schedule and its clients say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct VersionReport {
    clients: u64,
    requests: u64,
    handshakes: u64,
    expected_handshakes: u64,
    turns: u64,
    expected_turns: u64,
    http_2xx: u64,
    expected_2xx: u64,
    http_5xx: u64,
    expected_5xx: u64,
    resets_by_server: u64,
    expected_resets: u64,
    resets_by_server_early: u64,
    expected_resets_early: u64,
    turn_p50_us: u64,
    /// The median of what clients waited; the schedule's delay is a little less.
    expected_turn_p50_us: u64,
    scheduled_delay_us: u64,
}

/// What the clients of a version did and saw.
#[derive(Clone, Debug, Default)]
struct Truth {
    clients: u64,
    connections: u64,
    requests: u64,
    resets_early: u64,
    waited: Vec<Duration>,
}

/// Runs the scenario, printing as it goes. Says whether all that should hold did hold.
pub(super) fn run(options: &DemoOptions, stop: &StopFlag) -> Result<bool> {
    let schedules = Schedule::of_versions();
    let served = schedules.clone();
    let http1 = "protocol = \"http1\"\n";
    let scene = Scene::build(options.same_interface, 50, http1, stop, |topology, port| {
        Scripted::start_all(topology, port, move |version, stream| {
            schedule::serve(served.get(&version).cloned(), stream)
        })
    })?;
    table::print_schedules(&schedules);
    let assignment = scene.explain_all()?;
    let truth = ask_all(&scene.topology.client.runtime()?, &assignment, stop)?;
    stop.check()?;
    thread::sleep(QUIET);

    let status = scene.daemon.status_json()?;
    let mut report = MeasureReport {
        versions: BTreeMap::new(),
    };
    for (name, schedule) in &schedules {
        let truth = truth.get(name).cloned().unwrap_or_default();
        let measured = version(&status, name)?;
        let compared = compare(measured, schedule, truth)?;
        report.versions.insert(name.clone(), compared);
    }
    if let Some(path) = &options.json {
        write(path, &report)?;
    }
    let holds = table::print(&report.versions);
    Ok(holds)
}

fn write(path: &Path, report: &MeasureReport) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// A version of the one service, from `status`.
fn version<'s>(status: &'s Value, name: &str) -> Result<&'s Value> {
    let versions = status["services"][0]["versions"].as_array();
    let found = versions.and_then(|all| all.iter().find(|version| version["name"] == name));
    found.with_context(|| format!("status names no version {name}: {status}"))
}

fn compare(measured: &Value, schedule: &Schedule, mut truth: Truth) -> Result<VersionReport> {
    let number = |path: &str| {
        let value = measured.pointer(path).and_then(Value::as_u64);
        value.with_context(|| format!("status says no {path}: {measured}"))
    };
    truth.waited.sort_unstable();
    let middle = truth.waited.get(truth.waited.len() / 2);
    let middle = middle.copied().unwrap_or_default();
    let expected = |act| schedule.how_many(act, truth.requests);
    let (expected_2xx, expected_5xx) = (expected(Act::Answer), expected(Act::Fail));
    Ok(VersionReport {
        clients: truth.clients,
        requests: truth.requests,
        handshakes: number("/counters/handshakes")?,
        expected_handshakes: truth.connections,
        turns: number("/times/turn/count")?,
        expected_turns: expected_2xx + expected_5xx,
        http_2xx: number("/http/http_2xx")?,
        expected_2xx,
        http_5xx: number("/http/http_5xx")?,
        expected_5xx,
        resets_by_server: number("/counters/resets_by_server")?,
        expected_resets: expected(Act::Reset),
        resets_by_server_early: number("/counters/resets_by_server_early")?,
        expected_resets_early: truth.resets_early,
        turn_p50_us: number("/times/turn/p50_us")?,
        expected_turn_p50_us: micros(middle),
        scheduled_delay_us: micros(schedule.delay),
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl VersionReport {
    /// What was counted, what it was, and what it should have been.
    fn counts(&self) -> [(&'static str, u64, u64); 6] {
        [
            ("handshakes", self.handshakes, self.expected_handshakes),
            ("turns", self.turns, self.expected_turns),
            ("HTTP 2xx", self.http_2xx, self.expected_2xx),
            ("HTTP 5xx", self.http_5xx, self.expected_5xx),
            (
                "resets by server",
                self.resets_by_server,
                self.expected_resets,
            ),
            (
                "  before any data",
                self.resets_by_server_early,
                self.expected_resets_early,
            ),
        ]
    }

    /// Whether the median is what clients measured.
    fn times_agree(&self) -> bool {
        cell(self.turn_p50_us).abs_diff(cell(self.expected_turn_p50_us)) <= CELLS_APART_MAX
    }
}

/// Lets every client ask, and says what those of each version did.
fn ask_all(
    runtime: &NetnsRuntime,
    assignment: &Assignment,
    stop: &StopFlag,
) -> Result<BTreeMap<String, Truth>> {
    let truth: Arc<Mutex<BTreeMap<String, Truth>>> = Arc::default();
    let (noted, stop) = (Arc::clone(&truth), stop.clone());
    let assignment = assignment.clone();
    let results = runtime.block_on(async move {
        let clients = assignment.keys().copied().collect();
        wire::for_each(clients, PARALLEL, move |client| {
            let (noted, stop) = (Arc::clone(&noted), stop.clone());
            let version = assignment.get(&client).cloned().unwrap_or_default();
            async move {
                let truth = ask(client, &stop).await;
                let truth = truth.with_context(|| format!("{client} asks {version}"))?;
                let mut noted = noted.lock().unwrap_or_else(|broken| broken.into_inner());
                noted.entry(version).or_default().add(truth);
                anyhow::Ok(())
            }
        })
        .await
    });
    results.into_iter().collect::<Result<()>>()?;
    let truth = truth.lock().unwrap_or_else(|broken| broken.into_inner());
    Ok(truth.clone())
}

/// All requests of one client, one after the other.
async fn ask(client: IpAddr, stop: &StopFlag) -> Result<Truth, AskError> {
    let mut truth = Truth {
        clients: 1,
        ..Truth::default()
    };
    let mut open = None;
    for _ in 0..ASKS {
        if stop.is_raised() {
            break;
        }
        let (mut stream, asked) = match open.take() {
            Some(open) => open,
            None => {
                truth.connections += 1;
                (wire::connect(client, tcp_target(client)).await?, 0)
            }
        };
        truth.requests += 1;
        let begin = Instant::now();
        match wire::exchange(&mut stream, schedule::ASK, schedule::END).await {
            Ok(()) => {
                truth.waited.push(begin.elapsed());
                open = (asked + 1 < ASKS_PER_CONNECTION).then_some((stream, asked + 1));
            }
            Err(AskError::Reset) => truth.resets_early += u64::from(asked == 0),
            Err(error) => return Err(error),
        }
    }
    Ok(truth)
}

impl Truth {
    fn add(&mut self, other: Self) {
        self.clients += other.clients;
        self.connections += other.connections;
        self.requests += other.requests;
        self.resets_early += other.resets_early;
        self.waited.extend(other.waited);
    }
}
