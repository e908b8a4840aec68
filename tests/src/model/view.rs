//! Owns what others see of the model: traffic is made, and laws are checked, with an eye on it.

use std::net::IpAddr;

use super::{Client, Count, Counted, Model, Server, Socket, turns::Turns};

/// A flow that the model remembers, as traffic is made from it.
#[derive(Clone, Copy, Debug)]
pub struct FlowView {
    /// The client.
    pub client: Client,
    /// What it dialled, with the dialled port.
    pub vip: Socket,
    /// Address and port of the server that it has.
    pub server: (IpAddr, u16),
    /// The client's first sequence number.
    pub client_seq: u32,
    /// The server's first sequence number, once it has answered.
    pub server_seq: Option<u32>,
    /// The numbers behind what client and server have said, of an established flow.
    pub next: Option<(u32, u32)>,
}

impl Model {
    /// The VIP that a packet to that socket dials, with the dialled port.
    pub fn dialled(&self, socket: &Socket) -> Option<Socket> {
        self.site.dialled(socket).map(|_| *socket)
    }

    /// The VIP that packets from that socket belong to, with the port that was dialled.
    pub fn served(&self, socket: &Socket) -> Option<Socket> {
        let origin = self.site.origin(socket)?;
        let vip = self.site.vip(origin.vip)?;
        Some((vip.socket.0, vip.port_of(socket.1), socket.2))
    }

    /// Whether a server at that socket serves a VIP, given with the dialled port.
    pub fn served_by(&self, vip: &Socket, server: &Socket) -> bool {
        self.served(server) == Some(*vip)
    }

    /// Whether an address has VIPs.
    pub fn has_vips(&self, address: IpAddr) -> bool {
        self.site.has_vips(address)
    }

    /// The VIPs in force; port 0 is every port.
    pub fn vips(&self) -> impl Iterator<Item = Socket> {
        self.site.vips().map(|vip| vip.socket)
    }

    /// Where servers speak from; port 0 is every port.
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

    /// The services that are judged, with what was counted of their clients: by sets of weights, the
    /// one in force last.
    pub fn evidence(&self) -> impl Iterator<Item = (&str, Vec<Counted>)> {
        self.evidence.all()
    }

    /// How many flows are remembered.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// One of them, below [`Self::flow_count`].
    pub fn flow(&self, nth: usize) -> Option<FlowView> {
        let ((client, vip, dialled), flow) = self.flows.iter().nth(nth)?;
        let (address, _, protocol) = self.site.vip(*vip)?.socket;
        let target = self.site.target(flow.server, *dialled)?;
        Some(FlowView {
            client: *client,
            vip: (address, *dialled, protocol),
            server: (target.address, target.port),
            client_seq: flow.client_seq,
            server_seq: flow.server_seq,
            next: (flow.turns != Turns::default())
                .then_some((flow.turns.client_next, flow.turns.backend_next)),
        })
    }
}
