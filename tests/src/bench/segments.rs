//! Owns what lists of a million prefixes and members cost: the loading of the real daemon under a paced
//! stream whose datagrams are counted, and what a look-up costs a new flow's packet.
//!
//! Invariant: every datagram of a stream came back, or is counted by an interface or socket, or is lost.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use serde::Serialize;
use splitter_common::prefix::{PrefixKey, PrefixRow};

use self::look_ups::LookUp;
use crate::count::{Counts, Stream, TRIAL, sustained};
use crate::daemon::Daemon;
use crate::supervise::StopFlag;
use crate::topology::{Topology, TopologyOptions};

mod look_ups;

const MILLION: u32 = 1_000_000;
const PORT: u16 = 8_080;
/// How long a list may take to go.
const FREE_LIMIT: Duration = Duration::from_secs(60);

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Segments {
    /// `splitter reload` of a service whose segment gets a million prefixes, seconds.
    pub(super) prefixes_1m_load_s: f64,
    /// `splitter weight set` with them in force, milliseconds.
    pub(super) weight_set_ms: f64,
    /// From the reload that leaves them out until the last one is out of the table, seconds.
    pub(super) prefixes_1m_free_s: f64,
    /// `splitter cohort import` of a million addresses, seconds.
    pub(super) cohort_1m_load_s: f64,
    /// Datagrams a second of the stream during the load, half as many a tick as came through whole and could
    /// be sent at all.
    pub(super) paced_per_s: f64,
    /// During the load, the free and the import.
    pub(super) sent: [u64; 3],
    /// Those that came back.
    pub(super) received: [u64; 3],
    /// Drops that interfaces and sockets counted.
    pub(super) counted_drops: [u64; 3],
    /// Sent, not back, and counted by nobody.
    pub(super) lost_packets: u64,
    /// What a look-up costs.
    pub(super) look_ups: Vec<LookUp>,
}

/// Measures and prints all of it.
pub(super) fn run(object: &[u8], quick: bool, stop: &StopFlag) -> Result<Segments> {
    let mut segments = loads(stop)?;
    println!(
        "1,000,000 prefixes: loaded in {:.2} s (<= 5 s), weight set {:.1} ms, freed in {:.2} s; 1,000,000 \
         members: imported in {:.2} s (<= 5 s)",
        segments.prefixes_1m_load_s,
        segments.weight_set_ms,
        segments.prefixes_1m_free_s,
        segments.cohort_1m_load_s
    );
    println!(
        "at {:.0} datagrams/s, load, free, import: sent {:?}, received {:?}, counted drops {:?}, lost {}",
        segments.paced_per_s,
        segments.sent,
        segments.received,
        segments.counted_drops,
        segments.lost_packets
    );
    segments.look_ups = look_ups::run(object, quick, stop)?;
    Ok(segments)
}

/// The address of a number, scattered over a quarter of all of IPv4, each another.
fn scattered(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x1000_0000 + (number.wrapping_mul(0x9e37_79b1) & 0x3fff_ffff))
}

fn lines(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", scattered(number));
        text
    })
}

fn loads(stop: &StopFlag) -> Result<Segments> {
    let topology = Topology::build(&TopologyOptions::default())?;
    let plain = config(&topology, "");
    let listed = config(
        &topology,
        "segment = [{ name = \"many\", match = { prefix_file = \"many.txt\" }, weight = { canary = \
         \"0%\" } }]\n",
    );
    let mut daemon = Daemon::prepare(&topology.lb, &plain)?;
    let dir = daemon.config_path();
    let dir = dir.parent().context("a configuration without a folder")?;
    let (prefixes, members) = (dir.join("many.txt"), dir.join("members.csv"));
    for path in [&prefixes, &members] {
        std::fs::write(path, lines(MILLION)).with_context(|| path.display().to_string())?;
    }
    daemon.serve()?;
    daemon.cli_ok(&["cohort", "create", "many"])?;
    let per_tick = sustained(&topology, PORT, || stop.check())? / 2;
    let per_tick = per_tick.max(1);
    let timed = |what: &dyn Fn() -> Result<()>| -> Result<(f64, Counts)> {
        stop.check()?;
        let stream = Stream::paced(&topology, PORT, per_tick)?;
        thread::sleep(TRIAL);
        let begin = Instant::now();
        let done = what();
        let elapsed = begin.elapsed().as_secs_f64();
        let counts = stream.stop(&topology)?;
        done.map(|()| (elapsed, counts))
    };
    daemon.write_config(&listed)?;
    let (prefixes_1m_load_s, load) = timed(&|| daemon.cli_ok(&["reload"]).map(drop))?;
    let begin = Instant::now();
    daemon.cli_ok(&["weight", "set", "shop", "canary=1%"])?;
    let weight_set_ms = begin.elapsed().as_secs_f64() * 1e3;
    daemon.cli_ok(&["weight", "set", "shop", "canary=0%"])?;
    daemon.write_config(&plain)?;
    let (prefixes_1m_free_s, free) = timed(&|| {
        daemon.cli_ok(&["reload"])?;
        freed(&daemon)
    })?;
    let members = members.to_string_lossy().into_owned();
    let import = || daemon.cli_ok(&["cohort", "import", "many", &members]);
    let (cohort_1m_load_s, import) = timed(&|| import().map(drop))?;
    daemon.stop()?;
    let of = [load, free, import];
    let lost = |counts: &Counts| counts.sent.saturating_sub(counts.received + counts.dropped);
    Ok(Segments {
        prefixes_1m_load_s,
        weight_set_ms,
        prefixes_1m_free_s,
        cohort_1m_load_s,
        paced_per_s: load.sent as f64 / (TRIAL.as_secs_f64() + prefixes_1m_load_s),
        sent: of.map(|counts| counts.sent),
        received: of.map(|counts| counts.received),
        counted_drops: of.map(|counts| counts.dropped),
        lost_packets: of.iter().map(lost).sum(),
        look_ups: Vec::new(),
    })
}

/// Waits until the table of prefixes of a daemon is empty.
fn freed(daemon: &Daemon) -> Result<()> {
    let data = MapData::from_pin(daemon.layout_dir().join("map_PREFIXES"))?;
    let table: HashMap<_, [u8; size_of::<PrefixKey>()], [u8; size_of::<PrefixRow>()]> =
        HashMap::try_from(Map::HashMap(data))?;
    let begin = Instant::now();
    while table.keys().next().is_some() {
        ensure!(begin.elapsed() < FREE_LIMIT, "prefixes stay in the table");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A service all of whose clients go to the first backend.
fn config(topology: &Topology, segment: &str) -> String {
    let interfaces: String = topology
        .lb_interfaces
        .iter()
        .map(|name| format!("[[interface]]\nname = \"{name}\"\nxdp = \"native\"\n"))
        .collect();
    let [stable, canary] = [0, 1].map(|at| IpAddr::V4(topology.backends[at].v4));
    format!(
        "[limits]\nflows = 65536\npending = 16384\nprefixes = 1100000\ncohort_members = 1100000\n\
         {interfaces}[service.shop]\nvips = [\"203.0.113.10:{PORT}/udp\"]\n{segment}\
         [service.shop.version.stable]\nbaseline = true\nbackends = [\"{stable}:{PORT}\"]\n\
         [service.shop.version.canary]\nweight = \"0%\"\nbackends = [\"{canary}:{PORT}\"]\n"
    )
}
