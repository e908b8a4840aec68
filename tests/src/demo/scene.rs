//! Owns the demo's stage: the network, the servers, and `splitter` between them.

use std::any::Any;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Assignment;
use crate::daemon::Daemon;
use crate::load::{Load, LoadMode, LoadOptions};
use crate::supervise::StopFlag;
use crate::topology::{Topology, TopologyOptions, VIP_V4, VIP_V6, vip_for};

/// The one service.
pub(super) const SERVICE: &str = "shop";
/// The baseline version.
pub(super) const STABLE: &str = "stable";
/// The new version.
pub(super) const CANARY: &str = "canary";
/// The VIPs' TCP port.
pub(super) const TCP_PORT: u16 = 80;
/// The VIPs' UDP port.
pub(super) const UDP_PORT: u16 = 53;

/// The backends' port, TCP and UDP.
const BACKEND_PORT: u16 = 8080;
const CLIENTS_V4: u16 = 160;
const CLIENTS_V6: u16 = 96;
/// The load that goes on while weights change.
const BACKGROUND_REQUESTS_PER_S: u32 = 200;
/// Longer than the demo may take.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(170);

/// Everything that the demo runs on. Dropping it removes it all.
pub(super) struct Scene {
    // Fields are dropped in this order: first the program, then what it works on.
    pub(super) daemon: Daemon,
    _servers: Box<dyn Any>,
    pub(super) topology: Topology,
}

impl Scene {
    /// `service`: lines of the service's table; `start` starts the servers on all backends.
    pub(super) fn build<S: 'static>(
        same_interface: bool,
        canary_percent: u32,
        service: &str,
        stop: &StopFlag,
        start: impl FnOnce(&Topology, u16) -> Result<S>,
    ) -> Result<Self> {
        println!(
            "{} clients -- [ splitter, XDP ] -- 2 x {STABLE}, 2 x {CANARY}",
            CLIENTS_V4 + CLIENTS_V6
        );
        println!(
            "service {SERVICE}: {VIP_V4} and {VIP_V6}, TCP {TCP_PORT} and UDP {UDP_PORT}; \
             {CLIENTS_V4} clients by IPv4, {CLIENTS_V6} by IPv6"
        );
        let topology = Topology::build(&TopologyOptions {
            clients_v4: CLIENTS_V4,
            clients_v6: CLIENTS_V6,
            same_interface,
            ..TopologyOptions::default()
        })?;
        stop.check()?;
        let servers = start(&topology, BACKEND_PORT)?;
        let text = config(&topology, canary_percent, service);
        let daemon = Daemon::start(&topology.lb, &text)?;
        stop.check()?;
        Ok(Self {
            daemon,
            _servers: Box::new(servers),
            topology,
        })
    }

    pub(super) fn clients(&self) -> Vec<IpAddr> {
        self.topology.clients()
    }

    /// `count` clients, evenly spread over all, beginning with client `first`.
    pub(super) fn every_nth_client(&self, count: usize, first: usize) -> Vec<IpAddr> {
        let clients = self.clients();
        let step = (clients.len() / count).max(1);
        clients.into_iter().skip(first).step_by(step).collect()
    }

    /// Sets the canary's weight with the command that an operator would use.
    pub(super) fn set_weight(&self, percent: u32) -> Result<()> {
        let weight = format!("{CANARY}={percent}%");
        self.daemon.cli_ok(&["weight", "set", SERVICE, &weight])?;
        Ok(())
    }

    /// What `splitter explain` says of every client, over the API that the command uses.
    pub(super) fn explain_all(&self) -> Result<Assignment> {
        let clients = self.clients().into_iter();
        clients
            .map(|client| {
                let path = format!("/v1/services/{SERVICE}/explain?client={client}");
                let explanation = self.daemon.api_get(&path)?;
                let version = explanation["version"]
                    .as_str()
                    .with_context(|| format!("explain names no version: {explanation}"))?;
                Ok((client, version.to_owned()))
            })
            .collect()
    }

    /// The canary's share of new flows since the last change, as the kernel counted it.
    pub(super) fn kernel_share(&self) -> Result<Option<f64>> {
        let status = self.daemon.status_json()?;
        let versions = status["services"][0]["versions"]
            .as_array()
            .with_context(|| format!("status names no versions: {status}"))?;
        let canary = versions.iter().find(|version| version["name"] == CANARY);
        Ok(canary.and_then(|version| version["share_flows"].as_f64()))
    }

    /// Shows a command and what it prints.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<()> {
        let output = self.daemon.cli_ok(arguments)?;
        println!(
            "\n$ splitter {}\n{}",
            arguments.join(" "),
            output.trim_end()
        );
        Ok(())
    }

    /// What the daemon itself reported, for whoever has to find out why nothing works.
    pub(super) fn daemon_log(&self) -> String {
        self.daemon.log()
    }

    /// New connections from all clients that go on through every change.
    pub(super) fn start_background_load(&self) -> Result<Load> {
        let vips = [IpAddr::from(VIP_V4), IpAddr::from(VIP_V6)];
        let options = LoadOptions {
            clients: self.clients(),
            targets: vips.map(|vip| SocketAddr::new(vip, TCP_PORT)).to_vec(),
            requests_per_s: BACKGROUND_REQUESTS_PER_S,
            duration: BACKGROUND_LIMIT,
            concurrency: 16,
            mode: LoadMode::NewConnection,
        };
        Load::start(&self.topology.client, options)
    }
}

/// The VIP that a client dials over TCP.
pub(super) fn tcp_target(client: IpAddr) -> SocketAddr {
    vip_for(client, TCP_PORT)
}

/// The VIP that a client dials over UDP.
pub(super) fn udp_target(client: IpAddr) -> SocketAddr {
    vip_for(client, UDP_PORT)
}

/// The configuration file.
fn config(topology: &Topology, canary_percent: u32, service: &str) -> String {
    let mut text = String::new();
    for interface in &topology.lb_interfaces {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[interface]]\nname = \"{interface}\"\n");
    }
    let _ = writeln!(
        text,
        "[service.{SERVICE}]\n\
         vips = [\n  \"{VIP_V4}:{TCP_PORT}/tcp\", \"{VIP_V4}:{UDP_PORT}/udp\",\n  \
         \"[{VIP_V6}]:{TCP_PORT}/tcp\", \"[{VIP_V6}]:{UDP_PORT}/udp\",\n]\n\
         forward = \"nat\"\n\
         key = \"client\"\n{service}"
    );
    let weight = format!("weight = \"{canary_percent}%\"");
    for (version, line) in [(STABLE, "baseline = true"), (CANARY, weight.as_str())] {
        let backends: Vec<String> = topology
            .backends_of(version)
            .flat_map(|backend| {
                let [v4, v6] = [IpAddr::from(backend.v4), IpAddr::from(backend.v6)];
                [v4, v6].map(|ip| format!("\"{}\"", SocketAddr::new(ip, BACKEND_PORT)))
            })
            .collect();
        let _ = writeln!(
            text,
            "[service.{SERVICE}.version.{version}]\n{line}\nbackends = [{}]\n",
            backends.join(", ")
        );
    }
    text
}
