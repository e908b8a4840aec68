//! Owns what others see of the model: traffic is made, and laws are checked, with an eye on it.

use std::net::IpAddr;

use super::{Client, Count, Model, Server, Socket};

/// A flow that the model remembers, as traffic is made from it.
#[derive(Clone, Copy, Debug)]
pub struct FlowView {
    /// The client.
    pub client: Client,
    /// What it dialled.
    pub vip: Socket,
    /// Address and port of the server that it has.
    pub server: (IpAddr, u16),
    /// The client's first sequence number.
    pub client_seq: u32,
    /// The server's first sequence number, once it has answered.
    pub server_seq: Option<u32>,
}

impl Model {
    /// The VIP that a packet to that socket dials.
    pub fn dialled(&self, socket: &Socket) -> Option<Socket> {
        let vip = self.site.dialled(socket)?;
        Some(self.site.vip(vip)?.socket)
    }

    /// The VIP that packets from that socket belong to.
    pub fn served(&self, socket: &Socket) -> Option<Socket> {
        let origin = self.site.origin(socket)?;
        Some(self.site.vip(origin.vip)?.socket)
    }

    /// The VIPs in force.
    pub fn vips(&self) -> impl Iterator<Item = Socket> {
        self.site.vips().map(|vip| vip.socket)
    }

    /// Where servers speak from.
    pub fn origins(&self) -> impl Iterator<Item = &Socket> {
        self.site.origins()
    }

    /// The servers in force and what they have counted.
    pub fn counts(&self) -> impl Iterator<Item = (&Server, Count)> {
        let count = |number| self.counts.0.get(&number).copied().unwrap_or_default();
        self.site
            .servers()
            .map(move |(number, server)| (server, count(number)))
    }

    /// How many flows are remembered.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// One of them, below [`Self::flow_count`].
    pub fn flow(&self, nth: usize) -> Option<FlowView> {
        let ((client, vip), flow) = self.flows.iter().nth(nth)?;
        let vip = self.site.vip(*vip)?.socket;
        let target = self.site.target(flow.server, vip.1)?;
        Some(FlowView {
            client: *client,
            vip,
            server: (target.address, target.port),
            client_seq: flow.client_seq,
            server_seq: flow.server_seq,
        })
    }
}
