//! Owns ICMP about what goes through here (RFC 5508): an error finds its way by the packet that it
//! quotes, which is put back as its sender knows it; a VIP answers an echo; all else passes.

use std::net::IpAddr;

use splitter_common::reason::Reason;

use super::{
    Client, Model, Outcome, Way, answers, drop,
    edit::{self, End, Rewrite},
    leave, pass,
    quoted::{self, Quoted},
    site::{Origin, Target},
    wire::{L3, Seen},
};

/// An error on its way.
struct Errand {
    /// What the quoted packet gets.
    to: Rewrite,
    /// What the error itself gets.
    outer: Option<(End, IpAddr)>,
    way: Way,
    server: u64,
}

enum Kind {
    Echo,
    Error,
    Other,
}

/// Destination unreachable, time exceeded and parameter problem are errors, with IPv6 packet too
/// big too.
const fn kind(is_v4: bool, number: u8) -> Kind {
    match (is_v4, number) {
        (true, 8) | (false, 128) => Kind::Echo,
        (true, 3 | 11 | 12) | (false, 1..=4) => Kind::Error,
        _ => Kind::Other,
    }
}

impl Model {
    /// A whole ICMP packet.
    pub(super) fn icmp(&mut self, frame: &[u8], seen: &Seen) -> Outcome {
        let stray = self.without_ports(seen);
        let message = frame.get(seen.l4..L3 + seen.length).unwrap_or_default();
        // RFC 792, RFC 4443: no message is shorter.
        let Some([number, ..]) = message.first_chunk::<8>() else {
            return stray;
        };
        match kind(seen.source.is_ipv4(), *number) {
            Kind::Other => stray,
            Kind::Echo if self.site.has_vips(seen.destination) => answers::echo(frame, seen),
            Kind::Echo => stray,
            Kind::Error => match quoted::read(frame, seen) {
                // An error goes to whom the quoted packet came from.
                Some(quoted) if quoted.source == seen.destination => {
                    self.error(frame, seen, &quoted, stray)
                }
                Some(_) | None => stray,
            },
        }
    }

    fn error(&mut self, frame: &[u8], seen: &Seen, quoted: &Quoted, stray: Outcome) -> Outcome {
        let of_vip = (quoted.source, quoted.source_port, quoted.protocol);
        let of_server = (quoted.destination, quoted.destination_port, quoted.protocol);
        let errand = match (self.site.dialled(&of_vip), self.site.origin(&of_server)) {
            (Some(vip), _) => self.to_server(quoted, vip),
            (None, Some(origin)) => self.to_client(seen, quoted, origin),
            (None, None) => return stray,
        };
        let Errand {
            to,
            outer,
            way,
            server,
        } = match errand {
            Ok(errand) => errand,
            Err(outcome) => return outcome,
        };
        if seen.ttl <= 1 {
            return drop(Reason::TtlExpired);
        }
        self.counts.of(server).icmp_errors += 1;
        let inbound = match to.end {
            End::Source => End::Destination,
            End::Destination => End::Source,
        };
        self.count_packet(server, inbound, seen.length);
        // An error is shorter than any MTU (RFC 1812, RFC 4443 section 2.4): nobody asks.
        leave(way, Reason::IcmpError, |macs| {
            edit::quoting(frame, seen, quoted, &to, outer, macs)
        })
    }

    /// About what a server sent in the VIP's name: to the server of the flow, else to where the
    /// split decides.
    fn to_server(&self, quoted: &Quoted, vip: u64) -> Result<Errand, Outcome> {
        let client = Client {
            address: quoted.destination,
            port: quoted.destination_port,
        };
        let dialled = quoted.source_port;
        let target = match self.flows.server_of(&(client, vip, dialled)) {
            Some(server) => self.site.target(server, dialled),
            None => self.site.decide(vip, &client, dialled),
        };
        let Target {
            server,
            address,
            port,
        } = target.ok_or(drop(Reason::VersionEmpty))?;
        Ok(Errand {
            to: Rewrite {
                end: End::Source,
                address,
                port,
            },
            outer: Some((End::Destination, address)),
            way: (self.ways.to_server)(address),
            server,
        })
    }

    /// About what a client sent to its VIP, by the server or by a router before it.
    fn to_client(&self, seen: &Seen, quoted: &Quoted, origin: Origin) -> Result<Errand, Outcome> {
        let vip = self.site.vip(origin.vip);
        let vip = vip.ok_or(drop(Reason::Inconsistent))?;
        let (address, port) = (vip.socket.0, vip.port_of(quoted.destination_port));
        let client = Client {
            address: quoted.source,
            port: quoted.source_port,
        };
        let way = (self.ways.to_client)(client.address);
        match self.flows.server_of(&(client, origin.vip, port)) {
            Some(server) if server == origin.server => {}
            Some(_) => return Err(drop(Reason::ReplyOfOtherBackend)),
            None if way != Way::Nowhere && self.site.may_be_stateless(&origin, client.address) => {}
            None => return Err(pass(Reason::ReplyWithoutFlow)),
        }
        // A router before the server speaks for itself.
        let is_server = seen.source == quoted.destination;
        Ok(Errand {
            to: Rewrite {
                end: End::Destination,
                address,
                port,
            },
            outer: is_server.then_some((End::Source, address)),
            way,
            server: origin.server,
        })
    }
}
