//! Owns the reference model: what the program must do with every packet, said a second time from
//! DESIGN section 4 and the spec rows, slow and plain, over maps of the standard library.
//!
//! Invariant: nothing of `splitter-common` decides here. It takes from it the labels of verdicts,
//! reasons and events; from splitter-user the checked configuration and the derived keys. A disagreement
//! with the program in the kernel is thus a mistake on one of the two sides, and DESIGN says on
//! which. Frames are bytes, time is seconds that the test sets, next hops are given.

mod answers;
mod decide;
mod edit;
mod evidence;
mod flow;
mod flows;
mod fragments;
mod icmp;
mod look;
mod measured;
mod quoted;
mod segments;
mod shape;
mod site;
mod sums;
mod turns;
mod view;
mod walk;
mod wire;

use std::{collections::BTreeMap, net::IpAddr};

use splitter_common::reason::{Reason, Verdict};
use splitter_user::{
    model::{Config, FlowFate, Service},
    secret::Secret,
};

use edit::{End, Rewrite};
use evidence::{Evidence, Mark};
use flow::{ACK, RST, SYN};
use flows::{Begun, Flows, Key, Known, Reply, begins};
use fragments::Fragments;
use look::Looked;
use measured::Told;
use site::{Site, Target};
use wire::{Body, Ports, Seen};

pub use edit::{Leaving, Macs};
pub use evidence::{Counted, LONG_S, SLOW_S, Tally};
pub use shape::{Carries, Shape, shape};
pub use site::{Server, Socket};
pub use sums::{checksums, repair};
pub use view::FlowView;

/// IP protocol number of TCP.
const TCP: u8 = 6;
/// IP protocol number of UDP.
const UDP: u8 = 17;

/// Who speaks to a VIP: address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// A next hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NextHop {
    /// What frames to it carry.
    pub macs: Macs,
    /// The longest IP packet that fits, bytes.
    pub mtu: usize,
}

/// What is known of the way to an address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// Out of another interface than packets come in by.
    Other(NextHop),
    /// Out of the interface that packets come in by.
    Same(NextHop),
    /// Nothing yet.
    Unknown,
    /// It is this host's own, or no route leads there.
    Nowhere,
}

/// The ways from this host.
#[derive(Clone, Copy)]
pub struct Ways {
    /// To a server.
    pub to_server: fn(IpAddr) -> Way,
    /// To a client.
    pub to_client: fn(IpAddr) -> Way,
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The frame that leaves or is handed to the host's stack; `None` for one that passes
    /// untouched or is dropped.
    pub leaving: Option<Leaving>,
}

/// What is counted for one server. Bytes are those of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are those of `layout::Counter`, which explains them"
)]
pub struct Count {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub new_flows: u64,
    pub handshakes: u64,
    pub syns_begun: u64,
    pub syns_answered: u64,
    pub resets_by_client: u64,
    pub resets_by_server: u64,
    pub resets_by_client_early: u64,
    pub resets_by_server_early: u64,
    pub adopted: u64,
    pub syn_retransmits: u64,
    pub icmp_errors: u64,
    pub cut: u64,
    /// 2xx to 5xx.
    pub http: [u64; 4],
    pub http_other: u64,
}

#[derive(Default)]
struct Counts(BTreeMap<u64, Count>);

impl Counts {
    fn of(&mut self, server: u64) -> &mut Count {
        self.0.entry(server).or_default()
    }
}

/// The model.
pub struct Model {
    secret: Secret,
    ways: Ways,
    site: Site,
    flows: Flows,
    fragments: Fragments,
    counts: Counts,
    evidence: Evidence,
}

impl Model {
    /// Nothing configured, no flows.
    pub fn new(secret: Secret, ways: Ways) -> Self {
        Self {
            secret,
            ways,
            site: Site::default(),
            flows: Flows::default(),
            fragments: Fragments::default(),
            counts: Counts::default(),
            evidence: Evidence::default(),
        }
    }

    /// Puts a configuration in force, with what it says of open flows.
    pub fn commit(&mut self, config: &Config, fate: FlowFate) {
        let after_s = fate.ends_after_s().map(u64::from);
        let ends_at_s = after_s.map(|after_s| self.flows.now_s + after_s);
        self.site
            .commit(config, &self.secret, ends_at_s, self.flows.now_s);
        self.evidence.commit(config);
        // What a commit does to datagrams under way is left to the spec rows.
        self.fragments.clear();
        let site = &self.site;
        self.flows
            .forget(|vip, server| site.vip(vip).is_some() && site.target(server, 0).is_some());
    }

    /// The evidence of a service begins anew, as with a new release.
    pub fn anew(&mut self, service: &Service) {
        self.evidence.anew(service);
    }

    /// The next slice of evidence begins.
    pub fn next_slice(&mut self) {
        self.evidence.next_slice();
    }

    /// The baseline of a service has had very many turns of [`SLOW_S`].
    pub fn turned(&mut self, service: &str) {
        self.evidence.turned(service);
    }

    /// Lets time pass.
    pub fn age(&mut self, seconds: u64) {
        self.flows.now_s += seconds;
    }

    /// What must become of a frame; remembers what it does to flows and counters.
    ///
    /// DESIGN, section 4: to a VIP -> its flow's backend or a decision; from a backend -> its flow,
    /// the VIP put back; anything else passes untouched.
    pub fn packet(&mut self, frame: &[u8]) -> Outcome {
        let Some(seen) = wire::read(frame) else {
            return pass(Reason::NotIp);
        };
        if !self.site.is_configured() {
            return pass(Reason::NotConfigured);
        }
        let ports = match seen.body {
            Body::Ports(ports) => ports,
            Body::Icmp => return self.icmp(frame, &seen),
            Body::Later => return self.later(frame, &seen),
            Body::Other | Body::Fragment | Body::Extension | Body::Broken => {
                return self.without_ports(&seen);
            }
        };
        if let Some(vip) = self
            .site
            .dialled(&(seen.destination, ports.destination, seen.protocol))
        {
            return self.request(frame, &seen, &ports, vip);
        }
        match self
            .site
            .origin(&(seen.source, ports.source, seen.protocol))
        {
            Some(origin) => self.reply(frame, &seen, &ports, origin),
            None => pass(Reason::NotOurs),
        }
    }

    /// DESIGN: the host's own stack must never answer for a VIP; fragments of a datagram go to one
    /// backend or are dropped with a reason; malformed packets never reach a wrong backend.
    fn without_ports(&self, seen: &Seen) -> Outcome {
        // An IPv4 address in IPv6's clothes is still an address that the host might answer for.
        if !self.site.has_vips(seen.destination.to_canonical()) {
            return pass(Reason::NotOurs);
        }
        match seen.body {
            Body::Fragment | Body::Later => drop(Reason::Fragment),
            Body::Extension => drop(Reason::ExtensionHeader),
            Body::Broken => drop(Reason::Malformed),
            Body::Ports(_) | Body::Icmp | Body::Other => pass(Reason::OtherProtocol),
        }
    }

    /// A packet to a VIP. One whose time to live ends here does nothing to its flow.
    fn request(&mut self, frame: &[u8], seen: &Seen, ports: &Ports, vip: u64) -> Outcome {
        if seen.ttl <= 1 {
            return drop(Reason::TtlExpired);
        }
        let client = Client {
            address: seen.source,
            port: ports.source,
        };
        let dialled = ports.destination;
        let key = (client, vip, dialled);
        let known = self
            .flows
            .request(key, ports, seen.protocol, &mut self.counts);
        if let Some(Known::Beside(_)) = known {
            self.begun_beside(&key);
        }
        let known = match self.look(&key, ports, known) {
            Looked::GoesOn(known) => known,
            Looked::Ended if seen.protocol == TCP => {
                return answers::reset(frame, seen, ports, Reason::FlowCut);
            }
            // Datagrams begin anew.
            Looked::Ended => None,
        };
        let (target, reason) = match known {
            Some(known) => {
                let (server, reason) = match known {
                    Known::Established(server) => (server, Reason::Established),
                    Known::Pending(server) => (server, Reason::Pending),
                    Known::Handshake(server) => (server, Reason::Handshake),
                    Known::Beside(server) => (server, Reason::NewFlow),
                };
                (self.site.target(server, dialled), reason)
            }
            None => {
                if self.site.is_denied(vip, client.address) {
                    return drop(Reason::Denied);
                }
                let Some(target) = self.site.decide(vip, &client, dialled) else {
                    return drop(Reason::VersionEmpty);
                };
                if target.address == client.address {
                    // A backend takes no packet from its own address.
                    return drop(Reason::Hairpin);
                }
                let mark = self.decided(&key, target.server, ports, seen.protocol);
                let begun = self.flows.begin(
                    key,
                    target.server,
                    ports,
                    seen.protocol,
                    (self.site.commit, mark),
                    &mut self.counts,
                );
                let reason = match begun {
                    Begun::New => Reason::NewFlow,
                    Begun::Adopted => Reason::Adopted,
                };
                (Some(target), reason)
            }
        };
        let Some(Target {
            server,
            address,
            port,
        }) = target
        else {
            // Flows of servers that are gone were forgotten at the commit.
            return drop(Reason::Inconsistent);
        };
        let to = Rewrite {
            end: End::Destination,
            address,
            port,
        };
        let way = (self.ways.to_server)(address);
        let outcome = self.forward(frame, seen, to, way, reason, Some(server));
        if let Some(known) = known {
            self.heard(frame, seen, ports, &key, known, &outcome);
        }
        outcome
    }

    /// A new flow of a client that is judged, if it is.
    fn decided(&mut self, key: &Key, server: u64, ports: &Ports, protocol: u8) -> Option<Mark> {
        let (client, vip, dialled) = key;
        let (service, bit) = self.site.once_bit(*vip, client, *dialled)?;
        let third = self.evidence.third(&service)?;
        if !begins(ports, protocol) || !self.site.is_judged(*vip, (client, *dialled), third) {
            return None;
        }
        let version = &self.site.server(server)?.version;
        self.evidence.decided(&service, version, bit)
    }

    /// A handshake begins beside a flow that is judged: in the slice of now.
    fn begun_beside(&mut self, key: &Key) {
        let (client, vip, dialled) = key;
        let service = self.site.once_bit(*vip, client, *dialled);
        let slice = service.and_then(|(service, _)| self.evidence.slice(&service));
        if let Some(flow) = self.flows.pending_mut(key)
            && let (Some(mark), Some(slice)) = (&mut flow.mark, slice)
        {
            mark.slice = slice;
        }
    }

    /// A packet from a backend's socket.
    fn reply(&mut self, frame: &[u8], seen: &Seen, ports: &Ports, origin: site::Origin) -> Outcome {
        let Some(vip) = self.site.vip(origin.vip) else {
            return drop(Reason::Inconsistent);
        };
        let to = Rewrite {
            end: End::Source,
            address: vip.socket.0,
            port: vip.port_of(ports.source),
        };
        let client = Client {
            address: seen.destination,
            port: ports.destination,
        };
        let key = (client, origin.vip, to.port);
        if ports.flags & (SYN | ACK) == SYN {
            self.flows.open_own(key, origin.server);
            return pass(Reason::ReplyWithoutFlow);
        }
        let way = (self.ways.to_client)(client.address);
        let reason = match self.flows.owner(&key, origin.server, ports) {
            Reply::Own => return pass(Reason::ReplyWithoutFlow),
            Reply::OfOther => return drop(Reason::ReplyOfOtherBackend),
            Reply::Mine => Reason::Reply,
            // DESIGN: it gets its VIP back statelessly, but not to an address of this host.
            Reply::NoFlow
                if way != Way::Nowhere && self.site.may_be_stateless(&origin, client.address) =>
            {
                Reason::ReplyStateless
            }
            Reply::NoFlow => return pass(Reason::ReplyWithoutFlow),
        };
        if reason == Reason::Reply
            && ports.flags & RST == 0
            && self.flows.is_cut(&key, origin.server, ports)
        {
            return if seen.protocol == TCP {
                answers::reset(frame, seen, ports, Reason::FlowCut)
            } else {
                drop(Reason::FlowCut)
            };
        }
        if seen.ttl <= 1 {
            return drop(Reason::TtlExpired);
        }
        let mut told = Told::default();
        if reason == Reason::Reply {
            let counts = &mut self.counts;
            told = self
                .flows
                .reply(key, origin.server, ports, seen.protocol, counts);
        }
        let outcome = self.forward(frame, seen, to, way, reason, Some(origin.server));
        self.said(frame, seen, ports, &key, told, &outcome);
        outcome
    }

    /// DESIGN, "Forward methods": the edit, then the next hop; where that is not known the packet
    /// is handed to this host's stack after the edit. What is too long for the hop is answered if
    /// it may not be cut, else the host's stack cuts it. It is counted in any case.
    fn forward(
        &mut self,
        frame: &[u8],
        seen: &Seen,
        to: Rewrite,
        way: Way,
        reason: Reason,
        server: Option<u64>,
    ) -> Outcome {
        if let Some(server) = server {
            self.count_packet(server, to.end, seen.length);
        }
        let mut way = way;
        if let Way::Other(hop) | Way::Same(hop) = way
            && seen.length > hop.mtu
        {
            if seen.is_uncut {
                return answers::too_big(frame, seen, hop.mtu);
            }
            way = Way::Unknown;
        }
        if matches!(seen.body, Body::Ports(ports) if ports.is_first) {
            self.fragments.remember(seen, to, server, self.flows.now_s);
        }
        leave(way, reason, |macs| edit::rewritten(frame, seen, &to, macs))
    }

    fn count_packet(&mut self, server: u64, end: End, bytes: usize) {
        let count = self.counts.of(server);
        let (packets, sum) = match end {
            End::Destination => (&mut count.packets_in, &mut count.bytes_in),
            End::Source => (&mut count.packets_out, &mut count.bytes_out),
        };
        *packets += 1;
        *sum += bytes as u64;
    }
}

const fn pass(reason: Reason) -> Outcome {
    Outcome {
        verdict: Verdict::Pass,
        reason,
        leaving: None,
    }
}

const fn drop(reason: Reason) -> Outcome {
    Outcome {
        verdict: Verdict::Drop,
        reason,
        leaving: None,
    }
}

/// The edited frame on its way.
fn leave(way: Way, reason: Reason, edit: impl FnOnce(Option<Macs>) -> Leaving) -> Outcome {
    let (verdict, macs) = match way {
        Way::Other(hop) => (Verdict::Redirect, Some(hop.macs)),
        Way::Same(hop) => (Verdict::Tx, Some(hop.macs)),
        Way::Unknown | Way::Nowhere => (Verdict::Resolve, None),
    };
    Outcome {
        verdict,
        reason,
        leaving: Some(edit(macs)),
    }
}
