//! Owns what `simulate` prints: a line for each client where they are asked for, and sums.
//!
//! Invariant: what is small is told as a whole at the end, so that an error stands alone; a long list goes
//! out while it is made, so that memory is bounded.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;

use super::sums::{Brought, MoveSum, Sums, Tally, VersionSum};
use crate::api::types::{ClientSimulated, SimulateClient};
use crate::cli::text::{self, brief, grouped, percent, table};

/// What is held back, bytes.
const HELD_MAX: usize = 64 * 1024;

/// What goes out.
pub(super) struct Out<W> {
    held: String,
    into: W,
}

impl<W: Write> Out<W> {
    /// Nothing yet.
    pub(super) fn new(into: W) -> Self {
        Self {
            held: String::new(),
            into,
        }
    }

    /// Some more.
    pub(super) fn put(&mut self, text: &str) -> io::Result<()> {
        self.held += text;
        if self.held.len() > HELD_MAX {
            self.into.write_all(self.held.as_bytes())?;
            self.held.clear();
        }
        Ok(())
    }

    /// What is held back at the end; the rest has gone out.
    pub(super) fn end(self) -> String {
        self.held
    }
}

/// A client and where it goes, for programs.
#[derive(Serialize)]
pub(super) struct ClientLine<'a> {
    service: &'a str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vip: Option<String>,
    #[serde(flatten)]
    told: &'a ClientSimulated,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    brought: Option<Brought>,
}

impl<'a> ClientLine<'a> {
    pub(super) fn new(
        service: &'a str,
        client: &SimulateClient,
        told: &'a ClientSimulated,
        tally: Tally,
    ) -> Self {
        let name = match client.port {
            Some(port) => SocketAddr::new(client.address, port).to_string(),
            None => client.address.to_string(),
        };
        Self {
            service,
            client: name,
            vip: client.vip.map(|vip| vip.to_string()),
            told,
            brought: tally.brought,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self {
            service,
            client,
            told,
            ..
        } = self;
        let mut out = format!("{client:<24} {service}");
        let Some(version) = &told.version else {
            let note = told.note.as_deref().unwrap_or("no version");
            return format!("{out}: {note}\n");
        };
        if told.denied {
            return format!("{out}: denied\n");
        }
        if let Some(segment) = &told.segment {
            out += &format!(", segment {segment}");
        }
        out += &format!(": {version}");
        if let Some(backend) = &told.backend {
            out += &format!(", {backend}");
        }
        if let Some(would_be) = told.would_be.as_ref().filter(|other| *other != version) {
            out += &format!("; would be {would_be}");
        }
        out + "\n"
    }
}

/// What was read of a capture.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Packets {
    /// All.
    pub(super) packets: u64,
    /// Those to a VIP of a service that was asked about.
    pub(super) to_vips: u64,
    /// Fragments behind the first, to the address of one.
    pub(super) later_fragments: u64,
    /// Those to the address of one that could not be read.
    pub(super) unread: u64,
}

impl Packets {
    /// For people.
    pub(super) fn text(&self, name: &str) -> String {
        let Self {
            packets,
            to_vips,
            later_fragments,
            unread,
        } = *self;
        let elsewhere = packets - to_vips - later_fragments - unread;
        let mut out = format!(
            "{name}: {} packets, {} of them to a VIP, {} to none\n",
            grouped(packets),
            grouped(to_vips),
            grouped(elsewhere)
        );
        if later_fragments > 0 {
            out += &format!(
                "  {} are fragments behind the first, which name no flow: they are not counted\n",
                grouped(later_fragments)
            );
        }
        if unread > 0 {
            out += &format!(
                "  {} to the address of a VIP are malformed or were captured without their headers\n",
                grouped(unread)
            );
        }
        out
    }
}

/// The sums of a service.
pub(super) fn sums(sums: &Sums) -> String {
    let mut out = format!(
        "service {}: {}, by generation {}\n",
        sums.service,
        clients(sums.all.clients),
        sums.generation
    );
    if sums.all.clients == 0 {
        return format!("service {}: no client\n", sums.service);
    }
    let mut head = vec!["SEGMENT", "VERSION", "WEIGHT", "CLIENTS", "SHARE"];
    if sums.all.brought.is_some() {
        head.extend(["FLOWS", "BYTES"]);
    }
    let rows = sums.versions.iter().map(row);
    out += &table(&head, &[0, 1], rows.collect());
    if sums.denied.clients > 0 {
        let brought = brought(sums.denied);
        out += &format!("  {} denied{brought}\n", clients(sums.denied.clients));
    }
    if sums.without_vip.clients > 0 {
        let note = sums.note.as_deref().unwrap_or("no VIP");
        out += &format!(
            "  {} without a VIP to dial: {note}\n",
            clients(sums.without_vip.clients)
        );
    }
    if let Some(moves) = &sums.moves {
        out += &self::moves(moves);
    }
    if let Some(later) = sums.generation_at_end {
        out += &format!(
            "  what is in force changed meanwhile: the last of them are by generation {later}\n"
        );
    }
    out
}

fn row(of: &VersionSum) -> Vec<String> {
    let share = of
        .share_percent
        .map(|share| percent((share * 100.0).round() / 100.0));
    let mut row = vec![
        of.segment.clone().unwrap_or_else(|| "-".to_owned()),
        text::version(&of.version, of.baseline),
        of.weight.clone(),
        grouped(of.tally.clients),
        share.unwrap_or_else(|| "-".to_owned()),
    ];
    if let Some(Brought { flows, bytes }) = of.tally.brought {
        row.extend([grouped(flows), brief(bytes)]);
    }
    row
}

fn moves(moves: &[MoveSum]) -> String {
    if moves.is_empty() {
        return "  under these weights none of them would move\n".to_owned();
    }
    let line = |of: &MoveSum| {
        format!(
            "    {} would move from {} to {}{}\n",
            grouped(of.tally.clients),
            of.from,
            of.to,
            brought(of.tally)
        )
    };
    let lines: String = moves.iter().map(line).collect();
    format!("  under these weights\n{lines}")
}

/// What came with clients of a capture.
fn brought(tally: Tally) -> String {
    let Some(Brought { flows, bytes }) = tally.brought else {
        return String::new();
    };
    let plural = if flows == 1 { "" } else { "s" };
    let (flows, bytes) = (grouped(flows), brief(bytes));
    format!(": {flows} flow{plural}, {bytes}B to the VIP")
}

fn clients(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} client{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_is_held_and_what_is_long_goes_out_meanwhile() {
        let (mut gone, mut all) = (Vec::new(), String::new());
        let mut out = Out::new(&mut gone);
        for number in 0..20_000 {
            let line = format!("line {number}\n");
            all += &line;
            out.put(&line).expect("written");
            assert!(out.held.len() <= HELD_MAX);
        }
        let rest = out.end();
        assert!(gone.len() > HELD_MAX && !rest.is_empty());
        assert_eq!(String::from_utf8(gone).expect("text") + &rest, all);
        let mut gone = Vec::new();
        let mut out = Out::new(&mut gone);
        out.put("one").expect("held");
        assert_eq!((out.end().as_str(), gone.len()), ("one", 0));
    }
}
