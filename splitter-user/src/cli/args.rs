//! Owns the grammar of the command line.
//!
//! Invariant: whatever can be refused without the daemon is refused here, with exit code 2.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::backend::BackendCommand;
use super::clients::ClientsArgs;
use super::cohort::CohortCommand;
use super::devices::DevicesArgs;
use super::events::EventsArgs;
use super::evidence::EvidenceCommand;
use super::exit;
use super::flows::FlowsCommand;
use super::history::HistoryArgs;
use super::service::ServiceCommand;
use super::simulate::SimulateArgs;
use super::status::StatusArgs;
use super::top::TopArgs;
use super::trace::TraceArgs;
use super::weight::WeightCommand;
use crate::model::{
    DEFAULT_CONFIG, DEFAULT_PIN_DIR, DEFAULT_SECRET, DEFAULT_SOCKET, DEFAULT_STATE_DIR, FlowFate,
    ServeOptions, Vip,
};

/// Splits traffic by version in the kernel, for gray releases.
#[derive(Clone, Debug, Parser)]
#[command(name = "splitter", version, after_help = exit::HELP)]
pub struct Cli {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(ServeArgs),
    /// Check a configuration file and the conf.d beside it
    Check {
        /// The file
        #[arg(default_value = DEFAULT_CONFIG)]
        file: PathBuf,
        /// Say what kernel memory the tables take, too
        #[arg(long)]
        memory: bool,
        /// On a host with so many CPUs; this one's unless told
        #[arg(long, value_name = "N", requires = "memory", value_parser = clap::value_parser!(u32).range(1..=8192))]
        cpus: Option<u32>,
    },
    /// The secret that all hosts of a cluster share
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Say what is going on
    Status(StatusArgs),
    /// Show services, versions and backends as they run, drawn over every second
    ///
    /// q ends it, ? shows the other keys. A daemon that is gone for a while is waited for.
    Top(TopArgs),
    /// Say what changed on this host, and go on saying it
    Events(EventsArgs),
    /// Show what the program does with a client's packets, as they come
    ///
    /// At most 1,000 packets a second are told, of all traces together, and 4 traces run at once; the
    /// rest is counted. Packets cost more while a trace runs, of other clients too, and nothing when
    /// none does. Ctrl-C ends it.
    Trace(TraceArgs),
    /// Apply what the configuration file has changed
    ///
    /// Only what the file has changed since it was last applied takes effect: weights set at run
    /// time stay unless the file changes that same weight. A file with an error changes nothing.
    Reload {
        /// Only say what would change, and who would move
        #[arg(long)]
        dry_run: bool,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// The weights of versions
    #[command(subcommand)]
    Weight(WeightCommand),
    /// What happens when the daemon dies during a release
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// The services
    #[command(subcommand)]
    Service(ServiceCommand),
    /// The backends of versions
    #[command(subcommand)]
    Backend(BackendCommand),
    /// Cohorts: addresses that an application names, each for a while
    #[command(subcommand)]
    Cohort(CohortCommand),
    /// The open flows of a service
    #[command(subcommand)]
    Flows(FlowsCommand),
    /// List the clients of a service that were seen lately: last seen, version, segment, flows
    ///
    /// They are those of the flow table, open flows and over ones: it drops what was silent for longest.
    Clients(ClientsArgs),
    /// What was counted of clients, each once: what versions are compared by
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Say what every version of a service counted over time
    ///
    /// Seconds are kept for an hour and minutes for a week, as long as there are no more rows than
    /// fit. Where the daemon did not run there is a gap: what came in it is counted and is no rate.
    History(HistoryArgs),
    /// Say where a client goes and why
    Explain {
        /// The service
        service: String,
        /// The client: ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT
        #[arg(value_name = "CLIENT[:PORT]")]
        client: ClientAddress,
        /// The VIP that the client dials; without it, the first one of its address family
        #[arg(long, value_name = "ADDRESS:PORT/PROTOCOL")]
        vip: Option<Vip>,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say where the clients of a list or a capture would go, and what other weights would change
    ///
    /// A list has an address a line: ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. What follows a `#` or a
    /// comma says nothing, and each line counts as a client. Of a capture (pcap or pcapng; Ethernet, raw IP
    /// or Linux cooked) the packets to a VIP count: each source is a client, or each flow where the service
    /// splits by flow. Nothing is changed.
    Simulate(SimulateArgs),
    /// Show the rules by which device classes are known, or the classes of the SYNs in a capture
    Devices(DevicesArgs),
    /// Say who an address is: by databases of regions, and to every service
    Whois {
        /// The address
        address: IpAddr,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take the XDP programs off the interfaces and forget every flow; the daemon must be stopped
    Detach {
        /// Where the programs are pinned
        #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
        pin_dir: PathBuf,
    },
}

/// What `serve` takes.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Where run-time changes are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE_DIR)]
    state_dir: PathBuf,
    /// Where programs, links and maps are pinned (a directory on bpffs)
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
    pin_dir: PathBuf,
    /// The cluster secret
    #[arg(long, value_name = "FILE", default_value = DEFAULT_SECRET)]
    secret: PathBuf,
    /// Make a secret if there is none
    #[arg(long)]
    new_secret: bool,
    /// Take the program off the interfaces when told to stop; without it, traffic goes on
    #[arg(long)]
    detach_on_exit: bool,
    /// Take over from a program of another layout, whose flows are forgotten
    ///
    /// Programs and tables of one layout are taken over as they are. Another layout's tables cannot
    /// be read: `serve` says how many flows they have and refuses, until this is given.
    #[arg(long)]
    accept_flow_loss: bool,
}

impl ServeArgs {
    /// The daemon's options.
    pub fn into_options(self, socket: PathBuf) -> ServeOptions {
        let Self {
            config,
            state_dir,
            pin_dir,
            secret,
            new_secret,
            detach_on_exit,
            accept_flow_loss,
        } = self;
        ServeOptions {
            config,
            socket,
            state_dir,
            pin_dir,
            secret,
            new_secret,
            detach_on_exit,
            accept_flow_loss,
        }
    }
}

/// `splitter secret ...`
#[derive(Clone, Debug, Subcommand)]
pub enum SecretCommand {
    /// Make a new secret; an existing one is never overwritten
    New {
        /// Where
        #[arg(long, value_name = "FILE", default_value = DEFAULT_SECRET)]
        path: PathBuf,
    },
}

/// `splitter lease ...`
#[derive(Clone, Debug, Subcommand)]
pub enum LeaseCommand {
    /// Say whether a release is supervised, which makes new flows fall back to the baseline when the
    /// daemon is gone for longer than its lease (30 s; 120 s after a clean stop)
    ///
    /// It holds until it is switched off, over restarts too. Above the service's
    /// `failsafe_max_weight` (25% unless the file says otherwise) the split stays as it is: a
    /// baseline that was scaled down would be flooded.
    Supervise {
        /// Begin or end it
        switch: Switch,
        /// The service; all without it
        service: Option<String>,
        /// Why, for whoever reads the status later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Begin it.
    On,
    /// End it.
    Off,
}

/// What every change takes.
#[derive(Clone, Debug, Args)]
pub struct ChangeArgs {
    /// What becomes of open flows that would be decided otherwise by now: keep, drain=5m or reset;
    /// without it, what the service's `flows` says
    #[arg(long, value_name = "FATE")]
    pub flows: Option<FlowFate>,
    /// Why, for whoever reads the status later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs; the fields are stable
    Json,
}

/// A client with or without its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

impl FromStr for ClientAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self {
                address,
                port: None,
            });
        }
        let socket: SocketAddr = text.parse().map_err(
            |_| "write an IP address, with or without a port: 10.0.0.1:5555, [::1]:5555",
        )?;
        Ok(Self {
            address: socket.ip(),
            port: Some(socket.port()),
        })
    }
}
