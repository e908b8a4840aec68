//! Owns what is configured: VIPs, servers and decisions after the newest commit.
//!
//! A VIP or server is known by a number that it has as long as every commit names it, and that
//! nobody ever has again. DESIGN, "Never a wrong backend": every number that a flow entry names has
//! a born generation, an entry older than that is a miss. Here it names what is there, or nothing.

mod fates;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use splitter_user::{model::Config, secret::Secret};

use super::{Client, decide::Law};
use fates::Fates;

pub(super) use fates::Fate;

/// Address, port and protocol number.
pub type Socket = (IpAddr, u16, u8);

/// A server of a version: one address and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// The service's name.
    pub service: String,
    /// The version's name.
    pub version: String,
    /// The backend as the configuration writes it.
    pub backend: String,
}

/// A VIP in force.
#[derive(Clone, Debug)]
pub(super) struct Vip {
    /// Port 0: every port that no other VIP of its address names.
    pub(super) socket: Socket,
    service: String,
}

impl Vip {
    /// The port that a client dialled whom a backend answers from `port`.
    pub(super) fn port_of(&self, port: u16) -> u16 {
        if self.socket.1 == 0 {
            port
        } else {
            self.socket.1
        }
    }
}

/// Where a server's packets come from, for one VIP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) server: u64,
    /// DESIGN, "Flows": under nat (protocol, backend address, backend port) belongs to exactly one
    /// frontend.
    pub(super) vip: u64,
    /// It serves at every port.
    pub(super) is_every_port: bool,
}

#[derive(Default)]
pub(super) struct Site {
    next: u64,
    laws: BTreeMap<String, Law>,
    /// Those who speak to a service's backends without a VIP.
    direct: BTreeMap<String, Vec<IpNet>>,
    /// Who is not served, and who alone is, by service.
    lists: BTreeMap<String, [BTreeSet<IpNet>; 2]>,
    /// What ends open flows, by service.
    fates: BTreeMap<String, Fates>,
    /// The newest commit.
    pub(super) commit: u64,
    vips: BTreeMap<u64, Vip>,
    servers: BTreeMap<u64, (Server, IpAddr, Option<u16>)>,
    /// Servers that take no new flows by an operator's will.
    leaving: BTreeSet<u64>,
    by_vip: BTreeMap<Socket, u64>,
    by_server: BTreeMap<Server, u64>,
    origins: BTreeMap<Socket, Origin>,
    vip_addresses: BTreeSet<IpAddr>,
}

/// Where a new flow goes.
pub(super) struct Target {
    pub(super) server: u64,
    pub(super) address: IpAddr,
    /// The dialled one where the backend has none.
    pub(super) port: u16,
}

impl Site {
    /// Puts a configuration in force.
    /// `ends_at_s`: when flows end that were open before.
    pub(super) fn commit(
        &mut self,
        config: &Config,
        secret: &Secret,
        ends_at_s: Option<u64>,
        now_s: u64,
    ) {
        let before = std::mem::take(self);
        self.next = before.next;
        self.commit = before.commit + 1;
        for service in &config.services {
            self.laws
                .insert(service.name.clone(), Law::new(service, secret));
            self.direct
                .insert(service.name.clone(), service.direct.clone());
            self.fate(service, &before, ends_at_s, now_s);
            let mut own = BTreeMap::new();
            for version in &service.versions {
                for backend in &version.backends {
                    let server = Server {
                        service: service.name.clone(),
                        version: version.name.clone(),
                        backend: backend.to_string(),
                    };
                    let kept = before.by_server.get(&server).copied();
                    let number = kept.unwrap_or_else(|| self.number());
                    self.by_server.insert(server.clone(), number);
                    self.servers
                        .insert(number, (server, backend.address, backend.port));
                    if backend.weight == 0 {
                        self.leaving.insert(number);
                    }
                    own.insert(number, backend.clone());
                }
            }
            for vip in &service.vips {
                let socket = (vip.address, vip.port, vip.protocol.number());
                let kept = before.by_vip.get(&socket).copied();
                let kept = kept.filter(|number| before.vips[number].service == service.name);
                let number = kept.unwrap_or_else(|| self.number());
                self.by_vip.insert(socket, number);
                let service = service.name.clone();
                self.vips.insert(number, Vip { socket, service });
                self.vip_addresses.insert(vip.address);
                let family = own
                    .iter()
                    .filter(|(_, backend)| backend.address.is_ipv4() == vip.address.is_ipv4());
                for (server, backend) in family {
                    let port = backend.port.unwrap_or(vip.port);
                    let origin = Origin {
                        server: *server,
                        vip: number,
                        is_every_port: port == 0,
                    };
                    self.origins
                        .insert((backend.address, port, socket.2), origin);
                }
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whether anything was ever committed.
    pub(super) fn is_configured(&self) -> bool {
        self.next > 0
    }

    /// The VIP that a packet to that socket dials: that of its port goes before that of every port.
    pub(super) fn dialled(&self, socket: &Socket) -> Option<u64> {
        of_port(&self.by_vip, socket)
    }

    /// Whose packets come from that socket.
    pub(super) fn origin(&self, socket: &Socket) -> Option<Origin> {
        of_port(&self.origins, socket)
    }

    /// Whether what a server sends to `client` without a known flow can only be a reply.
    ///
    /// DESIGN: its source is exactly one backend's address and port of a VIP with a port, and its
    /// destination is not in the service's `direct` prefixes.
    pub(super) fn may_be_stateless(&self, origin: &Origin, client: IpAddr) -> bool {
        let Some(vip) = self.vips.get(&origin.vip) else {
            return false;
        };
        let direct = self.direct.get(&vip.service).into_iter().flatten();
        !origin.is_every_port && !direct.into_iter().any(|prefix| prefix.contains(&client))
    }

    /// Whether an address has VIPs, whatever their ports.
    pub(super) fn has_vips(&self, address: IpAddr) -> bool {
        self.vip_addresses.contains(&address)
    }

    pub(super) fn vip(&self, number: u64) -> Option<&Vip> {
        self.vips.get(&number)
    }

    pub(super) fn vips(&self) -> impl Iterator<Item = &Vip> {
        self.vips.values()
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = (u64, &Server)> {
        self.servers
            .iter()
            .map(|(number, (server, ..))| (*number, server))
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = &Socket> {
        self.origins.keys()
    }

    /// Where packets for a server go that were dialled to a port; `None` when it is gone.
    pub(super) fn target(&self, server: u64, dialled: u16) -> Option<Target> {
        let (_, address, port) = self.servers.get(&server)?;
        Some(Target {
            server,
            address: *address,
            port: port.unwrap_or(dialled),
        })
    }

    /// The service of a VIP, and the bit by which a client is remembered there.
    pub(super) fn once_bit(
        &self,
        vip: u64,
        client: &Client,
        dialled: u16,
    ) -> Option<(String, u32)> {
        let Vip { socket, service } = self.vips.get(&vip)?;
        let bit = self.laws.get(service)?.once_bit(client, dialled, socket.2);
        Some((service.clone(), bit))
    }

    /// Whether a new flow of a client to a VIP is judged, where a third version has had such a weight.
    pub(super) fn is_judged(&self, vip: u64, asked: (&Client, u16), third: u64) -> bool {
        let law = self
            .vips
            .get(&vip)
            .and_then(|vip| Some((self.laws.get(&vip.service)?, vip)));
        law.is_some_and(|(law, vip)| law.is_judged(asked, vip.socket.2, third))
    }

    /// Whether the answers of a VIP are read as HTTP.
    pub(super) fn is_http(&self, vip: u64) -> bool {
        let law = self
            .vips
            .get(&vip)
            .and_then(|vip| self.laws.get(&vip.service));
        law.is_some_and(Law::is_http)
    }

    /// The server of that number.
    pub(super) fn server(&self, number: u64) -> Option<&Server> {
        self.servers.get(&number).map(|(server, ..)| server)
    }

    /// Where a new flow of a client to a VIP goes; `None` when its version has no backend.
    pub(super) fn decide(&self, vip: u64, client: &Client, dialled: u16) -> Option<Target> {
        let Vip { socket, service } = self.vips.get(&vip)?;
        let (version, backend) = self.laws.get(service)?.decide(client, dialled, socket.2)?;
        let server = Server {
            service: service.clone(),
            version: version.name.clone(),
            backend: backend.to_string(),
        };
        self.target(*self.by_server.get(&server)?, dialled)
    }
}

/// What stands at that port, else what stands at every port.
fn of_port<T: Copy>(all: &BTreeMap<Socket, T>, socket: &Socket) -> Option<T> {
    let every = (socket.0, 0, socket.2);
    all.get(socket).or_else(|| all.get(&every)).copied()
}
