//! Owns what a capture says of services: whose packets go to a VIP, and the flows that they begin.
//!
//! Invariant: a client is a source address, of a service that splits by flow each flow is one; flows are
//! kept up to [`FLOWS_MAX`], so that memory is bounded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use splitter_common::device::Signature;

use super::frame::Seen;
use super::sums::Tally;
use crate::api::Refusal;
use crate::api::types::{ServiceStatus, SimulateClient};
use crate::model::{SplitKey, Vip};

/// Flows that are told apart.
const FLOWS_MAX: usize = 2_000_000;

/// A service as a capture meets it.
#[derive(Debug)]
struct Met {
    by_flow: bool,
    clients: BTreeMap<SimulateClient, Tally>,
    /// What the first SYN of each shows.
    syns: HashMap<SimulateClient, Signature>,
}

/// What was met.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// By address, port and protocol: the service.
    vips: HashMap<Vip, usize>,
    addresses: HashSet<IpAddr>,
    services: Vec<Met>,
    flows: HashSet<(Vip, IpAddr, u16)>,
    /// Packets to a VIP.
    pub(super) to_vips: u64,
    /// Fragments behind the first, to the address of a VIP.
    pub(super) later: u64,
    /// Packets to the address of a VIP that cannot be read.
    pub(super) unread: u64,
}

impl Traffic {
    /// Nothing yet, of services.
    pub(super) fn of(services: &[ServiceStatus]) -> anyhow::Result<Self> {
        let mut traffic = Self::default();
        for (index, service) in services.iter().enumerate() {
            for vip in &service.vips {
                let vip: Vip = vip.parse()?;
                traffic.vips.insert(vip, index);
                traffic.addresses.insert(vip.address);
            }
            traffic.services.push(Met {
                by_flow: by_flow(service),
                clients: BTreeMap::new(),
                syns: HashMap::new(),
            });
        }
        Ok(traffic)
    }

    /// Takes a frame in.
    pub(super) fn take(&mut self, seen: Seen) -> Result<(), Refusal> {
        match seen {
            Seen::Flow {
                client,
                client_port,
                to,
                port,
                protocol,
                bytes,
                syn,
            } => {
                let dialled = Vip {
                    address: to,
                    port,
                    protocol,
                };
                self.flow((client, client_port), dialled, bytes, syn)?;
            }
            Seen::Later { to } if self.addresses.contains(&to) => self.later += 1,
            Seen::Unread { to } if self.addresses.contains(&to) => self.unread += 1,
            Seen::Later { .. } | Seen::Unread { .. } | Seen::Other => {}
        }
        Ok(())
    }

    fn flow(
        &mut self,
        from: (IpAddr, u16),
        dialled: Vip,
        bytes: u64,
        syn: Option<Signature>,
    ) -> Result<(), Refusal> {
        let of_every_port = Vip { port: 0, ..dialled };
        let service = self.vips.get(&dialled).or(self.vips.get(&of_every_port));
        let Some(met) = service.and_then(|index| self.services.get_mut(*index)) else {
            return Ok(());
        };
        self.to_vips += 1;
        let (address, port) = from;
        let is_new = self.flows.insert((dialled, address, port));
        if self.flows.len() > FLOWS_MAX {
            let what = format!("the capture has more than {FLOWS_MAX} flows to VIPs");
            return Err(Refusal::invalid(what)
                .with_hint("cut it into parts, or name one of the services: --service NAME"));
        }
        let client = SimulateClient {
            address,
            port: met.by_flow.then_some(port),
            vip: met.by_flow.then_some(dialled),
            device: None,
        };
        if let Some(signature) = syn {
            met.syns.entry(client.clone()).or_insert(signature);
        }
        let tally = met.clients.entry(client).or_default();
        tally.clients = 1;
        let brought = tally.brought.get_or_insert_default();
        brought.flows += u64::from(is_new);
        brought.bytes += bytes;
        Ok(())
    }

    /// What the first SYN of a client of a service shows.
    pub(super) fn syn(&self, service: usize, client: &SimulateClient) -> Option<&Signature> {
        self.services[service].syns.get(client)
    }

    /// The clients of a service by its index.
    pub(super) fn clients(&self, service: usize) -> &BTreeMap<SimulateClient, Tally> {
        &self.services[service].clients
    }
}

/// Whether a service splits by flow.
pub(super) fn by_flow(service: &ServiceStatus) -> bool {
    service.key == SplitKey::Flow.to_string()
}
