//! Owns what `status` takes, and the way from there to what is shown.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{table, watch};
use crate::api::types::Status;
use crate::api::{Client, Refusal};
use crate::cli::{ask, interrupted, no_service};

/// What `status` takes.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Only this service
    pub service: Option<String>,
    /// Show it over and over until Ctrl-C, every 2 seconds unless told
    ///
    /// A terminal is drawn over; elsewhere each status has a line with the time before it, and a
    /// JSON status is one line. A daemon that is gone for a while is waited for.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = seconds
    )]
    pub watch: Option<Duration>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    pub output: Form,
}

/// Forms of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, in 80 columns
    Table,
    /// For people, with every counter and the state of each backend
    Wide,
    /// For programs; the fields are stable
    Json,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let whole: Option<u64> = text
        .parse()
        .ok()
        .filter(|whole| (1..=3_600).contains(whole));
    whole
        .map(Duration::from_secs)
        .ok_or("write whole seconds, 1 to 3600, and a service before --watch")
}

/// The answer to the command; empty when it was shown already.
pub(in crate::cli) fn run(socket: PathBuf, args: &StatusArgs) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let Some(every) = args.watch else {
        return ask(look(&client, args));
    };
    let onto = match (args.output, io::stdout().is_terminal()) {
        (Form::Json, _) => watch::Onto::Lines,
        (Form::Table | Form::Wide, false) => watch::Onto::Pages,
        (Form::Table | Form::Wide, true) => watch::Onto::Screen,
    };
    ask(async {
        let look = || look(&client, args);
        watch::watch(look, onto, every, &mut io::stdout(), interrupted()).await?;
        Ok(String::new())
    })
}

/// One status in the form asked for.
async fn look(client: &Client, args: &StatusArgs) -> anyhow::Result<String> {
    let mut status = client.status().await?;
    if let Some(name) = &args.service {
        only(&mut status, name)?;
    }
    Ok(match (args.output, args.watch) {
        (Form::Table, _) => table(&status, false),
        (Form::Wide, _) => table(&status, true),
        (Form::Json, None) => serde_json::to_string_pretty(&status)? + "\n",
        (Form::Json, Some(_)) => serde_json::to_string(&status)? + "\n",
    })
}

/// Leaves one service in a status.
fn only(status: &mut Status, name: &str) -> Result<(), Refusal> {
    let all = std::mem::take(&mut status.services);
    let known: Vec<String> = all.iter().map(|service| service.name.clone()).collect();
    status.services = all.into_iter().filter(|other| other.name == name).collect();
    if status.services.is_empty() {
        return Err(no_service(name, &known));
    }
    Ok(())
}
