//! Owns the network that tests run in: client, load balancer and backends, each in a namespace.
//!
//! ```text
//! two interfaces:   client eth0 ---- cli0 lb srv0 ---- [bridge in switch] ---- eth0 b1, b2, ..
//! one interface:    client eth0 ---- [bridge in switch] ---- net0 lb
//!                   b1, b2, .. eth0 ----^
//! ```
//!
//! Invariant: once built, plain routing works between every client address and every backend, every
//! veth end can take frames from XDP, and nobody owns a VIP. Dropping the value removes it all.

mod plan;
mod second;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};

use crate::ethtool;
use crate::netns::Netns;
use crate::sys;
use plan::{Member, lb_commands, member_commands};

/// The IPv4 address that clients dial.
pub const VIP_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The IPv6 address that clients dial.
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// What to build.
#[derive(Clone, Debug)]
pub struct TopologyOptions {
    /// The version that each backend serves, in order: `b1`, `b2` and so on.
    pub backend_versions: Vec<String>,
    /// IPv4 client addresses beside the client's own.
    pub clients_v4: u16,
    /// IPv6 client addresses, each from a /64 of its own.
    pub clients_v6: u16,
    /// Client side and backend side on the same interface of the load balancer.
    pub same_interface: bool,
}

impl Default for TopologyOptions {
    /// Two stable and two canary backends, 16 + 16 client addresses, two interfaces.
    fn default() -> Self {
        Self {
            backend_versions: ["stable", "stable", "canary", "canary"]
                .map(String::from)
                .to_vec(),
            clients_v4: 16,
            clients_v6: 16,
            same_interface: false,
        }
    }
}

/// One server host.
#[derive(Clone, Debug)]
pub struct Backend {
    /// `b1`, `b2`, ..
    pub name: String,
    /// The version that it serves.
    pub version: String,
    /// Its namespace; its interface is `eth0`.
    pub netns: Netns,
    /// `10.2.0.11` for `b1`, and so on.
    pub v4: Ipv4Addr,
    /// `fd02::11` for `b1`, and so on: the same digits as in IPv4.
    pub v6: Ipv6Addr,
}

/// A network that is up.
#[derive(Debug)]
pub struct Topology {
    /// Where clients run; its interface is `eth0`.
    pub client: Netns,
    /// Where `splitter serve` runs.
    pub lb: Netns,
    /// The load balancer's interfaces: `cli0` and `srv0`, or `net0` alone.
    pub lb_interfaces: Vec<&'static str>,
    /// The servers.
    pub backends: Vec<Backend>,
    /// The IPv4 client addresses, `10.100.x.y`.
    pub clients_v4: Vec<Ipv4Addr>,
    /// The IPv6 client addresses, `fd64:0:0:i::1`.
    pub clients_v6: Vec<Ipv6Addr>,
    /// Holds the bridge.
    switch: Netns,
    /// The links of the programs that the load balancer's peers need for XDP_TX.
    peer_programs: Vec<OwnedFd>,
}

impl Topology {
    /// Builds the network.
    ///
    /// # Errors
    ///
    /// When the caller is not root, the kernel lacks veth or bridge, or there are more backends or
    /// clients than addresses.
    pub fn build(options: &TopologyOptions) -> Result<Self> {
        ensure!(
            options.backend_versions.len() <= plan::BACKENDS_MAX,
            "at most {} backends have addresses",
            plan::BACKENDS_MAX
        );
        ensure!(
            options.clients_v4 <= plan::CLIENTS_V4_MAX,
            "at most {} IPv4 clients have addresses",
            plan::CLIENTS_V4_MAX
        );
        let mut topology = Self::name(options)?;
        for netns in topology.namespaces() {
            prepare(netns).context("cannot prepare a namespace")?;
        }
        topology.lay_cables(options.same_interface)?;
        topology.give_addresses(options.same_interface)?;
        topology.let_lb_forward()?;
        Ok(topology)
    }

    /// Every client address.
    pub fn clients(&self) -> Vec<IpAddr> {
        let v4 = self.clients_v4.iter().copied().map(IpAddr::V4);
        let v6 = self.clients_v6.iter().copied().map(IpAddr::V6);
        v4.chain(v6).collect()
    }

    /// Sets the other end of the load balancer's cable to the backends up or down.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_lb_port(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        self.switch.ip(&["link", "set", "p-lb", state]).map(drop)
    }

    /// The backends of a version.
    pub fn backends_of<'a>(&'a self, version: &'a str) -> impl Iterator<Item = &'a Backend> {
        self.backends.iter().filter(move |b| b.version == version)
    }

    fn name(options: &TopologyOptions) -> Result<Self> {
        let backends = options.backend_versions.iter().enumerate();
        let backends = backends.map(|(index, version)| {
            let name = format!("b{}", index + 1);
            Ok(Backend {
                netns: Netns::new(&name)?,
                name,
                version: version.clone(),
                v4: plan::backend_v4(index),
                v6: plan::backend_v6(index),
            })
        });
        Ok(Self {
            client: Netns::new("client")?,
            lb: Netns::new("lb")?,
            switch: Netns::new("switch")?,
            peer_programs: Vec::new(),
            lb_interfaces: if options.same_interface {
                vec!["net0"]
            } else {
                vec!["cli0", "srv0"]
            },
            backends: backends.collect::<Result<_>>()?,
            clients_v4: (0..options.clients_v4).map(plan::client_v4).collect(),
            clients_v6: (0..options.clients_v6).map(plan::client_v6).collect(),
        })
    }

    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        let backends = self.backends.iter().map(|backend| &backend.netns);
        [&self.client, &self.lb, &self.switch]
            .into_iter()
            .chain(backends)
    }

    fn lay_cables(&mut self, same_interface: bool) -> Result<()> {
        // Without snooping the bridge floods neighbour discovery at once; spanning tree would keep
        // ports silent for seconds.
        self.switch.ip_batch(
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
             link set br0 up\n",
        )?;
        if same_interface {
            self.plug_in(&self.lb, "net0", "p-lb")?;
            self.plug_in(&self.client, "eth0", "p-client")?;
        } else {
            cable(&self.lb, "cli0", &self.client, "eth0")?;
            self.plug_in(&self.lb, "srv0", "p-lb")?;
            let client_side = self.client.run(|| sys::attach_xdp_pass("eth0"))?;
            self.peer_programs.push(client_side);
        }
        // A veth wakes its peer after XDP_TX only when the peer has a program of its own
        // (drivers/net/veth.c, veth_xdp_flush); GRO is enough for redirected frames alone.
        let backend_side = self.switch.run(|| sys::attach_xdp_pass("p-lb"))?;
        self.peer_programs.push(backend_side);
        for backend in &self.backends {
            self.plug_in(&backend.netns, "eth0", &format!("p-{}", backend.name))?;
        }
        Ok(())
    }

    fn plug_in(&self, netns: &Netns, interface: &str, port: &str) -> Result<()> {
        cable(netns, interface, &self.switch, port)?;
        self.switch.ip(&["link", "set", port, "master", "br0"])?;
        Ok(())
    }

    fn give_addresses(&self, same_interface: bool) -> Result<()> {
        self.lb.ip_batch(&lb_commands(same_interface))?;
        self.client.ip_batch(&member_commands(&Member::CLIENT))?;
        let mut extra = String::new();
        for address in self.clients() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let nodad = if address.is_ipv4() { "" } else { " nodad" };
            extra += &format!("address add {address}/{bits} dev lo{nodad}\n");
        }
        self.client.ip_batch(&extra)?;
        for backend in &self.backends {
            backend
                .netns
                .ip_batch(&member_commands(&Member::backend(backend.v4, backend.v6)))?;
        }
        Ok(())
    }

    fn let_lb_forward(&self) -> Result<()> {
        self.lb.sysctl("net/ipv4/ip_forward", "1")?;
        self.lb.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        // With one interface the kernel would tell hosts to go round the load balancer.
        for name in ["all", "default"].iter().chain(&self.lb_interfaces) {
            self.lb
                .sysctl(&format!("net/ipv4/conf/{name}/send_redirects"), "0")?;
        }
        Ok(())
    }
}

/// Where a client of the same address family finds the service: VIP and port.
pub fn vip_for(client: IpAddr, port: u16) -> SocketAddr {
    match client {
        IpAddr::V4(_) => SocketAddr::from((VIP_V4, port)),
        IpAddr::V6(_) => SocketAddr::from((VIP_V6, port)),
    }
}

/// Sets what interfaces inherit when they come into being, so it must come before them.
fn prepare(netns: &Netns) -> Result<()> {
    for name in ["all", "default"] {
        netns.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
        netns.sysctl(&format!("net/ipv4/conf/{name}/accept_redirects"), "0")?;
        netns.sysctl(&format!("net/ipv6/conf/{name}/accept_redirects"), "0")?;
        netns.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "0")?;
        // Duplicate address detection keeps addresses unusable for a second.
        netns.sysctl(&format!("net/ipv6/conf/{name}/accept_dad"), "0")?;
    }
    Ok(())
}

/// Lays a veth pair with MTU 1500, both ends up and ready for XDP.
pub(crate) fn cable(left: &Netns, left_name: &str, right: &Netns, right_name: &str) -> Result<()> {
    let peer = right.path();
    left.ip(&[
        "link", "add", left_name, "mtu", "1500", "type", "veth", "peer", "name", right_name, "mtu",
        "1500", "netns", &peer,
    ])?;
    let ends = [(left, left_name), (right, right_name)];
    for (netns, name) in ends {
        ethtool::prepare_veth(netns, name)?;
    }
    // Only now: when an end comes up the kernel looks whether its peer has GRO, and if not, never
    // takes it as the target of a redirect (veth_set_xdp_features).
    for (netns, name) in ends {
        netns.ip(&["link", "set", name, "up"])?;
    }
    Ok(())
}
