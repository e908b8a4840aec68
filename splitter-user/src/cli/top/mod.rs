//! Owns `top`: services, versions and backends as they run, drawn once a second.
//!
//! Invariant: the daemon is asked for its status and for nothing else, so that whoever may read may
//! look; a terminal is left as it was found, whatever ends it but SIGKILL.

mod draw;
mod recent;
mod screen;
mod table;
mod track;
mod view;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::{ask, no_service};
use crate::api::types::Status;
use crate::api::{Client, Refusal};

/// From one status to the next.
const EVERY: Duration = Duration::from_secs(1);
/// The width of a frame that is printed where there is no terminal, in columns.
const WIDTH: u16 = 80;
/// Recent times are of at most so many seconds.
const WINDOW_MAX_S: u64 = 600;

/// What `top` takes.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Only this service
    pub service: Option<String>,
    /// Print one frame as text, of two statuses a second apart, and end
    #[arg(long)]
    pub once: bool,
    /// Show the times of the last so long; the key w switches to those of all
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = window)]
    pub window: Duration,
    /// No colours; symbols tell the same. The environment's NO_COLOR does so too
    #[arg(long)]
    pub no_color: bool,
}

fn window(text: &str) -> Result<Duration, String> {
    let window = humantime::parse_duration(text).ok();
    let fits = |window: &Duration| (1..=WINDOW_MAX_S).contains(&window.as_secs());
    window
        .filter(fits)
        .ok_or_else(|| "write how long, `30s` or `5m`, from 1s to 10m".to_owned())
}

/// The answer to the command; empty when it was drawn.
pub(super) fn run(socket: PathBuf, args: &TopArgs) -> anyhow::Result<String> {
    let client = Client::new(socket);
    let only = args.service.as_deref();
    if args.once {
        return ask(once(&client, only, args.window));
    }
    if !io::stdout().is_terminal() {
        return Err(
            Refusal::invalid("top draws on a terminal, and stdout is none")
                .with_hint("`splitter top --once` prints one frame as text")
                .into(),
        );
    }
    let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let palette = draw::Palette {
        colour: !args.no_color && !asked_not_to,
    };
    ask(async {
        screen::run(&client, only, args.window, palette).await?;
        Ok(String::new())
    })
}

/// One frame as text, as wide as the terminal and as high as it needs to be.
async fn once(client: &Client, only: Option<&str>, window: Duration) -> anyhow::Result<String> {
    let begin = Instant::now();
    let mut series = view::Series::new(window.as_secs_f64());
    series.take(0.0, look(client, only).await?);
    tokio::time::sleep(EVERY).await;
    let status = look(client, only).await?;
    series.take(begin.elapsed().as_secs_f64(), status);
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    let width = size.map_or(0, |size| size.ws_col);
    let width = if width == 0 { WIDTH } else { width };
    Ok(draw::text(&series.view(), width))
}

/// A status, of one service alone where one is named.
async fn look(client: &Client, only: Option<&str>) -> anyhow::Result<Status> {
    let mut status = client.status().await?;
    if let Some(name) = only {
        let known: Vec<String> = status
            .services
            .iter()
            .map(|each| each.name.clone())
            .collect();
        status.services.retain(|service| service.name == name);
        if status.services.is_empty() {
            return Err(no_service(name, &known).into());
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests;
