//! Owns random traffic that is meant to collide: few clients, ports and VIPs, sequence numbers
//! near the right ones, packets from right and wrong backends, and commits in between.
//!
//! The same seed makes the same steps as long as this file does not change.

pub(super) mod commits;
mod rare;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fastrand::Rng;

use super::{Source, step::Step};
use crate::model::{FlowView, Model, Socket};

/// Steps of a case: few enough for the real time that it takes to stay far below 2.5 s, after which a
/// SYN that comes once more is bad.
const STEPS: u32 = 500;
/// Ages are multiples of this: none comes within three seconds of a life's end (10, 30, 120,
/// 240) or of what is told apart of times (9, 10, 20), which leaves room for real time that passes
/// meanwhile, and for times that the kernel refreshes only now and then.
pub(super) const AGE_S: u32 = 13;

/// Two of one /24, two of one /64, two of one /48; of each family one that speaks to backends
/// directly, one without a route, a backend, this host itself, and a neighbour that is not resolved.
const CLIENTS: [&str; 16] = [
    "10.100.0.1",
    "10.100.0.2",
    "10.100.7.1",
    "10.101.0.1",
    "10.2.0.11",
    "10.2.0.12",
    "10.1.0.1",
    "10.1.0.9",
    "fd64::1",
    "fd64::2",
    "fd64:0:0:1::1",
    "fd64:9::1",
    "fd65::1",
    "fd02::b",
    "fd01::1",
    "fd01::9",
];
const CLIENT_PORTS: [u16; 3] = [40_000, 40_001, 53];
/// Dialled at VIPs of every port.
const PORTS: [u16; 4] = [8_443, 22, 80, 82];
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// What clients ask: as HTTP, as TLS does and as it ends, a byte, and anything.
const QUESTIONS: [&str; 8] = [
    "GET_/_HTTP/1.1",
    "GET_/_HTTP/1.1",
    "GET_/_HTTP/1.1",
    "\\x16ab",
    "\\x17abcd",
    "\\x15ab",
    "\\x16",
    "x",
];
/// What backends answer.
const ANSWERS: [&str; 12] = [
    "HTTP/1.1_200_OK",
    "HTTP/1.0_204_",
    "HTTP/1.1_301_",
    "HTTP/1.1_404_",
    "HTTP/1.1_500_",
    "HTTP/1.1_503_",
    "HTTP/1.1_100_",
    "HTTP/1.1_101_",
    "HTTP/1.1_20",
    "HTTP/2_200_OK__",
    "HTTP/1.1_600_",
    "\\x16abcdefghijkl",
];

/// Steps of a case of its own kind.
pub struct Traffic {
    pub(super) rng: Rng,
    left: u32,
    begun: bool,
    clients: Vec<IpAddr>,
    /// First fragments that were sent, of late.
    cut: Vec<rare::Cut>,
}

impl Traffic {
    /// The traffic of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            left: STEPS,
            begun: false,
            clients: CLIENTS
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            cut: Vec::new(),
        }
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.usize(..all.len())]
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    /// A line of the packet language.
    pub(super) fn packet(&mut self, model: &Model) -> String {
        match self.rng.u32(..28) {
            0..=10 => self.request(model),
            11..=17 => self.reply(model),
            18 | 19 => self.foreign(model),
            20..=23 => self.icmp(model),
            24..=26 => self.fragment(model),
            _ => self.big(model),
        }
    }

    /// From a client to a VIP; often one that has a flow.
    fn request(&mut self, model: &Model) -> String {
        let flow = if self.once_in(3) {
            None
        } else {
            self.flow(model)
        };
        let Some((client, vip)) = flow.map_or_else(
            || self.stranger(model),
            |flow| Some(((flow.client.address, flow.client.port), flow.vip)),
        ) else {
            return self.foreign(model);
        };
        let ends = (client, (vip.0, vip.1));
        if vip.2 == 17 {
            return self.datagram(ends);
        }
        let (base, answered) =
            flow.map_or((1_000, None), |flow| (flow.client_seq, flow.server_seq));
        if let Some((seq, ack)) = flow.and_then(|flow| flow.next)
            && self.once_in(3)
        {
            // As a client asks that goes on.
            return self.speech(ends, seq, ack, &QUESTIONS);
        }
        if let Some(server_seq) = answered
            && self.once_in(3)
        {
            // As a client does that has the server's answer.
            return self.segment(
                ends,
                "ACK",
                base.wrapping_add(1),
                server_seq.wrapping_add(1),
            );
        }
        let flags = match self.rng.u32(..16) {
            0..=3 => "SYN".to_owned(),
            4..=7 => "ACK".to_owned(),
            8 => "ACK,PSH".to_owned(),
            9 => "FIN,ACK".to_owned(),
            10 => "RST".to_owned(),
            11 => "RST,ACK".to_owned(),
            _ => self.flags(),
        };
        let seq = match self.rng.u32(..4) {
            0 | 1 => base,
            2 => base.wrapping_add(1),
            _ => self.pick(&[1_000, 2_000, u32::MAX]),
        };
        let ack = match (answered, self.rng.u32(..4)) {
            (Some(server_seq), 0..=2) => server_seq.wrapping_add(1),
            _ => self.pick(&[0, 5_001, 7_001, 0x8000_0000]),
        };
        self.segment(ends, &flags, seq, ack)
    }

    /// From a backend to a client; mostly the flow's own.
    fn reply(&mut self, model: &Model) -> String {
        let Some(flow) = self.flow(model) else {
            return self.request(model);
        };
        let client = (flow.client.address, flow.client.port);
        let from = if self.once_in(6) {
            let same = |socket: &&Socket| {
                socket.2 == flow.vip.2 && socket.0.is_ipv4() == client.0.is_ipv4()
            };
            let all: Vec<&Socket> = model.origins().filter(same).collect();
            match all.is_empty() {
                true => flow.server,
                false => {
                    let (address, port, _) = *self.pick(&all);
                    (address, self.port(port))
                }
            }
        } else {
            flow.server
        };
        if flow.vip.2 == 17 {
            return self.datagram((from, client));
        }
        if let Some((ack, seq)) = flow.next
            && self.rng.bool()
        {
            return self.speech((from, client), seq, ack, &ANSWERS);
        }
        let flags = match self.rng.u32(..16) {
            0..=4 => "SYN,ACK".to_owned(),
            5..=8 => "ACK".to_owned(),
            9 => "ACK,PSH".to_owned(),
            10 => "FIN,ACK".to_owned(),
            11 => "RST".to_owned(),
            12 => "RST,ACK".to_owned(),
            _ => self.flags(),
        };
        let seq = self.pick(&[5_000, 5_000, 7_000, u32::MAX]);
        self.segment((from, client), &flags, seq, flow.client_seq.wrapping_add(1))
    }

    /// What is not ours, or not quite.
    fn foreign(&mut self, model: &Model) -> String {
        let vips: Vec<Socket> = model.vips().collect();
        let origins: Vec<Socket> = model.origins().copied().collect();
        if vips.is_empty() || origins.is_empty() {
            let (client, other) = (self.client(true), self.client(true));
            return self.datagram((client, other));
        }
        let (mut vip, mut origin) = (self.pick(&vips), self.pick(&origins));
        (vip.1, origin.1) = (self.port(vip.1), self.port(origin.1));
        let client = self.client(vip.0.is_ipv4());
        let of_origin = self.client(origin.0.is_ipv4());
        let ends = match self.rng.u32(..7) {
            // Another port of a VIP's address; elsewhere; another port of a backend's address.
            0 => (client, (vip.0, vip.1 ^ 1)),
            1 => (client, (elsewhere(vip.0.is_ipv4()), vip.1)),
            2 => ((origin.0, origin.1 ^ 1), of_origin),
            // A client to a backend; a VIP as a source; a backend to a client without flow.
            3 => (of_origin, (origin.0, origin.1)),
            4 => ((vip.0, vip.1), client),
            5 => ((origin.0, origin.1), (of_origin.0, 9)),
            // Of one backend to another.
            _ => ((origin.0, origin.1), (origin.0, 8_080)),
        };
        // The other protocol, too.
        if self.rng.bool() {
            self.datagram(ends)
        } else {
            let flags = self.flags();
            self.segment(ends, &flags, 1, 1)
        }
    }

    /// A flow that the model remembers.
    fn flow(&mut self, model: &Model) -> Option<FlowView> {
        let count = model.flow_count();
        (count > 0)
            .then(|| model.flow(self.rng.usize(..count)))
            .flatten()
    }

    /// A client and a VIP of its family.
    fn stranger(&mut self, model: &Model) -> Option<((IpAddr, u16), Socket)> {
        let vips: Vec<Socket> = model.vips().collect();
        (!vips.is_empty()).then(|| {
            let mut vip = self.pick(&vips);
            vip.1 = self.port(vip.1);
            (self.client(vip.0.is_ipv4()), vip)
        })
    }

    /// A port where every one is served.
    fn port(&mut self, port: u16) -> u16 {
        if port == 0 { self.pick(&PORTS) } else { port }
    }

    fn client(&mut self, is_v4: bool) -> (IpAddr, u16) {
        let all = self.clients.iter().copied();
        let family: Vec<IpAddr> = all.filter(|each| each.is_ipv4() == is_v4).collect();
        (self.pick(&family), self.pick(&CLIENT_PORTS))
    }

    fn flags(&mut self) -> String {
        // Mostly of the five that mean something here.
        let bits = if self.once_in(4) {
            self.rng.u8(..)
        } else {
            self.rng.u8(..) & 0x1f
        };
        let set: Vec<&str> = (0..8)
            .filter(|bit| bits & 1 << bit != 0)
            .map(|bit| FLAGS[bit])
            .collect();
        if set.is_empty() {
            "-".to_owned()
        } else {
            set.join(",")
        }
    }

    fn segment(
        &mut self,
        ends: ((IpAddr, u16), (IpAddr, u16)),
        flags: &str,
        seq: u32,
        ack: u32,
    ) -> String {
        let line = ends_text(ends);
        let data = self.pick(&[0, 0, 0, 1, 7, 100]);
        let odd = self.odd(ends.0.0.is_ipv4());
        let options = if self.once_in(8) { " tcpopts 3" } else { "" };
        format!("{line} tcp {flags} seq {seq} ack {ack} data {data}{options}{odd}")
    }

    /// Payload that carries on what was said.
    fn speech(
        &mut self,
        ends: ((IpAddr, u16), (IpAddr, u16)),
        seq: u32,
        ack: u32,
        texts: &[&str],
    ) -> String {
        let line = ends_text(ends);
        let flags = self.pick(&["ACK", "ACK", "ACK,PSH", "FIN,ACK", "RST,ACK"]);
        let text = self.pick(texts);
        let data = self.pick(&[0, 0, 24, 40]);
        let odd = if self.once_in(4) {
            self.odd(ends.0.0.is_ipv4())
        } else {
            String::new()
        };
        format!("{line} tcp {flags} seq {seq} ack {ack} text {text} data {data}{odd}")
    }

    fn datagram(&mut self, ends: ((IpAddr, u16), (IpAddr, u16))) -> String {
        let line = ends_text(ends);
        let data = self.pick(&[0, 1, 8, 61]);
        let odd = self.odd(ends.0.0.is_ipv4());
        let bare = if self.once_in(6) { " csum 0" } else { "" };
        format!("{line} udp data {data}{bare}{odd}")
    }

    /// Now and then something out of the ordinary.
    fn odd(&mut self, is_v4: bool) -> String {
        let ttl = match self.rng.u32(..24) {
            0 => " ttl 1",
            1 => " ttl 0",
            2 => " ttl 2",
            3 => " ttl 255",
            _ => "",
        };
        let other = match (self.rng.u32(..60), is_v4) {
            (0, _) => " frag 0+",
            (1, _) => " frag 1",
            (3, _) => " vlan 7",
            (4, _) => " short 1",
            (5, _) => " long 1",
            (6, _) => " pad 6",
            (7, true) => " opts 3",
            (8, true) => " ihl 4",
            (9, true) => " ihl 15",
            (10, _) => " cut 40",
            (11, _) => " cut 60",
            (12, _) => " frag 0",
            (13, _) => " ether 0x88cc",
            _ => "",
        };
        let ext = if !is_v4 && self.once_in(8) {
            self.extensions()
        } else {
            String::new()
        };
        format!("{ttl}{other}{ext}")
    }
}

/// As the packet language has them.
fn ends_text((source, destination): ((IpAddr, u16), (IpAddr, u16))) -> String {
    format!(
        "{} > {}",
        SocketAddr::from(source),
        SocketAddr::from(destination)
    )
}

/// An address that has nothing to do with us.
fn elsewhere(is_v4: bool) -> IpAddr {
    if is_v4 {
        Ipv4Addr::new(198, 51, 100, 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99).into()
    }
}

impl Source for Traffic {
    fn next(&mut self, model: &Model) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        if !self.begun {
            self.begun = true;
            return Some(commits::first(&mut self.rng));
        }
        if self.left == STEPS - 2
            && let Some(step) = commits::turned(&mut self.rng)
        {
            return Some(step);
        }
        if self.once_in(350) {
            return Some(commits::change(&mut self.rng));
        }
        if self.once_in(60) {
            return Some(Step::Age(AGE_S * self.rng.u32(1..=3)));
        }
        if self.once_in(200) {
            return Some(commits::evidence(&mut self.rng));
        }
        let line = self.packet(model);
        Some(Step::line(line).expect("the packet language"))
    }
}
