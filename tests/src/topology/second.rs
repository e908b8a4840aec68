//! Owns the second load balancer: on the same network as the first one, with addresses of its own,
//! and traffic that is led through it all at once.

use anyhow::{Context as _, Result, ensure};

use super::{Topology, prepare};
use crate::{netns::Netns, sys};

/// The second load balancer's last address byte, where the first one has 1.
const HOST: u8 = 3;

impl Topology {
    /// Puts a second load balancer beside the one of a single interface, which is called as that of
    /// the first.
    ///
    /// # Errors
    ///
    /// When the first one has two interfaces, or the kernel refuses.
    pub fn add_second_lb(&mut self) -> Result<Netns> {
        ensure!(
            self.lb_interfaces == ["net0"],
            "a second load balancer needs the network of a single interface"
        );
        let second = Netns::new("lb2")?;
        prepare(&second).context("cannot prepare the second load balancer")?;
        self.plug_in(&second, "net0", "p-lb2")?;
        let peer = self.switch.run(|| sys::attach_xdp_pass("p-lb2"))?;
        self.peer_programs.push(peer);
        second.ip_batch(&format!(
            "address add 10.1.0.{HOST}/24 dev net0\n\
             address add fd01::{HOST}/64 dev net0 nodad\n\
             address add 10.2.0.{HOST}/24 dev net0\n\
             address add fd02::{HOST}/64 dev net0 nodad\n\
             route add 10.100.0.0/16 via 10.1.0.2\n\
             route add fd64::/16 via fd01::2\n"
        ))?;
        second.sysctl("net/ipv4/ip_forward", "1")?;
        second.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        for name in ["all", "default", "net0"] {
            second.sysctl(&format!("net/ipv4/conf/{name}/send_redirects"), "0")?;
        }
        Ok(second)
    }

    /// Leads everything from clients and backends through the second load balancer.
    ///
    /// # Errors
    ///
    /// When a route cannot be replaced.
    pub fn lead_through_second_lb(&self) -> Result<()> {
        let through = |netns: &Netns, network: u8| {
            netns.ip_batch(&format!(
                "route replace default via 10.{network}.0.{HOST}\n\
                 route replace default via fd0{network}::{HOST}\n"
            ))
        };
        through(&self.client, 1)?;
        for backend in &self.backends {
            through(&backend.netns, 2)?;
        }
        Ok(())
    }
}
