//! Owns `splitter flows ...`, and how open flows and full tables look in `status`.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::args::OutputArgs;
use super::text::{self, count, grouped};
use super::{answer, ask};
use crate::api::Client;
use crate::api::types::{
    FlowCount, FlowLine, FlowList, FlowQuery, FlowsReset, FlowsToReset, ServiceStatus, TableFill,
    VersionFlows,
};
use crate::config;

/// `splitter flows ...`
#[derive(Clone, Debug, Subcommand)]
pub enum FlowsCommand {
    /// List flows: client, VIP, version, backend, state, age and idle time
    List {
        /// Which flows
        #[command(flatten)]
        wanted: FlowsArgs,
        /// How many at most; which ones is left to the kernel's hash
        #[arg(long, value_name = "N", default_value_t = FlowQuery::LIMIT,
              value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End flows: each is reset at its next packet, and whoever comes back is decided as anybody
    ///
    /// Complete flows alone: a handshake that is under way goes on. Datagrams go on by a new decision.
    /// To end flows that a change of weights leaves behind, `weight set --flows reset` costs less.
    Reset(ResetArgs),
    /// Count flows by version and state: exact but for what comes and goes meanwhile
    Count {
        /// Which flows
        #[command(flatten)]
        wanted: FlowsArgs,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What `flows reset` takes.
#[derive(Clone, Debug, Args)]
pub struct ResetArgs {
    /// The service
    service: String,
    /// Only flows that this version serves
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// Only flows of this client, or of clients in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = config::prefix)]
    client: Option<IpNet>,
    /// Why, for whoever reads the log later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
    /// How to print it
    #[command(flatten)]
    output: OutputArgs,
}

/// Which flows.
#[derive(Clone, Debug, Args)]
pub struct FlowsArgs {
    /// The service
    service: String,
    /// Only flows that this version serves
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// Only flows of this client, or of clients in this prefix
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = config::prefix)]
    client: Option<IpNet>,
    /// Flows whose handshake is not complete, or whose datagrams are not answered, too
    #[arg(long)]
    pending: bool,
}

impl FlowsArgs {
    fn into_query(self, limit: u32) -> (String, FlowQuery) {
        let query = FlowQuery {
            version: self.version,
            client: self.client.map(|net| net.to_string()),
            pending: self.pending,
            limit,
        };
        (self.service, query)
    }
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: FlowsCommand) -> anyhow::Result<String> {
    match command {
        FlowsCommand::List {
            wanted,
            limit,
            output,
        } => ask(async {
            let (service, query) = wanted.into_query(limit);
            let flows = Client::new(socket).flows(&service, &query).await?;
            answer(output.output, &flows, list)
        }),
        FlowsCommand::Reset(args) => ask(async {
            let wanted = FlowsToReset {
                version: args.version,
                client: args.client.map(|net| net.to_string()),
                reason: args.reason,
                dry_run: args.dry_run,
            };
            let done = Client::new(socket)
                .reset_flows(&args.service, &wanted)
                .await?;
            answer(args.output.output, &done, reset)
        }),
        FlowsCommand::Count { wanted, output } => ask(async {
            let (service, query) = wanted.into_query(FlowQuery::LIMIT);
            let counted = Client::new(socket).count_flows(&service, &query).await?;
            answer(output.output, &counted, counts)
        }),
    }
}

pub(super) fn list(list: &FlowList) -> String {
    if list.flows.is_empty() {
        return format!("{}: no such flow\n", list.service);
    }
    let head = [
        "CLIENT", "VIP", "VERSION", "BACKEND", "STATE", "AGE", "IDLE",
    ];
    let rows = list.flows.iter().map(row).collect();
    let mut out = text::table(&head, &[0, 1, 2, 3, 4], rows);
    if list.more > 0 {
        out += &format!(
            "  and {} more; --limit N lists up to N, `splitter flows count` counts all\n",
            grouped(list.more)
        );
    }
    out
}

fn row(flow: &FlowLine) -> Vec<String> {
    let seconds = |s: f64| text::duration(Duration::from_secs_f64(s.max(0.0)).as_secs());
    vec![
        flow.client.clone(),
        flow.vip.clone(),
        flow.version.clone(),
        flow.backend.clone(),
        flow.state.clone(),
        seconds(flow.age_s),
        seconds(flow.idle_s),
    ]
}

fn reset(done: &FlowsReset) -> String {
    let flows = count(usize::try_from(done.flows).unwrap_or(usize::MAX), "flow");
    let mut out = if done.dry_run {
        format!(
            "{}: dry run, nothing was changed: {flows} would be reset\n",
            done.service
        )
    } else {
        format!("{}: {flows} reset, each at its next packet\n", done.service)
    };
    for (version, flows) in &done.versions {
        out += &format!("  {version} {}\n", grouped(*flows));
    }
    out
}

pub(super) fn counts(counted: &FlowCount) -> String {
    let row = |version: &VersionFlows| {
        let states = &version.states;
        let mut row = vec![version.name.clone(), version.flows.to_string()];
        let known = [
            states.established,
            states.closing,
            states.adopted,
            states.leaving,
        ];
        row.extend(known.iter().map(u64::to_string));
        let pending = states.pending.map(|pending| pending.to_string());
        row.push(pending.unwrap_or_else(|| "-".to_owned()));
        row
    };
    let head = [
        "VERSION",
        "FLOWS",
        "ESTABLISHED",
        "CLOSING",
        "ADOPTED",
        "LEAVING",
        "PENDING",
    ];
    format!(
        "{}: {}\n{}",
        counted.service,
        count(usize::try_from(counted.flows).unwrap_or(usize::MAX), "flow"),
        text::table(&head, &[0], counted.versions.iter().map(row).collect())
    )
}

/// `flows ~N` of every version of a service, and how old that is.
pub(super) fn open(service: &ServiceStatus) -> Option<String> {
    let told = service.versions.iter().map(|version| {
        let estimate = version.open_flows?;
        Some((&version.name, estimate))
    });
    let told: Vec<_> = told.collect::<Option<_>>()?;
    let age_s = told.iter().map(|(_, estimate)| estimate.age_s).max()?;
    let each: Vec<String> = told
        .iter()
        .map(|(name, estimate)| format!("{name} ~{}", grouped(estimate.flows)))
        .collect();
    Some(format!("  flows {} ({age_s}s old)\n", each.join(", ")))
}

/// How full the tables are, in one line.
pub(super) fn fill(tables: &[TableFill], wide: bool) -> Option<String> {
    let one = |fill: &TableFill| {
        let (table, capacity) = (&fill.table, grouped(u64::from(fill.capacity)));
        let full = format!("{table} ~{:.0} % of {capacity}", fill.fill_percent);
        if !wide {
            return full;
        }
        let (inserts, removals) = (grouped(fill.inserts), grouped(fill.removals));
        format!("{full} ({inserts} inserts, {removals} removals)")
    };
    let all: Vec<String> = tables.iter().map(one).collect();
    (!all.is_empty()).then(|| format!("tables: {}\n", all.join(", ")))
}

#[cfg(test)]
#[path = "flows_tests.rs"]
mod tests;
