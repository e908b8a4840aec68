//! Owns the command line: what a command asks, prints and ends with.
//!
//! Invariant: answers go to stdout and errors to stderr; the exit code is one of [`exit::Exit`].
//! Commands other than `serve` and `detach` change nothing but through the daemon.

pub mod args;
pub mod backend;
mod check;
pub mod clients;
pub mod cohort;
pub mod devices;
mod events;
pub mod evidence;
pub mod exit;
pub mod flows;
pub mod history;
mod reload;
pub mod service;
mod show;
pub mod simulate;
pub mod status;
mod text;
pub mod top;
pub mod trace;
pub mod weight;
mod whois;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use self::args::{Command, LeaseCommand, Output, SecretCommand, Switch};
use self::exit::Exit;
use crate::api::types::{ReloadRequest, Supervise};
use crate::api::{Client, ClientError, Refusal};
use crate::config::{ConfigErrors, nearest};
use crate::secret;

pub use self::args::Cli;
pub use crate::model::ServeOptions;

/// Carries a command out and says how it ended.
pub fn run(cli: Cli) -> ExitCode {
    let ended = match execute(cli) {
        Ok(answer) => print(&answer),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            // With stderr gone there is nobody left to tell.
            let _ = io::stderr().write_all(complaint(&error).as_bytes());
            Exit::of(&error).into()
        }
    }
}

/// A reader that has read enough (`splitter status | head`) is no failure.
fn print(answer: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the answer")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What stderr shows: configuration errors as they are, so that editors can jump to them, and
/// everything else in one line with its hint below.
fn complaint(error: &anyhow::Error) -> String {
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        return format!("{errors}\n");
    }
    let mut text = format!("splitter: {error:#}\n");
    let refusal = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<Refusal>()
            .or(match cause.downcast_ref::<ClientError>() {
                Some(ClientError::Refused(refusal)) => Some(refusal),
                Some(_) | None => None,
            })
    });
    if let Some(hint) = refusal.and_then(Refusal::hint) {
        text += &format!("  hint: {hint}\n");
    }
    text
}

/// The answer to a command.
fn execute(cli: Cli) -> anyhow::Result<String> {
    let Cli { socket, command } = cli;
    match command {
        Command::Serve(args) => {
            wire::serve(args.into_options(socket))?;
            Ok(String::new())
        }
        Command::Check { file, memory, cpus } => {
            let cpus = match (memory, cpus) {
                (false, _) => None,
                (true, Some(cpus)) => Some(cpus),
                (true, None) => Some(check::possible_cpus()?),
            };
            check::check(&file, cpus)
        }
        Command::Secret(SecretCommand::New { path }) => {
            let digest = secret::create(&path)?.digest();
            Ok(format!(
                "{}: made a new secret, digest {digest}\n",
                path.display()
            ))
        }
        Command::Detach { pin_dir } => wire::detach(&pin_dir),
        Command::Status(args) => status::run(socket, &args),
        Command::Top(args) => top::run(socket, &args),
        Command::Events(args) => events::run(socket, args),
        Command::Trace(args) => trace::run(socket, args),
        Command::Weight(command) => weight::run(&socket, command),
        Command::Reload { dry_run, output } => ask(async {
            let wanted = ReloadRequest { dry_run };
            let reload = Client::new(&socket).reload(wanted).await?;
            answer(output.output, &reload, reload::reload)
        }),
        Command::Lease(LeaseCommand::Supervise {
            switch,
            service,
            reason,
            output,
        }) => ask(async {
            let wanted = Supervise {
                on: switch == Switch::On,
                service,
                reason,
            };
            let answered = Client::new(&socket).supervise(&wanted).await?;
            answer(output.output, &answered, |all| show::supervision(all))
        }),
        Command::Service(command) => service::run(&socket, command),
        Command::Backend(command) => backend::run(&socket, command),
        Command::Cohort(command) => cohort::run(&socket, command),
        Command::Flows(command) => flows::run(&socket, command),
        Command::Clients(args) => clients::run(&socket, args),
        Command::Evidence(command) => evidence::run(&socket, command),
        Command::History(args) => history::run(&socket, args),
        Command::Explain {
            service,
            client,
            vip,
            output,
        } => ask(async {
            let daemon = Client::new(&socket);
            let why = daemon
                .explain(&service, client.address, client.port, vip)
                .await?;
            answer(output.output, &why, show::explanation)
        }),
        Command::Simulate(args) => simulate::run(&socket, args),
        Command::Devices(args) => devices::run(&socket, args),
        Command::Whois { address, output } => ask(async {
            let who = Client::new(&socket).whois(address).await?;
            answer(output.output, &who, whois::whois)
        }),
    }
}

/// Runs one conversation with the daemon.
fn ask(talk: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an event loop")?
        .block_on(talk)
}

/// Waits for Ctrl-C.
async fn interrupted() {
    // Where it cannot be waited for, the signal ends the process itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn answer<T: Serialize>(
    output: Output,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    match output {
        Output::Table => Ok(table(value)),
        Output::Json => Ok(serde_json::to_string_pretty(value)? + "\n"),
    }
}

fn no_service(name: &str, known: &[String]) -> Refusal {
    let refusal = Refusal::not_found(format!("no service \"{name}\""));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => refusal.with_hint(format!("did you mean \"{near}\"?")),
        None => refusal.with_hint("`splitter service list` shows them"),
    }
}

#[cfg(test)]
mod tests;
