//! Owns `splitter backend ...`: its grammar and what it prints.

use std::path::Path;

use clap::{Args, Subcommand};

use super::args::{ChangeArgs, OutputArgs};
use super::show::{fate, set_by};
use super::text::table;
use super::{answer, ask, clients};
use crate::api::Client;
use crate::api::types::{BackendChange, BackendHealth, BackendLine, BackendSet, BackendVerb};

/// `splitter backend ...`
#[derive(Clone, Debug, Subcommand)]
pub enum BackendCommand {
    /// List a service's backends and how they fare
    List {
        /// The service
        service: String,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a backend no new flows; those that are open run out
    Drain(OneBackend),
    /// Give a backend no new flows and stop checking it
    Disable(OneBackend),
    /// Give a backend new flows again
    Activate(OneBackend),
    /// Put a backend into a version
    Add {
        /// The service
        service: String,
        /// The version
        version: String,
        /// The backend: ADDRESS:PORT, [ADDRESS]:PORT, or ADDRESS alone to keep the dialled port
        backend: String,
        /// Its part of the version's flows, beside the other backends'
        #[arg(long, value_name = "N", default_value_t = 1)]
        weight: u16,
        /// Why, dry run, and how to print it
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a backend out of its version; its open flows are decided anew
    Remove {
        /// The service
        service: String,
        /// The version
        version: String,
        /// The backend
        backend: String,
        /// Why, dry run, and how to print it
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// A backend that is there.
#[derive(Clone, Debug, Args)]
pub struct OneBackend {
    /// The service
    service: String,
    /// The backend: ADDRESS:PORT, [ADDRESS]:PORT or ADDRESS, as it is configured
    backend: String,
    /// Why, dry run, and how to print it
    #[command(flatten)]
    change: ChangeArgs,
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: BackendCommand) -> anyhow::Result<String> {
    let one = |verb, one: OneBackend| {
        change(
            socket,
            verb,
            one.service,
            None,
            one.backend,
            None,
            one.change,
        )
    };
    match command {
        BackendCommand::List { service, output } => ask(async {
            let lines = Client::new(socket).backends(&service).await?;
            answer(output.output, &lines, |lines| list(lines))
        }),
        BackendCommand::Drain(backend) => one(BackendVerb::Drain, backend),
        BackendCommand::Disable(backend) => one(BackendVerb::Disable, backend),
        BackendCommand::Activate(backend) => one(BackendVerb::Activate, backend),
        BackendCommand::Add {
            service,
            version,
            backend,
            weight,
            change,
        } => self::change(
            socket,
            BackendVerb::Add,
            service,
            Some(version),
            backend,
            Some(weight),
            change,
        ),
        BackendCommand::Remove {
            service,
            version,
            backend,
            change,
        } => self::change(
            socket,
            BackendVerb::Remove,
            service,
            Some(version),
            backend,
            None,
            change,
        ),
    }
}

fn change(
    socket: &Path,
    verb: BackendVerb,
    service: String,
    version: Option<String>,
    backend: String,
    weight: Option<u16>,
    args: ChangeArgs,
) -> anyhow::Result<String> {
    let set = BackendSet {
        verb,
        backend,
        version,
        weight,
        flows: args.flows,
        reason: args.reason,
        dry_run: args.dry_run,
    };
    ask(async {
        let change = Client::new(socket).change_backend(&service, &set).await?;
        answer(args.output.output, &change, changed)
    })
}

fn changed(change: &BackendChange) -> String {
    let BackendChange {
        service,
        version,
        backend,
        generation,
        before,
        after,
        dry_run,
        on_it,
        consequences,
        flows,
    } = change;
    let mut out = if *dry_run {
        format!("{service}: dry run, nothing was changed\n")
    } else {
        format!("{service}: in force, generation {generation}\n")
    };
    out += &format!("  {backend} of {version}: {before} -> {after}\n");
    for line in consequences {
        out += &format!("  {line}\n");
    }
    out += "  no client changes version";
    out += if consequences.is_empty() {
        "\n"
    } else {
        " otherwise\n"
    };
    out += &on_it.as_ref().map_or_else(String::new, clients::on_backend);
    out + &fate(flows)
}

fn list(lines: &[BackendLine]) -> String {
    let row = |line: &BackendLine| {
        let mut row = vec![line.version.clone()];
        row.extend(backend_cells(&line.backend, line.weight, &line.health));
        row
    };
    let head = ["VERSION", "BACKEND", "WEIGHT", "STATE", "HEALTH", "SERVES"];
    let mut out = table(&head, &[0, 1, 3, 4, 5], lines.iter().map(row).collect());
    for line in lines {
        out += &notes(&line.backend, &line.health);
    }
    out
}

/// Backend, weight, state, health, and whether it serves.
pub(super) fn backend_cells(backend: &str, weight: u16, health: &BackendHealth) -> [String; 5] {
    [
        backend.to_owned(),
        format!("x{weight}"),
        health.state.clone(),
        health.health.clone(),
        if health.serves { "yes" } else { "no" }.to_owned(),
    ]
}

/// What is out of the ordinary with a backend, a line each.
pub(super) fn notes(backend: &str, health: &BackendHealth) -> String {
    let mut out = String::new();
    if let Some(overlay) = &health.overlay {
        let who = set_by(&overlay.by, &overlay.at, overlay.reason.as_deref());
        out += &format!("  {backend}: {}{who}", overlay.what);
    }
    let bad = health.health == "unhealthy" || health.health == "ejected";
    let since = health.since.as_deref().unwrap_or("the start");
    match &health.error {
        Some(error) if bad => {
            out += &format!("  {backend}: {} since {since}: {error}\n", health.health);
        }
        None if bad => out += &format!("  {backend}: {} since {since}\n", health.health),
        Some(error) => out += &format!("  {backend}: last answer: {error}\n"),
        None => {}
    }
    if health.serves && health.weight_reached_percent < 100 {
        let percent = health.weight_reached_percent;
        out += &format!("  {backend}: slow start, at {percent}% of its weight\n");
    }
    out
}
