//! Owns the times of commits, of the real daemon: a start with many services, and a weight change.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::report::median;
use crate::daemon::Daemon;
use crate::supervise::StopFlag;
use crate::topology::{Topology, TopologyOptions};

/// Weight changes whose median is told.
const CHANGES: u32 = 9;

/// How long commits took.
#[derive(Clone, Debug, Serialize)]
pub struct CommitTimes {
    /// Services of two versions of ten backends each.
    pub services: u32,
    /// From the start of the daemon, over nothing, until it answers, seconds.
    pub cold_s: f64,
    /// Memory of the daemon's process beside its maps after it, MiB.
    pub daemon_mib: f64,
    /// `splitter weight set` of one of them, the command's own start included, milliseconds.
    pub weight_set_ms: f64,
    /// The same with a single service.
    pub weight_set_alone_ms: f64,
    /// What `check` says of a thousand services of eight versions of a hundred backends each.
    pub too_many: String,
}

/// Measures them.
pub(super) fn run(stop: &StopFlag) -> Result<CommitTimes> {
    let services = 1_000;
    let topology = Topology::build(&TopologyOptions::default())?;
    // All backends are behind one gateway.
    topology
        .lb
        .ip_batch("route add 10.128.0.0/9 via 10.2.0.11\n")?;
    let interfaces = &topology.lb_interfaces;
    let (_, weight_set_alone_ms) = one(&topology, &config(interfaces, 1, 2, 10), stop)?;
    let (started, weight_set_ms) = one(&topology, &config(interfaces, services, 2, 10), stop)?;
    let daemon = Daemon::prepare(&topology.lb, &config(interfaces, 1_000, 8, 100))?;
    let path = daemon.config_path();
    let output = daemon.cli_offline(&["check", &path.to_string_lossy()])?;
    let name = path.to_string_lossy().into_owned();
    Ok(CommitTimes {
        services,
        cold_s: started.cold_s,
        daemon_mib: started.daemon_mib,
        weight_set_ms,
        weight_set_alone_ms,
        too_many: (output.stdout + &output.stderr).replace(&name, "FILE"),
    })
}

struct Started {
    cold_s: f64,
    daemon_mib: f64,
}

fn one(topology: &Topology, config: &str, stop: &StopFlag) -> Result<(Started, f64)> {
    stop.check()?;
    let mut daemon = Daemon::prepare(&topology.lb, config)?;
    let begin = Instant::now();
    daemon.serve()?;
    let cold_s = begin.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for change in 1..=CHANGES {
        let weight = format!("canary={change}%");
        let begin = Instant::now();
        daemon.cli_ok(&["weight", "set", "s0", &weight])?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let daemon_mib = daemon.anonymous_mib()?;
    daemon.stop()?;
    let started = Started { cold_s, daemon_mib };
    Ok((started, median(times).unwrap_or_default()))
}

/// So many services, each of so many versions of so many backends.
fn config(interfaces: &[&str], services: u32, versions: u32, backends: u32) -> String {
    let mut text = String::from("[limits]\nflows = 65536\npending = 16384\n");
    let mut line = |told: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = text.write_fmt(told);
    };
    for name in interfaces {
        line(format_args!("[[interface]]\nname = \"{name}\"\n"));
    }
    let mut host = 0x0a80_0001_u32;
    for service in 0..services {
        let vip = std::net::Ipv4Addr::from(0xcb00_7100 + service);
        line(format_args!(
            "[service.s{service}]\nvips = [\"{vip}:80/tcp\"]\n"
        ));
        for version in 0..versions {
            let name = match version {
                0 => "stable".to_owned(),
                1 => "canary".to_owned(),
                more => format!("v{more}"),
            };
            let role = if version == 0 {
                "baseline = true"
            } else {
                "weight = \"0%\""
            };
            let list: Vec<String> = (0..backends)
                .map(|_| {
                    host += 1;
                    format!("\"{}:80\"", std::net::Ipv4Addr::from(host))
                })
                .collect();
            line(format_args!(
                "[service.s{service}.version.{name}]\n{role}\nbackends = [{}]\n",
                list.join(", ")
            ));
        }
    }
    text
}
