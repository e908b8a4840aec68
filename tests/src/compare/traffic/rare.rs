//! Owns what is rarer than segments and datagrams: ICMP, fragments, extension headers, and what is
//! too big for its way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Traffic, elsewhere, ends_text};
use crate::model::{FlowView, Model};

/// So many first fragments are remembered.
const CUT_MAX: usize = 6;
/// Around the MTUs of the lab's ways: 1,400 and 1,500.
const BIG: [u32; 14] = [
    1_339, 1_340, 1_341, 1_360, 1_361, 1_372, 1_373, 1_439, 1_440, 1_441, 1_460, 1_461, 1_472,
    1_473,
];

type End = (IpAddr, u16);

/// A first fragment, as those behind it are made from it.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    ends: (End, End),
    protocol: &'static str,
    id: u32,
    ext: String,
}

impl Traffic {
    /// The ends of a flow, or of what could be one: client, VIP and server with their ports.
    fn parties(&mut self, model: &Model) -> Option<(End, End, End, &'static str)> {
        let protocol = |number| if number == 17 { "udp" } else { "tcp" };
        if !self.once_in(4)
            && let Some(flow) = self.flow(model)
        {
            let FlowView {
                client,
                vip,
                server,
                ..
            } = flow;
            let client = (client.address, client.port);
            return Some((client, (vip.0, vip.1), server, protocol(vip.2)));
        }
        let (client, vip) = self.stranger(model)?;
        let fits = |origin: &&crate::model::Socket| {
            origin.2 == vip.2 && origin.0.is_ipv4() == vip.0.is_ipv4()
        };
        let servers: Vec<_> = model.origins().filter(fits).copied().collect();
        let server = if servers.is_empty() {
            return None;
        } else {
            self.pick(&servers)
        };
        let server = (server.0, self.port(server.1));
        Some((client, (vip.0, vip.1), server, protocol(vip.2)))
    }

    /// An echo, an error, or another message.
    pub(super) fn icmp(&mut self, model: &Model) -> String {
        let Some((client, vip, server, protocol)) = self.parties(model) else {
            return self.foreign(model);
        };
        let is_v4 = client.0.is_ipv4();
        let odd = if self.once_in(6) {
            self.odd(is_v4)
        } else {
            String::new()
        };
        if self.once_in(5) {
            let to = match self.rng.u32(..4) {
                0 => server.0,
                1 => elsewhere(is_v4),
                _ => vip.0,
            };
            let kinds: &[&str] = if is_v4 {
                &["", "", "", " type 13", " type 0", " type 5"]
            } else {
                &["", "", "", " type 135", " type 129", " type 137"]
            };
            let kind = self.pick(kinds);
            let data = self.pick(&[0, 1, 8, 57]);
            return format!("{} icmp{kind} data {data}{odd}", icmp_ends(client.0, to));
        }
        let router = self.router(is_v4, server.0);
        // About a reply to the VIP, or about a request to the client; rarely to another.
        let (mut to, mut quoted) = if self.rng.bool() {
            (vip.0, (vip, client))
        } else {
            (client.0, (client, server))
        };
        match self.rng.u32(..20) {
            0 => to = elsewhere(is_v4),
            1 => quoted.0.1 ^= 1,
            2 => quoted.1.1 ^= 1,
            _ => {}
        }
        let kinds: &[u8] = if is_v4 {
            &[3, 3, 3, 11, 12, 5]
        } else {
            &[1, 2, 2, 3, 4, 133]
        };
        let kind = self.pick(kinds);
        let cut = self.pick(&[
            "",
            "",
            "",
            " quoted 28",
            " quoted 48",
            " quoted 24",
            " quoted 44",
            " quoted 26",
            " quoted 46",
            " quoted 37",
            " quoted 57",
            " quoted 20",
        ]);
        format!(
            "{} icmp type {kind} code 4 mtu 1300 about ( {} ){cut}{odd}",
            icmp_ends(router, to),
            self.quotable(quoted, protocol),
        )
    }

    /// A packet as an error quotes it.
    fn quotable(&mut self, ends: (End, End), protocol: &str) -> String {
        let is_v4 = ends.0.0.is_ipv4();
        let data = self.pick(&[0, 1, 9, 40]);
        let ends = ends_text(ends);
        let odd = match (self.rng.u32(..24), is_v4) {
            (0, _) => " frag 7",
            (1, _) => " frag 0+",
            (2, true) => " opts 3",
            (3, true) => " ihl 4",
            (4, true) => " ihl 15",
            (5, false) => " ext hop",
            _ => "",
        };
        let bare = if protocol == "udp" && self.once_in(4) {
            " csum 0"
        } else {
            ""
        };
        match (protocol, self.once_in(16)) {
            (_, true) => format!("{ends} icmp data 20{odd}"),
            ("udp", _) => format!("{ends} udp data {data} ttl 60{bare}{odd}"),
            _ => format!("{ends} tcp ACK seq 5001 ack 1001 data {data} ttl 60{odd}"),
        }
    }

    /// Who finds out: a router, or the server itself.
    fn router(&mut self, is_v4: bool, server: IpAddr) -> IpAddr {
        match (self.rng.u32(..3), is_v4) {
            (0, _) => server,
            (_, true) => Ipv4Addr::new(10, 100, 255, 9).into(),
            (_, false) => Ipv6Addr::new(0xfd64, 0xff, 0, 0, 0, 0, 0, 9).into(),
        }
    }

    /// The first fragment of a datagram or segment, or one behind it.
    pub(super) fn fragment(&mut self, model: &Model) -> String {
        if !self.cut.is_empty() && !self.once_in(3) {
            return self.later();
        }
        let Some((client, vip, server, protocol)) = self.parties(model) else {
            return self.foreign(model);
        };
        let ends = if self.once_in(3) {
            (server, client)
        } else {
            (client, vip)
        };
        let is_v4 = client.0.is_ipv4();
        let ext = match (is_v4, self.once_in(3)) {
            (false, true) => self.extensions(),
            _ => String::new(),
        };
        let cut = Cut {
            ends,
            protocol,
            id: self.rng.u32(1..4),
            ext,
        };
        let data = self.pick(&[0, 8, 64, 1_400]);
        let odd = if self.once_in(8) {
            self.pick(&[" ttl 1", " short 4", " short 12", " short 20", " csum 0"])
        } else {
            ""
        };
        let text = ends_text(ends);
        let Cut { id, ext, .. } = &cut;
        let line = if protocol == "udp" {
            format!("{text} udp data {data} udplen 2416 frag 0+ id {id}{odd}{ext}")
        } else {
            let flags = self.pick(&["ACK", "SYN", "SYN,ACK", "FIN,ACK"]);
            format!("{text} tcp {flags} seq 1001 ack 5001 data {data} frag 0+ id {id}{odd}{ext}")
        };
        if self.cut.len() == CUT_MAX {
            self.cut.remove(0);
        }
        self.cut.push(cut);
        line
    }

    fn later(&mut self) -> String {
        let nth = self.rng.usize(..self.cut.len());
        let Cut {
            ends,
            protocol,
            mut id,
            ext,
        } = self.cut[nth].clone();
        if self.once_in(8) {
            id += 1;
        }
        let protocol = match (protocol, self.once_in(12)) {
            (_, true) => "icmp",
            ("udp", _) => "udp",
            _ => "tcp -",
        };
        let more = if self.rng.bool() { "+" } else { "" };
        let data = self.pick(&[0, 8, 600, 1_376, 1_456, 1_480]);
        let at = self.pick(&[1, 151, 302]);
        let odd = if self.once_in(8) {
            self.pick(&[" ttl 1", " ttl 0", " pad 6", " cut 50"])
        } else {
            ""
        };
        let text = ends_text(ends);
        format!("{text} {protocol} data {data} frag {at}{more} id {id}{odd}{ext}")
    }

    /// About as long as fits.
    pub(super) fn big(&mut self, model: &Model) -> String {
        let Some((client, vip, server, protocol)) = self.parties(model) else {
            return self.foreign(model);
        };
        let ends = if self.rng.bool() {
            (server, client)
        } else {
            (client, vip)
        };
        let text = ends_text(ends);
        let data = self.pick(&BIG);
        let may_be_cut = if self.once_in(3) { " frag 0" } else { "" };
        let odd = if self.once_in(8) {
            self.odd(client.0.is_ipv4())
        } else {
            String::new()
        };
        // A second word of fragments would be the one that counts.
        let may_be_cut = if odd.contains("frag") { "" } else { may_be_cut };
        match protocol {
            "udp" => format!("{text} udp data {data}{may_be_cut}{odd}"),
            _ => {
                // New to who gets it, or not.
                let seq = self.pick(&[1_001, 5_001]);
                format!("{text} tcp ACK seq {seq} ack 5001 data {data}{may_be_cut}{odd}")
            }
        }
    }

    /// Extension headers: mostly few that are walked.
    pub(super) fn extensions(&mut self) -> String {
        let walked = ["hop", "dst", "route", "auth", "dst/3", "hop/4"];
        let rare = ["route+", "mobility", "dst/31", "dst/30", "auth/1", "dst/33"];
        let count = match self.rng.u32(..8) {
            0 => self.rng.u32(5..=7),
            _ => self.rng.u32(1..=3),
        };
        let list: Vec<&str> = (0..count)
            .map(|_| match self.rng.u32(..10) {
                0 => self.pick(&rare),
                _ => self.pick(&walked),
            })
            .collect();
        format!(" ext {}", list.join(","))
    }
}

fn icmp_ends(source: IpAddr, destination: IpAddr) -> String {
    ends_text(((source, 0), (destination, 0)))
}
