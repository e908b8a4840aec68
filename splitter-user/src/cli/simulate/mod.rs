//! Owns `splitter simulate`: where the clients of a list or a capture would go, by the law in force and
//! under other weights.
//!
//! Invariant: the daemon decides, by the code that the kernel runs; here clients are read, asked for in
//! parts, and added up.

pub(super) mod capture;
pub(super) mod frame;
mod list;
mod print;
pub(super) mod source;
mod sums;
#[cfg(test)]
pub(super) mod tests;
mod traffic;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use self::list::List;
use self::print::{ClientLine, Out, Packets};
use self::source::{Kind, Source};
use self::sums::{Sums, Tally};
use self::traffic::{Traffic, by_flow};
use super::args::{Output, OutputArgs};
use super::devices::Classes;
use super::weight::{Assignment, by_version};
use super::{ask, no_service};
use crate::api::types::{ServiceStatus, Simulate, SimulateClient, Simulated};
use crate::api::{Client, Refusal};
use crate::model::Vip;

/// What `simulate` takes.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// A list of addresses, or a capture (pcap, pcapng); - is standard input
    file: PathBuf,
    /// The service; of a capture all without it, of a list the only one
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The VIP that the clients of a list dial; without it, the first one of their address family
    #[arg(long, value_name = "ADDRESS:PORT/PROTOCOL")]
    vip: Option<Vip>,
    /// Say what this weight would change, canary=10% say; once for each version
    #[arg(long = "weight", value_name = "VERSION=WEIGHT")]
    weights: Vec<Assignment>,
    /// The segment that these weights are for; without it, they are for clients who are in none
    #[arg(long, value_name = "NAME", requires = "weights")]
    segment: Option<String>,
    /// Say of each client where it goes, too
    #[arg(long)]
    list: bool,
    /// How to print it; json tells of each client
    #[command(flatten)]
    output: OutputArgs,
}

/// The answer to the command.
pub(super) fn run(socket: &Path, args: SimulateArgs) -> anyhow::Result<String> {
    let source = Source::open(&args.file)?;
    let told = ask(simulate(&Client::new(socket), args, source, io::stdout()));
    match told {
        // Whoever reads it has read enough.
        Err(error) if is_closed(&error) => Ok(String::new()),
        told => told,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn simulate(
    daemon: &Client,
    args: SimulateArgs,
    source: Source,
    into: impl Write,
) -> anyhow::Result<String> {
    let services = services(daemon, &args, source.kind).await?;
    let mut teller = Teller {
        daemon,
        form: match (args.output.output, args.list) {
            (Output::Json, _) => Form::Json,
            (Output::Table, true) => Form::Lines,
            (Output::Table, false) => Form::Sums,
        },
        wanted: Simulate {
            clients: Vec::new(),
            weights: by_version(args.weights)?,
            segment: args.segment,
        },
        of_capture: source.kind != Kind::List,
        out: Out::new(into),
        told: 0,
        sums: Vec::new(),
    };
    let mut packets = None;
    match (source.kind, &services[..]) {
        (Kind::List, [service]) => {
            let list = List::new(source.name.clone(), source.reader);
            teller.list(service, args.vip, list).await?;
        }
        (Kind::List | Kind::Pcap | Kind::Pcapng, _) => {
            let (traffic, count) = traffic(&services, source.kind, &source.name, source.reader)?;
            packets = Some(count);
            let classes = Classes::new(&daemon.devices().await?)?;
            for (index, service) in services.iter().enumerate() {
                teller.clients(service, &traffic, index, &classes).await?;
            }
        }
    }
    teller.end(&source.name, packets)
}

/// The services that are meant.
async fn services(
    daemon: &Client,
    args: &SimulateArgs,
    kind: Kind,
) -> anyhow::Result<Vec<ServiceStatus>> {
    let mut all = daemon.status().await?.services;
    let names: Vec<String> = all.iter().map(|service| service.name.clone()).collect();
    if let Some(name) = &args.service {
        all.retain(|service| service.name == *name);
        if all.is_empty() {
            return Err(no_service(name, &names).into());
        }
    }
    let needs_one = kind == Kind::List || !args.weights.is_empty();
    if all.is_empty() || needs_one && all.len() != 1 {
        let what = match (all.len(), kind) {
            (0, _) => "there is no service whose clients these could be",
            (_, Kind::List) => "a list is of clients of one service",
            (_, Kind::Pcap | Kind::Pcapng) => "weights are those of one service",
        };
        let hint = match names.is_empty() {
            true => "configure one: `splitter reload` after an edit of the file".to_owned(),
            false => format!("name one by --service: {}", names.join(", ")),
        };
        return Err(Refusal::invalid(what).with_hint(hint).into());
    }
    if kind != Kind::List && args.vip.is_some() {
        return Err(
            Refusal::invalid("a capture says itself which VIPs are dialled")
                .with_hint("leave --vip out")
                .into(),
        );
    }
    Ok(all)
}

/// What a capture holds.
fn traffic(
    services: &[ServiceStatus],
    kind: Kind,
    name: &str,
    from: impl io::Read,
) -> anyhow::Result<(Traffic, Packets)> {
    let mut traffic = Traffic::of(services)?;
    let take = |seen| Ok(traffic.take(seen)?);
    let packets = capture::each_frame(name, kind, from, take)?;
    let packets = Packets {
        packets,
        to_vips: traffic.to_vips,
        later_fragments: traffic.later,
        unread: traffic.unread,
    };
    Ok((traffic, packets))
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Sums,
    Lines,
    Json,
}

/// Asks, and tells of it.
struct Teller<'d, W> {
    daemon: &'d Client,
    form: Form,
    /// What is asked for, with the clients of the next question.
    wanted: Simulate,
    of_capture: bool,
    out: Out<W>,
    /// Clients that were told of.
    told: u64,
    sums: Vec<Sums>,
}

impl<W: Write> Teller<'_, W> {
    async fn list(
        &mut self,
        service: &ServiceStatus,
        vip: Option<Vip>,
        mut list: List<impl io::Read>,
    ) -> anyhow::Result<()> {
        let mut sums = Sums::of(service, !self.wanted.weights.is_empty(), self.of_capture);
        let one = Tally {
            clients: 1,
            ..Tally::default()
        };
        let mut tallies = Vec::new();
        while let Some(client) = list.next()? {
            if client.port.is_none() && by_flow(service) {
                let what = format!(
                    "service \"{}\" splits by flow: give the port too",
                    service.name
                );
                return Err(list.bad(&what).into());
            }
            self.wanted.clients.push(SimulateClient {
                address: client.address.to_canonical(),
                port: client.port,
                vip: vip.filter(|vip| vip.address.is_ipv4() == client.address.is_ipv4()),
                device: None,
            });
            tallies.push(one);
            self.ask_when_full(&mut sums, &mut tallies).await?;
        }
        self.ask(&mut sums, &mut tallies).await?;
        self.sums.push(sums);
        Ok(())
    }

    async fn clients(
        &mut self,
        service: &ServiceStatus,
        traffic: &Traffic,
        index: usize,
        classes: &Classes,
    ) -> anyhow::Result<()> {
        let mut sums = Sums::of(service, !self.wanted.weights.is_empty(), self.of_capture);
        let mut tallies = Vec::new();
        for (client, tally) in traffic.clients(index) {
            let syn = traffic.syn(index, client);
            self.wanted.clients.push(SimulateClient {
                device: syn.map(|syn| classes.of(syn).to_owned()),
                ..client.clone()
            });
            tallies.push(*tally);
            self.ask_when_full(&mut sums, &mut tallies).await?;
        }
        self.ask(&mut sums, &mut tallies).await?;
        self.sums.push(sums);
        Ok(())
    }

    async fn ask_when_full(
        &mut self,
        sums: &mut Sums,
        tallies: &mut Vec<Tally>,
    ) -> anyhow::Result<()> {
        match tallies.len() >= Simulate::MOST {
            true => self.ask(sums, tallies).await,
            false => Ok(()),
        }
    }

    /// Asks for the clients that were gathered. Without one too: weights that cannot be are told.
    async fn ask(&mut self, sums: &mut Sums, tallies: &mut Vec<Tally>) -> anyhow::Result<()> {
        let answered = self.daemon.simulate(&sums.service, &self.wanted).await?;
        let Simulated {
            generation,
            clients,
            ..
        } = answered;
        anyhow::ensure!(
            clients.len() == tallies.len(),
            "the daemon answered for {} clients of {}",
            clients.len(),
            tallies.len()
        );
        sums.decided_by(generation);
        let asked = std::mem::take(&mut self.wanted.clients);
        for ((client, told), tally) in asked.iter().zip(&clients).zip(tallies.drain(..)) {
            sums.add(told, tally);
            if self.form != Form::Sums {
                let line = ClientLine::new(&sums.service, client, told, tally);
                self.tell(&line)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, line: &ClientLine<'_>) -> anyhow::Result<()> {
        let text = match self.form {
            Form::Sums | Form::Lines => line.text(),
            Form::Json => {
                let begin = if self.told == 0 { BEGIN } else { ",\n" };
                format!("{begin}{}", serde_json::to_string(line)?)
            }
        };
        self.told += 1;
        Ok(self.out.put(&text)?)
    }

    /// The sums, behind what was told.
    fn end(mut self, name: &str, packets: Option<Packets>) -> anyhow::Result<String> {
        for sums in &mut self.sums {
            sums.finish();
        }
        let text = match self.form {
            Form::Sums | Form::Lines => {
                // Of services that nobody dials nothing is to be said, unless it is the only one.
                let few = self.sums.len() == 1;
                let met = self.sums.iter();
                let met = met.filter(|sums| few || sums.all.clients > 0);
                let sums: String = met.map(print::sums).collect();
                packets.map_or_else(String::new, |packets| packets.text(name)) + &sums
            }
            Form::Json => {
                let begin = if self.told == 0 { BEGIN } else { "" };
                let end = End {
                    capture: packets,
                    services: &self.sums,
                };
                let end = serde_json::to_string_pretty(&end).context("the sums")?;
                format!("{begin}\n  ],{}\n", end.trim_start_matches('{'))
            }
        };
        self.out.put(&text)?;
        Ok(self.out.end())
    }
}

/// What stands before the first client, for programs.
const BEGIN: &str = "{\n  \"clients\": [\n";

/// What stands behind the last.
#[derive(Serialize)]
struct End<'s> {
    capture: Option<Packets>,
    services: &'s [Sums],
}
