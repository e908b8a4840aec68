//! Owns `trace`: what becomes of a client's packets, line after line.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ipnet::IpNet;

use super::args::{Output, OutputArgs};
use super::{ask, interrupted, text};
use crate::api::Client;
use crate::api::types::{TraceLine, TraceQuery, TracedDecision, TracedPacket};
use crate::config;

/// What `trace` takes.
#[derive(Clone, Debug, Args)]
pub struct TraceArgs {
    /// The client, or clients in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = config::prefix)]
    pub client: IpNet,
    /// Only packets of this service; without it also what belongs to none, ICMP say
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// For how long, at most 1h
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub time: Duration,
    /// End after so many packets
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// How to print it
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Empty: everything was shown as it came.
pub(super) fn run(socket: PathBuf, args: TraceArgs) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let query = TraceQuery {
        client: args.client.to_string(),
        service: args.service,
        // Parts of a second count as a whole one.
        seconds: Some(u32::try_from(args.time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)),
    };
    let output = args.output.output;
    let mut left = args.limit;
    ask(async {
        let mut out = io::stdout();
        let mut written = Ok(());
        let lines = client.trace(&query, |line| {
            written = write(&line, output, &mut out);
            if let (Some(left), TraceLine::Packet(_)) = (&mut left, &line) {
                *left = left.saturating_sub(1);
            }
            if written.is_err() || left == Some(0) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        tokio::select! {
            () = interrupted() => {}
            done = lines => done?,
        }
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write the packets")
            }
            Ok(()) | Err(_) => Ok(String::new()),
        }
    })
}

fn write(line: &TraceLine, output: Output, out: &mut impl Write) -> io::Result<()> {
    let text = match output {
        Output::Json => serde_json::to_string(line).map_err(io::Error::other)? + "\n",
        Output::Table => shown(line),
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A line for people.
fn shown(line: &TraceLine) -> String {
    match line {
        TraceLine::Packet(packet) => self::packet(packet),
        TraceLine::Untold { untold } => {
            let packets = text::count(usize::try_from(*untold).unwrap_or(usize::MAX), "packet");
            format!("({packets} not shown: they came too fast)\n")
        }
        TraceLine::Ended { ended_after_s } => {
            let time = humantime::format_duration(Duration::from_secs(u64::from(*ended_after_s)));
            format!("(ended after {time}; --for asks for longer)\n")
        }
    }
}

fn packet(packet: &TracedPacket) -> String {
    let TracedPacket {
        at,
        verdict,
        reason,
        source,
        destination,
        protocol,
        flags,
        length_bytes,
        interface,
        reply: _,
        decision,
    } = packet;
    let flags = if flags.is_empty() {
        String::new()
    } else {
        format!(" {flags}")
    };
    let mut out = format!(
        "{at}  {verdict} {reason}  {source} > {destination} {protocol}{flags} {length_bytes} B  \
         {interface}"
    );
    if let Some(decision) = decision {
        out += &self::decision(decision);
    }
    out + "\n"
}

fn decision(decision: &TracedDecision) -> String {
    let TracedDecision {
        service,
        hash_hex,
        hash_percent,
        segment,
        assigned,
        version,
        backend,
        flow,
        generation,
    } = decision;
    let mut out = format!("  {service}: {version}");
    if let Some(backend) = backend {
        out += &format!(" {backend}");
    }
    if assigned != version {
        out += &format!(" (its client belongs to {assigned} now)");
    }
    match generation {
        Some(generation) => out += &format!(", flow {flow}, of generation {generation}"),
        None => out += ", no flow",
    }
    if let Some(segment) = segment {
        out += &format!(", segment {segment}");
    }
    out + &format!(", hash {hash_hex} ({hash_percent:.2}%)")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::*;

    fn told() -> TracedPacket {
        TracedPacket {
            at: "2026-01-02T03:04:05.123456Z".into(),
            verdict: "redirect".into(),
            reason: "new_flow".into(),
            source: "198.51.100.7:40000".into(),
            destination: "203.0.113.10:443".into(),
            protocol: "tcp".into(),
            flags: "SYN".into(),
            length_bytes: 60,
            interface: "eth0".into(),
            reply: false,
            decision: Some(TracedDecision {
                service: "shop".into(),
                hash_hex: "0x0a3d70a3".into(),
                hash_percent: 4.0,
                segment: Some("staff".into()),
                assigned: "stable".into(),
                version: "canary".into(),
                backend: Some("10.0.2.11:8443".into()),
                flow: "pending".into(),
                generation: Some(12),
            }),
        }
    }

    #[test]
    fn a_packet_is_a_line() {
        let line = |packet| shown(&TraceLine::Packet(Box::new(packet)));
        assert_eq!(
            line(told()),
            "2026-01-02T03:04:05.123456Z  redirect new_flow  198.51.100.7:40000 > 203.0.113.10:443 \
             tcp SYN 60 B  eth0  shop: canary 10.0.2.11:8443 (its client belongs to stable now), \
             flow pending, of generation 12, segment staff, hash 0x0a3d70a3 (4.00%)\n"
        );
        let bare = TracedPacket {
            protocol: "icmp".into(),
            flags: String::new(),
            decision: None,
            ..told()
        };
        assert!(
            line(bare).ends_with("203.0.113.10:443 icmp 60 B  eth0\n"),
            "of no service"
        );
    }

    #[test]
    fn what_is_not_shown_is_said() {
        let line = shown(&TraceLine::Untold { untold: 2 });
        assert_eq!(line, "(2 packets not shown: they came too fast)\n");
        let line = shown(&TraceLine::Ended { ended_after_s: 90 });
        assert_eq!(line, "(ended after 1m 30s; --for asks for longer)\n");
    }

    #[test]
    fn clients_are_addresses_or_prefixes() {
        let client = |text: &str| {
            let args = ["splitter", "trace", "--client", text];
            match Cli::try_parse_from(args).map(|cli| cli.command) {
                Ok(Command::Trace(args)) => Ok(args.client),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(client("10.1.0.7"), Ok("10.1.0.7/32".parse().expect("one")));
        let refused = client("10.1.0.7/24").expect_err("bits behind");
        assert!(refused.contains("write \"10.1.0.0/24\""), "{refused}");
        assert!(client("shop").is_err());
    }
}
